"""Bring a Keras model into the shape that dreaming needs: pictures of any size, layers in one row, scores bare.

And cheap to run: batch norms folded into the convolutions before them, weights in the wanted type. Nothing here changes
what a network sees: on pictures of the size it was made for, its layers give what they gave.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

AVERAGED = "class_scores"
"""Name of the average over the positions where a head has become convolutions."""

_PASSING = (layers.Dropout, layers.Activation, layers.ReLU, layers.BatchNormalization)


def tidy_names(model: keras.Model) -> None:
    """Count the layers that Keras named itself from zero, whatever was built before in this process."""
    named: dict[str, list[tuple[int, Any]]] = {}
    for layer in model.operations:
        base = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__).lower()
        if match := re.fullmatch(rf"{base}(?:_(\d+))?", layer.name):
            named.setdefault(base, []).append((int(match[1] or 0), layer))
    for base, found in named.items():
        for count, (_, layer) in enumerate(sorted(found, key=lambda pair: pair[0])):
            layer.name = f"{base}_{count}" if count else base


def bare_head(model: keras.Model) -> tuple[keras.Model, str | None]:
    """Find the class scores of a model, and take the softmax or sigmoid off them.

    Returns:
        The model, and the name of the layer with the scores `(N, classes)`; as it was, and None, where its last layer
        gives no such scores.
    """
    if len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
        return model, None
    last = model.outputs[0]._keras_history.operation
    if isinstance(last, layers.Softmax) or (isinstance(last, layers.Activation) and not _has_weights_after(last)):
        before = last.input._keras_history.operation
        return keras.Model(model.input, last.input, name=model.name), str(before.name)
    if isinstance(last, layers.Dense) and last.activation is not keras.activations.linear:
        plain = {"activation": "linear"}
        return copied(model, change=lambda layer: plain if layer.name == last.name else {}), str(last.name)
    return model, str(last.name)


def open_up(model: keras.Model, head: str | None) -> tuple[keras.Model, str | None]:
    """Let a model take pictures of any size.

    Models inside the model are laid out in its own row of layers. Where a map of activations is flattened for dense
    layers, these become convolutions, and the scores are averaged over the positions (Sermanet et al. 2014, OverFeat):
    on pictures of the size they were made for they are the same.

    Args:
        model: functional, of one input `(N, H, W, 3)`.
        head: layer of its class scores, None for none.

    Returns:
        The opened model and its head.

    Raises:
        ValueError: the layers do not allow it.
    """
    free = (None, None, int(model.inputs[0].shape[-1]))
    nested = any(isinstance(layer, keras.Model) for layer in model.layers)
    sums = any(not isinstance(operation, layers.Layer) for operation in model.operations)
    if not nested and not sums and tuple(model.inputs[0].shape[1:]) == free:
        return model, head
    if nested or sums:
        model = copied(model)
    dense = _flattened(model)
    opened = copied(model, shape=free, convolve=dense)
    if side := model.inputs[0].shape[1]:
        opened.compute_output_shape((1, side + 64, side + 96, 3))  # some layers find out only now
    if not (head and dense):
        return opened, head
    scores = layers.GlobalAveragePooling2D(name=AVERAGED)(opened.get_layer(head).output)
    return keras.Model(opened.input, scores, name=model.name), AVERAGED


def maps_alone(model: keras.Model) -> keras.Model:
    """Cut a model down to what its maps of activations need, so that what follows them does not hold its size."""
    model = copied(model)
    maps = [layer.output for layer in model.layers[1:] if len(getattr(layer.output, "shape", ())) == 4]
    return keras.Model(model.input, maps, name=model.name)


def copied(
    model: keras.Model,
    *,
    change: Callable[[layers.Layer], dict[str, Any]] = lambda _: {},
    shape: Sequence[int | None] | None = None,
    convolve: dict[str, tuple[int, int, int]] | None = None,
) -> keras.Model:
    """Copy a functional model with its weights; models inside it are laid out in its own row of layers.

    Args:
        model: is left as it is.
        change: what to change in a layer's configuration.
        shape: of the copy's pictures; as they were without it.
        convolve: dense layers to make convolutions, each with the map `(height, width, channels)` that it reads.
    """
    model, convolve = _unnested(model), convolve or {}
    copies: list[tuple[layers.Layer, layers.Layer]] = []

    def clone(layer: layers.Layer) -> layers.Layer:
        if not isinstance(layer, layers.Layer):  # a bare operation, like a sum written with +
            return type(layer).from_config(layer.get_config())
        made = _made(layer, {**layer.get_config(), **change(layer)}, convolve.get(layer.name))
        copies.append((layer, made))
        return made

    def call(layer: layers.Layer, *args: Any, **options: Any) -> Any:
        if convolve and isinstance(layer, layers.Flatten) and len(args[0].shape) == 4 and args[0].shape[1] != 1:
            return args[0]
        if type(layer).__name__ == "Add" and len(args) == 2 and all(map(keras.utils.is_keras_tensor, args)):
            return layers.Add(name=layer.name)(list(args))  # two maps: a layer, so that it can be amplified
        return layer(*args, **options)

    picture = keras.Input(tuple(shape or model.inputs[0].shape[1:]), name="picture")
    copy = keras.models.clone_model(model, input_tensors=picture, clone_function=clone, call_function=call)
    for layer, made in copies:
        if layer.weights:
            _give_weights(layer, made, convolve.get(layer.name))
    return keras.Model(picture, copy.outputs if len(copy.outputs) > 1 else copy.outputs[0], name=model.name)


def _unnested(model: keras.Model) -> keras.Model:
    """Lay models inside a model out in its own row of layers; those layers are shared with the model."""

    def call(layer: layers.Layer, *args: Any, **options: Any) -> Any:
        return layer.call(*args) if isinstance(layer, keras.Model) else layer(*args, **options)

    while any(isinstance(layer, keras.Model) for layer in model.layers):
        picture = keras.Input(tuple(model.inputs[0].shape[1:]), name="picture")
        laid_out = keras.models.clone_model(
            model, input_tensors=picture, clone_function=lambda layer: layer, call_function=call
        )
        outputs = laid_out.outputs
        model = keras.Model(picture, outputs if len(outputs) > 1 else outputs[0], name=model.name)
    return model


def _made(layer: layers.Layer, config: dict[str, Any], read: tuple[int, int, int] | None) -> layers.Layer:
    if read is None:
        return type(layer).from_config(config)
    given = {key: config[key] for key in ("name", "activation", "use_bias", "dtype")}
    return layers.Conv2D(config["units"], read[:2], **given)


def _give_weights(layer: layers.Layer, made: layers.Layer, read: tuple[int, int, int] | None) -> None:
    weights = layer.get_weights()
    if read is not None:
        weights[0] = np.reshape(weights[0], (*read, -1))
    made.set_weights(weights)
    if isinstance(made, layers.Normalization):
        made.finalize_state()  # it keeps what it computes with apart from its weights


def _flattened(model: keras.Model) -> dict[str, tuple[int, int, int]]:
    """Name the dense layers that read a flattened map, each with the map's `(height, width, channels)`."""
    found = {}
    for layer in model.layers:
        if not isinstance(layer, layers.Dense):
            continue
        before = layer.input._keras_history.operation
        while isinstance(before, _PASSING):
            before = before.input._keras_history.operation
        if isinstance(before, layers.Flatten) and len(before.input.shape) == 4 and before.input.shape[1] != 1:
            height, width, channels = before.input.shape[1:]
            found[layer.name] = (int(height), int(width), int(channels))
    return found


def _has_weights_after(layer: layers.Layer) -> bool:
    """Tell whether an activation bears weights of its own, so that it is more than the last touch on the scores."""
    return bool(layer.weights) or layer.activation is keras.activations.linear


# --- for inference: cheap to run --------------------------------------------------------------------------------------

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
