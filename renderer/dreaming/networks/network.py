"""One way to open any network of the registry.

Whatever the network, its activations are asked for with pictures `(N, H, W, 3)`, RGB in [0, 1]: its own preprocessing
is part of the graph.
"""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from renderer.dreaming.networks.classes import class_numbers, imagenet_names
from renderer.dreaming.networks.download import Report
from renderer.dreaming.networks.feature_maps import LayerInfo, list_maps
from renderer.dreaming.networks.loaders import BUNDLED_WEIGHTS, SIDE, blank
from renderer.dreaming.networks.model_file import spec_of_file
from renderer.dreaming.networks.model_rewrite import rebuild
from renderer.dreaming.networks.preprocessing import preprocessing
from renderer.dreaming.networks.registry import FILE, NetworkSpec, network_spec, without_head
from renderer.errors import UsageError, nearest
from renderer.files import file_sha256

__all__ = ["BUNDLED_WEIGHTS", "LayerInfo", "Network", "layers_of", "load_network", "shared_network"]


SHALLOW = 4
"""Stride, pixels, up to which a layer is thought to see texture and no things."""


class Network:
    """An opened network: a Keras model and what to feed it.

    Attributes:
        name: its name in the registry.
        spec: its entry there.
        model: the float32 Keras model, without preprocessing.
        precision: "float32" or "bfloat16", what its activations are computed in.
        weights_sha256: of the file the weights came from; "" for weights that came from no file.
        head: name of the layer of class scores, before any softmax, whose activations are `(N, classes)`; None where
            there is none, or where it was not asked for.
        side: of the pictures it was made for, pixels.
        title: what people know it by: its name, or that of the model file.
    """

    def __init__(
        self,
        name: str,
        model: keras.Model,
        *,
        spec: NetworkSpec,
        precision: str = "float32",
        weights_sha256: str = "",
        head: str | None = None,
        side: int = SIDE,
        title: str = "",
    ) -> None:
        self.name, self.model, self.spec, self.precision = name, model, spec, precision
        self.weights_sha256, self.head, self.side = weights_sha256, head, side
        self.title = title or name

    @property
    def class_count(self) -> int:
        """How many classes the head tells apart; 0 without a head."""
        return int(self.model.get_layer(self.head).output.shape[-1]) if self.head else 0

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in order; empty where there is no head, or classes other than ImageNet's 1,000."""
        names = imagenet_names()
        return names if self.class_count == len(names) else ()

    def class_numbers(self, which: str | int) -> tuple[int, ...]:
        """Find the classes of the head that a number or a word names; see `classes.class_numbers`.

        Raises:
            UsageError: the network has no head, or the head no such class.
        """
        if self.head is None:
            raise UsageError(without_head(self.title))
        return class_numbers(which, names=self.class_names, count=self.class_count)

    def layers(self) -> list[LayerInfo]:
        """List every layer with a map of activations, in the order of the network."""
        return list(self._maps)

    @property
    def detail_layer(self) -> str:
        """The layer that adds texture to frames larger than a film is dreamed at: the registry's, or a shallow one."""
        maps = self._maps
        if self.spec.detail in {one.name for one in maps}:
            return self.spec.detail
        return [one.name for one in maps if one.stride <= max(SHALLOW, maps[0].stride)][-1]

    @functools.cached_property
    def _maps(self) -> tuple[LayerInfo, ...]:
        return tuple(list_maps(self.model))

    def activations(self, layers: Sequence[str]) -> keras.Model:
        """Cut the network at the deepest of `layers`.

        Args:
            layers: names of layers; the head's too, for scores `(N, classes)`.

        Returns:
            A model from pictures `(N, H, W, 3)`, RGB in [0, 1], to a dict layer -> activations in the network's
            precision; batch norms are folded into convolutions.

        Raises:
            UsageError: a layer that the network lacks, with the nearest names.
        """
        picture = keras.Input((None, None, 3), dtype="float32", name="picture_unit")
        outputs = keras.tree.flatten(self.cut(layers)(self.prepared(picture)))
        return keras.Model(picture, dict(zip(layers, outputs, strict=True)))

    def cut(self, layers: Sequence[str]) -> keras.Model:
        """Cut the network as `activations` does; from what `prepared` returns to a list of activations."""
        known = {layer.name for layer in self.model.layers}
        for layer in layers:
            if layer not in known:
                raise UsageError(f"Network {self.title!r} has no layer {layer!r}{nearest(layer, known)}")
        cut = keras.Model(self.model.input, [self.model.get_layer(layer).output for layer in layers])
        return rebuild(cut, dtype=self.precision)

    def prepared(self, pictures: Any) -> Any:
        """Turn pictures `(N, H, W, 3)`, RGB in [0, 1], into what the network takes, in its precision."""
        return keras.ops.cast(preprocessing(self.spec.preprocessing)(pictures), self.precision)


