"""The flags that many commands share, written once: each stands for one setting, and is checked where settings are.

Values are passed on as text; `renderer.settings.schema` reads them, so that a flag, `--set` and a preset take the same
forms and give the same errors. Defaults are repeated here because help must not wait for the settings to load; a test
compares them.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from renderer.cli.show.terminal import Terminal

if TYPE_CHECKING:
    from renderer.settings.presets import Preset, Resolved


@dataclass(frozen=True)
class Flag:
    """A flag for a setting: its dotted name, what stands for the value in the help, a word of help, the default."""

    key: str
    metavar: str
    text: str
    default: str = ""
    short: str = ""


FLAGS: dict[str, Flag] = {
    "--noise": Flag("start.noise", "KIND", "Begin from white, pink, perlin, clouds or grey.", "perlin"),
    "--fit": Flag("start.fit", "HOW", "A picture of another shape: cover, contain or stretch.", "cover"),
    "--size": Flag("film.size", "WxH", "Width and height, pixels.", "640x360"),
    "--fps": Flag("film.fps", "RATE", "Frames a second; 24000/1001 works too.", "24"),
    "--seconds": Flag("film.seconds", "S", "Length, seconds.", "6"),
    "--frames": Flag("film.frames", "N", "Length, frames, in place of --seconds."),
    "--seed": Flag("seed", "N", "Of all randomness: another seed is another world.", "8"),
    "--network": Flag("network.name", "NAME|FILE", "See `dreamreel networks list`; or a Keras model file.", "dreamnet"),
    "--weights": Flag("network.weights", "FILE", "Weights to use in place of the network's own."),
    "--preprocess": Flag(
        "network.preprocess", "HOW", "For a model file: caffe, tf, torch, byte, unit, or a range like -1..1."
    ),
    "--precision": Flag("network.precision", "WHAT", "auto, bfloat16 or float32.", "auto"),
    "--layers": Flag("dream.layers", "A,B:0.5", "What to amplify, with weights; without it the network's own mix."),
    "--objective": Flag("dream.objective", "KIND", "square, mean, guide, style, ...: see docs/objectives.md.", "mean"),
    "--class": Flag("dream.classes", "A,B:0.5", "Classes to dream of, names or numbers, for networks with a head."),
    "--octaves": Flag("dream.octaves", "N", "Scales, from coarse to fine.", "4"),
    "--octave-ratio": Flag("dream.octave_ratio", "R", "From one scale to the next.", "1.4"),
    "--steps": Flag("dream.steps", "N", "Gradient steps per octave and frame.", "1"),
    "--first-steps": Flag("dream.first_steps", "N", "The same, for the first frame.", "12"),
    "--step-size": Flag("dream.step_size", "X", "How far a step goes, part of the full range.", "0.02"),
    "--strength": Flag("dream.strength", "X", "Multiplies the step size; may change over time.", "1"),
    "--jitter": Flag("dream.jitter", "PX", "Largest random shift before a step, pixels.", "16"),
    "--normalise": Flag("dream.normalise", "HOW", "Gradients: laplacian, std, mean, rms or none.", "laplacian"),
    "--smoothing": Flag("dream.smoothing", "PX", "Blur of the gradient, pixels.", "0"),
    "--memory": Flag("dream.memory", "SIZE", "What it may take, like 2GB: large pictures are dreamed in tiles."),
    "--zoom": Flag("camera.zoom", "X", "Factor a second, below 1 moves out; may change over time.", "1.5"),
    "--rotate": Flag("camera.rotate", "DEG", "Degrees a second, anticlockwise.", "0"),
    "--pan-x": Flag("camera.pan_x", "X", "Frame widths a second, to the right.", "0"),
    "--pan-y": Flag("camera.pan_y", "X", "Frame heights a second, down.", "0"),
    "--wander": Flag("camera.wander", "X", "How far the centre drifts, part of the frame.", "0.1"),
    "--edges": Flag("camera.edges", "HOW", "Beyond the frame: mirror, reflect, wrap or clamp.", "mirror"),
    "--governor": Flag("governor.amount", "X", "How firmly tone is held over a long zoom; 0: not at all.", "1"),
    "--start": Flag("video.start", "S", "Second of the video to begin at.", "0"),
    "--end": Flag("video.end", "S", "Second of the video to end at; without it the video's end."),
    "--carry": Flag("carry.mode", "HOW", "The dream from frame to frame: flow, none, blend[-loop|-random].", "flow"),
    "--half-life": Flag("carry.half_life", "S", "Seconds in which half of a carried dream fades.", "1"),
    "--blend": Flag("carry.blend", "X", "Share of the video in a blend.", "0.5"),
    "--flow": Flag("carry.flow", "HOW", "How finely motion is found: rough, fine or finer.", "fine"),
    "--box": Flag("area.box", "L,T,W,H", "Dream inside a box alone; left, top, width, height: parts of the frame."),
    "--threshold": Flag("video.threshold", "X", "For cuts; higher finds fewer.", "3"),
    "--feather": Flag("area.feather", "X", "Softness of the edges of box and mask, frame heights.", "0.03"),
    "--guide": Flag("guide.picture", "FILE", "A picture or video whose features the dream takes up."),
    "--second-guide": Flag("guide.second", "FILE", "Another one, which --guide-mix goes over to."),
    "--guide-mix": Flag("guide.mix", "X", "From the first guide, 0, to the second, 1; over time, like t/T.", "0"),
    "--style": Flag("guide.style", "FILE", "A picture or video whose style the dream takes up."),
    "--codec": Flag("encode.codec", "NAME", "Instead of the usual one for the ending of OUT."),
    "--quality": Flag(
        "encode.quality", "Q", "On the codec's own scale: CRF for h264, h265, av1, vp9, where lower is better."
    ),
}
"""Flag -> the setting it stands for."""

ENCODE_FLAGS = ("--codec", "--quality")
STILL_FLAGS = tuple(
    flag
    for flag in FLAGS
    if FLAGS[flag].key.partition(".")[0] in ("start", "seed", "network", "dream", "area", "guide")
    and flag not in ("--steps", "--first-steps")
)
NOT_OF_ZOOMS = ("video", "carry", "area")
ZOOM_FLAGS = tuple(flag for flag in FLAGS if FLAGS[flag].key.partition(".")[0] not in NOT_OF_ZOOMS)
VIDEO_FLAGS = tuple(flag for flag in FLAGS if FLAGS[flag].key.partition(".")[0] not in ("start", "film"))
ALL_FLAGS = tuple(FLAGS)


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the user gave a command of presets, `--set` and flags; `note` tells what should be known of it."""

    command: str
    presets: Sequence[str]
    sets: Sequence[str]
    flags: Mapping[str, tuple[str, Any]]
    defaults: Mapping[str, Any]
    note: Callable[[str], None]

    def resolve(
        self,
        extra: Mapping[str, tuple[str, Any]] = MappingProxyType({}),
        *,
        below: Sequence[Preset] = (),
        inputs: Mapping[str, Path | None] | None = None,
    ) -> Resolved:
        """Stack all of it into settings.

        Args:
            extra: further flags, dotted name -> flag and value; those whose value is None were not given.
            below: presets under those that were given.
            inputs: where a film is to be made, the files that it is made from, see `presets.resolve`; None for those
                that were not given.

        Raises:
            UsageError, BadInput: something that makes no sense.
        """
        from renderer.settings.presets import resolve

        flags = {**self.flags, **{key: given for key, given in extra.items() if given[1] is not None}}
        resolved = resolve(
            presets=[*below, *self.presets],
            sets=self.sets,
            flags=flags,
            defaults=self.defaults,
            command=self.command,
            inputs=None if inputs is None else [name for name, path in inputs.items() if path is not None],
        )
        for note in resolved.notes:
            self.note(note)
        return resolved


