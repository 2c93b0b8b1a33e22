"""One picture, dreamed: a film of one frame, and a sheet that shows how it came about."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from renderer.errors import EnvironmentProblem, UsageError
from renderer.events import Listener, Stage
from renderer.films.first_frame import fit, hashes_of, own_size
from renderer.films.guides import check_guides, guide_files
from renderer.films.local_renderer import Maker
from renderer.films.masks import Masks
from renderer.films.outputs import check_not_input
from renderer.films.recipe import film_key, write_recipe
from renderer.films.render_setup import Parts, assemble, check_memory
from renderer.frame import Frame, Size
from renderer.media.files import check_output
from renderer.media.images import image_suffix, read_image, write_image
from renderer.media.noise import noise
from renderer.settings.schema import Settings, build, flatten, pixel_key

if TYPE_CHECKING:
    from renderer.dreaming.ascent.dreamer import StepReport

TILES_A_ROW = 6


@dataclass(frozen=True, kw_only=True)
class Still:
    """One picture to dream.

    Attributes:
        settings: all of them; of the film's only the size counts.
        out: the finished picture.
        picture: what it begins with; None for noise.
        mask: a picture whose brightness says how strongly to dream; None for no mask.
        own_size: whether the picture's own size is kept, as `first_frame.own_size` does.
        evolution: where the sheet of steps goes; None for none.
        overwrite: whether `out` and `evolution` may be replaced.
    """

    kind: ClassVar[str] = "still"

    settings: Settings
    out: Path
    picture: Path | None = None
    mask: Path | None = None
    own_size: bool = True
    evolution: Path | None = None
    overwrite: bool = False

    @property
    def inputs(self) -> dict[str, Path]:
        """The files that it is made from, by what they are to it."""
        named = {"picture": self.picture, "mask": self.mask}
        return {name: path for name, path in named.items() if path is not None} | guide_files(self.settings)


@dataclass(frozen=True, kw_only=True)
class StillResult:
    """A finished picture: where, its size, the objective at the end, and how long it took."""

    path: Path
    size: Size
    strength: float
    took: float


@dataclass(frozen=True, kw_only=True)
class Dreamt:
    """A dreamed picture `(H, W, 3)`, the objective at the end, and what it was dreamed with.

    Of its evolution, if that is wanted, there are shots on the way, and the objective at every step of each octave.
    """

    settings: Settings
    picture: Frame
    strength: float
    shots: Sequence[Shot]
    values: Sequence[Sequence[float]]
    maker: Maker


StillDreamer = Callable[[Still, Listener], Dreamt]


def make_still(still: Still, *, listener: Listener, dreamer: StillDreamer | None = None) -> StillResult:
    """Dream one picture.

    Args:
        still: what to make.
        listener: is told how it comes along.
        dreamer: who dreams it; None for this process.

    Raises:
        DreamreelError: whatever a user can mend.
    """
    began = time.monotonic()
    outputs = [path for path in (still.out, still.evolution) if path is not None]
    for path in outputs:
        image_suffix(path)
        check_not_input(path, *still.inputs.values())
        check_output(path, overwrite=still.overwrite)
    if len(outputs) == 2 and outputs[0].resolve() == outputs[1].resolve():
        raise UsageError(f"The picture and its evolution cannot both be written to {still.out}.")
    check_guides(still.settings)
    dreamt = (dreamer or dream_here)(still, listener)
    recipe = _recipe(still, dreamt)
    write_image(dreamt.picture, still.out, recipe=recipe, overwrite=still.overwrite)
    if still.evolution is not None:
        listener(Stage("drawing the sheet"))
        sheet = draw_evolution(dreamt.shots, dreamt.values, title=f"{dreamt.maker.network}, {still.out.name}")
        write_image(sheet, still.evolution, overwrite=still.overwrite)
    took = time.monotonic() - began
    return StillResult(path=still.out, size=Size.of(dreamt.picture), strength=dreamt.strength, took=took)


def dream_here(still: Still, listener: Listener) -> Dreamt:
    """Dream one picture in this process; nothing is written.

    Raises:
        DreamreelError: whatever a user can mend.
    """
    settings, start = _prepare(still)
    where = Masks(settings, still.mask).first()
    listener(Stage("loading TensorFlow and the network"))
    parts = assemble(settings, start, still=True, where=where)
    recorder = Recorder(columns=TILES_A_ROW)
    listener(Stage("dreaming"))
    with contextlib.closing(parts):
        dream, strength = _dream(parts, watch=recorder if still.evolution else None)
    return Dreamt(
        settings=settings,
        picture=dream,
        strength=strength,
        shots=tuple(recorder.shots),
        values=tuple(map(tuple, recorder.values)),
        maker=Maker.of(parts),
    )


@dataclass(frozen=True, kw_only=True)
class Shot:
    """The picture after some steps on an octave: its number from 0, steps so far, and the objective before the last."""

    octave: int
    step: int
    value: float
    picture: Frame


class Recorder:
    """Watches a dream: keeps some pictures on the way, and the objective at every step.

    Args:
        columns: pictures of each octave, evenly over its steps.
    """

    def __init__(self, *, columns: int) -> None:
        self.shots: list[Shot] = []
        self.values: list[list[float]] = []
        self._columns = columns

    def __call__(self, step: StepReport) -> None:
        """Take note of a step."""
        while len(self.values) <= step.octave:
            self.values.append([])
        self.values[step.octave].append(step.value)
        stretches = np.array_split(np.arange(step.steps), min(self._columns, step.steps))
        if step.step - 1 in [int(stretch[-1]) for stretch in stretches]:
            picture = step.picture.copy()
            self.shots.append(Shot(octave=step.octave, step=step.step, value=step.value, picture=picture))


def draw_evolution(shots: Sequence[Shot], values: Sequence[Sequence[float]], *, title: str) -> Any:
    """Lay the shots out as a sheet: uint8 `(H, W, 3)`.

    Args:
        shots: pictures on the way. Each octave is a section of its own, captioned with steps and the objective.
        values: the objective at every step of each octave, drawn as a line at the end of its section.
        title: a line above everything.

    Raises:
        UsageError: there are none.
    """
    from renderer.media.sheets import Section, Tile, chart, sectioned_sheet

    if not shots:
        raise UsageError("There are no steps to show; give --steps of at least 1.")

    last = Size.of(shots[-1].picture)
    scale = min(1.0, 320 / max(last))
    cell = Size(max(1, round(last.width * scale)), max(1, round(last.height * scale)))

    def sections() -> Iterator[Section]:
        for octave in range(shots[-1].octave + 1):
            row = [shot for shot in shots if shot.octave == octave]
            if row:
                tiles: list[Tile] = [(shot.picture, f"step {shot.step}: {shot.value:.4g}") for shot in row]
                run = values[octave]
                tiles.append((chart(values, bright=octave, size=cell), f"{run[0]:.4g} to {run[-1]:.4g}"))
                yield Section(heading=f"octave {octave + 1}", note=str(Size.of(row[0].picture)), tiles=tiles)

    return sectioned_sheet(sections(), columns=TILES_A_ROW + 1, cell=cell, title=title, note="step: what is maximised")


def _prepare(still: Still) -> tuple[Settings, Frame]:
    """Make the first canvas, and settings that name its size."""
    settings = still.settings
    if still.picture is None:
        check_memory(settings, kind="still")
        return settings, noise(settings.start.noise, size=settings.film.size, seed=settings.seed)
    picture = read_image(still.picture)
    size = settings.film.size
    if still.own_size:
        size = own_size(Size.of(picture), settings)
    settings = build({**flatten(settings), "film.size": str(size), "film.frames": 1})
    check_memory(settings, kind="still")
    return settings, fit(picture, size, how=settings.start.fit)


def _dream(parts: Parts, *, watch: Recorder | None) -> tuple[Frame, float]:
    canvas = parts.scene.canvas(0, None)
    assert canvas is not None
    dream, strength = parts.dreamer(
        canvas.picture, frame=0, seconds=0.0, full=canvas.full, where=canvas.where, watch=watch
    )
    if not np.isfinite(strength):
        raise EnvironmentProblem("The network gave a value that is not finite; try --precision float32.")
    return parts.scene.finish(dream), strength


def _recipe(still: Still, dreamt: Dreamt) -> dict[str, Any]:
    maker, settings = dreamt.maker, dreamt.settings
    paths = still.inputs
    hashes = hashes_of(paths)
    inputs = {"kind": still.kind, **hashes, "weights": maker.weights_sha256}
    return write_recipe(
        settings,
        kind=still.kind,
        inputs={name: (path, hashes[name]) for name, path in paths.items()},
        facts={},
        weights_sha256=maker.weights_sha256,
        environment=maker.environment,
        pixel_key=pixel_key(settings, inputs=inputs, environment=maker.environment),
        film_key=film_key(settings, kind=still.kind, inputs=paths),
    )
