"""A dreamed video against the video it was made from: is it as steady and as sharp, does it flicker, does sound fit?

And against frames dreamed alone: what does a carried dream reach?
"""

from __future__ import annotations

import re
from array import array
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.errors import DreamreelError
from renderer.films.render_setup import open_dreamer
from renderer.frame import from_8bit, to_8bit
from renderer.measure.measured import Line, MeasuredFilm, MeasuredFrame, Measurement
from renderer.measure.similarity import flow_finder, warping_error
from renderer.media.ffmpeg.pipes import FfmpegFailed, file_url, run
from renderer.media.ffmpeg.probe import INPUT

if TYPE_CHECKING:
    from renderer.dreaming.ascent.dreamer import Dreamer

GAPS = (1, 5, 10)
"""Frames between two that are compared."""


def steadiness(film: MeasuredFilm) -> Measurement:
    """Measure the warping error of the film and of its source, at gaps of some frames; pairs across cuts do not count.

    Flow is found on the source. Gaps above 1 are measured at frames that far apart, not at all.
    """
    find_flow = flow_finder()
    last: deque[MeasuredFrame] = deque(maxlen=max(GAPS))
    pairs: dict[int, list[tuple[int, float, float]]] = {gap: [] for gap in GAPS}
    while (frame := (yield)) is not None:
        for gap in GAPS:
            crosses = any(frame.index - gap < cut <= frame.index for cut in film.cuts)
            if len(last) < gap or frame.index % gap or crosses:
                continue
            earlier = last[-gap]
            assert earlier.source is not None and frame.source is not None
            flow, mask = find_flow(earlier.source.pixels, frame.source.pixels)
            of_film = warping_error(earlier.pixels, frame.pixels, flow, mask)
            of_source = warping_error(earlier.source.pixels, frame.source.pixels, flow, mask)
            if of_film is not None and of_source is not None:
                pairs[gap].append((frame.index, of_film, of_source))
        last.append(frame)
    result: dict[str, Any] = {}
    for gap, compared in pairs.items():
        means: dict[str, float | None] = {"film": None, "source": None, "ratio": None}
        if compared:
            _, of_film, of_source = np.mean(compared, axis=0).tolist()
            means = {"film": of_film, "source": of_source, "ratio": of_film / max(of_source, 1e-12)}
        result[f"gap_{gap}"] = means
    result["pairs"] = [[float(index / film.rate), *errors] for index, *errors in pairs[GAPS[0]]]
    return result


def steadiness_text(result: Mapping[str, Any]) -> list[str]:
    """Write what `steadiness` found."""
    lines = []
    for gap in GAPS:
        error = result[f"gap_{gap}"]
        values = "too short to tell"
        if error["film"] is not None:
            values = f"{error['film']:.3e} film, {error['source']:.3e} source, {error['ratio']:.2f} times"
        name = "warping error" if gap == GAPS[0] else ""
        lines.append(f"{name:<17}{values} ({gap} frame{'s' * (gap > 1)} apart)")
    return lines


def steadiness_plot(result: Mapping[str, Any], _rate: float) -> list[Line]:
    """Draw the pairs one frame apart."""
    seconds = [pair[0] for pair in result["pairs"]]
    return [(name, seconds, [pair[place] for pair in result["pairs"]]) for place, name in ((1, "film"), (2, "source"))]


def flicker(film: MeasuredFilm) -> Measurement:
    """Measure how much the mean luma of a frame differs from the frame before, in the film and its source, 0 to 1."""
    luma = {"film": array("d"), "source": array("d")}
    while (frame := (yield)) is not None:
        assert frame.source is not None
        luma["film"].append(float(frame.luma.mean()))
        luma["source"].append(float(frame.source.luma.mean()))
    result: dict[str, Any] = {}
    for name, values in luma.items():
        steps = np.abs(np.diff(np.asarray(values)))
        kept = [step for index, step in enumerate(steps, 1) if index not in film.cuts]
        result[name] = float(np.mean(kept)) if kept else None
    return {**result, "luma": {name: list(values) for name, values in luma.items()}}


