"""Gradient ascent on a picture: jitter, gradient, normalisation, step.

One graph serves every size: it is traced once, with unknown height and width. It holds a single step; a loop inside the
graph would keep TensorFlow from fusing the network's operations, and take nearly twice the time.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from renderer.dreaming.gradients import NORMALISERS, smooth
from renderer.dreaming.networks import Network
from renderer.dreaming.objective import Objective
from renderer.errors import UsageError, nearest
from renderer.frame import Frame

EVERYWHERE = np.ones((1, 1, 1), np.float32)
"""The map of steps that are alike in the whole picture."""


@dataclass(frozen=True, kw_only=True)
class Climb:
    """The outcome of some steps: the picture, and the objective before each step."""

    picture: Frame
    values: NDArray[np.float32]


class Ascent:
    """Steps uphill for one network and one objective.

    Args:
        network: what looks at the picture.
        objective: what is amplified.
        normalise: key of `gradients.NORMALISERS`.
        bands: bands of the Laplacian normaliser.
        smoothing: sigma of a Gaussian over the gradient, pixels.

    Raises:
        UsageError: an unknown normaliser, a layer or channel that the network lacks.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        *,
        normalise: str = "laplacian",
        bands: int = 4,
        smoothing: float = 0.0,
    ) -> None:
        if normalise not in NORMALISERS:
            raise UsageError(f"There is no gradient normalisation {normalise!r}{nearest(normalise, NORMALISERS)}")
        self.network, self.objective = network, objective
        self._activations = network.activations(objective.layers)
        self.channels = {layer: int(self._activations.output[layer].shape[-1]) for layer in objective.layers}
        self._check_channels()
        self._normalise, self._bands, self._smoothing = NORMALISERS[normalise], bands, smoothing
        signature = [
            tf.TensorSpec((None, None, 3), tf.float32),
            tf.TensorSpec((2,), tf.int32),
            tf.TensorSpec((), tf.float32),
            tf.TensorSpec((None, None, 1), tf.float32),
            {layer: tf.TensorSpec((count,), tf.float32) for layer, count in self.channels.items()},
            tf.TensorSpec((len(objective.terms),), tf.float32),
        ]
        self._step = tf.function(self._one_step, input_signature=signature)

    def climb(
        self,
        picture: Frame,
        *,
        shifts: NDArray[np.int32],
        sizes: NDArray[np.float32],
        where: NDArray[np.float32] | None = None,
        emphasis: Mapping[str, NDArray[np.float32]] | None = None,
        weights: NDArray[np.float32] | None = None,
    ) -> Climb:
        """Take one step for each row of `shifts`.

        Args:
            picture: `(H, W, 3)`, each side at least the network's smallest.
            shifts: `(steps, 2)` pixels by which the picture is rolled, down and right, while the step looks at it.
            sizes: `(steps,)` length of each step, as a part of the range [0, 1], of the unit-scale gradient.
            where: `(H, W)`, multiplies the steps pixel by pixel; None for 1 everywhere.
            emphasis: weights of the channels `(channels,)` of every layer of the objective; None for 1.
            weights: of the objective's terms `(terms,)`; None for those at 0 seconds.
        """
        map_ = EVERYWHERE if where is None else where[..., None]
        if emphasis is None:
            emphasis = {layer: np.ones(count, np.float32) for layer, count in self.channels.items()}
        channels = {layer: tf.constant(values) for layer, values in emphasis.items()}
        terms = tf.constant(self.objective.weights() if weights is None else weights)
        current, map_tensor, values = tf.constant(picture), tf.constant(map_), []
        for shift, size in zip(shifts, sizes, strict=True):
            current, value = self._step(current, shift, size, map_tensor, channels, terms)
            values.append(value)
        return Climb(picture=current.numpy(), values=np.array([value.numpy() for value in values], np.float32))

    def value(self, picture: Frame, *, seconds: float = 0.0) -> float:
        """Compute the objective of a picture `(H, W, 3)`, with the weights of its terms at a time in seconds."""
        return float(self._objective(tf.constant(picture), None, tf.constant(self.objective.weights(seconds))))

    def gradient(
        self,
        picture: tf.Tensor,
        emphasis: Mapping[str, tf.Tensor] | None = None,
        weights: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the objective and its gradient in the picture `(H, W, 3)`, untouched."""
        with tf.GradientTape() as tape:
            tape.watch(picture)
            value = self._objective(picture, emphasis, weights)
        return value, tape.gradient(value, picture)

    def _objective(
        self,
        picture: tf.Tensor,
        emphasis: Mapping[str, tf.Tensor] | None = None,
        weights: tf.Tensor | None = None,
    ) -> tf.Tensor:
        return self.objective(self._activations(picture[None]), emphasis, weights)

    def _one_step(
        self,
        picture: tf.Tensor,
        shift: tf.Tensor,
        size: tf.Tensor,
        where: tf.Tensor,
        emphasis: dict[str, tf.Tensor],
        weights: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Take a step on a picture while it is rolled by `shift`."""
        value, gradient = self.gradient(tf.roll(picture, shift, (0, 1)), emphasis, weights)
        step = self._normalise(smooth(gradient, self._smoothing), self._bands)
        return picture + size * where * tf.roll(step, -shift, (0, 1)), value

    def _check_channels(self) -> None:
        for term in self.objective.terms:
            channels = self.channels[term.layer]
            if term.channel is not None and term.channel >= channels:
                raise UsageError(
                    f"Layer {term.layer!r} of {self.network.name!r} has channels 0 to {channels - 1}; "
                    f"there is no channel {term.channel}."
                )


def shared_ascent(network: Network, objective: Objective, *, normalise: str, bands: int, smoothing: float) -> Ascent:
    """Make an `Ascent` with the graph of the last one, if it differs in nothing but the weights of its terms.

    So the films of a batch trace it once.

    Raises:
        UsageError: as `Ascent`.
    """
    terms = tuple(replace(term, weight=1.0) for term in objective.terms)
    ascent = copy.copy(_last_ascent(network, Objective(terms), normalise, bands, smoothing))
    ascent.objective = objective
    return ascent


@functools.lru_cache(maxsize=1)
def _last_ascent(network: Network, objective: Objective, normalise: str, bands: int, smoothing: float) -> Ascent:
    return Ascent(network, objective, normalise=normalise, bands=bands, smoothing=smoothing)
