"""Measure how a zoom is shown at rates it was not dreamed at: `python -m benchmarks.shown`. See README.md here."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.frame_cost import settings_for
from benchmarks.tools import Benchmark, Figure, at_least, below, comma_separated, tell
from renderer.events import Event, FrameDone
from renderer.films.film import ZoomFilm
from renderer.frame import Pixels, Size, from_8bit
from renderer.media.store.store import Store
from renderer.settings.kinds import KINDS
from renderer.settings.schema import Settings

SETTLED = 2.0
"""Seconds after which a film from noise has become what it is; nothing is measured before."""

AROUND = 5
"""How many neighbours of a line of a spectrum on each side it is compared with, and the two next to it left out."""


PICTURES = 64
"""Of an open shutter, that its frames are compared with."""


def films(options: argparse.Namespace) -> Iterator[tuple[str, Settings, Store]]:
    """Dream a film of each look and seed where there is none yet, and give its name, settings and dreams."""
    with contextlib.ExitStack() as stack:
        folder = options.films or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for look in options.looks:
            for seed in options.seeds:
                yield _film(options, folder, look, seed)


def _film(options: argparse.Namespace, folder: Path, look: str, seed: int) -> tuple[str, Settings, Store]:
    from renderer.films.make import make_film
    from renderer.settings.presets import resolve

    sets = {
        "seed": seed,
        "film.size": options.size,
        "film.fps": max(options.rates),
        "film.dreams": options.dreams,
        "film.seconds": options.seconds,
    }
    presets = [] if look == "default" else [look]
    given = [f"{key}={value}" for key, value in sets.items()]
    settings = resolve(presets=presets, sets=given, defaults=KINDS["zoom"].defaults, command="zoom").settings
    film = ZoomFilm(settings=settings, out=folder / f"{look}-{seed}.mp4", keep_store=True)
    if not film.out.exists():
        tell(f"shown: {look}, seed {seed}: {film.kept.total} dreams, {options.size}")
        make_film(film, listener=lambda _: None)
    return f"{look} {seed}", settings, Store.existing(film.folder)


def frames_of(
    settings: Settings, store: Store, rate: int, numbers: Sequence[int], *, shutter: float = 0.0
) -> Iterator[Pixels]:
    """Show some frames of a film, `numbers` ascending, at another rate."""
    from renderer.films.render_setup import camera_of
    from renderer.render.shown import shown_frames

    return shown_frames(
        store.frames(),
        dream_rate=store.rate,
        dream_count=store.count,
        rate=Fraction(rate),
        frames=numbers,
        camera=camera_of(settings),
        edges=settings.camera.edges,
        shutter=shutter,
    )


def _settled(options: argparse.Namespace, rate: int) -> int:
    """Return the first frame that is measured."""
    return int(min(SETTLED, options.seconds / 2) * rate)


def beat(options: argparse.Namespace) -> Iterator[Figure]:
    """Look for the rate of the dreams in what frames have: sharpness and luma, at every rate."""
    from renderer.dreaming.governor import measure

    for name, settings, store in films(options):
        of_dreams = np.array([measure(from_8bit(dream)).sharpness for dream in store.frames()])
        for rate in options.rates:
            numbers = range(_settled(options, rate), int(options.seconds * rate))
            tones = [measure(from_8bit(frame)) for frame in frames_of(settings, store, rate, numbers)]
            sharpness, luma = (np.array([getattr(tone, it) for tone in tones]) for it in ("sharpness", "luma"))
            places = [float(number * store.rate / rate) for number in numbers]
            apart = np.abs(sharpness / np.interp(places, np.arange(store.count), of_dreams) - 1).max()
            yield below(f"{name}, {rate} fps: in-betweens' sharpness apart", apart, 0.03, form="{:.2%}")
            for what, values in (("sharpness", sharpness), ("luma", luma)):
                line = line_at(values, float(store.rate / rate))
                yield below(f"{name}, {rate} fps: line in {what} / neighbours", line, 2.0)


def line_at(values: NDArray[np.float64], frequency: float) -> float:
    """Compare the amplitude of values at a frequency, cycles a frame, with the mean of its neighbours.

    Values are cut to a whole number of cycles, so that the frequency is a line of the spectrum, and what goes on slowly
    is taken out: a parabola, and a Hann window for the rest.
    """
    exact = Fraction(frequency).limit_denominator(1000)
    count = len(values) // exact.denominator * exact.denominator
    values, places = values[:count], np.linspace(-1, 1, count)
    values = values - np.polyval(np.polyfit(places, values, 2), places)
    spectrum = np.abs(np.fft.rfft(values * np.hanning(count + 1)[:-1]))
    line = round(count * frequency)
    # A line of a window of Hann is three wide, so the two beside it belong to it.
    near = [n for n in range(line - 1 - AROUND, line + 2 + AROUND) if abs(n - line) > 1 and 0 < n < len(spectrum)]
    return float(spectrum[line] / spectrum[near].mean())


def shutter(options: argparse.Namespace) -> Iterator[Figure]:
    """Compare frames of an open shutter with the mean of 64 pictures each."""
    from renderer.render.shown import exposed

    for name, settings, store in films(options):
        for rate in options.rates:
            first = _settled(options, rate)
            numbers = range(first, first + options.shutter_frames)
            apart, parts = [], 4 * PICTURES  # Of a frame's time, so that every second begins in the middle of one.
            for number, frame in zip(numbers, frames_of(settings, store, rate, numbers, shutter=180), strict=True):
                instants = range(parts * number + 1, parts * number + 2 * PICTURES, 2)
                apart.append(_psnr(frame, exposed(frames_of(settings, store, parts * rate, instants))))
            yield at_least(f"{name}, {rate} fps: shutter 180, dB, least", min(apart), 45, form="{:.1f}")


def _psnr(one: Pixels, other: Pixels) -> float:
    square = float(((one.astype(np.float32) - other) ** 2).mean())
    return 99.0 if square == 0 else 10 * math.log10(255**2 / square)


def store(options: argparse.Namespace) -> Iterator[Figure]:
    """Make files of every rate out of one store, and count what is dreamed."""
    from renderer.films.replay import encode_again

    with tempfile.TemporaryDirectory() as folder:
        name, settings, dreams = _film(options, options.films or Path(folder), options.looks[0], options.seeds[0])
        told: list[Event] = []
        for rate in options.rates:
            out = Path(folder) / f"{rate}.mp4"
            made = encode_again(dreams.directory, out, encode={"encode.fps": rate}, listener=told.append)
            assert made.rate == rate
            assert made.frames == round(settings.duration * rate)
        dreamed = sum(isinstance(event, FrameDone) for event in told)
        rates = ", ".join(map(str, options.rates))
        yield below(f"{name}: dreams for {rates} fps out of one store", dreamed, 0, form="{:.0f}")


def cost(options: argparse.Namespace) -> Iterator[Figure]:
    """Compare a film of 60 frames a second made of few dreams with one that is dreamed 60 times a second."""
    from renderer.films.make import make_film

    for network, limit in (("dreamnet", 0.40), ("inception_v3", 0.28)):
        if network not in options.networks:
            continue
        took = []
        for dreams in (options.dreams, 60):
            film = {"film.fps": 60, "film.dreams": dreams, "film.seconds": options.cost_seconds}
            settings = settings_for(network, options.shared, size=options.size, **film)
            began: list[float] = []

            def listen(event: Event, began: list[float] = began) -> None:
                if isinstance(event, FrameDone) and not began:
                    began.append(time.monotonic())  # Neither the start nor the first dream, which both films have.

            tell(f"shown cost: {network}, {dreams} dreams a second, {options.cost_seconds:g} s, {options.size}")
            with tempfile.TemporaryDirectory() as folder:
                make_film(ZoomFilm(settings=settings, out=Path(folder) / "film.mp4"), listener=listen)
            took.append(time.monotonic() - began[0])
        yield below(f"{network}: 60 fps of {options.dreams} dreams / of 60", took[0] / took[1], limit)


def add_options(parser: argparse.ArgumentParser) -> None:
    looks = ["default", "peacock", "retreat", "coral"]
    parser.add_argument("--looks", type=comma_separated, default=looks, help="presets; `default` for none")
    parser.add_argument("--seeds", type=_whole, default=[8, 3])
    parser.add_argument("--rates", type=_whole, default=[24, 25, 30, 60], help="frames a second")
    parser.add_argument("--dreams", type=int, default=12, help="dreams a second")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of the films")
    parser.add_argument("--films", type=Path, help="a folder in which they are kept, to be measured again")
    parser.add_argument("--size", type=Size.parse, default=Size(640, 360))
    parser.add_argument("--shutter-frames", type=int, default=8, help="how many frames of each film")
    parser.add_argument("--networks", type=comma_separated, default=["dreamnet", "inception_v3"], help="for `cost`")
    parser.add_argument("--cost-seconds", type=float, default=2.0, help="length of its films")


def _whole(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


BENCHMARK = Benchmark(
    name="shown",
    about="Measure how a zoom is shown at rates it was not dreamed at.",
    measurements={"beat": beat, "shutter": shutter, "store": store, "cost": cost},
    add_options=add_options,
    smallest={
        "looks": ["default"],
        "seeds": [8],
        "rates": [24],
        "seconds": 1.5,
        "size": Size(160, 96),
        "shutter_frames": 1,
        "networks": ["dreamnet"],
        "cost_seconds": 0.2,
    },
    quick=("beat", "shutter", "store", "cost"),
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
