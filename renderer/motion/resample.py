"""Read a frame at float positions: the one place where a frame is resampled.

Positions are never rounded to a grid, and the picture goes on beyond its edges, however far. (OpenCV rounds to 1/32
pixel, in all kernels before version 5, which shows as steps in a slow zoom; and its cubic, a = -0.75, bends a slope.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from renderer.errors import nearest
from renderer.frame import Frame
from renderer.lazy import Lazy

if TYPE_CHECKING:
    import cv2
else:
    cv2 = Lazy("cv2")

Tensor = Any
"""A TensorFlow tensor; the name keeps the import out of this module."""

_FARTHEST = float(2**30)
"""Pixels; positions are held within, so that they fit an int32 with room to spare."""


@dataclass(frozen=True)
class Edge:
    """How a picture goes on beyond its edges, along one axis of n pixels.

    Attributes:
        fold: (index in (-n, 2n-1), n) -> index in [0, n), by tensor operations.
        period: n -> after how many pixels it repeats, at least 1; None where `fold` is good for any index.
        border: the same, as OpenCV calls it.
    """

    fold: Callable[[Tensor, Tensor], Tensor]
    period: Callable[[Tensor], Tensor] | None
    border: str


@dataclass(frozen=True)
class Kernel:
    """How values between pixels are read, from the four pixels around them along each axis.

    Attributes:
        weights: place in [0, 1) behind the second -> weights of the four, by tensor operations.
        inverse: what the picture is filtered with before, along each axis, `(2 n + 1,)`; None for nothing.
        source: where it is described.
    """

    weights: Callable[[Tensor], list[Tensor]]
    inverse: NDArray[np.float32] | None
    source: str


def warp(frame: Frame, matrix: NDArray[np.float64], *, edges: str = "mirror", kernel: str = "catmull-rom") -> Frame:
    """Move a frame by a map of the plane, by one resample (16 taps) at float positions.

    Not clipped: the kernel shoots over at sharp edges, which is what keeps them sharp.

    Args:
        frame: float32 `(H, W, 3)`, any H and W from 1.
        matrix: `(3, 3)`, output pixel `(x, y, 1)` -> source pixel, homogeneous; pixel centres at whole numbers.
        edges: a name in `EDGES`.
        kernel: a name in `KERNELS`.

    Returns:
        float32 `(H, W, 3)`; bit-equal to `frame` if the matrix is the identity.

    Raises:
        ValueError: shapes that do not fit, an unknown edge or kernel, or a matrix that is not finite.
    """
    matrix = np.asarray(matrix, np.float64)
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape or matrix.shape != (3, 3):
        raise ValueError(f"Expected a frame (H, W, 3) and a matrix (3, 3), got {frame.shape} and {matrix.shape}.")
    if edges not in EDGES:
        raise ValueError(f"Unknown edges {edges!r}{nearest(edges, EDGES)}")
    if kernel not in KERNELS:
        raise ValueError(f"Unknown kernel {kernel!r}{nearest(kernel, KERNELS)}")
    if not np.isfinite(matrix).all() or matrix[2, 2] == 0:
        raise ValueError("The matrix of a move must be finite, with a last element that is not 0.")
    matrix = matrix / matrix[2, 2]
    if np.array_equal(matrix, np.eye(3)):
        return frame.copy()
    near = _stays_near(matrix, frame.shape[1], frame.shape[0])
    move = (matrix - np.eye(3)).astype(np.float32)
    return np.array(_warper(edges, near, kernel)(_prepared(frame, edges, kernel), move))


def warp_by(layers: NDArray[np.float32], flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Read a frame, or any stack of planes, at positions given pixel by pixel, by one Catmull-Rom resample (16 taps).

    Beyond its edges the last pixel goes on; what is read there is for the caller to fade out.

    Args:
        layers: float32 `(H, W, C)`, any C.
        flow: float32 `(H, W, 2)`, pixels to the right and down: output pixel p is read at p + flow(p).

    Returns:
        float32 `(H, W, C)`; bit-equal to `layers` where the flow is 0. Not clipped.

    Raises:
        ValueError: shapes that do not fit.
    """
    if layers.ndim != 3 or 0 in layers.shape or flow.shape != (*layers.shape[:2], 2):
        raise ValueError(f"Expected layers (H, W, C) and a flow (H, W, 2), got {layers.shape} and {flow.shape}.")
    return np.array(_flow_warper()(np.ascontiguousarray(layers, np.float32), np.ascontiguousarray(flow, np.float32)))


