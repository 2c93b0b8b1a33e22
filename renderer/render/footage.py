"""The source of a video: frames with masks and motion, made ready by a thread that is a little ahead.

The thread decodes and finds the motion while the network is at work, so that it never waits for a file. What it gives
depends on nothing but the source: not on time, nor on where reading began.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

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
class SourceFrame:
    """One frame of the source, ready to be dreamed on.

    Attributes:
        index: its number in the film, from 0.
        source: `(H, W, 3)`.
        previous: the frame before it; itself at a cut.
        motion: how pixels came here from there; None at a cut, or where nobody asked.
        where: `(H, W)`, how strongly to dream, 1 as usual; None for 1 everywhere.
        cut: whether it begins a new shot.
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
        self._frames: Iterator[SourceFrame] | None = None

    def frame(self, index: int) -> SourceFrame | None:
        """Return a frame; None if the source has ended before it. Cheap where it is the one after the last."""
        if self._frames is None or index != self._next:
            self.close()
            frames = self._frames_from(index)
            self._frames = prefetched(frames, length=self._length) if self._length else frames
        self._next = index + 1
        return next(self._frames, None)

    def close(self) -> None:
        """Stop reading."""
        if self._frames is not None:
            _close(self._frames)
            self._frames = None

    def _frames_from(self, start: int) -> Iterator[SourceFrame]:
        before: Frame | None = None
        for index, (source, where) in enumerate(self._read(max(0, start - 1)), max(0, start - 1)):
            if index >= start:
                yield self._source_frame(index, source, where, before)
            before = source

    def _source_frame(self, index: int, source: Frame, where: Plane | None, before: Frame | None) -> SourceFrame:
        cut = before is None or index in self._cuts
        motion = None
        if not cut and self._motion is not None:
            assert before is not None
            motion = self._motion(index, source, before)
        previous = source if before is None or cut else before
        return SourceFrame(index=index, source=source, previous=previous, motion=motion, where=where, cut=cut)


def prefetched(items: Iterator[T], *, length: int) -> Iterator[T]:
    """Take items from an iterator in a thread of its own, a few ahead of whoever wants them.

    The thread ends when this is closed; what the iterator raises is raised here.

    Args:
        items: used by the thread alone, and closed by it if they can be.
        length: how many items wait at most.
    """
    waiting: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(length)
    closed = threading.Event()

    def offer(item: T | None, error: BaseException | None = None) -> bool:
        while not closed.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put((item, error), timeout=_POLL)
                return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not offer(item):
                    break
            _close(items)
            offer(None)
        except BaseException as error:
            offer(None, error)

    thread = threading.Thread(target=work, name="footage", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        closed.set()
        thread.join()


def _close(items: object) -> None:
    """End a generator where it stands, so that what it holds open is closed now."""
    close = getattr(items, "close", None)
    if close is not None:
        close()
