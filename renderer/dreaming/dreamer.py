"""The dreamer: one canvas in, one dream out.

It knows nothing of time but the number of the frame, which keys its randomness, so any frame can be dreamed again
alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.dreaming.ascent import shared_ascent
from renderer.dreaming.emphasis import Drift
from renderer.dreaming.networks import Network
from renderer.dreaming.objective import parse_mix
from renderer.dreaming.octaves import octave_sizes, pad_to, resize
from renderer.dreaming.over_time import Value, value_at
from renderer.errors import EnvironmentProblem
from renderer.frame import Frame, Size

Plane = NDArray[np.float32]

REFERENCE_RATE = 24.0
"""Frames a second at which a step has its stated size; at other rates steps shrink or grow, so that a second of film
dreams as much."""


@dataclass(frozen=True, kw_only=True)
class OctaveReport:
    """What happened on one octave: its size, the picture, and the objective before each step."""

    octave: int
    size: Size
    picture: Frame
    values: tuple[float, ...]


class Dreamer:
    """Dreams frames with one network, one mix of layers and one pyramid.

    The weights of `layers`, `step_size`, `strength` and `variety` may be functions of seconds in place of numbers.

    Args:
        network: what looks.
        layers: mix `LAYER` or `LAYER:CHANNEL` -> weight; empty for the network's own.
        objective: key of `objective.KINDS`.
        octaves: scales of the pyramid.
        octave_ratio: from one scale to the next.
        steps: gradient steps per octave of a frame.
        first_steps: the same for a frame that begins from nothing, as frame 0 does.
        late_octaves: how many of the octaves, the finest, other frames are dreamed on; None for all.
        step_size: length of a step, as a part of the range [0, 1], at 24 frames a second.
        strength: multiplies `step_size`.
        jitter: largest roll, pixels.
        normalise, bands, smoothing: see `Ascent`.
        variety, variety_period: how far the channels' weights drift, and in how many seconds; see `Drift`.
        rate: frames a second of the film; None for a picture, whose steps have their stated size.
        seed: keys the jitter.
        around: seconds after which a film comes round; None for one that does not. See `Drift`.
    """

    def __init__(
        self,
        network: Network,
        *,
        layers: Mapping[str, Value] | None = None,
        objective: str = "square",
        octaves: int = 4,
        octave_ratio: float = 1.4,
        steps: int = 2,
        first_steps: int = 12,
        late_octaves: int | None = None,
        step_size: Value = 0.012,
        strength: Value = 1.0,
        jitter: int = 16,
        normalise: str = "laplacian",
        bands: int = 4,
        smoothing: float = 0.0,
        variety: Value = 0.0,
        variety_period: float = 8.0,
        rate: float | None = None,
        seed: int = 0,
        around: float | None = None,
    ) -> None:
        self.objective = parse_mix(layers or network.spec.mix, kind=objective)
        self.ascent = shared_ascent(network, self.objective, normalise=normalise, bands=bands, smoothing=smoothing)
        self.octaves, self.octave_ratio, self.jitter, self.seed = octaves, octave_ratio, jitter, seed
        self.steps, self.first_steps, self.step_size, self.strength = steps, first_steps, step_size, strength
        self.rate, self.late_octaves = rate, late_octaves
        self.drift = Drift(amount=variety, period=variety_period, seed=seed, around=around)
        self.smallest = network.spec.smallest

    def __call__(
        self, canvas: Frame, *, frame: int, seconds: float, full: bool | None = None, where: Plane | None = None
    ) -> tuple[Frame, float]:
        """Dream on a canvas.

        Args:
            canvas: `(H, W, 3)`.
            frame: its number, from 0.
            seconds: its time.
            full: whether the canvas has nothing of a dream yet: `first_steps` at their stated size, at any rate. None
                for frame 0 alone.
            where: `(H, W)`, multiplies the steps pixel by pixel; None for 1 everywhere.

        Returns:
            The dream `(H, W, 3)`, and the objective before the last step on the finest octave.

        Raises:
            EnvironmentProblem: the network gave values that are not finite.
        """
        *_, last = self.evolve(canvas, frame=frame, seconds=seconds, full=full, where=where)
        value = last.values[-1] if last.values else 0.0
        if not np.isfinite(value + last.picture.sum()):
            raise EnvironmentProblem(
                f"The network gave a value that is not finite at frame {frame}; try --set network.precision=float32, "
                "a smaller step size, or other weights."
            )
        return last.picture, value

    def evolve(
        self, canvas: Frame, *, frame: int, seconds: float, full: bool | None = None, where: Plane | None = None
    ) -> Iterator[OctaveReport]:
        """Dream as `__call__` does, octave by octave; the last report holds the dream."""
        size, full = Size.of(canvas), frame == 0 if full is None else full
        steps = self.first_steps if full else self.steps
        length = value_at(self.step_size, seconds) * value_at(self.strength, seconds)
        length *= 1.0 if full or not self.rate else REFERENCE_RATE / self.rate
        lengths = np.full(steps, length, np.float32)
        emphasis = {name: self.drift.weights(name, n, seconds) for name, n in self.ascent.channels.items()}
        aim = self.ascent.aim(seconds=seconds, emphasis=emphasis)
        below: tuple[Frame, Frame] | None = None  # the octave before: its base, and the dream on it
        sizes = octave_sizes(size, octaves=self.octaves, ratio=self.octave_ratio, smallest=self.smallest)
        left_out = 0 if full or self.late_octaves is None else max(0, len(sizes) - max(1, self.late_octaves))
        for octave, scaled in list(enumerate(sizes))[left_out:]:
            base = resize(canvas, scaled)
            start = base if below is None else cv2.add(base, resize(cv2.subtract(below[1], below[0]), scaled))
            climbed = self.ascent.climb(
                pad_to(start, self.smallest),
                shifts=self._shifts(frame, octave, steps),
                sizes=lengths,
                where=None if where is None else pad_to(resize(where, scaled), self.smallest),
                aim=aim,
            )
            dream = climbed.picture[: scaled.height, : scaled.width]
            below = base, np.ascontiguousarray(dream)
            yield OctaveReport(octave=octave, size=scaled, picture=dream, values=tuple(map(float, climbed.values)))

    def _shifts(self, frame: int, octave: int, steps: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, frame, octave])
        return rng.integers(-self.jitter, self.jitter + 1, (steps, 2), dtype=np.int32)
