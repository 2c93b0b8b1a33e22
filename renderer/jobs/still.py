"""One picture, dreamed: a film of one frame, and a sheet that shows how it came about."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.errors import EnvironmentProblem, UsageError
from renderer.frame import Frame, Size
from renderer.jobs.film import Listener
from renderer.jobs.outputs import check_not_input
from renderer.jobs.parts import assemble
from renderer.jobs.recipe import write_recipe
from renderer.jobs.rendering import Maker
from renderer.jobs.settings import Settings, build, flatten, pixel_key
from renderer.jobs.start import file_sha256, fit, hashes_of
from renderer.media.files import check_output
from renderer.media.images import image_suffix, read_image, write_image
from renderer.media.source import noise

if TYPE_CHECKING:
    from renderer.dreaming.ascent import Ascent, Climb
    from renderer.dreaming.dreamer import Dreamer

LONGEST_SIDE = 1920
"""A picture whose size nobody chose is brought to this at most, pixels: memory grows with its area."""

TILES_A_ROW = 6


@dataclass(frozen=True, kw_only=True)
class Still:
    """One picture to dream.

    Attributes:
        settings: all of them; of the film's only the size counts.
        out: the finished picture.
        picture: what it begins with; None for noise.
        own_size: whether the picture's own size is kept, up to `LONGEST_SIDE`.
        evolution: where the sheet of steps goes; None for none.
        overwrite: whether `out` and `evolution` may be replaced.
    """

    settings: Settings
    out: Path
    picture: Path | None = None
    own_size: bool = True
    evolution: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class StillResult:
    """A finished picture: where, its size, the objective at the end, and how long it took."""

    path: Path
    size: Size
    strength: float
    took: float


@dataclass(frozen=True, kw_only=True)
class Dreamt:
    """A dreamed picture `(H, W, 3)`, the objective at the end, shots on the way, and what it was dreamed with."""

    settings: Settings
    picture: Frame
    strength: float
    shots: Sequence[Shot]
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
        check_not_input(path, still.picture)
        check_output(path, overwrite=still.overwrite)
    if len(outputs) == 2 and outputs[0].resolve() == outputs[1].resolve():
        raise UsageError(f"The picture and its evolution cannot both be written to {still.out}.")
    dreamt = (dreamer or dream_here)(still, listener)
    recipe = _recipe(still, dreamt)
    write_image(dreamt.picture, still.out, recipe=recipe, overwrite=still.overwrite)
    if still.evolution is not None:
        listener.stage("drawing the sheet")
        sheet = draw_evolution(dreamt.shots, title=f"{dreamt.maker.network}, {still.out.name}")
        write_image(sheet, still.evolution, overwrite=still.overwrite)
    took = time.monotonic() - began
    return StillResult(path=still.out, size=Size.of(dreamt.picture), strength=dreamt.strength, took=took)


def dream_here(still: Still, listener: Listener) -> Dreamt:
    """Dream one picture in this process; nothing is written.

    Raises:
        DreamreelError: whatever a user can mend.
    """
    settings, start = _prepare(still)
    listener.stage("loading TensorFlow and the network")
    parts = assemble(settings, start, still=True)
    recorder = Recorder(parts.dreamer.ascent, columns=TILES_A_ROW if still.evolution else 1)
    parts.dreamer.ascent = recorder  # type: ignore[assignment]
    listener.stage("dreaming")
    dream, strength = _dream(parts.dreamer, start)
    return Dreamt(
        settings=settings, picture=dream, strength=strength, shots=recorder.shots, maker=Maker.of(parts.network)
    )


@dataclass(frozen=True, kw_only=True)
class Shot:
    """The picture after some steps on an octave: its number from 0, steps so far, and the objective before the last."""

    octave: int
    step: int
    value: float
    picture: Frame


class Recorder:
    """Stands in for an `Ascent` and climbs in a few stretches, so that pictures between the steps can be kept.

    The steps and their result are the same: each step depends on nothing but the picture, its shift and its size.
    """

    def __init__(self, ascent: Ascent, *, columns: int) -> None:
        self.shots: list[Shot] = []
        self.channels = ascent.channels
        self._ascent, self._columns = ascent, columns
        self._octave = -1

    def climb(self, picture: Frame, *, shifts: Any, sizes: Any, **maps: Any) -> Climb:
        """Climb as `Ascent.climb` does."""
        if self._columns == 1:
            return self._ascent.climb(picture, shifts=shifts, sizes=sizes, **maps)
        self._octave += 1
        values: list[Any] = []
        stretches = np.array_split(np.arange(len(shifts)), min(self._columns, max(1, len(shifts))))
        for stretch in stretches:
            climbed = self._ascent.climb(picture, shifts=shifts[stretch], sizes=sizes[stretch], **maps)
            picture = climbed.picture
            values.extend(climbed.values)
            if len(stretch):
                self.shots.append(
                    Shot(octave=self._octave, step=int(stretch[-1]) + 1, value=float(values[-1]), picture=picture)
                )
        return type(climbed)(picture=picture, values=np.array(values, np.float32))


def draw_evolution(shots: Sequence[Shot], *, title: str) -> Any:
    """Lay the shots out as a sheet, one section an octave, captioned with step and objective: uint8 `(H, W, 3)`.

    Raises:
        UsageError: there are none.
    """
    from renderer.media.sheets import Section, sectioned_sheet

    if not shots:
        raise UsageError("There are no steps to show; give --steps of at least 1.")

    def sections() -> Iterator[Section]:
        for octave in range(shots[-1].octave + 1):
            row = [shot for shot in shots if shot.octave == octave]
            if row:
                tiles = [(shot.picture, f"step {shot.step}: {shot.value:.4g}") for shot in row]
                yield Section(heading=f"octave {octave + 1}", note=str(Size.of(row[0].picture)), tiles=tiles)

    last = Size.of(shots[-1].picture)
    scale = min(1.0, 320 / max(last))
    cell = Size(max(1, round(last.width * scale)), max(1, round(last.height * scale)))
    return sectioned_sheet(sections(), columns=TILES_A_ROW, cell=cell, title=title, note="step: what is maximised")


def _prepare(still: Still) -> tuple[Settings, Frame]:
    """Make the first canvas, and settings that name its size."""
    settings = still.settings
    if still.picture is None:
        return settings, noise(settings.start.noise, size=settings.film.size, seed=settings.seed)
    picture = read_image(still.picture)
    size = settings.film.size
    if still.own_size:
        found = Size.of(picture)
        scale = min(1.0, LONGEST_SIDE / max(found))
        size = Size(max(1, round(found.width * scale)), max(1, round(found.height * scale)))
    settings = build({**flatten(settings), "film.size": str(size), "film.frames": 1})
    return settings, fit(picture, size, how=settings.start.fit)


def _dream(dreamer: Dreamer, start: Frame) -> tuple[Frame, float]:
    dream, strength = dreamer(start, frame=0, seconds=0.0)
    if not np.isfinite(strength):
        raise EnvironmentProblem("The network gave a value that is not finite; try --precision float32.")
    return dream, strength


def _recipe(still: Still, dreamt: Dreamt) -> dict[str, Any]:
    maker, settings = dreamt.maker, dreamt.settings
    paths = {} if still.picture is None else {"picture": still.picture}
    hashes = hashes_of(paths)
    inputs = {"kind": "still", **hashes, "weights": maker.weights_sha256}
    own = settings.network.weights
    return write_recipe(
        settings,
        kind="still",
        inputs={name: (path, hashes[name]) for name, path in paths.items()},
        facts={},
        weights_sha256=maker.weights_sha256,
        environment=maker.environment,
        pixel_key=pixel_key(settings, inputs=inputs, environment=maker.environment),
        film_key=pixel_key(settings, inputs={**inputs, "weights": own and file_sha256(own)}, environment={}),
    )
