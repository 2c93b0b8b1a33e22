"""Frames compared with earlier ones, the motion between them taken out: does a film repeat itself, is it restless?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.frame import Pixels, Size, from_8bit
from renderer.measure.measured import Line, MeasuredFilm, MeasuredFrame, Measurement, Plane
from renderer.motion.camera import Camera
from renderer.motion.flow import consistent, estimator, grey, inside, read_at, steep

Flow = NDArray[np.float32]
Mask = NDArray[np.bool_]

PAIRS = 120
"""Neighbours that `unrest` compares, spread over the film; all where it has fewer."""

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


def ssim(first: Plane, second: Plane, *, mask: Mask | None = None) -> float | None:
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


def unzoom(later: Plane, camera: Camera, *, earlier_at: float, later_at: float) -> tuple[Plane, Mask]:
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


def self_similarity(film: MeasuredFilm) -> Measurement:
    """Compare frames a gap apart by structural similarity, the later one un-zoomed onto the earlier if it can be.

    It can where the camera is known. Low means that the film keeps changing; near 1, that it only moves what it once
    drew. Two pairs are taken a second.
    """
    rate = float(film.rate)
    every = max(1, round(film.rate / _PAIRS_A_SECOND))
    waiting: dict[int, NDArray[np.float16]] = {}
    pairs: list[list[float | None]] = []
    while (frame := (yield)) is not None:
        earlier = waiting.pop(frame.index - film.gap, None)
        if earlier is not None:
            later, mask = frame.luma, None
            if film.camera is not None:
                before = (frame.index - film.gap) / rate
                later, mask = unzoom(later, film.camera, earlier_at=before, later_at=frame.index / rate)
            pairs.append([float(frame.index / film.rate), ssim(earlier.astype(np.float32), later, mask=mask)])
        if frame.index % every == 0:
            waiting[frame.index] = frame.luma.astype(np.float16)
    values = [value for _, value in pairs if value is not None]
    return {
        "gap_seconds": float(film.gap / film.rate),
        "unzoomed": film.camera is not None,
        "median": float(np.median(values)) if values else None,
        "largest": max(values) if values else None,
        "pairs": pairs,
    }


def self_similarity_text(result: Mapping[str, Any]) -> list[str]:
    """Write what `self_similarity` found."""
    how = "the later one un-zoomed" if result["unzoomed"] else "as they are: no camera is known"
    apart = f"SSIM of frames {result['gap_seconds']:.3g} s apart, {how}"
    if result["median"] is None:
        why = "no such pair" if not result["pairs"] else "such pairs share too little"
        return [f"self-similarity  -  {why} ({apart})"]
    return [f"self-similarity  {result['median']:.3f} median, {result['largest']:.3f} largest ({apart})"]


def self_similarity_plot(result: Mapping[str, Any], _rate: float) -> list[Line]:
    """Draw the pairs that could be compared."""
    pairs = [pair for pair in result["pairs"] if pair[1] is not None]
    return [("similarity", [pair[0] for pair in pairs], [pair[1] for pair in pairs])]


def warping_error(earlier: Pixels, later: Pixels, flow: Flow, mask: Mask) -> float | None:
    """Compute the mean square difference of a frame and a later one, brought back by the motion between them.

    Args:
        earlier: uint8 `(H, W, 3)`.
        later: the same.
        flow: `(H, W, 2)` from the earlier to the later one, of the source.
        mask: `(H, W)`, where it counts.

    Returns:
        Per pixel and channel, of values in [0, 1]; None if nothing counts.

    Source: Lai et al. 2018, "Learning blind video temporal consistency", equation 6.
    """
    counted = int(np.count_nonzero(mask))
    if not counted:
        return None
    difference = read_at(from_8bit(later), flow) - from_8bit(earlier)
    return float(np.square(difference[mask], dtype=np.float64).sum() / (3 * counted))


def flow_finder() -> Callable[[Pixels, Pixels], tuple[Flow, Mask]]:
    """Return what finds the flow from a frame to a later one, `(H, W, 2)`, and where it can be trusted, `(H, W)`.

    It is found by another setting than films are rendered with by default.
    """
    flow_of = estimator("judge")

    def find(earlier: Pixels, later: Pixels) -> tuple[Flow, Mask]:
        before, after = grey(from_8bit(earlier)), grey(from_8bit(later))
        there, back = flow_of(before, after), flow_of(after, before)
        return there, consistent(there, back) & ~steep(there)

    return find


def by_camera(film: MeasuredFilm, camera: Camera) -> Callable[[MeasuredFrame], tuple[Flow, Mask]]:
    """Return what gives the flow to a frame from the one before, `(H, W, 2)`, and where it counts, `(H, W)`."""
    size, rate = film.size, float(film.rate)
    columns, rows = np.meshgrid(np.arange(size.width, dtype=np.float64), np.arange(size.height, dtype=np.float64))
    places = np.stack([columns, rows, np.ones_like(rows)])

    def find(frame: MeasuredFrame) -> tuple[Flow, Mask]:
        way = camera.matrix(frame.index / rate, (frame.index - 1) / rate, size=size)
        x, y, w = np.einsum("ij,jhw->ihw", way, places)
        w = np.where(w > 0, w, np.nan)
        flow = np.nan_to_num(np.dstack([x / w - columns, y / w - rows]), nan=1e6).astype(np.float32)
        return flow, inside(flow)

    return find


def unrest(film: MeasuredFilm) -> Measurement:
    """Measure how far a pixel differs from the one that the motion brings there in the next frame.

    Where the camera of a film is known, its motion is taken in place of the optical flow of the source; there is
    nothing to say of a film of which neither is known. Pairs across cuts do not count.

    It gives the root mean square difference of the film and of its source, levels of 255; None where nothing counts.
    """
    every = max(1, math.ceil((film.frames - 1) / PAIRS))
    from_camera = None if film.camera is None else by_camera(film, film.camera)
    from_source = flow_finder()
    before: MeasuredFrame | None = None
    errors = []
    while (frame := (yield)) is not None:
        if before is not None and frame.index % every == 0 and frame.index not in film.cuts:
            if from_camera is not None:
                error = warping_error(before.pixels, frame.pixels, *from_camera(frame))
                if error is not None:
                    errors.append((error, error))
            elif before.source is not None and frame.source is not None:
                flow = from_source(before.source.pixels, frame.source.pixels)
                error = warping_error(before.pixels, frame.pixels, *flow)
                of_source = warping_error(before.source.pixels, frame.source.pixels, *flow)
                if error is not None and of_source is not None:
                    errors.append((error, of_source))
        before = frame
    if not errors:
        return {"unrest": None, "source_unrest": None}
    of_film, of_source = (255 * math.sqrt(mean) for mean in np.mean(errors, axis=0))
    return {"unrest": of_film, "source_unrest": None if from_camera else of_source}
