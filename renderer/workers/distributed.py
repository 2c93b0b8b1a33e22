"""A film whose frames a crew renders: split at its cuts, ordered stretch by stretch, joined again without loss.

Where a film is split depends on its cuts alone, never on who is there to render it. Every stretch that comes back is
kept at once, in the film's work folder or, where the frames before it are not there yet, in a folder within it: what
is done is done, whoever is killed.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from renderer.errors import BadInput, Interrupted, bug
from renderer.events import FrameDone, Listener, Note, RenderingStarted, Stage
from renderer.films.film import Film
from renderer.films.local_renderer import Maker, finish_store, interrupted, join_lanes, open_lane
from renderer.films.still import DreamedPicture, StillFilm
from renderer.media.store.store import Store
from renderer.workers.scheduler import Crew, Order
from renderer.workers.tasks import (
    Answer,
    Failure,
    Missing,
    Opening,
    Picture,
    Progress,
    Script,
    Stretch,
    Stretched,
    Unit,
    script_of,
)

SHORTEST_LANE = 48
"""Frames. A cut that is nearer to the one before it begins no lane: opening the film costs as much as some frames."""

STRETCH_SECONDS = 20.0
"""Work, in seconds, that a worker takes with it when it dies."""

_TICK = 0.1

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Post:
    """How one job reaches the workers.

    Attributes:
        crew: they.
        number: of the job; earlier ones come first.
        shared: whether the workers see the same disk.
        should_stop: asked now and then; True ends it gracefully.
        abandoned: True ends it at once.
    """

    crew: Crew
    number: int
    shared: bool
    should_stop: Callable[[], bool]
    abandoned: Callable[[], bool]

    def film(self, film: Film, facts: Mapping[str, Any], listener: Listener) -> Remote:
        """Have a film made ready to be rendered by the crew; see `local_renderer.FilmRenderer`.

        Raises:
            DreamreelError: as `Film.parts`.
            Interrupted: it was stopped.
        """
        listener(Stage("waiting for a worker"))
        script = script_of(film, facts, shared=self.shared)
        maker = self.ask(Opening(script=script), f"the opening of {film.out.name}", Maker)
        return Remote(film, script, maker, post=self)

    def still(self, still: StillFilm, listener: Listener) -> DreamedPicture:
        """Have a picture dreamed by the crew; see `still.PictureDreamer`.

        Raises:
            DreamreelError: as `still.dream_here`.
            Interrupted: it was stopped.
        """
        listener(Stage("waiting for a worker"))
        script = script_of(still, shared=self.shared)
        unit = Picture(script=script, evolution=still.evolution is not None)
        return self.ask(unit, still.out.name, DreamedPicture)

    def ask(self, unit: Unit, label: str, expected: type[T]) -> T:
        """Have one unit done, and wait for it.

        Raises:
            DreamreelError: it failed.
            Interrupted: it was stopped.
        """
        answers: list[Answer] = []
        there = threading.Event()

        def answered(answer: Answer) -> None:
            answers.append(answer)
            there.set()

        order = Order(unit=unit, label=label, rank=(self.number,), heard=lambda _: None, answered=answered)
        self.crew.submit(order)
        while not there.wait(_TICK):
            if self.should_stop() or self.abandoned():
                self.crew.withdraw([order])
                raise Interrupted("Stopped before the first frame; the same command begins again.")
        answer = answers[0]
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
        begun: how many more a worker has told of.
        state: what to go on from.
        settled: whether nothing is missing.
        order: that is on its way.
    """

    first: int
    end: int
    store: Store | None = None
    done: int = 0
    begun: int = 0
    state: bytes | None = None
    settled: bool = False
    order: Order | None = None


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


