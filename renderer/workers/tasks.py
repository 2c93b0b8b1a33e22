"""What workers are asked to do, what they answer, and who does it there. Work and answers are plain data.

Work is a function of its own fields alone: whichever worker does it, however often, what comes back is the same to the
byte where `Environment` is the same. Processes and clusters differ only in how work travels.
"""

from __future__ import annotations

import contextlib
import gc
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import renderer.errors
from renderer.errors import DreamreelError, EnvironmentProblem, bug, known_error
from renderer.events import FrameDone, ignore
from renderer.films.film import Film
from renderer.films.local_renderer import Environment
from renderer.films.new_film import FILMS
from renderer.films.still import DreamedPicture, StillFilm, dream_here
from renderer.media.store.segments import Recorder, SegmentBytes
from renderer.settings.schema import FILES, build, files_of, flatten, with_files
from renderer.workers import inputs
from renderer.workers.inputs import InputFile

if TYPE_CHECKING:
    from renderer.films.render_setup import RenderSetup


# --- Work ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class FilmSpec:
    """What a worker must know of a film to render any part of it.

    Attributes:
        kind: key of `FILMS`.
        settings: by dotted name, as `flatten` gives them.
        inputs: what it is made from, and all other files that its settings name, by what they are to it.
        facts: what was found out about the inputs.
    """

    kind: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, InputFile]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def film(self, places: Mapping[str, Path]) -> Film:
        """Put the film together, given where its inputs are on this machine."""
        own: dict[str, Any] = {name: path for name, path in places.items() if name not in FILES}
        return FILMS[self.kind](settings=with_files(build(self.settings), places), out=Path("film"), **own)


def film_spec(film: Film, facts: Mapping[str, Any] | None = None, *, shared: bool) -> FilmSpec:
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
    return FilmSpec(
        kind=film.kind,
        settings=flatten(with_files(film.settings, {})),
        inputs={name: inputs.describe(path, shared=shared) for name, path in paths.items()},
        facts=dict(facts or {}),
    )


@dataclass(frozen=True, kw_only=True)
class OpenFilm:
    """Make everything ready to render a film; gives the `Environment`, or the error that rendering would end with."""

    spec: FilmSpec


@dataclass(frozen=True, kw_only=True)
class FrameRange:
    """Render some frames that follow each other; gives `RenderedFrames`.

    Attributes:
        spec: of the film.
        environment: what the film is made with; nobody else may render it.
        first: number of the first frame.
        end: number of the frame before which it ends at the latest.
        state: what to go on from, as `SegmentBytes.state` holds it; None at the film's beginning or at a cut.
        seconds: of work, after which it ends with what there is.
    """

    spec: FilmSpec
    environment: Environment
    first: int
    end: int
    state: bytes | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class DreamPicture:
    """Dream one picture; gives a `DreamedPicture`, with what is needed for its sheet if `evolution` is set."""

    spec: FilmSpec
    evolution: bool


Work = OpenFilm | FrameRange | DreamPicture


