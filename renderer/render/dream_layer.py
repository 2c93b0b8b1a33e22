"""The dream layer: dream minus source, signed. How it is measured, held to its strength and kept within the visible."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.dreaming.governor import luma_of
from renderer.frame import Frame

Plane = NDArray[np.float32]

BLURS = (0.7, 1.4)
"""Where the layer is cut into bands, pixels (sigma): grain, fine lines, and everything larger."""

GAINS = (0.5, 1.12)
"""How much weaker or stronger a band is made a frame, at most: what is missing is dreamed, not amplified."""

PART = 0.7
"""How much of a band's deviation is put right a frame, on a log scale."""

KNEE = 0.04
"""How near to black and white the layer may take a pixel before it is bent."""


@dataclass(frozen=True)
class Strength:
    """What a layer is held to: root mean square of each band, finest first, and its mean colour."""

    bands: tuple[float, ...]
    mean: tuple[float, ...]


def bands(layer: Frame) -> list[Frame]:
    """Split a layer `(H, W, 3)` into parts that add up to it, from the finest to the coarsest."""
    parts = []
    for sigma in BLURS:
        side = 2 * round(2.5 * sigma) + 1
        coarser = np.asarray(cv2.GaussianBlur(layer, (side, side), sigma), np.float32)
        parts.append(cv2.subtract(layer, coarser))
        layer = coarser
    return [*parts, layer]


def strength(layer: Frame, weight: Plane) -> Strength:
    """Measure a layer `(H, W, 3)` where `weight` `(H, W)` is above a half; all 0 where nothing is."""
    mask = _mask(weight)
    mean = cv2.mean(layer, mask)[:3]
    return Strength(tuple(_rms(band, mask) for band in bands(layer)), tuple(map(float, mean)))


def balanced(layer: Frame, weight: Plane, *, wanted: Strength, frames: int = 1) -> Frame:
    """Bring each band of a layer nearer to the strength it should have, and its mean to the colour it should have.

    What is carried from frame to frame loses detail with every resampling and gains with every dream on top of it: left
    alone, lines wash out and the rest runs away. This holds both where a full dream has them.

    Args:
        layer: `(H, W, 3)`.
        weight: `(H, W)`, what counts is above a half.
        wanted: what it should have, as `strength` measures it.
        frames: how many frames ago it was brought there before.
    """
    mask = _mask(weight)
    if not mask.any():
        return layer
    parts = bands(layer)
    gains = [_gain(_rms(band, mask), aim, frames) for band, aim in zip(parts, wanted.bands, strict=True)]
    result = parts.pop()
    result *= np.float32(gains.pop())
    for gain in gains:
        result = cv2.scaleAdd(parts.pop(0), gain, result, dst=result)  # in place: frames may be large
    for channel, value in enumerate(_part(frames) * (np.array(wanted.mean) - cv2.mean(result, mask)[:3])):
        result[..., channel] += weight * np.float32(value)
    return np.asarray(result, np.float32)


def stay_visible(dream: Frame, source: Frame) -> Frame:
    """Bend what the layer takes beyond black and white, and no pixel that the source itself has there.

    A layer that grows where nobody can see it would never come back.
    """
    kept = cv2.min(dream, np.maximum(source, np.float32(1 - KNEE)))
    kept = cv2.max(kept, np.minimum(source, np.float32(KNEE)), dst=kept)
    beyond = cv2.subtract(dream, kept)
    if not cv2.hasNonZero(beyond.reshape(len(beyond), -1)):
        return dream
    beyond *= np.float32(1 / KNEE)
    np.tanh(beyond, out=beyond)  # of everything: choosing the few pixels that need it takes longer
    return np.asarray(cv2.scaleAdd(beyond, KNEE, kept, dst=kept), np.float32)


def reach(where: Plane) -> Plane:
    """Say where a layer may be at all, `(H, W)`: 1 but for a soft rim around what is not to be dreamed on."""
    return np.minimum(where * np.float32(10), np.float32(1))


def within(where: Plane, dream: Frame, source: Frame) -> Frame:
    """Take a layer away where nothing is to be dreamed: coarse octaves and blurs reach beyond their map."""
    return source + (dream - source) * reach(where)[..., None]


def kept(dream: Frame, source: Frame, *, where: Plane | None, keep_colour: bool) -> Frame:
    """Leave of a source what the dream is not to touch: places, black and white, and colours if wanted.

    Args:
        dream: `(H, W, 3)`.
        source: the same, before it was dreamed on.
        where: `(H, W)`, how strongly it was to be dreamed on; None for 1 everywhere.
        keep_colour: whether only brightness is the dream's.
    """
    if where is not None:
        dream = within(where, dream, source)
    dream = stay_visible(dream, source)
    # Bent at black and white, each colour for itself, it is no longer the source's.
    return keep_chroma(dream, source) if keep_colour else dream


def keep_chroma(dream: Frame, source: Frame) -> Frame:
    """Give the luma of a dream to its source: colour differences stay as they are, to the bit of a float."""
    return np.asarray(source + (luma_of(dream) - luma_of(source))[..., None], np.float32)


def _mask(weight: Plane) -> NDArray[np.uint8]:
    return (weight > 0.5).astype(np.uint8)


def _rms(band: Frame, mask: NDArray[np.uint8]) -> float:
    counted = cv2.countNonZero(mask)
    return float(cv2.norm(band, cv2.NORM_L2, mask)) / (3 * counted) ** 0.5 if counted else 0.0


def _gain(found: float, aim: float, frames: int) -> float:
    if found < 1e-6 or aim <= 0:
        return 1.0
    least, most = GAINS
    return float(np.clip((aim / found) ** _part(frames), least**frames, most**frames))


def _part(frames: int) -> float:
    """Return how much of a deviation is put right after so many frames."""
    return 1 - (1 - PART) ** frames if frames > 1 else PART