def flicker_text(result: Mapping[str, Any]) -> list[str]:
    """Write what `flicker` found."""
    if result["film"] is None:
        return ["flicker          -  too short to tell"]
    levels = {name: f"{255 * result[name]:.2f}" for name in ("film", "source")}
    return [f"flicker          {levels['film']} levels of mean luma from frame to frame, source {levels['source']}"]


def flicker_plot(result: Mapping[str, Any], rate: float) -> list[Line]:
    """Draw the mean luma of each frame."""
    return _of_frames(result["luma"], rate)


def crispness(_film: MeasuredFilm) -> Measurement:
    """Measure the sharpness of the film and of its source, mean over frames."""
    values = {"film": array("d"), "source": array("d")}
    while (frame := (yield)) is not None:
        assert frame.source is not None
        values["film"].append(frame.sharpness)
        values["source"].append(frame.source.sharpness)
    return {
        **{name: float(np.mean(series)) for name, series in values.items()},
        "frames": {name: list(series) for name, series in values.items()},
    }


def crispness_text(result: Mapping[str, Any]) -> list[str]:
    """Write what `crispness` found."""
    return [f"sharpness        {result['film']:.3e} film, {result['source']:.3e} source"]


def crispness_plot(result: Mapping[str, Any], rate: float) -> list[Line]:
    """Draw the sharpness of each frame."""
    return _of_frames(result["frames"], rate)


def _of_frames(series: Mapping[str, list[float]], rate: float) -> list[Line]:
    return [(name, [k / rate for k in range(len(values))], values) for name, values in series.items()]


# --- frames dreamed alone --------------------------------------------------------------------------------------------


def alone(film: MeasuredFilm) -> Measurement:
    """Compare activation and sharpness of some frames with the same frames of the source dreamed alone, in full.

    Steadiness by itself rewards blur and empty dreams; these two tell whether it was bought with them.
    """
    count = min(film.alone, film.frames) if film.settings is not None else 0
    # Not the first frame, which is dreamed alone anyhow: the middles of equal parts.
    chosen = {int((k + 0.5) * film.frames / count) for k in range(count)}
    frames = []
    while (frame := (yield)) is not None:
        if frame.index in chosen and frame.source is not None:
            # Without what other metrics have computed of it, and what its pixels are a part of.
            frames.append(MeasuredFrame(frame.index, frame.pixels.copy(), source=frame.source.pixels))
    nothing: dict[str, Any] = {"activation": None, "sharpness": None}
    if not frames or film.settings is None:
        why = "the film holds no recipe" if film.settings is None else "not asked for"
        return {**nothing, "why": why, "frames": []}
    try:
        _, dreamer = open_dreamer(film.settings)
        compared = [_dream_alone(dreamer, frame, seconds=float(frame.index / film.rate)) for frame in frames]
    except DreamreelError as error:  # the network of the film is not on this machine
        return {**nothing, "why": str(error), "frames": []}
    return {**{name: _share(compared, name) for name in nothing}, "frames": compared}


def _dream_alone(dreamer: Dreamer, frame: MeasuredFrame, *, seconds: float) -> dict[str, Any]:
    from renderer.render.dream_layer import stay_visible

    assert frame.source is not None
    source = from_8bit(frame.source.pixels)
    dream, _ = dreamer(source, frame=frame.index, seconds=seconds, full=True)
    by_itself = MeasuredFrame(frame.index, to_8bit(stay_visible(dream, source)))
    value = partial(dreamer.value, seconds=seconds, source=source)
    return {
        "seconds": seconds,
        "activation": {"film": value(from_8bit(frame.pixels)), "alone": value(from_8bit(by_itself.pixels))},
        "sharpness": {"film": frame.sharpness, "alone": by_itself.sharpness},
    }


def _share(compared: list[dict[str, Any]], name: str) -> float:
    of_film, by_itself = (float(np.mean([frame[name][which] for frame in compared])) for which in ("film", "alone"))
    return of_film / by_itself if by_itself else float("nan")


