"""Units of work: what a worker is given, and what it gives back. All of it is plain data; nothing is known of places.

A unit is a function of its own fields alone: whichever worker performs it, however often, what comes back is the same
to the byte on machines whose `Maker` is the same. Processes and clusters differ only in how units travel.
"""

from __future__ import annotations

import contextlib
import gc
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import renderer.errors
from renderer.errors import DreamreelError, EnvironmentProblem, bug, known_error
from renderer.events import ignore
from renderer.films.film import Film
from renderer.films.local_renderer import Maker
from renderer.films.new_film import FILMS
from renderer.films.still import DreamedPicture, StillFilm, dream_here
from renderer.media.store.segments import Recorder, SegmentBytes
from renderer.settings.schema import FILES, build, files_of, flatten, with_files
from renderer.workers.inputs import Cache, Content, describe

if TYPE_CHECKING:
    from renderer.events import FrameDone
    from renderer.films.render_setup import Parts


@dataclass(frozen=True, kw_only=True)
class Script:
    """What a worker must know of a film to render any part of it.

    Attributes:
        kind: key of `FILMS`.
        settings: by dotted name, as `flatten` gives them.
        inputs: what it is made from, and all other files that its settings name, by what they are to it.
        facts: what was found out about the inputs.
    """

    kind: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Content]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def film(self, places: Mapping[str, Path]) -> Film:
        """Put the film together, given where its inputs are on this machine."""
        own: dict[str, Any] = {name: path for name, path in places.items() if name not in FILES}
        return FILMS[self.kind](settings=with_files(build(self.settings), places), out=Path("film"), **own)


def script_of(film: Film, facts: Mapping[str, Any] | None = None, *, shared: bool) -> Script:
    """Write down what workers must know of a film or a picture.

    Args:
        film: to be rendered.
        facts: what was found out about its inputs.
        shared: whether the workers see the same disk.

    Raises:
        BadInput: an input cannot be read.
    """
    paths = {name: path for name, path in film.inputs.items() if name != "cuts"}  # They are facts by now.
    paths |= files_of(film.settings)
    return Script(
        kind=film.kind,
        settings=flatten(with_files(film.settings, {})),
        inputs={name: describe(path, shared=shared) for name, path in paths.items()},
        facts=dict(facts or {}),
    )


class Unit(Protocol):
    """Work for one worker. `script`: of the film that it belongs to."""

    @property
    def script(self) -> Script: ...

    def perform(self, desk: Desk, *, tell: Tell, should_stop: Callable[[], bool]) -> Any:
        """Do it, and return what it gives."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A worker has dreamed a frame: its number, the objective reached, seconds that it took."""

    index: int
    strength: float
    seconds: float


