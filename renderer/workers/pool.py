"""An executor with a crew of workers: films at work side by side, each in a thread that orders, keeps and encodes.

The threads do what costs little (cuts, joining, encoding by a child process), the workers dream.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from renderer.errors import Interrupted
from renderer.events import BatchListener, Event, FrameDone, JobStarted, Listener, Note
from renderer.workers.distributed import Post
from renderer.workers.jobs import Job, Outcome, make
from renderer.workers.scheduler import Crew

_TICK = 0.2
_PATIENCE = 10.0  # Seconds in which a thread that is to end at once comes past a place where it can.


class Staff(Protocol):
    """Workers, wherever they are.

    Attributes:
        crew: that they belong to.
        workers: how many there are, or will be.
        shared: whether they see the same disk.
    """

    @property
    def crew(self) -> Crew: ...
    @property
    def workers(self) -> int: ...
    @property
    def shared(self) -> bool: ...

    def start(self) -> None:
        """Find or start the workers.

        Raises:
            EnvironmentProblem: there are none.
        """

    def close(self) -> None:
        """End what was started."""


class Staffed:
    """Makes films with the help of workers; an `Executor`.

    Args:
        staff: the workers; started by the first `run`, ended with the block.
    """

    def __init__(self, staff: Staff) -> None:
        self.staff = staff
        self._calls: queue.SimpleQueue[Callable[[], Outcome | None]] = queue.SimpleQueue()
        self._stopping, self._abandoned = threading.Event(), threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self._begun = 0

    def run(
        self, jobs: Iterable[Job], *, listener: BatchListener, should_stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Outcome]:
        waiting, ask = iter(jobs), True
        # New ones for each run: a thread of an abandoned one may still hold the old.
        calls = self._calls = queue.SimpleQueue()
        self._stopping, self._abandoned = threading.Event(), threading.Event()
        self.staff.crew.note = lambda text: calls.put(lambda: listener(None, Note(text)))
        self.staff.start()
        try:
            while True:
                if should_stop():
                    self._stopping.set()
                # One more than there are workers: while a film is encoded, none of them waits.
                while ask and len(self._threads) <= self.staff.workers and not self._stopping.is_set():
                    job = next(waiting, None)
                    ask = job is not None
                    if job is not None:
                        listener(job.id, JobStarted())
                        self._begin(job, partial(listener, job.id))
                if not self._threads:
                    return
                outcome = self._take()
                if outcome is not None:
                    ask = True
                    yield outcome
        finally:
            self._abandon()

    def _begin(self, job: Job, listener: Listener) -> None:
        post = Post(
            crew=self.staff.crew,
            number=self._begun,
            shared=self.staff.shared,
            should_stop=self._stopping.is_set,
            abandoned=self._abandoned.is_set,
        )
        self._begun += 1
        calls, abandoned = self._calls, self._abandoned

        def relay(event: Event) -> None:
            # Frames are told of from a worker's thread, which must not end here.
            if abandoned.is_set() and not isinstance(event, FrameDone):
                raise Interrupted("Stopped at once; the same command goes on from the last checkpoint.")
            calls.put(lambda: listener(event))

        def work() -> None:
            outcome = make(job, listener=relay, should_stop=post.should_stop, films=post.film, stills=post.still)
            calls.put(lambda: outcome)

        self._threads[job.id] = threading.Thread(target=work, name=f"job {job.id}", daemon=True)
        self._threads[job.id].start()

    def _take(self) -> Outcome | None:
        """Do one call that a thread left for this one; return the outcome of a job that has ended."""
        try:
            outcome = self._calls.get(timeout=_TICK)()
        except queue.Empty:
            return None
        if outcome is not None:
            self._threads.pop(outcome.id).join()
        return outcome

    def _abandon(self) -> None:
        """End the threads at once, wherever they are; there are none after a run that came to its end."""
        if not self._threads:
            return
        self._abandoned.set()
        self._stopping.set()
        for thread in self._threads.values():
            thread.join(_PATIENCE / len(self._threads))
        self._threads.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.staff.close()
