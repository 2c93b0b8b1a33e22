"""Keep the frames of a film on disk, lossless, so that a stopped film goes on with the same bytes.

A work folder holds `film.json` (size, rate, key, recipe), a journal, closed segments (MagicYUV in Matroska) and
checkpoints (npz), each checkpoint belonging to the end of one segment. What counts is what the journal names and what
still has the length and the SHA-256 noted there; everything else is debris of a kill and is dropped. One process
writes at a time.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import filelock

from renderer.errors import BadInput, DiskProblem, UsageError
from renderer.frame import Frame, Pixels, Size, to_8bit
from renderer.media import checkpoint, disk
from renderer.media.ffmpeg import FfmpegFailed, PipeReader, PipeWriter, file_url
from renderer.media.journal import Journal
from renderer.media.ledger import FILM, JOURNAL, Segment, last_key, make_film, read_film, replay, write_film

_RATE = Fraction(25)  # Of every segment: Matroska rounds times to 1 ms. The film's own rate stands in film.json.
_THREADS = str(min(4, os.cpu_count() or 1))
# Lossless, each frame on its own. Measured on dreams of 640x360: a quarter of the processor time of FFV1 with Rice
# codes (2.7 ms to write a frame, 3.7 ms to read it), at 1.14 of its size. Whether a segment is whole, its hash says.
_CODEC = "-c:v magicyuv -pred median -pix_fmt gbrp".split()  # noqa: SIM905
_MUXER = ["-an", "-fps_mode", "passthrough", "-bitexact", "-f", "matroska"]
_LEAST = 16  # Pixels a side: four slices need some. Smaller frames are padded, and cropped on reading.
_RESERVE = 32 << 20  # Bytes that must stay free besides room for the next checkpoint.
_STATE_SHARE = 8  # Older checkpoints may take one part in so many of the segments' bytes.
_LOCK = "lock"
_OURS = ("segment-*.mkv", "state-*.npz", "segment-*.mkv.part", "state-*.npz.part", JOURNAL, FILM, f"{FILM}.part")


class StoreBusyError(UsageError):
    """Another run works in this folder."""


class OtherFilmError(UsageError):
    """The folder holds the work of another film."""


class Store:
    """The frames of one film. Make one by `open` or `existing`; a context manager.

    The recurrence appends frames and now and then commits them together with the state to go on from. After any error
    from `append` or `commit` the store stands at its last commit.
    """

    directory: Path
    size: Size
    rate: Fraction
    meta: dict[str, Any]
    notes: tuple[str, ...]
    """What was found damaged on opening, as sentences for a log."""

    def __init__(self, directory: Path, *, film: dict[str, Any], lock: filelock.BaseFileLock | None) -> None:
        """Not for use from outside."""
        self.directory = directory
        self.size = Size(*film["size"])
        self.rate = Fraction(film["rate"])
        self.meta = film["meta"]
        self.notes = ()
        self._key: str = film["pixel_key"]
        self._lock = lock
        self._journal = Journal(directory / JOURNAL)
        self._segments: list[Segment] = []
        self._done: int | None = None
        self._writer: PipeWriter | None = None
        self._part: Path | None = None

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        size: Size,
        rate: Fraction,
        pixel_key: str,
        meta: dict[str, Any],
        restart: bool = False,
    ) -> Self:
        """Begin a film in `directory`, or go on with it; the folder is made if need be, and locked.

        Args:
            directory: the work folder.
            size: of the frames, pixels.
            rate: frames a second.
            pixel_key: stands for everything that decides the pixels; the same key is the same film.
            meta: what to keep beside the frames, for instance the recipe; JSON. The newest one is kept.
            restart: begin anew if the folder holds another film, instead of refusing.

        Raises:
            StoreBusyError: another run works in the folder.
            OtherFilmError: it holds a film with another key, and `restart` is not set.
            DiskProblem: it cannot be made or written.
        """
        film = make_film(size=size, rate=rate, pixel_key=pixel_key, meta=meta)
        with disk.disk_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
            lock = _acquire(directory)
        try:
            old = read_film(directory)
            with disk.disk_errors(directory):
                if _held_key(directory, old) not in (None, pixel_key):
                    if not restart:
                        raise OtherFilmError(
                            f"The work folder {directory} holds a film made with other settings. Choose another "
                            "--work-dir, or give the settings of that film again, or delete the folder."
                        )
                    _sweep(directory, keep=())
                store = cls(directory, film=film, lock=lock)
                if old != film:
                    write_film(directory, film)
                store._recover()
            return store
        except BaseException:
            lock.release()
            raise

    @classmethod
    def existing(cls, directory: Path) -> Self:
        """Open what is there for reading, changing nothing, even while another run adds to it.

        Raises:
            BadInput: there is no film in `directory`.
        """
        film = read_film(directory)
        if film is None:
            raise BadInput(f"{directory} is not a work folder of Dreamreel, or its {FILM} is damaged.")
        store = cls(directory, film=film, lock=None)
        store._load()
        return store

    @property
    def count(self) -> int:
        """How many frames are committed."""
        return self._segments[-1].end if self._segments else 0

    @property
    def next_frame(self) -> int:
        """The number of the frame that `append` takes next; on opening, where to go on."""
        return self.count + (self._writer.frames if self._writer else 0)

    @property
    def done(self) -> bool:
        """Whether the film was marked as finished and is all there."""
        return self._done is not None and self._done == self.count

    def append(self, frame: Frame) -> None:
        """Add one frame `(H, W, 3)`, rounded to 8 bits; it counts once committed.

        Raises:
            DiskProblem: too little room is left.
            FfmpegFailed: the encoder died.
        """
        if self._lock is None:
            raise ValueError("this store is open for reading")
        try:
            self._check_room()
            if self._writer is None:
                self._begin_segment()
            assert self._writer is not None
            self._writer.write(to_8bit(frame))
        except BaseException:
            self.rollback()
            raise

    def commit(self, state: Mapping[str, checkpoint.Value]) -> None:
        """Close the appended frames as a segment, together with the state to go on from.

        Does nothing if nothing was appended.

        Args:
            state: exact, as `state()` gives it back: arrays (bit for bit, with their types), numbers, strings, None.

        Raises:
            DiskProblem, FfmpegFailed: as `append`.
            TypeError: the state holds something else.
        """
        if self._writer is None:
            return
        try:
            with disk.disk_errors(self.directory):
                self._close_segment(state)
        except BaseException:
            self.rollback()
            raise
        _sweep(self.directory, keep=self._keep())

    def rollback(self) -> None:
        """Forget what was appended since the last commit."""
        writer, part = self._writer, self._part
        self._writer = self._part = None
        if writer is not None:
            writer.abort()
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink()

    def state(self) -> dict[str, checkpoint.Value] | None:
        """Return the state of the last commit, or None before the first."""
        if not self._segments:
            return None
        path = self._segments[-1].state_file(self.directory)
        try:
            return checkpoint.load(path)
        except (OSError, ValueError) as error:
            raise DiskProblem(
                f"The checkpoint {path} cannot be read ({error}). Start the same command again."
            ) from error

    def frames(self, start: int = 0) -> Iterator[Pixels]:
        """Stream the committed frames from number `start` on, uint8 `(H, W, 3)`.

        Raises:
            DiskProblem: a segment cannot be read any more.
        """
        for segment in tuple(self._segments):
            if segment.end > start:
                yield from self._read(segment, skip=max(0, start - segment.first))

    def mark_done(self) -> None:
        """Note that the film is finished: nothing is to be rendered any more.

        Raises:
            ValueError: frames are appended and not committed.
        """
        if self._writer is not None or self._lock is None:
            raise ValueError("commit before mark_done")
        if not self.done:
            with disk.disk_errors(self.directory):
                self._journal.append({"kind": "done", "key": self._key, "frames": self.count})
            self._done = self.count

    def remove(self) -> None:
        """Delete the work folder; files in it that are not ours stay, and the folder with them. Closes the store."""
        if self._lock is None:
            raise ValueError("this store is open for reading")
        self.rollback()
        _sweep(self.directory, keep=())
        self._segments, self._done = [], None
        lock = self.directory / _LOCK
        with contextlib.suppress(OSError):  # While it is ours; Windows lets go of it only after the release.
            lock.unlink()
        self.close()
        if os.name == "nt":
            with contextlib.suppress(OSError):
                lock.unlink()
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def close(self) -> None:
        """Forget what was not committed and let the folder go; committed frames stay readable."""
        self.rollback()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _check_room(self) -> None:
        needed = _RESERVE + 6 * 12 * self.size.width * self.size.height  # Two states of some three float frames each.
        with disk.disk_errors(self.directory):
            free = disk.free_bytes(self.directory)
        if free < needed:
            raise DiskProblem(
                f"Too little room in {self.directory}: {free >> 20} MB free, at least {needed >> 20} MB needed. "
                "Make room; the same command goes on from here."
            )

    def _begin_segment(self) -> None:
        # A name of its own each time: an encoder that outlived a kill may still write to the old one.
        name = f"{self.count:08d}-{secrets.token_hex(4)}"
        self._part = self.directory / f"segment-{name}.mkv.part"
        pad = ["-vf", f"pad=max(iw\\,{_LEAST}):max(ih\\,{_LEAST})"] if min(self.size) < _LEAST else []
        args = [*pad, *_CODEC, "-threads", _THREADS, *_MUXER, file_url(self._part)]
        self._writer = PipeWriter(args, size=self.size, rate=_RATE)

    def _close_segment(self, state: Mapping[str, checkpoint.Value]) -> None:
        assert self._writer is not None and self._part is not None
        name = self._part.name.removeprefix("segment-").removesuffix(".mkv.part")
        state_part = self.directory / f"state-{name}.npz.part"
        try:
            checkpoint.save(state, state_part)  # First, while the encoder catches up.
            state_length, state_sha256 = disk.seal(state_part)
            self._writer.close()
            length, sha256 = disk.seal(self._part)
            segment = Segment(name, self.count, self._writer.frames, length, sha256, state_length, state_sha256)
            state_part.replace(segment.state_file(self.directory))
            disk.replace(self._part, segment.file(self.directory))
            self._journal.append({"kind": "segment", "key": self._key, **asdict(segment)})
        except BaseException:
            with contextlib.suppress(OSError):
                state_part.unlink()
            raise
        self._segments.append(segment)
        self._writer = self._part = None
        self._done = None

    def _read(self, segment: Segment, *, skip: int) -> Iterator[Pixels]:
        path = segment.file(self.directory)
        again = "Start the same command again: it is rendered anew from there."
        # The decoder conceals damage, whatever it is told; the hash does not, at a fiftieth of the decoder's cost.
        if not disk.is_whole(path, length=segment.length, sha256=segment.sha256):
            raise DiskProblem(f"The stored segment {path} is missing or damaged. {again}")
        crop = ["-vf", f"crop={self.size.width}:{self.size.height}:0:0"] if min(self.size) < _LEAST else []
        args = ["-threads", _THREADS, "-f", "matroska", "-i", file_url(path), "-map", "0:v:0", *crop]
        try:
            with PipeReader([*args, "-fps_mode", "passthrough"], size=self.size, frames=segment.frames) as reader:
                for pixels in reader:
                    if reader.frames > skip:
                        yield pixels
        except FfmpegFailed as error:
            raise DiskProblem(f"The stored segment {path} cannot be read back: {error} {again}") from error

    def _load(self) -> None:
        """Read the journal and keep the segments up to the first that is not whole."""
        try:
            self._segments, self._done = replay(self._journal.read(), key=self._key)
        except OSError as error:
            raise BadInput(f"{self._journal.path} cannot be read: {error.strerror}.") from error
        for number, segment in enumerate(self._segments):
            if not disk.is_whole(segment.file(self.directory), length=segment.length, sha256=segment.sha256):
                lost = self._segments[-1].end - segment.first
                self.notes += (
                    f"{segment.file(self.directory)} is missing or damaged: {lost} frames from frame "
                    f"{segment.first} on do not count.",
                )
                self._segments, self._done = self._segments[:number], None
                break

    def _recover(self) -> None:
        """Go back to the newest checkpoint that is whole and has only whole segments before it; drop the rest."""
        self._load()
        noted = len(replay(self._journal.read(), key=self._key)[0])
        while self._segments:
            last = self._segments[-1]
            if disk.is_whole(last.state_file(self.directory), length=last.state_length, sha256=last.state_sha256):
                break
            self._segments.pop()
            self._done = None
        if len(self._segments) < noted:
            self.notes += (f"Going on from frame {self.count}.",)
            # Before the files go: a kill in between leaves debris, never a journal that names what is gone.
            self._journal.append({"kind": "back", "key": self._key, "frames": self.count})
        _sweep(self.directory, keep=self._keep())

    def _keep(self) -> set[str]:
        """Name the files that belong to the film: all segments, the last two checkpoints and a few older ones.

        The older ones cost little, and with them a segment that is damaged later throws back only a little.
        """
        names = {FILM, JOURNAL} | {segment.file(self.directory).name for segment in self._segments}
        passed = 0
        for number, segment in enumerate(self._segments):
            passed += segment.length
            if passed >= _STATE_SHARE * segment.state_length or number >= len(self._segments) - 2:
                passed = 0
                names.add(segment.state_file(self.directory).name)
        return names


def _held_key(directory: Path, film: dict[str, Any] | None) -> str | None:
    """Return the key of the film in a folder, None if there is none."""
    return film["pixel_key"] if film else last_key(Journal(directory / JOURNAL).read())


def _acquire(directory: Path) -> filelock.BaseFileLock:
    lock = filelock.FileLock(directory / _LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise StoreBusyError(
            f"Another run is working in {directory}. Wait until it ends, or choose another --work-dir."
        ) from error
    return lock


def _sweep(directory: Path, *, keep: set[str] | tuple[()]) -> None:
    """Delete our files that are not in `keep`; what cannot be deleted now is debris for the next time."""
    for pattern in _OURS:
        for path in directory.glob(pattern):
            if path.name not in keep:
                with contextlib.suppress(OSError):
                    path.unlink()
