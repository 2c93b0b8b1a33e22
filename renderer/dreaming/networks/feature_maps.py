"""The maps of activations that a Keras model has: their layers, channels and strides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

_SIDE = 512
"""Side of the picture that strides are found with, pixels."""

_STEP = 8
"""How finely the smallest picture is looked for, pixels."""


@dataclass(frozen=True)
class LayerInfo:
    """A layer whose activations can be amplified: its name, channels, and stride in pixels."""

    name: str
    channels: int
    stride: int


def list_maps(model: keras.Model) -> list[LayerInfo]:
    """List every layer with a map of activations `(N, h, w, channels)`, in the order of the model.

    Layers that see the picture as a whole, as the gates of squeeze-and-excitation do, have no map.
    """
    found = []
    for layer in model.layers[1:]:
        shape = tuple(getattr(layer.output, "shape", ()))
        if len(shape) == 4 and shape[-1] is not None and shape[1:3] != (1, 1):
            found.append((layer, int(shape[-1])))
    if not found:
        return []
    shapes = _shapes(model, [layer.name for layer, _ in found], _SIDE)
    return [
        LayerInfo(layer.name, channels, 2 ** round(np.log2(_SIDE / max(1, shape[1]))))
        for (layer, channels), shape in zip(found, shapes, strict=True)
    ]


def smallest_side(model: keras.Model, layers: Sequence[str]) -> int:
    """Find the shortest side of a picture, pixels, on which all of some layers have at least one position."""

    def works(side: int) -> bool:
        try:
            return all(min(s for s in shape[1:] if s is not None) >= 1 for shape in _shapes(model, layers, side))
        except ValueError:  # Keras refuses maps of no size
            return False

    low, high = 1, _SIDE // _STEP
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle * _STEP) else (middle + 1, high)
    return low * _STEP


def _shapes(model: keras.Model, layers: Sequence[str], side: int) -> list[tuple[int, ...]]:
    cut = keras.Model(model.input, [model.get_layer(name).output for name in layers])
    return [tuple(shape) for shape in cut.compute_output_shape((1, side, side, 3))]