Out = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="The file to write; its ending says the format.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")]
KeepStore = Annotated[bool, typer.Option("--keep-store", help="Keep the lossless frames beside the film.")]
WorkDir = Annotated[
    Path | None, typer.Option("--work-dir", metavar="DIR", help="Where the frames lie meanwhile. [beside OUT]")
]
Restart = Annotated[bool, typer.Option("--restart", help="Throw unfinished work with other settings away.")]
Mask = Annotated[
    Path | None, typer.Option("--mask", metavar="FILE", help="A picture or video: dream where it is bright.")
]
KeepColour = Annotated[
    bool, typer.Option("--keep-colour", help="Dream brightness only; colours stay those of the original.")
]
AllowEnvChange = Annotated[
    bool, typer.Option("--allow-env-change", help="Go on with work begun by other versions or on another machine.")
]
NoSound = Annotated[bool, typer.Option("--no-sound", help="Leave the sound and the subtitles of the video out.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and how long it would take.")]


def command(
    app: typer.Typer,
    *,
    name: str | None = None,
    flags: Sequence[str] = (),
    settings: bool = False,
    defaults: Mapping[str, Any] = MappingProxyType({}),
    planned: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command with the shared options, and end it with a sentence and an exit code whatever happens.

    Args:
        app: the group.
        name: of the command; that of the function if None.
        flags: which of `FLAGS` it takes.
        settings: whether it takes `--preset` and `--set`.
        defaults: dotted name -> what it takes in place of a setting's own default.
        planned: whether it always does what it does with `--dry-run`, which it then lacks.

    The function's first parameter is a `Terminal`; its second, where it takes flags or settings, is `Given`. A
    parameter whose type is a dataclass stands for an option each of its fields.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())
        takes_given = bool(flags or settings)
        shared = _parameters(flags, settings=settings, defaults=defaults)
        kept = own[2 if takes_given else 1 :]
        parameters = [*(option for parameter in kept for option in _unpacked(parameter)), *shared]
        about, fixed = str(function.__doc__), {"dry_run": True} if planned else {}
        if planned:
            parameters = [parameter for parameter in parameters if parameter.name not in fixed]
            first = about.partition("\n")[0]
            about = f"What it would take to {first[0].lower()}{first[1:]}"

        def run(**values: Any) -> None:
            terminal = Terminal(json=values.pop("json"), quiet=values.pop("quiet"), verbose=values.pop("verbose"))
            mine = {parameter.name: _packed(parameter, {**values, **fixed}) for parameter in kept}
            given = Given(
                command=name or function.__name__,
                presets=values.get("preset") or (),
                sets=values.get("set_") or (),
                flags={FLAGS[f].key: (f, values[_name(f)]) for f in flags if values[_name(f)] is not None},
                defaults=defaults,
                note=terminal.note,
            )
            with terminal.guard():
                function(terminal, *([given] if takes_given else []), **mine)

        run.__name__, run.__doc__, run.__module__ = function.__name__, about, function.__module__
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
        )
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name=name)(run)
        return function

    return register