def _stays_near(matrix: NDArray[np.float64], width: int, height: int) -> bool:
    """Say whether every tap lies less than one picture outside, so that folding once is enough (nearly always)."""
    right, bottom = width - 1.0, height - 1.0
    corners = np.array([[0, right, 0, right], [0, 0, bottom, bottom], [1, 1, 1, 1]])
    x, y, w = matrix @ corners
    # With the denominator positive at the corners it is so inside, and the extremes are at the corners.
    if (w < 1e-3).any():
        return False
    x, y = x / w, y / w
    # Taps reach from 1 before to 2 behind; one more pixel for rounding.
    return bool(x.min() > 3 - width and x.max() < 2 * width - 6 and y.min() > 3 - height and y.max() < 2 * height - 6)


def _prepared(frame: Frame, edges: str, kernel: str) -> Frame:
    """Return what a kernel reads: the frame, filtered if it wants it so."""
    frame, inverse = np.ascontiguousarray(frame, np.float32), KERNELS[kernel].inverse
    if inverse is None:
        return frame
    reach, (height, width) = len(inverse) // 2, frame.shape[:2]
    wide = cv2.copyMakeBorder(frame, reach, reach, reach, reach, getattr(cv2, EDGES[edges].border))
    filtered = cv2.sepFilter2D(wide, cv2.CV_32F, inverse, inverse)[reach : reach + height, reach : reach + width]
    return np.ascontiguousarray(filtered)


@cache
def _warper(edges: str, near: bool, kernel: str) -> Callable[[Frame, NDArray[np.float32]], Tensor]:
    """Build the compiled resampler. It is traced once; another size is compiled anew, another matrix is not."""
    import tensorflow as tf

    def resample(frame: Tensor, move: Tensor) -> Tensor:
        height, width = tf.shape(frame)[0], tf.shape(frame)[1]
        columns, rows = tf.range(width)[None, :], tf.range(height)[:, None]
        right, down = _displacement(move, tf.cast(columns, tf.float32), tf.cast(rows, tf.float32))
        return _read(frame, right, down, edge=EDGES[edges], near=near, weights=KERNELS[kernel].weights)

    signature = [tf.TensorSpec((None, None, 3), tf.float32), tf.TensorSpec((3, 3), tf.float32)]
    return tf.function(resample, jit_compile=True, autograph=False, input_signature=signature)


@cache
def _flow_warper() -> Callable[[NDArray[np.float32], NDArray[np.float32]], Tensor]:
    """Build the compiled resampler for a flow."""
    import tensorflow as tf

    def resample(layers: Tensor, flow: Tensor) -> Tensor:
        flow = tf.clip_by_value(tf.where(tf.math.is_finite(flow), flow, 0.0), -_FARTHEST, _FARTHEST)
        return _read(layers, flow[..., 0], flow[..., 1], edge=EDGES["clamp"], near=True, weights=_catmull_rom)

    signature = [tf.TensorSpec((None, None, None), tf.float32), tf.TensorSpec((None, None, 2), tf.float32)]
    return tf.function(resample, jit_compile=True, autograph=False, input_signature=signature)


def _read(
    layers: Tensor,
    right: Tensor,
    down: Tensor,
    *,
    edge: Edge,
    near: bool,
    weights: Callable[[Tensor], list[Tensor]],
) -> Tensor:
    """Read `(H, W, C)` so far to the right and down of each pixel, `(H, W)` each."""
    import tensorflow as tf

    def index(base: Tensor, tap: int, length: Tensor) -> Tensor:
        place = base + (tap - 1)
        if edge.period and not near:
            place = tf.math.floormod(place, edge.period(length))
        return edge.fold(place, length)

    height, width = tf.shape(layers)[0], tf.shape(layers)[1]
    rows, columns = tf.range(height)[:, None], tf.range(width)[None, :]
    whole_right, whole_down = tf.floor(right), tf.floor(down)
    column, row = columns + tf.cast(whole_right, tf.int32), rows + tf.cast(whole_down, tf.int32)
    across, along = weights(right - whole_right), weights(down - whole_down)
    columns_of = [index(column, tap, width) for tap in range(4)]
    rows_of = [index(row, tap, height) * width for tap in range(4)]
    pixels = tf.reshape(layers, (-1, layers.shape[2] or tf.shape(layers)[2]))
    lines = [
        tf.add_n([across[i][..., None] * tf.gather(pixels, rows_of[j] + columns_of[i]) for i in range(4)])
        for j in range(4)
    ]
    return tf.add_n([along[j][..., None] * lines[j] for j in range(4)])


