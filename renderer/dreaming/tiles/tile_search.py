"""Which stages and tiles of a picture fit into a budget of memory with the least work."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

from renderer.dreaming.tiles.tiling import IDLE, Anatomy, Segment, Stage, Tiling, spread
from renderer.frame import Size

JUDGED = 3.5 * IDLE
"""What judging takes, times the judged activations as float32: they, their products and their gradients."""

PER_TILE = 2e-3
"""What a tile costs in itself, as a part of the work on the whole picture."""

MOST_TILES, MOST_GRID = 32, 256
"""Tiles along a side, and of a stage, at most."""

MOST_WAYS = 8
"""Ways to a waist that are looked at."""

SHARES = tuple(part / 16 for part in range(3, 16))
"""Parts of a budget that the work on a tile may have; the rest is for whole tensors."""


def choose(anatomy: Anatomy, size: Size, *, budget: float) -> Tiling | None:
    """Find the stages and tiles that fit into a budget with the least work; None if none do.

    Args:
        anatomy: of the network.
        size: of the picture.
        budget: bytes for all activations and their gradients.
    """
    search = _Search(anatomy, size)
    found = [search.best(inside=part * budget, outside=(1 - part) * budget) for part in SHARES]
    fitting = [way for way in found if way is not None]
    if not fitting:
        return None
    best = min(fitting, key=lambda way: way.cost)
    return Tiling(best.stages, int(best.outside + best.inside), best.cost)


def least_budget(anatomy: Anatomy, size: Size) -> int:
    """Return about the smallest budget, in bytes, that any tiles fit into."""
    low, high = 0.0, 1e6
    while choose(anatomy, size, budget=high) is None:
        low, high = high, 2 * high
    while high - low > 0.03 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if choose(anatomy, size, budget=middle) else (middle, high)
    return math.ceil(high)


@dataclass(frozen=True)
class _Way:
    """Stages from the picture to a waist: what they cost, and bytes that they take.

    Attributes:
        stages: one after another.
        held: bytes of the tensors at their waists, which stay to the end.
        outside, inside: the most that whole tensors take, and the most that the work on a tile takes. TensorFlow keeps
            what a tile took for the next one, so they add up, whether they meet or not.
        cost: the work, as a multiple of looking at the whole picture once; of a gradient it is three where all fits.
    """

    stages: tuple[Stage, ...] = ()
    held: float = 0.0
    outside: float = 0.0
    inside: float = 0.0
    cost: float = 0.0


class _Search:
    """What the stages of a network cost on a picture of some size."""

    def __init__(self, anatomy: Anatomy, size: Size) -> None:
        sizes = anatomy.sizes(size)
        taps: int = sum(sizes[tap].elements for tap in anatomy.taps)
        self.segments = anatomy.segments(size)
        self.waists = [sizes[id(tensor)].elements for _, tensor in anatomy.waists]
        self.itemsize = anatomy.itemsize
        self.kept, self.judged = 2 * self.itemsize * taps, JUDGED * 4.0 * taps
        self.work = self.segments[0, None].work

    def best(self, *, inside: float, outside: float) -> _Way | None:
        """Return the cheapest way through the network whose tiles, and whose whole tensors, take so many bytes at most.

        Goes from waist to waist and keeps, of all ways that reach one, those that no other beats in both what they
        hold and what they cost.
        """
        ways: dict[int | None, list[_Way]] = {0: [_Way()]}
        for begin in range(len(self.waists)):
            for end in [*range(begin + 1, len(self.waists)), None]:
                further = [self._extended(way, begin, end, inside) for way in ways.get(begin, [])]
                fitting = [way for way in further if way is not None and way.outside <= outside]
                ways[end] = _best([*ways.get(end, []), *fitting])
        return min(ways[None], key=lambda way: way.cost, default=None)

    def _extended(self, way: _Way, begin: int, end: int | None, limit: float) -> _Way | None:
        """Go on by one stage, in the fewest tiles that fit."""
        segment = self.segments[begin, end]
        read = 0 if begin == 0 else self.waists[begin]
        made = 0 if end is None else self.waists[end]
        for rows, columns, bytes_, forward, back in _grids(segment, self.itemsize):
            taken = max(bytes_, self.judged if end is None else 0.0)
            if taken > limit:
                continue
            # Forward is one, back is two, with another look on the way.
            work = (forward + 3 * back) * segment.work / self.work
            return _Way(
                stages=(*way.stages, Stage(begin, end, rows, columns)),
                held=way.held + self.itemsize * made,
                # The gradients in what a stage reads and hands on are whole, too.
                outside=max(way.outside, way.held + self.kept + self.itemsize * (read + made)),
                inside=max(way.inside, taken),
                cost=way.cost + work + PER_TILE * rows * columns,
            )
        return None


Grid = tuple[int, int, float, float, float]
"""Rows and columns of tiles, bytes of the largest, and the area of all of them together, forward and back, as a part of
the whole."""


@functools.lru_cache(maxsize=4096)
def _grids(segment: Segment, itemsize: int) -> list[Grid]:
    """List the grids for a stage, from few tiles to many; only those whose tiles are smaller than of all before."""
    bytes_each = itemsize * segment.live / segment.area
    found: list[Grid] = []
    for rows in range(1, MOST_TILES + 1 if segment.local else 2):
        height, *down = segment.rows.lengths(rows)
        for columns in range(1, min(MOST_TILES, MOST_GRID // rows) + 1 if segment.local else 2):
            width, *across = segment.columns.lengths(columns)
            forward, back = (a * b / segment.area for a, b in zip(down, across, strict=True))
            found.append((rows, columns, bytes_each * width * height, forward, back))
    found.sort(key=lambda grid: (grid[0] * grid[1], grid[2]))
    before = [math.inf, *itertools.accumulate((grid[2] for grid in found), min)]
    return [grid for grid, least in zip(found, before, strict=False) if grid[2] < least]


def _best(ways: list[_Way]) -> list[_Way]:
    """Keep the ways that no other beats in both what they hold and what they cost; if many, some from end to end."""
    kept: list[_Way] = []
    for way in sorted(ways, key=lambda one: (one.cost, one.held + one.outside)):
        if not kept or way.held + way.outside < kept[-1].held + kept[-1].outside:
            kept.append(way)
    return spread(kept, MOST_WAYS)