def _unpacked(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    kind = parameter.annotation
    if not is_dataclass(kind):
        return [parameter]
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields(kind)
    ]


def _packed(parameter: inspect.Parameter, values: Mapping[str, Any]) -> Any:
    kind = parameter.annotation
    if not is_dataclass(kind):
        return values[parameter.name]
    return kind(**{f.name: values[f.name] for f in fields(kind)})  # type: ignore[operator]


def _parameters(flags: Sequence[str], *, settings: bool, defaults: Mapping[str, Any]) -> list[inspect.Parameter]:
    made = []
    if settings:
        preset = typer.Option("-p", "--preset", metavar="NAME|FILE", help="A look; several stack, the last wins.")
        made.append(_parameter("preset", list[str] | None, preset, None))
        assign = typer.Option("--set", metavar="KEY=VALUE", help="Any setting by its dotted name, like camera.zoom=2.")
        made.append(_parameter("set_", list[str] | None, assign, None))
    for flag in flags:
        spec = FLAGS[flag]
        own = f"{defaults[spec.key]:g}" if spec.key in defaults else spec.default
        default = f" [{own}]" if own else ""
        option = typer.Option(flag, metavar=spec.metavar, help=spec.text + default)
        made.append(_parameter(_name(flag), str | None, option, None))
    made.append(_parameter("json", bool, typer.Option("--json", help="Results as lines of JSON."), False))
    made.append(_parameter("quiet", bool, typer.Option("-q", "--quiet", help="No progress, no notes."), False))
    made.append(_parameter("verbose", bool, typer.Option("-v", "--verbose", help="Logs, and tracebacks."), False))
    return made


def _parameter(name: str, kind: Any, option: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


def _name(flag: str) -> str:
    name = flag.removeprefix("--").replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) else name
