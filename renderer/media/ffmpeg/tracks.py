"""The tracks of sound and subtitles of a file, and trials of what can be done with them.

Whether a track can be copied or converted, only doing it tells: ffmpeg writes the whole track to nowhere.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from renderer.errors import BadInput
from renderer.files import check_input
from renderer.media.ffmpeg.pipes import FfmpegFailed, Output, file_url, run
from renderer.media.ffmpeg.probe import INPUT

SOUND_INPUT = [arg + ",mp3,wav,flac,ogg,aac,aiff,ac3,w64,caf" if arg.startswith("mov,") else arg for arg in INPUT]
"""As `INPUT`, with files that hold sound alone."""

MOST_TRACKS = 32
"""Tracks of sound or of subtitles that a film gets; a source with more is not meant for us."""

_TRIAL_SECONDS = 3600.0  # The sound of a film of hours, decoded and encoded.


@dataclass(frozen=True)
class Track:
    """A track of sound or subtitles, in ffmpeg's words: its codec, and the layout of its channels."""

    codec: str = ""
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


def list_tracks(path: Path) -> tuple[list[Track], list[str]]:
    """List the tracks of sound, and the codecs of those of subtitles; a track that says too little has no codec.

    Raises:
        BadInput: the file cannot be read.
    """
    check_input(path, expected="a film or a file of sound")
    found: dict[str, list[Track]] = {}
    try:
        listed = _list(path, ["-map", "0:V:0?", "-map", "0:a?", "-map", "0:s?"])
        for kind in ("audio", "subtitle"):
            found[kind] = [track for number, track in listed if number == kind]
    except FfmpegFailed as error:
        if error.was_stopped:
            raise
        if "Error opening input" in error.log:
            raise BadInput(f"{path} cannot be read as a film or a file of sound.") from error
        # One of them cannot even be copied: each is asked for alone.
        for kind, letter in (("audio", "a"), ("subtitle", "s")):
            found[kind] = list(_one_by_one(path, letter))
    return found["audio"], [track.codec for track in found["subtitle"]]


def _one_by_one(path: Path, letter: str) -> Iterator[Track]:
    for number in range(MOST_TRACKS + 1):
        try:
            yield _list(path, ["-map", f"0:{letter}:{number}"])[0][1]
        except FfmpegFailed as error:
            if error.was_stopped:
                raise
            if "matches no streams" in error.log:
                return
            yield Track()


def _list(path: Path, maps: list[str]) -> list[tuple[str, Track]]:
    """Return kind, codec and layout of tracks; all of them are words of ffmpeg's own."""
    head = [*maps, "-map_metadata", "-1", "-c", "copy", "-t", "0", "-f", "framecrc", "pipe:1"]
    text = run([*SOUND_INPUT, "-i", file_url(path), *head]).stdout.decode("ascii", "replace")
    rows = re.findall(r"^#(media_type|codec_id|channel_layout_name) (\d+): ([\w .()+-]+)$", text, re.MULTILINE)
    tracks: dict[str, dict[str, str]] = {}
    for name, number, value in rows:
        tracks.setdefault(number, {})[name] = value
    return [
        (track.get("media_type", ""), Track(track.get("codec_id", ""), track.get("channel_layout_name", "")))
        for track in tracks.values()
    ]


@dataclass(frozen=True)
class Trial:
    """A source of sound whose tracks are tried, and what ffmpeg is told of it as its only input."""

    source: Path
    inputs: tuple[str, ...]

    def __call__(self, number: int, how: Sequence[str], *, muxer: str | None = None) -> Output | None:
        """Write a track as the film would have it, to nowhere; None if that fails or gives nothing."""
        mapped = ["-map", f"0:a:{number}", "-map_metadata", "-1", *(word.format(place=0) for word in how)]
        away = [*mapped, "-f", muxer, "-y", file_url(os.devnull)] if muxer else []
        state = self.source.stat()
        args = (*self.inputs, *away, *mapped, "-f", "framecrc", "pipe:1")
        return _tried(args, (state.st_mtime_ns, state.st_size))


@functools.lru_cache(maxsize=64)
def _tried(args: tuple[str, ...], stamp: tuple[int, int]) -> Output | None:
    del stamp  # Of the source: another file under its name is another trial.
    try:
        told = run(args, timeout=_TRIAL_SECONDS)
    except FfmpegFailed as error:
        if error.was_stopped:
            raise
        return None
    return Output(stdout=told.stdout[:4096], log=told.log) if re.search(rb"^0, ", told.stdout, re.MULTILINE) else None
