"""Inputs named by what is in them, so that a worker on another machine can ask for what it lacks.

Who gives the work describes an input as `InputFile`; a worker finds it on a disk that both share, or in a folder of its
own, which takes it in chunk by chunk and where every file is checked against its SHA-256.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from renderer.errors import BadInput
from renderer.files import file_sha256, is_clutter
from renderer.media.files import disk_errors, replace_file, sync_and_hash

CHUNK_BYTES = 4 << 20
"""Bytes sent at once."""


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A file, or a folder of files.

    Attributes:
        shown: its path where the film is ordered, as the user wrote it; only for messages.
        sha256: of a file its bytes', of a folder that of names and contents, as `files.file_sha256` has it.
        files: name -> SHA-256 of each file of a folder; empty for a file.
        path: where it lies, absolute, for workers on the same disk; None for those elsewhere.
    """

    shown: str
    sha256: str
    files: tuple[tuple[str, str], ...] = ()
    path: str | None = None

    @property
    def wanted(self) -> tuple[tuple[str, str], ...]:
        """Name and SHA-256 of every file; a lone one keeps its ending, which may tell what it is."""
        name = Path(self.shown).name.lower()
        # Keras reads what ends so in another way than what ends in .h5 alone.
        ending = ".weights.h5" if name.endswith(".weights.h5") else Path(name).suffix
        return self.files or ((f"content{ending}", self.sha256),)

    def file(self, name: str) -> Path:
        """Where one of its files lies on the machine that described it."""
        return Path(self.shown) / name if self.files else Path(self.shown)


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some bytes of a file of an input: which ones, and whether they are its last."""

    input: InputFile
    name: str
    offset: int
    data: bytes
    last: bool


def describe(path: Path, *, shared: bool) -> InputFile:
    """Name an input by what is in it.

    Args:
        path: a file or a folder.
        shared: whether the workers see the same disk.

    Raises:
        BadInput: it cannot be read.
    """
    files: tuple[tuple[str, str], ...] = ()
    if path.is_dir():
        names = sorted(file.name for file in path.iterdir() if file.is_file() and not is_clutter(file.name))
        files = tuple((name, file_sha256(path / name)) for name in names)
    place = str(path.absolute()) if shared else None
    return InputFile(shown=str(path), sha256=file_sha256(path), files=files, path=place)


def chunks(file: InputFile, name: str) -> Iterator[Chunk]:
    """Read one file of an input to be sent, chunk by chunk; an empty file is one empty chunk.

    Raises:
        BadInput: it cannot be read any more.
    """
    path = file.file(name)
    try:
        length, offset = path.stat().st_size, 0
        with path.open("rb") as opened:
            while True:
                data = opened.read(CHUNK_BYTES)
                last = offset + len(data) >= length or not data
                yield Chunk(input=file, name=name, offset=offset, data=data, last=last)
                offset += len(data)
                if last:
                    return
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from error


def find(file: InputFile, folder: Path) -> Path | None:
    """Return where an input lies on this machine, None if it is not here, or not whole.

    Args:
        file: the input.
        folder: where `keep` puts what is sent.
    """
    if file.path is not None and _has_hash(Path(file.path), file.sha256):
        return Path(file.path)
    if missing(file, folder):
        return None
    held = folder / file.sha256
    return held if file.files else held / file.wanted[0][0]


def missing(file: InputFile, folder: Path) -> list[str]:
    """Name the files of an input that were not sent to this folder yet."""
    return [name for name, _ in file.wanted if not (folder / file.sha256 / name).is_file()]


def keep(chunk: Chunk, folder: Path) -> None:
    """Take a chunk into a folder; with its last one a file is checked and kept.

    Raises:
        BadInput: the file is not what the input says, or its name leads elsewhere.
        DiskProblem: it cannot be written.
    """
    if Path(chunk.name).name != chunk.name:
        raise BadInput(f"{chunk.name!r} is not the name of a file.")
    final = folder / chunk.input.sha256 / chunk.name
    part = final.with_name(f"{final.name}.part")
    with disk_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        with part.open("r+b" if chunk.offset else "wb") as file:
            file.seek(chunk.offset)
            file.write(chunk.data)
        if not chunk.last:
            return
        _, found = sync_and_hash(part)
        if found != dict(chunk.input.wanted)[chunk.name]:
            part.unlink()
            raise BadInput(f"{chunk.input.file(chunk.name)} changed while it was sent to a worker; try again.")
        replace_file(part, final)


def _has_hash(path: Path, sha256: str) -> bool:
    with contextlib.suppress(BadInput, OSError):
        return file_sha256(path) == sha256
    return False
