"""The journal of a batch, in a folder beside its films: what was planned, begun, made with which bytes, given up.

Everything that a batch knows of itself is read from it, so a kill at any moment costs nothing but the work since the
last line.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import filelock
from pydantic import ConfigDict

from renderer.errors import BadInput, UsageError
from renderer.films.outputs import LONGEST_NAME
from renderer.media.files import disk_errors
from renderer.media.store.journal import Journal, is_journal
from renderer.media.store.work_folder import JOURNAL, claim, lock_of, read_film, replay
from renderer.records import (
    Bytes,
    Count,
    ExitCode,
    Hash,
    PathText,
    Record,
    Seconds,
    SizeText,
    Text,
    Word,
    to_record,
)

SUFFIX = ".dreamreel-batch"
LOCK = "lock"
VERSION = 1


def batch_folder(jobs_file: Path, base: Path) -> Path:
    """Return the folder of a batch's journal: `.NAME.dreamreel-batch` beside its films."""
    name = f".{jobs_file.stem}{SUFFIX}"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(jobs_file.stem)).hexdigest()[:32]}{SUFFIX}"
    return base / name


TOLD = ("frames", "rendered", "took", "dreaming", "bytes", "sha256", "strength", "size", "at")
"""What an entry that says "done" tells of a film."""


class JobRecord(Record):
    """A film as it was planned; `status.FilmStatus` reads the rest of it."""

    model_config = ConfigDict(extra="allow")

    name: Text
    kind: Word
    out: PathText | None = None


class PlanRecord(Record):
    """Which films there are."""

    kind: Literal["plan"]
    version: Literal[1]
    file: PathText
    jobs: list[JobRecord]


class RunRecord(Record):
    """A run began or ended."""

    kind: Literal["start", "end"]
    at: Word
    executor: Word = ""


class FilmRecord(Record):
    """What happened to a film: it was begun, made, given up or stopped."""

    kind: Literal["begun", "done", "failed", "stopped"]
    name: Text
    out: PathText | None = None
    film_key: Hash = ""
    encode_key: Hash = ""
    at: Word = ""
    frames: Count = 0
    rendered: Count = 0
    took: Seconds | None = None
    dreaming: Seconds | None = None
    bytes: Bytes | None = None
    sha256: Hash = ""
    strength: float | None = None
    size: SizeText = ""
    work: PathText | None = None
    error: Text = ""
    exit_code: ExitCode = 1
    again: bool = False

    def told(self, *names: str) -> dict[str, Any]:
        """Return what it says of these."""
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}


Line = PlanRecord | RunRecord | FilmRecord

_LINES: dict[Any, type[Line]] = {
    "plan": PlanRecord,
    **dict.fromkeys(("start", "end"), RunRecord),
    **dict.fromkeys(("begun", "done", "failed", "stopped"), FilmRecord),
}


def read_lines(journal: Journal) -> list[Line]:
    """Read the journal of a batch; lines that are damaged, or that only a later version knows, are left out.

    Raises:
        BadInput: as `Journal.read`.
    """
    lines: list[Line] = []
    for entry in journal.read():
        kind = entry.get("kind")
        if isinstance(kind, str) and kind in _LINES:
            with contextlib.suppress(ValueError):
                lines.append(to_record(_LINES[kind], entry))
    return lines


def last_plan(lines: Sequence[Line]) -> PlanRecord | None:
    """Return which films there are, as the last run knew it."""
    return next((line for line in reversed(lines) if isinstance(line, PlanRecord)), None)


@dataclass
class FilmHistory:
    """What the journal tells of one output.

    Attributes:
        done: the last entry that says that it was made; None if it never was.
        begun: the keys (film, encoding) that it was last begun with since then; None if it was not.
        film_keys: of every film that was ever begun under this name.
        last: the last entry of any kind.
        attempts: how often it was begun since it was last done.
    """

    done: FilmRecord | None = None
    begun: tuple[str, str] | None = None
    film_keys: set[str] = field(default_factory=set)
    last: FilmRecord | None = None
    attempts: int = 0


class Records:
    """What a batch's journal tells, output by output.

    Args:
        lines: of the journal.
        base: what paths in it are meant from, so that all of it may be moved.
    """

    def __init__(self, lines: Sequence[Line], *, base: Path) -> None:
        self.base = base
        self._records = records_of(lines)

    @classmethod
    def read(cls, folder: Path, *, base: Path) -> Self:
        """Read the journal in a batch folder, which need not exist."""
        return cls(read_lines(Journal(folder / JOURNAL)), base=base)

    def of(self, out: Path) -> FilmHistory:
        """Return what is known of an output."""
        return self._records.get(str(self.place(out)), FilmHistory())

    def all(self) -> Iterator[FilmHistory]:
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
        UsageError: another run is at work on the same batch, or the folder holds somebody else's files.
        BadInput: the folder, or the journal in it, is a link or no plain file.
        DiskProblem: the folder cannot be made or written.
    """

    def __init__(self, folder: Path, *, base: Path) -> None:
        self.folder = folder
        self._journal = Journal(folder / JOURNAL)
        with disk_errors(folder):
            claim(folder, is_ours=_is_batch_folder)
            self._lock = lock_of(folder, LOCK)
            try:
                self._lock.acquire(timeout=0.5)  # `read_state` takes it for a moment.
            except filelock.Timeout as error:
                raise UsageError(
                    f"Another run is at work on this batch (in {folder}). `dreamreel status` shows how far it is."
                ) from error
            try:
                lines = read_lines(self._journal)
            except BaseException:
                self._lock.release()
                raise
        self.records = Records(lines, base=base)
        plan = last_plan(lines)
        self._plan = None if plan is None else plan.model_dump(exclude_unset=True)

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
        with disk_errors(self._journal.path):
            self._journal.append(entry)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._lock.release()


def _is_batch_folder(folder: Path, names: list[str]) -> bool:
    """Tell whether a folder with files is that of a batch, or what a kill has left of one."""
    if JOURNAL in names and (folder / JOURNAL).lstat().st_size:
        return is_journal(folder / JOURNAL)
    return set(names) <= {LOCK, JOURNAL, "page.lock", "page"}


def records_of(lines: Sequence[Line]) -> dict[str, FilmHistory]:
    """Put together what lines tell, by output as the journal writes it; films without one by their names."""
    found: dict[str, FilmHistory] = {}
    for entry in lines:
        if not isinstance(entry, FilmRecord):
            continue
        record = found.setdefault(identity(entry), FilmHistory())
        record.last = entry
        if entry.kind == "begun":
            record.begun = (entry.film_key, entry.encode_key)
            record.film_keys.add(entry.film_key)
            record.attempts += 1
        elif entry.kind == "done":
            record.done, record.begun, record.attempts = entry, None, 0
    return found


def identity(film: FilmRecord | JobRecord) -> str:
    """Return what an entry, or a film of a plan, is known by: its output, or its name where it has none."""
    return film.out or f"\0{film.name}"


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a work folder says it holds; its files are not looked at."""

    film_key: str
    frames: int
    done: bool


def held(work: Path | None) -> Held | None:
    """Read what a work folder says it holds; None if it is none."""
    try:
        film = None if work is None else read_film(work)
        if work is None or film is None:
            return None
        segments, done = replay(Journal(work / JOURNAL).read(), key=film.pixel_key)
    except BadInput:
        return None
    frames = segments[-1].end if segments else 0
    return Held(film_key=str(film.meta.get("film_key", "")), frames=frames, done=done is not None and done == frames)


def now() -> str:
    """Return the time by the clock on the wall, for people: nothing is decided by it."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
