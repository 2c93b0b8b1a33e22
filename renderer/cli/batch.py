"""`dreamreel batch` and `dreamreel status`: many films."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from renderer.cli.options import Making, command
from renderer.cli.show.terminal import Terminal
from renderer.errors import shown

if TYPE_CHECKING:
    from renderer.batch.batch_journal import FilmStatus
    from renderer.batch.batch_plan import BatchOptions, PlannedJob
    from renderer.batch.status import BatchState


def add(app: typer.Typer) -> None:
    """Register the commands."""
    for function in (batch, status):
        command(app)(function)


def batch(
    terminal: Terminal,
    jobs: Annotated[Path, typer.Argument(metavar="JOBS.toml", help="The films to make, see docs/batch.md.")],
    *,
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", metavar="DIR", help="Where outputs are meant from. [where JOBS.toml lies]"),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Make these films alone; * and ? too.")
    ] = None,
    executor: Annotated[
        str, typer.Option("--executor", metavar="SPEC", help="serial, process, process:N or dask://HOST:PORT.")
    ] = "serial",
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", min=1, max=1024, help="How many films at a time.")
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going/--fail-fast", help="Whether a film that fails stops the others.")
    ] = True,
    making: Making,
    preview: Annotated[
        bool, typer.Option("--preview", help="Make small previews, NAME.preview.mp4 and so on, in place of the films.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the films, and say what they would take; nothing is written.")
    ] = False,
) -> None:
    """Make the films of a jobs file; one that fails stops no other.

    Stop it whenever you like: the same command goes on where it stopped, and makes nothing twice.
    """
    from renderer.batch.batch_plan import BatchOptions

    options = BatchOptions(only=tuple(only or ()), preview=preview, **making.options())
    if dry_run:
        _dry_run(terminal, jobs, output_dir, options)
    else:
        _run(terminal, jobs, output_dir, options, executor=executor, workers=workers, fail_fast=not keep_going)


def status(
    terminal: Terminal,
    where: Annotated[
        Path, typer.Argument(metavar="DIR|JOBS.toml", help="The jobs file, or the folder with its films.")
    ],
    *,
    report: Annotated[bool, typer.Option("--report", help="Write the page report.html beside the films, too.")] = False,
) -> None:
    """Show how a batch stands: what is made, at work, failed, waiting; while it runs and afterwards."""
    from renderer.batch.status import read_state

    state = read_state(where)
    if terminal.json:
        for status in state.films:
            terminal.result("", event="film", **status.values())
    else:
        for line in table([_status_cells(status, state) for status in state.films]):
            terminal.result(line)
    text = _status_line(state)
    times = {"running": state.running, "began": state.began, "ended": state.ended}
    terminal.result(text, event="batch", folder=str(state.folder), **times, counts=state.counts())
    if report:
        _write_report(terminal, state)
    _check_failed(state.counts()["failed"], len(state.films), "failed; `dreamreel batch` tries them once more")


def _run(
    terminal: Terminal,
    path: Path,
    output_dir: Path | None,
    options: BatchOptions,
    *,
    executor: str,
    workers: int | None,
    fail_fast: bool,
) -> None:
    from renderer.batch.batch_journal import BatchJournal, batch_folder
    from renderer.batch.batch_plan import open_jobs, plan_batch
    from renderer.batch.report import BatchReport
    from renderer.batch.run import run_batch
    from renderer.cli.show.progress import BatchProgress
    from renderer.workers.executors import open_executor

    began = time.monotonic()
    jobs = open_jobs(path, output_dir=output_dir, preview=options.preview)
    base = (output_dir or jobs.folder).absolute()
    chosen = open_executor(executor, workers=workers)
    ended: list[FilmStatus] = []
    # What is entered into `after` ends when the journal is closed: the page then says that the run has ended.
    with contextlib.ExitStack() as after, BatchJournal(batch_folder(path, base)) as journal:
        terminal.stage("looking at the films")
        planned = plan_batch(jobs, journal, options=options, progress=_counting(terminal))
        terminal.close()
        _tell_problems(terminal, planned)
        progress = BatchProgress(terminal, films=len(planned))
        page = after.enter_context(BatchReport(journal.folder, tell=progress.note, should_stop=terminal.stopper))
        terminal.stopper.graceful = True
        try:
            for status in run_batch(
                jobs,
                planned,
                journal,
                executor=chosen,
                label=executor,
                listener=progress,
                should_stop=terminal.stopper,
                fail_fast=fail_fast,
            ):
                ended.append(status)
                progress.end(status)
                if status.state == "done":
                    progress.close()
                    _tell_film(terminal, status)
                elif status.attempts:
                    progress.note(f"{status.name} {status.state}: {status.error}")
                page.film(status)
        finally:
            progress.close()
    if page.path is not None:
        terminal.note(f"All of them on one page: {page.path}")
    _finish(terminal, ended, films=len(planned), took=time.monotonic() - began)


def _write_report(terminal: Terminal, state: BatchState) -> None:
    from renderer.batch.film_summary import show
    from renderer.batch.report import write_report

    made = [status for status in state.films if status.state == "done"]
    terminal.stage("looking at the films")
    for number, status in enumerate(made, start=1):
        show(status, state.folder)
        terminal.counted(number, len(made), what="film")
    path = write_report(state)
    terminal.result(str(path), event="report", path=str(path))


def _dry_run(terminal: Terminal, path: Path, output_dir: Path | None, options: BatchOptions) -> None:
    from renderer.batch.batch_journal import BatchJournal, batch_folder
    from renderer.batch.batch_plan import open_jobs, plan_batch
    from renderer.batch.estimate import estimate

    jobs = open_jobs(path, output_dir=output_dir, preview=options.preview)
    base = (output_dir or jobs.folder).absolute()
    terminal.stage("looking at the films")
    planned = plan_batch(jobs, BatchJournal(batch_folder(path, base)), options=options, progress=_counting(terminal))
    if terminal.json:
        for one in planned:
            terminal.result("", event="film", **_planned_values(one))
    else:
        for line in table([_plan_cells(one, base) for one in planned]):
            terminal.result(line)
    for one in planned:
        for note in one.notes:
            terminal.note(f"{one.status.name}: {note}")
    found = estimate(planned, listener=terminal)
    failed = sum(one.error is not None for one in planned)
    terminal.result(
        found.text() if found.films or not failed else "Nothing else is left to make.",
        event="plan",
        films=found.films,
        dreams=found.dreams,
        seconds=None if found.seconds is None else round(found.seconds, 3),
        bytes=found.bytes,
        peak=found.peak,
        measured=found.measured,
        failed=failed,
    )
    _check_failed(failed, len(planned), "cannot be made")


def _check_failed(failed: int, films: int, what: str) -> None:
    from renderer.errors import JobsFailed

    if failed:
        raise JobsFailed(f"{failed} of {films} films {what}.")


def _counting(terminal: Terminal) -> Callable[[int, int], None]:
    return lambda done, total: terminal.counted(done, total, what="film")


def _tell_problems(terminal: Terminal, planned: Sequence[PlannedJob]) -> None:
    """Say at once what cannot be made: nobody should have to wait for the morning to learn it."""
    for one in planned:
        for note in one.notes:
            terminal.note(f"{one.status.name}: {note}")
        if one.error is not None:
            terminal.note(f"{one.status.name} cannot be made: {one.error}")


def _tell_film(terminal: Terminal, status: FilmStatus) -> None:
    from renderer.films.outputs import size_text, span

    length = f", {status.seconds:.4g} s" if status.fps else ""
    made = "made before" if status.earlier else f"made in {span(status.took or 0.0)}"
    details = f"{status.size}{length}, {size_text(status.bytes or 0)}, {made}"
    terminal.result(f"{status.out}: {details}", event="film", path=str(status.out), **status.values())


def _finish(terminal: Terminal, ended: Sequence[FilmStatus], *, films: int, took: float) -> None:
    """Tell the failures and the sum, and end with the exit code that belongs to them."""
    from renderer.errors import Interrupted, JobsFailed
    from renderer.films.outputs import span

    made = [status for status in ended if status.state == "done"]
    failed = [status for status in ended if status.state == "failed"]
    for status in failed:
        terminal.failure(f"{status.name}: {status.error}", **status.values())
    before = sum(status.earlier for status in made)
    left = films - len(made) - len(failed)
    parts = [f"{len(made)} of {films} films are made" + (f" ({before} of them before)" if before else "")]
    parts += [f"{len(failed)} failed"] if failed else []
    parts += [f"{left} are left"] if left else []
    summary = f"{', '.join(parts)}, in {span(took)}."
    if terminal.json:
        values = {"made": len(made), "before": before, "failed": len(failed), "left": left}
        terminal.result("", event="batch", films=films, **values, took=round(took, 3))
    if left and terminal.stopper.asked:
        raise Interrupted(f"{summary} The same command goes on from here.")
    if failed:
        raise JobsFailed(f"{summary} The same command tries what failed once more.")
    terminal.note(summary)


# --- tables ----------------------------------------------------------------------------------------------------------


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lay cells out in columns, two spaces apart; the last one is as long as it is."""
    held = [[shown(str(cell)) for cell in row] for row in rows]
    widths = [min(80, max(map(len, column))) for column in zip(*held, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in held]


def _plan_cells(one: PlannedJob, base: Path) -> list[str]:
    status = one.status
    state = (
        status.state if not status.frames_done or status.state == "done" else f"{status.state} at {status.frames_done}"
    )
    last = f"{_shown(status.out, base)}" if one.error is None else f"cannot be made: {one.error}"
    return [status.name, status.kind, f"{status.frames or '?'} frames", status.size or "?", state, last]


def _planned_values(one: PlannedJob) -> dict[str, Any]:
    error = {} if one.error is None else {"error": str(one.error), "exit_code": one.error.exit_code}
    return {**one.status.values(), "priority": one.priority, "notes": list(one.notes), **error}


def _status_cells(status: FilmStatus, state: BatchState) -> list[str]:
    from renderer.films.outputs import size_text, span

    if status.state == "failed":
        last = status.error
    elif status.state == "done":
        how = [
            size_text(status.bytes or 0),
            f"in {span(status.took)}" if status.took else "",
            f"{status.speed:.3g} {status.what}/s" if status.speed else "",
        ]
        last = f"{_shown(status.out, state.base)}: {', '.join(filter(None, how))}"
    else:
        last = _shown(status.out, state.base)
    frames = f"{status.frames_done}/{status.pictures or '?'} {status.what}"
    return [status.state, status.name, status.kind, status.preset, status.size or "?", frames, last]


def _status_line(state: BatchState) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in state.counts().items() if count)
    if state.running:
        when = f"running since {state.began}"
    elif state.ended:
        when = f"the last run ended {state.ended}"
    else:
        when = f"the last run, begun {state.began}, was cut short; `dreamreel batch` goes on"
    return f"{len(state.films)} films: {counts}; {when}."


def _shown(path: Path | None, base: Path) -> str:
    if path is None:
        return "-"
    return str(path.relative_to(base) if path.is_relative_to(base) else path)
