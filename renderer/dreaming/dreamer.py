"""The dreamer: one canvas in, one dream out.

It knows nothing of time but the number of the frame, which keys its randomness, so any frame can be dreamed again
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from renderer.dreaming.ascent import SightMaker, shared_ascent
from renderer.dreaming.emphasis import Drift
from renderer.dreaming.manner import USUAL as AS_USUAL
from renderer.dreaming.manner import Manner
from renderer.dreaming.mix import Mix, added, parse_mix
from renderer.dreaming.networks import Network
from renderer.dreaming.octaves import USUAL as USUAL_SCALES
from renderer.dreaming.octaves import Below, Pyramid, pad_to, resize
from renderer.dreaming.over_time import Value, value_at
from renderer.dreaming.references import Aims, Leaders
from renderer.dreaming.sight import WholeSight
from renderer.dreaming.transforms import matrices
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


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A step is taken: its octave from 0, its number from 1 of how many, the picture, and the objective before it."""

    octave: int
    step: int
    steps: int
    picture: Frame
    value: float


Watch = Callable[[Moment], None]


class Dreamer:
    """Dreams frames with one network, one mix of layers and one pyramid.

    The weights of `layers`, `step_size`, `strength` and `variety` may be functions of seconds in place of numbers.

    Args:
        network: what looks.
        layers: mix of layers -> weight, see `mix`; empty for the network's own, if there are no `octave_layers`.
        objective: key of `kinds.KINDS`, for the layers that name none.
        octave_layers: what each octave is dreamed on beside `layers`, coarse to fine, the last one for the rest.
        leaders: pictures that the objective heeds; None for none.
        pyramid: the scales.
        steps: gradient steps per octave of a frame.
        first_steps: the same for a frame that begins from nothing, as frame 0 does.
        late_octaves: how many of the octaves, the finest, other frames are dreamed on; None for all.
        step_size: length of a step, as a part of the range [0, 1], at 24 frames a second.
        strength: multiplies `step_size`.
        jitter: largest roll, pixels.
        turns: how far the picture is turned about before a step, by keys of `transforms.MOVES`; each may change over
            time.
        penalties: weights of what is taken off the objective, by keys of `regularisers.PENALTIES`; each may change over
            time.
        blend: share of the canvas itself that every octave but the first begins with; may change over time.
        blur: sigma of a blur of the picture after every `blur_every`-th step, pixels; may change over time.
        stop_at: an octave ends with the step before which the objective is above this.
        manner, sight: see `Ascent`; what is turned and penalised is added to the manner.
        variety, variety_period: how far the channels' weights drift, and in how many seconds; see `Drift`.
        rate: frames a second of the film; None for a picture, whose steps have their stated size.
        seed: keys the jitter.
        around: seconds after which a film comes round; None for one that does not. See `Drift`.
    """

    def __init__(
        self,
        network: Network,
        *,
        layers: Mix | None = None,
        objective: str = "square",
        octave_layers: Sequence[Mix] = (),
        leaders: Leaders | None = None,
        pyramid: Pyramid = USUAL_SCALES,
        steps: int = 2,
        first_steps: int = 12,
        late_octaves: int | None = None,
        step_size: Value = 0.012,
        strength: Value = 1.0,
        jitter: int = 16,
        turns: Mapping[str, Value] | None = None,
        penalties: Mapping[str, Value] | None = None,
        blend: Value = 0.0,
        blur: Value = 0.0,
        blur_every: int = 4,
        stop_at: float = np.inf,
        manner: Manner = AS_USUAL,
        sight: SightMaker = WholeSight,
        variety: Value = 0.0,
        variety_period: float = 8.0,
        rate: float | None = None,
        seed: int = 0,
        around: float | None = None,
    ) -> None:
        mixes: list[Mix] = [added([layers or {}, mix]) for mix in octave_layers]
        objectives = [parse_mix(mix, kind=objective) for mix in mixes or [layers or network.spec.mix]]
        leaders = leaders or Leaders()
        leaders.check(objectives)
        self.objective = objectives[-1]
        self.turns, self.penalties = turns or {}, penalties or {}
        manner = replace(manner, turned=bool(self.turns), penalties=tuple(self.penalties))
        self.ascents = [shared_ascent(network, each, manner=manner, sight=sight) for each in objectives]
        self.blend, self.blur, self.blur_every, self.stop_at = blend, blur, blur_every, stop_at
        self.pyramid, self.jitter, self.seed = pyramid, jitter, seed
        self.steps, self.first_steps, self.step_size, self.strength = steps, first_steps, step_size, strength
        self.rate, self.late_octaves = rate, late_octaves
        self.drift = Drift(amount=variety, period=variety_period, seed=seed, around=around)
        self.smallest = network.spec.smallest
        self.memory: int | None = getattr(sight, "memory", None)
        self._aims = [
            Aims(ascent.objective, ascent.sight, drift=self.drift, leaders=leaders, smallest=self.smallest)
            for ascent in self.ascents
        ]

    def __call__(
        self,
        canvas: Frame,
        *,
        frame: int,
        seconds: float,
        full: bool | None = None,
        where: Plane | None = None,
        source: Frame | None = None,
        watch: Watch | None = None,
    ) -> tuple[Frame, float]:
        """Dream on a canvas.

        Args:
            canvas: `(H, W, 3)`.
            frame: its number, from 0.
            seconds: its time.
            full: whether the canvas has nothing of a dream yet: `first_steps` at their stated size, at any rate. None
                for frame 0 alone.
            where: `(H, W)`, multiplies the steps pixel by pixel; None for 1 everywhere.
            source: `(H, W, 3)`, what objectives compare with that compare with the canvas; None for the canvas.
            watch: is told after each step.

        Returns:
            The dream `(H, W, 3)`, and the objective before the last step on the finest octave.

        Raises:
            EnvironmentProblem: the network gave values that are not finite.
        """
        *_, last = self.evolve(canvas, frame=frame, seconds=seconds, full=full, where=where, source=source, watch=watch)
        value = last.values[-1] if last.values else 0.0
        if not np.isfinite(value + last.picture.sum()):
            raise EnvironmentProblem(
                f"The network gave a value that is not finite at frame {frame}; try --set network.precision=float32, "
                "a smaller step size, or other weights."
            )
        return last.picture, value

    def value(self, picture: Frame, *, seconds: float, source: Frame) -> float:
        """Compute the objective of the finest octave for a picture `(H, W, 3)` dreamed on a source, at a time."""
        aim = self._aims[-1](pad_to(source, self.smallest), seconds=seconds)
        seen = self.ascents[-1].sight.look(tf.constant(pad_to(picture, self.smallest)))
        return float(self.objective(seen, aim))

    def evolve(
        self,
        canvas: Frame,
        *,
        frame: int,
        seconds: float,
        full: bool | None = None,
        where: Plane | None = None,
        source: Frame | None = None,
        watch: Watch | None = None,
    ) -> Iterator[OctaveReport]:
        """Dream as `__call__` does, octave by octave; the last report holds the dream at the canvas's size."""
        size, full = Size.of(canvas), frame == 0 if full is None else full
        lengths, below = self._lengths(seconds, full=full), None
        sizes = self.pyramid.sizes(size, smallest=self.smallest)
        left_out = 0 if full or self.late_octaves is None else max(0, len(sizes) - max(1, self.late_octaves))
        for octave, base in list(enumerate(self.pyramid.bases(canvas, sizes)))[left_out:]:
            # Layers are counted from the coarsest octave that was asked for, which a small frame may lack.
            scaled, which = sizes[octave], min(octave + self.pyramid.left_out(sizes), len(self.ascents) - 1)
            compared = pad_to(base if source is None else resize(source, scaled), self.smallest)
            start = self.pyramid.start(base, below, blend=value_at(self.blend, seconds))
            there = None if where is None else pad_to(resize(where, scaled), self.smallest)
            climbed = self.ascents[which].climb(
                pad_to(start, self.smallest),
                shifts=self._shifts(frame, octave, len(lengths)),
                turns=self._turns(frame, octave, len(lengths), seconds),
                sizes=lengths,
                where=there,
                aim=self._aims[which](compared, seconds=seconds, scale=scaled.width / size.width),
                weights=[value_at(weight, seconds) for weight in self.penalties.values()],
                soften=self._soften(value_at(self.blur, seconds), there),
                stop_at=self.stop_at,
                watch=None if watch is None else _cropped(watch, octave, scaled),
            )
            dream = np.ascontiguousarray(climbed.picture[: scaled.height, : scaled.width])
            below = Below(base=base, dream=self.pyramid.settled(base, below, dream))
            finest = octave + 1 == len(sizes) and scaled != size
            picture = self.pyramid.start(canvas, below) if finest else below.dream
            yield OctaveReport(octave=octave, size=scaled, picture=picture, values=tuple(map(float, climbed.values)))

    def _lengths(self, seconds: float, *, full: bool) -> NDArray[np.float32]:
        """Return the lengths of the steps of an octave."""
        length = value_at(self.step_size, seconds) * value_at(self.strength, seconds)
        length *= 1.0 if full or not self.rate else REFERENCE_RATE / self.rate
        return np.full(self.first_steps if full else self.steps, length, np.float32)

    def _shifts(self, frame: int, octave: int, steps: int) -> NDArray[np.int32]:
        rng = np.random.default_rng([self.seed, frame, octave])
        return rng.integers(-self.jitter, self.jitter + 1, (steps, 2), dtype=np.int32)

    def _turns(self, frame: int, octave: int, steps: int, seconds: float) -> NDArray[np.float32] | None:
        if not self.turns:
            return None
        amounts = {name: value_at(amount, seconds) for name, amount in self.turns.items()}
        return matrices(amounts, keys=(self.seed, frame, octave), steps=steps)

    def _soften(self, sigma: float, where: Plane | None) -> Callable[[int, Frame], Frame] | None:
        """Return what blurs the picture between steps; None where nothing does."""
        if sigma <= 0:
            return None

        def soften(step: int, picture: Frame) -> Frame:
            if step % self.blur_every:
                return picture
            soft = cv2.subtract(cv2.GaussianBlur(picture, (0, 0), sigma), picture)
            return cv2.add(picture, soft if where is None else soft * where[..., None])

        return soften


def _cropped(watch: Watch, octave: int, size: Size) -> Callable[[int, int, Frame, float], None]:
    """Return what tells of a step on an octave, without what the picture was padded with."""
    return lambda step, steps, picture, value: watch(
        Moment(octave=octave, step=step, steps=steps, picture=picture[: size.height, : size.width], value=value)
    )
