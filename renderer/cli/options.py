"""The flags that many commands share, written once: each stands for one setting, and is checked where settings are.

Values are passed on as text; `renderer.settings.schema` reads them, so that a flag, `--set` and a preset take the same
forms and give the same errors. What a flag means, its choices and its default are the setting's own; they are looked up
when the help of a command is printed, since nothing else may wait for the settings to load.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, get_type_hints

import typer
from typer.core import TyperCommand

from renderer.cli.show.terminal import Terminal

if TYPE_CHECKING:
    from renderer.settings.presets import Preset, Resolved


class Flag(NamedTuple):
    """A flag for a setting: its dotted name, and what stands for the value in the help."""

    key: str
    metavar: str


FLAGS: dict[str, Flag] = {
    "--noise": Flag("start.noise", "KIND"),
    "--fit": Flag("start.fit", "HOW"),
    "--size": Flag("film.size", "WxH"),
    "--fps": Flag("film.fps", "RATE"),
    "--dreams": Flag("film.dreams", "RATE"),
    "--seconds": Flag("film.seconds", "S"),
    "--frames": Flag("film.frames", "N"),
    "--seed": Flag("seed", "N"),
    "--network": Flag("network.name", "NAME|FILE"),
    "--weights": Flag("network.weights", "FILE"),
    "--preprocess": Flag("network.preprocess", "HOW"),
    "--precision": Flag("network.precision", "WHAT"),
    "--layers": Flag("dream.layers", "A,B:0.5"),
    "--objective": Flag("dream.objective", "KIND"),
    "--of": Flag("dream.of", "A,B:0.5"),
    "--octaves": Flag("dream.octaves", "N"),
    "--octave-ratio": Flag("dream.octave_ratio", "R"),
    "--steps": Flag("dream.steps", "N"),
    "--first-steps": Flag("dream.first_steps", "N"),
    "--step-size": Flag("dream.step_size", "X"),
    "--strength": Flag("dream.strength", "X"),
    "--jitter": Flag("dream.jitter", "PX"),
    "--normalise": Flag("dream.normalise", "HOW"),
    "--smoothing": Flag("dream.smoothing", "PX"),
    "--memory": Flag("dream.memory", "SIZE"),
    "--zoom": Flag("camera.zoom", "X"),
    "--rotate": Flag("camera.rotate", "DEG"),
    "--pan-x": Flag("camera.pan_x", "X"),
    "--pan-y": Flag("camera.pan_y", "X"),
    "--wander": Flag("camera.wander", "X"),
    "--edges": Flag("camera.edges", "HOW"),
    "--governor": Flag("governor.amount", "X"),
    "--start": Flag("video.start", "S"),
    "--end": Flag("video.end", "S"),
    "--carry": Flag("carry.mode", "HOW"),
    "--half-life": Flag("carry.half_life", "S"),
    "--blend": Flag("carry.blend", "X"),
    "--flow": Flag("carry.flow", "HOW"),
    "--box": Flag("area.box", "L,T,W,H"),
    "--threshold": Flag("video.threshold", "X"),
    "--feather": Flag("area.feather", "X"),
    "--guide": Flag("guide.picture", "FILE"),
    "--second-guide": Flag("guide.second", "FILE"),
    "--guide-mix": Flag("guide.mix", "X"),
    "--style": Flag("guide.style", "FILE"),
    "--shutter": Flag("encode.shutter", "DEG"),
    "--codec": Flag("encode.codec", "NAME"),
    "--quality": Flag("encode.quality", "Q"),
}
"""Flag -> the setting it stands for, which says what it means."""

OLD_FLAGS = {"--of": ("--class", "dream.classes")}
"""Flag -> what it was called, and its setting then; taken with a note, and not in the help."""


def _flags_of(*groups: str, without: Sequence[str] = ()) -> dict[str, Flag]:
    """Return the flags whose settings are in some groups."""
    return {name: flag for name, flag in FLAGS.items() if flag.key.partition(".")[0] in groups and name not in without}


_DREAMED = ("seed", "network", "dream", "guide")
STILL_FLAGS = _flags_of(*_DREAMED, "start", "area", without=("--steps", "--first-steps"))
ZOOM_FLAGS = _flags_of(*_DREAMED, "film", "start", "camera", "governor", "encode")
_OF_VIDEOS = ("camera", "governor", "video", "carry", "area", "encode")
VIDEO_FLAGS = {**_flags_of(*_DREAMED, *_OF_VIDEOS, without=("--shutter",)), "--dreams": FLAGS["--dreams"]}
ENCODE_FLAGS = {
    "--fps": Flag("encode.fps", "RATE"),
    "--speed": Flag("encode.speed", "X"),
    "--size": Flag("encode.size", "WxH"),
    "--fit": Flag("encode.fit", "HOW"),
    **_flags_of("encode"),
}
"""A film that is there has its size and rate: what is asked for is how it is shown."""


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
Preview = Annotated[
    bool,
    typer.Option(
        "--preview", help="Make it small, with few dreams a second, as NAME.preview.mp4: the same film, sooner."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and how long it would take.")]


@dataclass(frozen=True, kw_only=True)
class Making:
    """How a film is made: the flags of `films.film.RunOptions`."""

    overwrite: Overwrite = False
    keep_store: KeepStore = False
    work_dir: WorkDir = None
    restart: Restart = False
    allow_env_change: AllowEnvChange = False

    def options(self) -> dict[str, Any]:
        """Return them as attributes of a `Film`."""
        return asdict(self)


class SettingsCommand(TyperCommand):
    """A command that says of the flags for settings what the settings say, once its help is printed."""

    flags: ClassVar[Mapping[str, Flag]] = MappingProxyType({})
    defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write the help."""
        if self.flags:
            from renderer.settings.reference import flag_help

            for parameter in self.params:
                if (flag := parameter.opts[0]) in self.flags:
                    parameter.help = flag_help(self.flags[flag].key, self.defaults)  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def command(
    app: typer.Typer,
    *,
    name: str | None = None,
    flags: Mapping[str, Flag] = MappingProxyType({}),
    settings: bool = False,
    defaults: Mapping[str, Any] = MappingProxyType({}),
    planned: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command with the shared options, and end it with a sentence and an exit code whatever happens.

    Args:
        app: the group.
        name: of the command; that of the function if None.
        flags: for settings that it takes, usually some of `FLAGS`.
        settings: whether it takes `--preset` and `--set`.
        defaults: dotted name -> what it takes in place of a setting's own default.
        planned: whether it always does what it does with `--dry-run`, which it then lacks.

    The function's first parameter is a `Terminal`; its second, where it takes flags or settings, is `Given`. A
    parameter whose type is a dataclass stands for an option each of its fields.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())
        takes_given = bool(flags or settings)
        shared = _parameters(flags, settings=settings)
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
                flags={key: (f, values[_name(f)]) for f, key in _keys(flags).items() if values[_name(f)] is not None},
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
        shown = type("Command", (SettingsCommand,), {"flags": flags, "defaults": defaults})
        app.command(name=name, cls=shown)(run)
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


