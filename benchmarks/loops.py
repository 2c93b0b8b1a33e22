"""Measure the figures of films that come round: `python -m benchmarks.loops CAMERA ...`. See README.md here."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from benchmarks.tools import Benchmark, Figure, Kept, below, tell, told
from renderer.frame import Pixels

CAMERAS: dict[str, tuple[str, ...]] = {
    "zoom": (),
    "still": ("camera.zoom=1", "camera.wander=0"),
    "out": ("camera.zoom=0.75", "camera.rotate=8"),
    "pan": ("camera.zoom=1", "camera.wander=0", "camera.pan_x=0.25"),
    "uneven": ('camera.zoom={"0s" = 1.2, "100%" = 1.8}', "camera.rotate=20*sin(t)"),
}
"""How the camera moves -> settings."""


def loop(camera: str, options: argparse.Namespace) -> Iterator[Figure]:
    """Make a loop and a frame more, and measure how it comes round."""
    from renderer.films.film import ZoomFilm
    from renderer.render.recurrence import render
    from renderer.settings.presets import resolve

    sets = [f"film.size={options.size}", f"film.fps={options.fps}", f"film.seconds={options.seconds}", *options.set]
    presets = [options.preset] if options.preset else []
    settings = resolve(presets=presets, sets=[*sets, *CAMERAS[camera], "film.loop=true"]).settings
    parts = ZoomFilm(settings=settings, out=Path("loop.mp4"), picture=options.image).render_setup({})
    loop = parts.scene.loop
    assert loop is not None
    tell(f"{camera}: {loop.frames} frames, the last {loop.seam} led into the first, {loop.run_up} before it")
    kept = Kept(settings.film.size)
    render(
        parts.scene,
        parts.dreamer,
        kept,
        governor=parts.governor,
        frames=loop.frames + 1,
        rate=loop.rate,
        report=lambda _: None,
    )
    *frames, after = kept.frames
    if options.keep:
        _keep(frames, loop.seam, Path(options.keep), camera)
    yield from measure(camera, frames, after=after, seam=loop.seam)


def measure(name: str, frames: list[Pixels], *, after: Pixels, seam: int) -> Iterator[Figure]:
    """Measure a loop.

    Args:
        name: of it.
        frames: uint8 `(H, W, 3)`.
        after: what would follow the last frame if the film went on.
        seam: how many frames at the end are led into the beginning.
    """
    steps = np.array([_apart(a, b) for a, b in zip(frames, [*frames[1:], frames[0]], strict=True)])
    usual = float(steps[:-1].mean())
    yield below(f"{name}: first frame from what follows the last", _apart(after, frames[0]) / usual, 1.5)
    yield below(f"{name}: first frame from the last, as it is shown", float(steps[-1]) / usual, 1.5)
    begin = len(frames) - seam
    body, within = steps[: begin - 1], steps[begin - 1 :]
    yield below(f"{name}: largest step in the seam, of the mean elsewhere", float(within.max() / body.mean()), 1.5)
    yield told(f"{name}: largest step elsewhere, of the mean there", f"{body.max() / body.mean():.2f}")
    yield told(f"{name}: smallest step in the seam", f"{within.min() / body.mean():.2f}")
    for what, of in (("sharpness", sharpness), ("contrast", contrast)):
        values = np.array([of(frame) for frame in frames])
        least = float(values[begin:].min() / values[:begin].mean())
        elsewhere = values[:begin].min() / values[:begin].mean()
        text = f"{name}: least {what} in the seam, of the mean elsewhere"
        yield Figure(text, "at least 0.80", f"{least:.2f}, elsewhere {elsewhere:.2f}", least >= 0.8)


def sharpness(frame: Pixels) -> float:
    """Return the standard deviation of the Laplacian of a frame's brightness."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).std())


def contrast(frame: Pixels) -> float:
    """Return the standard deviation of a frame's brightness."""
    return float(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).std())


def _apart(a: Pixels, b: Pixels) -> float:
    return float(cv2.absdiff(a, b).mean())


def _keep(frames: list[Pixels], seam: int, folder: Path, camera: str) -> None:
    """Write the loop, and a sheet of frames around its seam, to look at."""
    from renderer.media.images import write_image

    folder.mkdir(parents=True, exist_ok=True)
    shown = np.linspace(len(frames) - seam - 1, len(frames), 12).round().astype(int)
    tiles = [frames[k % len(frames)] for k in shown]
    rows = [np.hstack(tiles[k : k + 4]) for k in range(0, 12, 4)]
    write_image(np.vstack(rows).astype(np.uint8), folder / f"{camera}.png", overwrite=True)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=6.0, help="length of the loops")
    parser.add_argument("--size", default="320x180")
    parser.add_argument("--fps", default="24")
    parser.add_argument("--preset", help="a look instead of the default")
    parser.add_argument("--image", type=Path, help="a picture to begin with, instead of noise")
    parser.add_argument("--set", action="append", default=[], help="any setting, like film.seam=1")
    parser.add_argument("--keep", help="a folder for sheets of the frames around the seam")


BENCHMARK = Benchmark(
    name="loops",
    about="Measure the figures of films that come round, one camera after another.",
    measurements={camera: functools.partial(loop, camera) for camera in CAMERAS},
    add_options=add_options,
    smallest={"seconds": 1.0, "size": "160x96", "fps": "6", "set": ["film.seam=0.5", "film.run_up=0.3"]},
    quick=("uneven",),
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
