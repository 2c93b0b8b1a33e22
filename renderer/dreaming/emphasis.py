"""What a dream is about, drifting with time: some channels of a layer come to the fore, others step back.

A layer amplified as a whole shows what it answers to most, always the same. Weighing its channels by slow waves of
their own lets a film wander through everything the layer knows, without an abrupt change and without a state.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renderer.dreaming.over_time import Value, value_at

SPREAD = 2.0
"""Standard deviation of the logarithm of the weights at an amount of 1: the boldest tenth of the channels then weighs
about ten times the middle one."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Weights of channels over time.

    Attributes:
        amount: 0 weighs all channels alike; 1 lets a small part of them reign at a time. May change over time.
        period: seconds in which a channel comes and goes, roughly; each has its own, from once to twice this.
        seed: keys the waves.
        around: seconds after which all of it repeats, for films that come round; None for never. A channel then comes
            and goes a whole number of times, or stays as it is; on average as often as without.
    """

    amount: Value = 0.0
    period: float = 8.0
    seed: int = 0
    around: float | None = None

    def weights(self, layer: str, channels: int, seconds: float) -> NDArray[np.float32]:
        """Return the weights `(channels,)` of a layer's channels at a time in seconds; their mean is 1."""
        amount = value_at(self.amount, seconds)
        if amount <= 0:
            return np.ones(channels, np.float32)
        rng = np.random.default_rng([self.seed, zlib.crc32(layer.encode())])
        phase, pace = rng.random(channels), rng.uniform(0.5, 1.0, channels)
        pace = pace / self.period
        if self.around is not None:
            pace = np.floor(pace * self.around + rng.random(channels)) / self.around
        wave = np.sqrt(2) * np.sin(2 * np.pi * (phase + pace * seconds))
        weights = np.exp(amount * SPREAD * wave)
        return (weights / weights.mean()).astype(np.float32)
