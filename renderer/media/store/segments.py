"""Closed segments: a run of frames, lossless, in one file, and the state to go on from in another.

MagicYUV in Matroska, a checkpoint in npz. `SegmentWriter` makes them, `read_segment` reads the frames back. A `Store`
keeps them; a `Recorder` gives them away, to be kept by a store elsewhere.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from renderer.errors import DiskProblem
from renderer.frame import Frame, Pixels, Size, to_8bit
from renderer.media import disk
from renderer.media.ffmpeg.pipes import FfmpegFailed, PipeReader, PipeWriter, file_url
from renderer.media.store import checkpoint
from renderer.media.store.store_format import Segment

_RATE = Fraction(25)  # Of every segment: Matroska rounds times to 1 ms. The film's own rate stands in film.json.
_THREADS = str(min(4, os.cpu_count() or 1))
# Lossless, each frame on its own. Measured on dreams of 640x360: a quarter of the processor time of FFV1 with Rice
# codes (2.7 ms to write a frame, 3.7 ms to read it), at 1.14 of its size. Whether a segment is whole, its hash says.
_CODEC = "-c:v magicyuv -pred median -pix_fmt gbrp".split()  # noqa: SIM905
_MUXER = ["-an", "-fps_mode", "passthrough", "-bitexact", "-f", "matroska"]
_LEAST = 16  # Pixels a side: four slices need some. Smaller frames are padded, and cropped on reading.
_RESERVE = 32 << 20  # Bytes that must stay free besides room for the next checkpoint.


@dataclass(frozen=True, kw_only=True)
class Sealed:
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

    def close(self, state: Mapping[str, checkpoint.Value]) -> Segment:
        """Close it together with the state after it; both files are whole and on the disk, under their part names.

        Raises:
            FfmpegFailed, DiskProblem: the encoder died, or could not write.
            OSError: the state could not be written.
            TypeError: the state holds what cannot be kept.
        """
        checkpoint.save(state, self._state_part)  # First, while the encoder catches up.
        state_length, state_sha256 = disk.seal(self._state_part)
        self._writer.close()
        length, sha256 = disk.seal(self._part)
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
    with disk.disk_errors(directory):
        free = disk.free_bytes(directory)
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
    if not disk.is_whole(path, length=segment.length, sha256=segment.sha256):
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
        state: what to go on from, as a `Sealed` holds it; None where nothing came before.
    """

    def __init__(self, directory: Path, *, size: Size, first: int, state: bytes | None) -> None:
        self.directory, self.size, self.count = directory, size, first
        self.sealed: list[Sealed] = []
        self._state = state
        self._writer: SegmentWriter | None = None

    @property
    def next_frame(self) -> int:
        """The number of the frame that `append` takes next."""
        return self.count + (self._writer.frames if self._writer else 0)

    def state(self) -> dict[str, checkpoint.Value] | None:
        """Return what to go on from.

        Raises:
            ValueError: it is damaged.
        """
        return None if self._state is None else checkpoint.load(io.BytesIO(self._state))

    def append(self, frame: Frame) -> None:
        """Add one frame `(H, W, 3)`.

        Raises:
            DiskProblem, FfmpegFailed: as `Store.append`.
        """
        if self._writer is None:
            check_room(self.directory, self.size)
            self._writer = SegmentWriter(self.directory, size=self.size, first=self.count)
        self._writer.append(frame)

    def commit(self, state: Mapping[str, checkpoint.Value]) -> None:
        """Seal the appended frames together with the state after them.

        Raises:
            DiskProblem, FfmpegFailed: as `Store.commit`.
        """
        if self._writer is None:
            return
        with disk.disk_errors(self.directory):
            segment = self._writer.close(state)
            files = [segment.file(self.directory), segment.state_file(self.directory)]
            movie, last = (part_of(path).read_bytes() for path in files)
        self.close()
        self.sealed.append(
            Sealed(
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
