"""Find ffmpeg, start it, and turn the way it ends into an error with a name.

What `pipes` is built on; other modules use that one. Each child leads its own session, so that Ctrl-C on a terminal
reaches Dreamreel alone, which then decides what its children finish. What a child started itself is ended with it: what
IMAGEIO_FFMPEG_EXE names may be a script around ffmpeg.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg

from renderer.errors import DiskProblem, EnvironmentProblem
from renderer.media.files import DISK_ERRNOS

LOG_BYTES = 8192
"""How much of the end of ffmpeg's error text is kept."""

_KEPT_LINES = 1000

IDLE_SECONDS = 30.0
"""A child that is waited for is given up when it has not used its processor for so long."""

POLL = 0.1
"""Seconds between two looks at a child that makes us wait."""

_GRACE = 1.0  # Seconds for pipes to close after their child has ended; somebody else may hold them.
_VERSION_SECONDS, _VERSION_BYTES = 20.0, 1 << 16
_OLDEST_LIBAVUTIL = (57, 28)  # That of ffmpeg 5.1. Builds from git carry no ffmpeg version, but always this one.


class FfmpegFailed(EnvironmentProblem):
    """ffmpeg ended badly.

    Attributes:
        returncode: below 0: killed by that signal; None: stopped by us.
        log: the end of its text.
        was_idle: whether it was stopped because it did nothing at all.
    """

    passing = True

    def __init__(self, message: str, *, returncode: int | None, log: str, was_idle: bool = False) -> None:
        super().__init__(message)
        self.was_idle = was_idle
        self.returncode = returncode
        self.log = log

    @property
    def was_stopped(self) -> bool:
        """Whether it did nothing or was ended from outside: then what it read or wrote is not to blame."""
        by = (signal.SIGTERM, getattr(signal, "SIGKILL", 9))
        return self.was_idle or (self.returncode is not None and _signal_of(self.returncode) in by)


def ffmpeg_exe() -> str:
    """Return the path of the ffmpeg to use: that of imageio-ffmpeg, or what IMAGEIO_FFMPEG_EXE names.

    Raises:
        EnvironmentProblem: there is none, it does not run, or it is older than 5.1.
    """
    try:
        exe = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise EnvironmentProblem(
            "No ffmpeg was found. Reinstall imageio-ffmpeg, or name an ffmpeg 5.1 or newer in IMAGEIO_FFMPEG_EXE."
        ) from error
    _check_version(exe)
    return exe


