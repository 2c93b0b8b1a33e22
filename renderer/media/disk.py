"""The disk below: how much room, what is whole, what lasts through a power cut, and what a full disk says."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from renderer.errors import BadInput, DiskProblem
from renderer.files import once_a_file, open_own
from renderer.media.ffmpeg.process import DISK_ERRNOS


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


def seal(path: Path) -> tuple[int, str]:
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


def replace(temporary: Path, final: Path) -> None:
    """Give a sealed file its final name, so that it lasts through a power cut."""
    temporary.replace(final)
    fsync_folder(final.parent)


def share(source: Path, target: Path) -> None:
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
        seal(target)


def fsync_folder(folder: Path) -> None:
    """Make renames inside a folder last through a power cut; does nothing where folders cannot be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
