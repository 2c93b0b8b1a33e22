"""A reader for files of strangers that are read by a library: what their own numbers drive comes to an end."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import IO, Any, cast

from renderer.errors import BadInput
from renderer.files import open_input

_SECONDS = 8.0  # Of the processor, for any file; a picture of 100 megapixels takes a few.
_BYTES_A_SECOND = 4 << 20  # What a larger file gets more.
_TIMES, _FREE_BYTES = 8, 64 << 20  # A table of tags may point at the whole of a file from each of its entries.
_BYTES_A_READ, _FREE_READS = 100, 20_000  # The blocks of a GIF have 255 bytes, and each is read in two.
MAX_BYTES = 2 << 30
"""Bytes of the largest picture file: twice what 100 megapixels take, uncompressed, at 16 bits and with transparency."""


class Measured:
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
