"""Run ffmpeg: argument lists, drained error text, stall limits, exit codes that become errors with a name.

`run` is for short commands, `PipeWriter` feeds raw frames to an encoder, `PipeReader` takes raw frames from a decoder.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from renderer.frame import Pixels, Size
from renderer.media.ffmpeg.process import LOG_BYTES, POLL, Child, FfmpegFailed, ffmpeg_exe

__all__ = ["LOG_BYTES", "FfmpegFailed", "Output", "PipeReader", "PipeWriter", "ffmpeg_exe", "file_url", "run"]

OUTPUT_BYTES = 256 << 20
"""Bytes that are taken from a short command, at most: the packets of a film of two days, a line each."""

_QUEUE_BYTES = 32 << 20  # Frames waiting between us and a child, at most; two frames always fit.
_CHUNK = 1 << 20  # Progress is noticed in steps of so many bytes.
_HELD = 2.0  # Seconds for a pipe to close after its child has ended; somebody else may hold it.


@dataclass(frozen=True)
class Output:
    """What a finished ffmpeg left: its standard output, the last `LOG_BYTES` of its error text, lines to be kept."""

    stdout: bytes
    log: str
    kept: tuple[str, ...] = ()


def file_url(path: str | os.PathLike[str]) -> str:
    """Name a file so that ffmpeg takes it for nothing else, whatever characters it holds."""
    return "file:" + os.fspath(path)


def run(args: Sequence[str], *, timeout: float = 120.0, limit: int = OUTPUT_BYTES, keep: str = "") -> Output:
    """Run ffmpeg with `args` to its end and return what it wrote.

    Args:
        args: what follows `ffmpeg -hide_banner -nostdin -v level+warning`; another `-v` among them wins.
        timeout: seconds after which it is stopped.
        limit: bytes of standard output; with more it is stopped.
        keep: how lines of its error text begin that are kept, even if much is said after them.

    Raises:
        FfmpegFailed: it ended badly, took too long, did nothing or wrote too much.
        DiskProblem: it could not write for want of room.
        EnvironmentProblem: no usable ffmpeg.
    """
    child = Child(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, keep=keep)
    stdout = child.output(timeout=timeout, limit=limit)
    return Output(stdout=stdout, log=child.log(), kept=tuple(child.kept))


class PipeWriter:
    """Send frames to an ffmpeg child, which encodes them. A context manager.

    A thread feeds the pipe from a short queue, so that `write` returns at once unless the encoder lags behind. Leaving
    the `with` block normally is `close`, by an exception `abort`. What the child wrote counts only after `close`.

    Args:
        args: what follows the input, pipe 0: filters, codec, format, output; further inputs may stand first.
        size: of every frame, pixels.
        rate: frames a second.
        stall_seconds: how long the child may accept nothing while it is waited for.
        finish_seconds: how long the child may take to end after the last frame.
    """

    def __init__(
        self,
        args: Sequence[str],
        *,
        size: Size,
        rate: Fraction,
        stall_seconds: float = 120.0,
        finish_seconds: float = 900.0,
    ) -> None:
        self.size = size
        self.frames = 0
        """How many frames were handed over so far."""
        self._stall_seconds = stall_seconds
        self._finish_seconds = finish_seconds
        self._queue: queue.Queue[Pixels | None] = queue.Queue(_queue_length(size))
        self._ticks = 0  # Grows whenever the child accepts something.
        self._closed = False
        self._broken = False  # Set by the feeder: the child takes no more.
        given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", str(size), "-r", str(rate), "-i", "pipe:0"]
        self._child = Child([*given, *args], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert self._child.process.stdin is not None
        self._pipe = self._child.process.stdin
        _widen(self._pipe)
        self._thread = threading.Thread(target=self._feed, name="ffmpeg-in", daemon=True)
        self._thread.start()

    def write(self, pixels: Pixels) -> None:
        """Hand over one frame, uint8 `(H, W, 3)`; it must not be changed afterwards.

        Raises:
            ValueError: another shape or type.
            FfmpegFailed: the child ended, or accepted nothing for `stall_seconds`.
            DiskProblem: the child ended for want of room.
        """
        if self._closed:
            raise ValueError("write after close")
        if pixels.shape != (self.size.height, self.size.width, 3) or pixels.dtype != np.uint8:
            raise ValueError(f"expected uint8 {self.size}, got {pixels.dtype} {pixels.shape}")
        self._put(np.ascontiguousarray(pixels))
        self.frames += 1

    def close(self) -> None:
        """Send what is queued, let the child finish, and make sure that it did well. A second call does nothing.

        Raises:
            FfmpegFailed, DiskProblem: as `write`; also an exit code other than 0.
        """
        if self._closed:
            return
        try:
            self._put(None)
            self._await(lambda: self._join_for(POLL))
            code = _end(self._child, self._finish_seconds)
            if code != 0 or self._broken:
                raise self._child.failure()
        finally:
            self.abort()

    def abort(self) -> None:
        """Kill the child and forget what was queued; what it wrote is for the caller to remove. Never raises."""
        self._closed = True
        self._child.kill()  # A feeder inside a write gets a broken pipe from this.
        for _ in range(round(_HELD / POLL)):
            if not self._thread.is_alive():
                break
            with contextlib.suppress(queue.Empty):
                self._queue.get_nowait()
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(None)
            self._thread.join(POLL)
        self._child.reap()

    def _feed(self) -> None:
        try:
            while (item := self._queue.get()) is not None:
                view = item.data.cast("B")
                while view:
                    view = view[self._pipe.write(view[:_CHUNK]) :]
                    self._ticks += 1
        except (OSError, ValueError):  # The child is gone; why, its exit code and text tell.
            self._broken = True
        finally:
            with contextlib.suppress(OSError):
                self._pipe.close()

    def _put(self, item: Pixels | None) -> None:
        def put() -> bool:
            try:
                self._queue.put(item, timeout=POLL)
            except queue.Full:
                return False
            return True

        self._await(put)
        if self._broken and item is not None:
            self._explain()

    def _join_for(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _await(self, attempt: Callable[[], bool]) -> None:
        """Repeat `attempt`, which takes up to `POLL` seconds, until it works, the child fails or it stalls."""
        waited, ticks = 0.0, self._ticks
        # Counted in attempts, not read from a clock: a process that was stopped for an hour has not stalled.
        while not attempt():
            waited = waited + POLL if ticks == self._ticks else 0.0
            ticks = self._ticks
            if self._broken or (self._child.has_ended() and waited >= _HELD):
                self._explain()
            if self._child.is_stuck(waited, self._stall_seconds):
                error = self._child.stalled(f"accepted nothing for {waited:.2g} s")
                self.abort()
                raise error

    def _explain(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):  # It closed its input: it is ending.
            self._child.wait(timeout=10)
        error = self._child.failure()
        self.abort()
        raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


class PipeReader:
    """Take frames from an ffmpeg child, which decodes them. An iterator of `(H, W, 3)`, and a context manager.

    A thread reads a little ahead. The iteration ends only when the child ended well; leaving the `with` block earlier
    stops it without complaint. Every frame is an array of its own.

    Args:
        args: what stands before the output, pipe 1: inputs, maps, filters.
        size: of every frame, pixels; the stream must have it.
        frames: how many there must be, if known.
        depth: bits of each channel, 8 (uint8) or 16 (uint16).
        stall_seconds: how long the child may deliver nothing while it is waited for.
    """

    def __init__(
        self,
        args: Sequence[str],
        *,
        size: Size,
        frames: int | None = None,
        depth: int = 8,
        stall_seconds: float = 120.0,
    ) -> None:
        self.size = size
        self.frames = 0
        """How many frames were delivered so far."""
        self._expected = frames
        self._stall_seconds = stall_seconds
        self._type = np.dtype({8: "u1", 16: "<u2"}[depth])
        self._queue: queue.Queue[NDArray[Any] | None] = queue.Queue(_queue_length(size))
        self._ticks = 0
        self._left_over = 0
        self._closed = False
        wanted = ["-f", "rawvideo", "-pix_fmt", {8: "rgb24", 16: "rgb48le"}[depth], "pipe:1"]
        self._child = Child([*args, *wanted], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self._child.process.stdout is not None
        self._pipe = self._child.process.stdout
        _widen(self._pipe)
        self._thread = threading.Thread(target=self._fetch, name="ffmpeg-out", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return self

    def __next__(self) -> NDArray[Any]:
        """Return the next frame.

        Raises:
            FfmpegFailed: the child failed, stalled, or delivered a part of a frame or another number than `frames`.
        """
        if self._closed:
            raise StopIteration
        item = self._get()
        if item is not None:
            self.frames += 1
            return item
        try:
            self._check_end()
        finally:
            self.close()
        raise StopIteration

    def log(self) -> str:
        """Return the end of what the child said."""
        return self._child.log()

    def close(self) -> None:
        """Stop the child, wherever it is. Never raises."""
        self._closed = True
        self._child.kill()
        self._thread.join(_HELD)
        with contextlib.suppress(OSError):
            self._pipe.close()
        self._child.reap()

    def _get(self) -> NDArray[Any] | None:
        waited, ticks = 0.0, self._ticks
        while True:
            try:
                return self._queue.get(timeout=POLL)
            except queue.Empty:
                waited = waited + POLL if ticks == self._ticks else 0.0
                ticks = self._ticks
            if self._child.has_ended() and waited >= _HELD:
                return None
            if self._child.is_stuck(waited, self._stall_seconds):
                error = self._child.stalled(f"delivered nothing for {waited:.2g} s")
                self.close()
                raise error

    def _check_end(self) -> None:
        code = _end(self._child, self._stall_seconds)
        if code != 0:
            raise self._child.failure()
        if self._left_over:
            raise self._child.failure(f"ended inside frame {self.frames} (another size than {self.size}?)")
        if self._expected is not None and self.frames != self._expected:
            raise self._child.failure(f"delivered {self.frames} frames where {self._expected} were expected")

    def _fetch(self) -> None:
        try:
            while (frame := self._read_frame()) is not None:
                if not self._offer(frame):
                    return
        except (OSError, ValueError):
            pass  # Closed from our side; a failing child shows in its exit code.
        self._offer(None)

    def _read_frame(self) -> NDArray[Any] | None:
        frame: NDArray[Any] = np.empty((self.size.height, self.size.width, 3), self._type)
        view = frame.data.cast("B")
        done = 0
        while done < len(view):
            got = self._pipe.readinto(view[done : done + _CHUNK])  # type: ignore[attr-defined]
            if not got:
                self._left_over = done
                return None
            done += got
            self._ticks += 1
        return frame

    def _offer(self, item: NDArray[Any] | None) -> bool:
        while not self._closed:
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=POLL)
                return True
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _end(child: Child, seconds: float) -> int:
    """Return the exit code of a child that has all its frames, or has given them.

    Raises:
        FfmpegFailed: it did not end within `seconds`, or did nothing any more.
    """
    waited = 0.0
    while True:
        try:
            return child.wait(timeout=POLL)
        except subprocess.TimeoutExpired:
            waited += POLL
        if child.is_stuck(waited, seconds):
            raise child.stalled(f"did not end within {waited:.2g} s of its last frame")


def _queue_length(size: Size) -> int:
    return max(2, min(16, _QUEUE_BYTES // (size.width * size.height * 3)))


def _widen(pipe: IO[bytes]) -> None:
    """Ask for a pipe of 1 MB where the system lets us: fewer switches between the two processes."""
    try:
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)
    except (ImportError, AttributeError, OSError):
        pass  # The usual 64 KB work as well.
