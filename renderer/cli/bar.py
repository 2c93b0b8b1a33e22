"""The progress bar of a terminal; imported only where there is one."""

from __future__ import annotations

import os

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from renderer.jobs.outputs import span


class Bar:
    """One line that shows how a film comes along: stage, bar, frame, frames a second, time left, dream strength."""

    def __init__(self) -> None:
        # A stream of its own: stderr is led away for a moment while TensorFlow loads, and the bar goes on.
        self._stream = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[reading]}"),
            console=Console(file=self._stream),
            expand=True,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, reading="")
        self._progress.start()

    def stage(self, text: str) -> None:
        """Show a new stage, of unknown length."""
        self._progress.reset(self._task, total=None, description=text, reading="")

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(text, markup=False, highlight=False)

    def frame(self, done: int, total: int, *, speed: float, strength: float) -> None:
        """Show that a frame is done, the speed in frames a second, and the reading of the dream's strength."""
        left = span((total - done) / max(speed, 1e-9))
        reading = f"frame {done}/{total} · {speed:.3g} frames/s · {left} left · strength {strength:.3g}"
        self._progress.update(self._task, completed=done, total=total, reading=reading)

    def encoded(self, done: int, total: int) -> None:
        """Show how many frames are encoded."""
        self.reading(done, total, f"frame {done}/{total}")

    def reading(self, done: float, total: float, text: str) -> None:
        """Show how much of something is done."""
        self._progress.update(self._task, completed=done, total=total, reading=text)

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()
        self._stream.close()
