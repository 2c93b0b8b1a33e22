"""Gradient ascent on a picture: jitter, gradient, normalisation, step.

One graph serves every size: it is traced once, with unknown height and width, and loops over the steps inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
            tf.TensorSpec((None, 2), tf.int32),
            tf.TensorSpec((None,), tf.float32),
            tf.TensorSpec((None, None, 1), tf.float32),
            {layer: tf.TensorSpec((count,), tf.float32) for layer, count in self.channels.items()},
        ]
        self._climb = tf.function(self._steps, input_signature=signature)

    def climb(
        self,
        picture: Frame,
        *,
        shifts: NDArray[np.int32],
        sizes: NDArray[np.float32],
        where: NDArray[np.float32] | None = None,
        emphasis: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> Climb:
        """Take one step for each row of `shifts`.

        Args:
            picture: `(H, W, 3)`, each side at least the network's smallest.
            shifts: `(steps, 2)` pixels by which the picture is rolled, down and right, while the step looks at it.
            sizes: `(steps,)` length of each step, as a part of the range [0, 1], of the unit-scale gradient.
            where: `(H, W)`, multiplies the steps pixel by pixel; None for 1 everywhere.
            emphasis: weights of the channels `(channels,)` of every layer of the objective; None for 1.
        """
        map_ = EVERYWHERE if where is None else where[..., None]
        if emphasis is None:
            emphasis = {layer: np.ones(count, np.float32) for layer, count in self.channels.items()}
        result, values = self._climb(picture, shifts, sizes, map_, dict(emphasis))
        return Climb(picture=result.numpy(), values=values.numpy())

    def value(self, picture: Frame) -> float:
        """Compute the objective of a picture `(H, W, 3)`."""
        return float(self._objective(tf.constant(picture)))

    def gradient(
        self, picture: tf.Tensor, emphasis: Mapping[str, tf.Tensor] | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the objective and its gradient in the picture `(H, W, 3)`, untouched."""
        with tf.GradientTape() as tape:
            tape.watch(picture)
            value = self._objective(picture, emphasis)
        return value, tape.gradient(value, picture)

    def _objective(self, picture: tf.Tensor, emphasis: Mapping[str, tf.Tensor] | None = None) -> tf.Tensor:
        return self.objective(self._activations(picture[None]), emphasis)

    def _steps(
        self,
        picture: tf.Tensor,
        shifts: tf.Tensor,
        sizes: tf.Tensor,
        where: tf.Tensor,
        emphasis: dict[str, tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.shape(shifts)[0]
        values = tf.TensorArray(tf.float32, size=count)
        here = tf.zeros((2,), tf.int32)
        for i in tf.range(count):
            tf.autograph.experimental.set_loop_options(
                shape_invariants=[(picture, tf.TensorShape((None, None, 3)))], maximum_iterations=count
            )
            picture = tf.roll(picture, shifts[i] - here, (0, 1))  # one roll a step: from the last shift to this one
            here = shifts[i]
            value, gradient = self.gradient(picture, emphasis)
            step = self._normalise(smooth(gradient, self._smoothing), self._bands)
            picture += sizes[i] * step * tf.roll(where, here, (0, 1))
            values = values.write(i, value)
        return tf.roll(picture, -here, (0, 1)), values.stack()

    def _check_channels(self) -> None:
        for term in self.objective.terms:
            channels = self.channels[term.layer]
            if term.channel is not None and term.channel >= channels:
                raise UsageError(
                    f"Layer {term.layer!r} of {self.network.name!r} has channels 0 to {channels - 1}; "
                    f"there is no channel {term.channel}."
                )
