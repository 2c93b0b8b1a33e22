"""stdout and stderr that outlast whoever reads them: a film is made although nobody listens any more."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys

from renderer.errors import DiskProblem, shown

_GONE = {errno.EPIPE, errno.EBADF, errno.EIO, errno.ECONNRESET}
"""What the system says when the reader has left; anything else is trouble with what is written to."""


class Stream(io.TextIOWrapper):
    """Text for people and programs, a line at a time; what cannot be written is lost, and stops nothing.

    Attributes:
        raw: whether control characters go through, for what draws on a terminal.
        lost: why something could not be written.
    """

    raw = False
    lost: OSError | None = None

    def write(self, text: str) -> int:
        """Write a text; what would move a cursor or colour a terminal is written out."""
        try:
            return super().write(text if self.raw else shown(text, keep="\n\t"))
        except OSError as error:
            self._let_go(error)
            return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        try:
            super().flush()
        except OSError as error:
            self._let_go(error)

    def _let_go(self, error: OSError) -> None:
        """Lead what still comes, and what is left of before, to nowhere."""
        self.lost = self.lost or error
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)


def open_stream(descriptor: int, *, encoding: str, closes: bool = False) -> Stream:
    """Open a descriptor for text; characters that the encoding lacks are written as in Python."""
    file = open(descriptor, "wb", closefd=closes)  # noqa: SIM115 - the stream closes it
    return Stream(file, encoding=encoding, errors="backslashreplace", line_buffering=True)


def open_streams() -> None:
    """Put such streams in the place of stdout and stderr; what is closed leads nowhere.

    A closed one would get the next file that is opened, a film's, and then all that libraries write to it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for number, name in ((1, "stdout"), (2, "stderr")):
        with contextlib.suppress(OSError):
            encoding = getattr(getattr(sys, name), "encoding", None) or "utf-8"
            setattr(sys, name, open_stream(number, encoding=encoding))


def check_results() -> None:
    """Make sure that all results reached stdout, or that nobody wanted them.

    Raises:
        DiskProblem: what stdout leads to could not be written.
    """
    sys.stdout.flush()
    lost = getattr(sys.stdout, "lost", None)
    if lost is not None and lost.errno not in _GONE:
        raise DiskProblem(f"The results could not be written to stdout: {lost.strerror}.")
