"""Which stages and tiles of a picture fit into a budget of memory with the least work."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

from renderer.dreaming.tiles.tiling import IDLE, CandidateStage, GraphCuts, Stage, Tiling, spread
from renderer.frame import Size

OBJECTIVE_SHARE = 3.5 * IDLE
"""What an objective takes, times its activations as float32: they, their products and their gradients."""

PER_TILE = 2e-3
"""What a tile costs in itself, as a part of the work on the whole picture."""

MOST_TILES, MOST_GRID = 32, 256
"""Tiles along a side, and of a stage, at most."""

MOST_PATHS = 8
"""Ways to a cut point that are compared."""

SHARES = tuple(part / 16 for part in range(3, 16))
"""Parts of a budget that the work on a tile may have; the rest is for whole tensors."""


def choose_tiling(cuts: GraphCuts, size: Size, *, budget: float) -> Tiling | None:
    """Find the stages and tiles that fit into a budget with the least work; None if none do.

    Args:
        cuts: of the network.
        size: of the picture.
        budget: bytes for all activations and their gradients.
    """
    search = _Search(cuts, size)
    found = [search.best(inside=part * budget, outside=(1 - part) * budget) for part in SHARES]
    fitting = [path for path in found if path is not None]
    if not fitting:
        return None
    best = min(fitting, key=lambda path: path.cost)
    return Tiling(best.stages, int(best.outside + best.inside), best.cost)


def least_budget(cuts: GraphCuts, size: Size) -> int:
    """Return about the smallest budget, in bytes, that any tiles fit into."""
    low, high = 0.0, 1e6
    while choose_tiling(cuts, size, budget=high) is None:
        low, high = high, 2 * high
    while high - low > 0.03 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if choose_tiling(cuts, size, budget=middle) else (middle, high)
    return math.ceil(high)


@dataclass(frozen=True)
class _Path:
    """Stages from the picture to a cut point: what they cost, and bytes that they take.

    Attributes:
        stages: one after another.
        held: bytes of the tensors at their cut points, which stay to the end.
        outside, inside: the most that whole tensors take, and the most that the work on a tile takes. TensorFlow keeps
            what a tile took for the next one, so they add up, whether they meet or not.
        cost: the work, as a multiple of one forward pass over the whole picture; for a gradient where all fits it is
            three.
    """

    stages: tuple[Stage, ...] = ()
    held: float = 0.0
    outside: float = 0.0
    inside: float = 0.0
    cost: float = 0.0


class _Search:
    """What the stages of a network cost on a picture of some size."""

    def __init__(self, cuts: GraphCuts, size: Size) -> None:
        sizes = cuts.tensors(size)
        taps: int = sum(sizes[tap].elements for tap in cuts.taps)
        self.candidates = cuts.candidates(size)
        self.cut_points = [sizes[id(tensor)].elements for _, tensor in cuts.cut_points]
        self.itemsize = cuts.itemsize
        self.kept, self.objective_bytes = 2 * self.itemsize * taps, OBJECTIVE_SHARE * 4.0 * taps
        self.work = self.candidates[0, None].work

    def best(self, *, inside: float, outside: float) -> _Path | None:
        """Return the cheapest path through the network within a budget for the work on tiles and one for whole tensors.

        Goes from cut point to cut point and keeps, of all paths that reach one, those that no other beats in both what
        they hold and what they cost.
        """
        paths: dict[int | None, list[_Path]] = {0: [_Path()]}
        for begin in range(len(self.cut_points)):
            for end in [*range(begin + 1, len(self.cut_points)), None]:
                further = [self._extended(path, begin, end, inside) for path in paths.get(begin, [])]
                fitting = [path for path in further if path is not None and path.outside <= outside]
                paths[end] = _unbeaten([*paths.get(end, []), *fitting])
        return min(paths[None], key=lambda path: path.cost, default=None)

    def _extended(self, path: _Path, begin: int, end: int | None, limit: float) -> _Path | None:
        """Go on by one stage, in the fewest tiles that fit."""
        candidate = self.candidates[begin, end]
        read = 0 if begin == 0 else self.cut_points[begin]
        made = 0 if end is None else self.cut_points[end]
        for rows, columns, bytes_, forward, back in _grids(candidate, self.itemsize):
            taken = max(bytes_, self.objective_bytes if end is None else 0.0)
            if taken > limit:
                continue
            # Forward is one, back is two, with another forward pass on the way.
            work = (forward + 3 * back) * candidate.work / self.work
            return _Path(
                stages=(*path.stages, Stage(begin, end, rows, columns)),
                held=path.held + self.itemsize * made,
                # The gradients in what a stage reads and hands on are whole, too.
                outside=max(path.outside, path.held + self.kept + self.itemsize * (read + made)),
                inside=max(path.inside, taken),
                cost=path.cost + work + PER_TILE * rows * columns,
            )
        return None


Grid = tuple[int, int, float, float, float]
"""Rows and columns of tiles, bytes of the largest, and the area of all of them together, forward and back, as a part of
the whole."""


@functools.lru_cache(maxsize=4096)
def _grids(candidate: CandidateStage, itemsize: int) -> list[Grid]:
    """List the grids for a stage, from few tiles to many; only those whose tiles are smaller than of all before."""
    bytes_each = itemsize * candidate.live / candidate.area
    found: list[Grid] = []
    for rows in range(1, MOST_TILES + 1 if candidate.local else 2):
        height, *down = candidate.rows.lengths(rows)
        for columns in range(1, min(MOST_TILES, MOST_GRID // rows) + 1 if candidate.local else 2):
            width, *across = candidate.columns.lengths(columns)
            forward, back = (a * b / candidate.area for a, b in zip(down, across, strict=True))
            found.append((rows, columns, bytes_each * width * height, forward, back))
    found.sort(key=lambda grid: (grid[0] * grid[1], grid[2]))
    before = [math.inf, *itertools.accumulate((grid[2] for grid in found), min)]
    return [grid for grid, least in zip(found, before, strict=False) if grid[2] < least]


def _unbeaten(paths: list[_Path]) -> list[_Path]:
    """Keep the paths that no other beats in both what they hold and what they cost; if many, some from end to end."""
    kept: list[_Path] = []
    for path in sorted(paths, key=lambda one: (one.cost, one.held + one.outside)):
        if not kept or path.held + path.outside < kept[-1].held + kept[-1].outside:
            kept.append(path)
    return spread(kept, MOST_PATHS)
