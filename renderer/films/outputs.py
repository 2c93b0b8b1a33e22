"""Where a film goes, where the work on it lies meanwhile, and whether there is room."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from renderer.errors import DiskProblem, UsageError
from renderer.media.ffmpeg.formats import choose_format
from renderer.media.files import free_bytes

LONGEST_NAME = 255
"""Bytes of a file's name that common file systems take."""


def work_folder(out: Path, chosen: Path | None = None) -> Path:
    """Return the work folder of a film: the one chosen, or `.NAME.dreamreel` beside it."""
    if chosen is not None:
        return chosen
    name = f".{out.name}.dreamreel"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(out.name)).hexdigest()[:32]}.dreamreel"
    return out.parent / name


def preview_name(out: Path, *, kind: str) -> Path:
    """Return what the preview of a film is called: `NAME.preview.mp4`; of a folder of pictures, which has no ending,
    `NAME-preview`.

    Args:
        out: the film.
        kind: in `KINDS`.

    Raises:
        UsageError: no film can have this name.
    """
    if kind != "still" and not choose_format(out)[0].suffixes:
        return out.with_name(f"{out.name}-preview")
    return out.with_name(f"{out.stem}.preview{out.suffix}")


def check_not_input(out: Path, *inputs: Path | None) -> None:
    """Refuse an output that is one of the inputs.

    Raises:
        UsageError: it is.
    """
    for path in inputs:
        if path is not None and os.path.lexists(path) and os.path.realpath(path) == os.path.realpath(out):
            raise UsageError(f"The output {out} is an input too; choose another name with -o.")


def check_room(folder: Path, *, needed: int, what: str) -> None:
    """Refuse to begin what will not fit on the disk.

    Raises:
        DiskProblem: fewer than `needed` bytes are free.
    """
    free = free_bytes(folder)
    if free < needed:
        raise DiskProblem(
            f"{what} needs about {size_text(needed)} on the disk of {folder}, and {size_text(free)} are free. "
            "Make room, choose another --work-dir, or a shorter or smaller film."
        )


def size_text(count: float) -> str:
    """Write a number of bytes for people: 823 B, 14 KB, 3.2 MB, 1.8 GB."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def path_size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def span(seconds: float) -> str:
    """Write a length of time for people: 4.2 s, 38 s, 2:05 min, 1:02:05 h."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d} h"
