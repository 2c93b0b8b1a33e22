"""The work folder of a film: which files in it are ours, who may work in it, and what is left when all is done."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import filelock

from renderer.errors import BadInput, UsageError
from renderer.files import is_own_folder
from renderer.media.store.journal import is_journal
from renderer.media.store.store_format import FILM, JOURNAL, looks_like_film, read_film

LOCK = "lock"

_OURS = re.compile(
    rf"(segment-[0-9]+-[0-9a-f]{{8}}\.mkv|state-[0-9]+-[0-9a-f]{{8}}\.npz|{re.escape(FILM)})(\.part)?|{re.escape(JOURNAL)}"
)
_LANE = re.compile(r"lane-([0-9]{8,10})")


class StoreBusyError(UsageError):
    """Another run works in this folder."""


def claim(directory: Path, *, is_ours: Callable[[Path, list[str]], bool]) -> None:
    """Make a folder for our own files, or make sure that the one that is there is ours, before anything is written.

    Raises:
        UsageError, BadInput: as `check_ours`.
        OSError: it cannot be made or read.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        directory.mkdir()
    check_ours(directory, is_ours=is_ours)


def check_ours(directory: Path, *, is_ours: Callable[[Path, list[str]], bool]) -> None:
    """Refuse a folder that is neither empty nor ours; nothing is written.

    Args:
        directory: that is there.
        is_ours: tells it of a folder, given the names in it.

    Raises:
        UsageError: it holds something else.
        BadInput: it, or a record in it, is a link or no plain file.
        OSError: it cannot be read.
    """
    if not is_own_folder(directory):
        what = "a link" if directory.is_symlink() else "no folder"
        raise BadInput(f"{directory} is {what}, and work is only kept in a folder itself; choose another one.")
    names = [path.name for path in directory.iterdir()]
    if names and not is_ours(directory, names):
        raise UsageError(
            f"The folder {directory} holds other files, such as {min(names)!r}, and no work of Dreamreel; choose "
            "another folder, or move them away. Nothing in it was touched."
        )


def is_film_folder(directory: Path, names: list[str]) -> bool:
    """Tell whether a folder with files is the work folder of a film, or what a kill or damage has left of one."""
    if read_film(directory) is not None:
        return True
    journal = directory / JOURNAL
    if JOURNAL in names and journal.lstat().st_size:
        return is_journal(journal)
    records = [name for name in (FILM, f"{FILM}.part") if name in names]
    known = all(name == LOCK or _OURS.fullmatch(name) or _LANE.fullmatch(name) for name in names)
    return known and all(looks_like_film(directory / name) for name in records)


def lock_of(directory: Path, name: str) -> filelock.FileLock:
    """Return the lock in a folder of ours; some versions of the library empty what is there, even behind a link.

    Raises:
        BadInput: what is there under its name is not an empty file.
    """
    path = directory / name
    if not is_own_folder(directory):
        raise BadInput(f"{directory} is a link or no folder; its files are not ours.")
    with contextlib.suppress(FileNotFoundError):
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1 or state.st_size:
            raise BadInput(f"{path} was not written by Dreamreel, whose locks are empty files; move it away.")
    return filelock.FileLock(path, thread_local=False)


def acquire(directory: Path) -> filelock.BaseFileLock:
    """Take a work folder for this process.

    Raises:
        StoreBusyError: another one has it.
        BadInput: as `lock_of`.
    """
    lock = lock_of(directory, LOCK)
    try:
        lock.acquire(timeout=0)
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
    for path in directory.iterdir():
        if path.name not in keep and _OURS.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


def lane(directory: Path, first: int) -> Path:
    """Return the folder, itself a work folder, for what is rendered apart from frame `first` on."""
    return directory / f"lane-{first:08d}"


def lanes(directory: Path) -> list[tuple[int, Path]]:
    """Return the folders of that kind that are there, with their first frames, ascending."""
    found = [(_LANE.fullmatch(path.name), path) for path in directory.glob("lane-*")]
    return sorted((int(name[1]), path) for name, path in found if name and is_own_folder(path))


def remove_lanes(directory: Path) -> None:
    """Delete them, but for files in them that are not ours."""
    for _, folder in lanes(directory):
        sweep(folder, keep=())
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()