def _parameters(flags: Mapping[str, Flag], *, settings: bool) -> list[inspect.Parameter]:
    made = []
    if settings:
        preset = typer.Option("-p", "--preset", metavar="NAME|FILE", help="A look; several stack, the last wins.")
        made.append(_parameter("preset", list[str] | None, preset, None))
        assign = typer.Option("--set", metavar="KEY=VALUE", help="Any setting by its dotted name, like camera.zoom=2.")
        made.append(_parameter("set_", list[str] | None, assign, None))
    for name, flag in flags.items():
        option = typer.Option(name, metavar=flag.metavar, help=f"Setting {flag.key}.")
        made.append(_parameter(_name(name), str | None, option, None))
    old = [flag for flag in _keys(flags) if flag not in flags]
    made += [_parameter(_name(f), str | None, typer.Option(f, help="An old name.", hidden=True), None) for f in old]
    made.append(_parameter("json", bool, typer.Option("--json", help="Results as lines of JSON."), False))
    made.append(_parameter("quiet", bool, typer.Option("-q", "--quiet", help="No progress, no notes."), False))
    made.append(_parameter("verbose", bool, typer.Option("-v", "--verbose", help="Logs, and tracebacks."), False))
    return made


def _keys(flags: Mapping[str, Flag]) -> dict[str, str]:
    """Name the settings of flags, and of what these were called."""
    return {name: flag.key for name, flag in flags.items()} | dict(
        OLD_FLAGS[name] for name in flags if name in OLD_FLAGS
    )


def _parameter(name: str, kind: Any, option: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


def _name(flag: str) -> str:
    name = flag.removeprefix("--").replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) else name
