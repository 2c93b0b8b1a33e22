"""The dreamer: one canvas in, one dream out, octave by octave.

It knows nothing of time but the number of the frame, which keys its randomness, so any frame can be dreamed again
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from renderer.dreaming.ascent.ascent import EvaluatorFactory, shared_ascent
from renderer.dreaming.ascent.octaves import CoarserOctave, pad_to, resize
from renderer.dreaming.ascent.pyramid import Pyramid
from renderer.dreaming.ascent.transforms import MOVES, matrices
from renderer.dreaming.evaluator import Evaluator
from renderer.dreaming.networks.network import Network
from renderer.dreaming.objectives.channel_weights import ChannelWaves
from renderer.dreaming.objectives.objective_spec import mixes_of_octaves, parse_mix
from renderer.dreaming.objectives.objective_terms import PENALTIES, check_pictures
from renderer.dreaming.objectives.references import InputsBuilder, Pictures
from renderer.dreaming.settings import DreamSettings
from renderer.errors import EnvironmentProblem
from renderer.frame import Frame, Size
from renderer.time_value import NEVER, Timed

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
class StepReport:
    """A step is taken: its octave from 0, its number from 1 of how many, the picture, and the objective before it."""

    octave: int
    step: int
    steps: int
    picture: Frame
    value: float


Watch = Callable[[StepReport], None]


class Dreamer:
    """Dreams frames with one network.

    Args:
        network: whose activations are amplified.
        settings: what is amplified, on which scales, and how.
        over_time: by the names of settings, values that take the place of theirs: numbers or functions of seconds, and
            for tables like `layers` such values by entry.
        pictures: guide and style over time, by these names, which the objective compares with.
        evaluator: makes the evaluator of the layers, see `Ascent`.
        rate: frames a second of the film; None for a picture, whose steps have their stated size.
        seed: keys the jitter, and which channels come to the fore.
        loop_seconds: length of a loop; None for a film that is none. See `ChannelWaves`.

    Raises:
        UsageError: layers or channels that the network lacks, or an objective that lacks its guide.
    """

    def __init__(
        self,
        network: Network,
        settings: DreamSettings = DreamSettings(),
        *,
        over_time: Mapping[str, Any] = NEVER,
        pictures: Pictures = MappingProxyType({}),
        evaluator: EvaluatorFactory = Evaluator,
        rate: float | None = None,
        seed: int = 0,
        loop_seconds: float | None = None,
    ) -> None:
        self.settings, self.seed, self.rate, self.smallest = settings, seed, rate, network.spec.smallest
        self._now = Timed(settings, over_time)
        self.pyramid = Pyramid(settings)
        mixes = mixes_of_octaves(network, settings, self._now, loop_seconds=loop_seconds)
        objectives = [parse_mix(mix, kind=settings.objective) for mix in mixes]
        check_pictures({term.kind for objective in objectives for term in objective.terms}, pictures)
        self.objective = objectives[-1]
        # What is always 0 stays out of the graph.
        self._turns, self._penalties = ([name for name in names if self._now(name)] for names in (MOVES, PENALTIES))
        penalties, turned = tuple(self._penalties), bool(self._turns)
        self.ascents = [
            shared_ascent(network, each, settings=settings, penalties=penalties, turned=turned, evaluator=evaluator)
            for each in objectives
        ]
        self.channel_waves = ChannelWaves(
            amount=self._now("variety"), period=settings.variety_period, seed=seed, loop_seconds=loop_seconds
        )
        self.memory: int | None = getattr(evaluator, "memory", None)
        self._inputs = [
            InputsBuilder(
                ascent.objective,
                ascent.evaluator,
                channel_waves=self.channel_waves,
                pictures=pictures,
                smallest=self.smallest,
            )
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
        inputs = self._inputs[-1](pad_to(source, self.smallest), seconds=seconds)
        seen = self.ascents[-1].evaluator.activations(tf.constant(pad_to(picture, self.smallest)))
        return float(self.objective(seen, inputs))

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
        lengths, coarser = self._lengths(seconds, full=full), None
        sizes = self.pyramid.sizes(size, smallest=self.smallest)
        late = self.settings.late_octaves
        left_out = 0 if full or late is None else max(0, len(sizes) - late)
        enough = np.inf if self.settings.stop_at is None else self.settings.stop_at
        for octave, base in list(enumerate(self.pyramid.bases(canvas, sizes)))[left_out:]:
            # Layers are counted from the coarsest octave that was asked for, which a small frame may lack.
            scaled, which = sizes[octave], min(octave + self.pyramid.left_out(sizes), len(self.ascents) - 1)
            source_here = pad_to(base if source is None else resize(source, scaled), self.smallest)
            start = self.pyramid.start(base, coarser, blend=self._now.at("octave_blend", seconds))
            there = None if where is None else pad_to(resize(where, scaled), self.smallest)
            ended, values = self.ascents[which].ascend(
                pad_to(start, self.smallest),
                shifts=self._shifts(frame, octave, len(lengths)),
                turns=self._turned(frame, octave, len(lengths), seconds),
                sizes=lengths,
                where=there,
                inputs=self._inputs[which](source_here, seconds=seconds, scale=scaled.width / size.width),
                weights=[self._now.at(name, seconds) for name in self._penalties],
                soften=self._soften(self._now.at("blur", seconds), there),
                stop_at=enough,
                watch=None if watch is None else _reporting(watch, octave, scaled),
            )
            dream = np.ascontiguousarray(ended[: scaled.height, : scaled.width])
            coarser = CoarserOctave(base=base, dream=self.pyramid.finish(base, coarser, dream))
            finest = octave + 1 == len(sizes) and scaled != size
            picture = self.pyramid.start(canvas, coarser) if finest else coarser.dream
            yield OctaveReport(octave=octave, size=scaled, picture=picture, values=tuple(map(float, values)))

    def _lengths(self, seconds: float, *, full: bool) -> NDArray[np.float32]:
        """Return the lengths of the steps of an octave."""
        length = self._now.at("step_size", seconds) * self._now.at("strength", seconds)
        length *= 1.0 if full or not self.rate else REFERENCE_RATE / self.rate
        return np.full(self.settings.first_steps if full else self.settings.steps, length, np.float32)

    def _shifts(self, frame: int, octave: int, steps: int) -> NDArray[np.int32]:
        rng, most = np.random.default_rng([self.seed, frame, octave]), self.settings.jitter
        return rng.integers(-most, most + 1, (steps, 2), dtype=np.int32)

    def _turned(self, frame: int, octave: int, steps: int, seconds: float) -> NDArray[np.float32] | None:
        if not self._turns:
            return None
        amounts = {name: self._now.at(name, seconds) for name in self._turns}
        return matrices(amounts, keys=(self.seed, frame, octave), steps=steps)

    def _soften(self, sigma: float, where: Plane | None) -> Callable[[int, Frame], Frame] | None:
        """Return what blurs the picture between steps; None where nothing does."""
        if sigma <= 0:
            return None

        def soften(step: int, picture: Frame) -> Frame:
            if step % self.settings.blur_every:
                return picture
            soft = cv2.subtract(cv2.GaussianBlur(picture, (0, 0), sigma), picture)
            return cv2.add(picture, soft if where is None else soft * where[..., None])

        return soften


def _reporting(watch: Watch, octave: int, size: Size) -> Callable[[int, int, Frame, float], None]:
    """Return what tells of a step on an octave, without what the picture was padded with."""
    return lambda step, steps, picture, value: watch(
        StepReport(octave=octave, step=step, steps=steps, picture=picture[: size.height, : size.width], value=value)
    )
