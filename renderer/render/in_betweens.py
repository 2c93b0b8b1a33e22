"""The layer of a frame that is not dreamed: those of the dreams before and after it, moved there and mixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.frame import Frame
from renderer.motion.flow import Motion, warp_by
from renderer.render.dream_layer import bands
from renderer.render.footage import InBetween

Plane = NDArray[np.float32]

DOUBT = 0.03
"""What a layer counts where its motion cannot be trusted, against 1 where it can."""

UNSURE = 0.6
"""Strength of the layer where neither motion can be trusted."""

GAINS = (0.8, 1.6)
"""How much weaker or stronger a band is made at most."""


@dataclass(frozen=True)
class Layer:
    """The layer `(H, W, 3)` of a dream, and the root mean square of each of its bands, finest first."""

    picture: Frame
    strength: tuple[float, ...]

    @classmethod
    def of(cls, dream: Frame, source: Frame) -> Self:
        """Take it from a dream and its source, `(H, W, 3)` each."""
        layer = np.asarray(cv2.subtract(dream, source), np.float32)
        return cls(layer, tuple(map(_rms, bands(layer))))


def in_between(frame: InBetween, earlier: Layer, later: Layer) -> Frame:
    """Return the layer `(H, W, 3)` of a frame between two dreams.

    Each layer is read once along the way to its dream. The nearer one counts more, and where the motion from one side
    cannot be trusted, the other side counts alone. A mixture of two pictures of correlation r, in shares a and b, has
    sqrt(a^2 + b^2 + 2abr) of their strength, and reading between pixels costs fine detail: both are made good band by
    band.
    """
    share = np.float32(frame.share)
    before, after = (1 - share) * (frame.before.trust + DOUBT), share * (frame.after.trust + DOUBT)
    a = before / (before + after)
    b = 1 - a
    first, second = _bands(earlier, frame.before), _bands(later, frame.after)
    result = np.zeros_like(frame.source)
    for place, (one, other) in enumerate(zip(first, second, strict=True)):
        strengths = _rms(one), _rms(other)
        alike = np.float32(_correlation(one, other, strengths))
        wanted = (1 - share) * earlier.strength[place] + share * later.strength[place]
        found = (1 - share) * strengths[0] + share * strengths[1]
        gain = np.float32(np.clip(wanted / found, *GAINS) if found > 1e-6 else 1.0) / np.sqrt(
            a * a + b * b + 2 * alike * a * b
        )
        result += one * (a * gain)[..., None] + other * (b * gain)[..., None]
    sure = UNSURE + (1 - UNSURE) * cv2.max(frame.before.trust, frame.after.trust)
    return result * sure[..., None]


def _bands(layer: Layer, motion: Motion) -> list[Frame]:
    return bands(warp_by(layer.picture, motion.flow))


def _rms(band: Frame) -> float:
    return float(cv2.norm(band, cv2.NORM_L2)) / band.size**0.5


def _correlation(one: Frame, other: Frame, strengths: tuple[float, float]) -> float:
    product = strengths[0] * strengths[1] * one.size
    return float(np.clip(np.vdot(one, other) / product, 0, 1)) if product > 1e-9 else 1.0
