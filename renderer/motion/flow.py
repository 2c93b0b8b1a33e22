"""Where the pixels of a film came from: optical flow, and how far it can be trusted.

Flow is backward: for each pixel of the current frame, where it was in the one before. What belongs to the frame before
is then read at p + flow(p), which leaves no holes; forward flow, sampled at the pixels of the new frame as many do,
smears whatever moves. It is computed on frames of the source, never on dreams.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.errors import UsageError, nearest
from renderer.frame import Frame, Pixels, to_8bit
from renderer.motion.resample import warp_by

__all__ = [
    "FLOWS",
    "Flow",
    "Motion",
    "MotionFinder",
    "composed",
    "estimate",
    "estimator",
    "read_at",
    "trust",
    "warp_by",
]

Flow = NDArray[np.float32]
"""`(H, W, 2)` pixels to the right and down."""

Plane = NDArray[np.float32]
Grey = NDArray[np.uint8]
Estimator = Callable[[Grey, Grey], Flow]
"""(frame a, frame b), uint8 `(H, W)` -> flow from a to b."""

SMALLEST = 16
"""Shortest side, pixels, on which flow can be estimated; below it nothing is taken to move."""

LARGE = 4_000_000
"""Pixels of a frame from which on each search is made anew: the buffers that it keeps are many times the frame."""

MASK_SIGMA = 0.8
"""Blur of the trust, pixels: patches would else be seen to end in steps (Ruder et al. 2016)."""

LEAST_STEP = 0.7
"""Pixels by which flow must differ on both sides of an edge of motion."""

REACH = 0.025
"""How far away a pixel looks for a better flow, part of the width."""

LEAST_GAIN = 0.75
"""By how many levels of 255 another flow must find a pixel better, to be taken."""

MOSTLY_GOOD = 0.998
"""Share of a frame; where more of it is found again on the way back, flow is taken as it is, which saves time."""

SLACK = 1.0
"""Squared pixels by which the way there and back may miss here: the way back is found roughly."""

LARGEST_DIFFERENCE = 0.06
"""How far the colours of a place may be apart in two frames, part of the full range, mean over its neighbourhood."""


@dataclass(frozen=True)
class Motion:
    """From one frame back to the one before: the flow, and `(H, W)` from 0 to 1 how far it can be trusted."""

    flow: Flow
    trust: Plane


def composed(first: Motion, second: Motion) -> Motion:
    """Put together two motions, from a frame to a second one and from there to a third.

    A picture is then read once along the way, however many frames it leads over. It can be trusted where each part can.
    """
    planes = read_at(np.dstack([second.flow, second.trust]), first.flow)
    return Motion(flow=cv2.add(first.flow, planes[..., :2]), trust=first.trust * planes[..., 2])


class MotionFinder:
    """Finds where the pixels of a frame were in the frame before it; for one thread at a time.

    Called frame by frame it remembers what it made of the last one; what it finds does not depend on that.

    Args:
        kind: key of `FLOWS`.

    Raises:
        UsageError: an unknown kind.
    """

    def __init__(self, kind: str) -> None:
        self._flow, self._way_back = estimator(kind), WAY_BACK()
        self._last: tuple[Frame, Pixels, Grey] | None = None

    def __call__(self, current: Frame, previous: Frame) -> Motion:
        """Return the motion from a frame `(H, W, 3)` of the source back to the frame before it."""
        pixels_before, before = self._reduced(previous)
        pixels_now, now = self._reduced(current)
        backward, forward = self._flow(now, before), self._way_back(before, now)
        good = consistent(backward, forward, margin=0.5, slack=SLACK)
        if good.mean() < MOSTLY_GOOD:
            backward, forward = fitted(backward, now, before), fitted(forward, before, now)
            good = consistent(backward, forward, margin=0.5, slack=SLACK)
        return Motion(flow=backward, trust=trust(backward, good, pictures=(pixels_now, pixels_before)))

    def both(self, current: Frame, previous: Frame) -> tuple[Motion, Motion]:
        """Return the motion from a frame back to the one before it, and from that one on to the frame.

        Both are found equally well, and each is checked by the other; twice the work of the one alone, about.
        """
        pixels_before, before = self._reduced(previous)
        pixels_now, now = self._reduced(current)
        back, on = self._flow(now, before), self._flow(before, now)
        found_again = _both_ways(back, on)
        if found_again[0].mean() < MOSTLY_GOOD:
            back, on = fitted(back, now, before), fitted(on, before, now)
            found_again = _both_ways(back, on)
        pictures = pixels_now, pixels_before
        return (
            Motion(flow=back, trust=trust(back, found_again[0], pictures=pictures)),
            Motion(flow=on, trust=trust(on, found_again[1], pictures=pictures[::-1])),
        )

    def _reduced(self, frame: Frame) -> tuple[Pixels, Grey]:
        if self._last is None or self._last[0] is not frame:
            pixels = to_8bit(frame)
            self._last = (frame, pixels, np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8))
        return self._last[1:]


def estimator(kind: str) -> Estimator:
    """Return an estimator of the registry; it may be used again and again, in one thread at a time.

    Raises:
        UsageError: an unknown kind.
    """
    if kind not in FLOWS:
        raise UsageError(f"There is no flow {kind!r}{nearest(kind, FLOWS)}")
    return FLOWS[kind]()


def estimate(current: Frame, previous: Frame, *, kind: str) -> Flow:
    """Estimate the flow `(H, W, 2)` from one frame to another.

    Raises:
        UsageError: an unknown kind.
    """
    return estimator(kind)(grey(current), grey(previous))


def grey(frame: Frame) -> Grey:
    """Return the brightness of a frame in 8 bits, which is what flow is estimated on."""
    return np.asarray(cv2.cvtColor(to_8bit(frame), cv2.COLOR_RGB2GRAY), np.uint8)


def fitted(flow: Flow, a: Grey, b: Grey) -> Flow:
    """Bring the edges of a flow to the edges of things.

    Patches blur the flow across the outlines of what moves. Each pixel tries the flow of its neighbours, `REACH` away
    in four directions, and takes the one that finds it again best.

    Args:
        flow: `(H, W, 2)` from `a` to `b`.
        a: uint8 `(H, W)`.
        b: the same.
    """
    height, width = a.shape
    if min(height, width) < SMALLEST:
        return flow
    reach = max(2, round(REACH * width))

    def cost(candidate: Flow) -> Plane:
        return _difference(a, b, candidate, 5)

    best, least = flow.copy(), cost(flow) - np.float32(LEAST_GAIN)
    for right, down in ((reach, 0), (-reach, 0), (0, reach), (0, -reach)):
        shift = np.array([[1, 0, -right], [0, 1, -down]], np.float32)
        candidate = cv2.warpAffine(
            flow, shift, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
        )
        found = cost(np.asarray(candidate, np.float32))
        better = cv2.compare(found, least, cv2.CMP_LT)
        cv2.copyTo(candidate, better, best)
        cv2.copyTo(found, better, least)
    return best


def trust(backward: Flow, good: NDArray[np.bool_], *, pictures: tuple[Pixels, Pixels]) -> Plane:
    """Say where a flow can be trusted.

    Not where the way there and back does not end where it began, not at edges of motion, not where it leaves the
    frame, and not where the two frames differ too much in colour.

    Args:
        backward: `(H, W, 2)` from the current frame to the one before.
        good: `(H, W)`, where it is `consistent` with the way back.
        pictures: uint8 `(H, W, 3)`, the current frame and the one before.

    Returns:
        `(H, W)`, 0 to 1: 0 or 1 blurred by `MASK_SIGMA`, and never more than what it was before the blur.

    Source: Ruder, Dosovitskiy and Brox 2016, "Artistic style transfer for videos", equations 5 and 6, there for the
    frame before. We add the comparison of colours, which finds what is newly uncovered where flow is guesswork, and
    keep the blur from reaching into what is not to be trusted.
    """
    alike = _difference(*pictures, backward, 3) < np.float32(255 * LARGEST_DIFFERENCE)
    # Next to what is not found again, little is to be trusted: a pixel more is left out.
    kept = cv2.erode((good & alike).astype(np.float32), np.ones((3, 3), np.uint8), borderValue=1.0)
    kept[motion_edges(backward)] = 0
    return np.asarray(cv2.min(cv2.GaussianBlur(kept, (5, 5), MASK_SIGMA), kept), np.float32)


def consistent(backward: Flow, forward: Flow, *, margin: float = 0.0, slack: float = 0.5) -> NDArray[np.bool_]:
    """Say where going back and forth ends where it began, inside the frame and `margin` pixels around it: `(H, W)`.

    Half a pixel outside is still the pixel at the edge. `slack` is by how many squared pixels the end may miss where
    nothing moves (Ruder et al. 2016, equation 5).
    """
    returned = read_at(forward, backward)
    error = square(cv2.add(backward, returned))
    allowed = cv2.addWeighted(square(backward), 0.01, square(returned), 0.01, slack)
    return np.asarray((cv2.compare(error, allowed, cv2.CMP_LE) > 0) & inside(backward, margin=margin))


def _both_ways(back: Flow, on: Flow) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return consistent(back, on, margin=0.5, slack=SLACK), consistent(on, back, margin=0.5, slack=SLACK)


def motion_edges(flow: Flow) -> NDArray[np.bool_]:
    """Say where the flow changes from one object to another: `(H, W)`.

    As `steep`, and by a step of `LEAST_STEP` pixels within the neighbourhood: without that, the small waves of flow
    over an empty sky would count as edges, and come and go.
    """
    near = np.ones((3, 3), np.uint8)
    step = cv2.subtract(cv2.dilate(flow, near), cv2.erode(flow, near))
    return np.asarray(steep(flow) & (square(step) > np.float32(LEAST_STEP**2)))


def steep(flow: Flow) -> NDArray[np.bool_]:
    """Say where |grad u|^2 + |grad v|^2 > 0.01 |w|^2 + 0.002: `(H, W)` (Ruder et al. 2016, equation 6)."""
    across = square(cv2.Sobel(flow, cv2.CV_32F, 1, 0, ksize=1, scale=0.5))
    slope = cv2.add(across, square(cv2.Sobel(flow, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)))
    return np.asarray(cv2.compare(slope, cv2.addWeighted(square(flow), 0.01, slope, 0, 0.002), cv2.CMP_GT) > 0)


def inside(flow: Flow, *, margin: float = 0.0) -> NDArray[np.bool_]:
    """Say which pixels are read from inside the frame, or from `margin` pixels around it: `(H, W)`."""
    height, width = flow.shape[:2]
    least, most = (-margin, -margin), (width - 1 + margin, height - 1 + margin)
    return np.asarray(cv2.inRange(_places(flow), least, most) > 0)


def read_at(planes: NDArray[np.float32], flow: Flow) -> NDArray[np.float32]:
    """Read planes `(H, W, C)` at p + flow(p), bilinearly: good for masks and measures, too soft for pictures."""
    read = cv2.remap(planes, _places(flow), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(read, np.float32)


def square(vectors: Flow) -> Plane:
    """Return the squared length `(H, W)` of vectors `(H, W, 2)`."""
    return np.asarray(cv2.transform(cv2.multiply(vectors, vectors), _SUM), np.float32)


def _difference(a: Pixels | Grey, b: Pixels | Grey, flow: Flow, side: int) -> Plane:
    """Return how far `a` is from `b` read along a flow, in levels: the worst channel, mean over `side` x `side`."""
    found = cv2.absdiff(a, cv2.remap(b, _places(flow), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    if found.ndim == 3:
        red, green, blue = cv2.split(found)
        found = cv2.max(cv2.max(red, green), blue)
    return np.asarray(cv2.boxFilter(found, cv2.CV_32F, (side, side)), np.float32)


_SUM = np.ones((1, 2), np.float32)


def _places(flow: Flow) -> Flow:
    return np.asarray(cv2.add(flow, _grid(*flow.shape[:2])), np.float32)


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> Flow:
    """Return the place `(x, y)` of each pixel: `(H, W, 2)`."""
    return np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)))


def _dis(preset: int, finest: int | None = None, *, refinements: int | None = None) -> Callable[[], Estimator]:
    """Make Dense Inverse Search (Kroeger et al. 2016), down to the scale 1 / 2^finest; None for the preset's own."""

    def search() -> cv2.DISOpticalFlow:
        made = cv2.DISOpticalFlow_create(preset)  # type: ignore[attr-defined]
        if finest is not None:
            made.setFinestScale(finest)
        if refinements is not None:
            made.setVariationalRefinementIterations(refinements)
        return made

    def make() -> Estimator:
        kept = search()

        def flow(a: Grey, b: Grey) -> Flow:
            if min(a.shape) < SMALLEST:
                return np.zeros((*a.shape, 2), np.float32)
            return np.asarray((search() if a.size > LARGE else kept).calc(a, b, None), np.float32)

        return flow

    return make


WAY_BACK = _dis(cv2.DISOPTICAL_FLOW_PRESET_FAST, 1, refinements=2)
"""What finds the flow by which another flow is checked: a quarter less work than "fine", and as good for that."""

FLOWS: dict[str, Callable[[], Estimator]] = {
    "rough": _dis(cv2.DISOPTICAL_FLOW_PRESET_FAST),
    "fine": _dis(cv2.DISOPTICAL_FLOW_PRESET_FAST, 1),
    "finer": _dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, 1),
    # What steadiness is measured with: kept from rendering by default, so that the judge is not the judged.
    "judge": _dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, 0),
}
