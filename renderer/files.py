"""Open files that somebody else wrote: only plain files, never more of one than expected, and never through a link.

What is given as an input may be a link to a plain file. What lies in a work folder may not be a link: it is ours, and
a link would make us read or write somewhere else.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import stat
import time
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, BinaryIO, Concatenate, ParamSpec, TypeVar, cast

from renderer.errors import BadInput, DiskProblem

P = ParamSpec("P")
T = TypeVar("T")

_KERNEL_FOLDERS = ("/proc/", "/sys/")  # Plain by their kind, yet made up while they are read.
_CLUTTER = ("thumbs.db", "ehthumbs.db", "desktop.ini")  # Of Windows; those of other systems begin with a dot.
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_MOMENT_NS = 100_000_000  # Coarser than the clock of any file system in use.
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def open_input(path: Path, *, expected: str) -> BufferedReader:
    """Open a file that the user named, for reading. A FIFO, a device or a folder is refused at once.

    Args:
        path: the file.
        expected: what it should be, with its article: "a picture".

    Raises:
        BadInput: it is not there, cannot be read or is no plain file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_WAIT)
    except (OSError, ValueError) as error:
        raise cannot_read(path, error, expected=expected) from error
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    real = os.path.realpath(path)
    if kind == stat.S_IFREG and not real.startswith(_KERNEL_FOLDERS):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise BadInput(f"{path} is {_what(kind)}; expected {expected}.")


def check_input(path: Path, *, expected: str) -> int:
    """Make sure that a file which another program will open is a plain one that can be read; return its bytes.

    Raises:
        BadInput: as `open_input`, or it is empty.
    """
    with open_input(path, expected=expected) as file:
        size = os.fstat(file.fileno()).st_size
    if not size:
        raise BadInput(f"{path} is empty; expected {expected}.")
    return size


def read_input(path: Path, *, expected: str, limit: int) -> bytes:
    """Return what is in a file that the user named.

    Args:
        path: the file.
        expected: what it should be, with its article.
        limit: bytes of the largest that is read.

    Raises:
        BadInput: as `open_input`, or it is larger than `limit`.
    """
    with open_input(path, expected=expected) as file:
        return _read(file, path, expected=expected, limit=limit)


def read_own(path: Path, *, expected: str, limit: int) -> bytes:
    """Return what is in a file of a work folder.

    Raises:
        FileNotFoundError: it is not there.
        BadInput: it is a link or no plain file, cannot be read, or is larger than `limit` bytes.
    """
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        return _read(file, path, expected=expected, limit=limit)


def open_own(path: Path, flags: int) -> int:
    """Open a file of a work folder, and return its descriptor; a link or anything that is no plain file is refused.

    Args:
        path: the file.
        flags: as for `os.open`.

    Raises:
        FileNotFoundError: it is not there, and `flags` do not create it.
        BadInput: it is a link or no plain file, or cannot be read.
        DiskProblem: it cannot be written.
    """
    writes = flags & (os.O_WRONLY | os.O_RDWR)
    try:
        # What would be emptied is emptied only when it is known to be ours.
        descriptor = os.open(path, flags & ~os.O_TRUNC | _NO_LINK | _NO_WAIT, 0o666)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR):
            raise _not_ours(path) from error
        if writes:
            raise DiskProblem(f"{path} cannot be written: {error.strerror or error}.") from error
        raise cannot_read(path, error, expected="a file of a work folder") from error
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode) or (writes and state.st_nlink > 1):
        os.close(descriptor)
        raise _not_ours(path)
    if flags & os.O_TRUNC:
        os.ftruncate(descriptor, 0)
    return descriptor


