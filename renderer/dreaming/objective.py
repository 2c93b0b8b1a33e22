"""What to amplify: objectives are values that add and scale.

    0.2 * channel_square("parts", 20) + square("objects")

An objective turns activations into one number, which the ascent maximises. The weights of its terms may change over
time, so that a film goes over from one to another. A new kind is one function and one line in `KINDS` at the foot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from renderer.dreaming.over_time import Value, value_at
from renderer.dreaming.sight import Activations
from renderer.errors import UsageError, nearest

Kind = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""From an activation `(N, h, w, channels)` and the weights of its channels `(channels,)` to a scalar."""


@dataclass(frozen=True)
class Term:
    """One layer's part of an objective: `weight * kind(activation)`, of one channel or of all.

    The weight is a number, or a function of seconds.
    """

    kind: str
    layer: str
    channel: int | None = None
    weight: Value = 1.0


class Aim(NamedTuple):
    """What an objective heeds at one moment of a film, beside the activations.

    Attributes:
        weights: of the terms, `(terms,)`.
        emphasis: weights of the channels by layer, `(channels,)`; terms of one channel do not heed it.
    """

    weights: tf.Tensor
    emphasis: Activations


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms."""

    terms: tuple[Term, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that it reads, each once."""
        return tuple(dict.fromkeys(term.layer for term in self.terms))

    def weights(self, seconds: float = 0.0) -> NDArray[np.float32]:
        """Return the weights of the terms `(terms,)` at a time in seconds."""
        return np.array([value_at(term.weight, seconds) for term in self.terms], np.float32)

    def aim(
        self, channels: Mapping[str, int], *, seconds: float = 0.0, emphasis: Mapping[str, tf.Tensor] | None = None
    ) -> Aim:
        """Say what the objective heeds at a time.

        Args:
            channels: of each layer, by name.
            seconds: since the start of the film.
            emphasis: weights of the channels `(channels,)` by layer; None weighs all alike.
        """
        if emphasis is None:
            emphasis = {layer: np.ones(channels[layer], np.float32) for layer in self.layers}
        weights = tf.constant(self.weights(seconds))
        return Aim(weights, {layer: tf.constant(values) for layer, values in emphasis.items()})

    def __call__(self, activations: Activations, aim: Aim) -> tf.Tensor:
        """Compute the objective, a float32 scalar, from activations `(N, h, w, channels)` by layer."""
        values = []
        for index, term in enumerate(self.terms):
            activation = tf.cast(activations[term.layer], tf.float32)
            channels = aim.emphasis[term.layer]
            if term.channel is not None:
                activation, channels = activation[..., term.channel : term.channel + 1], tf.ones(())
            values.append(aim.weights[index] * KINDS[term.kind](activation, channels))
        return tf.add_n(values)

    def __add__(self, other: Objective) -> Objective:
        return Objective(self.terms + other.terms)

    def __rmul__(self, factor: float) -> Objective:
        terms = (Term(t.kind, t.layer, t.channel, _times(factor, t.weight)) for t in self.terms)
        return Objective(tuple(terms))

    def __neg__(self) -> Objective:
        return -1.0 * self

    def __sub__(self, other: Objective) -> Objective:
        return self + (-other)


def square(layer: str, channel: int | None = None) -> Objective:
    """Mean square of a layer's activations (google's `dream.ipynb`, there as half the sum)."""
    return Objective((Term("square", layer, channel),))


def mean(layer: str, channel: int | None = None) -> Objective:
    """Mean of a layer's activations (the TensorFlow tutorial)."""
    return Objective((Term("mean", layer, channel),))


def _times(factor: float, weight: Value) -> Value:
    if callable(weight):
        return lambda seconds: factor * weight(seconds)
    return factor * weight


def parse_mix(mix: Mapping[str, Value], *, kind: str) -> Objective:
    """Build an objective from a layer mix.

    Args:
        mix: `LAYER` or `LAYER:CHANNEL` -> weight, which may change over time; a negative one pushes that layer down.
        kind: key of `KINDS`.

    Raises:
        UsageError: an unknown kind, a channel that is no number, no layer at all, or a weight that is not finite.
    """
    if kind not in KINDS:
        raise UsageError(f"There is no objective {kind!r}{nearest(kind, KINDS)}")
    if not any(mix.values()):
        raise UsageError("The layer mix is empty or all its weights are 0; name a layer, like --layers parts.")
    terms = []
    for name, weight in mix.items():
        layer, colon, channel = name.partition(":")
        if colon and not channel.isdecimal():
            raise UsageError(f"In the layer mix, {name!r} should be LAYER or LAYER:CHANNEL, like 'parts:12'.")
        if not callable(weight) and not math.isfinite(weight):
            raise UsageError(f"The weight of layer {name!r} is {weight}; it must be a finite number.")
        terms.append(Term(kind, layer, int(channel) if colon else None, weight))
    return Objective(tuple(terms))


KINDS: dict[str, Kind] = {
    "square": lambda activation, weights: tf.reduce_mean(weights * tf.square(activation)),
    "mean": lambda activation, weights: tf.reduce_mean(weights * activation),
}
