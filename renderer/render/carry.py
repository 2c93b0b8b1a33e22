"""Videos: the scene of one, and how each of its frames gets the dream of the frame before: the modes of `--carry`.

A new mode is one class and one line in `CARRIES` at the foot.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.frame import Frame
from renderer.motion.flow import warp_by
from renderer.render.dream_layer import Strength, balanced, keep_chroma, kept, reach, strength
from renderer.render.footage import Footage, SourceFrame
from renderer.render.in_betweens import Layer, in_between
from renderer.render.scenes import Canvas, Scene
from renderer.render.settings import CarrySettings
from renderer.time_value import NEVER, Timed

Plane = NDArray[np.float32]

LEVELS = (1.0, 1.0, 0.95)
"""What the bands of a carried layer are held to, as parts of those of a full dream.

A carried dream was climbed for longer, so a weaker one shows as much.
"""

_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of the source that DeepDreamVideo goes through or draws from."""

FILL_HALF_LIFE = 0.15
"""Seconds in which a place that came into view is half as full of dream as the rest."""

FILL_STRENGTH = ((0.0, 0.0), (0.1, 2.0), (1.0, 0.9))
"""Share of a full dream that a place has -> how strongly it is dreamed on.

Not at all at the first sight of it, so that nothing pops up at its edge; then more than usual. A full dream is dreamed
on a little less: what a step changes is what flickers, and the layer is held at its strength anyway.
"""


class Carry:
    """A mode. This one carries nothing: every frame is dreamed alone, in full.

    Args:
        settings: half-life, level and blend.
        over_time: values by name that take the place of these; functions of seconds.
        rate: frames a second.
        seed: keys what is drawn.
    """

    moves = False
    """Whether it wants to know how pixels move."""

    def __init__(
        self, settings: CarrySettings, *, over_time: Mapping[str, Any] = NEVER, rate: float = 24.0, seed: int = 0
    ) -> None:
        self.rate, self.seed = rate, seed
        self._now = Timed(settings, over_time)

    def at(self, name: str, frame: int) -> float:
        """Return the value of a setting at a frame."""
        return self._now.at(name, frame / self.rate)

    def begin(self) -> None:
        """Forget what was before: the film begins, or there is a cut."""

    def onto(self, frame: SourceFrame, dream: Frame) -> Canvas:
        """Return a frame of the source with what it gets of the dream `(H, W, 3)` of the frame before."""
        del dream
        return Canvas(picture=frame.source, full=True, where=frame.where, source=frame.source)

    def finish(self, frame: SourceFrame, dream: Frame) -> Frame:
        """Return what becomes of the dream on that."""
        del frame
        return dream

    def state(self) -> Mapping[str, Any]:
        """Return what is remembered from frame to frame."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember again."""


class BlendCarry(Carry):
    """A mixture of the dream before, left where it was, and the source; dreamed on in full (DeepDreamVideo).

    Args:
        settings: as `Carry`.
        share: says what share of the source a frame has, from this and its number; None for the setting `blend`.
        options: as those of `Carry`.
    """

    def __init__(
        self, settings: CarrySettings, *, share: Callable[[BlendCarry, int], float] | None = None, **options: Any
    ) -> None:
        super().__init__(settings, **options)
        self._share = share

    def onto(self, frame: SourceFrame, dream: Frame) -> Canvas:
        """Return `dream * (1 - b) + source * b`."""
        found = self.at("blend", frame.index) if self._share is None else self._share(self, frame.index)
        share = np.float32(found)
        mixed = dream * (1 - share) + frame.source * share
        return Canvas(picture=mixed, full=True, where=frame.where, source=frame.source)


def _up_and_down(_: BlendCarry, frame: int) -> float:
    """Go up and down by steps."""
    place = frame % (2 * len(_SHARES) - 2)
    return _SHARES[min(place, 2 * len(_SHARES) - 2 - place)]


def _drawn(carry: BlendCarry, frame: int) -> float:
    """Draw anew for each frame."""
    return float(np.random.default_rng([carry.seed, frame]).choice(_SHARES))


