"""The camera: moves per second that compose into one map of the plane, read from the picture once.

A move is a field of velocities over the picture (a 3x3 generator, in homogeneous coordinates); moves at the same time
are the sum of their fields. The map over an interval is the exact flow of that sum, held constant in cells of absolute
time. So the map over any interval is the product of the maps over its parts, and films of 12, 24 and 48 frames a
second reach the same place at the same second, up to rounding, whatever the schedules do.

Inside, the centre of the frame is (0, 0) and its width is 1; x grows to the right, y downwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from renderer.errors import UsageError
from renderer.frame import Size
from renderer.motion.moves import MOVES
from renderer.motion.schedule import Schedule
from renderer.motion.settings import CameraSettings

Matrix = NDArray[np.float64]
Value = float | Schedule

CELLS = 240
"""Cells of time a second: whole frames of 12, 24, 30, 48, 60 and 120 a second are whole cells."""

CENTRE = ("centre_x", "centre_y", "wander")
"""Settings that say which point zoom and rotation keep in place."""

_KNOTS = 5.0
"""Knots of the wandering a `wander_period`; measured: the centre then crosses the middle about twice a period."""


class Camera:
    """Moves of the camera, all going on at once.

    Args:
        settings: the moves, each a rate a second, and the centre of zoom and rotation.
        over_time: values by name that take the place of those of the settings: numbers or `Schedule`s.
        seed: of the wandering; any integer.
        loop_seconds: length of a loop, after which the wandering centre is back where it was; None for a film that is
            none. Schedules come round by themselves, or they do not.

    Raises:
        UsageError: a value that is not finite, a zoom that is not above 0. For schedules: when read.
    """

    def __init__(
        self,
        settings: CameraSettings,
        *,
        over_time: Mapping[str, Value] = MappingProxyType({}),
        seed: int = 0,
        loop_seconds: float | None = None,
    ) -> None:
        self.wander_period, self.seed, self.loop_seconds = settings.wander_period, seed, loop_seconds
        names = (*CENTRE, *(name for move in MOVES.values() for name in move.settings))
        self._values: dict[str, Value] = {name: over_time.get(name, getattr(settings, name)) for name in names}
        for name, value in self._values.items():
            if not isinstance(value, Schedule) and not math.isfinite(value):
                raise UsageError(f"Camera: {name} is {value}; it must be a finite number.")
        if not isinstance(zoom := self._values["zoom"], Schedule):
            MOVES["zoom"].convert(zoom)

    def matrix(self, t0: float, t1: float, *, size: Size) -> Matrix:
        """Return where each pixel of the frame at `t1` lies in the frame at `t0`.

        `matrix(a, c) == matrix(a, b) @ matrix(b, c)` up to rounding, for any a, b, c, also backwards.

        Args:
            t0: seconds of the frame that there is.
            t1: seconds of the frame to be made; before `t0` it is the way back.
            size: of both frames; the same journey at any size.

        Returns:
            float64 `(3, 3)`, output pixel `(x, y, 1)` -> source pixel, homogeneous; for `warp`.

        Raises:
            UsageError: a schedule has no good value in the interval, or the move goes beyond all numbers.
        """
        if not (math.isfinite(t0) and math.isfinite(t1)):
            raise UsageError(f"No camera move from {t0} s to {t1} s; both must be finite.")
        if t0 == t1:
            return np.eye(3)
        if t1 < t0:
            return np.asarray(np.linalg.inv(self.matrix(t1, t0, size=size)), np.float64)
        aspect = size.height / size.width
        middles, lengths = self._cells(t0, t1)
        generators = np.stack([self._generator(t, aspect) for t in middles])
        with np.errstate(all="ignore"):
            # The flow takes a point of the picture from t0 to t1; the way back is what a frame is read by.
            way = np.eye(3)
            for step in _exponential(-generators * lengths[:, None, None]):
                way = way @ step
            way = _in_pixels(way, size)
        if not np.isfinite(way).all() or abs(np.linalg.det(way)) < 1e-280:
            raise UsageError(f"The camera moves too fast between {t0:g} s and {t1:g} s; use smaller rates.")
        return way

    def centre(self, t: float) -> tuple[float, float]:
        """Return the fixed point of zoom and rotation at `t` seconds, as shares of width and height."""
        left, top, reach = (_at(self._values[name], t) for name in CENTRE)
        x, y = self._drift(t) if reach else (0.0, 0.0)
        return left + reach * x, top + reach * y

    def _drift(self, t: float) -> tuple[float, float]:
        """Return a point of the unit disc, the same a whole number of rounds later."""
        if self.loop_seconds is None:
            return _wander(t / self.wander_period * _KNOTS, self.seed)
        # Three points make the shortest way round that is not there and back.
        knots = max(3, round(self.loop_seconds / self.wander_period * _KNOTS))
        return _wander(t / self.loop_seconds * knots, self.seed, repeat=knots)

    def _generator(self, t: float, aspect: float) -> Matrix:
        x, y = self.centre(t)
        to_centre = np.array([[1, 0, x - 0.5], [0, 1, (y - 0.5) * aspect], [0, 0, 1]])
        from_centre = np.array([[1, 0, 0.5 - x], [0, 1, (0.5 - y) * aspect], [0, 0, 1]])
        total = np.zeros((3, 3))
        for move in MOVES.values():
            speeds = [self._per_second(name, move.convert, t) for name in move.settings]
            if any(speeds):
                field = move.field(speeds, aspect)
                total += to_centre @ field @ from_centre if move.about_centre else field
        return total

    def _per_second(self, name: str, convert: Callable[[float], float], t: float) -> float:
        value = self._values[name]
        speed = convert(_at(value, t))
        # A Deforum string gives the motion of one frame, as in the notes that people have.
        rate = value.per_frame if isinstance(value, Schedule) else None
        return speed if rate is None else speed * float(rate)

    def _cells(self, t0: float, t1: float) -> tuple[list[float], NDArray[np.float64]]:
        """Cut [t0, t1] where cells of absolute time meet; return the middles of the whole cells, and what is inside.

        A schedule that counts in frames changes at its frames, so cells end there too.
        """
        schedules = [value for value in self._values.values() if isinstance(value, Schedule)]
        if not self._values["wander"] and all(schedule.constant for schedule in schedules):
            return [(t0 + t1) / 2], np.array([t1 - t0])
        rates: set[Fraction] = {Fraction(CELLS), *(schedule.per_frame for schedule in schedules if schedule.per_frame)}
        ends = [
            np.arange(math.floor(t0 * float(rate)) - 1, math.ceil(t1 * float(rate)) + 2) / float(rate) for rate in rates
        ]
        # Rounded, so that ends that two rates share are one.
        cuts = np.unique(np.round(np.concatenate(ends), 9))
        inside = np.clip(cuts, t0, t1)
        lengths = np.diff(inside).astype(np.float64)
        kept = lengths > 0
        return ((cuts[:-1] + cuts[1:]) / 2)[kept].tolist(), lengths[kept]


def _at(value: Value, t: float) -> float:
    return value(t) if isinstance(value, Schedule) else value


def _in_pixels(way: Matrix, size: Size) -> Matrix:
    middle_x, middle_y = (size.width - 1) / 2, (size.height - 1) / 2
    to_pixels = np.array([[size.width, 0, middle_x], [0, size.width, middle_y], [0, 0, 1.0]])
    from_pixels = np.array([[1, 0, -middle_x], [0, 1, -middle_y], [0, 0, size.width]]) / size.width
    pixels = to_pixels @ way @ from_pixels
    return pixels / pixels[2, 2]


def _exponential(stack: Matrix) -> Matrix:
    """Return the matrix exponentials of `(n, 3, 3)`: Taylor series of the 2^k-th part, squared k times."""
    largest = float(np.abs(stack).sum(axis=2).max(initial=0.0))
    if not math.isfinite(largest):
        return np.full_like(stack, np.inf)
    halvings = max(0, math.frexp(largest)[1] + 2)
    part = stack * 0.5**halvings
    total = term = np.broadcast_to(np.eye(3), stack.shape)
    for order in range(1, 13):
        term = term @ part / order
        total = total + term
    for _ in range(halvings):
        total = total @ total
    return total


def _wander(place: float, seed: int, *, repeat: int | None = None) -> tuple[float, float]:
    """Return a point of the unit disc that drifts with `place`: a cubic B-spline over random points, two bends smooth.

    A B-spline stays within the hull of its points, so the bound holds always; each point is drawn for itself, so
    nothing repeats, unless the points repeat after `repeat` knots, and any moment can be had alone.
    """
    knot = math.floor(place)
    f = place - knot
    weights = ((1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3)
    knots = (knot - 1, knot, knot + 1, knot + 2)
    points = [_point(seed, k if repeat is None else k % repeat) for k in knots]
    x = sum(weight * point[0] for weight, point in zip(weights, points, strict=True)) / 6
    y = sum(weight * point[1] for weight, point in zip(weights, points, strict=True)) / 6
    return x, y


@lru_cache(maxsize=4096)
def _point(seed: int, knot: int) -> tuple[float, float]:
    """Draw a point of the unit disc, most of them near its rim: the spline pulls them inwards."""
    key = np.random.SeedSequence([seed % 2**64, knot % 2**64])
    angle, radius = key.generate_state(2, np.uint64) / 2.0**64
    radius = math.sqrt(0.5 + 0.5 * radius)
    return radius * math.cos(math.tau * angle), radius * math.sin(math.tau * angle)
