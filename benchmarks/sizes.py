"""Measure whether a film is the same at another size: `python -m benchmarks.sizes`. See README.md here."""

from __future__ import annotations

import argparse
import itertools
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.tools import Benchmark, Figure, Kept, at_least, below, comma_separated, tell, told
from renderer.frame import Pixels, Size
from renderer.settings.kinds import KINDS, REFERENCE
from renderer.settings.presets import resolve
from renderer.settings.schema import Settings

LUMA = np.array([0.2126, 0.7152, 0.0722])
SMALL = Size(160, 90)
"""At which films of several sizes are compared."""

HALF_OCTAVE = 2**0.5


def settings_of(size: Size, *, look: str | None, seed: int | None, seconds: float) -> Settings:
    """Return the settings of a zoom as the command makes them."""
    sets = [f"film.size={size}", f"film.seconds={seconds}", *([] if seed is None else [f"seed={seed}"])]
    return resolve(presets=[look] if look else [], sets=sets, defaults=KINDS["zoom"].defaults, command="zoom").settings


def dreams(settings: Settings) -> tuple[list[Pixels], list[float]]:
    """Dream a zoom from noise; return its dreams at the size of its frames, and the seconds that each took."""
    from renderer.films.film import ZoomFilm
    from renderer.render.recurrence import render

    setup, kept = ZoomFilm(settings=settings, out=Path("film.mp4")).render_setup({}), Kept(settings.film.size)
    seconds: list[float] = []
    render(
        setup.scene,
        setup.dreamer,
        kept,
        governor=setup.governor,
        frames=settings.dream_count,
        rate=settings.dream_rate,
        report=lambda frame: seconds.append(frame.seconds),
        size=settings.dream_size,
        detail=setup.detail,
    )
    return kept.frames, seconds


def luma_of(frame: Pixels) -> NDArray[np.float64]:
    return np.asarray(frame @ LUMA / 255, np.float64)


def agreement(first: Sequence[Pixels], second: Sequence[Pixels]) -> float:
    """Return the mean correlation of luma, frame by frame, at 160x90."""
    found = []
    for one, other in zip(first, second, strict=True):
        small = [
            cv2.resize(luma_of(frame), tuple(SMALL), interpolation=cv2.INTER_AREA).ravel() for frame in (one, other)
        ]
        found.append(float(np.corrcoef(*small)[0, 1]))
    return statistics.fmean(found)


