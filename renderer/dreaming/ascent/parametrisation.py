"""What an ascent changes: the picture itself, or something that it is made from.

A point is a float32 tensor; `decode` makes a picture from it, `encode` finds the point of a picture. A new
parametrisation is two functions and one entry in `PARAMETRISATIONS` at the foot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from renderer.dreaming.ascent.gradients import DECORRELATED
from renderer.lazy import Lazy

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = Lazy("tensorflow")


SOFTEST = 0.01
"""How near to 0 and 1 a picture comes at most before it is turned into a point: a sigmoid never gets there."""

LUCID_SCALE = 4.0
"""What lucid divides its pictures by before the sigmoid."""


@dataclass(frozen=True, kw_only=True)
class Parametrisation:
    """A way to write pictures down.

    Attributes:
        shape: of its points, None for sides that depend on the picture.
        local: whether a value of a point belongs to one place of the picture, so that steps may be weighed by places.
        encode: picture `(H, W, 3)` -> its point.
        decode: point, `(H, W)` of the picture -> picture `(H, W, 3)`; differentiable.
    """

    shape: tuple[int | None, ...]
    local: bool
    encode: Callable[[NDArray[np.float32]], tf.Tensor]
    decode: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

    def pull(self, move: tf.Tensor, point: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
        """Give a gradient in the picture `(H, W, 3)` back to the point."""
        with tf.GradientTape() as tape:
            tape.watch(point)
            picture = self.decode(point, shape)
        return tape.gradient(picture, point, output_gradients=move)


def waves_of(picture: NDArray[np.float32]) -> tf.Tensor:
    """Return the waves that a picture `(H, W, 3)` is made of, see `picture_of_waves`: `(3, H, W // 2 + 1, 2)`."""
    soft = np.clip(picture.astype(np.float64), SOFTEST, 1 - SOFTEST)
    colours = np.log(soft / (1 - soft)) @ np.linalg.inv(DECORRELATED.T.astype(np.float64))
    waves = np.fft.rfft2(LUCID_SCALE * np.moveaxis(colours, -1, 0))
    waves /= _scale(tf.constant(picture.shape[:2])).numpy()
    return tf.constant(np.stack([waves.real, waves.imag], -1).astype(np.float32))


def picture_of_waves(point: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Return the picture that waves in decorrelated colours make, under a sigmoid.

    Broad forms and fine ones are equally easy to change.

    Source: lucid's `fft_image` (Olah, Mordvintsev & Schubert, "Feature Visualization", 2017): a wave of frequency f is
    scaled by sqrt(W H) / max(f, 1 / max(W, H)). A point is `(3, H, W // 2 + 1, 2)`, real and imaginary parts.
    """
    waves = tf.complex(point[..., 0], point[..., 1]) * tf.cast(_scale(shape), tf.complex64)
    colours = tf.transpose(tf.signal.irfft2d(waves, shape), (1, 2, 0)) / LUCID_SCALE
    return tf.sigmoid(tf.tensordot(colours, tf.constant(DECORRELATED.T), 1))


def _scale(shape: tf.Tensor) -> tf.Tensor:
    """Return what each wave is multiplied by, `(H, W // 2 + 1)`."""
    height, width = tf.cast(shape[0], tf.float32), tf.cast(shape[1], tf.float32)
    rows = tf.range(height)
    down = tf.where(rows < (height + 1) // 2, rows, rows - height) / height
    across = tf.range(width // 2 + 1) / width
    frequency = tf.sqrt(tf.square(down)[:, None] + tf.square(across)[None])
    return tf.sqrt(width * height) / tf.maximum(frequency, 1 / tf.maximum(width, height))


PARAMETRISATIONS: dict[str, Parametrisation] = {
    "pixels": Parametrisation(
        shape=(None, None, 3),
        local=True,
        encode=lambda picture: tf.constant(picture),
        decode=lambda point, _: point,
    ),
    "waves": Parametrisation(shape=(3, None, None, 2), local=False, encode=waves_of, decode=picture_of_waves),
}
