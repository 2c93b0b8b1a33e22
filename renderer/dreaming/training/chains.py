"""Chains: pictures that are dreamed on, step by step, beside the training of a class head, and what became of them.

All pictures are float32 `(size, size, 3)`, RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from renderer.dreaming.training.pictures import Picture, coloured_noise, training_picture

SHORTEST = 8
"""Visits before which no chain ends."""

GO_ON = 0.15
"""Chance that a chain that ends is dreamed on, of another class."""


class Chains:
    """A pool of pictures, each on its way to a class, and a memory of where earlier ones ended.

    Args:
        photos: uint8 `(H, W, 3)` RGB photographs.
        classes: how many there are.
        size: side of a picture, pixels.
        count: how many chains.
        led: share of them that climb the teacher's gradient instead of the student's.
        ending: chance that a chain ends at a visit.
        memory: ends of earlier chains, uint8 `(size, size, 3)`; grows, up to `memory_size`.
        memory_size: how many ends are kept.
        rng: the randomness.

    Attributes:
        pool, words, led, visits: of each chain its picture, its class, who leads it, and its visits so far.
    """

    def __init__(
        self,
        photos: Sequence[NDArray[np.uint8]],
        *,
        classes: int,
        size: int,
        count: int,
        led: float,
        ending: float,
        memory: list[NDArray[np.uint8]],
        memory_size: int,
        rng: np.random.Generator,
    ) -> None:
        self.photos, self.classes, self.size, self.rng = photos, classes, size, rng
        self.led_share, self.ending, self.memory, self.memory_size = led, ending, memory, memory_size
        self.pool = np.stack([self._beginning() for _ in range(count)])
        self.words = rng.integers(classes, size=count)
        self.led = rng.random(count) < led
        self.visits = np.zeros(count, int)

    def choose(self, count: int) -> NDArray[np.int64]:
        """Choose some chains for a step."""
        return self.rng.choice(len(self.pool), count, replace=False)

    def visit(self, chosen: NDArray[np.int64], slopes: tf.Tensor) -> list[int]:
        """Move the chosen chains a step along their gradients; end some, and begin others in their place.

        Args:
            chosen: numbers of the chains.
            slopes: their gradients, `(N, size, size, 3)`.

        Returns:
            The places in `chosen` of those that the student led to their end.
        """
        rng, count, ended = self.rng, len(chosen), []
        sizes = np.exp(rng.uniform(np.log(0.01), np.log(0.07), count)).astype(np.float32)
        smooth = rng.choice([0.0, 1.0, 4.0, 16.0], count).astype(np.float32)
        self.pool[chosen] = _climbed(self.pool[chosen], slopes, sizes, smooth).numpy()
        self.visits[chosen] += 1
        for place, i in enumerate(chosen):
            if self.visits[i] <= SHORTEST or rng.random() >= self.ending:
                self.pool[i] = self._moved(self.pool[i])
                continue
            if not self.led[i]:
                ended.append(place)
            self._remember(self.pool[i])
            self.words[i], self.led[i], self.visits[i] = rng.integers(self.classes), rng.random() < self.led_share, 0
            if rng.random() >= GO_ON:
                self.pool[i] = self._beginning()
        return ended

    def remembered(self, count: int) -> list[Picture]:
        """Draw ends of earlier chains, each moved a little; none while there are none."""
        drawn = self.rng.integers(len(self.memory), size=count if self.memory else 0)
        pictures = [self.memory[i].astype(np.float32) / np.float32(255) for i in drawn]
        return [self._moved(picture[:, ::-1] if self.rng.random() < 0.5 else picture) for picture in pictures]

    def _remember(self, picture: Picture) -> None:
        kept = np.round(255 * picture).astype(np.uint8)
        if len(self.memory) < self.memory_size:
            self.memory.append(kept)
        else:
            self.memory[int(self.rng.integers(len(self.memory)))] = kept

    def _moved(self, picture: Picture) -> Picture:
        """Move the camera a little, as a zoom does; a shift wraps around, as that of a dream's steps does."""
        rng, size = self.rng, self.size
        if rng.random() < 0.5:
            picture = np.roll(picture, rng.integers(-16, 17, 2), (0, 1))
        if rng.random() < 0.3:
            turn = rng.normal(0, 4) if rng.random() < 0.5 else 0.0
            matrix = cv2.getRotationMatrix2D((size / 2, size / 2), turn, np.exp(rng.uniform(-0.04, 0.3)))
            matrix[:, 2] += rng.uniform(-4, 4, 2)
            picture = cv2.warpAffine(
                picture, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
            )
        return np.clip(picture, 0, 1)

    def _beginning(self) -> Picture:
        """Draw what a chain begins from: clouds, faint grain on grey, or a photograph."""
        rng, size = self.rng, self.size
        kind = rng.random()
        if kind < 0.45:
            return coloured_noise(size, rng)
        if kind < 0.7:
            grain = rng.normal(rng.uniform(0.35, 0.65), rng.uniform(0.01, 0.08), (size, size, 3))
            return np.clip(cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.3, 3.0)), 0, 1).astype(np.float32)
        return training_picture(self.photos, size, rng)


@tf.function(autograph=False)
def _climbed(pictures: tf.Tensor, slopes: tf.Tensor, sizes: tf.Tensor, smooth: tf.Tensor) -> tf.Tensor:
    """Take a step of its own size along each gradient, to which `smooth` parts of its blur are added."""
    broad = slopes
    for _ in range(3):
        broad = tf.nn.avg_pool2d(broad, 5, 1, "SAME")
    slopes += smooth[:, None, None, None] * broad
    slopes /= tf.math.reduce_std(slopes, (1, 2, 3), keepdims=True) + 1e-12
    return tf.clip_by_value(pictures + sizes[:, None, None, None] * slopes, 0.0, 1.0)
