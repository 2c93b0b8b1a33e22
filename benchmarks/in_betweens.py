"""Measure videos of which not every frame is dreamed: `python -m benchmarks.in_betweens`. See README.md here."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tools import (
    ROOT,
    Benchmark,
    Figure,
    Kept,
    at_least,
    below,
    comma_separated,
    network_flags,
    tell,
    told,
)
from renderer.events import FrameDone
from renderer.frame import Size, from_8bit

WARM = 7
"""Frames at the beginning of which nothing is timed: a full dream, and what is compiled."""


@dataclass(frozen=True)
class Measured:
    """Means over the frames of a film: warping error, activation, seconds a frame; and each frame's sharpness."""

    error: float
    activation: float
    seconds: float
    sharpness: list[float]


def video(options: argparse.Namespace) -> Iterator[Figure]:
    """Dream over clips at each frame and at every so manieth, and compare."""
    for network, clip in itertools.product(options.networks, _clips(options)):
        whole, part = (_measured(options, network, clip, every) for every in (1, options.every))
        name = f"{network}, {clip.stem}"
        yield below(f"{name}: warping error, part of every frame's", part.error / whole.error, 1.0)
        yield at_least(f"{name}: activation, part of every frame's", part.activation / whole.activation, 0.9)
        yield below(f"{name}: time, part of every frame's", part.seconds / whole.seconds, 0.5)
        dreamed = [value for place, value in enumerate(part.sharpness) if place % options.every == 0]
        between = [value for place, value in enumerate(part.sharpness[:-1]) if place % options.every]
        yield told(f"{name}: sharpness between, part of dreamed", f"{np.mean(between) / np.mean(dreamed[1:]):.3f}")


def _measured(options: argparse.Namespace, network: str, clip: Path, every: int) -> Measured:
    """Render the first frames of a clip, with the real decoder and flow, and measure them."""
    from renderer.films.video import VideoFilm
    from renderer.measure.measured import MeasuredFrame
    from renderer.measure.similarity import flow_finder, warping_error
    from renderer.media.ffmpeg.clips import open_clip
    from renderer.render.recurrence import render
    from renderer.settings.kinds import KINDS
    from renderer.settings.schema import build

    opened = open_clip(clip)
    flags = list(network_flags(network, options.shared))
    keys = {"--network": "network.name", "--weights": "network.weights", "--layers": "dream.layers"}
    given: dict[str, Any] = {keys[flag]: value for flag, value in zip(flags[::2], flags[1::2], strict=True)}
    given |= {"film.fps": str(opened.rate), "film.frames": min(opened.count, options.frames)}
    given |= {"film.size": str(_size(opened.size, options.width)), "film.dreams": str(Fraction(opened.rate) / every)}
    settings = build({**KINDS["video"].defaults, **given})
    film = VideoFilm(settings=settings, out=Path("none.mp4"), clip=clip)
    tell(f"{network}, {clip.name}: {settings.frame_count} frames of {settings.film.size}, one of {every} dreamed")
    parts, store, times = film.render_setup({"cuts": []}), Kept(settings.film.size), list[float]()

    def report(frame: FrameDone) -> None:
        times.append(frame.seconds)

    count, rate = settings.frame_count, settings.rate
    steady = {"governor": parts.governor, "start": parts.start}
    render(parts.scene, parts.dreamer, store, frames=count, rate=rate, report=report, **steady)
    parts.close()
    sources = list(itertools.islice((pixels.copy() for pixels in film.footage().pixels()), count))
    find, pairs = flow_finder(), range(1, count)
    errors = [warping_error(*store.frames[k - 1 : k + 1], *find(*sources[k - 1 : k + 1])) for k in pairs]
    chosen = range(WARM - 1, count, 4)  # dreamed frames and others, as they come
    values = [
        parts.dreamer.value(from_8bit(store.frames[k]), seconds=float(k / rate), source=from_8bit(sources[k]))
        for k in chosen
    ]
    return Measured(
        error=float(np.mean([error for error in errors if error is not None])),
        activation=float(np.mean(values)),
        seconds=float(np.mean(times[WARM:])),
        sharpness=[MeasuredFrame(k, pixels).sharpness for k, pixels in enumerate(store.frames)],
    )


def _size(size: Size, width: int) -> Size:
    return Size(width, 2 * round(width * size.height / size.width / 2))


def _clips(options: argparse.Namespace) -> list[Path]:
    folder = options.shared / "data" / "clips"
    clips = [ROOT / name if "/" in name else folder / f"{name}.mp4" for name in options.clips]
    for clip in clips:
        if not clip.is_file():
            raise SystemExit(f"{clip} is not there: say with --shared where the folder with real data is")
    return clips


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--networks", type=comma_separated, default=["dreamnet", "inception_v3"])
    parser.add_argument(
        "--clips",
        type=comma_separated,
        default=["cockatoo", "fox", "fire2", "video", "chaplin"],
        help="names in the folder of real data, or paths in this one",
    )
    parser.add_argument("--every", type=int, default=3, help="which frames are dreamed: each second, third ...")
    parser.add_argument("--frames", type=int, default=37, help="of each clip")
    parser.add_argument("--width", type=int, default=480, help="of the films")


BENCHMARK = Benchmark(
    name="in_betweens",
    about="Measure videos of which not every frame is dreamed against those of which each is.",
    measurements={"video": video},
    add_options=add_options,
    smallest={"networks": ["dreamnet"], "clips": ["samples/clip.mp4"], "frames": 10, "width": 96},
    quick=("video",),
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
