"""The tracks of sound and subtitles of a file: listed, tried, and subtitles read as SubRip text.

Whether a track can be copied or converted, only doing it tells: ffmpeg writes the whole track to nowhere. Subtitles are
cut to a part of the film, decoded, and without drawings. ffmpeg alone keeps those that end before the part begins, and
then shows all others at the wrong time; it drops what is not UTF-8, and shows the commands of a drawing as text.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from renderer.errors import BadInput
from renderer.files import check_input, once_a_file
from renderer.media.ffmpeg.pipes import FfmpegFailed, Output, file_url, run
from renderer.media.ffmpeg.showinfo import INPUT

SOUND_INPUT = [arg + ",mp3,wav,flac,ogg,aac,aiff,ac3,w64,caf" if arg.startswith("mov,") else arg for arg in INPUT]
"""As `INPUT`, with files that hold sound alone."""

MOST_TRACKS = 32
"""Tracks of sound or of subtitles that a film gets; a source with more is not meant for us."""

_LISTING_SECONDS = 60.0
_TRIAL_SECONDS = 3600.0  # The sound of a film of hours, decoded and encoded.


@dataclass(frozen=True)
class Track:
    """A track of sound or subtitles, in ffmpeg's words: its codec, and the layout of its channels."""

    codec: str = "unknown"
    layout: str = ""

    @property
    def channels(self) -> int:
        """How many there are; 2 where the layout has a name without a number that is not known here."""
        if order := re.match(r"ambisonic (\d{1,2})", self.layout):
            return (int(order[1]) + 1) ** 2
        if number := re.match(r"(\d{1,3}) channels", self.layout):
            return int(number[1])
        if points := re.match(r"(\d{1,2})\.(\d{1,2})(?:\.(\d{1,2}))?", self.layout):
            return sum(int(part) for part in points.groups() if part)
        return {"mono": 1, "quad": 4, "hexagonal": 6, "octagonal": 8, "cube": 8, "hexadecagonal": 16}.get(
            self.layout.partition("(")[0], 2
        )


ALL_TRACKS = ["-map", "0:V:0?", "-map", "0:a?", "-map", "0:s?"]
"""The picture, and every track of sound and of subtitles."""


@once_a_file
def list_tracks(path: Path) -> tuple[tuple[Track, ...], tuple[Track, ...]]:
    """List the tracks of sound and those of subtitles; one that says too little is of an unknown codec.

    Raises:
        BadInput: the file cannot be read.
    """
    check_input(path, expected="a film or a file of sound")
    source = [*SOUND_INPUT, "-i", file_url(path)]
    try:
        return _list(source, ALL_TRACKS)
    except FfmpegFailed as error:
        if error.was_stopped:
            raise
        if "Error opening input" in error.log:
            raise BadInput(f"{path} cannot be read as a film or a file of sound.") from error
        # One of them cannot even be copied: each is asked for alone.
        return one_by_one(source, "a"), one_by_one(source, "s")


def one_by_one(source: Sequence[str], letter: str) -> tuple[Track, ...]:
    """List the tracks of sound ("a") or of subtitles ("s") of an input, asking for each alone."""
    tracks: list[Track] = []
    for number in range(MOST_TRACKS + 1):
        try:
            sounds, subtitles = _list(source, ["-map", f"0:{letter}:{number}"])
        except FfmpegFailed as error:
            if error.was_stopped:
                raise
            if "matches no streams" in error.log:
                break
            sounds = subtitles = ()
        tracks += (sounds + subtitles)[:1] or (Track(),)
    return tuple(tracks)


def _list(source: Sequence[str], maps: Sequence[str]) -> tuple[tuple[Track, ...], tuple[Track, ...]]:
    head = [*maps, "-map_metadata", "-1", "-c", "copy", "-t", "0", "-f", "framecrc", "pipe:1"]
    return read_tracks(run([*source, *head], timeout=_LISTING_SECONDS).stdout)


def read_tracks(text: bytes) -> tuple[tuple[Track, ...], tuple[Track, ...]]:
    """Return the tracks of sound and of subtitles in the head of a `framecrc` list; all words are ffmpeg's own."""
    rows = re.findall(
        r"^#(media_type|codec_id|channel_layout_name) ([0-9]+): ([\w .()+-]+)$",
        text.decode("ascii", "replace"),
        re.MULTILINE,
    )
    tracks: dict[str, dict[str, str]] = {}
    for name, number, value in rows:
        tracks.setdefault(number, {})[name] = value
    sounds, subtitles = (
        tuple(
            Track(track.get("codec_id", "unknown"), track.get("channel_layout_name", ""))
            for track in tracks.values()
            if track.get("media_type") == kind
        )
        for kind in ("audio", "subtitle")
    )
    return sounds, subtitles


@once_a_file
def try_track(
    source: Path, inputs: tuple[str, ...], number: int, how: tuple[str, ...], *, muxer: str | None = None
) -> Output | None:
    """Write a track of sound as the film would have it, to nowhere; None if that fails or gives nothing.

    Args:
        source: the film, or file of sound.
        inputs: what ffmpeg is told of it as its only input.
        number: which track of sound, counted from 0.
        how: what becomes of it, with `{place}` for its number in the new film.
        muxer: what it is written as besides; None where that need not be tried.
    """
    del source
    mapped = ["-map", f"0:a:{number}", "-map_metadata", "-1", *(word.format(place=0) for word in how)]
    away = [*mapped, "-f", muxer, "-y", file_url(os.devnull)] if muxer else []
    try:
        told = run([*inputs, *away, *mapped, "-f", "framecrc", "pipe:1"], timeout=_TRIAL_SECONDS)
    except FfmpegFailed as error:
        if error.was_stopped:
            raise
        return None
    return Output(stdout=told.stdout[:4096], log=told.log) if re.search(rb"^0, ", told.stdout, re.MULTILINE) else None


# --- subtitles --------------------------------------------------------------------------------------------------------

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
