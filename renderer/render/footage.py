"""The source of a video: frames with masks and motion, made ready by a thread that is a little ahead.

The thread decodes and finds the motion while the network is at work, so that it never waits for a file. What it gives
depends on nothing but the source: not on time, nor on where reading began.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from renderer.frame import Frame, Size
from renderer.motion.flow import Motion, composed

Plane = NDArray[np.float32]
T = TypeVar("T")

AHEAD, AHEAD_PIXELS = 4, 8_200_000
"""How many frames wait at most, and how many pixels they may have together: for larger frames there is no thread."""

_POLL = 0.1


@dataclass(frozen=True, kw_only=True)
class InBetween:
    """One frame of the source between two that are dreamed on.

    Attributes:
        source: `(H, W, 3)`.
        where: `(H, W)`, how strongly to dream, 1 as usual; None for 1 everywhere.
        share: how near it is to the dreamed frame after it: above 0, below 1.
        before: how its pixels came from the dreamed frame before it.
        after: where they are in the dreamed frame after it.
    """

    source: Frame
    where: Plane | None
    share: float
    before: Motion
    after: Motion


@dataclass(frozen=True, kw_only=True)
class SourceFrame:
    """One frame of the source, ready to be dreamed on.

    Attributes:
        index: its number in the film, from 0.
        source: `(H, W, 3)`.
        previous: the frame that was dreamed on before it; itself at a cut.
        motion: how pixels came here from there; None at a cut, or where nobody asked.
        where: `(H, W)`, how strongly to dream, 1 as usual; None for 1 everywhere.
        cut: whether it begins a new shot.
        passed: the frames between the two.
    """

    index: int
    source: Frame
    previous: Frame
    motion: Motion | None
    where: Plane | None
    cut: bool
    passed: tuple[InBetween, ...] = ()


Picture = tuple[Frame, Plane | None]
"""A source frame `(H, W, 3)`, and `(H, W)` how strongly to dream on it."""

Read = Callable[[int], Iterator[Picture]]
"""Gives the pictures of a film from a frame on."""

FindMotion = Callable[[int, Frame, Frame], Motion]
"""(frame number, that frame, the one before it) -> how pixels came from the one to the other."""

FindBoth = Callable[[int, Frame, Frame], tuple[Motion, Motion]]
"""The same with the way on: how pixels go from the one before to that frame."""


class Footage:
    """Frames of a source that are to be dreamed on, from any of them on, with those between them.

    The first frame of a shot is dreamed on, the last one, and every so many from the first on.

    Args:
        read: gives the pictures from a frame on.
        cuts: numbers of the frames with which shots begin.
        motion: finds the motion; None where nobody needs it.
        both: finds it both ways, for the frames between.
        every: each how manieth frame is dreamed on; above 1 motion is needed both ways.
        size: of the pictures: of large ones fewer wait.
    """

    def __init__(
        self,
        read: Read,
        *,
        cuts: frozenset[int] = frozenset(),
        motion: FindMotion | None = None,
        both: FindBoth | None = None,
        every: int = 1,
        size: Size | None = None,
    ) -> None:
        self._read, self._cuts, self._motion, self._both, self._every = read, cuts, motion, both, every
        length = AHEAD if size is None else min(AHEAD, AHEAD_PIXELS // (size.width * size.height))
        self._length = max(1, length // every) if length else 0
        self._next = 0
        self._frames: Iterator[SourceFrame] | None = None

    def frame(self, index: int) -> SourceFrame | None:
        """Return the next frame to be dreamed on, from `index` on; None if the source has ended before it.

        Cheap where `index` is the frame after the last one. It is the first of a shot, or the one before it is dreamed.
        """
        if self._frames is None or index != self._next:
            self.close()
            frames = self._frames_from(index)
            self._frames = prefetched(frames, length=self._length) if self._length else frames
        found = next(self._frames, None)
        self._next = index + 1 if found is None else found.index + 1
        return found

    def close(self) -> None:
        """Stop reading."""
        if self._frames is not None:
            _close(self._frames)
            self._frames = None

    def _frames_from(self, start: int) -> Iterator[SourceFrame]:
        before: Frame | None = None
        waiting: list[Picture] = []
        index = first = max(0, start - 1)
        for index, picture in enumerate(self._read(first), first):
            if index < start:
                before = picture[0]
                continue
            waiting.append(picture)
            cut = before is None or index in self._cuts
            if cut or len(waiting) == self._every or index + 1 in self._cuts:
                yield self._source_frame(index, waiting, None if cut else before)
                before, waiting = picture[0], []
        if waiting:
            yield self._source_frame(index, waiting, before)

    def _source_frame(self, index: int, pictures: list[Picture], before: Frame | None) -> SourceFrame:
        """Put together the last of some pictures, with those between it and the dreamed frame before it."""
        source, where = pictures[-1]
        motion: Motion | None = None
        passed: tuple[InBetween, ...] = ()
        if before is not None and self._motion is not None:
            motion, passed = self._moved(index - len(pictures) + 1, pictures, before)
        return SourceFrame(
            index=index,
            source=source,
            previous=source if before is None else before,
            motion=motion,
            where=where,
            cut=before is None,
            passed=passed,
        )

    def _moved(self, first: int, pictures: list[Picture], before: Frame) -> tuple[Motion, tuple[InBetween, ...]]:
        """Find how pixels came to the last of some pictures from the dreamed frame before, and the frames between."""
        assert self._motion is not None
        back, on = [self._motion(first, pictures[0][0], before)], []
        for index, ((earlier, _), (later, _)) in enumerate(itertools.pairwise(pictures), first + 1):
            assert self._both is not None
            there, here = self._both(index, later, earlier)
            back.append(there)
            on.append(here)
        *to_before, motion = _along(back)
        to_after = _along(on[::-1])[::-1]
        places = enumerate(zip(pictures[:-1], to_before, to_after, strict=True), 1)
        return motion, tuple(
            InBetween(source=source, where=where, share=place / len(pictures), before=there, after=here)
            for place, ((source, where), there, here) in places
        )


def _along(steps: list[Motion]) -> list[Motion]:
    """Return the way from the end of each step to the beginning of the first."""
    return list(itertools.accumulate(steps, lambda way, step: composed(step, way)))


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
