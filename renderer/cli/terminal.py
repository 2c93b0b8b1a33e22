"""What a person or a script sees: results on stdout, progress and errors on stderr, an exit code at the end."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from renderer.cli.stopping import StopNow, Stopper
from renderer.errors import Interrupted, known_error

if TYPE_CHECKING:
    from renderer.cli.bar import Bar
    from renderer.jobs.distill import Progress
    from renderer.jobs.film import Result
    from renderer.render.loop import FrameReport

PLAIN_SECONDS = 5.0
"""How often progress is told where there is no terminal, seconds."""


class Terminal:
    """One command's voice, and the `Listener` of its film.

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
            except BrokenPipeError:
                # Whoever read our results has gone. Nothing may be written on the way out either.
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                raise typer.Exit(0) from None
            except Exception as error:
                self._explain(error)
            finally:
                self.close()

    def result(self, text: str, **values: Any) -> None:
        """Print a result on stdout: a line for people, or its values as JSON."""
        self.close()
        print(json.dumps(values, ensure_ascii=False, default=str) if self.json else text, flush=True)

    def failure(self, text: str, **values: Any) -> None:
        """Print on stderr what failed while other things went on; with JSON its values on stdout too."""
        if self.json:
            self.result("", event="failed", **values)
        self.close()
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the bar away; it comes back with the next stage."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def film(self, result: Result) -> None:
        """Print the line that ends a film."""
        from renderer.jobs.outputs import size_text, span

        details = f"{result.size}, {result.duration:.4g} s, {size_text(result.bytes)}"
        self.result(
            f"{result.path}: {details}, made in {span(result.took)}",
            event="film",
            path=str(result.path),
            width=result.size.width,
            height=result.size.height,
            fps=str(result.rate),
            frames=result.frames,
            seconds=result.duration,
            bytes=result.bytes,
            resumed_at=result.resumed_at,
            took=round(result.took, 3),
        )

    def stage(self, text: str) -> None:
        """Tell what is being done now."""
        self._told = time.monotonic()
        if self._bar is None and not self.quiet and sys.stderr.isatty():
            from renderer.cli.bar import Bar

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
            print(text, file=sys.stderr, flush=True)

    def rendering(self, *, done: int, total: int) -> None:
        """Tell that frames will follow; a stop now waits for the frame at work."""
        self.stopper.graceful = True
        if done:
            self.note(f"Going on from frame {done} of {total}.")
        self.stage("dreaming")
        self._times.clear()
        self._times.append(time.monotonic())
        self._told = time.monotonic()

    def frame(self, report: FrameReport) -> None:
        """Tell that a frame is done."""
        from renderer.jobs.outputs import span

        now = time.monotonic()
        self._times.append(now)
        done, total = report.index + 1, report.total
        speed = (len(self._times) - 1) / max(now - self._times[0], 1e-9)
        if self._bar is not None:
            self._bar.frame(done, total, speed=speed, strength=report.strength)
        elif not self.quiet and (report.index == 0 or done == total or now - self._told >= PLAIN_SECONDS):
            self._told = now
            left = f"{span((total - done) / speed)} left, " if len(self._times) > 3 and done < total else ""
            self.note(f"Frame {done} of {total}, {speed:.3g} frames/s, {left}dream strength {report.strength:.3g}.")

    def encoded(self, done: int, total: int) -> None:
        """Tell how many frames are encoded."""
        if self._bar is not None:
            self._bar.encoded(done, total)

    def counted(self, done: int, total: int, *, what: str) -> None:
        """Tell how many of some things are done."""
        if self._bar is not None:
            self._bar.reading(done, total, f"{what} {done} of {total}")
        elif not self.quiet and (done == total or time.monotonic() - self._told >= PLAIN_SECONDS):
            self._told = time.monotonic()
            self.note(f"{what.capitalize()} {done} of {total}.")

    def training(self, progress: Progress, *, minutes: float) -> None:
        """Tell how far a training is."""
        if self._bar is not None:
            self._bar.reading(progress.share * minutes, minutes, progress.reading)
        elif not self.quiet and time.monotonic() - self._told >= 4 * PLAIN_SECONDS:
            self._told = time.monotonic()
            self.note(f"Minute {progress.share * minutes:.1f} of {minutes:g}: {progress.reading}.")

    def _explain(self, error: Exception) -> None:
        if self.verbose:
            self.close()
            traceback.print_exc()
        known = known_error(error)
        if known is None:
            line = (str(error).strip() or "no details").splitlines()[0][:300]
            hint = "" if self.verbose else " Run it again with -v for the traceback."
            self._fail(f"This is a bug in Dreamreel: {type(error).__name__}: {line}.{hint}", 1)
        code = self.stopper.exit_code if isinstance(known, Interrupted) and self.stopper.asked else known.exit_code
        self._fail(str(known), code)

    def _fail(self, message: str, code: int) -> NoReturn:
        self.close()
        if self.json:
            print(json.dumps({"event": "error", "exit_code": code, "message": message}, ensure_ascii=False), flush=True)
        print(f"dreamreel: {message}", file=sys.stderr, flush=True)
        raise typer.Exit(code)
