"""A journal: JSON objects, one a line, each with a checksum, only ever appended.

A kill or a power cut leaves at most a torn last line, perhaps a tail of NUL bytes; both are dropped. A line that was
damaged later is skipped: what the lines mean together is for the reader to decide.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from renderer.errors import BadInput
from renderer.files import open_own, read_own
from renderer.records import read_json

_DIGITS = 16  # Of the SHA-256 at the head of a line: enough against accident.
_LARGEST = 128 << 20  # Bytes of a journal: the largest batch, made anew some ten times, has fewer.
_MOST = 3_000_000  # Values in it, about: they take more memory than their text.
_LONGEST = 32 << 20  # Bytes of a line: the plan of ten thousand films has a third of them.
_TORN = re.compile(rb"([0-9a-f]{16} \{.*)?", re.DOTALL)


def seal_line(entry: dict[str, Any]) -> bytes:
    """Return an entry as a line with its checksum and a line feed."""
    text = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(text).hexdigest()[:_DIGITS].encode() + b" " + text + b"\n"


def read_line(line: bytes) -> dict[str, Any] | None:
    """Return the entry of a line, without its line feed, or None if the line is damaged."""
    digest, _, text = line.partition(b" ")
    if digest != hashlib.sha256(text).hexdigest()[:_DIGITS].encode():
        return None
    try:
        entry = read_json(text, limit=_LONGEST)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def is_journal(path: Path) -> bool:
    """Tell whether a file is a journal of ours, or what a kill leaves of one; one that is not there may become one.

    Raises:
        BadInput: it is a link or no plain file, or too large.
    """
    data = _data(path)
    if b"\n" not in data:
        return _TORN.fullmatch(data.rstrip(b"\0")) is not None
    return any(read_line(line) is not None for line in data.split(b"\n"))


def _data(path: Path) -> bytes:
    try:
        data = read_own(path, expected="a journal", limit=_LARGEST)
    except FileNotFoundError:
        return b""
    if data.count(b",") + data.count(b"[") + data.count(b"{") > _MOST:
        raise BadInput(f"{path} holds more than {_MOST:,} values, which is too much for a journal.")
    return data


class Journal:
    """The journal in the file `path`, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._end = 0  # Where the last good line ends; what lies beyond is debris and is overwritten.

    def read(self) -> list[dict[str, Any]]:
        """Return all good entries in order.

        Raises:
            BadInput: the file is there and cannot be read, is a link or no plain file, or is too large.
        """
        self._end = 0
        entries = []
        data = _data(self.path)
        at = 0
        while (stop := data.find(b"\n", at)) >= 0:
            entry = read_line(data[at:stop])
            at = stop + 1
            if entry is not None:
                entries.append(entry)
                self._end = at
        return entries

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry and force it to the disk; `read` must have come before.

        Raises:
            BadInput: the file is a link or no plain file.
            OSError, DiskProblem: it could not be written; a later call begins where this one began.
        """
        line = seal_line(entry)
        descriptor = open_own(self.path, os.O_RDWR | os.O_CREAT)
        try:
            os.ftruncate(descriptor, self._end)
            os.lseek(descriptor, self._end, os.SEEK_SET)
            view = memoryview(line)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._end += len(line)