@functools.lru_cache(maxsize=8)
def _check_version(exe: str) -> None:
    hint = (
        "Name a working one, 5.1 or newer, in IMAGEIO_FFMPEG_EXE, or unset it to use the one installed with Dreamreel."
    )
    try:
        child = Child(["-version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, exe=exe)
        text = child.output(timeout=_VERSION_SECONDS, limit=_VERSION_BYTES).decode("utf-8", "replace")
    except EnvironmentProblem as error:
        raise EnvironmentProblem(f"ffmpeg at {exe} does not run ({str(error).rstrip('.')}). {hint}") from error
    library = re.search(r"libavutil\s+(\d+)\.\s*(\d+)", text)
    if not library:
        raise EnvironmentProblem(f"{exe} does not answer like ffmpeg. {hint}")
    if (int(library[1]), int(library[2])) < _OLDEST_LIBAVUTIL:
        found = text.split(" Copyright")[0].strip().removeprefix("ffmpeg version ").partition("\n")[0][:60]
        raise EnvironmentProblem(f"ffmpeg at {exe} is too old: found {found}, needed 5.1 or newer. {hint}")


class Child:
    """An ffmpeg process whose error text is drained by a thread: a full pipe (64 KB) would hang it.

    Only the end of the text is kept, and beside it the first lines that begin with `keep`, if that is given.
    """

    def __init__(self, args: Sequence[str], *, stdin: int, stdout: int, keep: str = "", exe: str | None = None) -> None:
        command = [exe or ffmpeg_exe(), "-hide_banner", "-nostdin", "-v", "level+warning", *args]
        self._tail = b""
        self._keep = keep.encode()
        self.kept: list[str] = []
        self._ended = self._idle = False
        self._looked_at, self._busy_at, self._work = 0.0, 0.0, -1
        try:
            self.process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=_environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise EnvironmentProblem(f"ffmpeg could not be started ({error}). Try `dreamreel doctor`.") from error
        self._drainer = threading.Thread(target=self._drain, name="ffmpeg-log", daemon=True)
        self._drainer.start()

    def _drain(self) -> None:
        assert self.process.stderr is not None
        begun = b""  # A line that has not ended.
        with contextlib.suppress(OSError, ValueError):
            while block := self.process.stderr.read(LOG_BYTES):
                self._tail = (self._tail + block)[-LOG_BYTES:]
                *lines, begun = (begun + block).split(b"\n")
                begun = begun[-LOG_BYTES:]
                if self._keep and len(self.kept) < _KEPT_LINES:
                    self.kept += [line.decode("ascii", "replace") for line in lines if line.startswith(self._keep)]

    def output(self, *, timeout: float, limit: int) -> bytes:
        """Let the child run to its end, and return all that it wrote to standard output.

        Raises:
            FfmpegFailed, DiskProblem: it ended badly, took longer than `timeout` seconds, did nothing, or wrote more
                than `limit` bytes.
        """
        blocks: list[bytes] = []
        reader = threading.Thread(target=self._collect, args=(blocks, limit), name="ffmpeg-text", daemon=True)
        reader.start()
        waited = 0.0
        try:
            while not self._is_over(reader):
                waited += POLL
                if self.is_stuck(waited, timeout):
                    raise self.stalled(f"did not finish within {waited:.2g} s")
            code = self.wait()
        finally:
            self.kill()
            self.reap()
        if sum(map(len, blocks)) > limit:
            raise FfmpegFailed(f"ffmpeg wrote more than {limit:,} bytes and was stopped.", returncode=None, log="")
        if code != 0:
            raise self.failure()
        return b"".join(blocks)

    def _collect(self, blocks: list[bytes], limit: int) -> None:
        assert self.process.stdout is not None
        room = limit
        with contextlib.suppress(OSError, ValueError):
            while room >= 0 and (block := self.process.stdout.read(1 << 16)):
                blocks.append(block)
                room -= len(block)
        if room < 0:
            self.kill()

    def _is_over(self, reader: threading.Thread) -> bool:
        """Wait a moment for the end of the child and of what it writes."""
        reader.join(POLL)
        if reader.is_alive():
            if not self.has_ended():
                return False
            reader.join(_GRACE)
            return True
        try:
            self.wait(timeout=POLL)
        except subprocess.TimeoutExpired:
            return False
        return True

    def is_stuck(self, waited: float, limit: float) -> bool:
        """Tell whether to give up a child.

        Args:
            waited: seconds for which it has been waited for without a break.
            limit: seconds after which it is given up although it is at work.
        """
        if waited < self._looked_at:
            self._looked_at, self._busy_at = 0.0, 0.0
        if waited - self._looked_at >= min(1.0, IDLE_SECONDS / 3):
            self._looked_at, work = waited, _work_of(self.process.pid)
            if work is None or work != self._work:
                self._work, self._busy_at = work or 0, waited
        self._idle = waited - self._busy_at >= IDLE_SECONDS
        return self._idle or waited >= limit

    def has_ended(self) -> bool:
        """Tell whether the child has ended; then what it started is ended too."""
        if self.process.poll() is None:
            return False
        self._end_group()
        return True

    def wait(self, *, timeout: float | None = None) -> int:
        code = self.process.wait(timeout)
        self._end_group()
        self._drainer.join(_GRACE)
        return code

    def kill(self) -> None:
        self._end_group()
        if self.process.poll() is None:
            self.process.kill()

    def _end_group(self) -> None:
        """Kill all processes of the child's session; once, since its number may be another's later."""
        if not self._ended:
            self._ended = True
            with contextlib.suppress(OSError, AttributeError):  # AttributeError: a system without groups.
                os.killpg(self.process.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Wait for a child that was killed or has ended, and give its descriptors back."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # The system may hold it, on a disk that is gone.
            self.process.wait(_GRACE)
        self._drainer.join(_GRACE)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def log(self) -> str:
        return self._tail.decode("utf-8", "replace").strip()

    def stalled(self, what: str) -> FfmpegFailed:
        self.kill()
        self.reap()
        message, log = f"ffmpeg {what} and was stopped{_gist(self.log())}", self.log()
        return FfmpegFailed(message, returncode=None, log=log, was_idle=self._idle)

    def failure(self, what: str | None = None) -> DiskProblem | FfmpegFailed:
        """Return the error that says best why the child ended; `what` if it ended well and yet wrongly."""
        code, log = self.process.poll(), self.log()
        if _is_disk(code, log):
            return DiskProblem(f"ffmpeg could not write its output: the disk is full or read-only{_gist(log)}")
        if code is not None and (number := _signal_of(code)):
            what = f"was killed by signal {_signal_name(number)}"
        elif code:
            what = f"failed with exit code {code}"
        return FfmpegFailed(f"ffmpeg {what or 'stopped taking frames too early'}{_gist(log)}", returncode=code, log=log)


def _is_disk(code: int | None, log: str) -> bool:
    if not code:
        return False
    texts = "|".join(re.escape(os.strerror(number)) for number in DISK_ERRNOS)
    # Only where ffmpeg itself calls it an error: a film's title may say the same, in a line of another kind.
    said = re.search(rf"^(\[[^\]\n]*\] )?\[(error|fatal)\] .*({texts})", log, re.MULTILINE)
    full = [256 - number for number in DISK_ERRNOS]  # ffmpeg exits with -errno: 228 is ENOSPC.
    return code in full or _signal_of(code) == getattr(signal, "SIGXFSZ", -1) or said is not None


def _signal_of(code: int) -> int:
    """Return the signal that ended a process, 0 for none; a shell around ffmpeg tells it as 128 and more."""
    number = -code if code < 0 else code - 128
    return number if code < 0 or number in (signal.SIGTERM, *(getattr(signal, name, 0) for name in _DEADLY)) else 0


def _gist(log: str) -> str:
    """Return the end of an error sentence: the first and last line that ffmpeg itself calls errors, else its last."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    bad = [line for line in lines if "[error]" in line or "[fatal]" in line or "[panic]" in line]
    chosen = dict.fromkeys([bad[0], bad[-1]] if bad else lines[-1:])  # The cause comes first, its consequences after.
    text = "; ".join(re.sub(r"\[[^\]]*\]\s*", "", line) for line in chosen)
    return f": {text[:400]}" if text else "."


_DEADLY = ("SIGKILL", "SIGXFSZ", "SIGSEGV", "SIGABRT")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _work_of(group: int) -> int | None:
    """Return how much time the processes of a group have used; None where that is unknown, or one waits for a disk."""
    total, known = 0, False
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_bytes().rpartition(b")")[2].split()
            if int(fields[2]) == group:
                if fields[0] == b"D":
                    return None
                known, total = True, total + int(fields[11]) + int(fields[12])
    return total if known else None


def _environment() -> dict[str, str]:
    return {**os.environ, "AV_LOG_FORCE_NOCOLOR": "1"}
