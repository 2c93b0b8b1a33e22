"""Films as numbers: does the tone hold, do colours clip, does the film keep changing?

`measure_film` decodes any film, folder of pictures or work folder as a stream and shows every frame to each metric of
`METRICS` at the foot. A new metric is one class (see `measuring.Metric`) and one line there.
"""

from __future__ import annotations

import contextlib
import itertools
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.errors import BadInput, DreamreelError
from renderer.films.recipe import Recipe, parse_recipe
from renderer.films.render_setup import camera_of
from renderer.films.video import VideoFilm
from renderer.frame import Size
from renderer.measure.alone import Alone
from renderer.measure.lipsync import LipSync
from renderer.measure.measuring import Look, Metric, Subject
from renderer.measure.similarity import SelfSimilarity
from renderer.measure.steadiness import Crispness, Flicker, Steadiness
from renderer.media.ffmpeg.clips import Clip, open_clip
from renderer.media.ffmpeg.cuts import find_cuts
from renderer.media.recipe import read_recipe

HUES = 36
"""Bins of the hue histogram, 10 degrees each."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was measured of a film.

    Attributes:
        film: its path.
        subject: size, rate and number of frames that were really there.
        notes: what should be known, as sentences.
        metrics: name in `METRICS` -> its result, as JSON values.
    """

    film: Path
    subject: Subject
    notes: tuple[str, ...]
    metrics: Mapping[str, Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "film": str(self.film),
            "size": str(self.subject.size),
            "rate": str(self.subject.rate),
            "frames": self.subject.frames,
            "seconds": self.subject.seconds,
            "notes": list(self.notes),
            "metrics": {name: dict(result) for name, result in self.metrics.items()},
        }

    def lines(self) -> list[str]:
        """Write everything for people."""
        subject = self.subject
        what = f"{subject.size}, {float(subject.rate):g} fps, {subject.frames} frames, {subject.seconds:.3g} s"
        found = [line for name, result in self.metrics.items() for line in METRICS[name].lines(result)]
        return [f"{self.film}  {what}", *found]


