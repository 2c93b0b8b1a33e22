"""How a batch stands: a row a film, read from its journal while it runs and after it ended or was killed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import filelock

from renderer.errors import BadInput
from renderer.jobs.batch.journal import LOCK, SUFFIX, VERSION, Record, batch_folder, held, identity, records_of
from renderer.media.journal import Journal
from renderer.media.ledger import JOURNAL

STATES = ("waiting", "running", "stopped", "done", "failed")
"""What a film of a batch can be: not begun, at work, begun and stopped or killed, made, given up."""

TOLD = ("frames", "rendered", "took", "dreaming", "bytes", "sha256", "strength", "size", "at")
"""What an entry that says "done" tells of a film."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One film of a batch, as tables and pages show it.

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
        frames_done: how many are kept so far.
        rendered: frames that were dreamed in the run that finished it; fewer than `frames` if it was stopped before.
        seconds: its length.
        took: seconds that the run which finished it took for it, from loading to encoding.
        dreaming: seconds of these that its frames took; on several workers, of all of them together.
        bytes: of the finished file.
        sha256: of the finished file.
        strength: mean of the objective over the frames of the run that finished it; None where none was dreamed.
        attempts: how often it was begun since it was last done.
        earlier: whether a former run of the batch made it.
        error: why it failed, in a sentence.
        exit_code: what `dreamreel` alone would have ended with.
        at: when that was, ISO 8601 with the offset.
    """

    name: str
    kind: str
    preset: str
    state: str = "waiting"
    out: Path | None = None
    work: Path | None = None
    source: str = ""
    network: str = ""
    seed: int | None = None
    size: str = ""
    fps: str = ""
    frames: int = 0
    frames_done: int = 0
    rendered: int = 0
    seconds: float = 0.0
    took: float | None = None
    dreaming: float | None = None
    bytes: int | None = None
    sha256: str = ""
    strength: float | None = None
    attempts: int = 0
    earlier: bool = False
    error: str = ""
    exit_code: int | None = None
    at: str = ""

    @property
    def speed(self) -> float | None:
        """Frames a second, of those that were dreamed; None where none was."""
        return self.rendered / self.dreaming if self.rendered and self.dreaming else None

    def values(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        paths = {
            name: None if value is None else str(value) for name, value in (("out", self.out), ("work", self.work))
        }
        return {**asdict(self), **paths, "speed": self.speed}


@dataclass(frozen=True, kw_only=True)
class BatchState:
    """How a batch stands.

    Attributes:
        folder: with its journal.
        base: what paths in the journal are meant from.
        file: the jobs file.
        running: whether a run is at work on it now.
        executor: of the last run.
        began: when the last run began, ISO 8601.
        ended: when it ended; "" if it is at work or was killed.
        rows: its films, in the order of the jobs file.
    """

    folder: Path
    base: Path
    file: Path
    running: bool
    executor: str = ""
    began: str = ""
    ended: str = ""
    rows: tuple[Row, ...] = ()

    def counts(self) -> dict[str, int]:
        """Count the films by state."""
        return {state: sum(row.state == state for row in self.rows) for state in STATES}


def read_state(where: Path) -> BatchState:
    """Read how a batch stands, while it runs or afterwards; nothing is changed.

    Args:
        where: the jobs file, its batch folder, or the folder with the films of one batch.

    Raises:
        BadInput: no batch was begun there, or several and none is named.
    """
    folder = _find(where)
    entries = Journal(folder / JOURNAL).read()
    plan = next((entry for entry in reversed(entries) if entry["kind"] == "plan"), None)
    if plan is None or plan.get("version") != VERSION:
        raise BadInput(f"{folder} holds no batch that this version of Dreamreel can read.")
    running, base = _is_locked(folder), folder.parent
    start = next((index for index in reversed(range(len(entries))) if entries[index]["kind"] == "start"), len(entries))
    this_run = entries[start:]
    first = this_run[0] if this_run else {}
    ended = next((entry["at"] for entry in this_run if entry["kind"] == "end"), "")
    records = records_of(entries)
    fresh = {identity(entry) for entry in this_run if entry["kind"] == "done"}
    rows = []
    for job in plan["jobs"]:
        row = _planned(job, base)
        record = records.get(identity(job), Record())
        rows.append(_now(row, record, earlier=identity(job) not in fresh, running=running))
    return BatchState(
        folder=folder,
        base=base,
        file=base / plan["file"],
        running=running,
        executor=first.get("executor", ""),
        began=first.get("at", ""),
        ended="" if running else ended,
        rows=tuple(rows),
    )


def _planned(job: Mapping[str, Any], base: Path) -> Row:
    """Read a row as it was planned; what a later version may have added is left out."""
    known = {item.name: job[item.name] for item in fields(Row) if item.name in job}
    paths = {name: None if known.get(name) is None else base / known[name] for name in ("out", "work")}
    source = str(base / known["source"]) if known.get("source") else ""
    return Row(**{**known, **paths, "source": source})


def _now(row: Row, record: Record, *, earlier: bool, running: bool) -> Row:
    """Bring a planned row up to date with what happened since."""
    last = record.last
    kind = last.get("kind")
    if kind == "done":
        same = row.out is not None and row.out.exists()
        told = {name: last[name] for name in TOLD if name in last}
        return replace(row, **told, state="done" if same else "waiting", earlier=earlier, frames_done=row.frames)
    if kind == "failed":
        told = {name: last[name] for name in ("error", "exit_code", "at") if name in last}
        again = bool(last.get("again"))
        return replace(row, **told, state="waiting" if again else "failed", attempts=record.attempts)
    if kind in ("begun", "stopped"):
        at_work = kind == "begun" and running
        state = "running" if at_work else "stopped"
        return replace(row, state=state, attempts=record.attempts, frames_done=_kept(row.work), at=last["at"])
    return row


def _kept(work: Path | None) -> int:
    found = held(work)
    return 0 if found is None else found.frames


def _find(where: Path) -> Path:
    if where.is_file():
        folders = [batch_folder(where, where.absolute().parent)]
        if not (folders[0] / JOURNAL).is_file():
            raise BadInput(
                f"No batch of {where} was begun beside it. If it was given an --output-dir, name that folder instead."
            )
    elif (where / JOURNAL).is_file() and where.name.endswith(SUFFIX):
        folders = [where]
    elif where.is_dir():
        folders = list(_inside(where))
    else:
        raise BadInput(f"{where} does not exist.")
    if len(folders) != 1:
        which = ", ".join(str(folder) for folder in folders[:8])
        raise BadInput(
            f"{where} holds {len(folders)} batches; name one of them: {which}."
            if folders
            else f"{where} holds no batch."
        )
    return folders[0].absolute()


def _inside(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob(f".*{SUFFIX}")):
        if (path / JOURNAL).is_file():
            yield path


def _is_locked(folder: Path) -> bool:
    """Say whether a run is at work, by the lock that the system takes back when a process dies."""
    if not (folder / LOCK).exists():
        return False
    lock = filelock.FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return True
    except OSError:  # On a disk that cannot be written no run is at work.
        return False
    lock.release()
    return False
