"""SqueezeNet v1.0: a small classifier, an independent judge of what is in a picture.

Source: Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", and the authors' Caffe
model. Layers have that model's names. The model takes prepared pictures, as those of `keras.applications` do: BGR,
0 to 255, less the mean of the training pictures; see `preprocessing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from renderer.dreaming.networks.weight_files import check_weights
from renderer.errors import EnvironmentProblem

SIDE = 227
"""Side of the pictures it was trained on, pixels."""

FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
"""Number of a fire module -> channels that it squeezes to, and that each of its two halves expands to."""

POOLED = ("conv1", "fire4", "fire8")
"""Layers followed by a max pool of 3x3 at stride 2."""


def build_squeezenet(*, classes: int = 1000, name: str = "squeezenet") -> keras.Model:
    """Build the network with fresh weights.

    Args:
        classes: how many it tells apart.
        name: the model's name.

    Returns:
        A functional model from prepared pictures `(N, H, W, 3)`, sides 31 px or more, to the class scores
        `(N, classes)`: averages over the positions, never negative, no softmax. Its layers `fire2` to `fire9` are the
        modules' outputs, at strides 4 (2 to 4), 8 (5 to 8) and 16 (9).
    """
    picture = keras.Input((None, None, 3), name="picture")
    x = layers.Conv2D(96, 7, strides=2, activation="relu", name="conv1")(picture)
    x = _pool(x, "conv1")
    for number, (squeezed, expanded) in FIRES.items():
        fire = f"fire{number}"
        x = layers.Conv2D(squeezed, 1, activation="relu", name=f"{fire}_squeeze1x1")(x)
        halves = [
            layers.Conv2D(expanded, 1, activation="relu", name=f"{fire}_expand1x1")(x),
            layers.Conv2D(expanded, 3, padding="same", activation="relu", name=f"{fire}_expand3x3")(x),
        ]
        x = _pool(layers.Concatenate(name=fire)(halves), fire)
    x = layers.Conv2D(classes, 1, activation="relu", name="conv10")(x)
    scores = layers.GlobalAveragePooling2D(name="scores")(x)
    return keras.Model(picture, scores, name=name)


def load_squeezenet(path: Path) -> keras.Model:
    """Build the network with the weights in an `.npz` file.

    Args:
        path: holds `LAYER/kernel` (height, width, input, output channels) and `LAYER/bias` for every convolution.

    Raises:
        EnvironmentProblem: a file that is missing, broken, or holds other shapes.
        BadInput: as `check_weights`.
    """
    check_weights(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            weights = {key: file[key] for key in file.files}
    except Exception as error:
        raise EnvironmentProblem(f"{path} is no .npz file that can be read: {error}") from error
    # As many classes as the kernel holds: the number of a smaller array alone could ask for any memory.
    kernel = weights.get("conv10/kernel")
    model = build_squeezenet(classes=kernel.shape[-1] if kernel is not None and kernel.ndim and kernel.size else 1000)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            _set(layer, weights, path)
    return model


def _pool(x: keras.KerasTensor, after: str) -> keras.KerasTensor:
    return layers.MaxPooling2D(3, 2, name=f"pool_{after}")(x) if after in POOLED else x


def _set(layer: layers.Layer, weights: dict[str, NDArray[np.float32]], path: Path) -> None:
    found: Sequence[NDArray[np.float32] | None] = [weights.get(f"{layer.name}/{kind}") for kind in ("kernel", "bias")]
    for kind, value, wanted in zip(("kernel", "bias"), found, (layer.kernel, layer.bias), strict=True):
        if value is None or value.dtype.kind != "f" or value.shape != tuple(wanted.shape):
            held = "nothing" if value is None else f"shape {value.shape} of {value.dtype}"
            raise EnvironmentProblem(
                f"The weights in {path} do not fit SqueezeNet v1.0: {layer.name}/{kind} holds {held}, "
                f"expected is shape {tuple(wanted.shape)} of floats."
            )
    layer.set_weights(found)
