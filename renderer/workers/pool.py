"""An executor with a pool of workers: films at work side by side, each in a thread that orders, keeps and encodes.

The threads do what costs little (cuts, joining, encoding by a child process), the workers dream.
"""

from __future__ import annotations

import queue
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar

from renderer.errors import Interrupted
from renderer.events import BatchListener, Event, JobStarted, Note
from renderer.workers.distributed_renderer import JobClient
from renderer.workers.jobs import Executor, Job, Outcome, make
from renderer.workers.scheduler import Scheduler

_TICK = 0.2
_PATIENCE = 10.0  # Seconds in which a thread that is to end at once comes past a place where it can.


class PoolExecutor(Executor):
    """Makes films with the help of workers; what kind of workers is for derived classes.

    Attributes:
        shared: whether the workers see the same disk.
        scheduler: that hands them their tasks.
    """

    shared: ClassVar[bool]

    def __init__(self) -> None:
        self.scheduler = Scheduler()
        self._threads: dict[str, threading.Thread] = {}
        self._jobs = 0

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many workers there are, or will be."""

    @abstractmethod
    def start(self) -> None:
        """Find or start the workers, if that was not done before.

        Raises:
            EnvironmentProblem: there are none.
        """

    def run(
        self, jobs: Iterable[Job], *, listener: BatchListener, should_stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Outcome]:
        waiting, ask = iter(jobs), True
        # New ones for each run: a thread of an abandoned one may still hold the old.
        stopping, abandoned = threading.Event(), threading.Event()
        events: queue.SimpleQueue[tuple[str | None, Event | Outcome]] = queue.SimpleQueue()
        self.scheduler.note = lambda text: events.put((None, Note(text)))
        self.start()
        try:
            while True:
                if should_stop():
                    stopping.set()
                # One more than there are workers: while a film is encoded, none of them waits.
                while ask and len(self._threads) <= self.workers and not stopping.is_set():
                    job = next(waiting, None)
                    ask = job is not None
                    if job is not None:
                        listener(job.id, JobStarted())
                        self._begin(job, events, stopping, abandoned)
                if not self._threads:
                    return
                try:
                    name, event = events.get(timeout=_TICK)
                except queue.Empty:
                    continue
                if isinstance(event, Outcome):
                    self._threads.pop(event.id).join()
                    ask = True
                    yield event
                else:
                    listener(name, event)
        finally:
            # There are no threads after a run that came to its end; others end at once, wherever they are.
            abandoned.set()
            stopping.set()
            for thread in self._threads.values():
                thread.join(_PATIENCE / len(self._threads))
            self._threads.clear()

    def _begin(
        self,
        job: Job,
        events: queue.SimpleQueue[tuple[str | None, Event | Outcome]],
        stopping: threading.Event,
        abandoned: threading.Event,
    ) -> None:
        client = JobClient(
            scheduler=self.scheduler,
            number=self._jobs,
            shared=self.shared,
            should_stop=stopping.is_set,
            abandoned=abandoned.is_set,
        )
        self._jobs += 1

        def tell(event: Event) -> None:
            if abandoned.is_set():
                raise Interrupted("Stopped at once; the same command goes on from the last checkpoint.")
            events.put((job.id, event))

        def work() -> None:
            outcome = make(job, listener=tell, should_stop=stopping.is_set, films=client.film, stills=client.still)
            events.put((job.id, outcome))

        self._threads[job.id] = threading.Thread(target=work, name=f"job {job.id}", daemon=True)
        self._threads[job.id].start()
