"""What a work folder says about itself: `film.json`, and what the lines of its journal mean together."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from renderer.frame import Size
from renderer.media import disk

FILM = "film.json"
JOURNAL = "journal.jsonl"

_VERSION = 1


@dataclass(frozen=True)
class Segment:
    """A closed run of frames and the checkpoint at its end, as the journal notes them."""

    name: str
    first: int
    frames: int
    length: int
    sha256: str
    state_length: int
    state_sha256: str

    @property
    def end(self) -> int:
        """The first frame that is not in it."""
        return self.first + self.frames

    def file(self, folder: Path) -> Path:
        """Where its frames lie."""
        return folder / f"segment-{self.name}.mkv"

    def state_file(self, folder: Path) -> Path:
        """Where its checkpoint lies, while it is kept."""
        return folder / f"state-{self.name}.npz"


def entry_of(segment: Segment, *, key: str) -> dict[str, Any]:
    """Return the line of the journal that notes a segment."""
    return {"kind": "segment", "key": key, **asdict(segment)}


def last_key(entries: list[dict[str, Any]]) -> str | None:
    """Return the key of the film that the journal was last written for."""
    return next((entry["key"] for entry in reversed(entries) if "key" in entry), None)


def replay(entries: list[dict[str, Any]], *, key: str) -> tuple[list[Segment], int | None]:
    """Return the segments that hold after all entries, and the number of frames at which the film was done."""
    segments: list[Segment] = []
    done: int | None = None
    names = [field.name for field in fields(Segment)]

    def back_to(frame: int) -> None:
        while segments and segments[-1].end > frame:
            segments.pop()

    for entry in entries:
        if entry.get("key") != key:
            continue
        if entry["kind"] == "segment":
            segment = Segment(**{name: entry[name] for name in names})
            back_to(segment.first)
            if segment.first == (segments[-1].end if segments else 0):  # Else a line before it was lost.
                segments.append(segment)
            done = None
        elif entry["kind"] == "back":
            back_to(entry["frames"])
            done = None
        elif entry["kind"] == "done":
            done = entry["frames"]
    return segments, done


def _canonical(film: dict[str, Any]) -> str:
    return json.dumps(film, sort_keys=True, indent=1, ensure_ascii=False)


def make_film(*, size: Size, rate: Fraction, pixel_key: str, meta: dict[str, Any]) -> dict[str, Any]:
    """Return what `film.json` is to hold, as reading it back gives it.

    Raises:
        TypeError: `meta` is not JSON.
    """
    film = {"version": _VERSION, "size": list(size), "rate": str(rate), "pixel_key": pixel_key, "meta": meta}
    held: dict[str, Any] = json.loads(json.dumps(film))
    return held


def write_film(directory: Path, film: dict[str, Any]) -> None:
    """Write `film.json`, whole or not at all."""
    text = _canonical({"film": film, "sha256": hashlib.sha256(_canonical(film).encode()).hexdigest()})
    temporary = directory / f"{FILM}.part"
    temporary.write_text(text + "\n", encoding="utf-8")
    disk.seal(temporary)
    disk.replace(temporary, directory / FILM)


def read_film(directory: Path) -> dict[str, Any] | None:
    """Return what `film.json` holds, or None if it is missing or damaged."""
    try:
        held = json.loads((directory / FILM).read_text(encoding="utf-8"))
        film = held["film"]
        whole = held["sha256"] == hashlib.sha256(_canonical(film).encode()).hexdigest()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return film if whole and film.get("version") == _VERSION else None
