"""The dreamer: one canvas in, one dream out.

It knows nothing of time but the number of the frame, which keys its randomness, so any frame can be dreamed again
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from renderer.dreaming.ascent import Ascent
from renderer.dreaming.networks import Network
from renderer.dreaming.objective import parse_mix
from renderer.dreaming.octaves import octave_sizes, pad_to, resize
from renderer.errors import EnvironmentProblem
from renderer.frame import Frame, Size

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

    Args:
        network: what looks.
        layers: mix `LAYER` or `LAYER:CHANNEL` -> weight; empty for the network's own.
        objective: key of `objective.KINDS`.
        octaves: scales of the pyramid.
        octave_ratio: from one scale to the next.
        steps: gradient steps per octave of a frame.
        first_steps: the same for frame 0, which begins from nothing.
        step_size: length of a step, as a part of the range [0, 1], at 24 frames a second.
        strength: multiplies `step_size`, at a time in seconds.
        jitter: largest roll, pixels.
        normalise, bands, smoothing: see `Ascent`.
        rate: frames a second of the film; None for a picture, whose steps have their stated size.
        seed: keys the jitter.
    """

    def __init__(
        self,
        network: Network,
        *,
        layers: Mapping[str, float] | None = None,
        objective: str = "square",
        octaves: int = 4,
        octave_ratio: float = 1.4,
        steps: int = 2,
        first_steps: int = 12,
        step_size: float = 0.012,
        strength: Callable[[float], float] = lambda _: 1.0,
        jitter: int = 16,
        normalise: str = "laplacian",
        bands: int = 4,
        smoothing: float = 0.0,
        rate: float | None = None,
        seed: int = 0,
    ) -> None:
        mix = parse_mix(layers or network.spec.mix, kind=objective)
        self.ascent = Ascent(network, mix, normalise=normalise, bands=bands, smoothing=smoothing)
        self.octaves, self.octave_ratio, self.jitter, self.seed = octaves, octave_ratio, jitter, seed
        self.steps, self.first_steps, self.step_size, self.strength = steps, first_steps, step_size, strength
        self.rate = rate
        self.smallest = network.spec.smallest

    def __call__(self, canvas: Frame, *, frame: int, seconds: float) -> tuple[Frame, float]:
        """Dream on a canvas.

        Args:
            canvas: `(H, W, 3)`.
            frame: its number, from 0.
            seconds: its time.

        Returns:
            The dream `(H, W, 3)`, and the objective before the last step on the finest octave.

        Raises:
            EnvironmentProblem: the network gave values that are not finite.
        """
        *_, last = self.evolve(canvas, frame=frame, seconds=seconds)
        value = last.values[-1] if last.values else 0.0
        if not np.isfinite(value + last.picture.sum()):
            raise EnvironmentProblem(
                f"The network gave a value that is not finite at frame {frame}; try --set network.precision=float32, "
                "a smaller step size, or other weights."
            )
        return last.picture, value

    def evolve(self, canvas: Frame, *, frame: int, seconds: float) -> Iterator[OctaveReport]:
        """Dream as `__call__` does, octave by octave; the last report holds the dream."""
        size = Size.of(canvas)
        steps = self.first_steps if frame == 0 else self.steps
        length = self.step_size * self.strength(seconds) * (REFERENCE_RATE / self.rate if self.rate and frame else 1.0)
        lengths = np.full(steps, length, np.float32)
        detail: Frame | None = None
        sizes = octave_sizes(size, octaves=self.octaves, ratio=self.octave_ratio, smallest=self.smallest)
        for octave, scaled in enumerate(sizes):
            base = resize(canvas, scaled)
            start = base if detail is None else base + resize(detail, scaled)
            climbed = self.ascent.climb(
                pad_to(start, self.smallest), shifts=self._shifts(frame, octave, steps), sizes=lengths
            )
            dream = climbed.picture[: scaled.height, : scaled.width]
            detail = dream - base
            yield OctaveReport(octave=octave, size=scaled, picture=dream, values=tuple(map(float, climbed.values)))

    def _shifts(self, frame: int, octave: int, steps: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, frame, octave])
        return rng.integers(-self.jitter, self.jitter + 1, (steps, 2), dtype=np.int32)
