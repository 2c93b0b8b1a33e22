"""From coarse to fine: the pyramid of scales a dream is made on."""

from __future__ import annotations

import cv2
import numpy as np

from renderer.frame import Frame, Size


def octave_sizes(size: Size, *, octaves: int, ratio: float, smallest: int = 1) -> list[Size]:
    """List the sizes of the octaves, coarse to fine, the last one being `size`.

    Args:
        size: of the frame.
        octaves: how many at the most.
        ratio: from one octave's side to the next, above 1.
        smallest: octaves with a side under this many pixels are left out, except the frame itself.
    """
    sizes = []
    for k in range(octaves - 1, 0, -1):
        scaled = Size(max(1, round(size.width / ratio**k)), max(1, round(size.height / ratio**k)))
        if min(scaled) >= smallest:
            sizes.append(scaled)
    return [*sizes, size]


def resize(frame: Frame, size: Size) -> Frame:
    """Resample a frame `(H, W, 3)` or a plane `(H, W)`: area average going down, cubic going up, itself if it fits."""
    if Size.of(frame) == size:
        return frame
    smaller = size.width * size.height < frame.shape[0] * frame.shape[1]
    resized = cv2.resize(frame, tuple(size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return np.asarray(resized, np.float32)


def pad_to(frame: Frame, smallest: int) -> Frame:
    """Extend a frame by its mirror image, right and down, until each side has `smallest` pixels."""
    height, width = frame.shape[:2]
    if min(height, width) >= smallest:
        return frame
    missing = [(0, max(0, smallest - height)), (0, max(0, smallest - width)), (0, 0)]
    return np.pad(frame, missing[: frame.ndim], mode="symmetric")
