"""Dream many pictures at once, each on its own choice of channels.

Which channels a picture amplifies is an argument of the graph, not a part of it, so all channels of a layer are
dreamed with one trace; and small pictures in a batch cost a half to a fifth of what they cost one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from renderer.dreaming.ascent.ascent import shaped
from renderer.dreaming.ascent.octaves import pad_to, resize
from renderer.dreaming.networks.network import Network
from renderer.dreaming.objectives.objective import as_map
from renderer.dreaming.settings import AscentSettings
from renderer.frame import Size

Batch = NDArray[np.float32]
"""Pictures `(N, H, W, 3)`, RGB, nominally in [0, 1]."""

Weights = Mapping[str, NDArray[np.float32]]
"""Layer -> weights of its channels `(channels,)`, or `(N, channels)` to give each picture its own."""


class ChannelDreamer:
    """Climbs `sum over layers and channels of weight * mean square activation`, for every picture of a batch.

    Args:
        network: what looks.
        layers: names of the layers that can be weighed; a head is one of one position, its channels are the classes.
        scales: sides of the octaves as parts of the picture's, coarse to fine.
        steps: gradient steps per octave.
        step_size: length of a step, as a part of the range [0, 1].
        jitter: largest roll, pixels.
        settings: how gradients are brought to the form of a step; of the optimiser and all else in it nothing counts.
        seed: keys the jitter, which is the same for all pictures.

    Raises:
        UsageError: a layer that the network lacks.
    """

    def __init__(
        self,
        network: Network,
        layers: Sequence[str],
        *,
        scales: Sequence[float] = (0.5, 0.71, 1.0),
        steps: int = 16,
        step_size: float = 0.012,
        jitter: int = 16,
        settings: AscentSettings = AscentSettings(),
        seed: int = 0,
    ) -> None:
        self.network, self.layers, self.smallest = network, tuple(layers), network.spec.smallest
        self.scales, self.steps, self.step_size, self.jitter, self.seed = tuple(scales), steps, step_size, jitter, seed
        self._activations = network.activations(self.layers)
        self.channels = {layer: int(self._activations.output[layer].shape[-1]) for layer in self.layers}
        self._settings = settings
        pictures = tf.TensorSpec((None, None, None, 3), tf.float32)
        weights = {layer: tf.TensorSpec((None, n), tf.float32) for layer, n in self.channels.items()}
        step = [tf.TensorSpec((2,), tf.int32), tf.TensorSpec((), tf.float32)]
        self._step = tf.function(self._one_step, input_signature=[pictures, weights, *step], autograph=False)
        self._measure = tf.function(self._means, input_signature=[pictures], autograph=False)

    def __call__(self, pictures: Batch, weights: Weights) -> Batch:
        """Dream a batch.

        Args:
            pictures: `(N, H, W, 3)`; they are left as they are.
            weights: of the channels of every layer in `layers`; see `whole` and `single`.

        Returns:
            The dreams `(N, H, W, 3)`, not clipped.
        """
        count, height, width = pictures.shape[:3]
        each = {layer: np.broadcast_to(w, (count, w.shape[-1])).astype(np.float32) for layer, w in weights.items()}
        detail: list[Batch] | None = None
        for octave, scale in enumerate(self.scales):
            size = Size(max(1, round(width * scale)), max(1, round(height * scale)))
            bases = [resize(picture, size) for picture in pictures]
            starts = bases if detail is None else [b + resize(d, size) for b, d in zip(bases, detail, strict=True)]
            padded = np.stack([pad_to(start, self.smallest) for start in starts])
            climbed, weighed = tf.constant(padded), {layer: tf.constant(w) for layer, w in each.items()}
            for shift in self._shifts(octave):
                climbed = self._step(climbed, weighed, shift, np.float32(self.step_size))
            dreams = climbed.numpy()[:, : size.height, : size.width]
            detail = [dream - base for dream, base in zip(dreams, bases, strict=True)]
        return np.asarray(dreams)

    def means(self, pictures: Batch) -> dict[str, NDArray[np.float32]]:
        """Return layer -> mean activation of each channel over the positions, `(N, channels)`."""
        return {layer: values[0].numpy() for layer, values in self._measured(pictures).items()}

    def squares(self, pictures: Batch) -> dict[str, NDArray[np.float32]]:
        """Return layer -> mean square activation of each channel over the positions, `(N, channels)`."""
        return {layer: values[1].numpy() for layer, values in self._measured(pictures).items()}

    def _measured(self, pictures: Batch) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        return self._measure(np.stack([pad_to(picture, self.smallest) for picture in pictures]))

    def _means(self, pictures: tf.Tensor) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        return {
            layer: (tf.reduce_mean(as_map(a), (1, 2)), tf.reduce_mean(_square(a), (1, 2)))
            for layer, a in self._activations(pictures).items()
        }

    def _gradient(self, pictures: tf.Tensor, weights: dict[str, tf.Tensor]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(pictures)
            activations = self._activations(pictures)
            values = [
                tf.reduce_sum(weights[layer] * tf.reduce_mean(_square(activations[layer]), (1, 2)))
                for layer in self.layers
            ]
            value = tf.add_n(values)  # pictures do not see each other, so each one's gradient is its own
        return tape.gradient(value, pictures)

    def _one_step(
        self, pictures: tf.Tensor, weights: dict[str, tf.Tensor], shift: tf.Tensor, length: tf.Tensor
    ) -> tf.Tensor:
        gradients = self._gradient(tf.roll(pictures, shift, (1, 2)), weights)
        steps = tf.map_fn(lambda gradient: shaped(gradient, self._settings, tf.ones(())), gradients)
        return pictures + length * tf.roll(steps, -shift, (1, 2))

    def _shifts(self, octave: int) -> NDArray[np.int32]:
        rng = np.random.default_rng([self.seed, octave])
        return rng.integers(-self.jitter, self.jitter + 1, (self.steps, 2), dtype=np.int32)


def _square(activation: tf.Tensor) -> tf.Tensor:
    """Square an activation; a score keeps its sign, since one below 0 has to rise and not to fall."""
    values = as_map(activation)
    return values * tf.abs(values) if activation.shape.rank == 2 else tf.square(values)


def whole(channels: int) -> NDArray[np.float32]:
    """Weigh all channels of a layer alike: the objective is the layer's mean square activation."""
    return np.full(channels, 1 / channels, np.float32)


def single(channel: int, channels: int, *, wake: float = 1e-3) -> NDArray[np.float32]:
    """Weigh one channel of a layer.

    Args:
        channel: its number, from 0.
        channels: of the layer.
        wake: weight of the whole layer beside it. Where the channel sees nothing yet, its own gradient is zero; this
            lets the layer as a whole move the picture until the channel wakes, and is nothing beside it afterwards.
    """
    weights = wake * whole(channels)
    weights[channel] += 1
    return weights