def power(frame: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return of each wave of luma, under a Hann window, its cycles a frame height and its power."""
    luma = luma_of(frame)
    height, width = luma.shape
    window = np.hanning(height)[:, None] * np.hanning(width)
    found = np.abs(np.fft.rfft2((luma - luma.mean()) * window)) ** 2 / (height * width) ** 2
    found[:, 1:] *= 2  # The other half of the plane has as much.
    down, across = np.fft.fftfreq(height) * height, np.fft.rfftfreq(width) * height
    return np.hypot(down[:, None], across), found


def spectrum(frames: Sequence[Pixels], *, top: float) -> dict[float, float]:
    """Return decibels by band, half an octave each, from 2 cycles a frame height up to `top`; mean over frames."""
    edges = list(itertools.takewhile(lambda edge: edge < 1.01 * top, (2 * HALF_OCTAVE**k for k in range(99))))
    powers = [power(frame) for frame in frames]
    return {
        low: 10 * np.log10(statistics.fmean(p[(f >= low) & (f < high)].sum() for f, p in powers))
        for low, high in itertools.pairwise(edges)
    }


def slope(frame: Pixels, low: float, high: float) -> float:
    """Return the power of frequency that amplitudes go with between two frequencies, cycles a frame height."""
    frequency, found = power(frame)
    edges = np.geomspace(low, high, 9)
    middles = np.log(np.sqrt(edges[1:] * edges[:-1]))
    strengths = [0.5 * np.log(found[(frequency >= a) & (frequency < b)].mean()) for a, b in itertools.pairwise(edges)]
    return float(np.polyfit(middles, strengths, 1)[0])


def same(options: argparse.Namespace) -> Iterator[Figure]:
    """Dream films at several sizes and compare them: luma, spectra, and the detail of the largest."""
    yield from _compared(options, [None], options.seeds, asked=0.92)


def looks(options: argparse.Namespace) -> Iterator[Figure]:
    """Do the same for looks, one seed each: their own."""
    yield from _compared(options, options.looks, [None], asked=0.85)


def _compared(
    options: argparse.Namespace, chosen: Sequence[str | None], seeds: Sequence[int | None], *, asked: float
) -> Iterator[Figure]:
    for look, seed in itertools.product(chosen, seeds):
        films = {}
        for size in options.sizes:
            name = " ".join(str(part) for part in (look or "default", "" if seed is None else f"seed {seed}") if part)
            tell(f"{name}, {size}")
            films[size], _ = dreams(settings_of(size, look=look, seed=seed, seconds=options.seconds))
            if options.keep:
                _keep(films[size], Path(options.keep), f"{name} {size}")
        usual = films[options.sizes[len(options.sizes) > 1]]
        least = min(agreement(usual, film) for film in films.values())
        yield at_least(f"{name}: correlation of luma, sizes", least, asked)
        yield below(f"{name}: spectra of two sizes, dB apart", _apart(films), 1.0)
        largest = films[max(films)]
        height = largest[0].shape[0]
        slopes = [slope(frame, height / 4, height / 2) for frame in largest[len(largest) // 4 :]]
        mean = statistics.fmean(slopes)
        good = -1.8 <= mean <= -1.0
        yield Figure(f"{name}: slope of the top octave, {max(films)}", "-1.8 to -1.0", f"{mean:.2f}", good)
        if height > 2 * REFERENCE:
            yield told(f"{name}: slope at {REFERENCE} lines", f"{_around(largest[-1], REFERENCE / 2):.2f}")


def _around(frame: Pixels, at: float) -> float:
    return slope(frame, at / HALF_OCTAVE, at * HALF_OCTAVE)


def _apart(films: dict[Size, list[Pixels]]) -> float:
    """Return how far the spectra of any two films are apart, decibels, up to half of the smaller one's finest waves."""
    most = 0.0
    for one, other in itertools.combinations(films.values(), 2):
        top = min(film[0].shape[0] for film in (one, other)) / 4
        found = [spectrum(film[len(film) // 4 :: 4], top=top) for film in (one, other)]
        most = max(most, *(abs(found[0][band] - found[1][band]) for band in found[0]))
    return most


def _keep(film: Sequence[Pixels], folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name.replace(' ', '-')}.png"), film[-1][..., ::-1])


def cost(options: argparse.Namespace) -> Iterator[Figure]:
    """Time dreams of the smallest and the largest size in turns, and say what the process took at most."""
    small, large = Size(640, 360), max(options.sizes)
    times: dict[Size, list[float]] = {small: [], large: []}
    for round_ in range(options.rounds + 1):
        for size in times:
            tell(f"cost: round {round_} of {options.rounds}, {size}")
            _, found = dreams(settings_of(size, look=None, seed=None, seconds=options.cost_seconds))
            if round_:  # The first is to warm up.
                times[size] += found[1:]
    ratio = statistics.fmean(times[large]) / statistics.fmean(times[small])
    yield below(f"a dream of {large} / one of {small}", ratio, 3.5)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    yield below(f"memory at most, {large}, GB", taken / 1e9, 2.0)


def second(options: argparse.Namespace) -> Iterator[Figure]:
    """Time a second of the large film at 60 frames a second against one of the usual film, files and all."""
    import tempfile

    from benchmarks.tools import Command

    took = {}
    with tempfile.TemporaryDirectory() as folder:
        for size, fps in ((Size(640, 360), 24), (max(options.sizes), 60)):
            for seconds in (1, 1 + options.cost_seconds):  # What a start costs is in both.
                tell(f"second: {size}, {fps} fps, {seconds} s")
                out = f"{folder}/{size}-{seconds}.mp4"
                began = time.monotonic()
                with Command(
                    "zoom", "-o", out, "--size", str(size), "--fps", str(fps), "--seconds", str(seconds)
                ) as run:
                    run.finish()
                took[size, seconds] = time.monotonic() - began
    sizes = sorted({size for size, _ in took})
    small, large = (took[size, 1 + options.cost_seconds] - took[size, 1] for size in sizes)
    yield below(f"a second of {sizes[1]}, 60 fps / of {sizes[0]}, 24 fps", large / small, 6.0)


def _options(parser: argparse.ArgumentParser) -> None:
    def sizes(text: str) -> list[Size]:
        return [Size.parse(part) for part in comma_separated(text)]

    usual: Any = sizes("320x180,640x360,1280x720,1920x1080")
    parser.add_argument("--sizes", type=sizes, default=usual, help="compared with the second of them")
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[8, 1, 2, 3, 4])
    parser.add_argument("--looks", type=comma_separated, default=list(_zooms()))
    parser.add_argument("--seconds", type=float, default=4.0, help="of the films that are compared")
    parser.add_argument("--cost-seconds", type=float, default=1.0, help="of the films that are timed")
    parser.add_argument("--rounds", type=int, default=2, help="of timing")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the last frame of every film there")


def _zooms() -> Iterator[str]:
    """List the looks for zooms that are dreamed at a reference by the bundled network."""
    from renderer.settings.presets import load_preset, preset_files

    for name in preset_files():
        preset = load_preset(name)
        chosen = resolve(presets=[name], defaults=KINDS["zoom"].defaults).settings
        if "zoom" in preset.commands and chosen.dream.reference != "frame" and chosen.network.name == "dreamnet":
            yield name


BENCHMARK = Benchmark(
    name="sizes",
    about=__doc__ or "",
    measurements={"same": same, "looks": looks, "cost": cost, "second": second},
    add_options=_options,
    smallest={
        "sizes": [Size(64, 36), Size(96, 54)],
        "seeds": [8],
        "looks": [],
        "seconds": 0.3,
        "cost_seconds": 0.2,
        "rounds": 1,
    },
    quick=("same",),
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
