"""Does the tone of a film hold, do its colours clip, do its hues change?"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.measure.measured import Line, MeasuredFilm, MeasuredFrame, Measurement

TONES = ("luma", "contrast", "saturation", "sharpness")
"""Measures of a frame's tone: what `tone_of` gives, in order."""

SAMPLES = 2000
"""Frames whose tone `drift` measures, spread over the film."""

FEWEST_SECONDS = 3
"""Below it nothing can be said of drift."""

HUES = 36
"""Bins of the hue histogram, 10 degrees each."""


def tone_of(frame: MeasuredFrame) -> tuple[float, float, float, float]:
    """Measure a frame's tone, all of values in [0, 1].

    Returns:
        Mean of luma; contrast, its standard deviation; saturation, the mean of (max - min) / max over R, G, B;
        sharpness, the variance of the Laplacian of luma (4 neighbours).
    """
    mean, deviation = cv2.meanStdDev(frame.luma)
    spread = cv2.divide(cv2.subtract(frame.high, frame.low), cv2.max(frame.high, 1), dtype=cv2.CV_32F)
    return float(mean[0, 0]), float(deviation[0, 0]), float(cv2.mean(spread)[0]), frame.sharpness


def tone(film: MeasuredFilm) -> Measurement:
    """Measure the tone: the median of each second, and how far it strays.

    How far a measure strays is the largest distance of a second, once the film has settled, from the median over all
    seconds, as a share of it.
    """
    values = array("d")
    count = 0
    while (frame := (yield)) is not None:
        values.extend(tone_of(frame))
        count += 1
    medians = medians_of_seconds(values, range(count), film)
    return {
        "settling_seconds": film.settling,
        "median": {name: float(np.median(series)) for name, series in medians.items()},
        "deviation": {name: stray(series, film.settling) for name, series in medians.items()},
        "per_second": medians,
    }


def medians_of_seconds(values: Sequence[float], indices: Sequence[int], film: MeasuredFilm) -> dict[str, list[float]]:
    """Return the median of each measure of tone in each second.

    Args:
        values: `tone_of` frames, one after another.
        indices: numbers of these frames.
        film: that they are of.
    """
    tones = np.asarray(values).reshape(-1, len(TONES))
    seconds = np.array([film.second(index) for index in indices])
    medians = np.array([np.median(tones[seconds == second], axis=0) for second in np.unique(seconds)])
    return {name: medians[:, place].tolist() for place, name in enumerate(TONES)}


def stray(medians: Sequence[float], settling: float) -> float:
    """Return the largest distance from the median, as a share of it, of seconds that begin after the settling."""
    middle = float(np.median(medians))
    settled = [value for second, value in enumerate(medians) if second >= settling - 1e-9] or medians
    return max(abs(value - middle) for value in settled) / max(abs(middle), 1e-9)


def tone_text(result: Mapping[str, Any]) -> list[str]:
    """Write what `tone` found."""
    series = result["per_second"]
    of_seconds = [
        f"{second:6}  " + "".join(f"{series[name][second]:12.4g}" for name in TONES)
        for second in range(len(series["luma"]))
    ]
    return [
        "",
        "second  " + "".join(f"{name:>12}" for name in TONES),
        *of_seconds,
        "median  " + "".join(f"{result['median'][name]:12.4g}" for name in TONES),
        "strays  " + "".join(f"{result['deviation'][name]:12.1%}" for name in TONES),
        f"        (medians of each second; strays: at most, after {result['settling_seconds']:.2g} s)",
        "",
    ]


def tone_plot(result: Mapping[str, Any], _rate: float) -> list[Line]:
    """Draw the medians; sharpness is on a scale of its own."""
    series = {name: values for name, values in result["per_second"].items() if name != "sharpness"}
    return [(name, [k + 0.5 for k in range(len(values))], values) for name, values in series.items()]


def drift(film: MeasuredFilm) -> Measurement:
    """Measure how far the tone strays, as `tone` does, at the worst of its measures, of some frames alone.

    Of a film with a source, what strays is its share of the source's tone: what happens in a video is no drift.
    """
    every = max(1, math.ceil(film.frames / SAMPLES))
    indices, of_film, of_source = [], array("d"), array("d")
    while (frame := (yield)) is not None:
        if frame.index % every == 0:
            indices.append(frame.index)
            of_film.extend(tone_of(frame))
            if frame.source is not None:
                of_source.extend(tone_of(frame.source))
    if film.seconds < FEWEST_SECONDS:
        return {"drift": None, "drifting": ""}
    medians = medians_of_seconds(of_film, indices, film)
    if film.source is not None:
        source = medians_of_seconds(of_source, indices, film)
        medians = {name: _shares(series, source[name]) for name, series in medians.items()}
    strays = {name: stray(series, film.settling) for name, series in medians.items()}
    worst = max(strays, key=strays.__getitem__)
    return {"drift": strays[worst], "drifting": worst}


def _shares(film: Sequence[float], source: Sequence[float]) -> list[float]:
    """Divide second by second; where the source fades out, a floor keeps nothing from being divided by nothing."""
    floor = 0.05 * float(np.median(source)) + 1e-6
    return [(of_film + floor) / (of_source + floor) for of_film, of_source in zip(film, source, strict=True)]


def clipped(_film: MeasuredFilm) -> Measurement:
    """Count the pixels of which a channel is 0 or 255, as a share of all."""
    shares = array("d")
    while (frame := (yield)) is not None:
        is_clipped = (frame.high == 255) | (frame.low == 0)
        shares.append(float(np.count_nonzero(is_clipped)) / is_clipped.size)
    return {"mean": float(np.mean(shares)), "largest": max(shares)}


def clipped_text(result: Mapping[str, Any]) -> list[str]:
    """Write what `clipped` found."""
    return [f"clipped pixels   {result['mean']:.2%} of the film, {result['largest']:.2%} of the worst frame"]


def hue_change(film: MeasuredFilm) -> Measurement:
    """Measure how much of the hue histogram of a second has moved a gap later: 0 nothing, 1 everything.

    Each pixel counts with its chroma, so that the hue of greys, which is noise, does not.
    """
    seconds: dict[int, NDArray[np.float64]] = {}
    while (frame := (yield)) is not None:
        hue = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2HSV)[..., 0]  # 0 to 179, in steps of two degrees
        chroma = (frame.high - frame.low).ravel()
        histogram = np.bincount(hue.ravel() // (180 // HUES), weights=chroma, minlength=HUES)
        second = film.second(frame.index)
        seconds[second] = seconds.get(second, np.zeros(HUES)) + histogram
    shares = [h / h.sum() if h.sum() > 0 else h for _, h in sorted(seconds.items())]
    apart = max(1, round(film.gap / film.rate))
    moved = [float(np.abs(b - a).sum() / 2) for a, b in zip(shares, shares[apart:], strict=False)]
    return {
        "gap_seconds": apart,
        "mean": float(np.mean(moved)) if moved else None,
        "smallest": min(moved) if moved else None,
        "per_second": moved,
    }


def hue_change_text(result: Mapping[str, Any]) -> list[str]:
    """Write what `hue_change` found."""
    if result["mean"] is None:
        return ["hue change       -  too short to tell"]
    share = f"{result['mean']:.1%} of the colours have another hue, {result['smallest']:.1%} at least"
    return [f"hue change       {share} ({result['gap_seconds']} s apart)"]
