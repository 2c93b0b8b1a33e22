"""What Ctrl-C and a system's wish to stop do: once, the frame is finished and kept; twice, it ends at once."""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType, TracebackType
from typing import Any, Self

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class StopNow(BaseException):
    """End at once, past every `except Exception` on the way."""


class Stopper:
    """Whether somebody asked to stop. A context manager, and the `should_stop` of a film.

    Attributes:
        asked: whether a stop was asked for.
        exit_code: what to end with then.
        graceful: whether the first request waits for the frame at work; else it ends at once as the second does.
    """

    def __init__(self) -> None:
        self.asked = False
        self.exit_code = 130
        self.graceful = False
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        return self.asked

    def __enter__(self) -> Self:
        for number in EXIT_CODES:
            with contextlib.suppress(ValueError):  # not in the main thread: signals are somebody else's affair
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.exit_code = EXIT_CODES[signal.Signals(number)]
        if self.asked or not self.graceful:
            self.asked = True
            raise StopNow
        self.asked = True
        # Not through Python's streams: a handler may come in the middle of a write to them.
        with contextlib.suppress(OSError):
            os.write(2, b"\nStopping when this frame is done; once more stops at once.\n")