Tell = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class Opening:
    """Make everything ready to render a film; gives the `Maker`, or the error that rendering would end with."""

    script: Script

    def perform(self, desk: Desk, *, tell: Tell, should_stop: Callable[[], bool]) -> Maker:
        del tell, should_stop
        return Maker.of(desk.open(self.script)[1])


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Render some frames that follow each other.

    Attributes:
        script: of the film.
        maker: what the film is made with; nobody else may render it.
        first: number of the first frame.
        end: number of the frame before which it ends at the latest.
        state: what to go on from, as `SegmentBytes.state` holds it; None at the film's beginning or at a cut.
        seconds: of work, after which it ends with what there is.
    """

    script: Script
    maker: Maker
    first: int
    end: int
    state: bytes | None
    seconds: float

    def perform(self, desk: Desk, *, tell: Tell, should_stop: Callable[[], bool]) -> Stretched:
        film, parts = desk.open(self.script)
        _check_maker(Maker.of(parts), self.maker)
        from renderer.render.recurrence import render

        recorder = Recorder(desk.folder, size=film.settings.film.size, first=self.first, state=self.state)
        until = time.monotonic() + self.seconds

        last: list[Progress] = []

        def report(done: FrameDone) -> None:
            last[:] = [Progress(index=done.index, strength=done.strength, seconds=done.seconds)]
            tell(last[0])

        with contextlib.closing(recorder):
            complete = render(
                parts.scene,
                parts.dreamer,
                recorder,
                governor=parts.governor,
                frames=self.end,
                rate=film.settings.rate,
                report=report,
                should_stop=lambda: should_stop() or time.monotonic() > until,
                start=parts.start,
            )
        return Stretched(
            segments=tuple(recorder.segments),
            ended=complete and recorder.count < self.end,
            last=last[0] if last else None,
            notes=tuple(parts.notes()),
        )


@dataclass(frozen=True, kw_only=True)
class Stretched:
    """Rendered frames.

    Attributes:
        segments: in order; the last one's state is what to go on from.
        ended: whether the source ended before `end`.
        last: what was told of the last frame; None where there is none.
        notes: what the user should know of the source.
    """

    segments: tuple[SegmentBytes, ...]
    ended: bool
    last: Progress | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Dream one picture; gives a `DreamedPicture`, with what is needed for its sheet if `evolution` is set."""

    script: Script
    evolution: bool

    def perform(self, desk: Desk, *, tell: Tell, should_stop: Callable[[], bool]) -> DreamedPicture:
        del tell, should_stop
        still = self.script.film(desk.places(self.script))
        assert isinstance(still, StillFilm)
        return dream_here(replace(still, evolution=Path("sheet") if self.evolution else None), ignore)


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A worker lacks files of some contents: name of an input -> names of files."""

    files: Mapping[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a unit failed, in words that can travel: an exception of a library may not.

    Attributes:
        kind: name of a class in `renderer.errors`.
        message: for the user.
        passing: whether the cause may have gone when it is tried once more.
        traceback: where.
    """

    kind: str
    message: str
    passing: bool = False
    traceback: str = ""

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Put an error into words."""
        known = known_error(error) or bug(error)
        kind = next(base.__name__ for base in type(known).__mro__ if base.__module__ == renderer.errors.__name__)
        return cls(kind=kind, message=str(known), passing=known.passing, traceback=traceback.format_exc())

    def error(self) -> DreamreelError:
        """Return the error to raise."""
        error: DreamreelError = getattr(renderer.errors, self.kind)(self.message)
        error.passing = self.passing
        if self.traceback:
            error.add_note(f"On the worker:\n{self.traceback}")
        return error


Answer = Missing | Failure | Maker | Stretched | DreamedPicture


class LackingError(Exception):
    """Inputs are not on this machine."""

    def __init__(self, missing: Missing) -> None:
        super().__init__("inputs are missing")
        self.missing = missing


class Desk:
    """Where a worker works: its folder, the inputs at hand, and the film that it has open.

    Args:
        folder: for temporary files and for inputs that were sent; made by whoever starts the worker.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache = folder, Cache(folder / "inputs")
        self._opened: tuple[Script, Film, Parts] | None = None

    def perform(self, unit: Unit, *, tell: Tell, should_stop: Callable[[], bool] = lambda: False) -> Answer:
        """Do a unit of work.

        Args:
            unit: what to do.
            tell: is told of every frame.
            should_stop: asked after each frame; True ends a stretch with what there is.

        Returns:
            What it gives, which inputs must be sent first, or why it failed; it never raises an error of the work.
        """
        try:
            answer: Answer = unit.perform(self, tell=tell, should_stop=should_stop)
        except LackingError as error:
            return error.missing
        except Exception as error:
            self.close()  # Whatever state the film is in now.
            failure = Failure.of(error)
            return replace(failure, message=self._as_shown(failure.message, unit.script))
        if isinstance(answer, Stretched):
            return replace(answer, notes=tuple(self._as_shown(note, unit.script) for note in answer.notes))
        return answer

    def open(self, script: Script) -> tuple[Film, Parts]:
        """Open a film, or go on with the one that is open.

        Raises:
            LackingError: its inputs are not here.
            DreamreelError: as `Film.parts`.
        """
        if self._opened is None or self._opened[0] != script:
            self.close()
            film = script.film(self.places(script))
            self._opened = (script, film, film.parts(script.facts))
        return self._opened[1:]

    def places(self, script: Script) -> dict[str, Path]:
        """Return where the inputs of a film are on this machine.

        Raises:
            LackingError: they are not all here.
        """
        found = {name: self.cache.find(content) for name, content in script.inputs.items()}
        lacking = {name: self.cache.missing(script.inputs[name]) for name, path in found.items() if path is None}
        if lacking:
            raise LackingError(Missing(files=lacking))
        return {name: path for name, path in found.items() if path is not None}

    def close(self) -> None:
        """Let go of the film that is open."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[2].close()
            del opened
            gc.collect()  # Networks and graphs hold each other; Python would let many films' worth pile up.

    def _as_shown(self, text: str, script: Script) -> str:
        """Put the names that the user knows in place of those that inputs have here."""
        for content in script.inputs.values():
            path = self.cache.find(content)
            text = text if path is None else text.replace(str(path), content.shown)
        return text


def _check_maker(here: Maker, wanted: Maker) -> None:
    """Refuse to render a part of a film that others began with something else."""
    if here == wanted:
        return
    names = {**wanted.environment, **here.environment}
    changed = [
        f"{name}: {wanted.environment.get(name)} there, {here.environment.get(name)} here"
        for name in names
        if wanted.environment.get(name) != here.environment.get(name)
    ]
    what = "; ".join(changed) or "the network's weights"
    raise EnvironmentProblem(
        f"The workers differ ({what}), so the parts of a film would not fit together. Use workers that are alike."
    )
