"""A small chart of numbers step by step, to stand among the pictures of a contact sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from renderer.frame import Pixels, Size

BACKGROUND, GRID, FAINT, BRIGHT = (30, 31, 35), (52, 53, 58), (104, 104, 104), (242, 192, 99)
ROOM = 0.08
"""Part of the chart's shorter side that is left free around the lines."""


def chart(runs: Sequence[Sequence[float]], *, bright: int, size: Size) -> Pixels:
    """Draw runs of numbers one after another, each as a line of its own, all on one scale.

    Args:
        runs: the numbers; what is not finite is left out.
        bright: the run that stands out.
        size: of the chart, pixels.

    Returns:
        uint8 `(H, W, 3)`.
    """
    page = np.full((size.height, size.width, 3), BACKGROUND, np.uint8)
    known = [value for run in runs for value in run if math.isfinite(value)]
    total = sum(map(len, runs))
    if not known:
        return page
    low, high = min(known), max(known)
    free = max(2, round(ROOM * min(size)))
    for part in (0.0, 0.5, 1.0):
        row = round(free + part * (size.height - 1 - 2 * free))
        page[row, free : size.width - free] = GRID
    begun = 0
    for index, run in enumerate(runs):
        points = [
            (
                free + (begun + step + 0.5) / total * (size.width - 2 * free),
                free + (1 - (value - low) / ((high - low) or 1)) * (size.height - 1 - 2 * free),
            )
            for step, value in enumerate(run)
            if math.isfinite(value)
        ]
        begun += len(run)
        _line(page, points, BRIGHT if index == bright else FAINT, thickness=max(1, round(min(size) / 90)))
    return page


def _line(page: Pixels, points: Sequence[tuple[float, float]], colour: tuple[int, int, int], *, thickness: int) -> None:
    """Draw a line through points, smooth to a sixteenth of a pixel; a single point is a dot."""
    fixed = np.round(16 * np.array(points, np.float64).reshape(-1, 1, 2)).astype(np.int32)
    if len(points) == 1:
        cv2.circle(page, tuple(map(int, fixed[0, 0])), 24 * thickness, colour, -1, cv2.LINE_AA, 4)
    elif points:
        cv2.polylines(page, [fixed], False, colour, thickness, cv2.LINE_AA, 4)
