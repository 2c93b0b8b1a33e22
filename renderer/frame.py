"""What a frame is, and the only place where it meets 8 bits.

A frame is `float32 (H, W, 3)`, RGB, sRGB-encoded, nominally in [0, 1], never clipped or rounded inside the loop: a
feedback loop magnifies both.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from renderer.errors import UsageError

Frame = NDArray[np.float32]
Pixels = NDArray[np.uint8]

MAX_SIDE = 16_384
"""Longest side of a film, pixels: what H.264 and H.265 encoders take at most."""


class Size(NamedTuple):
    """Width and height in pixels, written `640x360`."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read `WIDTHxHEIGHT`.

        Raises:
            UsageError: not of that form, or a side that is zero or above `MAX_SIDE`.
        """
        match = re.fullmatch(r"\s*(\d{1,9})\s*[xX×]\s*(\d{1,9})\s*", text)
        if not match:
            raise UsageError(f"Size {text!r} is not WIDTHxHEIGHT in pixels, like 1280x720.")
        size = cls(int(match[1]), int(match[2]))
        if not (1 <= size.width <= MAX_SIDE and 1 <= size.height <= MAX_SIDE):
            raise UsageError(f"Size {text} is out of range: each side must be 1 to {MAX_SIDE} pixels.")
        return size

    @classmethod
    def of(cls, frame: Frame | Pixels) -> Size:
        """Return the size of a frame `(H, W, 3)`."""
        return cls(frame.shape[1], frame.shape[0])


def scaled(size: Size, ratio: float) -> Size:
    """Return a size that is smaller by a ratio, at least a pixel."""
    return Size(max(1, round(size.width / ratio)), max(1, round(size.height / ratio)))


NEAR_REFERENCE = 1.05
"""A frame whose shorter side differs from the reference by less than this factor counts as one at the reference."""


def at_reference(size: Size, reference: int | str) -> Size:
    """Return the size at which what is measured in pixels is meant, for frames of a size.

    Args:
        size: of the frames.
        reference: lines of the shorter side, or "frame" for the frames' own.
    """
    ratio = 1.0 if isinstance(reference, str) else min(size) / reference
    return size if 1 / NEAR_REFERENCE < ratio < NEAR_REFERENCE else scaled(size, ratio)


def to_8bit(frame: Frame) -> Pixels:
    """Round a frame to uint8 `(H, W, 3)`; what lies outside [0, 1] is clipped, non-finite values become 0."""
    scaled = np.nan_to_num(frame * np.float32(255) + np.float32(0.5), nan=0.0, posinf=255.0, neginf=0.0)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def from_8bit(pixels: Pixels) -> Frame:
    """Turn uint8 `(H, W, 3)` into a frame."""
    return pixels.astype(np.float32) * np.float32(1 / 255)
