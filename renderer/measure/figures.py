"""A few figures of a finished film, cheaply: it is read once, small. `metrics` measures with care, at full size."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from renderer.errors import DreamreelError, Interrupted
from renderer.films.recipe import Recipe, find_input
from renderer.films.render_setup import camera_of
from renderer.frame import Pixels, Size, from_8bit
from renderer.measure.measuring import Look, Subject
from renderer.measure.metrics import Tone
from renderer.measure.steadiness import warping_error
from renderer.media.ffmpeg.clips import Clip, open_clip
from renderer.motion.camera import Camera
from renderer.motion.flow import consistent, estimator, grey, inside, steep

LONGEST_SIDE = 256
"""Of the frames that are looked at, pixels."""

PAIRS = 120
"""Neighbours that are compared, spread over the film; all where it has fewer."""

TONES = 2000
"""Frames whose tone is measured, spread over the film."""

FEWEST_SECONDS = 3
"""Below it nothing can be said of drift."""

Flow = NDArray[np.float32]
Motion = Callable[[int, Pixels, Pixels], tuple[Flow, NDArray[np.bool_]] | None]
"""(number of the later frame, source before, source now) -> flow from the earlier to the later, and where it counts."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured of a film; None where that cannot be known.

    Attributes:
        drift: how far its tone strays from its usual one once it has settled, as a share of it; the tone of a video is
            taken against that of its source.
        drifting: which measure of tone strays that far: "luma", "contrast", "saturation" or "sharpness".
        unrest: how far a pixel differs from the one that the motion brings there in the next frame: root mean square,
            levels of 255. 0 is a film in which nothing changes but by the motion.
        source_unrest: the same of the video that it was dreamed over.
    """

    drift: float | None = None
    drifting: str = ""
    unrest: float | None = None
    source_unrest: float | None = None


def measure_briefly(
    path: Path, recipe: Recipe, *, source: Path | None = None, should_stop: Callable[[], bool] = lambda: False
) -> Figures:
    """Measure a zoom or a video at a small size.

    Args:
        path: the film.
        recipe: that it was made by.
        source: the video that it was dreamed over; left out if its content is another by now.
        should_stop: asked after each frame.

    Raises:
        BadInput: it cannot be read.
        Interrupted: it was stopped.

    Source: the warping error of Lai et al. 2018, "Learning blind video temporal consistency", equation 6. Where the
    camera of a zoom is known, its motion is taken in place of the optical flow.
    """
    clip = open_clip(path)
    beside = recipe.kind == "video" and recipe.settings.encode.compare
    size = _small(Size(clip.size.width // 2, clip.size.height) if beside else clip.size)
    # The recipe knows the rate exactly; but a GIF of more than 50 frames a second is thinned out.
    rate = recipe.settings.rate if recipe.settings.frame_count == clip.count else clip.rate
    original = _source(recipe, source, film=path, size=size, rate=rate)
    motion = _motion(recipe, original, size=size, rate=float(rate))
    every = max(1, math.ceil(clip.count / TONES))
    subject = Subject(size=size, rate=rate / every, frames=math.ceil(clip.count / every))
    tone, behind_it = Tone(subject), None if original is None else Tone(subject)
    pairs = _Pairs(motion, every=max(1, math.ceil((clip.count - 1) / PAIRS)))
    shown = clip.scaled(Size(2 * size.width, size.height) if beside else size)
    with contextlib.closing(_together(shown, original)) as frames:
        for index, (pixels, behind) in enumerate(frames):
            if should_stop():
                raise Interrupted("Stopped while measuring.")
            film = np.ascontiguousarray(pixels[:, -size.width :])
            if index % every == 0:
                tone.add(Look(index // every, film))
                if behind_it is not None and behind is not None:
                    behind_it.add(Look(index // every, behind))
            pairs.add(index, film, film if behind is None else behind)
    # What happens in a video is no drift: without its source nothing can be said.
    drift, drifting = (None, "") if recipe.kind == "video" and behind_it is None else _drift(tone, behind_it)
    unrest, of_source = pairs.unrest()
    return Figures(drift=drift, drifting=drifting, unrest=unrest, source_unrest=None if original is None else of_source)


class _Pairs:
    """Compares neighbours, the motion between them taken out."""

    def __init__(self, motion: Motion | None, *, every: int) -> None:
        self._motion, self._every = motion, every
        self._last: tuple[Pixels, Pixels] | None = None
        self._found: list[tuple[float, float]] = []

    def add(self, index: int, film: Pixels, source: Pixels) -> None:
        """See the next frame, and the source's."""
        if self._motion is None:
            return
        if self._last is not None and index % self._every == 0:
            self._compare(self._motion, index, self._last, (film, source))
        self._last = (film, source)

    def _compare(self, motion: Motion, index: int, before: tuple[Pixels, Pixels], now: tuple[Pixels, Pixels]) -> None:
        if (way := motion(index, before[1], now[1])) is None:
            return
        film, source = (warping_error(a, b, *way) for a, b in zip(before, now, strict=True))
        if film is not None and source is not None:
            self._found.append((film, source))

    def unrest(self) -> tuple[float, float] | tuple[None, None]:
        """Return the root mean square differences of film and source, levels of 255."""
        if not self._found:
            return None, None
        film, source = (255 * math.sqrt(mean) for mean in np.mean(self._found, axis=0))
        return film, source


