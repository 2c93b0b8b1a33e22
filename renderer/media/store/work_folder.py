"""The work folder of a film: its `film.json`, what the lines of its journal mean, whose files lie in it, its lock."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, fields
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import filelock
from pydantic import ConfigDict, Field, JsonValue, StringConstraints
from pydantic.dataclasses import dataclass

from renderer.errors import BadInput, UsageError
from renderer.files import is_folder, is_own_folder, open_own, read_own
from renderer.frame import MAX_SIDE, Size
from renderer.media.files import replace_file, sync_and_hash
from renderer.media.store.journal import is_journal
from renderer.records import Bytes, Count, Hash, RateText, Record, read_json, to_record

FILM = "film.json"
JOURNAL = "journal.jsonl"
LOCK = "lock"

_OURS = re.compile(
    rf"(segment-[0-9]+-[0-9a-f]{{8}}\.mkv|state-[0-9]+-[0-9a-f]{{8}}\.npz|{re.escape(FILM)})(\.part)?|{re.escape(JOURNAL)}"
)
_LANE = re.compile(r"lane-([0-9]{8,10})")
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
    sync_and_hash(temporary)
    replace_file(temporary, directory / FILM)


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


# --- the folder ------------------------------------------------------------------------------------------------------


def claim(directory: Path, *, is_ours: Callable[[Path, list[str]], bool]) -> None:
    """Make a folder for our own files, or make sure that the one that is there is ours, before anything is written.

    Raises:
        UsageError, BadInput: as `check_ours`.
        OSError: it cannot be made or read.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        directory.mkdir()
    check_ours(directory, is_ours=is_ours)


def check_ours(directory: Path, *, is_ours: Callable[[Path, list[str]], bool]) -> None:
    """Refuse a folder that is neither empty nor ours; nothing is written.

    Args:
        directory: that is there.
        is_ours: tells it of a folder, given the names in it.

    Raises:
        UsageError: it holds something else.
        BadInput: it, or a record in it, is a link or no plain file.
        OSError: it cannot be read.
    """
    if not is_own_folder(directory):
        what = "a link" if directory.is_symlink() else "no folder"
        raise BadInput(f"{directory} is {what}, and work is only kept in a folder itself; choose another one.")
    names = [path.name for path in directory.iterdir()]
    if names and not is_ours(directory, names):
        raise UsageError(
            f"The folder {directory} holds other files, such as {min(names)!r}, and no work of Dreamreel; choose "
            "another folder, or move them away. Nothing in it was touched."
        )


def is_film_folder(directory: Path, names: list[str]) -> bool:
    """Tell whether a folder with files is the work folder of a film, or what a kill or damage has left of one."""
    if read_film(directory) is not None:
        return True
    journal = directory / JOURNAL
    if JOURNAL in names and journal.lstat().st_size:
        return is_journal(journal)
    records = [name for name in (FILM, f"{FILM}.part") if name in names]
    known = all(name == LOCK or _OURS.fullmatch(name) or _LANE.fullmatch(name) for name in names)
    return known and all(looks_like_film(directory / name) for name in records)


def lock_of(directory: Path, name: str) -> filelock.FileLock:
    """Return the lock in a folder of ours; some versions of the library empty what is there, even behind a link.

    Raises:
        BadInput: what is there under its name is not an empty file.
    """
    path = directory / name
    if not is_own_folder(directory):
        raise BadInput(f"{directory} is a link or no folder; its files are not ours.")
    with contextlib.suppress(FileNotFoundError):
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1 or state.st_size:
            raise BadInput(f"{path} was not written by Dreamreel, whose locks are empty files; move it away.")
    return filelock.FileLock(path, thread_local=False)


def acquire(directory: Path) -> filelock.BaseFileLock:
    """Take a work folder for this process.

    Raises:
        UsageError: another one has it.
        BadInput: as `lock_of`.
    """
    lock = lock_of(directory, LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise UsageError(
            f"Another run is working in {directory}. Wait until it ends, or choose another --work-dir."
        ) from error
    return lock


@contextlib.contextmanager
def removing_lock(directory: Path) -> Iterator[None]:
    """Delete the file of a lock that is let go in the block."""
    lock = directory / LOCK
    with contextlib.suppress(OSError):  # While it is ours; Windows lets go of it only after the release.
        lock.unlink()
    yield
    if os.name == "nt":
        with contextlib.suppress(OSError):
            lock.unlink()


def sweep(directory: Path, *, keep: Collection[str]) -> None:
    """Delete our files that are not in `keep`; what cannot be deleted now is debris for the next time."""
    for path in directory.iterdir():
        if path.name not in keep and _OURS.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


def lane(directory: Path, first: int) -> Path:
    """Return the folder, itself a work folder, for what is rendered apart from frame `first` on."""
    return directory / f"lane-{first:08d}"


def lanes(directory: Path) -> list[tuple[int, Path]]:
    """Return the folders of that kind that are there, with their first frames, ascending."""
    found = [(_LANE.fullmatch(path.name), path) for path in directory.glob("lane-*")]
    return sorted((int(name[1]), path) for name, path in found if name and is_own_folder(path))


def remove_lanes(directory: Path) -> None:
    """Delete them, but for files in them that are not ours."""
    for _, folder in lanes(directory):
        sweep(folder, keep=())
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()
