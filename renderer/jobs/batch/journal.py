"""The journal of a batch, in a folder beside its films: what was planned, begun, made with which bytes, given up.

Everything that a batch knows of itself is read from it, so a kill at any moment costs nothing but the work since the
last line.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import filelock

from renderer.errors import UsageError
from renderer.jobs.outputs import LONGEST_NAME
from renderer.media import disk
from renderer.media.journal import Journal
from renderer.media.ledger import JOURNAL, read_film, replay

SUFFIX = ".dreamreel-batch"
LOCK = "lock"
VERSION = 1


def batch_folder(jobs_file: Path, base: Path) -> Path:
    """Return the folder of a batch's journal: `.NAME.dreamreel-batch` beside its films."""
    name = f".{jobs_file.stem}{SUFFIX}"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(jobs_file.stem)).hexdigest()[:32]}{SUFFIX}"
    return base / name


@dataclass
class Record:
    """What the journal tells of one output.

    Attributes:
        done: the last entry that says that it was made; None if it never was.
        begun: the keys (film, encoding) that it was last begun with since then; None if it was not.
        film_keys: of every film that was ever begun under this name.
        last: the last entry of any kind.
        attempts: how often it was begun since it was last done.
    """

    done: dict[str, Any] | None = None
    begun: tuple[str, str] | None = None
    film_keys: set[str] = field(default_factory=set)
    last: dict[str, Any] = field(default_factory=dict)
    attempts: int = 0


class Records:
    """What a batch's journal tells, output by output.

    Args:
        entries: of the journal.
        base: what paths in it are meant from, so that all of it may be moved.
    """

    def __init__(self, entries: Sequence[Mapping[str, Any]], *, base: Path) -> None:
        self.base = base
        self._records = records_of(entries)

    @classmethod
    def read(cls, folder: Path, *, base: Path) -> Self:
        """Read the journal in a batch folder, which need not exist."""
        return cls(Journal(folder / JOURNAL).read(), base=base)

    def of(self, out: Path) -> Record:
        """Return what is known of an output."""
        return self._records.get(str(self.place(out)), Record())

    def all(self) -> Iterator[Record]:
        """Give what is known of every output."""
        yield from self._records.values()

    def place(self, path: Path | None) -> str | None:
        """Write a path as the journal has it: from `base` where it lies inside."""
        if path is None:
            return None
        return str(path.relative_to(self.base) if path.is_relative_to(self.base) else path)


class BatchJournal:
    """The journal of a batch, open for writing: one run at a time. A context manager.

    Args:
        folder: made if need be.
        base: what paths in it are meant from.

    Raises:
        UsageError: another run is at work on the same batch.
        DiskProblem: the folder cannot be made or written.
    """

    def __init__(self, folder: Path, *, base: Path) -> None:
        self.folder = folder
        self._journal = Journal(folder / JOURNAL)
        with disk.disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = filelock.FileLock(folder / LOCK, thread_local=False)
            try:
                self._lock.acquire(timeout=0.5)  # `read_state` takes it for a moment.
            except filelock.Timeout as error:
                raise UsageError(
                    f"Another run is at work on this batch (in {folder}). `dreamreel status` shows how far it is."
                ) from error
            entries = self._journal.read()
        self.records = Records(entries, base=base)
        self._plan = next((entry for entry in reversed(entries) if entry["kind"] == "plan"), None)

    @property
    def planned(self) -> Sequence[Mapping[str, Any]]:
        """The films that the last run knew of, as `plan` was told."""
        return [] if self._plan is None else self._plan["jobs"]

    def plan(self, file: Path, jobs: Sequence[Mapping[str, Any]]) -> None:
        """Note which films there are, unless that is known.

        Args:
            file: the jobs file.
            jobs: a table of JSON values a film, with its `name` and its `out` as `Records.place` writes it.
        """
        entry = {"kind": "plan", "version": VERSION, "file": self.records.place(file), "jobs": [*map(dict, jobs)]}
        if entry != self._plan:
            self.append(entry)
            self._plan = entry

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry and force it to the disk.

        Raises:
            DiskProblem: it cannot be written.
        """
        with disk.disk_errors(self._journal.path):
            self._journal.append(entry)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._lock.release()


def records_of(entries: Sequence[Mapping[str, Any]]) -> dict[str, Record]:
    """Put together what entries tell, by output as the journal writes it; films without one by their names."""
    found: dict[str, Record] = {}
    for entry in entries:
        if entry.get("kind") not in ("begun", "done", "failed", "stopped"):
            continue
        record = found.setdefault(identity(entry), Record())
        record.last = dict(entry)
        if entry["kind"] == "begun":
            record.begun = (entry["film_key"], entry["encode_key"])
            record.film_keys.add(entry["film_key"])
            record.attempts += 1
        elif entry["kind"] == "done":
            record.done, record.begun, record.attempts = dict(entry), None, 0
    return found


def identity(entry: Mapping[str, Any]) -> str:
    """Return what an entry, or a film of a plan, is known by: its output, or its name where it has none."""
    return str(entry.get("out") or f"\0{entry['name']}")


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a work folder says it holds; its files are not looked at."""

    film_key: str
    frames: int
    done: bool


def held(work: Path | None) -> Held | None:
    """Read what a work folder says it holds; None if it is none."""
    film = None if work is None else read_film(work)
    if work is None or film is None:
        return None
    try:
        segments, done = replay(Journal(work / JOURNAL).read(), key=film["pixel_key"])
    except (OSError, KeyError, TypeError):
        segments, done = [], None
    frames = segments[-1].end if segments else 0
    return Held(film_key=str(film["meta"].get("film_key", "")), frames=frames, done=done is not None and done == frames)


def now() -> str:
    """Return the time by the clock on the wall, for people: nothing is decided by it."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
