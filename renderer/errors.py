"""The errors a user can meet: what happened, what was found and expected, what to do.

Every message is one or two plain sentences, shown without a traceback. `exit_code` is what the command line ends with.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DreamreelError(Exception):
    """A failure that a user can understand and mend."""

    exit_code = 1


class UsageError(DreamreelError):
    """Options or settings that make no sense, alone or together."""

    exit_code = 2


class JobsFailed(DreamreelError):
    """Some jobs of a batch failed; the others are done."""

    exit_code = 3


class BadInput(DreamreelError):
    """A file given as input is missing, unreadable or not what it should be."""

    exit_code = 4


class EnvironmentProblem(DreamreelError):
    """Something outside the film is missing or broken: ffmpeg, weights, the device."""

    exit_code = 5


class DiskProblem(DreamreelError):
    """The disk is full, or a folder cannot be written."""

    exit_code = 6


class Interrupted(DreamreelError):
    """The user or the system asked to stop; the same command goes on where this one stopped."""

    exit_code = 130

    def __init__(self, message: str, *, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> str:
    """Say which known names come nearest, as the end of an error: "; did you mean 'a' or 'b'?" or "; known: ..."."""
    known = sorted(known)
    close = difflib.get_close_matches(name.lower(), known, n=limit, cutoff=0.5)
    if close:
        return "; did you mean " + " or ".join(repr(c) for c in close) + "?"
    listed = ", ".join(known[:40]) + (", ..." if len(known) > 40 else "")
    return f"; known: {listed}"
