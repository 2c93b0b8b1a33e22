"""One way to open any network of the registry.

Whatever the network, its activations are asked for with pictures `(N, H, W, 3)`, RGB in [0, 1]: its own preprocessing
is part of the graph.
"""

from __future__ import annotations

import functools
import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from renderer.dreaming.folding import rebuild
from renderer.dreaming.registry import NetworkSpec, network_spec
from renderer.errors import EnvironmentProblem, UsageError, nearest

BUNDLED_WEIGHTS = Path(__file__).parent / "weights" / "dreamnet.keras"

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)

PREPROCESSING: dict[str, Callable[[Any], Any]] = {
    "unit": lambda x: x,  # as they are
    "tf": lambda x: x * 2.0 - 1.0,  # [-1, 1]
    "byte": lambda x: x * 255.0,  # 0 to 255
    "caffe": lambda x: x[..., ::-1] * 255.0 - np.array([103.939, 116.779, 123.68], np.float32),
    "torch": lambda x: (x - IMAGENET_MEAN) / IMAGENET_STD,
}
"""How a network wants its pictures, from RGB in [0, 1]."""


@dataclass(frozen=True)
class LayerInfo:
    """A layer whose activations can be amplified: its name, channels, and stride in pixels."""

    name: str
    channels: int
    stride: int


class Network:
    """An opened network: a Keras model and what to feed it.

    Attributes:
        name: its name in the registry.
        spec: its entry there.
        model: the float32 Keras model, without preprocessing.
        precision: "float32" or "bfloat16", what its activations are computed in.
        weights_sha256: of the file the weights came from; "" for weights that came from no file.
    """

    def __init__(
        self, name: str, model: keras.Model, *, spec: NetworkSpec, precision: str = "float32", weights_sha256: str = ""
    ) -> None:
        self.name, self.model, self.spec, self.precision = name, model, spec, precision
        self.weights_sha256 = weights_sha256

    def layers(self) -> list[LayerInfo]:
        """List every layer with a map of activations, in the order of the network."""
        side = 512
        found = []
        for layer in self.model.layers[1:]:
            shape = tuple(getattr(layer.output, "shape", ()))
            if len(shape) == 4 and shape[-1] is not None:
                found.append((layer, int(shape[-1])))
        maps = keras.Model(self.model.input, [layer.output for layer, _ in found])
        shapes = maps.compute_output_shape((1, side, side, 3))
        return [
            LayerInfo(layer.name, channels, 2 ** round(np.log2(side / max(1, shape[1]))))
            for (layer, channels), shape in zip(found, shapes, strict=True)
        ]

    def activations(self, layers: Sequence[str]) -> keras.Model:
        """Cut the network at the deepest of `layers`.

        Args:
            layers: names of layers.

        Returns:
            A model from pictures `(N, H, W, 3)`, RGB in [0, 1], to a dict layer -> activations in the network's
            precision; batch norms are folded into convolutions.

        Raises:
            UsageError: a layer that the network lacks, with the nearest names.
        """
        known = {layer.name for layer in self.model.layers}
        for layer in layers:
            if layer not in known:
                raise UsageError(f"Network {self.name!r} has no layer {layer!r}{nearest(layer, known)}")
        cut = keras.Model(self.model.input, [self.model.get_layer(layer).output for layer in layers])
        fast = rebuild(cut, dtype=self.precision)
        picture = keras.Input((None, None, 3), dtype="float32", name="picture_unit")
        prepared = PREPROCESSING[self.spec.preprocessing](picture)
        outputs = keras.tree.flatten(fast(keras.ops.cast(prepared, self.precision)))
        return keras.Model(picture, dict(zip(layers, outputs, strict=True)))


def load_network(name: str, *, weights: Path | None = None, precision: str = "auto") -> Network:
    """Open a network of the registry.

    Args:
        name: key of `NETWORKS`.
        weights: a weights file to use in place of the network's own.
        precision: "float32", "bfloat16", or "auto": bfloat16 where the processor computes in it.

    Raises:
        UsageError: a name that the registry lacks.
        EnvironmentProblem: weights that are missing, broken, do not fit, or cannot be downloaded.
    """
    spec = network_spec(name)
    prepare_device()
    if spec.application is None:
        path = weights or BUNDLED_WEIGHTS
        model = _load_model_file(path)
    else:
        model, path = _load_application(name, spec, weights)
    resolved = best_precision() if precision == "auto" else precision
    return Network(name, model, spec=spec, precision=resolved, weights_sha256=_sha256(path))


