"""The source of a video scene: frames with masks and motion, made ready by a thread that is a little ahead.

The thread decodes and finds the motion while the network is at work, so that it never waits for a file. What it gives
depends on nothing but the source: not on time, nor on where reading began.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from renderer.frame import Frame, Size
from renderer.motion.flow import Motion

Plane = NDArray[np.float32]
T = TypeVar("T")

AHEAD, AHEAD_PIXELS = 4, 8_200_000
"""How many frames wait at most, and how many pixels they may have together: for larger frames there is no thread."""

_POLL = 0.1


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One frame of the source, ready to be dreamed on.

    Attributes:
        index: its number in the film, from 0.
        source: `(H, W, 3)`.
        previous: the frame before it; itself at a cut.
        motion: how pixels came here from there; None at a cut, or where nobody asked.
        where: `(H, W)`, how strongly to dream, 1 as usual; None for 1 everywhere.
        cut: whether a shot begins with it.
    """

    index: int
    source: Frame
    previous: Frame
    motion: Motion | None
    where: Plane | None
    cut: bool


Picture = tuple[Frame, Plane | None]
"""A source frame `(H, W, 3)`, and `(H, W)` how strongly to dream on it."""

Read = Callable[[int], Iterator[Picture]]
"""Gives the pictures of a film from a frame on."""

FindMotion = Callable[[int, Frame, Frame], Motion]
"""(frame number, that frame, the one before it) -> how pixels came from the one to the other."""


class Footage:
    """Frames of a source, from any of them on.

    Args:
        read: gives the pictures from a frame on.
        cuts: numbers of the frames with which shots begin.
        motion: finds the motion; None where nobody needs it.
        size: of the pictures: of large ones fewer wait.
    """

    def __init__(
        self,
        read: Read,
        *,
        cuts: frozenset[int] = frozenset(),
        motion: FindMotion | None = None,
        size: Size | None = None,
    ) -> None:
        self._read, self._cuts, self._motion = read, cuts, motion
        self._length = AHEAD if size is None else min(AHEAD, AHEAD_PIXELS // (size.width * size.height))
        self._next = 0
        self._ahead: Ahead[Shot] | Here[Shot] | None = None

    def shot(self, index: int) -> Shot | None:
        """Return a frame; None if the source has ended before it. Cheap where it is the one after the last."""
        if self._ahead is None or index != self._next:
            self.close()
            shots = self._shots(index)
            self._ahead = Ahead(shots, length=self._length) if self._length else Here(shots)
        self._next = index + 1
        return self._ahead.take()

    def close(self) -> None:
        """Stop reading."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def _shots(self, start: int) -> Iterator[Shot]:
        before: Frame | None = None
        for index, (source, where) in enumerate(self._read(max(0, start - 1)), max(0, start - 1)):
            if index >= start:
                yield self._shot(index, source, where, before)
            before = source

    def _shot(self, index: int, source: Frame, where: Plane | None, before: Frame | None) -> Shot:
        cut = before is None or index in self._cuts
        motion = None
        if not cut and self._motion is not None:
            assert before is not None
            motion = self._motion(index, source, before)
        previous = source if before is None or cut else before
        return Shot(index=index, source=source, previous=previous, motion=motion, where=where, cut=cut)


class Here(Generic[T]):
    """Takes items from an iterator as they are wanted."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items

    def take(self) -> T | None:
        """Return the next item, None at the end."""
        return next(self._items, None)

    def close(self) -> None:
        """Stop the iterator, wherever it is."""
        _close(self._items)


class Ahead(Generic[T]):
    """Takes items from an iterator in a thread of its own, a few ahead of whoever wants them.

    Args:
        items: used by the thread alone, and closed by it if they can be.
        length: how many items wait at most.
    """

    def __init__(self, items: Iterator[T], *, length: int) -> None:
        self._queue: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(length)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(items,), name="footage", daemon=True)
        self._thread.start()
        self._ended = False

    def take(self) -> T | None:
        """Return the next item, None at the end; what the iterator raises is raised here."""
        if self._ended:
            return None
        item, error = self._queue.get()
        self._ended = item is None
        if error is not None:
            raise error
        return item

    def close(self) -> None:
        """Stop the thread, wherever it is."""
        self._closed.set()
        self._ended = True
        self._thread.join()

    def _work(self, items: Iterator[T]) -> None:
        try:
            for item in items:
                if not self._offer((item, None)):
                    break
            _close(items)
            self._offer((None, None))
        except BaseException as error:
            self._offer((None, error))

    def _offer(self, entry: tuple[T | None, BaseException | None]) -> bool:
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(entry, timeout=_POLL)
                return True
        return False


def _close(items: object) -> None:
    """End a generator where it stands, so that what it holds open is closed now."""
    close = getattr(items, "close", None)
    if close is not None:
        close()
