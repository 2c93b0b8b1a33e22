"""Any Keras model file as a network: opened in safe mode, looked over, and laid out for pictures of any size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from keras import layers

from renderer.dreaming.networks.feature_maps import LayerInfo, list_maps, smallest_side
from renderer.dreaming.networks.model_rewrite import bare_head, maps_alone, open_up
from renderer.dreaming.networks.registry import NetworkSpec
from renderer.dreaming.networks.weight_files import check_weights, is_hdf5
from renderer.errors import BadInput, DreamreelError, UsageError

_PLAIN = (
    layers.Rescaling,
    layers.Normalization,
    layers.ZeroPadding2D,
    layers.Cropping2D,
    layers.MaxPooling2D,
    layers.AveragePooling2D,
    layers.Dropout,
)
"""Layers that show nothing that what they read does not."""

_BRIGHT = 0.1
"""A model that begins by scaling pictures down by more than this wants bytes."""


def open_file(path: Path) -> tuple[keras.Model, str | None, int | None]:
    """Open any Keras model that takes pictures, in safe mode: nothing in the file is run.

    Returns:
        The model, for pictures of any size; the layer of its class scores, None if it has none; and the side of the
        pictures it was made for, pixels, None if that is not fixed.

    Raises:
        BadInput: a file that is no model, or a model that cannot dream.
        EnvironmentProblem: there is no such file.
    """
    model = _load(path)
    shape = tuple(getattr(model, "input_shape", None) or ()) if len(model.inputs) == 1 else ()
    if len(shape) != 4 or shape[-1] != 3:
        found = ", ".join(str(tuple(tensor.shape)) for tensor in model.inputs)
        raise BadInput(f"{path} takes {found}; expected is a model of one picture (N, height, width, 3).")
    model, scores = bare_head(model)
    said = ""
    for cut in (lambda: (model, scores), lambda: (maps_alone(model), None)):
        try:
            opened, kept = open_up(*cut())
        except Exception as error:  # some layer knows pictures of one size only, and says so in its own way
            said = said or first_line(error)
            continue
        return opened, kept, shape[1]
    size = f"takes pictures of {shape[2]}x{shape[1]} alone, and" if shape[1] else "cannot be opened for dreaming:"
    raise BadInput(
        f"{path} {size} its layers do not allow others ({said}); a dream needs maps of activations of pictures of any "
        "size, as convolutional networks have them."
    )


def _load(path: Path) -> keras.Model:
    try:
        model = load_safely(path)
    except DreamreelError:
        raise
    except Exception as error:
        raise BadInput(f"{path} is no Keras model that can be opened here: {_why(error)}.") from error
    if isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    if not getattr(model, "operations", None) or not getattr(model, "inputs", None):
        raise BadInput(f"{path} holds a model that is not functional: its layers cannot be looked into.")
    return model


def load_safely(path: Path) -> keras.Model:
    """Open a model without running anything that is in its file.

    Raises:
        EnvironmentProblem: there is no such file.
        BadInput: a file that no model of pictures can be, or a model in the old HDF5 form.
    """
    check_weights(path)
    if is_hdf5(path):
        raise BadInput(
            f"{path} is no Keras model that is opened here: models in HDF5 can hold programs, so they are taken as "
            ".keras alone. If you trust it, save it anew: keras.models.load_model(FILE).save('my.keras')."
        )
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _why(error: Exception) -> str:
    text = str(error)
    if "Lambda" in text or "lambda" in text:
        return "it has a Lambda layer, which is a program inside the file, and programs in files are not run"
    if "Could not locate class" in text or "Unknown layer" in text:
        return f"it has a layer that Keras does not know ({first_line(error)}); only Keras' own layers can be opened"
    return first_line(error)


def first_line(error: Exception) -> str:
    """Return the first line of an error from a library, to be the end of a sentence."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")


def spec_of_file(model: keras.Model, spec: NetworkSpec, *, path: Path) -> NetworkSpec:
    """Say of a model file what the registry says of its networks.

    Args:
        model: as `open_file` gives it.
        spec: what is known; where its preprocessing is "", the model's first layer must show it.
        path: of the file, for messages.

    Raises:
        UsageError: it does not show how it wants its pictures.
        BadInput: it has no map of activations to amplify.
    """
    how = spec.preprocessing or _shown(model)
    if not how:
        raise UsageError(
            f"{path} does not show how it wants its pictures; say so with --preprocess: caffe, tf, torch, byte, unit, "
            "or black and white as numbers, like -1..1."
        )
    chosen = _by_stride(model)
    if not chosen:
        raise BadInput(f"{path} has no layer with a map of activations; a dream needs a convolutional network.")
    names = tuple(info.name for info in chosen)
    usual = [info.name for info in chosen if info.stride <= 16][-1:] or [names[-1]]
    return replace(
        spec,
        preprocessing=how,
        layers=names,
        mix={usual[0]: 1.0},
        smallest=smallest_side(model, names),
    )


def _by_stride(model: keras.Model) -> list[LayerInfo]:
    """Choose the last layer of each stride, shallow to deep."""
    last = {info.stride: info for info in list_maps(model) if not isinstance(model.get_layer(info.name), _PLAIN)}
    return [last[stride] for stride in sorted(last)]


def _shown(model: keras.Model) -> str:
    """Tell how a model wants its pictures where its first layer scales them; "" where it does not."""
    first = model.layers[1]
    if isinstance(first, layers.Rescaling):
        return "byte" if np.max(np.abs(first.scale)) < _BRIGHT else "unit"
    if isinstance(first, layers.Normalization):
        return "byte" if float(keras.ops.max(first.mean)) > 1 else "unit"
    return ""
