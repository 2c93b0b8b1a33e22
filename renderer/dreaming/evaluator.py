"""How a picture is evaluated: an objective of the network's activations, and its gradient in the picture.

The ascent does not care how this comes about. `Evaluator` takes the picture at once; `tiles.TiledEvaluator` gives the
same, tile by tile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from renderer.dreaming.networks.network import Network

PICTURE = "picture"
"""Name of the picture itself `(1, H, W, 3)`, which every evaluator supplies as if it were a layer."""

Activations = Mapping[str, tf.Tensor]
"""Activations `(N, h, w, channels)` by layer; those of a head are `(N, classes)`."""

ObjectiveFn = Callable[[Activations], tf.Tensor]
"""From activations to a scalar, which is maximised."""


class Evaluator:
    """Evaluates pictures with one network, each as a whole.

    Args:
        network: gives the activations.
        layers: names of the layers that objectives read, `PICTURE` among them.

    Attributes:
        channels: of each of these layers, by name.
        in_graph: whether a call can be traced as a part of a larger graph.

    Raises:
        UsageError: a layer that the network lacks.
    """

    in_graph = True

    def __init__(self, network: Network, layers: Sequence[str]) -> None:
        inner = [layer for layer in layers if layer != PICTURE]
        self._model = network.activations(inner) if inner else None
        self._with_picture = PICTURE in layers
        outputs = {} if self._model is None else self._model.output
        self.channels = {layer: int(outputs[layer].shape[-1]) for layer in inner}
        if self._with_picture:
            self.channels[PICTURE] = 3

    def __call__(self, picture: tf.Tensor, objective: ObjectiveFn) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the objective of a picture `(H, W, 3)`, RGB in [0, 1], and its gradient `(H, W, 3)`."""
        with tf.GradientTape() as tape:
            tape.watch(picture)
            value = objective(self.activations(picture))
        return value, tape.gradient(value, picture)

    def activations(self, picture: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the activations `(1, h, w, channels)` of a picture `(H, W, 3)`, by layer."""
        inner = {} if self._model is None else dict(self._model(picture[None]))
        return {**inner, PICTURE: picture[None]} if self._with_picture else inner
