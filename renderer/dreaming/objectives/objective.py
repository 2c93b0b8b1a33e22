"""What to amplify: a sum of terms, each a kind of objective on a layer with a weight.

An objective turns activations into one number, which the ascent maximises. It is a pure function of the activations and
of `ObjectiveInputs`, which hold all that changes over time: so one traced graph serves all frames, sizes and films.
The kinds of objective are in `objective_terms`, how a user writes an objective is in `objective_spec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from renderer.dreaming.evaluator import Activations
from renderer.dreaming.objectives.channel_weights import ChannelChoice
from renderer.dreaming.objectives.objective_terms import FEATURES, OBJECTIVES
from renderer.errors import UsageError
from renderer.time_value import Value, value_at

Weights = NDArray[np.float32]


@dataclass(frozen=True)
class Term:
    """One layer's part of an objective: `weight * kind(activation)`.

    Attributes:
        kind: key of `objective_terms.OBJECTIVES`.
        layer: of the network, or `evaluator.PICTURE`.
        channel: one channel, or several, ascending; None for all.
        weight: a number, or a function of seconds.
        choice: channels by how strongly they answer to the canvas, in place of one; None for all.
        place: `(x, y)`, parts of the frame from its left and top: one position alone; None for all.
    """

    kind: str
    layer: str
    channel: int | tuple[int, ...] | None = None
    weight: Value = 1.0
    choice: ChannelChoice | None = None
    place: tuple[float, float] | None = None

    @property
    def bare(self) -> Term:
        """The same without what `ObjectiveInputs` hold: terms that are alike in this share a graph."""
        return Term(self.kind, self.layer, place=None if self.place is None else (0.0, 0.0))

    @property
    def reference(self) -> str | None:
        """Name in `ObjectiveInputs.references` of what it compares with, like "guide mean parts"; None for nothing."""
        kind = OBJECTIVES[self.kind]
        return None if kind.compares_with is None else f"{kind.compares_with} {kind.features} {self.layer}"


class ObjectiveInputs(NamedTuple):
    """What an objective takes beside the activations: all of it that changes during a film.

    Attributes:
        weights: of the terms, `(terms,)`.
        channel_weights: weights of the channels of each term's layer, `(channels,)`, with a mean of 1.
        places: `(terms, 2)`, down and right, parts of the frame; read by terms of one place.
        references: what the terms compare with, by `Term.reference`; see `objective_terms.FEATURES`.
    """

    weights: tf.Tensor
    channel_weights: tuple[tf.Tensor, ...]
    places: tf.Tensor
    references: Mapping[str, tf.Tensor]

    def rolled(self, shift: tf.Tensor, size: tf.Tensor) -> ObjectiveInputs:
        """Return the inputs for a picture that is rolled.

        A map of features goes along by whole positions: on a layer with a stride it may be half of one off.

        Args:
            shift: `(2,)` int32, pixels down and right.
            size: `(2,)` int32, height and width of the picture.
        """
        part = tf.cast(shift, tf.float32) / tf.cast(size, tf.float32)
        rolled = {
            name: _roll(value, part) if value.shape.rank == 4 else value for name, value in self.references.items()
        }
        return self._replace(places=(self.places + part) % 1.0, references=rolled)


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms."""

    terms: tuple[Term, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that it reads, each once."""
        return tuple(dict.fromkeys(term.layer for term in self.terms))

    @property
    def pictures(self) -> frozenset[str]:
        """The pictures that it compares with: of "guide", "style" and "canvas"."""
        pictures = (OBJECTIVES[term.kind].compares_with for term in self.terms)
        return frozenset(picture for picture in pictures if picture is not None)

    @property
    def chooses_channels(self) -> bool:
        """Whether some of its channels are chosen by how they answer to the canvas."""
        return any(term.choice is not None for term in self.terms)

    def weights(self, seconds: float = 0.0) -> Weights:
        """Return the weights of the terms `(terms,)` at a time in seconds."""
        return np.array([value_at(term.weight, seconds) for term in self.terms], np.float32)

    def check(self, channels: Mapping[str, int], *, network: str) -> None:
        """Refuse channels that a layer lacks.

        Raises:
            UsageError: with the layer's channels.
        """
        for term in self.terms:
            count = channels[term.layer]
            if term.channel is not None and (last := np.max(term.channel)) >= count:
                raise UsageError(
                    f"Layer {term.layer!r} of {network!r} has channels 0 to {count - 1}; there is no channel {last}."
                )
            if term.choice is not None and not term.choice.fits(count):
                raise UsageError(
                    f"Layer {term.layer!r} of {network!r} has {count} channels: "
                    f"{term.choice} leaves none to choose from."
                )

    def inputs(
        self,
        channels: Mapping[str, int],
        *,
        seconds: float = 0.0,
        channel_weights: Mapping[str, Weights] | None = None,
        activity: Mapping[str, Weights] | None = None,
        references: Mapping[str, tf.Tensor] | None = None,
    ) -> ObjectiveInputs:
        """Return the inputs at a time.

        Args:
            channels: of each layer, by name.
            seconds: since the start of the film.
            channel_weights: weights of the channels `(channels,)` by layer; None weighs all alike. Terms of one channel
                leave them out, and so do those that compare: what is compared is compared whole.
            activity: mean activation of each channel `(channels,)` by layer, for terms that choose their channels.
            references: what terms compare with.
        """
        each = [
            _channel_weights(term, channels[term.layer], channel_weights or {}, activity or {}) for term in self.terms
        ]
        places = [(0.0, 0.0) if term.place is None else term.place[::-1] for term in self.terms]
        return ObjectiveInputs(
            weights=tf.constant(self.weights(seconds)),
            channel_weights=tuple(map(tf.constant, each)),
            places=tf.constant(places, tf.float32),
            references=dict(references or {}),
        )

    def input_spec(self, channels: Mapping[str, int]) -> ObjectiveInputs:
        """Describe every tensor of its inputs as a `tf.TensorSpec`, for a graph that serves all sizes."""
        count = len(self.terms)
        references = {
            term.reference: tf.TensorSpec(
                FEATURES[OBJECTIVES[term.kind].features].shape(channels[term.layer]), tf.float32
            )
            for term in self.terms
            if term.reference is not None
        }
        return ObjectiveInputs(
            weights=tf.TensorSpec((count,), tf.float32),
            channel_weights=tuple(tf.TensorSpec((channels[term.layer],), tf.float32) for term in self.terms),
            places=tf.TensorSpec((count, 2), tf.float32),
            references=references,
        )

    def __call__(self, activations: Activations, inputs: ObjectiveInputs) -> tf.Tensor:
        """Compute the objective, a float32 scalar.

        Args:
            activations: `(N, h, w, channels)` by layer, or `(N, classes)` of a head.
            inputs: see `ObjectiveInputs`.
        """
        values = []
        for index, term in enumerate(self.terms):
            activation = as_map(activations[term.layer])
            reference = inputs.references[term.reference] if term.reference is not None else tf.zeros(())
            if term.place is not None:
                activation = _spot(activation, inputs.places[index])
                reference = _spot(reference, inputs.places[index]) if reference.shape.rank == 4 else reference
            value = OBJECTIVES[term.kind].function(activation, inputs.channel_weights[index], reference)
            values.append(inputs.weights[index] * value)
        return tf.add_n(values)


def times(factor: float, weight: Value) -> Value:
    """Multiply a weight that may change over time."""
    if callable(weight):
        return lambda seconds: factor * weight(seconds)
    return factor * weight


def as_map(activation: tf.Tensor) -> tf.Tensor:
    """Return an activation as float32 `(N, h, w, channels)`; a head's scores `(N, classes)` have one position."""
    values = tf.cast(activation, tf.float32)
    return values[:, None, None, :] if values.shape.rank == 2 else values


def _channel_weights(
    term: Term, count: int, channel_weights: Mapping[str, Weights], activity: Mapping[str, Weights]
) -> Weights:
    """Return the weights `(channels,)` of a term's channels."""
    if term.channel is not None:
        chosen = np.zeros(count, np.float32)
        chosen[np.array(term.channel)] = np.float32(count) / np.float32(np.size(term.channel))
        return chosen
    alike = np.ones(count, np.float32)
    weights = alike if term.reference is not None else channel_weights.get(term.layer, alike)
    if term.choice is not None and term.layer in activity:
        weights = weights * term.choice.weights(activity[term.layer])
        weights = weights * (count / max(float(weights.sum()), 1e-12))
    return np.asarray(weights, np.float32)


def _roll(features: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
    size = tf.cast(tf.shape(features)[1:3], tf.float32)
    return tf.roll(features, tf.cast(tf.round(part * size), tf.int32), (1, 2))


def _spot(features: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Return the one position `(N, 1, 1, channels)` of a map that lies at a place, down and right."""
    size = tf.shape(features)[1:3]
    spot = tf.minimum(tf.cast(place * tf.cast(size, tf.float32), tf.int32), size - 1)
    return features[:, spot[0] : spot[0] + 1, spot[1] : spot[1] + 1]
