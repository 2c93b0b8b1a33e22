"""Films that come round: when the last frame has been shown, the first one follows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from renderer.motion.schedule import Schedule

Plane = NDArray[np.float32]

_FIRMNESS = 6
"""How the pull towards the beginning grows: of what is left to go, this power of the time left remains."""

_ONSET = 0.3
"""Part of the seam in which a place begins to be pulled, softly."""


@dataclass(frozen=True, kw_only=True)
class Loop:
    """The frames of a loop, and how its end turns into its beginning.

    Attributes:
        frames: length of the loop; the frame after the last is frame 0.
        seam: how many frames, the last ones, are led into the beginning.
        run_up: frames dreamed before frame 0, numbered from `-run_up` to -1, so that it is in full swing by then.
        rate: frames a second.
    """

    frames: int
    seam: int
    run_up: int
    rate: Fraction

    @property
    def seconds(self) -> float:
        """Length of the loop."""
        return float(self.frames / self.rate)

    def drawn(self, frame: int) -> int:
        """Return the number, from 0 to `frames - 1`, that keys a frame's chance and its place in time."""
        return frame % self.frames

    def age(self, frame: int) -> float:
        """Return how many seconds of dreaming a frame is away from the first canvas, the nearer way round."""
        return float((self.run_up + min(frame, self.frames - frame)) / self.rate)

    def share(self, frame: int) -> float:
        """Return how far into the seam a frame is: 0 where it begins and before, 1 at the frame after the last."""
        return max(0.0, (frame - (self.frames - self.seam)) / self.seam) if self.seam else 0.0

    def pull(self, frame: int) -> float:
        """Return which part of what separates a frame's canvas from the beginning is to be taken away, 0 to 1.

        So that by each frame the same part of the way is gone at any rate.
        """
        now, before = self.share(frame), self.share(frame - 1)
        return 1.0 - ((1.0 - now) / (1.0 - before)) ** _FIRMNESS if before < 1 else 1.0

    def onset(self, frame: int, late: Plane) -> Plane:
        """Return how far each place has joined in, 0 to 1; `late`, 0 (first) to 1 (last), says in which turn."""
        share = np.clip((self.share(frame) - late * (1.0 - _ONSET)) / _ONSET, 0.0, 1.0).astype(np.float32)
        return share * share * (3 - 2 * share)

    def lead_back(self, schedule: Schedule) -> Schedule:
        """Make a schedule, written for one round, come round.

        One that ends with the value that it begins with is left as it is, and repeats. Any other one goes over into its
        first value within the seam.

        Raises:
            UsageError: it has no good value at the end.
        """
        if schedule.constant:
            return schedule
        first, last = schedule(0.0), schedule(self.seconds)
        closed = math.isclose(last, first, rel_tol=1e-4, abs_tol=1e-6)
        seam = 0.0 if closed else float(self.seam / self.rate)
        return replace(schedule, curve=_Round(schedule.curve, first, self.seconds, seam))


@dataclass(frozen=True)
class _Round:
    curve: Callable[[float], float]
    first: float
    seconds: float
    seam: float

    def __call__(self, t: float) -> float:
        t = t % self.seconds
        left = self.seconds - t
        if left >= self.seam:
            return self.curve(t)
        share = 1.0 - left / self.seam
        share = share * share * (3 - 2 * share)
        return (1.0 - share) * self.curve(t) + share * self.first