def _small(size: Size) -> Size:
    share = min(1.0, LONGEST_SIDE / max(size))
    return Size(max(1, round(size.width * share)), max(1, round(size.height * share)))


def _together(clip: Clip, source: Clip | None) -> Generator[tuple[Pixels, Pixels | None], None, None]:
    with contextlib.ExitStack() as stack:
        film = stack.enter_context(contextlib.closing(_pixels(clip)))
        behind = None if source is None else stack.enter_context(contextlib.closing(_pixels(source)))
        for pixels in film:
            there = None if behind is None else next(behind, None)
            if behind is not None and there is None:
                return
            yield pixels, there


def _pixels(clip: Clip) -> Generator[Pixels, None, None]:
    yield from clip.pixels()


def _source(recipe: Recipe, source: Path | None, *, film: Path, size: Size, rate: Fraction) -> Clip | None:
    """Open the frames of the source that the film shows; None if they are not to be had."""
    if recipe.kind != "video" or source is None:
        return None
    part = recipe.settings.video
    try:
        find_input(source, recorded=source, sha256=recipe.hashes.get("clip"), film=film, what="clip")
        return open_clip(source, start=part.start or None, end=part.end, rate=rate, size=size)
    except DreamreelError:
        return None


def _motion(recipe: Recipe, source: Clip | None, *, size: Size, rate: float) -> Motion | None:
    """Choose what tells the motion from a frame to the next: the camera of a zoom, the flow of a source."""
    if recipe.kind == "zoom":
        with contextlib.suppress(DreamreelError):
            return _by_camera(camera_of(recipe.settings), size=size, rate=rate)
    return None if source is None else _by_flow(frozenset(recipe.facts.get("cuts", ())))


def _by_camera(camera: Camera, *, size: Size, rate: float) -> Motion:
    columns, rows = np.meshgrid(np.arange(size.width, dtype=np.float64), np.arange(size.height, dtype=np.float64))
    places = np.stack([columns, rows, np.ones_like(rows)])

    def motion(index: int, _before: Pixels, _now: Pixels) -> tuple[Flow, NDArray[np.bool_]]:
        way = camera.matrix(index / rate, (index - 1) / rate, size=size)
        x, y, w = np.einsum("ij,jhw->ihw", way, places)
        w = np.where(w > 0, w, np.nan)
        flow = np.nan_to_num(np.dstack([x / w - columns, y / w - rows]), nan=1e6).astype(np.float32)
        return flow, inside(flow)

    return motion


def _by_flow(cuts: frozenset[int]) -> Motion:
    flow_of = estimator("judge")

    def motion(index: int, before: Pixels, now: Pixels) -> tuple[Flow, NDArray[np.bool_]] | None:
        if index in cuts:
            return None
        a, b = grey(from_8bit(before)), grey(from_8bit(now))
        there, back = flow_of(a, b), flow_of(b, a)
        return there, consistent(there, back) & ~steep(there)

    return motion


def _drift(tone: Tone, source: Tone | None) -> tuple[float | None, str]:
    if tone.subject.seconds < FEWEST_SECONDS:
        return None, ""
    strays = tone.strays(source)
    worst = max(strays, key=strays.__getitem__)
    return float(strays[worst]), worst
