"""How a batch comes along: a bar for the batch and one for each film at work on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import TYPE_CHECKING

from renderer.cli.show.terminal import PLAIN_SECONDS, Terminal
from renderer.events import Event, FrameDone, JobStarted, Note, RenderingStarted, Stage, StageProgress

if TYPE_CHECKING:
    from renderer.batch.batch_journal import FilmStatus
    from renderer.cli.show.bar import BatchBars


class BatchProgress:
    """How a command shows a batch; called with each event.

    Args:
        terminal: of the command.
        films: how many there are in all.
    """

    def __init__(self, terminal: Terminal, *, films: int) -> None:
        self._terminal, self.films = terminal, films
        self.ended = self.failed = 0
        self._films: dict[str, FilmProgress] = {}
        self._bars: BatchBars | None = None
        self._showing = not terminal.quiet and sys.stderr.isatty()

    def __call__(self, job: str | None, event: Event) -> None:
        """Show an event of a film, or of none: a `BatchListener`."""
        if job is None:
            if isinstance(event, Note):
                self.note(event.text)
        elif isinstance(event, JobStarted):
            self._films[job] = FilmProgress(self, job)
            if not self._showing:
                self.note(f"{job}: begun, {self.ended} of {self.films} films are through.")
        else:
            self._films[job](event)

    def note(self, text: str) -> None:
        """Tell something worth knowing."""
        if self._bars is not None:
            self._bars.note(text)
        else:
            self._terminal.note(text)

    def end(self, status: FilmStatus) -> None:
        """Count a film that is through: made, failed or stopped."""
        self.ended += 1
        self.failed += status.state == "failed"
        if self._bars is not None:
            self._bars.end(status.name)
            self._bars.batch(self.ended, self.films, failed=self.failed)

    def show(self, name: str, done: float, total: float | None, text: str, reading: str) -> None:
        """Show how far a film is: on its bar, if there are bars."""
        if not self._showing:
            return
        if self._bars is None:
            from renderer.cli.show.bar import BatchBars

            self._bars = BatchBars()
            self._bars.batch(self.ended, self.films, failed=self.failed)
        self._bars.film(name, done, total, text=text, reading=reading)

    def close(self) -> None:
        """Take the bars away; they come back when there is something to show."""
        if self._bars is not None:
            self._bars.close()
            self._bars = None

    @property
    def plain(self) -> bool:
        """Whether progress is told in lines."""
        return not self._showing and not self._terminal.quiet


class FilmProgress:
    """The listener of one film of a batch."""

    def __init__(self, batch: BatchProgress, name: str) -> None:
        self._batch, self._name = batch, name
        self._stage, self._what = "", "frame"
        self._times: deque[float] = deque(maxlen=24)
        self._told = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case Stage(text):
                self._stage = text
                self._batch.show(self._name, 0, None, text, "")
            case Note(text):
                self._note(text)
            case StageProgress(done, total):
                self._batch.show(self._name, done, total, self._stage, f"frame {done}/{total}")
            case RenderingStarted(done, total, what):
                self._what = what
                if done:
                    self._note(f"Going on from {what} {done} of {total}.")
                self._stage = "dreaming"
                self._times.clear()
                self._times.append(time.monotonic())
                self._batch.show(self._name, done, total, "dreaming", f"{what} {done}/{total}")
            case FrameDone():
                self._frame(event)

    def _note(self, text: str) -> None:
        self._batch.note(f"{self._name}: {text}")

    def _frame(self, frame: FrameDone) -> None:
        now = time.monotonic()
        self._times.append(now)
        done, total = frame.index + 1, frame.total
        speed = (len(self._times) - 1) / max(now - self._times[0], 1e-9)
        place, pace = f"{self._what} {done}", f"{speed:.3g} {self._what}s/s"
        self._batch.show(self._name, done, total, "dreaming", f"{place}/{total} · {pace}")
        if self._batch.plain and now - self._told >= PLAIN_SECONDS:
            self._told = now
            self._note(f"{place} of {total}, {pace}.")