# --- Answers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RenderedFrames:
    """Rendered frames.

    Attributes:
        segments: in order; the last one's state is what to go on from.
        ended: whether the source ended before `FrameRange.end`.
        last: the last frame; None where there is none.
        notes: what the user should know of the source.
    """

    segments: tuple[SegmentBytes, ...]
    ended: bool
    last: FrameDone | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A worker lacks files of some inputs: name of an input -> names of files."""

    files: Mapping[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why work failed, in words that can travel: an exception of a library may not.

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


Answer = Missing | Failure | Environment | RenderedFrames | DreamedPicture


# --- On the worker ---------------------------------------------------------------------------------------------------


class TaskRunner:
    """Does the work of one client on a worker: keeps its inputs, and the film that is open.

    Args:
        folder: for temporary files and for inputs that were sent; made by whoever starts the worker.

    Attributes:
        inputs: the folder of the inputs that were sent.
        token: no two runners have the same.
        stopped: numbers of tasks that are to end at their next frame.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.inputs = folder, folder / "inputs"
        self.token = uuid.uuid4().hex
        self.stopped: set[int] = set()
        self._left = False
        self._opened: tuple[FilmSpec, Film, RenderSetup] | None = None

    def perform(self, work: Work, *, number: int = 0, report: Callable[[FrameDone], None] = ignore) -> Answer:
        """Do some work.

        Args:
            work: what to do.
            number: of the task, to stop it by.
            report: is told of every frame.

        Returns:
            What it gives, which inputs must be sent first, or why it failed; it never raises an error of the work.
        """
        try:
            return self._perform(work, lambda: self._left or number in self.stopped, report)
        except Exception as error:
            self.close()  # Whatever state the film is in now.
            failure = Failure.of(error)
            return replace(failure, message=self._as_shown(failure.message, work.spec))
        finally:
            if self._left:
                self.close()

    def _perform(self, work: Work, should_stop: Callable[[], bool], report: Callable[[FrameDone], None]) -> Answer:
        spec = work.spec
        if isinstance(work, DreamPicture):
            places = self._places(spec)
            return places if isinstance(places, Missing) else _dream_picture(work, places)
        if self._opened is None or self._opened[0] != spec:
            self.close()
            places = self._places(spec)
            if isinstance(places, Missing):
                return places
            film = spec.film(places)
            self._opened = (spec, film, film.render_setup(spec.facts))
        _, film, setup = self._opened
        here = Environment.of(setup)
        if not isinstance(work, FrameRange):
            return here
        _check_environment(here, work.environment)
        rendered = _render(work, film, setup, self.folder, should_stop, report)
        return replace(rendered, notes=tuple(self._as_shown(note, spec) for note in rendered.notes))

    def _places(self, spec: FilmSpec) -> dict[str, Path] | Missing:
        """Return where the inputs of a film are on this machine, or what is not here."""
        found = {name: inputs.find(file, self.inputs) for name, file in spec.inputs.items()}
        lacking = {n: inputs.missing(spec.inputs[n], self.inputs) for n, path in found.items() if path is None}
        return Missing(files=lacking) if lacking else {n: path for n, path in found.items() if path is not None}

    def leave(self) -> None:
        """End what is at work at its next frame; nobody waits for it any more."""
        self._left = True

    def close(self) -> None:
        """Let go of the film that is open."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[2].close()
            del opened
            gc.collect()  # Networks and graphs hold each other; Python would let many films' worth pile up.

    def _as_shown(self, text: str, spec: FilmSpec) -> str:
        """Put the names that the user knows in place of those that inputs have here."""
        for file in spec.inputs.values():
            path = inputs.find(file, self.inputs)
            text = text if path is None else text.replace(str(path), file.shown)
        return text


def _render(
    work: FrameRange,
    film: Film,
    setup: RenderSetup,
    folder: Path,
    should_stop: Callable[[], bool],
    report: Callable[[FrameDone], None],
) -> RenderedFrames:
    from renderer.render.recurrence import render

    recorder = Recorder(folder, size=film.settings.film.size, first=work.first, state=work.state)
    until = time.monotonic() + work.seconds
    last: list[FrameDone] = []

    def report_and_keep(frame: FrameDone) -> None:
        last[:] = [frame]
        report(frame)

    with contextlib.closing(recorder):
        complete = render(
            setup.scene,
            setup.dreamer,
            recorder,
            governor=setup.governor,
            frames=work.end,
            rate=film.kept.rate,
            report=report_and_keep,
            should_stop=lambda: should_stop() or time.monotonic() > until,
            start=setup.start,
            size=film.settings.dreamed_at(film.kind),
            detail=setup.detail,
        )
    return RenderedFrames(
        segments=tuple(recorder.segments),
        ended=complete and recorder.count < work.end,
        last=last[0] if last else None,
        notes=tuple(setup.notes()),
    )


def _dream_picture(work: DreamPicture, places: Mapping[str, Path]) -> DreamedPicture:
    still = work.spec.film(places)
    assert isinstance(still, StillFilm)
    return dream_here(replace(still, evolution=Path("sheet") if work.evolution else None), ignore)


def _check_environment(here: Environment, wanted: Environment) -> None:
    """Refuse to render a part of a film that others began with something else."""
    if here == wanted:
        return
    names = {**wanted.details, **here.details}
    changed = [
        f"{name}: {wanted.details.get(name)} there, {here.details.get(name)} here"
        for name in names
        if wanted.details.get(name) != here.details.get(name)
    ]
    what = "; ".join(changed) or "the network's weights"
    raise EnvironmentProblem(
        f"The workers differ ({what}), so the parts of a film would not fit together. Use workers that are alike."
    )
