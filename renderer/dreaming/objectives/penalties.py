"""What a picture is held back from: penalties, taken off the objective.

Each turns a picture `(H, W, 3)` into a float32 scalar, a mean over the places, so that a weight means the same at every
size. A new one is one function and one line in `PENALTIES` at the foot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from renderer.lazy import Lazy

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = Lazy("tensorflow")


Penalty = Callable[["tf.Tensor"], "tf.Tensor"]

TINY = 1e-8
"""Makes total variation smooth where a picture is flat; far below a step of 8 bits, squared."""


def total_variation(picture: tf.Tensor) -> tf.Tensor:
    """Return the mean length of the slope over places and colours (Rudin, Osher & Fatemi 1992, isotropic).

    The slope is taken forward, and as 0 across the last row and column.
    """
    down = tf.pad(picture[1:] - picture[:-1], [[0, 1], [0, 0], [0, 0]])
    across = tf.pad(picture[:, 1:] - picture[:, :-1], [[0, 0], [0, 1], [0, 0]])
    return tf.reduce_mean(tf.sqrt(tf.square(down) + tf.square(across) + TINY))


def distance_from_grey(picture: tf.Tensor) -> tf.Tensor:
    """Return the mean square distance from middle grey, 0.5.

    The lambda * ||x||^2 of Simonyan, Vedaldi & Zisserman 2013, whose pictures have their mean taken off.
    """
    return tf.reduce_mean(tf.square(picture - 0.5))


PENALTIES: dict[str, Penalty] = {
    "variation": total_variation,
    "grey": distance_from_grey,
}
