"""How a batch stands: a film each, read from its journal while it runs and after it ended or was killed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from renderer.batch.batch_journal import (
    STATES,
    SUFFIX,
    TOLD,
    BatchJournal,
    FilmStatus,
    JobHistory,
    JobRecord,
    RunRecord,
    batch_folder,
    kept_frames,
)
from renderer.errors import BadInput
from renderer.files import exists
from renderer.media.store.work_folder import JOURNAL


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
    journal = BatchJournal(_find(where))
    if journal.plan is None:
        raise BadInput(f"{journal.folder} holds no batch that this version of Dreamreel can read.")
    running, lines = journal.is_at_work(), journal.lines
    start = next((n for n in reversed(range(len(lines))) if lines[n].kind == "start"), len(lines))
    run = lines[start:]
    began = next((line for line in run if isinstance(line, RunRecord)), None)
    ended = next((line.at for line in run if isinstance(line, RunRecord) and line.kind == "end"), "")
    made = {line.out for line in run if isinstance(line, JobRecord) and line.kind == "done"}
    return BatchState(
        folder=journal.folder,
        base=journal.base,
        file=journal.base / journal.plan.file,
        running=running,
        executor=began.executor if began else "",
        began=began.at if began else "",
        ended="" if running else ended,
        films=tuple(
            _since(
                film, journal.history(film.out, film.name), earlier=journal.place(film.out) not in made, at_work=running
            )
            for film in journal.films
        ),
    )


def _since(film: FilmStatus, history: JobHistory, *, earlier: bool, at_work: bool) -> FilmStatus:
    """Bring a film as it was planned up to date with what happened since."""
    last = history.last
    if last is None:
        return film
    if last.kind == "done":
        state = "done" if film.out is not None and exists(film.out) else "waiting"
        return film.updated(**last.told(*TOLD), state=state, earlier=earlier, frames_done=film.pictures)
    if last.kind == "failed":
        told = last.told("error", "exit_code", "at")
        return film.updated(**told, state="waiting" if last.again else "failed", attempts=history.attempts)
    state = "running" if last.kind == "begun" and at_work else "stopped"
    work = kept_frames(film.work)
    kept = 0 if work is None else work.frames
    return film.updated(state=state, attempts=history.attempts, frames_done=kept, at=last.at)


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
