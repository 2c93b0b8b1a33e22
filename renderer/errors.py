"""The errors a user can meet: what happened, what was found and expected, what to do.

Every message is one or two plain sentences, shown without a traceback. `exit_code` is what the command line ends with;
`passing` says whether the cause may have gone when the same is tried once more.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
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
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, ImportError) and not (error.name or "").startswith("renderer"):
        return EnvironmentProblem(f"A library cannot be loaded: {_root(error)}. Is memory limited? Or install again.")
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return EnvironmentProblem("The system starts no more threads; raise its limits (ulimit -u, ulimit -v).")
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):
        return BadInput(f"A link leads back to itself: {error}.")
    if isinstance(error, UnicodeEncodeError) and error.reason != "surrogates not allowed":
        return BadInput(f"The name {error.object[:100]!r} cannot be written in the encoding of this system's names.")
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return BadInput("A name of a file has a character that no name can have (NUL); leave it out.")
    return None


def _of_system(error: OSError) -> DreamreelError | None:
    """Say what the system refused: something that cannot be read is bad input, what cannot be written the disk's."""
    number, where = error.errno, error.filename
    said = f"{error.strerror or error}"
    if number in _LIMITS:
        return EnvironmentProblem(f"The system refuses more: {said}; close other programs, or raise its limits.")
    shown_at = f" ({os.fsdecode(where)})" if isinstance(where, str | bytes | os.PathLike) else ""
    if number in _DISK:
        return DiskProblem(f"The disk cannot be written: {said}{shown_at}.")
    if not shown_at:
        if number != errno.ENOENT:
            return None
        # Python asks for the current folder and for one of temporary files; both have no name of their own.
        no_temporary = "temporary" in said
        what = "There is no folder for temporary files" if no_temporary else "The current folder is gone"
        hint = "set TMPDIR to one that can be written" if no_temporary else "go to another one"
        return EnvironmentProblem(f"{what}; {hint}.")
    if number in _REFUSED:
        readable = os.access(where, os.R_OK) or not os.path.lexists(where)
        return DiskProblem(f"{os.fsdecode(where)} cannot be written: {said}.") if readable else _unreadable(where, said)
    return _unreadable(where, said) if number in _NAMES else None


def _unreadable(where: str | bytes, said: str) -> BadInput:
    return BadInput(f"{os.fsdecode(where)} cannot be read: {said}.")


_LIMITS = {errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN}
_DISK = {errno.ENOSPC, getattr(errno, "EDQUOT", None), errno.EROFS, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM}
_NAMES = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENXIO,
    errno.EINVAL,
    errno.EIO,
}
"""What the system says, by what it is about: its limits, the disk, permissions, a name that leads nowhere."""


def _root(error: BaseException) -> str:
    """Return the last line of what began a chain of errors."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return (str(error).strip() or type(error).__name__).splitlines()[-1][:300].rstrip(".")


UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)
"""Characters that do something to a text and are not seen in it."""


def shown(text: str, *, keep: str = "") -> str:
    r"""Write a text so that it cannot move a cursor, colour a terminal, or read in another order than it is written.

    Control characters, line ends too, marks of direction, invisible characters and what is no Unicode are written as in
    Python: `\x1b`, `\u202e`. Bytes of a name that are no UTF-8 are written as bytes.

    Args:
        text: of a name, a title, another program.
        keep: characters of these that stay.
    """
    return UNSEEN.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # A byte that Python could not decode.
        return f"\\x{code - 0xDC00:02x}"
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character) or ascii(character)[1:-1]


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
