"""How a batch stands: a film each, read from its journal while it runs and after it ended or was killed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import filelock
import pydantic

from renderer.batch.batch_journal import (
    LOCK,
    SUFFIX,
    TOLD,
    FilmHistory,
    FilmRecord,
    JobRecord,
    RunRecord,
    batch_folder,
    held,
    identity,
    last_plan,
    read_lines,
    records_of,
)
from renderer.errors import BadInput
from renderer.files import exists
from renderer.media.store.journal import Journal
from renderer.media.store.work_folder import JOURNAL, lock_of
from renderer.records import Bytes, Count, ExitCode, PathText, RateText, Seconds, SizeText, Text

STATES = ("waiting", "running", "stopped", "done", "failed")
"""What a film of a batch can be: not begun, at work, begun and stopped or killed, made, given up."""


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=pydantic.ConfigDict(strict=True, allow_inf_nan=False))
class FilmStatus:
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

    name: Text
    kind: Text
    preset: Text
    state: Literal["waiting", "running", "stopped", "done", "failed"] = "waiting"
    out: Path | None = None
    work: Path | None = None
    source: Text = ""
    network: Text = ""
    seed: int | None = None
    size: SizeText = ""
    fps: RateText | Literal[""] = ""
    frames: Count = 0
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
        """Frames a second, of those that were dreamed; None where none was."""
        return self.rendered / self.dreaming if self.rendered and self.dreaming else None

    def values(self) -> dict[str, Any]:
        """Return it as JSON values."""
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
        films: its films, in the order of the jobs file.
    """

    folder: Path
    base: Path
    file: Path
    running: bool
    executor: str = ""
    began: str = ""
    ended: str = ""
    films: tuple[FilmStatus, ...] = ()

    def counts(self) -> dict[str, int]:
        """Count the films by state."""
        return {state: sum(status.state == state for status in self.films) for state in STATES}


def read_state(where: Path) -> BatchState:
    """Read how a batch stands, while it runs or afterwards; nothing is changed.

    Args:
        where: the jobs file, its batch folder, or the folder with the films of one batch.

    Raises:
        BadInput: no batch was begun there, or several and none is named.
    """
    folder = _find(where)
    lines = read_lines(Journal(folder / JOURNAL))
    plan, base = last_plan(lines), folder.parent
    try:
        planned = [] if plan is None else [(_planned(job, base), identity(job)) for job in plan.jobs]
    except ValueError:
        plan = None
    if plan is None:
        raise BadInput(f"{folder} holds no batch that this version of Dreamreel can read.")
    running = _is_locked(folder)
    start = next((n for n in reversed(range(len(lines))) if lines[n].kind == "start"), len(lines))
    run = lines[start:]
    began = next((line for line in run if isinstance(line, RunRecord)), None)
    ended = next((line.at for line in run if isinstance(line, RunRecord) and line.kind == "end"), "")
    fresh = {identity(line) for line in run if isinstance(line, FilmRecord) and line.kind == "done"}
    records = records_of(lines)
    films = [
        _now(status, records.get(key, FilmHistory()), earlier=key not in fresh, running=running)
        for status, key in planned
    ]
    return BatchState(
        folder=folder,
        base=base,
        file=base / plan.file,
        running=running,
        executor=began.executor if began else "",
        began=began.at if began else "",
        ended="" if running else ended,
        films=tuple(films),
    )


def _planned(job: JobRecord, base: Path) -> FilmStatus:
    """Read a film as it was planned; what a later version may have added is left out.

    Raises:
        ValueError: it is none.
    """
    held = job.model_dump()
    known = {item.name: held[item.name] for item in dataclasses.fields(FilmStatus) if item.name in held}
    for name in ("out", "work", "source"):
        text = known.get(name)
        if text:
            known[name] = base / _PATH.validate_python(text)
    return FilmStatus(**{**known, "source": str(known.get("source") or "")})


def _now(status: FilmStatus, record: FilmHistory, *, earlier: bool, running: bool) -> FilmStatus:
    """Bring a planned film up to date with what happened since."""
    last = record.last
    if last is None:
        return status
    if last.kind == "done":
        same = status.out is not None and exists(status.out)
        state: Literal["done", "waiting"] = "done" if same else "waiting"
        return replace(status, **last.told(*TOLD), state=state, earlier=earlier, frames_done=status.frames)
    if last.kind == "failed":
        told = last.told("error", "exit_code", "at")
        return replace(status, **told, state="waiting" if last.again else "failed", attempts=record.attempts)
    at_work = last.kind == "begun" and running
    now: Literal["running", "stopped"] = "running" if at_work else "stopped"
    return replace(status, state=now, attempts=record.attempts, frames_done=_kept(status.work), at=last.at)


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
    """Say whether a run is at work, by the lock that the system takes back when a process dies.

    Raises:
        BadInput: what is there under its name is not a lock.
    """
    if not os.path.lexists(folder / LOCK):
        return False
    lock = lock_of(folder, LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return True
    except OSError:  # On a disk that cannot be written no run is at work.
        return False
    lock.release()
    return False


_PATH = pydantic.TypeAdapter(PathText)
