"""What a dream is about: some channels of a layer come to the fore, others step back.

A layer amplified as a whole shows what it answers to most, always the same. Weighing its channels by slow waves of
their own lets a film wander through everything the layer knows, without an abrupt change and without a state; choosing
them by how they answer to the canvas keeps to what is there, or brings out what is not.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renderer.errors import UsageError, nearest
from renderer.time_value import Value, value_at

SPREAD = 2.0
"""Standard deviation of the logarithm of the weights at an amount of 1: the boldest tenth of the channels then weighs
about ten times the middle one."""


@dataclass(frozen=True, kw_only=True)
class ChannelWaves:
    """Weights of channels over time.

    Attributes:
        amount: 0 weighs all channels alike; 1 lets a small part of them reign at a time. May change over time.
        period: seconds in which a channel comes and goes, roughly; each has its own, from once to twice this.
        seed: keys the waves.
        loop_seconds: length of a loop, after which all of it repeats; None for a film that is none. A channel of a loop
            comes and goes a whole number of times, or stays as it is; on average as often as without.
    """

    amount: Value = 0.0
    period: float = 8.0
    seed: int = 0
    loop_seconds: float | None = None

    def weights(self, layer: str, channels: int, seconds: float) -> NDArray[np.float32]:
        """Return the weights `(channels,)` of a layer's channels at a time in seconds; their mean is 1."""
        amount = value_at(self.amount, seconds)
        if amount <= 0:
            return np.ones(channels, np.float32)
        rng = np.random.default_rng([self.seed, zlib.crc32(layer.encode())])
        phase, pace = rng.random(channels), rng.uniform(0.5, 1.0, channels)
        pace = pace / self.period
        if self.loop_seconds is not None:
            pace = np.floor(pace * self.loop_seconds + rng.random(channels)) / self.loop_seconds
        wave = np.sqrt(2) * np.sin(2 * np.pi * (phase + pace * seconds))
        weights = np.exp(amount * SPREAD * wave)
        return (weights / weights.mean()).astype(np.float32)


Activity = NDArray[np.float32]
"""Mean activation of each channel of a layer `(channels,)`."""


def strongest(activity: Activity, count: int) -> NDArray[np.intp]:
    """Choose the channels that answer most."""
    return np.argsort(-activity, kind="stable")[:count]


def weakest(activity: Activity, count: int) -> NDArray[np.intp]:
    """Choose the channels that answer least, of those that answer at all: what is silent gives no direction."""
    order = np.argsort(activity, kind="stable")
    awake = order[np.abs(activity[order]) > 1e-6 * np.abs(activity).max()]
    return (awake if len(awake) else order)[:count]


def average(activity: Activity, count: int) -> NDArray[np.intp]:
    """Choose the channels that answer as the mean of all does."""
    return np.argsort(np.abs(activity - activity.mean()), kind="stable")[:count]


def ignore(activity: Activity, count: int) -> NDArray[np.intp]:
    """Choose all channels but those that answer most."""
    return np.argsort(-activity, kind="stable")[count:]


@dataclass(frozen=True)
class ChannelChoice:
    """Some of a layer's channels, chosen by how they answer to the canvas (after neural-dream's channel modes).

    Attributes:
        rule: key of `CHANNEL_CHOICES`.
        count: how many.

    Raises:
        UsageError: an unknown rule, or a count of 0.
    """

    rule: str
    count: int

    def __post_init__(self) -> None:
        if self.rule not in CHANNEL_CHOICES:
            raise UsageError(f"There is no way {self.rule!r} to choose channels{nearest(self.rule, CHANNEL_CHOICES)}")
        if self.count < 1:
            raise UsageError(f"{self} chooses no channels; the number must be 1 or more.")

    def fits(self, channels: int) -> bool:
        """Whether a layer of so many channels leaves any to choose."""
        return len(CHANNEL_CHOICES[self.rule](np.zeros(channels, np.float32), self.count)) > 0

    def weights(self, activity: Activity) -> NDArray[np.float32]:
        """Return the weights `(channels,)` of a layer's channels: alike for those chosen, 0 else; their mean is 1."""
        weights = np.zeros(len(activity), np.float32)
        weights[CHANNEL_CHOICES[self.rule](activity, self.count)] = 1
        return np.asarray(weights / weights.mean(), np.float32)

    def __str__(self) -> str:
        return f"{self.rule}{self.count}"


CHANNEL_CHOICES: dict[str, Callable[[Activity, int], NDArray[np.intp]]] = {
    "strongest": strongest,
    "weakest": weakest,
    "average": average,
    "ignore": ignore,
}
