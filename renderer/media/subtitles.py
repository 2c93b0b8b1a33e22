"""Subtitles of a part of a film: taken out as text, cut and moved to the part's own clock.

ffmpeg alone keeps those that end before the part begins, and then shows all others at the wrong time.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

from renderer.media.ffmpeg import file_url, run

_CLOCK = r"(\d+):(\d\d):(\d\d)[,.](\d{3})"
_CUE = re.compile(rf"^{_CLOCK} --> {_CLOCK}[^\n]*\n(.*?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)


def cut_subtitles(
    source: Path, track: int, *, options: list[str], begin: Fraction, length: Fraction | None
) -> str | None:
    """Return the subtitles of a part of a film as SubRip text; None if there are none.

    Args:
        source: the film.
        track: which track of subtitles, counted from 0; of text.
        options: for the film as an input of ffmpeg.
        begin: where the part begins, seconds from the start of the film.
        length: of the part, seconds; None for all that follows.

    Raises:
        FfmpegFailed: they cannot be read.
    """
    args = [*options, "-i", file_url(source), "-map", f"0:s:{track}", "-c:s", "srt", "-f", "srt", "pipe:1"]
    text = run(args, timeout=1800).stdout.decode("utf-8", "replace").replace("\r\n", "\n")
    cues: list[str] = []
    for found in _CUE.finditer(text):
        start, end = (_seconds(*found.groups()[at : at + 4]) - begin for at in (0, 4))
        end = end if length is None else min(end, length)
        if end > 0 and end > start:
            cues.append(f"{len(cues) + 1}\n{_clock(start)} --> {_clock(end)}\n{found[9].strip()}\n")
    return "\n".join(cues) if cues else None


def _seconds(hours: str, minutes: str, seconds: str, thousandths: str) -> Fraction:
    return Fraction(int(hours) * 3600 + int(minutes) * 60 + int(seconds)) + Fraction(int(thousandths), 1000)


def _clock(seconds: Fraction) -> str:
    thousandths = max(0, round(seconds * 1000))
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"
