"""How a frame of a video gets the dream of the frame before it: the modes of `--carry`.

A new mode is one class or function, and one line in `CARRIES` at the foot.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.dreaming.over_time import Value, value_at
from renderer.errors import UsageError, nearest
from renderer.frame import Frame
from renderer.motion.flow import warp_by
from renderer.render.footage import Shot
from renderer.render.layer import Strength, balanced, reach, strength

Plane = NDArray[np.float32]

LEVELS = (1.0, 1.0, 0.95)
"""What the bands of a carried layer are held to, as parts of those of a full dream.

A carried dream was climbed for longer, so a weaker one shows as much.
"""

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


@dataclass(frozen=True, kw_only=True)
class CarrySettings:
    """What the modes need to know; half-life, level and blend may be functions of seconds.

    Attributes:
        rate: frames a second.
        half_life: seconds in which a carried dream fades to a half, were nothing dreamed on top of it.
        level: strength that the carried layer is held to, as a part of a full dream's; 0 lets it go where it goes.
        blend: share of the source in a mixture.
        seed: keys what is drawn.
    """

    rate: float
    half_life: Value = 1.0
    level: Value = 1.0
    blend: Value = 0.5
    seed: int = 0

    def at(self, value: Value, frame: int) -> float:
        """Return one of these at a frame."""
        return value_at(value, frame / self.rate)


class Carry:
    """A mode. This one carries nothing: every frame is dreamed alone, in full."""

    moves = False
    """Whether it wants to know how pixels move."""

    def __init__(self, settings: CarrySettings) -> None:
        self.settings = settings

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

    def __init__(self, settings: CarrySettings, *, share: Callable[[CarrySettings, int], float]) -> None:
        super().__init__(settings)
        self.share = share

    def onto(self, shot: Shot, dream: Frame) -> Carried:
        """Return `dream * (1 - b) + source * b`."""
        share = np.float32(self.share(self.settings, shot.index))
        return Carried(picture=dream * (1 - share) + shot.source * share, full=True, where=shot.where)


class FlowCarry(Carry):
    """The dream layer, moved as the source moves, faded where that is not to be trusted and with its half-life.

    x = s + gain * trust * warp(d), dreamed on lightly; d = x' - s, each of its bands held at the strength that it has
    after a full dream. `ripe` says of each pixel what share of a full dream it has: what comes into view has none, and
    is dreamed on more until it has.
    """

    moves = True

    def __init__(self, settings: CarrySettings) -> None:
        super().__init__(settings)
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
        half_life = self.settings.at(self.settings.half_life, shot.index)
        gain = np.float32(2 ** (-1 / (self.settings.rate * half_life)))
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
        level = self.settings.at(self.settings.level, shot.index)
        if level > 0:
            dream = shot.source + balanced(layer, self._ripe, wanted=_held_to(self._wanted, level))
        filled = np.float32(1 - 2 ** (-1 / (self.settings.rate * FILL_HALF_LIFE)))
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


def make_carry(name: str, settings: CarrySettings) -> Carry:
    """Make a mode of the registry.

    Raises:
        UsageError: an unknown name.
    """
    if name not in CARRIES:
        raise UsageError(f"There is no way {name!r} to carry a dream{nearest(name, CARRIES)}")
    return CARRIES[name](settings)


def _held_to(full: Strength, level: float) -> Strength:
    parts = tuple(level * share * found for share, found in zip(LEVELS, full.bands, strict=True))
    return Strength(parts, tuple(level * value for value in full.mean))


def _blend(share: Callable[[CarrySettings, int], float]) -> Callable[[CarrySettings], Carry]:
    return lambda settings: BlendCarry(settings, share=share)


def _there_and_back(values: Sequence[float], frame: int) -> float:
    place = frame % (2 * len(values) - 2)
    return values[min(place, 2 * len(values) - 2 - place)]


_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

CARRIES: dict[str, Callable[[CarrySettings], Carry]] = {
    "flow": FlowCarry,
    "none": Carry,
    "blend": _blend(lambda settings, frame: settings.at(settings.blend, frame)),
    "blend-loop": _blend(lambda _, frame: _there_and_back(_SHARES, frame)),
    "blend-random": _blend(
        lambda settings, frame: float(np.random.default_rng([settings.seed, frame]).choice(_SHARES))
    ),
}