class FlowCarry(Carry):
    """The dream layer, moved as the source moves, faded where that is not to be trusted and with its half-life.

    x = s + gain * trust * warp(d), dreamed on lightly; d = x' - s, each of its bands held at the strength that it has
    after a full dream. `coverage` says of each pixel what share of a full dream it has: what comes into view has
    none, and is dreamed on more until it has.

    Where only each second or third frame is dreamed, steps stay as large: a layer that is resampled less often loses
    less, and longer steps bring grain in place of shapes. (Measured with three times fewer dreams: with the same steps
    0.88 to 0.95 of the activation of dreams at each frame, with three times larger ones 0.76 to 0.88.)
    """

    moves = True

    def __init__(self, settings: CarrySettings, **options: Any) -> None:
        super().__init__(settings, **options)
        self.begin()

    def begin(self) -> None:
        """Forget the layer: what comes is a full dream."""
        self._coverage: Plane | None = None
        self._wanted = Strength((), ())

    def onto(self, frame: SourceFrame, dream: Frame) -> Canvas:
        """Return the source with the moved layer on it."""
        if frame.motion is None or self._coverage is None:
            self.begin()
            return super().onto(frame, dream)
        layers = cv2.merge([*cv2.split(cv2.subtract(dream, frame.previous)), self._coverage])
        moved = warp_by(layers, frame.motion.flow)
        trust = frame.motion.trust if frame.where is None else frame.motion.trust * reach(frame.where)
        half_life = self.at("half_life", frame.index)
        gain = np.float32(2 ** (-_frames(frame) / (self.rate * half_life)))
        *layer, coverage = cv2.split(moved)
        self._coverage = np.clip(coverage * trust, 0, 1)
        trust = trust * gain
        picture = cv2.add(frame.source, cv2.merge([plane * trust for plane in layer]))
        strong = fill_strength(self._coverage)
        where = strong if frame.where is None else strong * frame.where
        return Canvas(picture=picture, where=where, source=frame.source)

    def finish(self, frame: SourceFrame, dream: Frame) -> Frame:
        """Hold the layer at its strength, and let what came into view fill up."""
        layer = dream - frame.source
        wide = np.ones(layer.shape[:2], np.float32) if frame.where is None else reach(frame.where)
        if self._coverage is None:
            self._coverage = wide
            self._wanted = strength(layer, wide)
            return dream
        level = self.at("level", frame.index)
        if level > 0:
            wanted = _held_to(self._wanted, level)
            dream = frame.source + balanced(layer, self._coverage, wanted=wanted, frames=_frames(frame))
        filled = np.float32(1 - 2 ** (-_frames(frame) / (self.rate * FILL_HALF_LIFE)))
        self._coverage = np.asarray((self._coverage + (1 - self._coverage) * filled) * wide, np.float32)
        return dream

    def state(self) -> Mapping[str, Any]:
        """Return the coverage of each pixel, and how strong the layer was when it was a full dream."""
        if self._coverage is None:
            return {}
        return {"ripe": self._coverage, "bands": np.array(self._wanted.bands), "mean": np.array(self._wanted.mean)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember both."""
        self.begin()
        if "ripe" in state:  # what coverage was called when the first films were kept
            self._coverage = np.asarray(state["ripe"], np.float32)
            self._wanted = Strength(tuple(map(float, state["bands"])), tuple(map(float, state["mean"])))


def fill_strength(coverage: Plane) -> Plane:
    """Return how strongly to dream `(H, W)`, from the share of a full dream that is there."""
    # The least of the lines through its points is what a table says whose slopes fall from point to point.
    lines = [
        coverage * np.float32((b - a) / (to - begin)) + np.float32(a - begin * (b - a) / (to - begin))
        for (begin, a), (to, b) in itertools.pairwise(FILL_STRENGTH)
    ]
    return np.asarray(functools.reduce(cv2.min, lines), np.float32)


def make_carry(settings: CarrySettings, **options: Any) -> Carry:
    """Make the mode that the settings name; `options` as those of `Carry`."""
    return CARRIES[settings.mode](settings, **options)


def _frames(frame: SourceFrame) -> int:
    """Count the frames from the dream before to this one."""
    return len(frame.passed) + 1


def _held_to(full: Strength, level: float) -> Strength:
    parts = tuple(level * share * found for share, found in zip(LEVELS, full.bands, strict=True))
    return Strength(parts, tuple(level * value for value in full.mean))


class VideoScene(Scene):
    """A film that is dreamed over, frame by frame.

    Args:
        footage: its frames, and how they move.
        carry: how a frame gets the dream of the one before it.
        keep_colour: whether colours stay the source's, and only brightness is dreamed.
    """

    def __init__(self, footage: Footage, carry: Carry, *, keep_colour: bool = False) -> None:
        self.footage, self.carry, self.keep_colour = footage, carry, keep_colour
        self._source: SourceFrame | None = None

    def canvas(self, frame: int, dream: Frame | None) -> Canvas | None:
        """Return the next source frame to be dreamed on with what is carried onto it; None where the footage ends."""
        source = self._source = self.footage.frame(frame)
        if source is None:
            return None
        if dream is None or source.cut:
            self.carry.begin()
            return Canvas(picture=source.source, full=True, where=source.where)
        return replace(self.carry.onto(source, dream), passed=len(source.passed))

    def finish(self, dream: Frame) -> Frame:
        """Keep the source's colours if wanted, balance the layer, and keep it within what can be seen."""
        assert self._source is not None
        source, where = self._source.source, self._source.where
        dream = keep_chroma(dream, source) if self.keep_colour else dream
        finished = self.carry.finish(self._source, dream)
        return kept(finished, source, where=where, keep_colour=self.keep_colour)

    def between(self, before: Frame | None, dream: Frame) -> Iterator[Frame]:
        """Give the source frames between with the layers of both dreams, moved to where they belong."""
        here = self._source
        if here is None or before is None or not here.passed:
            return
        earlier, later = Layer.of(before, here.previous), Layer.of(dream, here.source)
        for frame in here.passed:
            picture = frame.source + in_between(frame, earlier, later)
            yield kept(picture, frame.source, where=frame.where, keep_colour=self.keep_colour)

    def state(self) -> Mapping[str, Any]:
        """Return what the carrying remembers."""
        return self.carry.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Give it back."""
        self.carry.restore(state)

    def close(self) -> None:
        """Stop reading ahead."""
        self.footage.close()


CARRIES: dict[str, Callable[..., Carry]] = {
    "flow": FlowCarry,
    "none": Carry,
    "blend": BlendCarry,
    "blend-loop": functools.partial(BlendCarry, share=_up_and_down),
    "blend-random": functools.partial(BlendCarry, share=_drawn),
}