def expanded(text: str) -> Path:
    """Return the path that a text means, with `~` and `~name` for homes; where nobody is called so it is a name."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def is_own_folder(path: Path) -> bool:
    """Tell whether there is a folder under this name which is not reached through a link in its last part."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """Tell whether something is there; not where its name cannot be one, for which `Path.exists` may raise."""
    return os.path.exists(path)  # noqa: PTH110


def is_folder(path: Path) -> bool:
    """Tell whether a folder is there, perhaps behind a link; never raises."""
    return os.path.isdir(path)  # noqa: PTH112


def is_clutter(name: str) -> bool:
    """Tell whether a file was left in a folder by the system and not by a person: `._x.png`, `.DS_Store`, `Thumbs.db`.

    Such files are passed over wherever all files of a folder are meant.
    """
    return name.startswith(".") or name.lower() in _CLUTTER


def once_a_file(function: Callable[Concatenate[Path, P], T]) -> Callable[Concatenate[Path, P], T]:
    """Remember what a function found in a file for as long as the file stays as it is.

    Reading all of a clip or of a store takes time, and several ask for the same. A file that was changed a moment ago
    is read again each time, since the next change may leave no trace in its times; so are folders.

    Args:
        function: of a path and of more that can be hashed; what it returns must not be changed.
    """

    @functools.lru_cache(maxsize=2048)
    def remembered(path: Path, state: tuple[int, ...], *args: Any, **options: Any) -> T:
        del state
        return function(path, *args, **options)

    @functools.wraps(function)
    def asked(path: Path, *args: P.args, **options: P.kwargs) -> T:
        state = _state(path)
        return function(path, *args, **options) if state is None else remembered(path, state, *args, **options)  # type: ignore[arg-type]

    return asked


def _state(path: Path) -> tuple[int, ...] | None:
    """Return what changes with a plain file; None where that cannot be told."""
    try:
        name, file = path.lstat(), path.stat()
    except (OSError, ValueError):
        return None
    changed = max(file.st_mtime_ns, file.st_ctime_ns)
    if not stat.S_ISREG(file.st_mode) or abs(time.time_ns() - changed) < _MOMENT_NS:
        return None
    return name.st_ino, name.st_mode, file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns


@once_a_file
def file_sha256(path: Path, *, what: str = "file") -> str:
    """Return the sha256 of a file in hex; of a folder, that of the names and contents in it, but for clutter.

    Raises:
        BadInput: it cannot be read.
    """
    try:
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.is_file() and not is_clutter(file.name))
            listed = "".join(f"{file.name}\0{file_sha256(file, what=what)}\n" for file in files)
            return hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()
        with open_input(path, expected=f"the {what}") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise cannot_read(path, error, expected=f"the {what}") from error


def cannot_read(path: Path, error: Exception, *, expected: str) -> BadInput:
    """Turn what the system says about a read into an error for the user."""
    if isinstance(error, FileNotFoundError):
        return BadInput(f"{path} is not there; expected {expected}.")
    said = getattr(error, "strerror", None) or error
    return BadInput(f"{path} cannot be read: {said}; expected {expected}.")


def _read(file: BinaryIO, path: Path, *, expected: str, limit: int) -> bytes:
    try:
        data = file.read(limit + 1)
    except OSError as error:
        raise cannot_read(path, error, expected=expected) from error
    if len(data) > limit:
        raise BadInput(f"{path} has more than {limit:,} bytes, which is too large for {expected}.")
    return data


def _not_ours(path: Path) -> BadInput:
    return BadInput(
        f"{path} is a link or no plain file, so it was not written by Dreamreel; remove it, or choose another folder."
    )


def _what(kind: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(kind, "a file of the system")


_SECONDS = 8.0  # Of the processor, for any file; a picture of 100 megapixels takes a few.
_BYTES_A_SECOND = 4 << 20  # What a larger file gets more.
_TIMES, _FREE_BYTES = 8, 64 << 20  # A table of tags may point at the whole of a file from each of its entries.
_BYTES_A_READ, _FREE_READS = 100, 20_000  # The blocks of a GIF have 255 bytes, and each is read in two.
MAX_BYTES = 2 << 30
"""Bytes of the largest picture file: twice what 100 megapixels take, uncompressed, at 16 bits and with transparency."""


class MeasuredFile:
    """A file that may be read only about as much, as often and as long as its size explains.

    A context manager, which gives the file.

    Args:
        path: of the file.
        expected: what it should be, with its article.

    Raises:
        BadInput: as `open_input`, or it is too large; or, while it is read, it turns out to keep a program busy.
    """

    def __init__(self, path: Path, *, expected: str) -> None:
        self._path, self._file = path, open_input(path, expected=expected)
        size = os.fstat(self._file.fileno()).st_size
        if size > MAX_BYTES:
            self._file.close()
            raise BadInput(f"{path} has {size:,} bytes, which is too large for {expected}; {MAX_BYTES:,} are the most.")
        self._bytes = _TIMES * size + _FREE_BYTES
        self._reads = size // _BYTES_A_READ + _FREE_READS
        # Of the processor and not by the clock: a slow disk or a busy machine is no fault of the file.
        self._end = time.thread_time() + _SECONDS + size / _BYTES_A_SECOND

    def __enter__(self) -> IO[bytes]:
        return cast(IO[bytes], self)

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, count: int = -1) -> bytes:
        """Read as the file does."""
        data = self._file.read(count)
        self._bytes -= len(data)
        self._reads -= 1
        if self._bytes < 0 or self._reads < 0 or time.thread_time() > self._end:
            raise BadInput(
                f"{self._path} takes far more work to read than a file of its size should: it is damaged, or made to "
                "keep programs busy. Save the picture anew, as PNG or JPEG."
            )
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
