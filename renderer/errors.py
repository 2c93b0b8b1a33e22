"""The errors a user can meet: what happened, what was found and expected, what to do.

Every message is one or two plain sentences, shown without a traceback. `exit_code` is what the command line ends with;
`passing` says whether the cause may have gone when the same is tried once more.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class DreamreelError(Exception):
    """A failure that a user can understand and mend."""

    exit_code = 1
    passing = False


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
    passing = True


class Interrupted(DreamreelError):
    """The user or the system asked to stop; the same command goes on where this one stopped."""

    exit_code = 130

    def __init__(self, message: str, *, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def known_error(error: Exception) -> DreamreelError | None:
    """Return what a user can mend of an error that came from a library or the system, None for a bug."""
    if isinstance(error, DreamreelError):
        return error
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return EnvironmentProblem("There is not enough memory for this; choose a smaller --size or fewer --octaves.")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None), errno.EROFS):
        where = f" ({error.filename})" if error.filename else ""
        return DiskProblem(f"The disk cannot be written: {error.strerror}{where}.")
    return None


def bug(error: Exception) -> DreamreelError:
    """Return the error that stands for one that nobody foresaw."""
    line = (str(error).strip() or "no details").splitlines()[0][:300]
    return DreamreelError(f"This is a bug in Dreamreel: {type(error).__name__}: {line}.")


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> str:
    """Say which known names come nearest, as the end of an error: "; did you mean 'a' or 'b'?" or "; known: ..."."""
    known = sorted(known)
    close = difflib.get_close_matches(name.lower(), known, n=limit, cutoff=0.5)
    if close:
        return "; did you mean " + " or ".join(repr(c) for c in close) + "?"
    listed = ", ".join(known[:40]) + (", ..." if len(known) > 40 else "")
    return f"; known: {listed}"
