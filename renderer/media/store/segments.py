"""Closed segments: a run of frames, lossless, in one file, and the state to go on from (a checkpoint) in another.

MagicYUV in Matroska, and npz, exact to the bit, from which no code is run. `SegmentWriter` makes them, `read_segment`
and `load_state` read them back. A `Store` keeps them; a `Recorder` gives them away, to be kept by a store elsewhere.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from renderer.errors import DiskProblem
from renderer.frame import Frame, Pixels, Size, to_8bit
from renderer.media.ffmpeg.pipes import FfmpegFailed, PipeReader, PipeWriter, file_url
from renderer.media.files import disk_errors, free_bytes, is_whole, sync_and_hash
from renderer.media.store.work_folder import Segment
from renderer.records import read_json

_RATE = Fraction(25)  # Of every segment: Matroska rounds times to 1 ms. The film's own rate stands in film.json.
_THREADS = str(min(4, os.cpu_count() or 1))
# Lossless, each frame on its own. Measured on dreams of 640x360: a quarter of the processor time of FFV1 with Rice
# codes (2.7 ms to write a frame, 3.7 ms to read it), at 1.14 of its size. Whether a segment is whole, its hash says.
_CODEC = "-c:v magicyuv -pred median -pix_fmt gbrp".split()  # noqa: SIM905
_MUXER = ["-an", "-fps_mode", "passthrough", "-bitexact", "-f", "matroska"]
_LEAST = 16  # Pixels a side: four slices need some. Smaller frames are padded, and cropped on reading.
_RESERVE = 32 << 20  # Bytes that must stay free besides room for the next checkpoint.
_ARRAY = "array."  # Keeps names of ours apart from those that the npz format has for itself.
_SINGLES = "singles"
_KINDS = "biufcSU"  # Of numpy's types: numbers and text.
_READ_HEAD = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}

StateValue = np.ndarray[Any, Any] | np.generic | bool | int | float | str | None
"""What a state may hold: arrays of numbers, and single values."""


@dataclass(frozen=True, kw_only=True)
class SegmentBytes:
    """A closed segment on its way from one machine to another: files as bytes, each with its SHA-256."""

    frames: int
    movie: bytes
    movie_sha256: str
    state: bytes
    state_sha256: str


class SegmentWriter:
    """Writes one segment into a folder, under names that end in `.part`.

    Args:
        directory: the folder.
        size: of the frames, pixels.
        first: number of the first frame.

    Raises:
        EnvironmentProblem: ffmpeg cannot be started.
    """

    def __init__(self, directory: Path, *, size: Size, first: int) -> None:
        self.directory, self.size, self.first = directory, size, first
        # A name of its own each time: an encoder that outlived a kill may still write to the old one.
        self.name = new_name(first)
        pad = ["-vf", f"pad=max(iw\\,{_LEAST}):max(ih\\,{_LEAST})"] if min(size) < _LEAST else []
        args = [*pad, *_CODEC, "-threads", _THREADS, *_MUXER, file_url(self._part)]
        self._writer = PipeWriter(args, size=size, rate=_RATE)

    @property
    def frames(self) -> int:
        """How many frames it has."""
        return self._writer.frames

    def append(self, frame: Frame) -> None:
        """Add one frame `(H, W, 3)`, rounded to 8 bits.

        Raises:
            FfmpegFailed, DiskProblem: the encoder died, or could not write.
        """
        self._writer.write(to_8bit(frame))

    def close(self, state: Mapping[str, StateValue]) -> Segment:
        """Close it together with the state after it; both files are whole and on the disk, under their part names.

        Raises:
            FfmpegFailed, DiskProblem: the encoder died, or could not write.
            OSError: the state could not be written.
            TypeError: the state holds what cannot be kept.
        """
        save_state(state, self._state_part)  # First, while the encoder catches up.
        state_length, state_sha256 = sync_and_hash(self._state_part)
        self._writer.close()
        length, sha256 = sync_and_hash(self._part)
        return Segment(self.name, self.first, self.frames, length, sha256, state_length, state_sha256)

    def abort(self) -> None:
        """Stop, and delete what was written."""
        self._writer.abort()
        for path in (self._part, self._state_part):
            with contextlib.suppress(OSError):
                path.unlink()

    @property
    def _part(self) -> Path:
        return self.directory / f"segment-{self.name}.mkv.part"

    @property
    def _state_part(self) -> Path:
        return self.directory / f"state-{self.name}.npz.part"


def new_name(first: int) -> str:
    """Make a name for a segment that begins with the frame `first`; no two are alike."""
    return f"{first:08d}-{secrets.token_hex(4)}"


def part_of(path: Path) -> Path:
    """Return the temporary name of a segment's or state's file."""
    return path.with_name(f"{path.name}.part")


def check_room(directory: Path, size: Size) -> None:
    """Refuse to go on where the next checkpoint would not fit.

    Raises:
        DiskProblem: too little room is left in `directory`.
    """
    needed = _RESERVE + 6 * 12 * size.width * size.height  # Two states of some three float frames each.
    with disk_errors(directory):
        free = free_bytes(directory)
    if free < needed:
        raise DiskProblem(
            f"Too little room in {directory}: {free >> 20} MB free, at least {needed >> 20} MB needed. "
            "Make room; the same command goes on from here."
        )


def read_segment(path: Path, segment: Segment, *, size: Size, skip: int = 0) -> Iterator[Pixels]:
    """Stream the frames of a segment but the first `skip`, uint8 `(H, W, 3)`.

    Raises:
        DiskProblem: it is missing or damaged.
        FfmpegFailed: it is whole, and ffmpeg failed twice to read it.
    """
    again = "Start the same command again: it is rendered anew from there."
    # The decoder conceals damage, whatever it is told; the hash does not, at a fiftieth of the decoder's cost.
    if not is_whole(path, length=segment.length, sha256=segment.sha256):
        raise DiskProblem(f"The stored segment {path} is missing or damaged. {again}")
    crop = ["-vf", f"crop={size.width}:{size.height}:0:0"] if min(size) < _LEAST else []
    args = ["-threads", _THREADS, "-c:v", "magicyuv", "-f", "matroska", "-i", file_url(path), "-map", "0:v:0", *crop]
    for last in (False, True):
        try:
            with PipeReader([*args, "-fps_mode", "passthrough"], size=size, frames=segment.frames) as reader:
                for pixels in reader:
                    if reader.frames > skip:
                        skip = reader.frames
                        yield pixels
            return
        except FfmpegFailed:  # Not the fault of the file: its hash is right.
            if last:
                raise


class Recorder:
    """Stands where a store does while frames are rendered for a store elsewhere.

    Args:
        directory: there for temporary files; nothing stays in it.
        size: of the frames, pixels.
        first: number of the first frame.
        state: what to go on from, as a `SegmentBytes` holds it; None where nothing came before.
    """

    def __init__(self, directory: Path, *, size: Size, first: int, state: bytes | None) -> None:
        self.directory, self.size, self.count = directory, size, first
        self.segments: list[SegmentBytes] = []
        self._state = state
        self._writer: SegmentWriter | None = None

    @property
    def next_frame(self) -> int:
        """The number of the frame that `append` takes next."""
        return self.count + (self._writer.frames if self._writer else 0)

    def state(self) -> dict[str, StateValue] | None:
        """Return what to go on from.

        Raises:
            ValueError: it is damaged.
        """
        return None if self._state is None else load_state(io.BytesIO(self._state))

    def append(self, frame: Frame) -> None:
        """Add one frame `(H, W, 3)`.

        Raises:
            DiskProblem, FfmpegFailed: as `Store.append`.
        """
        if self._writer is None:
            check_room(self.directory, self.size)
            self._writer = SegmentWriter(self.directory, size=self.size, first=self.count)
        self._writer.append(frame)

    def commit(self, state: Mapping[str, StateValue]) -> None:
        """Seal the appended frames together with the state after them.

        Raises:
            DiskProblem, FfmpegFailed: as `Store.commit`.
        """
        if self._writer is None:
            return
        with disk_errors(self.directory):
            segment = self._writer.close(state)
            files = [segment.file(self.directory), segment.state_file(self.directory)]
            movie, last = (part_of(path).read_bytes() for path in files)
        self.close()
        self.segments.append(
            SegmentBytes(
                frames=segment.frames,
                movie=movie,
                movie_sha256=segment.sha256,
                state=last,
                state_sha256=segment.state_sha256,
            )
        )
        self.count, self._state = segment.end, last

    def close(self) -> None:
        """Forget what was appended since the last commit, and delete what was written."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.abort()