def _displacement(move: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Say how far from itself each pixel is read. Small numbers: float32 then holds them to far below 1/1000 px."""
    import tensorflow as tf

    bend = move[2, 0] * x + move[2, 1] * y
    # At the horizon and behind it there is no picture; somewhere very far is as good as anywhere.
    scale = 1 / tf.maximum(1 + bend, 1e-6)
    right = (move[0, 0] * x + move[0, 1] * y + move[0, 2] - x * bend) * scale
    down = (move[1, 0] * x + move[1, 1] * y + move[1, 2] - y * bend) * scale
    return tf.clip_by_value(right, -_FARTHEST, _FARTHEST), tf.clip_by_value(down, -_FARTHEST, _FARTHEST)


def _catmull_rom(f: Tensor) -> list[Tensor]:
    """Return the weights of the four taps around a position, `f` in [0, 1) behind the second."""
    return [
        f * (f * (1 - 0.5 * f) - 0.5),
        f * f * (1.5 * f - 2.5) + 1,
        f * (f * (2 - 1.5 * f) + 0.5),
        f * f * (0.5 * f - 0.5),
    ]


def _spline(f: Tensor) -> list[Tensor]:
    """Return the weights of the cubic B-spline at the four taps around a position, `f` in [0, 1) behind the second."""
    return [
        (1 - f) * (1 - f) * (1 - f) / 6,
        f * f * (0.5 * f - 1) + 2 / 3,
        f * (f * (0.5 - 0.5 * f) + 0.5) + 1 / 6,
        f * f * f / 6,
    ]


def _spline_inverse(reach: int) -> NDArray[np.float32]:
    """Return the filter `(2 reach + 1,)` after which a cubic B-spline goes through the pixels."""
    taps = (math.sqrt(3) - 2) ** np.abs(np.arange(-reach, reach + 1))
    return (taps / taps.sum()).astype(np.float32)


def _fold_mirror(index: Tensor, length: Tensor) -> Tensor:
    import tensorflow as tf

    index = tf.where(index < 0, -1 - index, index)
    return tf.where(index >= length, 2 * length - 1 - index, index)


def _fold_reflect(index: Tensor, length: Tensor) -> Tensor:
    import tensorflow as tf

    index = tf.abs(index)
    return tf.where(index >= length, 2 * length - 2 - index, index)


def _fold_wrap(index: Tensor, length: Tensor) -> Tensor:
    import tensorflow as tf

    index = tf.where(index < 0, index + length, index)
    return tf.where(index >= length, index - length, index)


def _fold_clamp(index: Tensor, length: Tensor) -> Tensor:
    import tensorflow as tf

    return tf.clip_by_value(index, 0, length - 1)


def _reflect_period(length: Tensor) -> Tensor:
    import tensorflow as tf

    return tf.maximum(2 * length - 2, 1)


EDGES: dict[str, Edge] = {
    # cba|abc|cba: the picture in a mirror, each pixel of the edge twice
    "mirror": Edge(_fold_mirror, lambda length: 2 * length, "BORDER_REFLECT"),
    # cb|abc|ba: the mirror stands on the pixel of the edge
    "reflect": Edge(_fold_reflect, _reflect_period, "BORDER_REFLECT_101"),
    # abc|abc|abc: the picture again
    "wrap": Edge(_fold_wrap, lambda length: length, "BORDER_WRAP"),
    # aaa|abc|ccc: the last pixel goes on
    "clamp": Edge(_fold_clamp, None, "BORDER_REPLICATE"),
}

KERNELS: dict[str, Kernel] = {
    # Flat up to two thirds of the finest waves: read again and again, a picture stays sharp.
    "spline": Kernel(
        _spline, _spline_inverse(10), "Unser 1999, Splines: a perfect fit for signal and image processing"
    ),
    "catmull-rom": Kernel(
        _catmull_rom, None, "Keys 1981, Cubic convolution interpolation for digital image processing, a = -1/2"
    ),
}
