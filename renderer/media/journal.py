"""A journal: JSON objects, one a line, each with a checksum, only ever appended.

A kill or a power cut leaves at most a torn last line, perhaps a tail of NUL bytes; both are dropped. A line that was
damaged later is skipped: what the lines mean together is for the reader to decide.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

_DIGITS = 16  # Of the SHA-256 at the head of a line: enough against accident.


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
        entry = json.loads(text)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


class Journal:
    """The journal in the file `path`, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._end = 0  # Where the last good line ends; what lies beyond is debris and is overwritten.

    def read(self) -> list[dict[str, Any]]:
        """Return all good entries in order.

        Raises:
            OSError: the file is there and cannot be read.
        """
        self._end = 0
        entries = []
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
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
            OSError: it could not be written; a later call begins where this one began.
        """
        line = seal_line(entry)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
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