# --- states -----------------------------------------------------------------------------------------------------------


def save_state(state: Mapping[str, StateValue], path: Path) -> None:
    """Write a state as an npz file without compression.

    Raises:
        TypeError: a value is neither an array of numbers nor a single value.
        OSError: it cannot be written.
    """
    singles: dict[str, Any] = {}
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name, value in state.items():
        if isinstance(value, np.ndarray) or (isinstance(value, np.generic) and not isinstance(value, np.str_)):
            array = np.asarray(value)
            if array.dtype.kind not in _KINDS:
                raise TypeError(f"state {name!r}: arrays of {array.dtype} cannot be kept")
            arrays[_ARRAY + name] = array
        elif value is None or isinstance(value, bool | int | float | str):
            singles[name] = value
        else:
            raise TypeError(f"state {name!r}: a {type(value).__name__} cannot be kept")
    arrays[_SINGLES] = np.frombuffer(json.dumps(singles).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load_state(path: Path | BinaryIO) -> dict[str, StateValue]:
    """Read a state from a file, which may be open already.

    Single numpy numbers come back as arrays of no dimension, with their types. Nothing is unpacked, and no array takes
    more memory than it has bytes in the file.

    Raises:
        ValueError: not a whole checkpoint.
        OSError: it cannot be read.
    """
    state: dict[str, StateValue] = {}
    try:
        with zipfile.ZipFile(path) as held:
            held.getinfo(f"{_SINGLES}.npy")  # Without it, it is none of ours.
            for entry in held.infolist():
                name, array = entry.filename.removesuffix(".npy"), _array(held, entry)
                if name == _SINGLES:
                    state |= _singles(array)
                elif name.startswith(_ARRAY):
                    state[name.removeprefix(_ARRAY)] = array
    except OSError:
        raise
    except Exception as error:  # Both libraries raise whatever comes to them in a damaged file.
        raise ValueError(f"damaged: {error}") from error
    return state


def _array(held: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray[Any, Any]:
    """Read an array of numbers or text, if its head tells of just as many bytes as there are."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > held.start_dir:
        raise ValueError("it is compressed, or tells of more than there is")
    with held.open(entry) as file:
        shape, _, kind = _READ_HEAD[np.lib.format.read_magic(file)](file)
        if kind.kind not in _KINDS or entry.file_size - file.tell() != kind.itemsize * math.prod(shape):
            raise ValueError("an array is not what its head says")
        file.seek(0)
        array: np.ndarray[Any, Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _singles(array: np.ndarray[Any, Any]) -> dict[str, StateValue]:
    singles = read_json(array.tobytes(), limit=1 << 20)
    if not isinstance(singles, dict) or any(isinstance(value, dict | list) for value in singles.values()):
        raise ValueError("no single values")
    return singles