def shared_network(name: str, *, weights: Path | None = None, precision: str = "auto") -> Network:
    """Open a network as `load_network` does; the one that was opened last is given again if the same is asked for.

    So a batch of films loads it once. It is for looking with, not for training. A weights file that has changed
    meanwhile is read anew.

    Raises:
        UsageError, EnvironmentProblem: as `load_network`.
    """
    stamp = (found.st_mtime_ns, found.st_size) if weights and weights.is_file() and (found := weights.stat()) else None
    return _last_network(name, weights, precision, stamp)


@functools.lru_cache(maxsize=1)
def _last_network(name: str, weights: Path | None, precision: str, stamp: tuple[int, int] | None) -> Network:
    del stamp
    return load_network(name, weights=weights, precision=precision)


def best_precision() -> str:
    """Return "bfloat16" where the device computes in it (AVX-512 BF16, AMX, recent GPUs), else "float32"."""
    for device in tf.config.list_physical_devices("GPU"):
        capability = tf.config.experimental.get_device_details(device).get("compute_capability", (0, 0))
        return "bfloat16" if capability >= (8, 0) else "float32"
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "float32"
    return "bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


def prepare_device() -> None:
    """Let a GPU's memory grow as it is needed, instead of taking it all at the start."""
    for device in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(device, True)
        except RuntimeError:  # the device is in use already: it was prepared before
            return


def _load_model_file(path: Path) -> keras.Model:
    if not path.is_file():
        raise EnvironmentProblem(f"The network file {path} is missing; give one with --weights, or install again.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise EnvironmentProblem(f"{path} is no Keras model that can be opened here: {_first_line(error)}") from error


def _load_application(name: str, spec: NetworkSpec, weights: Path | None) -> tuple[keras.Model, Path]:
    assert spec.application is not None
    build = getattr(keras.applications, spec.application)
    if weights is None:
        return _download(name, build)
    if not weights.is_file():
        raise EnvironmentProblem(f"The weights file {weights} does not exist.")
    model = build(include_top=False, weights=None)
    try:
        _load_all_weights(model, weights)
    except Exception as error:
        raise EnvironmentProblem(
            f"The weights in {weights} do not fit the network {name!r}: {_first_line(error)}. "
            f"Expected are the weights without top of keras.applications.{spec.application}, as .weights.h5 or .h5."
        ) from error
    return model, weights


def _load_all_weights(model: keras.Model, weights: Path) -> None:
    """Load weights for every layer; Keras itself only warns where a file lacks some, and leaves those random."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*[Ss]kipping")
        model.load_weights(weights)


def _download(name: str, build: Callable[..., keras.Model]) -> tuple[keras.Model, Path]:
    """Let Keras fetch the weights, checked against its own hash, and find the file that it keeps."""
    wanted: list[Path] = []
    original = keras.utils.get_file

    def remember(fname: str, *args: Any, **options: Any) -> str:
        folder = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / options.get("cache_subdir", "datasets")
        wanted.append(folder / fname)
        return original(fname, *args, **options)

    module = __import__(build.__module__, fromlist=["file_utils"])
    file_utils = module.file_utils
    untouched, file_utils.get_file = file_utils.get_file, remember
    try:
        model = build(include_top=False, weights="imagenet")
    except Exception as error:
        place = f" Or put the file {wanted[-1].name} into {wanted[-1].parent}." if wanted else ""
        raise EnvironmentProblem(
            f"The weights of {name!r} are not on this machine and could not be fetched: {_first_line(error)}. "
            f"Give a weights file with --weights FILE.{place} The bundled network, dreamnet, needs no download."
        ) from error
    finally:
        file_utils.get_file = untouched
    return model, wanted[-1]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")
