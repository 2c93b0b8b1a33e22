"""A film whose frames workers render: split at its cuts, ordered range by range, joined again without loss.

Where a film is split depends on its cuts alone, never on who is there to render it. Every range that comes back is kept
at once, in the film's work folder or, where the frames before it are not there yet, in a folder within it, its lane:
what is done is done, whoever is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from renderer.errors import BadInput, Interrupted, bug
from renderer.events import FrameDone, Listener, Note, RenderingStarted, Stage
from renderer.films.film import Film
from renderer.films.local_renderer import Environment, Rendering, finish_store, interrupted, join_lanes, open_lane
from renderer.films.still import DreamedPicture, StillFilm
from renderer.media.store.store import Store
from renderer.workers.scheduler import Scheduler, Task
from renderer.workers.tasks import (
    Answer,
    DreamPicture,
    Failure,
    FilmSpec,
    FrameRange,
    Missing,
    OpenFilm,
    RenderedFrames,
    Work,
    film_spec,
)

SHORTEST_LANE = 48
"""Frames. A cut that is nearer to the one before it begins no lane: opening the film costs as much as some frames."""

RANGE_SECONDS = 20.0
"""Work, in seconds, that a worker takes with it when it dies."""

_TICK = 0.1

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class JobClient:
    """How one job reaches the workers.

    Attributes:
        scheduler: of the workers.
        number: of the job; earlier ones come first.
        shared: whether the workers see the same disk.
        should_stop: asked now and then; True ends it gracefully.
        abandoned: True ends it at once.
    """

    scheduler: Scheduler
    number: int
    shared: bool
    should_stop: Callable[[], bool]
    abandoned: Callable[[], bool]

    def film(self, film: Film, facts: Mapping[str, Any], listener: Listener) -> Rendering:
        """Have a film made ready to be rendered by the workers; see `local_renderer.FilmRenderer`.

        Raises:
            DreamreelError: as `Film.render_setup`.
            Interrupted: it was stopped.
        """
        listener(Stage("waiting for a worker"))
        spec = film_spec(film, facts, shared=self.shared)
        environment = self.ask(OpenFilm(spec=spec), f"the opening of {film.out.name}", Environment)
        return Rendering(
            environment=environment, render=DistributedRenderer(film, spec, environment, client=self).render
        )

    def still(self, still: StillFilm, listener: Listener) -> DreamedPicture:
        """Have a picture dreamed by the workers; see `still.PictureDreamer`.

        Raises:
            DreamreelError: as `still.dream_here`.
            Interrupted: it was stopped.
        """
        listener(Stage("waiting for a worker"))
        spec = film_spec(still, shared=self.shared)
        work = DreamPicture(spec=spec, evolution=still.evolution is not None)
        return self.ask(work, still.out.name, DreamedPicture)

    def ask(self, work: Work, label: str, expected: type[T]) -> T:
        """Have some work done, and wait for it.

        Raises:
            DreamreelError: it failed.
            Interrupted: it was stopped.
        """
        task = Task(work=work, label=label, rank=(self.number,), events=SimpleQueue())
        self.scheduler.submit(task)
        answer = None
        while answer is None:
            if self.should_stop() or self.abandoned():
                self.scheduler.withdraw([task])
                raise Interrupted("Stopped before the first frame; the same command begins again.")
            try:
                _, answer = task.events.get(timeout=_TICK)
            except Empty:
                continue
        self.scheduler.release(task)
        if not isinstance(answer, expected):
            raise error_of(answer)
        return answer


@dataclass(kw_only=True, eq=False)
class Lane:
    """Frames that are rendered one after another, apart from those of other lanes.

    Attributes:
        first: number of the first one.
        end: number of the frame after the last one.
        store: that keeps them, once there are some.
        done: how many are kept.
        dreamed: how many more a worker has told of.
        state: what to go on from.
        complete: whether nothing is missing.
    """

    first: int
    end: int
    store: Store | None = None
    done: int = 0
    dreamed: int = 0
    state: bytes | None = None
    complete: bool = False


def lanes_of(beginnings: list[int], total: int) -> list[tuple[int, int]]:
    """Split a film: the first frame of each lane, and the frame after its last.

    Args:
        beginnings: frames beside the first that need nothing of the frames before them, ascending.
        total: frames of the film.
    """
    firsts = [0]
    for frame in beginnings:
        if frame - firsts[-1] >= SHORTEST_LANE and frame < total:
            firsts.append(frame)
    return list(zip(firsts, [*firsts[1:], total], strict=True))


class DistributedRenderer:
    """Has a film rendered by workers. All that becomes of its tasks comes through one queue."""

    def __init__(self, film: Film, spec: FilmSpec, environment: Environment, *, client: JobClient) -> None:
        self.film, self.spec, self.environment, self.client = film, spec, environment, client
        self.total = film.kept.total
        self._events: SimpleQueue[tuple[Task, FrameDone | Answer | None]] = SimpleQueue()
        self._lanes: list[Lane] = []
        self._tasks: dict[Task, Lane] = {}  # On their way.
        self._notes: dict[str, None] = {}
        self._error: Exception | None = None
        self._stopping = False

    def render(self, store: Store, listener: Listener, should_stop: Callable[[], bool]) -> None:
        """Have rendered what is missing; see `local_renderer.Rendering`."""
        join_lanes(store)
        self._store, self._listener = store, listener
        splits = lanes_of(self.film.beginnings(self.spec.facts), self.total)
        try:
            self._lanes = [self._lane(first, end) for first, end in splits if end > store.count]
            listener(RenderingStarted(self._frames_there(), self.total, self.film.kept_as))
            for lane in self._lanes:
                if not lane.complete:
                    self.client.scheduler.submit(self._next_task(lane))
            self._follow(should_stop)
        finally:
            self.client.scheduler.withdraw(self._tasks)
            for lane in self._lanes:
                self._close(lane)
        if self._error is not None:
            raise self._error
        if not all(lane.complete for lane in self._lanes):
            raise interrupted(self.film, self._frames_there())
        join_lanes(store)
        for note in self._notes:
            listener(Note(note))
        finish_store(store)

    def _lane(self, first: int, end: int) -> Lane:
        """Find out what is there of a lane."""
        if first <= self._store.count:
            there = self._store.count - first
            return Lane(first=first, end=end, store=self._store, done=there, state=self._store.state_bytes())
        lane = Lane(first=first, end=end)
        if self._store.lane(first).is_dir():
            lane.store = open_lane(self._store, first)
            lane.done, lane.state = lane.store.count, lane.store.state_bytes()
            self._check_complete(lane, ended=False)
        return lane

    def _next_task(self, lane: Lane) -> Task:
        """Make a task of the next range of a lane."""
        at = lane.first + lane.done
        work = FrameRange(
            spec=self.spec,
            environment=self.environment,
            first=at,
            end=lane.end,
            state=lane.state,
            seconds=RANGE_SECONDS,
        )
        label = f"{self.film.kept_as}s {at} to {lane.end - 1} of {self.film.out.name}"
        task = Task(work=work, label=label, rank=(self.client.number, lane.first), events=self._events)
        self._tasks[task] = lane
        return task

    def _follow(self, should_stop: Callable[[], bool]) -> None:
        """Take in what becomes of the tasks, until none is on its way any more."""
        while self._tasks and not self.client.abandoned():
            if not self._stopping and (self._error is not None or should_stop()):
                self._stopping = True
                answering = self.client.scheduler.withdraw(self._tasks)
                self._tasks = {task: self._tasks[task] for task in answering}
            try:
                task, event = self._events.get(timeout=_TICK)
            except Empty:
                continue
            if task not in self._tasks:  # It was handed out, lost and withdrawn.
                continue
            if event is None:
                self._tasks[task].dreamed = 0
            elif isinstance(event, FrameDone):
                self._count(self._tasks[task], event)
            else:
                self._take_answer(task, event)

    def _count(self, lane: Lane, frame: FrameDone) -> None:
        dreamed = frame.index + 1 - lane.first - lane.done
        news, lane.dreamed = dreamed > lane.dreamed, dreamed
        if news:
            self._tell(frame)

    def _tell(self, frame: FrameDone) -> None:
        """Tell the listener of a frame; of all lanes, this many are there now."""
        self._listener(replace(frame, index=self._frames_there() - 1, total=self.total))

    def _take_answer(self, task: Task, answer: Answer) -> None:
        lane, following = self._tasks.pop(task), None
        try:
            self._keep(lane, answer)
            if not (lane.complete or self._stopping):
                following = self._next_task(lane)
        except Exception as error:
            self._error = self._error or error
        finally:
            self.client.scheduler.release(task, following)

    def _keep(self, lane: Lane, answer: Answer) -> None:
        """Keep what was rendered.

        Raises:
            DreamreelError: nothing was, or it cannot be kept.
        """
        told, lane.dreamed = lane.dreamed, 0
        if not isinstance(answer, RenderedFrames):
            if self._stopping:  # a worker that was lost on the way to the stop
                return
            raise error_of(answer)
        for segment in answer.segments:
            lane.store = lane.store or open_lane(self._store, lane.first)
            lane.store.add(segment)
            lane.done += segment.frames
            lane.state = segment.state
        if answer.last is not None and told < sum(segment.frames for segment in answer.segments):
            self._tell(answer.last)  # What is told on the way may come late, or never.
        self._notes |= dict.fromkeys(answer.notes)
        self._check_complete(lane, ended=answer.ended)

    def _check_complete(self, lane: Lane, *, ended: bool) -> None:
        """Let a lane go that is complete, so that hundreds of them hold no files open."""
        lane.complete = ended or lane.first + lane.done >= lane.end
        if lane.complete:
            self._close(lane)

    def _close(self, lane: Lane) -> None:
        if lane.store is not None and lane.store is not self._store:
            lane.store.close()

    def _frames_there(self) -> int:
        """Count the frames that are there, and those that workers have told of."""
        before = self._lanes[0].first if self._lanes else self.total
        return before + sum(lane.done + lane.dreamed for lane in self._lanes)


def error_of(answer: Answer | FrameDone) -> Exception:
    """Return the error that an answer stands for which is not the one that was hoped for."""
    if isinstance(answer, Failure):
        return answer.error()
    if isinstance(answer, Missing):
        names = ", ".join(answer.files)
        return BadInput(f"The {names} of the film changed, or went away, while it was made; start the command again.")
    return bug(TypeError(f"a worker answered with {type(answer).__name__}"))
