"""Write files: whole or not at all, lasting through a power cut, with errors that say why they could not be."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from renderer.errors import BadInput, DiskProblem, UsageError
from renderer.files import once_a_file, open_own

DISK_ERRNOS = (errno.ENOSPC, errno.EFBIG, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC))
"""System errors that mean: no room, or no writing here."""


def check_output(path: Path, *, overwrite: bool, folder: bool = False) -> None:
    """Make sure that a result can be written under this name, before the work for it begins.

    Args:
        path: the final name.
        overwrite: whether something that is there already may be replaced.
        folder: the result is a folder of pictures, not a file.

    Raises:
        UsageError: the name is taken.
        DiskProblem: its folder is missing, is no folder, or cannot be written.
    """
    _check_free(path, overwrite=overwrite, folder=folder)
    parent = path.absolute().parent
    if not parent.is_dir():
        what = "is not a folder" if parent.exists() else "does not exist"
        raise DiskProblem(f"{path} cannot be written: the folder {parent} {what}.")
    try:
        # Asking for permissions is not enough: root may do anything, yet not on a read-only file system.
        with tempfile.TemporaryFile(dir=parent):
            pass
        with contextlib.suppress(FileNotFoundError):
            path.lstat()  # A name that is too long shows here and not after an hour of rendering.
    except OSError as error:
        raise cannot_write(path, error) from error


def _check_free(path: Path, *, overwrite: bool, folder: bool) -> None:
    if not os.path.lexists(path):
        return
    if folder:
        if not path.is_dir():
            raise UsageError(f"{path} is a file, and a folder of pictures was asked for; choose another name.")
        names = sorted(inside.name for inside in path.iterdir())
        if not names:
            return
        strange = [name for name in names if not is_picture_name(name) and name != "recipe.json"]
        if strange:  # Never throw away what we did not make.
            raise UsageError(f"The folder {path} holds other files, such as {strange[0]!r}; choose another name.")
    elif path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file, like {path / 'film.mp4'}.")
    if not overwrite:
        raise _taken(path)


def _taken(path: Path) -> UsageError:
    return UsageError(f"{path} exists already; choose another name, or allow it to be replaced with --overwrite.")


def picture_name(index: int) -> str:
    """Name the frame `index` (from 0) in a folder of pictures."""
    return f"{index:06d}.png"


def is_picture_name(name: str) -> bool:
    """Tell whether a file in a folder of pictures is one of its frames."""
    return name.endswith(".png") and name[:-4].isdecimal() and len(name) >= 10


def temporary_name(path: Path) -> Path:
    """Name the unfinished file beside its final name: hidden, the same every time, and never too long."""
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]
    return path.with_name(f".dreamreel-{digest}.part")


def cannot_write(path: Path, error: OSError) -> DiskProblem:
    """Turn what the system says about a write into an error for the user."""
    return DiskProblem(f"{path} cannot be written: {error.strerror or error}.")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failed write in the block into an error that names `path`.

    Raises:
        DiskProblem: the disk is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


@contextlib.contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary name in the folder of `path`; what is written there takes the final name if all goes well.

    Whatever stops the block, the unfinished file (or folder) is removed and `path` stays as it was.

    Args:
        path: the final name.
        overwrite: whether what is there by the end may be replaced, even if it was not there at the beginning.

    Raises:
        UsageError: the name was taken meanwhile.
        DiskProblem: the finished file could not be put in its place.
    """
    part = temporary_name(path)
    _remove(part)  # Left by a run that was killed.
    try:
        yield part
        _check_free(path, overwrite=overwrite, folder=part.is_dir())
        with writing(path):
            _settle(part)
            if overwrite:
                _swap(part, path)
            else:
                _take(part, path)
            fsync_folder(path.absolute().parent)
    finally:
        _remove(part)


def _settle(part: Path) -> None:
    """Make sure that everything is on the disk, not only in its cache."""
    files = sorted(part.iterdir()) if part.is_dir() else [part]
    for file in files:
        with file.open("rb+") as handle:
            os.fsync(handle.fileno())


def _swap(part: Path, path: Path) -> None:
    old = part.with_suffix(".old")
    if part.is_dir() and path.is_dir():  # A folder cannot be replaced in one go unless it is empty.
        _remove(old)
        path.replace(old)
    part.replace(path)
    _remove(old)


def _take(part: Path, path: Path) -> None:
    """Give a finished file or folder its name, unless something else took that name in the last moment."""
    try:
        if part.is_dir():
            part.rename(path)  # Nothing but an empty folder is ever replaced by this.
        else:
            os.link(part, path)
    except OSError as error:
        if os.path.lexists(path):
            raise _taken(path) from error
        if part.is_dir():
            raise
        # A file system without second names: an empty file holds the name.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        part.replace(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a DiskProblem that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_ERRNOS:
            advice = "Make room, or choose another folder; the same command goes on from here."
        else:
            advice = "Check that the folder exists and may be written."
        raise DiskProblem(f"Cannot write {path}: {error.strerror or error}. {advice}") from error


def free_bytes(folder: Path) -> int:
    """Return how many bytes may still be written into `folder`."""
    return shutil.disk_usage(folder).free


def sync_and_hash(path: Path) -> tuple[int, str]:
    """Force a finished file to the disk; return its length in bytes and its SHA-256."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()


@once_a_file
def is_whole(path: Path, *, length: int, sha256: str) -> bool:
    """Say whether the file is there, and no link, with that length and that SHA-256."""
    try:
        with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
            if os.fstat(file.fileno()).st_size != length:
                return False
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except (OSError, BadInput):
        return False


def replace_file(temporary: Path, final: Path) -> None:
    """Give a sealed file its final name, so that it lasts through a power cut."""
    temporary.replace(final)
    fsync_folder(final.parent)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system knows no second names.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read or written.
    """
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
        sync_and_hash(target)


def fsync_folder(folder: Path) -> None:
    """Make renames inside a folder last through a power cut; does nothing where folders cannot be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
