"""How a picture is turned about before a step looks at it, so that what is dreamed holds from more than one view.

The shift is a roll by whole pixels, without loss. All other moves are matrices; they are multiplied into one, and the
picture is resampled once. What a step is given goes back through the transpose of the same resampling, so that
the gradient is the true one. A new move is one function and one line in `MOVES` at the foot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from renderer.lazy import Lazy

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = Lazy("tensorflow")


Matrix = NDArray[np.float32]
"""`(2, 2)`, from places seen to places of the picture, `(x, y)` from its centre, pixels."""

Move = Callable[[float, float], NDArray[np.float64]]
"""A number drawn evenly from [-1, 1), and how far the move may go -> matrix `(2, 2)`."""


def rotation(drawn: float, amount: float) -> NDArray[np.float64]:
    """Turn by at most `amount` degrees, either way."""
    angle = math.radians(drawn * amount)
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def scaling(drawn: float, amount: float) -> NDArray[np.float64]:
    """Make larger or smaller by at most the factor `1 + amount`."""
    return np.eye(2) * (1 + amount) ** drawn


def flip(drawn: float, amount: float) -> NDArray[np.float64]:
    """Mirror left and right, as often as `amount` says: at 1 half of the time, at 0 never."""
    return np.diag([-1.0 if drawn < amount - 1 else 1.0, 1.0])


def matrices(amounts: Mapping[str, float], *, keys: tuple[int, ...], steps: int) -> NDArray[np.float32]:
    """Draw the matrices `(steps, 2, 2)` of the steps of an octave.

    Args:
        amounts: how far each of `MOVES` may go.
        keys: of the randomness: seed, frame, octave.
        steps: how many.
    """
    rng = np.random.default_rng([*keys, 0x7475726E])  # apart from the shifts, which are keyed without this
    drawn = rng.uniform(-1, 1, (steps, len(MOVES)))
    found = np.tile(np.eye(2), (steps, 1, 1))
    for place, (name, move) in enumerate(MOVES.items()):
        found = found @ np.stack([move(row[place], amounts.get(name, 0.0)) for row in drawn] or [np.eye(2)])[:steps]
    return found.astype(np.float32)


def warp(picture: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Resample a picture `(H, W, 3)` bilinearly through a matrix `(2, 2)` about its centre, mirrored at its edges."""
    shape = tf.shape(picture)
    sides = tf.cast(shape[:2], tf.float32)
    down, across = (tf.range(sides[i], dtype=tf.float32) - (sides[i] - 1) / 2 for i in (0, 1))
    y, x = tf.meshgrid(down, across, indexing="ij")
    rows = _mirrored(matrix[1, 0] * x + matrix[1, 1] * y + (sides[0] - 1) / 2, sides[0])
    columns = _mirrored(matrix[0, 0] * x + matrix[0, 1] * y + (sides[1] - 1) / 2, sides[1])
    flat = tf.reshape(picture, (-1, 3))
    top, left = tf.floor(rows), tf.floor(columns)
    below, right = (rows - top)[..., None], (columns - left)[..., None]
    top_row, left_column = tf.cast(top, tf.int32), tf.cast(left, tf.int32)
    bottom_row = tf.minimum(top_row + 1, shape[0] - 1)
    right_column = tf.minimum(left_column + 1, shape[1] - 1)

    def at(row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        return tf.gather(flat, row * shape[1] + column)

    upper = at(top_row, left_column) * (1 - right) + at(top_row, right_column) * right
    lower = at(bottom_row, left_column) * (1 - right) + at(bottom_row, right_column) * right
    return upper * (1 - below) + lower * below


def warp_back(gradient: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Give a gradient in the warped picture `(H, W, 3)` back to the picture: the transpose of `warp`."""
    start = tf.zeros_like(gradient)
    with tf.GradientTape() as tape:
        tape.watch(start)
        warped = warp(start, matrix)
    return tf.convert_to_tensor(tape.gradient(warped, start, output_gradients=gradient))


def _mirrored(place: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
    """Fold places along a side into [0, side - 1], the pixels at the edges staying single."""
    last = tf.maximum(side - 1, 1e-3)
    folded = tf.abs(tf.math.floormod(place + last, 2 * last) - last)
    return tf.clip_by_value(folded, 0.0, side - 1)


MOVES: dict[str, Move] = {
    "rotate": rotation,
    "scale": scaling,
    "flip": flip,
}
