"""Pictures to train a network on: photographs bent as far as they bear, and noise of every colour.

All pictures here are float32 `(size, size, 3)`, RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]


def training_picture(photos: Sequence[NDArray[np.uint8]], size: int, rng: np.random.Generator) -> Picture:
    """Draw one picture: a bent photograph, two of them mixed, one under noise, or noise alone.

    Args:
        photos: uint8 `(H, W, 3)` RGB photographs, each at least 32 px on its short side.
        size: side of the picture, pixels.
        rng: the randomness, used up in an order that depends on nothing else.
    """
    kind = rng.random()
    if kind < 0.12:
        return coloured_noise(size, rng)
    picture = _bend_colours(_crop(photos[int(rng.integers(len(photos)))], size, rng), rng)
    if kind < 0.27:
        share = rng.uniform(0.2, 0.8)
        picture = (1 - share) * picture + share * coloured_noise(size, rng)
    elif kind < 0.37:
        share = rng.uniform(0.2, 0.8)
        other = _bend_colours(_crop(photos[int(rng.integers(len(photos)))], size, rng), rng)
        picture = (1 - share) * picture + share * other
    elif kind < 0.44:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 4.0))
    if rng.random() < 0.2:
        grain = rng.normal(0, rng.uniform(0.01, 0.12), picture.shape)
        picture = picture + grain.astype(np.float32)
    return np.clip(picture, 0, 1).astype(np.float32)


def coloured_noise(size: int, rng: np.random.Generator) -> Picture:
    """Draw noise with power 1/f^b, b from white (0) to cloudy (2.4), in random colours and contrast."""
    exponent = rng.uniform(0, 2.4)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = 1 / size
    white = rng.standard_normal((3, size, size))
    planes = np.fft.irfft2(np.fft.rfft2(white) * frequency ** (-exponent / 2), s=(size, size))
    planes = (planes - planes.mean((1, 2), keepdims=True)) / planes.std((1, 2), keepdims=True)
    colours = np.eye(3) * rng.uniform(0.2, 1) + rng.normal(0, 0.4, (3, 3))
    colours /= np.linalg.norm(colours, axis=1, keepdims=True)
    noise = np.einsum("ij,jhw->hwi", colours, planes) * rng.uniform(0.02, 0.35) + rng.uniform(0.2, 0.8, 3)
    return np.clip(noise, 0, 1).astype(np.float32)


def _crop(photo: NDArray[np.uint8], size: int, rng: np.random.Generator) -> Picture:
    height, width = photo.shape[:2]
    side = min(int(size / np.exp(rng.uniform(np.log(0.45), np.log(1.8)))), height, width)
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    window = photo[top : top + side, left : left + side].astype(np.float32) / 255
    if rng.random() < 0.5:
        window = window[:, ::-1]
    return cv2.resize(window, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC)


def _bend_colours(picture: Picture, rng: np.random.Generator) -> Picture:
    if rng.random() < 0.06:
        picture = picture[..., rng.permutation(3)]
    grey = picture.mean(-1, keepdims=True)
    saturation = 0.0 if rng.random() < 0.06 else rng.uniform(0.4, 1.8)
    picture = grey + saturation * (picture - grey)
    tint = rng.uniform(0.85, 1.15, 3)
    contrast = rng.uniform(0.1, 0.5) if rng.random() < 0.08 else rng.uniform(0.6, 1.4)
    mean = grey.mean()
    return np.clip((picture - mean) * contrast * tint + mean + rng.uniform(-0.15, 0.15), 0, 1).astype(np.float32)
