"""What to amplify: objectives are values that add and scale.

    0.2 * channel_square("parts", 20) + square("objects")

An objective turns activations into one number, which the ascent maximises. A new kind is one function and one line
in `KINDS` at the foot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import tensorflow as tf

from renderer.errors import UsageError, nearest

Activations = Mapping[str, tf.Tensor]
Kind = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""From an activation `(N, h, w, channels)` and the weights of its channels `(channels,)` to a scalar."""


@dataclass(frozen=True)
class Term:
    """One layer's part of an objective: `weight * kind(activation)`, of one channel or of all."""

    kind: str
    layer: str
    channel: int | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms."""

    terms: tuple[Term, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that it reads, each once."""
        return tuple(dict.fromkeys(term.layer for term in self.terms))

    def __call__(self, activations: Activations, emphasis: Activations | None = None) -> tf.Tensor:
        """Compute the objective, a float32 scalar.

        Args:
            activations: `(N, h, w, channels)` by layer.
            emphasis: weights of the channels `(channels,)` by layer; None weighs all alike. Terms of one channel
                do not heed it.
        """
        values = []
        for term in self.terms:
            activation = tf.cast(activations[term.layer], tf.float32)
            weights = tf.ones(()) if emphasis is None else emphasis[term.layer]
            if term.channel is not None:
                activation, weights = activation[..., term.channel : term.channel + 1], tf.ones(())
            values.append(term.weight * KINDS[term.kind](activation, weights))
        return tf.add_n(values)

    def __add__(self, other: Objective) -> Objective:
        return Objective(self.terms + other.terms)

    def __rmul__(self, factor: float) -> Objective:
        terms = (Term(t.kind, t.layer, t.channel, factor * t.weight) for t in self.terms)
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


def parse_mix(mix: Mapping[str, float], *, kind: str) -> Objective:
    """Build an objective from a layer mix.

    Args:
        mix: `LAYER` or `LAYER:CHANNEL` -> weight; a negative weight pushes that layer down.
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
        if not math.isfinite(weight):
            raise UsageError(f"The weight of layer {name!r} is {weight}; it must be a finite number.")
        terms.append(Term(kind, layer, int(channel) if colon else None, float(weight)))
    return Objective(tuple(terms))


KINDS: dict[str, Kind] = {
    "square": lambda activation, weights: tf.reduce_mean(weights * tf.square(activation)),
    "mean": lambda activation, weights: tf.reduce_mean(weights * activation),
}
