"""What is done to a gradient before it is added to the picture.

Gradients are float32 `(H, W, 3)`. Every normaliser returns one of the same shape with unit scale (by its own measure
of scale), but for "none", so that a step size means the same whatever the network. A new one is one function and one
line in `NORMALISERS`, `SMOOTHERS`, `CENTRES` or `COLOURS` at the foot.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from renderer.dreaming.networks.preprocessing import IMAGENET_STD
from renderer.lazy import Lazy

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = Lazy("tensorflow")


TINY = 1e-12
"""Far below any gradient of use, above the smallest float: keeps a zero gradient zero."""

_LUCID_SPREAD = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)

DECORRELATED: NDArray[np.float32] = _LUCID_SPREAD / np.linalg.norm(_LUCID_SPREAD, axis=0).max()
"""lucid's square root of the covariance of colours in ImageNet, by its longest column: `rgb = DECORRELATED @ own`."""

Normaliser = Callable[["tf.Tensor", int], "tf.Tensor"]
"""Gradient and bands -> gradient of unit scale."""

Smoother = Callable[["tf.Tensor", float, "tf.Tensor"], "tf.Tensor"]
"""Gradient, sigma in pixels, and the part of the octave's steps taken with this one -> smoother gradient."""

Centre = Callable[["tf.Tensor"], "tf.Tensor"]


def by_std(gradient: tf.Tensor, bands: int) -> tf.Tensor:
    """Divide by the standard deviation (the TensorFlow tutorial)."""
    del bands
    return gradient / (tf.math.reduce_std(gradient) + TINY)


def by_mean(gradient: tf.Tensor, bands: int) -> tf.Tensor:
    """Divide by the mean absolute value (google's `dream.ipynb`)."""
    del bands
    return gradient / (tf.reduce_mean(tf.abs(gradient)) + TINY)


def by_rms(gradient: tf.Tensor, bands: int) -> tf.Tensor:
    """Divide by the root mean square."""
    del bands
    return gradient * _inverse_rms(gradient)


def untouched(gradient: tf.Tensor, bands: int) -> tf.Tensor:
    """Leave it as it is: a step is as long as the network's own units make it."""
    del bands
    return gradient


def by_laplacian(gradient: tf.Tensor, bands: int) -> tf.Tensor:
    """Give every octave band of the gradient the same power.

    After Mordvintsev's Laplacian-normalised gradient (TensorFlow 1 notebook, 2015). Broad strokes are no longer drowned
    by fine ones: large, soft, colourful shapes. Here the pyramid averages 4x4 windows at stride 2 and goes up
    bilinearly, and a band's power is taken as the difference of the powers of the levels above and below it, so that
    the bands need not be made one by one; it looks alike at a fraction of the cost.

    Args:
        gradient: `(H, W, 3)`.
        bands: bands of the pyramid, the last one being all that is left.
    """
    levels = [gradient[None]]
    for _ in range(bands - 1):
        levels.append(tf.nn.avg_pool2d(levels[-1], 4, 2, "SAME"))
    powers = [tf.reduce_mean(tf.square(level)) for level in levels]
    bare = [tf.maximum(fine - coarse, 1e-4 * fine) for fine, coarse in itertools.pairwise(powers)]
    gains = [1.0 / (tf.sqrt(power) + TINY) for power in [*bare, powers[-1]]]
    # sum over k of gain_k * (level_k - up(level_k+1)), gathered level by level
    factors = [gains[0], *(fine - coarse for coarse, fine in itertools.pairwise(gains))]
    merged = factors[-1] * levels[-1]
    for level, factor in zip(levels[-2::-1], factors[-2::-1], strict=True):
        merged = tf.image.resize(merged, tf.shape(level)[1:3]) + factor * level
    return merged[0] / np.float32(np.sqrt(bands))  # bands hardly overlap: their powers add


def gauss(gradient: tf.Tensor, sigma: float, progress: tf.Tensor) -> tf.Tensor:
    """Blur with one Gaussian; see `smooth`."""
    del progress
    return smooth(gradient, sigma)


def cascade(gradient: tf.Tensor, sigma: float, progress: tf.Tensor) -> tf.Tensor:
    """Take the mean of three blurs, by a half, one and two sigmas that grow by 2 pixels over an octave.

    Source: pytorch-deepdream, with its kernels of 9x9 and mirrored edges.

    Args:
        gradient: `(H, W, 3)`, each side at least 5.
        sigma: what it begins from, pixels.
        progress: part of the octave's steps that are taken with this one, above 0 and up to 1.
    """
    places = np.arange(-4, 5, dtype=np.float32)
    taps = [tf.exp(-0.5 * tf.square(places / (part * (sigma + 2.0 * progress)))) for part in (0.5, 1.0, 2.0)]
    padded = tf.pad(gradient, [[4, 4], [4, 4], [0, 0]], "REFLECT")
    rows, columns = tf.shape(gradient)[0], tf.shape(gradient)[1]
    blurred = []
    for weights in (values / tf.reduce_sum(values) for values in taps):
        down = tf.add_n([weights[i] * padded[i : i + rows] for i in range(9)])
        blurred.append(tf.add_n([weights[i] * down[:, i : i + columns] for i in range(9)]))
    return tf.add_n(blurred) / 3.0


def smooth(gradient: tf.Tensor, sigma: float) -> tf.Tensor:
    """Blur a gradient `(H, W, 3)` with a Gaussian of `sigma` pixels; 0 returns it as it is."""
    if sigma <= 0:
        return gradient
    radius = max(1, round(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    size = tf.shape(gradient)
    padded = tf.pad(gradient, [[radius, radius], [0, 0], [0, 0]])
    rows = tf.add_n([tap * padded[i : i + size[0]] for i, tap in enumerate(taps)])
    padded = tf.pad(rows, [[0, 0], [radius, radius], [0, 0]])
    return tf.add_n([tap * padded[:, i : i + size[1]] for i, tap in enumerate(taps)])


def _even(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale a matrix of colours so that a step of unrelated colours keeps its root mean square."""
    return (matrix * np.sqrt(3) / np.linalg.norm(matrix)).astype(np.float32)


def _inverse_rms(values: tf.Tensor) -> tf.Tensor:
    return 1.0 / (tf.sqrt(tf.reduce_mean(tf.square(values))) + TINY)


NORMALISERS: dict[str, Normaliser] = {
    "laplacian": by_laplacian,
    "std": by_std,
    "mean": by_mean,
    "rms": by_rms,
    "none": untouched,
}

SMOOTHERS: dict[str, Smoother] = {
    "gauss": gauss,
    "cascade": cascade,
}

CENTRES: dict[str, Centre] = {
    "none": lambda gradient: gradient,
    "all": lambda gradient: gradient - tf.reduce_mean(gradient),
    "colours": lambda gradient: gradient - tf.reduce_mean(gradient, (0, 1)),
}
"""What is taken off a gradient, so that a step changes no brightness, or no colour, of the whole."""

COLOURS: dict[str, NDArray[np.float32] | None] = {
    "rgb": None,
    "natural": _even(DECORRELATED),
    "standard": _even(np.diag(IMAGENET_STD)),
}
"""Colours in which a step is made: a matrix C each, from the step's own colours to R, G, B. A gradient g becomes C^T g
before it is brought to one scale, and the step becomes C times that."""
