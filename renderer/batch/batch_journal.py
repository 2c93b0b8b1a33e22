"""The journal of a batch, in a folder beside its films: what was planned, begun, made with which bytes, given up.

Everything that a batch knows of itself is read from it, so a kill at any moment costs nothing but the work since the
last line.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import filelock

from renderer.errors import BadInput, UsageError
from renderer.films.outputs import LONGEST_NAME
from renderer.media.files import disk_errors
from renderer.media.store.journal import Journal, is_journal
from renderer.media.store.work_folder import JOURNAL, claim, lock_of, read_film, replay
from renderer.records import (
    Bytes,
    Count,
    ExitCode,
    FilePath,
    Hash,
    PathText,
    RateText,
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


STATES = ("waiting", "running", "stopped", "done", "failed")
"""What a film of a batch can be: not begun, at work, begun and stopped or killed, made, given up."""


class FilmStatus(Record):
    """One film of a batch: as it was planned, and how it stands.

    Attributes:
        name: unique in the batch.
        kind: "zoom", "video" or "still".
        preset: the look in a word.
        state: one of `STATES`.
        out: the finished file, or a folder; None for a film that cannot even be named.
        work: its work folder; None for stills, which have none.
        source: what it begins with or is dreamed over; "" for noise.
        network: what dreams.
        seed: of its randomness; None where its settings make no sense.
        size: of the finished frames, WIDTHxHEIGHT.
        fps: frames a second, exact, as text.
        frames: how many it has.
        dreams: how many dreams its frames are made of; 0 where each of its frames is dreamed.
        frames_done: how many frames, or dreams, are kept so far.
        rendered: those that were dreamed in the run that finished it; fewer than all if it was stopped before.
        seconds: its length.
        took: seconds that the run which finished it took for it, from loading to encoding.
        dreaming: seconds of these that dreaming took; on several workers, of all of them together.
        bytes: of the finished file.
        sha256: of the finished file.
        strength: mean of the objective over the frames of the run that finished it; None where none was dreamed.
        attempts: how often it was begun since it was last done.
        earlier: whether a former run of the batch made it.
        error: why it failed, in a sentence.
        exit_code: what `dreamreel` alone would have ended with.
        at: when that was, ISO 8601 with the offset.
    """

    name: Text
    kind: Text
    preset: Text
    state: Literal["waiting", "running", "stopped", "done", "failed"] = "waiting"
    out: FilePath | None = None
    work: FilePath | None = None
    source: PathText | Literal[""] = ""
    network: Text = ""
    seed: int | None = None
    size: SizeText = ""
    fps: RateText | Literal[""] = ""
    frames: Count = 0
    dreams: Count = 0
    frames_done: Count = 0
    rendered: Count = 0
    seconds: Seconds = 0.0
    took: Seconds | None = None
    dreaming: Seconds | None = None
    bytes: Bytes | None = None
    sha256: Text = ""
    strength: float | None = None
    attempts: Count = 0
    earlier: bool = False
    error: Text = ""
    exit_code: ExitCode | None = None
    at: Text = ""

    @property
    def speed(self) -> float | None:
        """Frames, or dreams, a second, of those that were dreamed; None where none was."""
        return self.rendered / self.dreaming if self.rendered and self.dreaming else None

    @property
    def pictures(self) -> int:
        """How many pictures are dreamed for it: dreams, or frames."""
        return self.dreams or self.frames

    @property
    def what(self) -> str:
        """What these are, in a word."""
        return "dreams" if self.dreams else "frames"

    def values(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**self.model_dump(), "speed": self.speed}

    def updated(self, **changes: Any) -> Self:
        """Return the same film with other values."""
        return self.model_copy(update=changes)


PLANNED = (
    *("name", "kind", "preset", "out", "work", "source", "network", "seed"),
    *("size", "fps", "frames", "dreams", "seconds"),
)
"""What the plan of a batch tells of a film."""

TOLD = ("frames", "rendered", "took", "dreaming", "bytes", "sha256", "strength", "size", "at")
"""What a record that says "done" tells of a film."""


class PlanRecord(Record):
    """Which films there are; paths are meant from the folder of the films."""

    kind: Literal["plan"]
    version: Literal[1]
    file: PathText
    jobs: list[FilmStatus]


class RunRecord(Record):
    """A run began or ended."""

    kind: Literal["start", "end"]
    at: Word
    executor: Word = ""


class JobRecord(Record):
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


Line = PlanRecord | RunRecord | JobRecord

_LINES: dict[Any, type[Line]] = {
    "plan": PlanRecord,
    **dict.fromkeys(("start", "end"), RunRecord),
    **dict.fromkeys(("begun", "done", "failed", "stopped"), JobRecord),
}


@dataclass
class JobHistory:
    """What the journal tells of one output.

    Attributes:
        done: the last record that says that it was made; None if it never was.
        begun: the keys (film, encoding) that it was last begun with since then; None if it was not.
        film_keys: of every film that was ever begun under this name.
        last: the last record of any kind.
        attempts: how often it was begun since it was last done.
    """

    done: JobRecord | None = None
    begun: tuple[str, str] | None = None
    film_keys: set[str] = field(default_factory=set)
    last: JobRecord | None = None
    attempts: int = 0

    def add(self, record: JobRecord) -> None:
        """Take in the next record."""
        self.last = record
        if record.kind == "begun":
            self.begun = (record.film_key, record.encode_key)
            self.film_keys.add(record.film_key)
            self.attempts += 1
        elif record.kind == "done":
            self.done, self.begun, self.attempts = record, None, 0


class BatchJournal:
    """The journal of a batch: what it tells. As a context manager it is open for writing: one run at a time.

    Lines that are damaged, or that only a later version knows, are left out.

    Args:
        folder: with the journal, in that of the films, from where paths in it are meant: all of it may be moved. It
            need not exist to be read; for writing it is made.

    Raises:
        BadInput: the journal in it is a link or no plain file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.base = folder, folder.parent
        self._journal = Journal(folder / JOURNAL)
        self._read()

    def _read(self) -> None:
        self.lines: list[Line] = []
        for entry in self._journal.read():
            kind = entry.get("kind")
            if isinstance(kind, str) and kind in _LINES:
                with contextlib.suppress(ValueError):
                    self.lines.append(to_record(_LINES[kind], entry))
        self.plan = next((line for line in reversed(self.lines) if isinstance(line, PlanRecord)), None)
        self._histories: dict[str, JobHistory] = {}
        for line in self.lines:
            if isinstance(line, JobRecord):
                self._histories.setdefault(line.out or _nameless(line.name), JobHistory()).add(line)

    @property
    def films(self) -> list[FilmStatus]:
        """The films that the last run knew of, as it planned them."""
        films = [] if self.plan is None else self.plan.jobs
        return [
            film.updated(
                out=film.out and self.base / film.out,
                work=film.work and self.base / film.work,
                source=film.source and str(self.base / film.source),
            )
            for film in films
        ]

    def history(self, out: Path | None, name: str = "") -> JobHistory:
        """Return what is known of an output; of a film that has none, by its name."""
        return self._histories.get(self.place(out) or _nameless(name), JobHistory())

    def histories(self) -> Iterator[JobHistory]:
        """Give what is known of every output."""
        yield from self._histories.values()

    def place(self, path: Path | None) -> str | None:
        """Write a path as the journal has it: from `base` where it lies inside."""
        if path is None:
            return None
        return str(path.relative_to(self.base) if path.is_relative_to(self.base) else path)

    def is_at_work(self) -> bool:
        """Say whether a run is at work, by the lock that the system takes back when a process dies.

        Raises:
            BadInput: what is there under its name is not a lock.
        """
        if not os.path.lexists(self.folder / LOCK):
            return False
        lock = lock_of(self.folder, LOCK)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return True
        except OSError:  # On a disk that cannot be written no run is at work.
            return False
        lock.release()
        return False

    def note_plan(self, file: Path, films: Sequence[FilmStatus]) -> None:
        """Note which films the jobs file asks for, unless that is known."""
        jobs = []
        for film in films:
            source = film.source and self.place(Path(film.source))
            told = film.model_dump(include={*PLANNED})
            jobs.append({**told, "out": self.place(film.out), "work": self.place(film.work), "source": source})
        entry = {"kind": "plan", "version": VERSION, "file": self.place(file), "jobs": jobs}
        plan = to_record(PlanRecord, entry)
        if plan != self.plan:
            self.append(entry)
            self.plan = plan

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry and force it to the disk.

        Raises:
            DiskProblem: it cannot be written.
        """
        with disk_errors(self._journal.path):
            self._journal.append(entry)

    def __enter__(self) -> Self:
        """Open it for writing.

        Raises:
            UsageError: another run is at work on the same batch, or the folder holds somebody else's files.
            BadInput: the folder, or the journal in it, is a link or no plain file.
            DiskProblem: the folder cannot be made or written.
        """
        with disk_errors(self.folder):
            claim(self.folder, is_ours=_is_batch_folder)
            self._lock = lock_of(self.folder, LOCK)
            try:
                self._lock.acquire(timeout=0.5)  # `is_at_work` takes it for a moment.
            except filelock.Timeout as error:
                raise UsageError(
                    f"Another run is at work on this batch (in {self.folder}). `dreamreel status` shows how far it is."
                ) from error
            try:
                self._read()  # Another run may have written since.
            except BaseException:
                self._lock.release()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._lock.release()


def _nameless(name: str) -> str:
    """Return what a film without an output is known by."""
    return f"\0{name}"


def _is_batch_folder(folder: Path, names: list[str]) -> bool:
    """Tell whether a folder with files is that of a batch, or what a kill has left of one."""
    if JOURNAL in names and (folder / JOURNAL).lstat().st_size:
        return is_journal(folder / JOURNAL)
    return set(names) <= {LOCK, JOURNAL, "page.lock", "page"}


@dataclass(frozen=True, kw_only=True)
class KeptFrames:
    """What a work folder says it holds; its files are not looked at."""

    film_key: str
    frames: int
    done: bool


def kept_frames(work: Path | None) -> KeptFrames | None:
    """Read what a work folder says it holds; None if it is none."""
    try:
        film = None if work is None else read_film(work)
        if work is None or film is None:
            return None
        segments, done = replay(Journal(work / JOURNAL).read(), key=film.pixel_key)
    except BadInput:
        return None
    frames = segments[-1].end if segments else 0
    return KeptFrames(
        film_key=str(film.meta.get("film_key", "")), frames=frames, done=done is not None and done == frames
    )


def now() -> str:
    """Return the time by the clock on the wall, for people: nothing is decided by it."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
