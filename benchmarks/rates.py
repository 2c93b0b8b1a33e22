"""Measure whether a film is the same at another rate: `python -m benchmarks.rates`. See README.md here."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.frame_cost import settings_for
from benchmarks.tools import Benchmark, Figure, below, comma_separated, tell
from renderer.frame import Frame, Size
from renderer.settings.schema import Settings

MOVES = {
    "camera.zoom": "1.5 + 0.4*sin(t*tau/3)",
    "camera.rotate": {"0%": 0, "50%": 12, "100%": -6, "ease": "cubic"},
    "camera.pan_x": "0.05*t/T",
    "camera.wander": 0.2,
}
"""A camera whose moves all change, so that there is something to get wrong."""


class Watch:
    """Stands in for a store: takes the activation of the frames at some times, and keeps none.

    Attributes:
        activations: seconds -> mean activation, as the recipe weighs it.
    """

    next_frame = 0

    def __init__(self, dreamer: Any, rate: Fraction, *, every: Fraction) -> None:
        self.activations: dict[Fraction, float] = {}
        self._dreamer, self._rate, self._every, self._count = dreamer, rate, every, 0

    def state(self) -> None:
        return None

    def append(self, frame: Frame) -> None:
        seconds = self._count / self._rate
        self._count += 1
        if (seconds / self._every).denominator == 1:
            self.activations[seconds] = self._dreamer.value(frame, seconds=float(seconds), source=frame)

    def commit(self, state: object) -> None:
        pass


def activations(settings: Settings, *, every: Fraction) -> dict[Fraction, float]:
    """Render a film from noise and return its activation at equal times."""
    from renderer.films.film import ZoomFilm
    from renderer.render.recurrence import render

    parts = ZoomFilm(settings=settings, out=Path("film.mp4")).render_setup({})
    watch = Watch(parts.dreamer, settings.rate, every=every)
    render(
        parts.scene,
        parts.dreamer,
        watch,
        governor=parts.governor,
        frames=settings.frame_count,
        rate=settings.rate,
        report=lambda _: None,
    )
    return watch.activations


def journey(settings: Settings, *, every: Fraction) -> list[NDArray[np.float64]]:
    """Return where the corners of the frame lie in the first one, `(4, 2)` pixels, at equal times, frame by frame."""
    from renderer.films.render_setup import camera_of

    camera, rate, size = camera_of(settings), float(settings.rate), settings.film.size
    corners = np.array([(x, y, 1.0) for x in (0, size.width) for y in (0, size.height)]).T
    way, found = np.eye(3), []
    for frame in range(1, settings.frame_count):
        way = way @ camera.matrix((frame - 1) / rate, frame / rate, size=size)
        if (frame / settings.rate / every).denominator == 1:
            place = way @ corners
            found.append((place[:2] / place[2]).T)
    return found


def rates(options: argparse.Namespace) -> Iterator[Figure]:
    """Make the same film at two rates; compare activation and camera at equal times."""
    slow, fast = sorted(options.rates)
    every = Fraction(1, slow)
    from renderer.settings.presets import resolve

    look = resolve(presets=[options.preset]).settings if options.preset else None
    for network in options.networks:
        found, ways = [], []
        for rate in (slow, fast):
            tell(f"rates: {network}, {rate} frames a second, {options.seconds:g} s, {options.size}")
            film = {"film.fps": rate, "film.seconds": options.seconds, "film.size": str(options.size), **MOVES}
            settings = settings_for(network, options.shared, **_look(look), **film)
            found.append(activations(settings, every=every))
            ways.append(journey(settings, every=every))
        yield from _activation(network, *found, window=options.window)
        apart = max(float(np.abs(a - b).max()) for a, b in zip(*ways, strict=True))
        yield below(f"{network}: camera apart, pixels, at any of these times", apart, 0.001, form="{:.2g}")


def _look(settings: Settings | None) -> dict[str, Any]:
    """Return what a preset says of the dream and its tone; the camera is ours, the network that of the figure."""
    from renderer.settings.schema import flatten

    flat = {} if settings is None else flatten(settings)
    return {key: value for key, value in flat.items() if key.startswith(("dream.", "governor.", "start.", "seed"))}


def _activation(
    network: str, slow: dict[Fraction, float], fast: dict[Fraction, float], *, window: float
) -> Iterator[Figure]:
    times = sorted(slow.keys() & fast.keys())
    tell("\n".join(f"  {float(t):6.2f} s  {slow[t]:.4f}  {fast[t]:.4f}" for t in times))
    apart = [abs(slow[t] - fast[t]) / max(slow[t], fast[t]) for t in times]
    yield below(
        f"{network}: activation apart, median of {len(times)} times", statistics.median(apart), 0.15, form="{:.1%}"
    )
    means = []
    for begin in np.arange(0, float(times[-1]), window):
        inside = [t for t in times if begin <= t < begin + window]
        a, b = (statistics.fmean(found[t] for t in inside) for found in (slow, fast))
        means.append(abs(a - b) / max(a, b))
    yield below(f"{network}: the same of means over {window:g} s, largest", max(means), 0.15, form="{:.1%}")
    yield below(f"{network}: the same at any one time, largest", max(apart), 0.15, form="{:.1%}")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--networks", type=comma_separated, default=["inception_v3", "dreamnet"])
    parser.add_argument("--preset", help="a look instead of the default one")
    parser.add_argument("--rates", type=lambda text: [int(rate) for rate in text.split(",")], default=[12, 24])
    parser.add_argument("--seconds", type=float, default=12.0, help="length of the films")
    parser.add_argument("--size", type=Size.parse, default=Size(480, 270))
    parser.add_argument("--window", type=float, default=1.0, help="length of a mean, seconds")


BENCHMARK = Benchmark(
    name="rates",
    about="Measure whether a film is the same at another rate.",
    measurements={"same": rates},
    add_options=add_options,
    smallest={"networks": ["dreamnet"], "rates": [3, 6], "seconds": 1.0, "size": Size(160, 96)},
    quick=("same",),
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
