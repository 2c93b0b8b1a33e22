"""The progress bars of a terminal; imported only where there is one."""

from __future__ import annotations

import os

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from renderer.cli.show.streams import Stream, open_stream
from renderer.errors import shown
from renderer.films.outputs import span


class Bar:
    """One line that shows how a film comes along: stage, bar, frame, frames a second, time left, dream strength."""

    def __init__(self) -> None:
        self._stream, self._progress = _bars()
        self._task = self._progress.add_task("", total=None, reading="")
        self._progress.start()

    def stage(self, text: str) -> None:
        """Show a new stage, of unknown length."""
        self._progress.reset(self._task, total=None, description=_text(text), reading="")

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(shown(text), markup=False, highlight=False)

    def frame(self, done: int, total: int, *, what: str, speed: float, strength: float) -> None:
        """Show that a frame or dream is done, how many a second, and the reading of the dream's strength."""
        left = span((total - done) / max(speed, 1e-9))
        reading = f"{what} {done}/{total} · {speed:.3g} {what}s/s · {left} left · strength {strength:.3g}"
        self._progress.update(self._task, completed=done, total=total, reading=reading)

    def reading(self, done: float, total: float, text: str) -> None:
        """Show how much of something is done."""
        self._progress.update(self._task, completed=done, total=total, reading=text)

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()
        self._stream.close()


class BatchBars:
    """A line for a batch, and one under it for each film at work."""

    def __init__(self) -> None:
        self._stream, self._progress = _bars()
        self._batch = self._progress.add_task("batch", total=None, reading="")
        self._films: dict[str, TaskID] = {}
        self._progress.start()

    def batch(self, ended: int, films: int, *, failed: int) -> None:
        """Show how many films are through, and how many of these failed."""
        reading = f"film {ended}/{films}" + (f" · {failed} failed" if failed else "")
        self._progress.update(self._batch, completed=ended, total=films, reading=reading)

    def film(self, name: str, done: float, total: float | None, *, text: str, reading: str) -> None:
        """Show how far a film is; without a total, that something is going on."""
        title = _text(f"{name}: {text}")
        if name not in self._films:
            self._films[name] = self._progress.add_task(title, total=total, reading=reading)
        task = self._films[name]
        if total is None:
            self._progress.reset(task, total=None, description=title, reading=reading)
        else:
            self._progress.update(task, completed=done, total=total, description=title, reading=reading)

    def end(self, name: str) -> None:
        """Take the line of a film away."""
        if name in self._films:
            self._progress.remove_task(self._films.pop(name))

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(shown(text), markup=False, highlight=False)

    def close(self) -> None:
        """Take the bars away."""
        self._progress.stop()
        self._stream.close()


def _text(text: str) -> str:
    return escape(shown(text))


def _bars() -> tuple[Stream, Progress]:
    # A stream of its own: stderr is led away for a moment while TensorFlow loads, and the bars go on.
    stream = open_stream(os.dup(2), encoding="utf-8", closes=True)
    stream.raw = True
    return stream, Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[reading]}"),
        console=Console(file=stream),
        expand=True,
        transient=True,
    )