def measure_film(
    path: Path,
    *,
    source: Path | None = None,
    alone: int = 0,
    names: Iterable[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Measure a film, frame by frame.

    Args:
        path: a film, an animated picture, a folder of pictures or a work folder.
        source: the video that it was made from; None leaves out what compares them.
        alone: how many frames of the source are dreamed alone, to compare the film with; needs its network.
        names: which of `METRICS`; None for all.
        progress: told how many frames of how many are done.

    Raises:
        BadInput: it cannot be read, or holds no frames.
        EnvironmentProblem: no usable ffmpeg.
    """
    clip = open_clip(path)
    recipe = _recipe(path, clip.meta)
    video = recipe is not None and recipe.kind == VideoFilm.kind
    # The recipe knows the rate exactly; the times in a GIF are rounded, a folder has none.
    rate = recipe.settings.rate if recipe and recipe.kind in ("zoom", "video") else clip.rate
    camera = None
    with contextlib.suppress(DreamreelError):
        camera = camera_of(recipe.settings) if recipe and recipe.kind == "zoom" else None
    # Beside its source, a dream fills the right half.
    beside = recipe is not None and video and recipe.settings.encode.compare and not clip.meta
    size = Size(clip.size.width // 2, clip.size.height) if beside else clip.size
    subject = Subject(size=size, rate=rate, frames=clip.count, camera=camera, path=path, alone=alone)
    original = None
    if source is not None:
        original, subject = _with_source(subject, source, recipe if video else None)
    wanted = METRICS if names is None else names
    metrics = {name: METRICS[name](subject) for name in wanted if original or not _needs_source(METRICS[name])}
    count = 0
    shown = itertools.repeat(None) if original is None else original.pixels()
    for pixels, behind in zip(clip.pixels(), shown, strict=False):
        look = Look(count, pixels[:, -size.width :], source=behind)
        for metric in metrics.values():
            metric.add(look)
        count += 1
        if progress is not None:
            progress(count, clip.count)
    if count == 0:
        raise BadInput(f"{path} holds no frames.")
    return Report(
        film=path,
        subject=replace(subject, frames=count),
        notes=_notes(path, count=count, expected=clip.count),
        metrics={name: metric.result() for name, metric in metrics.items()},
    )


def _needs_source(metric: type[Metric]) -> bool:
    return bool(getattr(metric, "needs_source", False))


def _with_source(subject: Subject, source: Path, recipe: Recipe | None) -> tuple[Clip, Subject]:
    """Open the frames of the source that a film shows, and tell the subject of them."""
    chosen = recipe.settings.video if recipe else None
    start, end = (chosen.start or None, chosen.end) if chosen else (None, None)
    clip = open_clip(source, start=start, end=end, rate=subject.rate, size=subject.size)
    cuts = recipe.facts["cuts"] if recipe and "cuts" in recipe.facts else find_cuts(clip)
    more = replace(
        subject,
        source=source,
        starts_at=clip.start,
        is_part=end is not None or subject.frames < clip.count,
        cuts=frozenset(cuts),
        settings=recipe.settings if recipe else None,
    )
    return clip, more


def _recipe(path: Path, meta: Mapping[str, Any]) -> Recipe | None:
    """Read the recipe that a film was made by; None where it does not say."""
    try:
        return parse_recipe(meta or read_recipe(path), source=path)
    except DreamreelError:
        return None


def _notes(path: Path, *, count: int, expected: int) -> tuple[str, ...]:
    if count >= expected:
        return ()
    return (f"{path} is damaged: {count} of its {expected} frames could be decoded.",)


class Tone:
    """Mean luma, contrast, saturation and sharpness: the median of each second, and how far it strays.

    Contrast is the standard deviation of luma, saturation the mean of (max - min) / max over R, G, B, sharpness the
    variance of the Laplacian of luma (4 neighbours). All are of values in [0, 1]. How far a measure strays is the
    largest distance of a second, once the film has settled, from the median over all seconds, as a share of it.
    """

    NAMES = ("luma", "contrast", "saturation", "sharpness")

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._values = {name: array("d") for name in self.NAMES}

    def add(self, look: Look) -> None:
        mean, deviation = cv2.meanStdDev(look.luma)
        spread = cv2.divide(cv2.subtract(look.high, look.low), cv2.max(look.high, 1), dtype=cv2.CV_32F)
        _, edges = cv2.meanStdDev(cv2.Laplacian(look.luma, cv2.CV_32F))
        found = (mean[0, 0], deviation[0, 0], cv2.mean(spread)[0], edges[0, 0] ** 2)
        for name, value in zip(self.NAMES, found, strict=True):
            self._values[name].append(float(value))

    def result(self) -> dict[str, Any]:
        seconds = [self.subject.second(index) for index in range(len(self._values["luma"]))]
        settled = self.subject.settling
        medians = {name: _medians(values, seconds) for name, values in self._values.items()}
        middle = {name: float(np.median(values)) for name, values in medians.items()}
        return {
            "settling_seconds": settled,
            "median": middle,
            "deviation": {name: _stray(medians[name], middle[name], settled) for name in self.NAMES},
            "per_second": medians,
        }

    def strays(self, source: Tone | None = None) -> dict[str, float]:
        """Return how far each measure strays; of a film with a source, how far its share of the source's does."""
        found = self.result()
        if source is None:
            return dict(found["deviation"])
        held, others = found["per_second"], source.result()["per_second"]
        shares = {name: _shares(held[name], others[name]) for name in self.NAMES}
        settled = self.subject.settling
        return {name: _stray(values, float(np.median(values)), settled) for name, values in shares.items()}

    @staticmethod
    def lines(result: Mapping[str, Any]) -> list[str]:
        series = result["per_second"]
        of_seconds = [
            f"{second:6}  " + "".join(f"{series[name][second]:12.4g}" for name in Tone.NAMES)
            for second in range(len(series["luma"]))
        ]
        return [
            "",
            "second  " + "".join(f"{name:>12}" for name in Tone.NAMES),
            *of_seconds,
            "median  " + "".join(f"{result['median'][name]:12.4g}" for name in Tone.NAMES),
            "strays  " + "".join(f"{result['deviation'][name]:12.1%}" for name in Tone.NAMES),
            f"        (medians of each second; strays: at most, after {result['settling_seconds']:.2g} s)",
            "",
        ]


class Clipped:
    """Pixels of which a channel is 0 or 255, as a share of all."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._shares = array("d")

    def add(self, look: Look) -> None:
        clipped = (look.high == 255) | (look.low == 0)
        self._shares.append(float(np.count_nonzero(clipped)) / clipped.size)

    def result(self) -> dict[str, Any]:
        return {"mean": float(np.mean(self._shares)), "largest": max(self._shares)}

    @staticmethod
    def lines(result: Mapping[str, Any]) -> list[str]:
        return [f"clipped pixels   {result['mean']:.2%} of the film, {result['largest']:.2%} of the worst frame"]


class HueChange:
    """How much of the hue histogram of a second has moved a gap later: 0 nothing, 1 everything.

    Each pixel counts with its chroma, so that the hue of greys, which is noise, does not.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._seconds: dict[int, NDArray[np.float64]] = {}

    def add(self, look: Look) -> None:
        hue = cv2.cvtColor(look.pixels, cv2.COLOR_RGB2HSV)[..., 0]  # 0 to 179, in steps of two degrees
        chroma = (look.high - look.low).ravel()
        counted = np.bincount(hue.ravel() // (180 // HUES), weights=chroma, minlength=HUES)
        second = self.subject.second(look.index)
        self._seconds[second] = self._seconds.get(second, np.zeros(HUES)) + counted

    def result(self) -> dict[str, Any]:
        shares = [h / h.sum() if h.sum() > 0 else h for _, h in sorted(self._seconds.items())]
        apart = max(1, round(self.subject.gap / self.subject.rate))
        moved = [float(np.abs(b - a).sum() / 2) for a, b in zip(shares, shares[apart:], strict=False)]
        return {
            "gap_seconds": apart,
            "mean": float(np.mean(moved)) if moved else None,
            "smallest": min(moved) if moved else None,
            "per_second": moved,
        }

    @staticmethod
    def lines(result: Mapping[str, Any]) -> list[str]:
        if result["mean"] is None:
            return ["hue change       -  too short to tell"]
        found = f"{result['mean']:.1%} of the colours have another hue, {result['smallest']:.1%} at least"
        return [f"hue change       {found} ({result['gap_seconds']} s apart)"]


def _medians(values: array[float], seconds: list[int]) -> list[float]:
    found = np.asarray(values)
    places = np.asarray(seconds)
    return [float(np.median(found[places == second])) for second in sorted(set(seconds))]


def _shares(film: list[float], source: list[float]) -> list[float]:
    """Divide second by second; where the source fades out, a floor keeps nothing from being divided by nothing."""
    floor = 0.05 * float(np.median(source)) + 1e-6
    return [(of_film + floor) / (of_source + floor) for of_film, of_source in zip(film, source, strict=False)]


def _stray(medians: list[float], middle: float, settling: float) -> float:
    """Return the largest distance from `middle`, as a share of it, of seconds that begin after the settling."""
    settled = [value for second, value in enumerate(medians) if second >= settling - 1e-9] or medians
    return max(abs(value - middle) for value in settled) / max(abs(middle), 1e-9)


METRICS: dict[str, type[Metric]] = {
    "tone": Tone,
    "clipped": Clipped,
    "hue_change": HueChange,
    "self_similarity": SelfSimilarity,
    "steadiness": Steadiness,
    "flicker": Flicker,
    "crispness": Crispness,
    "alone": Alone,
    "lip_sync": LipSync,
}
