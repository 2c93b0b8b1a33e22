"""How a picture is looked at: an objective of the network's activations, and its gradient in the picture.

The ascent does not care how this comes about: `WholeSight` looks at the picture at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import tensorflow as tf

from renderer.dreaming.networks import Network

Activations = Mapping[str, tf.Tensor]
"""Activations `(N, h, w, channels)` by layer."""

Judge = Callable[[Activations], tf.Tensor]
"""From activations to a scalar, which is maximised."""


class Sight(Protocol):
    """Looks at pictures with one network.

    Attributes:
        channels: of each layer that is looked at, by name.
        in_graph: whether a call can be traced as a part of a larger graph.
    """

    channels: Mapping[str, int]
    in_graph: bool

    def __call__(self, picture: tf.Tensor, judge: Judge) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the judgement of a picture `(H, W, 3)`, RGB in [0, 1], and its gradient `(H, W, 3)`."""
        ...

    def look(self, picture: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the activations `(1, h, w, channels)` of a picture `(H, W, 3)`, by layer."""
        ...


class WholeSight:
    """Looks at the whole picture at once.

    Args:
        network: what looks.
        layers: names of the layers to look at.

    Raises:
        UsageError: a layer that the network lacks.
    """

    in_graph = True

    def __init__(self, network: Network, layers: Sequence[str]) -> None:
        self._model = network.activations(layers)
        self.channels = {layer: int(self._model.output[layer].shape[-1]) for layer in layers}

    def __call__(self, picture: tf.Tensor, judge: Judge) -> tuple[tf.Tensor, tf.Tensor]:
        """Judge a picture; see `Sight`."""
        with tf.GradientTape() as tape:
            tape.watch(picture)
            value = judge(self.look(picture))
        return value, tape.gradient(value, picture)

    def look(self, picture: tf.Tensor) -> dict[str, tf.Tensor]:
        """Look at a picture; see `Sight`."""
        return dict(self._model(picture[None]))
