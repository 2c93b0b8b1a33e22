"""The jobs of a batch, what becomes of them, and who makes them; here: one after another, in this process."""

from __future__ import annotations

import gc
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from renderer.errors import DreamreelError, bug, known_error
from renderer.events import BatchListener, JobStarted, Listener
from renderer.films.film import Film, Result
from renderer.films.local_renderer import FilmRenderer, render_here
from renderer.films.make import make_film
from renderer.films.still import PictureDreamer, dream_here


@dataclass(frozen=True, kw_only=True)
class Job:
    """One film of a batch.

    Attributes:
        id: its name, which no other job of the batch has.
        film: what to make: a film, or a picture.
    """

    id: str
    film: Film


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job.

    Attributes:
        id: of the job.
        result: what was made; None if it failed.
        error: why it failed, with the exit code that belongs to it; `Interrupted` if it was stopped and can go on.
        traceback: where it failed; empty if it did not.
    """

    id: str
    result: Result | None = None
    error: DreamreelError | None = None
    traceback: str = ""


class Executor(ABC):
    """Makes films. A context manager: whatever it started has ended when the block ends."""

    @abstractmethod
    def run(
        self, jobs: Iterable[Job], *, listener: BatchListener, should_stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Outcome]:
        """Make films.

        Args:
            jobs: taken in this order, each when there is somebody to make it. Its iterator is asked again after each
                outcome, also when it had come to an end before, so it may give more jobs because of what it was told.
            listener: is told how they come along.
            should_stop: asked after each frame; True keeps what is there and ends. A job that had begun then has an
                outcome with `Interrupted`, one that had not has none.

        Yields:
            What became of each job, as they end. What stops one job, a bug too, stops no other.
        """

    @abstractmethod
    def close(self) -> None:
        """End what was started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class SerialExecutor(Executor):
    """Makes one film after another in this process; a network that the next film needs too is loaded once."""

    def run(
        self, jobs: Iterable[Job], *, listener: BatchListener, should_stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Outcome]:
        waiting = iter(jobs)
        while not should_stop() and (job := next(waiting, None)) is not None:
            listener(job.id, JobStarted())
            yield make(job, listener=partial(listener, job.id), should_stop=should_stop)
            gc.collect()  # Networks and graphs hold each other; Python would let many films' worth pile up.

    def close(self) -> None:
        """Do nothing: nothing was started."""


def make(
    job: Job,
    *,
    listener: Listener,
    should_stop: Callable[[], bool],
    films: FilmRenderer = render_here,
    stills: PictureDreamer = dream_here,
) -> Outcome:
    """Make the film or picture of a job; whatever goes wrong is in the outcome.

    Args:
        job: what to make.
        listener: is told how it comes along.
        should_stop: see `Executor.run`.
        films: who renders the frames of a film.
        stills: who dreams a picture.
    """
    try:
        result = make_film(job.film, listener=listener, should_stop=should_stop, renderer=films, dreamer=stills)
    except Exception as error:
        return Outcome(id=job.id, error=known_error(error) or bug(error), traceback=traceback.format_exc())
    return Outcome(id=job.id, result=result)
