"""From coarse to fine: the pyramid of scales a dream is made on, and what one scale hands to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from renderer.frame import Frame, Size
from renderer.lazy import Lazy

if TYPE_CHECKING:
    import cv2
else:
    cv2 = Lazy("cv2")


def octave_sizes(size: Size, *, octaves: int, ratio: float, smallest: int = 1) -> list[Size]:
    """List the sizes of the octaves, coarse to fine, the last one being `size`.

    Args:
        size: of the frame.
        octaves: how many at the most.
        ratio: from one octave's side to the next, above 1.
        smallest: octaves with a side under this many pixels are left out, except the frame itself.
    """
    sizes = (scaled(size, ratio**k) for k in range(octaves - 1, 0, -1))
    return [*(one for one in sizes if min(one) >= smallest), size]


def resize(frame: Frame, size: Size) -> Frame:
    """Resample a frame `(H, W, 3)` or a plane `(H, W)`: area average going down, cubic going up, itself if it fits."""
    if Size.of(frame) == size:
        return frame
    smaller = size.width * size.height < frame.shape[0] * frame.shape[1]
    resized = cv2.resize(frame, tuple(size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return np.asarray(resized, np.float32)


def resize_linear(frame: Frame, size: Size) -> Frame:
    """Resample bilinearly without averaging, as `cv2.resize` and `tf.image.resize` do if nothing else is asked for."""
    if Size.of(frame) == size:
        return frame
    return np.asarray(cv2.resize(frame, tuple(size), interpolation=cv2.INTER_LINEAR), np.float32)


def resize_corners(frame: Frame, size: Size) -> Frame:
    """Resample bilinearly, corner pixels staying in the corners, as `scipy.ndimage.zoom` does (google's notebook)."""
    if Size.of(frame) == size:
        return frame
    import scipy.ndimage

    factors = (size.height / frame.shape[0], size.width / frame.shape[1], *[1] * (frame.ndim - 2))
    return np.asarray(scipy.ndimage.zoom(frame, factors, order=1, mode="nearest"), np.float32)


def pad_to(frame: Frame, smallest: int) -> Frame:
    """Extend a frame by its mirror image, right and down, until each side has `smallest` pixels."""
    height, width = frame.shape[:2]
    if min(height, width) >= smallest:
        return frame
    missing = [(0, max(0, smallest - height)), (0, max(0, smallest - width)), (0, 0)]
    return np.pad(frame, missing[: frame.ndim], mode="symmetric")


Resampler = Callable[[Frame, Size], Frame]
"""A frame `(H, W, 3)` or a plane, and the size that it is brought to."""


@dataclass(frozen=True, kw_only=True)
class CoarserOctave:
    """The octave before: the canvas at its size, and the dream on it."""

    base: Frame
    dream: Frame


def scaled(size: Size, ratio: float) -> Size:
    """Return a size that is smaller by a ratio, at least a pixel."""
    return Size(max(1, round(size.width / ratio)), max(1, round(size.height / ratio)))


def _detail(resized: Resampler, base: Frame, coarser: CoarserOctave) -> Frame:
    """Add what the coarser octave dreamed to the canvas (google's notebook)."""
    return cv2.add(base, resized(cv2.subtract(coarser.dream, coarser.base), Size.of(base)))


def _picture(resized: Resampler, base: Frame, coarser: CoarserOctave) -> Frame:
    """Go on with the coarser octave's picture, as it is (the TensorFlow tutorial)."""
    return resized(coarser.dream, Size.of(base))


CARRIES: dict[str, Callable[[Resampler, Frame, CoarserOctave], Frame]] = {
    "detail": _detail,
    "picture": _picture,
    "restored": _picture,
}
"""What an octave hands to the next; "restored" also puts back, after its steps, what shrinking took (keras.io)."""

RESAMPLERS: dict[str, Resampler] = {
    "smooth": resize,
    "linear": resize_linear,
    "corners": resize_corners,
}
