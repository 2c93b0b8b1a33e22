"""One picture, dreamed: a film of one frame, and a sheet that shows how it came about."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from renderer.errors import EnvironmentProblem, UsageError
from renderer.events import Listener, Stage
from renderer.films.film import Film
from renderer.films.first_frame import Masks, first_canvas, own_size
from renderer.films.guides import open_guides
from renderer.films.local_renderer import Environment
from renderer.films.render_setup import RenderSetup, governor_of, open_dreamer
from renderer.frame import Frame, Size
from renderer.media.images import image_size
from renderer.settings.presets import Resolved
from renderer.settings.schema import Kept, Settings, build, flatten

if TYPE_CHECKING:
    from renderer.dreaming.ascent.dreamer import StepReport

TILES_A_ROW = 6


@dataclass(frozen=True, kw_only=True)
class StillFilm(Film):
    """One picture to dream: a film of one frame, which needs no work folder.

    Attributes:
        picture: what it begins with; None for noise.
        mask: a picture whose brightness says how strongly to dream; None for no mask.
        evolution: where the sheet of steps goes; None for none.
    """

    kind: ClassVar[str] = "still"
    has_store: ClassVar[bool] = False

    picture: Path | None = None
    mask: Path | None = None
    evolution: Path | None = None

    @classmethod
    def settings_for(cls, resolved: Resolved, *, sized: bool, inputs: Mapping[str, Path]) -> Settings:
        """Return settings in which the size is the picture's, as `own_size` has it, where nobody chose it."""
        settings = resolved.settings
        if "picture" not in inputs:
            return settings
        size = settings.film.size if sized else own_size(image_size(inputs["picture"]), settings)
        return build({**flatten(settings), "film.size": str(size), "film.frames": 1}, origins=resolved.places)

    @property
    def frames(self) -> int:
        """One."""
        return 1

    @property
    def kept(self) -> Kept:
        """One picture."""
        return Kept(self.settings.rate, 1)

    def render_setup(self, facts: Mapping[str, Any]) -> RenderSetup:
        """Build what dreams it."""
        del facts
        settings = self.settings
        start, where = first_canvas(settings, self.picture), Masks(settings, self.mask).first()
        guides = open_guides(settings)
        network, dreamer = open_dreamer(settings, kind=self.kind, pictures=guides.pictures)
        from renderer.render.scenes import StillScene

        return RenderSetup(
            network=network,
            scene=StillScene(start, where=where, keep_colour=settings.area.keep_colour),
            dreamer=dreamer,
            governor=governor_of(settings, start, kind=self.kind),
            guides=guides,
        )


@dataclass(frozen=True, kw_only=True)
class DreamedPicture:
    """A dreamed picture `(H, W, 3)`, the objective at the end, and what it was dreamed with.

    Of its evolution, if that is wanted, there are pictures on the way, and the objective at every step of each octave.
    """

    picture: Frame
    strength: float
    snapshots: Sequence[Snapshot]
    values: Sequence[Sequence[float]]
    environment: Environment


PictureDreamer = Callable[[StillFilm, Listener], DreamedPicture]
"""Dreams one picture; nothing is written."""


def dream_here(still: StillFilm, listener: Listener) -> DreamedPicture:
    """Dream one picture in this process.

    Raises:
        DreamreelError: whatever a user can mend.
    """
    listener(Stage("loading TensorFlow and the network"))
    setup = still.render_setup({})
    recorder = StepRecorder(columns=TILES_A_ROW)
    listener(Stage("dreaming"))
    with contextlib.closing(setup):
        canvas = setup.scene.canvas(0, None)
        assert canvas is not None
        watch = recorder if still.evolution else None
        dream, strength = setup.dreamer(
            canvas.picture, frame=0, seconds=0.0, full=canvas.full, where=canvas.where, watch=watch
        )
        if not np.isfinite(strength):
            raise EnvironmentProblem("The network gave a value that is not finite; try --precision float32.")
        return DreamedPicture(
            picture=setup.scene.finish(dream),
            strength=strength,
            snapshots=tuple(recorder.snapshots),
            values=tuple(map(tuple, recorder.values)),
            environment=Environment.of(setup),
        )


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The picture after some steps on an octave: its number from 0, steps so far, and the objective before the last."""

    octave: int
    step: int
    value: float
    picture: Frame


class StepRecorder:
    """Watches a dream: keeps some pictures on the way, and the objective at every step.

    Args:
        columns: pictures of each octave, evenly over its steps.
    """

    def __init__(self, *, columns: int) -> None:
        self.snapshots: list[Snapshot] = []
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
            self.snapshots.append(Snapshot(octave=step.octave, step=step.step, value=step.value, picture=picture))


def draw_evolution(snapshots: Sequence[Snapshot], values: Sequence[Sequence[float]], *, title: str) -> Any:
    """Lay the snapshots out as a sheet: uint8 `(H, W, 3)`.

    Args:
        snapshots: pictures on the way. Each octave is a section of its own, captioned with steps and the objective.
        values: the objective at every step of each octave, drawn as a line at the end of its section.
        title: a line above everything.

    Raises:
        UsageError: there are none.
    """
    from renderer.media.sheets import Section, Tile, chart, contact_sheet

    if not snapshots:
        raise UsageError("There are no steps to show; give --steps of at least 1.")

    last = Size.of(snapshots[-1].picture)
    scale = min(1.0, 320 / max(last))
    cell = Size(max(1, round(last.width * scale)), max(1, round(last.height * scale)))

    def sections() -> Iterator[Section]:
        for octave in range(snapshots[-1].octave + 1):
            row = [snapshot for snapshot in snapshots if snapshot.octave == octave]
            if row:
                tiles: list[Tile] = [
                    (snapshot.picture, f"step {snapshot.step}: {snapshot.value:.4g}") for snapshot in row
                ]
                run = values[octave]
                tiles.append((chart(values, bright=octave, size=cell), f"{run[0]:.4g} to {run[-1]:.4g}"))
                yield Section(heading=f"octave {octave + 1}", note=str(Size.of(row[0].picture)), tiles=tiles)

    return contact_sheet(sections(), columns=TILES_A_ROW + 1, cell=cell, title=title, note="step: what is maximised")