def alone_text(result: Mapping[str, Any]) -> list[str]:
    """Write what `alone` found."""
    if result["activation"] is None:
        return [f"against alone    -  {result['why']}"]
    activation, sharp = result["activation"], result["sharpness"]
    frames = len(result["frames"])
    return [f"against alone    {activation:.1%} of the activation, {sharp:.1%} of the sharpness ({frames} frames)"]


# --- sound -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PacketTimes:
    """When the first frame of a film is shown and when the last one ends, seconds by the file's clock.

    `sound` has the packets of its first track of sound: when each is heard, and a checksum of what is in it.
    """

    begin: Fraction
    end: Fraction
    sound: tuple[tuple[Fraction, str], ...]


def packet_times(path: Path) -> PacketTimes | None:
    """List the packets of a film's picture and of its first track of sound; None if it has no picture.

    Raises:
        FfmpegFailed: it cannot be read.
    """
    tracks = ["-map", "0:V:0", "-map", "0:a:0?", "-c", "copy", "-copyts", "-f", "framecrc", "-"]
    text = run([*INPUT, "-i", file_url(path), *tracks], timeout=600).stdout.decode("ascii", "replace")
    ticks = {int(found[1]): Fraction(found[2]) for found in re.finditer(r"^#tb (\d): (\S+)", text, re.MULTILINE)}
    rows = [line.split(",") for line in text.splitlines() if line[:1] in "01" and line[1:2] == ","]
    frames = [row for row in rows if row[0] == "0"]
    if not frames:
        return None
    sound = tuple((int(row[2]) * ticks[1], row[5].strip()) for row in rows if row[0] == "1")
    shown = [(int(row[2]) * ticks[0], (int(row[2]) + int(row[3])) * ticks[0]) for row in frames]
    return PacketTimes(begin=min(at for at, _ in shown), end=max(end for _, end in shown), sound=sound)


def lip_sync(film: MeasuredFilm) -> Measurement:
    """Measure how much later the sound is heard in the film than in its source, by the picture: at start and end.

    Packets of sound that were copied are found again in the source by their checksums; of sound that was transcoded,
    only the start can be compared. At the end, a picture that runs longer or shorter than its source counts as well.
    """
    while (yield) is not None:
        pass  # Packets tell, not frames.
    nothing: dict[str, Any] = {"start": None, "end": None, "copied": False}
    assert film.path is not None and film.source is not None
    if not (film.path.is_file() and film.source.is_file()):
        return nothing
    try:
        made, given = packet_times(film.path), packet_times(film.source)
    except (FfmpegFailed, DreamreelError):
        return nothing
    if made is None or given is None or not made.sound or not given.sound:
        return nothing
    begin = given.begin + film.starts_at
    shift = begin - made.begin
    times = {checksum: at for at, checksum in given.sound}
    copied = [(at, checksum) for at, checksum in made.sound if checksum in times]
    if not copied:
        return {**nothing, "start": float(made.sound[0][0] + shift - max(given.sound[0][0], begin))}
    (first_at, first), (last_at, last) = copied[0], copied[-1]
    # Of a film that shows the whole source: how much longer the picture runs.
    whole = film.starts_at == 0 and not film.is_part
    longer = (made.end - made.begin) - (given.end - given.begin) if whole else 0
    return {
        "start": float(first_at + shift - times[first]),
        "end": float(last_at + shift - times[last] - longer),
        "copied": True,
    }


def lip_sync_text(result: Mapping[str, Any]) -> list[str]:
    """Write what `lip_sync` found."""
    if result["start"] is None:
        return ["sound            -  none, or none in the source"]
    end = "" if result["end"] is None else f", {1000 * result['end']:+.1f} ms at the end"
    how = "copied" if result["copied"] else "transcoded"
    return [f"sound            {1000 * result['start']:+.1f} ms late at the start{end} ({how})"]
