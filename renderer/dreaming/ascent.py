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
from renderer.dreaming.objective import Aim, Objective
from renderer.dreaming.sight import WholeSight
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
        self.sight = WholeSight(network, objective.layers)
        self.channels = self.sight.channels
        self._check_channels()
        self._normalise, self._bands, self._smoothing = NORMALISERS[normalise], bands, smoothing
        signature = [
            tf.TensorSpec((None, None, 3), tf.float32),
            tf.TensorSpec((2,), tf.int32),
            tf.TensorSpec((), tf.float32),
            tf.TensorSpec((None, None, 1), tf.float32),
            tf.nest.map_structure(lambda value: tf.TensorSpec(value.shape, value.dtype), objective.aim(self.channels)),
        ]
        self._step = tf.function(self._one_step, input_signature=signature)

    def climb(
        self,
        picture: Frame,
        *,
        shifts: NDArray[np.int32],
        sizes: NDArray[np.float32],
        where: NDArray[np.float32] | None = None,
        aim: Aim | None = None,
    ) -> Climb:
        """Take one step for each row of `shifts`.

        Args:
            picture: `(H, W, 3)`, each side at least the network's smallest.
            shifts: `(steps, 2)` pixels by which the picture is rolled, down and right, while the step looks at it.
            sizes: `(steps,)` length of each step, as a part of the range [0, 1], of the unit-scale gradient.
            where: `(H, W)`, multiplies the steps pixel by pixel; None for 1 everywhere.
            aim: what the objective heeds; None for its weights at 0 seconds and channels that weigh alike.
        """
        map_ = tf.constant(EVERYWHERE if where is None else where[..., None])
        aim = self.aim() if aim is None else aim
        current, values = tf.constant(picture), []
        for shift, size in zip(shifts, sizes, strict=True):
            current, value = self._step(current, shift, size, map_, aim)
            values.append(value)
        return Climb(picture=current.numpy(), values=np.array([value.numpy() for value in values], np.float32))

    def aim(self, *, seconds: float = 0.0, emphasis: Mapping[str, NDArray[np.float32]] | None = None) -> Aim:
        """Say what the objective heeds at a time in seconds; see `Objective.aim`."""
        return self.objective.aim(self.channels, seconds=seconds, emphasis=emphasis)

    def value(self, picture: Frame, *, seconds: float = 0.0) -> float:
        """Compute the objective of a picture `(H, W, 3)`, with the weights of its terms at a time in seconds."""
        return float(self.objective(self.sight.look(tf.constant(picture)), self.aim(seconds=seconds)))

    def gradient(self, picture: tf.Tensor, aim: Aim | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the objective and its gradient in the picture `(H, W, 3)`, untouched."""
        heeded = self.aim() if aim is None else aim
        return self.sight(picture, lambda activations: self.objective(activations, heeded))

    def _one_step(
        self,
        picture: tf.Tensor,
        shift: tf.Tensor,
        size: tf.Tensor,
        where: tf.Tensor,
        aim: Aim,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Take a step on a picture while it is rolled by `shift`."""
        value, gradient = self.gradient(tf.roll(picture, shift, (0, 1)), aim)
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
