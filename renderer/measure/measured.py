"""A film that is measured, its frames, and what a metric is: a function that sees each frame once, in order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.frame import Pixels, Size
from renderer.motion.camera import Camera
from renderer.settings.schema import Settings

Plane = NDArray[np.float32]

LUMA = np.array([[0.2126, 0.7152, 0.0722]], np.float32)
"""Weights of R, G, B in luma (BT.709), over sRGB-encoded values."""

GAP_SECONDS = 4.0
"""How far apart two frames are that are compared to see whether a film keeps changing."""

SETTLING_SECONDS = 5.0
"""How long a film may take to find its tone, at most; of a short film, a fifth."""


@dataclass(frozen=True, kw_only=True)
class MeasuredFilm:
    """The film that is measured.

    Attributes:
        size: of its frames.
        rate: frames a second.
        frames: how many there should be.
        camera: the journey that it shows; None where its recipe does not say.
        path: of the film.
        source: the video that it was made from; None where that is not known.
        starts_at: second of the source that its first frame shows.
        is_part: whether it ends before its source.
        cuts: first frames of its shots.
        settings: that it was made with; None where its recipe does not say.
        alone: how many of its frames are to be dreamed alone, to be compared.
    """

    size: Size
    rate: Fraction
    frames: int
    camera: Camera | None = None
    path: Path | None = None
    source: Path | None = None
    starts_at: Fraction = Fraction(0)
    is_part: bool = False
    cuts: frozenset[int] = frozenset()
    settings: Settings | None = None
    alone: int = 0

    @property
    def seconds(self) -> float:
        """Length."""
        return float(self.frames / self.rate)

    @property
    def settling(self) -> float:
        """Seconds at the start that do not count for steadiness."""
        return min(SETTLING_SECONDS, self.seconds / 5)

    @property
    def gap(self) -> int:
        """Frames between two that are compared: `GAP_SECONDS`, or half of a film shorter than twice that."""
        return max(1, round(min(GAP_SECONDS, self.seconds / 2) * self.rate))

    def second(self, index: int) -> int:
        """Return which second a frame belongs to; a last piece under half a second belongs to the second before."""
        last = max(0, int(self.seconds + 0.5) - 1)
        return min(int(index / self.rate), last)


class MeasuredFrame:
    """One frame, and what several metrics want of it, computed once.

    Args:
        index: its number in the film.
        pixels: uint8 `(H, W, 3)`.
        source: the same frame of the video it was made from, at the same size; None where that is not known.
    """

    def __init__(self, index: int, pixels: Pixels, *, source: Pixels | None = None) -> None:
        self.index, self.pixels = index, pixels
        self.source = None if source is None else MeasuredFrame(index, source)

    @cached_property
    def luma(self) -> Plane:
        """Luma `(H, W)`, 0 to 1."""
        values = np.float32(1 / 255) * LUMA
        return np.asarray(cv2.transform(self.pixels.astype(np.float32), values), np.float32).reshape(
            self.pixels.shape[:2]
        )

    @cached_property
    def sharpness(self) -> float:
        """Variance of the Laplacian (4 neighbours) of luma."""
        _, deviation = cv2.meanStdDev(cv2.Laplacian(self.luma, cv2.CV_32F))
        return float(deviation[0, 0] ** 2)

    @cached_property
    def high(self) -> NDArray[np.uint8]:
        """The largest channel of each pixel `(H, W)`."""
        red, green, blue = cv2.split(self.pixels)
        return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)

    @cached_property
    def low(self) -> NDArray[np.uint8]:
        """The smallest channel of each pixel `(H, W)`."""
        red, green, blue = cv2.split(self.pixels)
        return np.asarray(cv2.min(cv2.min(red, green), blue), np.uint8)


Measurement = Generator[None, MeasuredFrame | None, dict[str, Any]]
"""A metric at work: it is sent each frame, in order, then None, and returns what it found, as JSON values.

It keeps numbers and a few frames, never all of them.
"""

Line = tuple[str, Sequence[float], Sequence[float]]
"""Of a plot: what it is, seconds, values."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What can be measured of a film.

    Attributes:
        measure: begins to measure a film.
        text: writes a result for people: a few lines of 80 characters.
        needs_source: whether it is left out where the source of a film is not known.
        title: of its panel in a plot; "" for none.
        plot: what is drawn there, of a result and frames a second.
    """

    measure: Callable[[MeasuredFilm], Measurement]
    text: Callable[[Mapping[str, Any]], list[str]]
    needs_source: bool = False
    title: str = ""
    plot: Callable[[Mapping[str, Any], float], list[Line]] = lambda _result, _rate: []


def measure(
    functions: Mapping[str, Callable[[MeasuredFilm], Measurement]],
    film: MeasuredFilm,
    frames: Iterable[MeasuredFrame],
) -> dict[str, dict[str, Any]]:
    """Show every frame to several metrics.

    Args:
        functions: by any name, `Metric.measure`.
        film: that they are of.
        frames: at least one.

    Returns:
        What each found, by the same names.
    """
    measurements = {name: begin(film) for name, begin in functions.items()}
    for measurement in measurements.values():
        next(measurement)
    for frame in frames:
        for measurement in measurements.values():
            measurement.send(frame)
    return {name: _result(measurement) for name, measurement in measurements.items()}


def _result(measurement: Measurement) -> dict[str, Any]:
    try:
        measurement.send(None)
    except StopIteration as end:
        found: dict[str, Any] = end.value
        return found
    raise AssertionError("A metric ends when it is sent None.")
