"""A crew of workers, and who of them does what next: the same for processes and for a cluster.

Orders wait in the order of their rank; each worker has one at a time. An order whose worker dies goes to another one;
one that two workers died of is set aside, since it may well be what kills them.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from renderer.errors import EnvironmentProblem
from renderer.workers.answers import NonsenseError, check
from renderer.workers.tasks import Answer, Failure, Progress, Stretch, Unit

FATAL = 2
"""How many workers an order may cost."""

TRIES = 6
"""How often an order is handed out, though whoever had it was gone before it began: several may go at once."""


@dataclass(kw_only=True, eq=False)
class Order:
    """A unit of work on its way.

    Attributes:
        unit: what to do.
        label: what it is, for messages: "frames 0 to 47 of dream.mp4".
        rank: lower ones come first.
        heard: told of each frame, and None when it is handed out; in any thread.
        answered: given what came back, in any thread; returns the order that follows on it, if there is one, which the
            same worker is the best for.
        begun: whether the worker that has it has said so.
        deaths: how the workers ended that died of it.
        tries: how often it was handed out.
        withdrawn: whether nobody wants it any more.
        done: whether a worker has answered.
        number: no two are alike.
    """

    unit: Unit
    label: str
    rank: tuple[int, ...]
    heard: Callable[[Progress | None], None]
    answered: Callable[[Answer], Order | None]
    begun: bool = False
    deaths: list[str] = field(default_factory=list)
    tries: int = 0
    withdrawn: bool = False
    done: bool = False
    number: int = field(default_factory=itertools.count().__next__)


class Hand(Protocol):
    """One worker. It reports to its crew: `Crew.answered`, `Crew.lost`."""

    def begin(self, order: Order) -> None:
        """Give it an order; returns at once. Never raises."""

    def stop(self, order: Order) -> None:
        """Ask it to end this order at the next frame, with what there is. Never raises."""

    def close(self) -> None:
        """End it now. Never raises."""


class Crew:
    """Hands out orders.

    Args:
        note: is told what should be known of the workers, in a sentence; in any thread.
    """

    def __init__(self, *, note: Callable[[str], None] = lambda _: None) -> None:
        self.note = note
        self._lock = threading.RLock()
        self._numbers = itertools.count()
        self._waiting: list[tuple[tuple[int, ...], int, Order]] = []
        self._idle: dict[Hand, None] = {}
        self._at_work: dict[Hand, Order] = {}
        self._last: dict[Hand, Order] = {}
        self._broken: Failure | None = None
        self._closed = False

    def submit(self, order: Order) -> None:
        """Have an order done when its turn comes."""
        with self._lock:
            self._push(order)
        self._hand_out()

    def withdraw(self, orders: Iterable[Order]) -> list[Order]:
        """Have no more of some orders done than is being done; those at work are asked to stop, the rest never begin.

        Returns:
            Those at work: they will be answered, the others will not.
        """
        with self._lock:
            unwanted = set(orders)
            for order in unwanted:
                order.withdrawn = True
            self._waiting = [entry for entry in self._waiting if not entry[2].withdrawn]
            heapq.heapify(self._waiting)
            stopping = [(hand, order) for hand, order in self._at_work.items() if order in unwanted]
        for hand, order in stopping:
            hand.stop(order)
        return [order for _, order in stopping]

    def joined(self, hand: Hand) -> None:
        """A worker is ready."""
        with self._lock:
            self._idle[hand] = None
        self._hand_out()

    def begun(self, hand: Hand, number: int) -> None:
        """A worker has begun with the order of that number."""
        with self._lock:
            order = self._at_work.get(hand)
            if order is not None and order.number == number:
                order.begun = True

    def heard(self, hand: Hand, number: int, progress: Progress) -> None:
        """A worker has dreamed a frame for the order of that number; told of any other frame, nobody hears of it."""
        with self._lock:
            order = self._at_work.get(hand)
        if order is None or order.number != number or not isinstance(progress, Progress):
            return
        if isinstance(order.unit, Stretch) and order.unit.first <= progress.index < order.unit.end:
            order.heard(progress)

    def answered(self, hand: Hand, number: int, answer: Answer) -> None:
        """A worker has done the order of that number.

        Raises:
            NonsenseError: it was not asked to, or this is no answer to it. Whoever brought it ends the worker then, and
                tells that it is `lost`.
        """
        with self._lock:
            order = self._at_work.get(hand)
            if self._closed:
                return
        if order is None or order.number != number or order.done:
            raise NonsenseError("answered what it was not asked")
        try:
            check(order.unit, answer, stopped=order.withdrawn)
        except NonsenseError:
            raise
        except Exception as error:  # There is no room here to look at it.
            answer = Failure.of(error)
        with self._lock:
            if self._at_work.get(hand) is not order:  # It was lost meanwhile, and another has the order.
                return
            order.done = True
        follows = None
        try:
            follows = order.answered(answer)
        finally:
            with self._lock:
                if self._at_work.pop(hand, None) is not None:  # Else it was lost meanwhile.
                    self._last[hand] = order
                    self._idle[hand] = None
                if follows is not None:
                    self._push(follows)
            self._hand_out()

    def lost(self, hand: Hand, how: str, *, nonsense: bool = False) -> bool:
        """A worker has ended; `how` tells of what, as in "was killed by SIGKILL".

        Args:
            hand: it.
            how: it ended.
            nonsense: whether it was ended for what it said, or did not say.

        Returns:
            Whether it had been of use, or ended over an order.
        """
        with self._lock:
            self._idle.pop(hand, None)
            useful = self._last.pop(hand, None) is not None
            order = self._at_work.pop(hand, None)
        if order is None or order.done:
            if nonsense:
                self.note(f"A worker {how}.")
            return useful
        if order.begun or nonsense:
            order.deaths.append(how)
            self.note(f"A worker {how} at {order.label}.")
        if order.withdrawn or len(order.deaths) >= FATAL or order.tries >= TRIES:
            order.answered(_set_aside(order, how, nonsense=nonsense))
        else:
            self.submit(order)
        return useful or order.begun or nonsense

    def give_up(self, why: str) -> None:
        """There are no workers and there will be none: fail everything that waits or comes."""
        with self._lock:
            self._broken = Failure(kind=EnvironmentProblem.__name__, message=why, passing=True)
        self._hand_out()

    def recover(self) -> None:
        """There are workers again."""
        with self._lock:
            self._broken = None

    @property
    def hands(self) -> int:
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

    def _push(self, order: Order) -> None:
        if not order.withdrawn:
            heapq.heappush(self._waiting, (order.rank, next(self._numbers), order))

    def _hand_out(self) -> None:
        while True:
            with self._lock:
                broken = self._broken
                if not self._waiting or not (self._idle or broken):
                    return
                order = heapq.heappop(self._waiting)[2]
                if not broken:
                    hand = self._best(order)
                    del self._idle[hand]
                    self._at_work[hand] = order
                    order.begun, order.tries = False, order.tries + 1
            if broken:
                order.answered(broken)
            else:
                order.heard(None)
                hand.begin(order)

    def _best(self, order: Order) -> Hand:
        """Choose a worker: best one that did what comes before it, or has the film open, or has done anything yet."""

        def nearness(hand: Hand) -> int:
            last = self._last.get(hand)
            if last is None:
                return 0
            if last.unit.script is not order.unit.script:
                return 1
            return 2 + (last.rank == order.rank)

        return max(self._idle, key=nearness)


def _set_aside(order: Order, how: str, *, nonsense: bool) -> Failure:
    ends = ", the other ".join(order.deaths) or how
    advice = "Is there enough memory? A smaller --size, or fewer workers, needs less."
    if nonsense:
        advice = "Are they sound, and is the same Dreamreel installed there?"
    return Failure(
        kind=EnvironmentProblem.__name__,
        message=f"Set aside: {order.label}. {max(1, len(order.deaths))} workers ended over it (one {ends}). {advice}",
        passing=not order.deaths,
    )
