"""Inputs named by what is in them, so that a worker on another machine can ask for what it lacks.

Who gives the work describes an input as `Content`; a worker finds it on a disk that both share, or in its own `Cache`,
which takes it in piece by piece and checks every file against its SHA-256.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from renderer.errors import BadInput
from renderer.files import file_sha256, is_clutter
from renderer.media.files import disk_errors, replace_file, sync_and_hash

PIECE = 4 << 20
"""Bytes sent at once."""


@dataclass(frozen=True, kw_only=True)
class Content:
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
class Piece:
    """Some bytes of a file of a content: which ones, and whether they are its last."""

    content: Content
    name: str
    offset: int
    data: bytes
    last: bool


def describe(path: Path, *, shared: bool) -> Content:
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
    return Content(shown=str(path), sha256=file_sha256(path), files=files, path=place)


def pieces(content: Content, name: str) -> Iterator[Piece]:
    """Read one file of a content to be sent, piece by piece; an empty file is one empty piece.

    Raises:
        BadInput: it cannot be read any more.
    """
    path = content.file(name)
    try:
        length, offset = path.stat().st_size, 0
        with path.open("rb") as file:
            while True:
                data = file.read(PIECE)
                last = offset + len(data) >= length or not data
                yield Piece(content=content, name=name, offset=offset, data=data, last=last)
                offset += len(data)
                if last:
                    return
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from error


class Cache:
    """The inputs that a worker has at hand.

    Args:
        folder: where it keeps what it was sent; made when something comes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, content: Content) -> Path | None:
        """Return where a content lies on this machine, None if it is not here, or not whole."""
        if content.path is not None and _is(Path(content.path), content.sha256):
            return Path(content.path)
        if self.missing(content):
            return None
        held = self.folder / content.sha256
        return held if content.files else held / content.wanted[0][0]

    def missing(self, content: Content) -> list[str]:
        """Name the files of a content that were not sent yet."""
        return [name for name, _ in content.wanted if not (self.folder / content.sha256 / name).is_file()]

    def put(self, piece: Piece) -> None:
        """Take in a piece; with its last one a file is checked and kept.

        Raises:
            BadInput: the file is not what the content says, or its name leads elsewhere.
            DiskProblem: it cannot be written.
        """
        if Path(piece.name).name != piece.name:
            raise BadInput(f"{piece.name!r} is not the name of a file.")
        final = self.folder / piece.content.sha256 / piece.name
        part = final.with_name(f"{final.name}.part")
        with disk_errors(final):
            final.parent.mkdir(parents=True, exist_ok=True)
            with part.open("r+b" if piece.offset else "wb") as file:
                file.seek(piece.offset)
                file.write(piece.data)
            if not piece.last:
                return
            _, found = sync_and_hash(part)
            if found != dict(piece.content.wanted)[piece.name]:
                part.unlink()
                raise BadInput(f"{piece.content.file(piece.name)} changed while it was sent to a worker; try again.")
            replace_file(part, final)


def _is(path: Path, sha256: str) -> bool:
    with contextlib.suppress(BadInput, OSError):
        return file_sha256(path) == sha256
    return False
