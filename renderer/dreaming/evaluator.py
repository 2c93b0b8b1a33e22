"""How a picture is looked at: an objective of the network's activations, and its gradient in the picture.

The ascent does not care how this comes about: `WholeSight` looks at the picture at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import tensorflow as tf

from renderer.dreaming.networks.network import Network

PICTURE = "picture"
"""Name of the picture itself `(1, H, W, 3)`, which every sight supplies as if it were a layer."""

Activations = Mapping[str, tf.Tensor]
"""Activations `(N, h, w, channels)` by layer; those of a head are `(N, classes)`."""

Judge = Callable[[Activations], tf.Tensor]
"""From activations to a scalar, which is maximised."""


class Sight(Protocol):
    """Looks at pictures with one network."""

    @property
    def channels(self) -> Mapping[str, int]:
        """Channels of each layer that is looked at, by name."""
        ...

    @property
    def in_graph(self) -> bool:
        """Whether a call can be traced as a part of a larger graph."""
        ...

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
        layers: names of the layers to look at, `PICTURE` among them.

    Raises:
        UsageError: a layer that the network lacks.
    """

    in_graph = True

    def __init__(self, network: Network, layers: Sequence[str]) -> None:
        seen = [layer for layer in layers if layer != PICTURE]
        self._model = network.activations(seen) if seen else None
        self._with_picture = PICTURE in layers
        made = {} if self._model is None else self._model.output
        self.channels = {layer: int(made[layer].shape[-1]) for layer in seen}
        if self._with_picture:
            self.channels[PICTURE] = 3

    def __call__(self, picture: tf.Tensor, judge: Judge) -> tuple[tf.Tensor, tf.Tensor]:
        """Judge a picture; see `Sight`."""
        with tf.GradientTape() as tape:
            tape.watch(picture)
            value = judge(self.look(picture))
        return value, tape.gradient(value, picture)

    def look(self, picture: tf.Tensor) -> dict[str, tf.Tensor]:
        """Look at a picture; see `Sight`."""
        seen = {} if self._model is None else dict(self._model(picture[None]))
        return {**seen, PICTURE: picture[None]} if self._with_picture else seen
