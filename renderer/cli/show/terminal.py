"""What a person or a script sees: results on stdout, progress and errors on stderr, an exit code at the end."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from renderer.cli.show.stopping import StopNow, Stopper
from renderer.errors import UNSEEN, Interrupted, bug, known_error, shown
from renderer.events import (
    Event,
    FrameDone,
    Note,
    RenderingStarted,
    Stage,
    StageProgress,
    TrainingProgress,
)

if TYPE_CHECKING:
    from renderer.cli.show.bar import Bar
    from renderer.films.film import Result

PLAIN_SECONDS = 5.0
"""How often progress is told where there is no terminal, seconds."""


class Terminal:
    """One command's voice, and the listener of what it makes.

    Args:
        json: results as one JSON object a line.
        quiet: nothing on stderr but errors.
        verbose: tracebacks, and what libraries log.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.json, self.quiet, self.verbose = json, quiet, verbose
        self.stopper = Stopper()
        self._bar: Bar | None = None
        self._times: deque[float] = deque(maxlen=24)
        self._told = 0.0
        self._what = "frame"

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Run a command: whatever happens ends with a sentence and the exit code that belongs to it."""
        with self.stopper:
            try:
                yield
            except typer.Exit:
                raise
            except StopNow:
                self._fail(
                    "Stopped at once; the same command goes on from the last checkpoint.", self.stopper.exit_code
                )
            except Exception as error:
                self._explain(error)
            finally:
                self.close()

    def result(self, *lines: str, **values: Any) -> None:
        """Print a result on stdout: lines for people, or its values as JSON."""
        self.close()
        print(_as_json(values) if self.json else "\n".join(map(shown, lines)), flush=True)

    def failure(self, text: str, **values: Any) -> None:
        """Print on stderr what failed while other things went on; with JSON its values on stdout too."""
        if self.json:
            self.result("", event="failed", **values)
        self.close()
        print(_short(text), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the bar away; it comes back with the next stage."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def film(self, result: Result) -> None:
        """Print the line that ends a film or a still."""
        from renderer.films.outputs import size_text, span

        if result.strength is not None:
            self.result(
                f"{result.path}: {result.size}, dream strength {result.strength:.3g}, made in {span(result.took)}",
                event=result.kind,
                path=str(result.path),
                width=result.size.width,
                height=result.size.height,
                strength=result.strength,
                evolution=None if result.evolution is None else str(result.evolution),
                took=round(result.took, 3),
            )
            return
        details = f"{result.size}, {result.duration:.4g} s, {size_text(result.bytes)}"
        self.result(
            f"{result.path}: {details}, made in {span(result.took)}",
            event="film",
            path=str(result.path),
            width=result.size.width,
            height=result.size.height,
            fps=str(result.rate),
            frames=result.frames,
            kept=result.kept,
            seconds=result.duration,
            bytes=result.bytes,
            resumed_at=result.resumed_at,
            took=round(result.took, 3),
        )

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case Stage(text):
                self.stage(text)
            case Note(text):
                self.note(text)
            case RenderingStarted():
                self._rendering(event)
            case FrameDone():
                self._frame(event)
            case StageProgress(done, total):
                if self._bar is not None:
                    self._bar.reading(done, total, f"frame {done}/{total}")
            case TrainingProgress():
                self._training(event)

    def stage(self, text: str) -> None:
        """Tell what is being done now."""
        self._told = time.monotonic()
        if self._bar is None and not self.quiet and sys.stderr.isatty():
            from renderer.cli.show.bar import Bar

            self._bar = Bar()
        if self._bar is not None:
            self._bar.stage(text)
        else:
            self.note(text[:1].upper() + text[1:] + ".")

    def note(self, text: str) -> None:
        """Tell something worth knowing."""
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.note(text)
        else:
            print(_short(text), file=sys.stderr, flush=True)

    def _rendering(self, started: RenderingStarted) -> None:
        self.stopper.graceful = True
        self._what = started.what
        if started.done:
            self.note(f"Going on from {started.what} {started.done} of {started.total}.")
        self.stage("dreaming")
        self._times.clear()
        self._times.append(time.monotonic())
        self._told = time.monotonic()

    def _frame(self, frame: FrameDone) -> None:
        from renderer.films.outputs import span

        now = time.monotonic()
        self._times.append(now)
        done, total = frame.index + 1, frame.total
        speed = (len(self._times) - 1) / max(now - self._times[0], 1e-9)
        if self._bar is not None:
            self._bar.frame(done, total, what=self._what, speed=speed, strength=frame.strength)
        elif not self.quiet and (frame.index == 0 or done == total or now - self._told >= PLAIN_SECONDS):
            self._told = now
            left = f"{span((total - done) / speed)} left, " if len(self._times) > 3 and done < total else ""
            place = f"{self._what.capitalize()} {done} of {total}, {speed:.3g} {self._what}s/s"
            self.note(f"{place}, {left}dream strength {frame.strength:.3g}.")

    def counted(self, done: int, total: int, *, what: str) -> None:
        """Tell how many of some things are done."""
        if self._bar is not None:
            self._bar.reading(done, total, f"{what} {done} of {total}")
        elif not self.quiet and (done == total or time.monotonic() - self._told >= PLAIN_SECONDS):
            self._told = time.monotonic()
            self.note(f"{what.capitalize()} {done} of {total}.")

    def _training(self, progress: TrainingProgress) -> None:
        if self._bar is not None:
            self._bar.reading(progress.minutes, progress.total, progress.reading)
        elif not self.quiet and time.monotonic() - self._told >= 4 * PLAIN_SECONDS:
            self._told = time.monotonic()
            self.note(f"Minute {progress.minutes:.1f} of {progress.total:g}: {progress.reading}.")

    def _explain(self, error: Exception) -> None:
        if self.verbose:
            self.close()
            traceback.print_exc()
        known = known_error(error)
        if known is None:
            hint = "" if self.verbose else " Run it again with -v for the traceback."
            self._fail(f"{bug(error)}{hint}", 1)
        code = self.stopper.exit_code if isinstance(known, Interrupted) and self.stopper.asked else known.exit_code
        self._fail(str(known), code)

    def _fail(self, message: str, code: int) -> NoReturn:
        self.close()
        if self.json:
            print(_as_json({"event": "error", "exit_code": code, "message": message}), flush=True)
        print(f"dreamreel: {_short(message)}", file=sys.stderr, flush=True)
        raise typer.Exit(code)


def _as_json(values: dict[str, Any]) -> str:
    """Write values as a line of JSON, in which nothing moves a cursor, and which any encoding of stdout can hold."""
    unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    text = json.dumps(values, ensure_ascii=not unicode, default=str)
    return UNSEEN.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _short(text: str) -> str:
    """Write a text for people: nothing in it moves a cursor, and names of thousands of letters are cut."""
    return re.sub(r"\S{400,}", lambda found: f"{found[0][:120]}[...]{found[0][-60:]}", shown(text))