class Remote:
    """Has a film rendered by a crew; a `Rendering`."""

    def __init__(self, film: Film, script: Script, maker: Maker, *, post: Post) -> None:
        self.film, self.script, self.maker, self.post = film, script, maker, post
        self.total = film.settings.frame_count
        self._lanes: list[Lane] = []
        self._notes: dict[str, None] = {}
        self._failed: Exception | None = None
        self._stopping = self._over = False
        self._changed = threading.Condition(threading.RLock())

    def render(self, store: Store, *, listener: Listener, should_stop: Callable[[], bool]) -> None:
        join_lanes(store)
        self._store, self._listener = store, listener
        splits = lanes_of(self.film.beginnings(self.script.facts), self.total)
        try:
            self._lanes = [self._lane(first, end) for first, end in splits if end > store.count]
            listener(RenderingStarted(self._done(), self.total))
            for lane in self._lanes:
                if not lane.settled:
                    lane.order = self._next(lane)
                    self.post.crew.submit(lane.order)
            self._wait(should_stop)
        finally:
            self._let_go()
        if self._failed is not None:
            raise self._failed
        if not all(lane.settled for lane in self._lanes):
            raise interrupted(self._done(), self.total)
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
            self._settle(lane, ended=False)
        return lane

    def _next(self, lane: Lane) -> Order:
        """Order the next stretch of a lane."""
        at = lane.first + lane.done
        unit = Stretch(
            script=self.script, maker=self.maker, first=at, end=lane.end, state=lane.state, seconds=STRETCH_SECONDS
        )
        return Order(
            unit=unit,
            label=f"frames {at} to {lane.end - 1} of {self.film.out.name}",
            rank=(self.post.number, lane.first),
            heard=functools.partial(self._heard, lane),
            answered=functools.partial(self._answered, lane),
        )

    def _heard(self, lane: Lane, progress: Progress | None) -> None:
        with self._changed:
            begun = 0 if progress is None else progress.index + 1 - lane.first - lane.done
            news, lane.begun = begun > lane.begun, begun
            if progress is not None and news and not self._over:
                self._tell(progress)

    def _tell(self, progress: Progress) -> None:
        """Tell the listener of a frame; of all lanes, this many are there now."""
        index = self._done() - 1
        self._listener(FrameDone(index=index, total=self.total, strength=progress.strength, seconds=progress.seconds))

    def _answered(self, lane: Lane, answer: Answer) -> Order | None:
        with self._changed:
            lane.order = None
            try:
                if not self._over:
                    self._keep(lane, answer)
                if not (lane.settled or self._stopping or self._over):
                    lane.order = self._next(lane)
            except Exception as error:
                self._failed = self._failed or error
            self._changed.notify_all()
            return lane.order

    def _keep(self, lane: Lane, answer: Answer) -> None:
        """Keep what was rendered.

        Raises:
            DreamreelError: nothing was, or it cannot be kept.
        """
        told, lane.begun = lane.begun, 0
        if not isinstance(answer, Stretched):
            if self._stopping:  # a worker that was lost on the way to the stop
                return
            raise error_of(answer)
        for sealed in answer.segments:
            lane.store = lane.store or open_lane(self._store, lane.first)
            lane.store.add(sealed)
            lane.done += sealed.frames
            lane.state = sealed.state
        if answer.last is not None and told < sum(sealed.frames for sealed in answer.segments):
            self._tell(answer.last)  # What is told on the way may come late, or never.
        self._notes |= dict.fromkeys(answer.notes)
        self._settle(lane, ended=answer.ended)

    def _settle(self, lane: Lane, *, ended: bool) -> None:
        """Let a lane go that is complete, so that hundreds of them hold no files open."""
        lane.settled = ended or lane.first + lane.done >= lane.end
        if lane.settled and lane.store is not None and lane.store is not self._store:
            lane.store.close()

    def _done(self) -> int:
        """Count the frames that are there, and those that workers have told of."""
        before = self._lanes[0].first if self._lanes else self.total
        return before + sum(lane.done + lane.begun for lane in self._lanes)

    def _wait(self, should_stop: Callable[[], bool]) -> None:
        """Wait until nothing is on its way any more."""
        while True:
            with self._changed:
                if not any(lane.order for lane in self._lanes) or self.post.abandoned():
                    return
                self._changed.wait(_TICK)
            if not self._stopping and (self._failed is not None or should_stop()):
                with self._changed:
                    self._stopping = True
                    orders = [lane.order for lane in self._lanes if lane.order is not None]
                answering = self.post.crew.withdraw(orders)
                with self._changed:
                    for lane in self._lanes:
                        if lane.order not in answering:
                            lane.order = None

    def _let_go(self) -> None:
        with self._changed:
            self._over = True
            orders = [lane.order for lane in self._lanes if lane.order is not None]
            for lane in self._lanes:
                if lane.store is not None and lane.store is not self._store:
                    lane.store.close()
        self.post.crew.withdraw(orders)


def error_of(answer: Answer) -> Exception:
    """Return the error that an answer stands for which is not the one that was hoped for."""
    if isinstance(answer, Failure):
        return answer.error()
    if isinstance(answer, Missing):
        names = ", ".join(answer.files)
        return BadInput(f"The {names} of the film changed, or went away, while it was made; start the command again.")
    return bug(TypeError(f"a worker answered with {type(answer).__name__}"))
