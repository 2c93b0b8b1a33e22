"""Run a batch: films in order of priority, each noted in the journal; one that fails stops no other."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from renderer.batch.batch_journal import TOLD, BatchJournal, FilmStatus, now
from renderer.batch.batch_plan import PlannedJob, unplanned
from renderer.batch.jobfile import JobsFile
from renderer.errors import BadInput, DreamreelError, Interrupted
from renderer.events import BatchListener, Event, FrameDone, JobStarted, Note
from renderer.files import file_sha256
from renderer.films.outputs import path_size
from renderer.media.store.store import Store
from renderer.workers.jobs import Executor, Job, Outcome

_LONGEST_ERROR = 20_000

ATTEMPTS = 2
"""How often a film is begun whose causes of failure may pass."""


def run_batch(
    jobs: JobsFile,
    planned: Sequence[PlannedJob],
    journal: BatchJournal,
    *,
    executor: Executor,
    label: str = "serial",
    listener: BatchListener,
    should_stop: Callable[[], bool] = lambda: False,
    fail_fast: bool = False,
) -> Iterator[FilmStatus]:
    """Make the films of a batch that are not made yet.

    Args:
        jobs: the jobs file.
        planned: its films, or some of them.
        journal: is told of everything that lasts.
        executor: makes them.
        label: what the executor is called in the journal.
        listener: is told how they come along.
        should_stop: asked after each frame; True keeps what is there and ends.
        fail_fast: stop at the first failure instead of going on with the others.

    Yields:
        What became of each film: first those that were made before and those that cannot be made, then the others as
        they end. Films that a stop left unbegun are not among them.

    Raises:
        DiskProblem: the journal cannot be written.
    """
    known = {one.status.name: one.status for one in planned}
    # Of films that this run leaves out, more is known from a run before.
    former = {(film.name, film.out, film.kind): film for film in journal.films}
    films = []
    for spec in jobs.specs:
        film = known.get(spec.name) or unplanned(spec)
        films.append(film if spec.name in known else former.get((film.name, film.out, film.kind), film))
    journal.note_plan(jobs.path.absolute(), films)
    journal.append({"kind": "start", "at": now(), "executor": label})
    run = _Run(planned, journal, listener=listener, should_stop=should_stop, fail_fast=fail_fast)
    yield from run.settled()
    with executor:
        for outcome in executor.run(run, listener=run.listen, should_stop=run.should_stop):
            if (status := run.ended(outcome)) is not None:
                yield status
    journal.append({"kind": "end", "at": now()})


@dataclass
class _Attempts:
    """What is known of a film that is tried: how often, and the frames of the last time."""

    planned: PlannedJob
    attempts: int = 0
    frames: int = 0
    strength: float = 0.0  # the sum over the frames
    dreaming: float = 0.0  # seconds, likewise


class _Run(Iterator[Job]):
    """One run: gives the jobs in order, listens to them, and notes what becomes of them."""

    def __init__(
        self,
        planned: Sequence[PlannedJob],
        journal: BatchJournal,
        *,
        listener: BatchListener,
        should_stop: Callable[[], bool],
        fail_fast: bool,
    ) -> None:
        self._planned, self._journal, self._listener = planned, journal, listener
        self._asked_to_stop, self._fail_fast = should_stop, fail_fast
        self._failed = False
        todo = [one for one in planned if one.error is None and one.status.state != "done"]
        self._queue = deque(sorted(todo, key=lambda one: -one.priority))
        self._begun = {one.status.name: _Attempts(one) for one in todo}

    def should_stop(self) -> bool:
        """Say whether to end: somebody asked for it, or a film failed that may not."""
        return self._asked_to_stop() or (self._fail_fast and self._failed)

    def settled(self) -> Iterator[FilmStatus]:
        """Give the films that need no work: made before, or impossible."""
        for one in self._planned:
            if one.error is not None:
                self._failed = True
                yield self._note_failure(one, one.error)
            elif one.status.state == "done":
                yield one.status if one.status.sha256 else self._adopt(one)

    def __next__(self) -> Job:
        if not self._queue:
            raise StopIteration
        one = self._queue.popleft()
        assert one.film is not None
        with contextlib.suppress(OSError):  # What is wrong then is told by the film.
            one.film.out.parent.mkdir(parents=True, exist_ok=True)
        return Job(id=one.status.name, film=one.film)

    def listen(self, job: str | None, event: Event) -> None:
        """Take note of what the batch keeps, and pass on every event."""
        if job is not None:
            begun = self._begun[job]
            if isinstance(event, JobStarted):
                self._note_begun(begun)
            elif isinstance(event, FrameDone):
                begun.frames += 1
                begun.strength += event.strength
                begun.dreaming += event.seconds
        self._listener(job, event)

    def _note_begun(self, begun: _Attempts) -> None:
        begun.attempts += 1
        begun.frames, begun.strength, begun.dreaming = 0, 0.0, 0.0
        self._journal.append({"kind": "begun", **self._name(begun.planned), "at": now()})

    def ended(self, outcome: Outcome) -> FilmStatus | None:
        """Note what became of a film; None if it will be tried once more."""
        begun = self._begun[outcome.id]
        error = outcome.error
        if error is None:
            try:
                return self._note_made(begun, outcome)
            except BadInput as gone:  # Somebody took the file away at once.
                error = gone
        if isinstance(error, Interrupted):
            self._journal.append({"kind": "stopped", **self._name(begun.planned), "at": now()})
            return begun.planned.status.updated(state="stopped", attempts=begun.attempts, error=str(error))
        if error.passing and begun.attempts < ATTEMPTS and not self.should_stop():
            self._note_failure(begun.planned, error, attempts=begun.attempts, again=True)
            self._listener(None, Note(f"{outcome.id}: {error} It will be tried once more, after the others."))
            self._queue.append(begun.planned)
            return None
        self._failed = True
        return self._note_failure(begun.planned, error, attempts=begun.attempts, trace=outcome.traceback)

    def _note_made(self, begun: _Attempts, outcome: Outcome) -> FilmStatus:
        status, result = begun.planned.status, outcome.result
        assert result is not None and status.out is not None
        told: dict[str, Any] = {"size": str(result.size), "took": round(result.took, 3), "at": now()}
        if result.strength is None:
            told |= {"frames": result.frames, "rendered": max(0, result.kept - result.resumed_at)}
            told["strength"] = _finite(begun.strength / begun.frames) if begun.frames else None
            told["dreaming"] = round(begun.dreaming, 3)
        else:
            told |= {"frames": 1, "rendered": 1, "strength": _finite(result.strength), "dreaming": told["took"]}
        return self._note_done(begun.planned, told)

    def _adopt(self, one: PlannedJob) -> FilmStatus:
        """Note a film that is made although the journal did not know it, and clear its work away."""
        film = one.film
        if film is not None and film.has_store and not film.keep_store:
            with contextlib.suppress(DreamreelError):
                old = Store.existing(film.folder)
                Store.open(film.folder, size=old.size, rate=old.rate, pixel_key=old.pixel_key, meta=old.meta).remove()
        return self._note_done(one, {"frames": one.status.frames, "rendered": 0, "at": now()}).updated(earlier=True)

    def _note_done(self, one: PlannedJob, told: dict[str, Any]) -> FilmStatus:
        assert one.status.out is not None and one.film is not None
        told |= {"bytes": path_size(one.status.out), "sha256": file_sha256(one.status.out)}
        work = one.film.folder if one.film.has_store and one.film.keep_store else None
        place = self._journal.place
        self._journal.append({"kind": "done", **self._name(one), **told, "work": place(work)})
        known = {name: told[name] for name in TOLD if name in told}
        done = one.status.updated(**known, state="done")
        return done.updated(frames_done=done.pictures)

    def _note_failure(
        self, one: PlannedJob, error: DreamreelError, *, attempts: int = 0, again: bool = False, trace: str = ""
    ) -> FilmStatus:
        told: dict[str, Any] = {"error": str(error)[:_LONGEST_ERROR], "exit_code": error.exit_code, "at": now()}
        entry = {"kind": "failed", **self._name(one), **told, "again": again}
        self._journal.append(entry | ({"traceback": trace[-8000:]} if error.exit_code == 1 else {}))
        return one.status.updated(**told, state="failed", attempts=attempts)

    def _name(self, one: PlannedJob) -> dict[str, Any]:
        out = self._journal.place(one.status.out)
        return {"name": one.status.name, "out": out, "film_key": one.film_key, "encode_key": one.encode_key}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
