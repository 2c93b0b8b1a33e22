"""What a work folder says about itself: `film.json`, and what the lines of its journal mean together."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, fields
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue, StringConstraints
from pydantic.dataclasses import dataclass

from renderer.files import is_folder, open_own, read_own
from renderer.frame import MAX_SIDE, Size
from renderer.media import disk
from renderer.records import Bytes, Count, Hash, RateText, Record, read_json, to_record

FILM = "film.json"
JOURNAL = "journal.jsonl"

_LARGEST = 16 << 20  # Bytes of `film.json`.
_FEWEST_BYTES = 32  # Of a frame: the head that each has in MagicYUV.


class FilmRecord(Record):
    """What `film.json` says: size and rate of the frames, what stands for their pixels, what is kept beside them."""

    version: Literal[1] = 1
    size: Annotated[list[Annotated[int, Field(ge=1, le=MAX_SIDE)]], Field(min_length=2, max_length=2)]
    rate: RateText
    pixel_key: Hash
    meta: dict[str, JsonValue]


@dataclass(frozen=True, config=ConfigDict(strict=True))
class Segment:
    """A closed run of frames and the checkpoint at its end, as the journal notes them."""

    name: Annotated[str, StringConstraints(pattern=r"\A[0-9]{8,10}-[0-9a-f]{8}\z")]
    first: Count
    frames: Annotated[int, Field(ge=1, le=10**9)]
    length: Bytes
    sha256: Hash
    state_length: Bytes
    state_sha256: Hash

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
    return next((entry["key"] for entry in reversed(entries) if isinstance(entry.get("key"), str)), None)


def replay(entries: list[dict[str, Any]], *, key: str) -> tuple[list[Segment], int | None]:
    """Return the segments that hold after all entries, and the number of frames at which the film was done."""
    segments: list[Segment] = []
    done: int | None = None

    def back_to(frame: int) -> None:
        while segments and segments[-1].end > frame:
            segments.pop()

    for entry in entries:
        if entry.get("key") != key:
            continue
        kind, frames = entry.get("kind"), entry.get("frames")
        if kind == "segment":
            segment = _segment(entry)
            if segment is None:
                continue
            back_to(segment.first)
            if segment.first == (segments[-1].end if segments else 0):  # Else a line before it was lost.
                segments.append(segment)
            done = None
        elif kind == "back" and type(frames) is int:
            back_to(frames)
            done = None
        elif kind == "done" and type(frames) is int:
            done = frames
    return segments, done


def _segment(entry: dict[str, Any]) -> Segment | None:
    """Read the line of a segment; None if it is none, or tells of more frames than its bytes can hold."""
    try:
        segment = Segment(**{field.name: entry[field.name] for field in fields(Segment)})
    except (KeyError, ValueError):
        return None
    return segment if segment.frames * _FEWEST_BYTES <= segment.length else None


def _canonical(film: Any) -> str:
    return json.dumps(film, sort_keys=True, indent=1, ensure_ascii=False)


def _hash(film: Any) -> str:
    # A name that is not UTF-8 counts by its bytes.
    return hashlib.sha256(_canonical(film).encode("utf-8", "surrogateescape")).hexdigest()


def make_film(*, size: Size, rate: Fraction, pixel_key: str, meta: dict[str, Any]) -> FilmRecord:
    """Return what `film.json` is to hold, as reading it back gives it.

    Raises:
        TypeError: `meta` is not JSON.
        ValueError: it could not be read back.
    """
    film = {"version": 1, "size": list(size), "rate": str(rate), "pixel_key": pixel_key, "meta": meta}
    return to_record(FilmRecord, read_json(json.dumps(film), limit=_LARGEST))


def write_film(directory: Path, film: FilmRecord) -> None:
    """Write `film.json`, whole or not at all.

    Raises:
        BadInput: there is a link or no plain file under its temporary name.
        OSError, DiskProblem: it cannot be written.
    """
    held = film.model_dump()
    text = _canonical({"film": held, "sha256": _hash(held)}) + "\n"
    temporary = directory / f"{FILM}.part"
    with os.fdopen(open_own(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
    disk.seal(temporary)
    disk.replace(temporary, directory / FILM)


def read_film(directory: Path) -> FilmRecord | None:
    """Return what `film.json` holds, or None if it is missing or damaged.

    Raises:
        BadInput: it is a link or no plain file, cannot be read, or is too large.
    """
    if not is_folder(directory):
        return None
    try:
        data = read_own(directory / FILM, expected="the record of a film", limit=_LARGEST)
        held = read_json(data, limit=_LARGEST)
        if held["sha256"] != _hash(held["film"]):
            return None
        return to_record(FilmRecord, held["film"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def looks_like_film(path: Path) -> bool:
    """Tell whether a file is a `film.json` of ours, however damaged, by how it begins; an empty one is.

    Raises:
        BadInput: as `read_film`.
    """
    begun = _canonical({"film": {"meta": {}}}).partition("}")[0].encode()
    data = read_own(path, expected="the record of a film", limit=_LARGEST)
    return begun.startswith(data[: len(begun)].rstrip(b"\0"))