def load_network(
    name: str,
    *,
    weights: Path | None = None,
    precision: str = "auto",
    head: bool = False,
    preprocess: str | None = None,
    report: Report | None = None,
) -> Network:
    """Open a network of the registry, or a Keras model file.

    Args:
        name: key of `NETWORKS`, or "file" for a Keras model file.
        weights: a weights file to use in place of the network's own; for "file" the model.
        precision: "float32", "bfloat16", or "auto": bfloat16 where the processor computes in it.
        head: whether its class scores are wanted, which of `keras.applications` are weights of their own; other
            networks have their head in any case, or have none.
        preprocess: how it wants its pictures, see `preprocessing`; None for what the registry says, and for a model
            file what can be seen in it.
        report: told how far a download is.

    Raises:
        UsageError: a name that the registry lacks, or a model file that does not show how it wants its pictures.
        BadInput: a file that is no model, or one that cannot dream.
        EnvironmentProblem: weights that are missing, broken, do not fit, or cannot be downloaded.
    """
    spec = network_spec(name)
    if preprocess is not None:
        preprocessing(preprocess)
        spec = replace(spec, preprocessing=preprocess)
    prepare_device()
    opened = pkgutil.resolve_name(spec.opener)(weights, spec=spec, head=head, report=report)
    if name == FILE:
        spec = spec_of_file(opened.model, spec, path=opened.path)
    resolved = best_precision() if precision == "auto" else precision
    return Network(
        name,
        opened.model,
        spec=replace(spec, smallest=max(spec.smallest, opened.smallest)),
        precision=resolved,
        weights_sha256=file_sha256(opened.path, what="weights"),
        head=opened.head,
        side=opened.side,
        title=opened.path.name if name == FILE else name,
    )


def layers_of(name: str) -> list[LayerInfo]:
    """List the layers of a network of the registry, whether its weights are here or not; see `Network.layers`.

    Raises:
        UsageError: a name that the registry lacks.
    """
    model = blank(network_spec(name))
    return load_network(name).layers() if model is None else list_maps(model)


def shared_network(
    name: str,
    *,
    weights: Path | None = None,
    precision: str = "auto",
    head: bool = False,
    preprocess: str | None = None,
) -> Network:
    """Open a network as `load_network` does; the one that was opened last is given again if the same is asked for.

    So a batch of films loads it once. It is for looking with, not for training. A weights file that has changed
    meanwhile is read anew.

    Raises:
        UsageError, BadInput, EnvironmentProblem: as `load_network`.
    """
    stamp = (found.st_mtime_ns, found.st_size) if weights and weights.is_file() and (found := weights.stat()) else None
    return _last_network(name, weights, precision, head, preprocess, stamp)


@functools.lru_cache(maxsize=1)
def _last_network(
    name: str, weights: Path | None, precision: str, head: bool, preprocess: str | None, stamp: tuple[int, int] | None
) -> Network:
    del stamp
    return load_network(name, weights=weights, precision=precision, head=head, preprocess=preprocess)


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
