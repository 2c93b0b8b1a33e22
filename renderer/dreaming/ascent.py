"""Gradient ascent on a picture: jitter, gradient, normalisation, step.

One graph serves every size: it is traced once, with unknown height and width, and loops over the steps inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from renderer.dreaming.gradients import NORMALISERS, smooth
from renderer.dreaming.networks import Network
from renderer.dreaming.objective import Objective
from renderer.errors import UsageError, nearest
from renderer.frame import Frame


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
        self._check_channels()
        self._normalise, self._bands, self._smoothing = NORMALISERS[normalise], bands, smoothing
        signature = [
            tf.TensorSpec((None, None, 3), tf.float32),
            tf.TensorSpec((None, 2), tf.int32),
            tf.TensorSpec((None,), tf.float32),
        ]
        self._climb = tf.function(self._steps, input_signature=signature)

    def climb(self, picture: Frame, *, shifts: NDArray[np.int32], sizes: NDArray[np.float32]) -> Climb:
        """Take one step for each row of `shifts`.

        Args:
            picture: `(H, W, 3)`, each side at least the network's smallest.
            shifts: `(steps, 2)` pixels by which the picture is rolled, down and right, while the step looks at it.
            sizes: `(steps,)` length of each step, as a part of the range [0, 1], of the unit-scale gradient.
        """
        result, values = self._climb(picture, shifts, sizes)
        return Climb(picture=result.numpy(), values=values.numpy())

    def value(self, picture: Frame) -> float:
        """Compute the objective of a picture `(H, W, 3)`."""
        return float(self._objective(tf.constant(picture)))

    def gradient(self, picture: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the objective and its gradient in the picture `(H, W, 3)`, untouched."""
        with tf.GradientTape() as tape:
            tape.watch(picture)
            value = self._objective(picture)
        return value, tape.gradient(value, picture)

    def _objective(self, picture: tf.Tensor) -> tf.Tensor:
        return self.objective(self._activations(picture[None]))

    def _steps(self, picture: tf.Tensor, shifts: tf.Tensor, sizes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.shape(shifts)[0]
        values = tf.TensorArray(tf.float32, size=count)
        here = tf.zeros((2,), tf.int32)
        for i in tf.range(count):
            tf.autograph.experimental.set_loop_options(
                shape_invariants=[(picture, tf.TensorShape((None, None, 3)))], maximum_iterations=count
            )
            picture = tf.roll(picture, shifts[i] - here, (0, 1))  # one roll a step: from the last shift to this one
            here = shifts[i]
            value, gradient = self.gradient(picture)
            step = self._normalise(smooth(gradient, self._smoothing), self._bands)
            picture += sizes[i] * step
            values = values.write(i, value)
        return tf.roll(picture, -here, (0, 1)), values.stack()

    def _check_channels(self) -> None:
        for term in self.objective.terms:
            channels = self._activations.output[term.layer].shape[-1]
            if term.channel is not None and term.channel >= channels:
                raise UsageError(
                    f"Layer {term.layer!r} of {self.network.name!r} has channels 0 to {channels - 1}; "
                    f"there is no channel {term.channel}."
                )
