"""Subtitles of a film as SubRip text: cut to a part of it, decoded, and without drawings.

ffmpeg alone keeps those that end before the part begins, and then shows all others at the wrong time; it drops what is
not UTF-8, and shows the commands of a drawing as text.
"""

from __future__ import annotations

import re
import tempfile
from fractions import Fraction
from pathlib import Path

from renderer.media.ffmpeg.pipes import file_url, run

_CLOCK = r"(\d+):(\d\d):(\d\d)[,.](\d{3})"
_CUE = re.compile(
    rf"^{_CLOCK} --> {_CLOCK}[^\n]*\n(.*?)(?=\n\n+\d+\n\d+:\d\d:\d\d[,.]\d{{3}} -->|\Z)", re.MULTILINE | re.DOTALL
)
_READ_SECONDS = 1800.0  # A film of hours is read from end to end.


def read_subtitles(
    source: Path, track: int, *, codec: str, options: list[str], begin: Fraction, length: Fraction | None
) -> tuple[str | None, bool]:
    """Read the subtitles of a film, or of a part of it.

    Args:
        source: the film.
        track: which track of subtitles, counted from 0; of text.
        codec: of that track, ffmpeg's name.
        options: for the film as an input of ffmpeg.
        begin: where the part begins, seconds from the start of the film.
        length: of the part, seconds; None for all that follows.

    Returns:
        SubRip text, None if there are none; and whether some letters are not UTF-8, and were read as Windows-1252.

    Raises:
        FfmpegFailed: they cannot be read.
    """
    source_args = [*options, "-i", file_url(source), "-map", f"0:s:{track}"]
    guessed = False
    if codec in ("subrip", "ass", "ssa"):
        kind = "srt" if codec == "subrip" else "ass"
        raw = run([*source_args, "-c:s", "copy", "-f", kind, "pipe:1"], timeout=_READ_SECONDS)
        text, guessed = _decoded(raw.stdout)
        if kind == "ass":
            text = _as_subrip(_without_drawings(text))
    else:
        told = run([*source_args, "-c:s", "srt", "-f", "srt", "pipe:1"], timeout=_READ_SECONDS)
        if guessed := "Invalid UTF-8" in told.log:
            letters = [f"-sub_charenc:s:{track}", "cp1252", *source_args]
            told = run([*letters, "-c:s", "srt", "-f", "srt", "pipe:1"], timeout=_READ_SECONDS)
        text = told.stdout.decode("utf-8", "replace")
    return _cut(text.replace("\r\n", "\n"), begin, length), guessed


def _cut(text: str, begin: Fraction, length: Fraction | None) -> str | None:
    cues: list[str] = []
    for found in _CUE.finditer(text):
        start, end = (_seconds(*found.groups()[at : at + 4]) - begin for at in (0, 4))
        end = end if length is None else min(end, length)
        shown = re.sub(r"\n\s*\n", "\n", found[9].strip())
        if shown and end > 0 and end > start:
            cues.append(f"{len(cues) + 1}\n{_clock(start)} --> {_clock(end)}\n{shown}\n")
    return "\n".join(cues) if cues else None


def _decoded(data: bytes) -> tuple[str, bool]:
    """Decode line by line: UTF-8, or what most others are. Also tell whether any line is of those."""
    lines, guessed = [], False
    for line in data.split(b"\n"):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            guessed = True
            lines.append(line.decode("cp1252", "replace"))
    return "\n".join(lines), guessed


def _without_drawings(text: str) -> str:
    """Leave out what stands between tags that begin a drawing, such as `p1`, and those that end it, `p0`."""
    lines = []
    for line in text.splitlines():
        if line.startswith("Dialogue:") and "\\p" in line:
            *fields, words = line.split(",", 9)
            shown, drawing = "", False
            for piece in re.split(r"(\{[^}]*\})", words):
                if piece.startswith("{"):
                    scales = re.findall(r"\\p(\d+)", piece)
                    drawing = int(scales[-1][:4]) > 0 if scales else drawing
                shown += "" if drawing and not piece.startswith("{") else piece
            if not re.sub(r"\{[^}]*\}", "", shown).strip():
                continue
            line = ",".join([*fields, shown])
        lines.append(line)
    return "\n".join(lines) + "\n"


def _as_subrip(text: str) -> str:
    with tempfile.TemporaryDirectory(prefix="dreamreel-") as folder:
        path = Path(folder) / "words.ass"
        path.write_text(text, "utf-8")
        told = run(["-f", "ass", "-i", file_url(path), "-c:s", "srt", "-f", "srt", "pipe:1"])
    return told.stdout.decode("utf-8", "replace")


def _seconds(hours: str, minutes: str, seconds: str, thousandths: str) -> Fraction:
    return Fraction(int(hours[:6]) * 3600 + int(minutes) * 60 + int(seconds)) + Fraction(int(thousandths), 1000)


def _clock(seconds: Fraction) -> str:
    thousandths = max(0, round(seconds * 1000))
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"
