"""How much of itself a film repeats: structural similarity of frames some seconds apart, seen from the same place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.frame import Size
from renderer.measure.measuring import Look, Plane, Subject
from renderer.motion.camera import Camera

WINDOW = 11
"""Side of the window of the structural similarity, pixels."""

_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2
_FEWEST = 64  # Windows that must fit into what two frames both show, for their similarity to mean anything.
_PAIRS_A_SECOND = 2


def ssim_map(first: Plane, second: Plane) -> Plane:
    """Compute the structural similarity of two planes at every window that lies inside.

    Args:
        first: `(H, W)`, 0 to 1, each side at least `WINDOW`.
        second: the same.

    Returns:
        `(H - 10, W - 10)`, -1 to 1; 1 where both are equal.

    Source: Wang, Bovik, Sheikh and Simoncelli 2004, "Image quality assessment: from error visibility to structural
    similarity", equation 13, with their Gaussian window of 11 pixels, sigma 1.5.
    """

    def blur(plane: NDArray[np.float64]) -> NDArray[np.float64]:
        blurred = cv2.GaussianBlur(plane, (WINDOW, WINDOW), _SIGMA)
        inside = slice(WINDOW // 2, -(WINDOW // 2))
        return np.asarray(blurred, np.float64)[inside, inside]

    # In double precision: variances are differences of squares, and those of smooth places are small.
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    mean_a, mean_b = blur(a), blur(b)
    spread_a, spread_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    together = blur(a * b) - mean_a * mean_b
    alike = (2 * mean_a * mean_b + _C1) * (2 * together + _C2)
    return np.asarray(alike / ((mean_a**2 + mean_b**2 + _C1) * (spread_a + spread_b + _C2)), np.float32)


def ssim(first: Plane, second: Plane, *, mask: NDArray[np.bool_] | None = None) -> float | None:
    """Compute the mean structural similarity of two planes.

    Args:
        first: `(H, W)`, 0 to 1.
        second: the same.
        mask: `(H, W)`, where both show something; only windows that lie wholly in it count. None for everywhere.

    Returns:
        -1 to 1, or None if too few windows count.
    """
    if min(first.shape) < WINDOW:
        return None
    found = ssim_map(first, second)
    if mask is None:
        return float(found.mean())
    half = WINDOW // 2
    whole = cv2.erode(mask.astype(np.uint8), np.ones((WINDOW, WINDOW), np.uint8))[half:-half, half:-half] > 0
    return float(found[whole].mean()) if whole.sum() >= _FEWEST else None


def unzoom(later: Plane, camera: Camera, *, earlier_at: float, later_at: float) -> tuple[Plane, NDArray[np.bool_]]:
    """Show a later frame as the camera saw the place earlier.

    Args:
        later: luma `(H, W)` of the later frame.
        camera: the journey.
        earlier_at: seconds of the frame whose view is wanted.
        later_at: seconds of the frame that is given.

    Returns:
        The plane on the grid of the earlier frame `(H, W)`, and where it shows something, `(H, W)`.
    """
    height, width = later.shape
    # From a pixel of the earlier frame to where it is found in the later one.
    way = camera.matrix(later_at, earlier_at, size=Size(width, height))
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    x, y, w = np.einsum("ij,jhw->ihw", way, np.stack([columns, rows, np.ones_like(rows)]))
    with np.errstate(all="ignore"):
        x, y = x / w, y / w
        mask = (w > 0) & (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    smaller, to_smaller = _shrink(later, way)
    seen = cv2.warpPerspective(
        smaller,
        to_smaller @ way,
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(seen, np.float32), mask


def _shrink(later: Plane, way: NDArray[np.float64]) -> tuple[Plane, NDArray[np.float64]]:
    """Average a frame down to the scale at which it will be seen, and return the map to the smaller pixels.

    Read point by point, a frame that is seen five times smaller would be all aliases.
    """
    height, width = later.shape
    factor = float(np.sqrt(abs(np.linalg.det(way[:2, :2]))))
    if not np.isfinite(factor) or factor <= 1:
        return later, np.eye(3)
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    across, down = small[0] / width, small[1] / height
    to_smaller = np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5], [0, 0, 1]])
    return np.asarray(cv2.resize(later, small, interpolation=cv2.INTER_AREA), np.float32), to_smaller


class SelfSimilarity:
    """Structural similarity of frames a gap apart, the later one un-zoomed onto the earlier where the camera is known.

    Low means that the film keeps changing; near 1, that it only moves what it once drew. Two pairs are taken a second.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._every = max(1, round(subject.rate / _PAIRS_A_SECOND))
        self._held: dict[int, NDArray[np.float16]] = {}
        self._found: list[tuple[int, float | None]] = []

    def add(self, look: Look) -> None:
        earlier = self._held.pop(look.index - self.subject.gap, None)
        if earlier is not None:
            self._found.append((look.index, self._compare(earlier.astype(np.float32), look)))
        if look.index % self._every == 0:
            self._held[look.index] = look.luma.astype(np.float16)

    def _compare(self, earlier: Plane, look: Look) -> float | None:
        if self.subject.camera is None:
            return ssim(earlier, look.luma)
        rate = float(self.subject.rate)
        seen, mask = unzoom(
            look.luma,
            self.subject.camera,
            earlier_at=(look.index - self.subject.gap) / rate,
            later_at=look.index / rate,
        )
        return ssim(earlier, seen, mask=mask)

    def result(self) -> dict[str, Any]:
        values = [value for _, value in self._found if value is not None]
        return {
            "gap_seconds": float(self.subject.gap / self.subject.rate),
            "unzoomed": self.subject.camera is not None,
            "median": float(np.median(values)) if values else None,
            "largest": max(values) if values else None,
            "pairs": [[float(index / self.subject.rate), value] for index, value in self._found],
        }

    @staticmethod
    def lines(result: Mapping[str, Any]) -> list[str]:
        how = "the later one un-zoomed" if result["unzoomed"] else "as they are: no camera is known"
        apart = f"SSIM of frames {result['gap_seconds']:.3g} s apart, {how}"
        if result["median"] is None:
            why = "no such pair" if not result["pairs"] else "such pairs share too little"
            return [f"self-similarity  -  {why} ({apart})"]
        return [f"self-similarity  {result['median']:.3f} median, {result['largest']:.3f} largest ({apart})"]
