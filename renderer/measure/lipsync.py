"""Whether sound and picture of a dreamed video are as far apart as in the video it was made from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from renderer.errors import DreamreelError
from renderer.measure.measuring import Look, Subject
from renderer.media.ffmpeg.pipes import FfmpegFailed, file_url, run
from renderer.media.ffmpeg.probe import INPUT


@dataclass(frozen=True)
class Packet:
    """A packet of sound: when it is heard, seconds by the file's clock, and what is in it."""

    at: Fraction
    crc: str


@dataclass(frozen=True)
class Times:
    """When the first frame of a film is shown and when the last one ends, seconds, and its first track of sound."""

    begin: Fraction
    end: Fraction
    sound: tuple[Packet, ...]


def times_of(path: Path) -> Times | None:
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
    sound = tuple(Packet(int(row[2]) * ticks[1], row[5].strip()) for row in rows if row[0] == "1")
    shown = [(int(row[2]) * ticks[0], (int(row[2]) + int(row[3])) * ticks[0]) for row in frames]
    return Times(begin=min(at for at, _ in shown), end=max(end for _, end in shown), sound=sound)


class LipSync:
    """How much later the sound is heard in the film than in its source, by the picture: at its start and at its end.

    Packets of sound that were copied are found again in the source by their checksums; of sound that was transcoded,
    only the start can be compared. At the end, a picture that runs longer or shorter than its source counts as well.
    """

    needs_source = True

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def add(self, look: Look) -> None:
        """See nothing: packets tell."""

    def result(self) -> dict[str, Any]:
        film, source = self.subject.path, self.subject.source
        assert film is not None and source is not None
        none: dict[str, Any] = {"start": None, "end": None, "copied": False}
        if not (film.is_file() and source.is_file()):
            return none
        try:
            made, given = times_of(film), times_of(source)
        except (FfmpegFailed, DreamreelError):
            return none
        if made is None or given is None or not made.sound or not given.sound:
            return none
        shift = given.begin + self.subject.starts_at - made.begin
        places = {packet.crc: packet.at for packet in given.sound}
        copied = [packet for packet in made.sound if packet.crc in places]
        if not copied:
            late = made.sound[0].at + shift - max(given.sound[0].at, given.begin + self.subject.starts_at)
            return {"start": float(late), "end": None, "copied": False}
        first, last = copied[0], copied[-1]
        longer = self._longer(made, given)
        return {
            "start": float(first.at + shift - places[first.crc]),
            "end": float(last.at + shift - places[last.crc] - longer),
            "copied": True,
        }

    def _longer(self, made: Times, given: Times) -> Fraction:
        """Return how much longer the picture runs than the part of the source that it shows; 0 if only a part is."""
        whole = self.subject.starts_at == 0 and not self.subject.is_part
        return (made.end - made.begin) - (given.end - given.begin) if whole else Fraction(0)

    @staticmethod
    def lines(result: Mapping[str, Any]) -> list[str]:
        if result["start"] is None:
            return ["sound            -  none, or none in the source"]
        end = "" if result["end"] is None else f", {1000 * result['end']:+.1f} ms at the end"
        how = "copied" if result["copied"] else "transcoded"
        return [f"sound            {1000 * result['start']:+.1f} ms late at the start{end} ({how})"]
