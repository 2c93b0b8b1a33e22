"""The work folder of a film: which files in it are ours, who may work in it, and what is left when all is done."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import filelock

from renderer.errors import UsageError
from renderer.media.ledger import FILM, JOURNAL

LOCK = "lock"

_OURS = ("segment-*.mkv", "state-*.npz", "segment-*.mkv.part", "state-*.npz.part", JOURNAL, FILM, f"{FILM}.part")
_LANE = "lane-"


class StoreBusyError(UsageError):
    """Another run works in this folder."""


def acquire(directory: Path) -> filelock.BaseFileLock:
    """Take a work folder for this process.

    Raises:
        StoreBusyError: another one has it.
    """
    lock = filelock.FileLock(directory / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise StoreBusyError(
            f"Another run is working in {directory}. Wait until it ends, or choose another --work-dir."
        ) from error
    return lock


@contextlib.contextmanager
def removing_lock(directory: Path) -> Iterator[None]:
    """Delete the file of a lock that is let go in the block."""
    lock = directory / LOCK
    with contextlib.suppress(OSError):  # While it is ours; Windows lets go of it only after the release.
        lock.unlink()
    yield
    if os.name == "nt":
        with contextlib.suppress(OSError):
            lock.unlink()


def sweep(directory: Path, *, keep: Collection[str]) -> None:
    """Delete our files that are not in `keep`; what cannot be deleted now is debris for the next time."""
    for pattern in _OURS:
        for path in directory.glob(pattern):
            if path.name not in keep:
                with contextlib.suppress(OSError):
                    path.unlink()


def lane(directory: Path, first: int) -> Path:
    """Return the folder, itself a work folder, for what is rendered apart from frame `first` on."""
    return directory / f"{_LANE}{first:08d}"


def lanes(directory: Path) -> list[tuple[int, Path]]:
    """Return the folders of that kind that are there, with their first frames, ascending."""
    found = [(path.name.removeprefix(_LANE), path) for path in directory.glob(f"{_LANE}*")]
    return sorted((int(number), path) for number, path in found if number.isdecimal())


def remove_lanes(directory: Path) -> None:
    """Delete them, but for files in them that are not ours."""
    for _, folder in lanes(directory):
        sweep(folder, keep=())
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()
