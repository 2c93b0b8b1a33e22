"""Make a network cheap to run: batch norms folded into the convolutions before them, weights in the wanted type."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

Arrays = list[NDArray[Any]]


class Folded(layers.Layer):
    """What stands where a batch norm was: its input as it is. Takes the arguments that a batch norm takes."""

    def call(self, x: keras.KerasTensor, **_: Any) -> keras.KerasTensor:
        return x


def rebuild(model: keras.Model, *, dtype: str) -> keras.Model:
    """Copy a functional model for inference.

    A batch norm that alone follows a convolution becomes part of it: `kernel * s`, `(bias - mean) * s + beta` with
    `s = gamma / sqrt(variance + epsilon)`; the copy gives the same activations to rounding.

    Args:
        model: functional model; it is left as it is.
        dtype: "float32" or "bfloat16", for weights and arithmetic.
    """
    folded = _foldable(model)
    followers = {norm.name: conv.name for conv, norm in folded.values()}

    def clone(layer: layers.Layer) -> layers.Layer:
        if not isinstance(layer, layers.Layer):  # a bare operation has no weights and follows its input's type
            return type(layer).from_config(layer.get_config())
        if layer.name in followers:
            return Folded(name=layer.name, dtype=dtype)
        config = layer.get_config()
        config["dtype"] = dtype
        if layer.name in folded:
            config["use_bias"] = True
        return layer.__class__.from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone)
    for layer in copy.layers:
        if layer.name in folded:
            layer.set_weights(_fold(*folded[layer.name]))
        elif layer.name not in followers and layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
            if isinstance(layer, layers.Normalization):
                layer.finalize_state()  # it keeps what it computes with apart from its weights
    copy.trainable = False
    return copy


def _foldable(model: keras.Model) -> dict[str, tuple[layers.Layer, layers.Layer]]:
    """Map the names of convolutions to themselves and the batch norm that is their only reader."""
    readers: dict[str, list[layers.Layer]] = {}
    for layer in model.layers:
        inputs = getattr(layer, "input", None)
        for tensor in inputs if isinstance(inputs, list) else [inputs]:
            if tensor is not None and not isinstance(layer, layers.InputLayer):
                readers.setdefault(tensor._keras_history.operation.name, []).append(layer)
    outputs = {tensor._keras_history.operation.name for tensor in model.outputs}
    pairs = {}
    for layer in model.layers:
        following = readers.get(layer.name, [])
        if (
            type(layer) in (layers.Conv2D, layers.DepthwiseConv2D)
            and layer.name not in outputs
            and len(following) == 1
            and isinstance(following[0], layers.BatchNormalization)
            and layer.activation is keras.activations.linear
        ):
            pairs[layer.name] = (layer, following[0])
    return pairs


def _fold(conv: layers.Layer, norm: layers.BatchNormalization) -> Arrays:
    kernel = np.asarray(conv.kernel, np.float32)
    bias = np.asarray(conv.bias, np.float32) if conv.use_bias else np.float32(0)
    variance, mean = np.asarray(norm.moving_variance), np.asarray(norm.moving_mean)
    scale = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * np.asarray(norm.gamma)
    shift = np.asarray(norm.beta) if norm.center else np.float32(0)
    spread = scale.reshape(kernel.shape[-2:]) if isinstance(conv, layers.DepthwiseConv2D) else scale
    return [kernel * spread, (bias - mean) * scale + shift]
