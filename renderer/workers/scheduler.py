"""Which worker does what next: the same for processes and for a cluster.

Tasks wait in the order of their rank; each worker has one at a time. A task whose worker dies goes to another one; one
that two workers died of is set aside, since it may well be what kills them.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol

from renderer.errors import EnvironmentProblem
from renderer.events import FrameDone
from renderer.workers.answers import NonsenseError, check
from renderer.workers.tasks import Answer, Failure, FrameRange, Work

FATAL = 2
"""How many workers a task may cost."""

TRIES = 6
"""How often a task is handed out, though whoever had it was gone before it began: several may go at once."""


@dataclass(kw_only=True, eq=False)
class Task:
    """Some work on its way.

    Attributes:
        work: what to do.
        label: what it is, for messages: "frames 0 to 47 of dream.mp4".
        rank: lower ones come first.
        events: takes the task with what becomes of it: None when it is handed out, each frame, and the answer. Whoever
            takes the answer calls `Scheduler.release`, so that the worker can go on with what follows on it.
        begun: whether the worker that has it has said so.
        deaths: how the workers ended that died of it.
        tries: how often it was handed out.
        withdrawn: whether nobody wants it any more.
        done: whether a worker has answered.
        number: no two are alike.
    """

    work: Work
    label: str
    rank: tuple[int, ...]
    events: SimpleQueue[tuple[Task, FrameDone | Answer | None]]
    begun: bool = False
    deaths: list[str] = field(default_factory=list)
    tries: int = 0
    withdrawn: bool = False
    done: bool = False
    number: int = field(default_factory=itertools.count().__next__)


class Worker(Protocol):
    """One worker. It reports to its scheduler: `Scheduler.answered`, `Scheduler.lost`."""

    def begin(self, task: Task) -> None:
        """Give it a task; returns at once. Never raises."""

    def stop(self, task: Task) -> None:
        """Ask it to end this task at the next frame, with what there is. Never raises."""


class Scheduler:
    """Hands out tasks.

    Args:
        note: is told what should be known of the workers, in a sentence; in any thread.
    """

    def __init__(self, *, note: Callable[[str], None] = lambda _: None) -> None:
        self.note = note
        self._lock = threading.RLock()
        self._numbers = itertools.count()
        self._waiting: list[tuple[tuple[int, ...], int, Task]] = []
        self._idle: dict[Worker, None] = {}
        self._at_work: dict[Worker, Task] = {}
        self._last: dict[Worker, Task] = {}
        self._broken: Failure | None = None
        self._closed = False

    def submit(self, task: Task) -> None:
        """Have a task done when its turn comes."""
        with self._lock:
            self._push(task)
        self._assign()

    def withdraw(self, tasks: Iterable[Task]) -> list[Task]:
        """Have no more of some tasks done than is being done; those at work are asked to stop, the rest never begin.

        Returns:
            Those at work: they will be answered, the others will not.
        """
        with self._lock:
            unwanted = set(tasks)
            for task in unwanted:
                task.withdrawn = True
            self._waiting = [entry for entry in self._waiting if not entry[2].withdrawn]
            heapq.heapify(self._waiting)
            at_work = [(worker, task) for worker, task in self._at_work.items() if task in unwanted]
        for worker, task in at_work:
            if task.done:
                self.release(task)
            else:
                worker.stop(task)
        return [task for _, task in at_work]

    def release(self, task: Task, following: Task | None = None) -> None:
        """Let a worker go on whose answer was taken.

        Args:
            task: that it has done.
            following: what follows on it, if anything does: the same worker is the best for it.
        """
        with self._lock:
            for worker, done in list(self._at_work.items()):
                if done is task:  # Else it was lost meanwhile.
                    del self._at_work[worker]
                    self._last[worker] = task
                    self._idle[worker] = None
            if following is not None:
                self._push(following)
        self._assign()

    def joined(self, worker: Worker) -> None:
        """A worker is ready."""
        with self._lock:
            self._idle[worker] = None
        self._assign()

    def begun(self, worker: Worker, number: int) -> None:
        """A worker has begun with the task of that number."""
        with self._lock:
            task = self._at_work.get(worker)
            if task is not None and task.number == number:
                task.begun = True

    def frame_done(self, worker: Worker, number: int, frame: FrameDone) -> None:
        """A worker has dreamed a frame for the task of that number; told of any other frame, nobody hears of it."""
        with self._lock:
            task = self._at_work.get(worker)
            if task is None or task.number != number or task.done or not isinstance(frame, FrameDone):
                return
            if isinstance(task.work, FrameRange) and task.work.first <= frame.index < task.work.end:
                task.events.put((task, frame))

    def answered(self, worker: Worker, number: int, answer: Answer) -> None:
        """A worker has done the task of that number.

        Raises:
            NonsenseError: it was not asked to, or this is no answer to it. Whoever brought it ends the worker then, and
                tells that it is `lost`.
        """
        with self._lock:
            task = self._at_work.get(worker)
            if self._closed:
                return
        if task is None or task.number != number or task.done:
            raise NonsenseError("answered what it was not asked")
        try:
            check(task.work, answer, stopped=task.withdrawn)
        except NonsenseError:
            raise
        except Exception as error:  # There is no room here to look at it.
            answer = Failure.of(error)
        with self._lock:
            if self._at_work.get(worker) is not task:  # It was lost meanwhile, and another has the task.
                return
            task.done = True
            task.events.put((task, answer))
        if task.withdrawn:  # Nothing will follow on it.
            self.release(task)

    def lost(self, worker: Worker, how: str, *, nonsense: bool = False) -> bool:
        """A worker has ended; `how` tells of what, as in "was killed by SIGKILL".

        Args:
            worker: it.
            how: it ended.
            nonsense: whether it was ended for what it said, or did not say.

        Returns:
            Whether it had been of use, or ended over a task.
        """
        with self._lock:
            self._idle.pop(worker, None)
            useful = self._last.pop(worker, None) is not None
            task = self._at_work.pop(worker, None)
        if task is None or task.done:
            if nonsense:
                self.note(f"A worker {how}.")
            return useful
        if task.begun or nonsense:
            task.deaths.append(how)
            self.note(f"A worker {how} at {task.label}.")
        if task.withdrawn or len(task.deaths) >= FATAL or task.tries >= TRIES:
            task.events.put((task, _set_aside(task, how, nonsense=nonsense)))
        else:
            self.submit(task)
        return useful or task.begun or nonsense

    def give_up(self, why: str) -> None:
        """There are no workers and there will be none: fail everything that waits or comes."""
        with self._lock:
            self._broken = Failure(kind=EnvironmentProblem.__name__, message=why, passing=True)
        self._assign()

    def recover(self) -> None:
        """There are workers again."""
        with self._lock:
            self._broken = None

    @property
    def workers(self) -> int:
        """How many workers there are."""
        with self._lock:
            return len(self._idle) + len(self._at_work)

    def close(self) -> None:
        """Forget everything that waits."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            self._at_work.clear()
            self._idle.clear()

    def _push(self, task: Task) -> None:
        if not task.withdrawn:
            heapq.heappush(self._waiting, (task.rank, next(self._numbers), task))

    def _assign(self) -> None:
        """Give tasks that wait to workers that do not work; fail them if there will be no workers."""
        while True:
            with self._lock:
                broken = self._broken
                if not self._waiting or not (self._idle or broken):
                    return
                task = heapq.heappop(self._waiting)[2]
                if broken:
                    task.events.put((task, broken))
                    continue
                worker = self._best(task)
                del self._idle[worker]
                self._at_work[worker] = task
                task.begun, task.tries = False, task.tries + 1
                task.events.put((task, None))
            worker.begin(task)

    def _best(self, task: Task) -> Worker:
        """Choose a worker: best one that did what comes before it, or has the film open, or has done anything yet."""

        def nearness(worker: Worker) -> int:
            last = self._last.get(worker)
            if last is None:
                return 0
            if last.work.spec is not task.work.spec:
                return 1
            return 2 + (last.rank == task.rank)

        return max(self._idle, key=nearness)


def _set_aside(task: Task, how: str, *, nonsense: bool) -> Failure:
    ends = ", the other ".join(task.deaths) or how
    advice = "Is there enough memory? A smaller --size, or fewer workers, needs less."
    if nonsense:
        advice = "Are they sound, and is the same Dreamreel installed there?"
    return Failure(
        kind=EnvironmentProblem.__name__,
        message=f"Set aside: {task.label}. {max(1, len(task.deaths))} workers ended over it (one {ends}). {advice}",
        passing=not task.deaths,
    )
