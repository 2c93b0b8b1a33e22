"""How a frame of a video gets the dream of the frame before it: the modes of `--carry`.

A new mode is one class or function, and one line in `CARRIES` at the foot.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.frame import Frame
from renderer.motion.flow import warp_by
from renderer.render.dream_layer import Strength, balanced, reach, strength
from renderer.render.prefetch import Shot
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

FILLING = ((0.0, 0.0), (0.1, 2.0), (1.0, 0.9))
"""Share of a full dream that a place has -> how strongly it is dreamed on.

Not at all at the first sight of it, so that nothing pops up at its edge; then more than usual. A full dream is dreamed
on a little less: what a step changes is what flickers, and the layer is held at its strength anyway.
"""


@dataclass(frozen=True, kw_only=True)
class Carried:
    """A source frame with a dream on it `(H, W, 3)`, whether it needs a full dream, and where how strong a one."""

    picture: Frame
    full: bool
    where: Plane | None = None


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

    def onto(self, shot: Shot, dream: Frame) -> Carried:
        """Return a frame of the source with what it gets of the dream `(H, W, 3)` of the frame before."""
        del dream
        return Carried(picture=shot.source, full=True, where=shot.where)

    def settle(self, shot: Shot, dream: Frame) -> Frame:
        """Return what becomes of the dream on that."""
        del shot
        return dream

    def state(self) -> Mapping[str, Any]:
        """Return what is remembered from frame to frame."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember again."""


class BlendCarry(Carry):
    """A mixture of the dream before, left where it was, and the source; dreamed on in full (DeepDreamVideo)."""

    def share(self, frame: int) -> float:
        """Return the share of the source at a frame."""
        return self.at("blend", frame)

    def onto(self, shot: Shot, dream: Frame) -> Carried:
        """Return `dream * (1 - b) + source * b`."""
        share = np.float32(self.share(shot.index))
        return Carried(picture=dream * (1 - share) + shot.source * share, full=True, where=shot.where)


class BlendLoopCarry(BlendCarry):
    """A mixture whose share of the source goes up and down by steps."""

    def share(self, frame: int) -> float:
        """Return the share of the source at a frame."""
        place = frame % (2 * len(_SHARES) - 2)
        return _SHARES[min(place, 2 * len(_SHARES) - 2 - place)]


class BlendRandomCarry(BlendCarry):
    """A mixture whose share of the source is drawn anew for each frame."""

    def share(self, frame: int) -> float:
        """Return the share of the source at a frame."""
        return float(np.random.default_rng([self.seed, frame]).choice(_SHARES))


class FlowCarry(Carry):
    """The dream layer, moved as the source moves, faded where that is not to be trusted and with its half-life.

    x = s + gain * trust * warp(d), dreamed on lightly; d = x' - s, each of its bands held at the strength that it has
    after a full dream. `ripe` says of each pixel what share of a full dream it has: what comes into view has none, and
    is dreamed on more until it has.
    """

    moves = True

    def __init__(self, settings: CarrySettings, **options: Any) -> None:
        super().__init__(settings, **options)
        self.begin()

    def begin(self) -> None:
        """Forget the layer: what comes is a full dream."""
        self._ripe: Plane | None = None
        self._wanted = Strength((), ())

    def onto(self, shot: Shot, dream: Frame) -> Carried:
        """Return the source with the moved layer on it."""
        if shot.motion is None or self._ripe is None:
            self.begin()
            return Carried(picture=shot.source, full=True, where=shot.where)
        layers = cv2.merge([*cv2.split(cv2.subtract(dream, shot.previous)), self._ripe])
        moved = warp_by(layers, shot.motion.flow)
        kept = shot.motion.trust if shot.where is None else shot.motion.trust * reach(shot.where)
        half_life = self.at("half_life", shot.index)
        gain = np.float32(2 ** (-1 / (self.rate * half_life)))
        *layer, ripe = cv2.split(moved)
        self._ripe = np.clip(ripe * kept, 0, 1)
        kept = kept * gain
        picture = cv2.add(shot.source, cv2.merge([plane * kept for plane in layer]))
        strong = filling(self._ripe)
        return Carried(picture=picture, full=False, where=strong if shot.where is None else strong * shot.where)

    def settle(self, shot: Shot, dream: Frame) -> Frame:
        """Hold the layer at its strength, and let what came into view ripen."""
        layer = dream - shot.source
        wide = np.ones(layer.shape[:2], np.float32) if shot.where is None else reach(shot.where)
        if self._ripe is None:
            self._ripe = wide
            self._wanted = strength(layer, wide)
            return dream
        level = self.at("level", shot.index)
        if level > 0:
            dream = shot.source + balanced(layer, self._ripe, wanted=_held_to(self._wanted, level))
        filled = np.float32(1 - 2 ** (-1 / (self.rate * FILL_HALF_LIFE)))
        self._ripe = np.asarray((self._ripe + (1 - self._ripe) * filled) * wide, np.float32)
        return dream

    def state(self) -> Mapping[str, Any]:
        """Return how ripe each pixel is, and how strong the layer was when it was a full dream."""
        if self._ripe is None:
            return {}
        return {"ripe": self._ripe, "bands": np.array(self._wanted.bands), "mean": np.array(self._wanted.mean)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember both."""
        self.begin()
        if "ripe" in state:
            self._ripe = np.asarray(state["ripe"], np.float32)
            self._wanted = Strength(tuple(map(float, state["bands"])), tuple(map(float, state["mean"])))


def filling(ripe: Plane) -> Plane:
    """Return how strongly to dream `(H, W)`, from the share of a full dream that is there."""
    # The least of the lines through its points is what a table says whose slopes fall from point to point.
    lines = [
        ripe * np.float32((b - a) / (to - begin)) + np.float32(a - begin * (b - a) / (to - begin))
        for (begin, a), (to, b) in itertools.pairwise(FILLING)
    ]
    return np.asarray(functools.reduce(cv2.min, lines), np.float32)


def make_carry(settings: CarrySettings, **options: Any) -> Carry:
    """Make the mode that the settings name; `options` as those of `Carry`."""
    return CARRIES[settings.mode](settings, **options)


def _held_to(full: Strength, level: float) -> Strength:
    parts = tuple(level * share * found for share, found in zip(LEVELS, full.bands, strict=True))
    return Strength(parts, tuple(level * value for value in full.mean))


CARRIES: dict[str, type[Carry]] = {
    "flow": FlowCarry,
    "none": Carry,
    "blend": BlendCarry,
    "blend-loop": BlendLoopCarry,
    "blend-random": BlendRandomCarry,
}
