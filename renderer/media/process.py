"""Find ffmpeg, start it, and turn the way it ends into an error with a name.

What `renderer.media.ffmpeg` is built on; other modules use that one. Each child leads its own session, so that Ctrl-C
on a terminal reaches Dreamreel alone, which then decides what its children finish.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import signal
import subprocess
import threading
from collections.abc import Sequence

import imageio_ffmpeg

from renderer.errors import DiskProblem, EnvironmentProblem

LOG_BYTES = 8192
"""How much of the end of ffmpeg's error text is kept."""

_KEPT_LINES = 1000

DISK_ERRNOS = (errno.ENOSPC, errno.EFBIG, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC))
"""System errors that mean: no room, or no writing here."""

_OLDEST_LIBAVUTIL = (57, 28)  # That of ffmpeg 5.1. Builds from git carry no ffmpeg version, but always this one.


class FfmpegFailed(EnvironmentProblem):
    """ffmpeg ended badly: `returncode` (below 0: killed by that signal, None: stopped by us), the end of its text."""

    passing = True

    def __init__(self, message: str, *, returncode: int | None, log: str) -> None:
        super().__init__(message)
        self.returncode = returncode
        self.log = log


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
        done = subprocess.run(
            [exe, "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True, env=_environment()
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EnvironmentProblem(f"ffmpeg at {exe} does not run ({error}). {hint}") from error
    text = done.stdout.decode("utf-8", "replace")
    library = re.search(r"libavutil\s+(\d+)\.\s*(\d+)", text)
    if not library:
        raise EnvironmentProblem(f"{exe} does not answer like ffmpeg. {hint}")
    if (int(library[1]), int(library[2])) < _OLDEST_LIBAVUTIL:
        found = text.split(" Copyright")[0].strip().removeprefix("ffmpeg version ")
        raise EnvironmentProblem(f"ffmpeg at {exe} is too old: found {found}, needed 5.1 or newer. {hint}")


class Child:
    """An ffmpeg process whose error text is drained by a thread: a full pipe (64 KB) would hang it.

    Only the end of the text is kept, and beside it the first lines that begin with `keep`, if that is given.
    """

    def __init__(self, args: Sequence[str], *, stdin: int, stdout: int, keep: str = "") -> None:
        command = [ffmpeg_exe(), "-hide_banner", "-nostdin", "-v", "level+warning", *args]
        self._tail = b""
        self._keep = keep.encode()
        self.kept: list[str] = []
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

    def wait(self, *, timeout: float | None = None) -> int:
        code = self.process.wait(timeout)
        self._drainer.join(5)
        return code

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()

    def reap(self) -> None:
        """Wait for a child that was killed or has ended, and give its descriptors back."""
        self.process.wait()
        self._drainer.join(5)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def log(self) -> str:
        return self._tail.decode("utf-8", "replace").strip()

    def stalled(self, what: str) -> FfmpegFailed:
        self.kill()
        self.reap()
        return FfmpegFailed(f"ffmpeg {what} and was stopped{_gist(self.log())}", returncode=None, log=self.log())

    def failure(self, what: str | None = None) -> DiskProblem | FfmpegFailed:
        """Return the error that says best why the child ended; `what` if it ended well and yet wrongly."""
        code, log = self.process.poll(), self.log()
        if _is_disk(code, log):
            return DiskProblem(f"ffmpeg could not write its output: the disk is full or read-only{_gist(log)}")
        if code is not None and code < 0:
            what = f"was killed by signal {_signal_name(-code)}"
        elif code:
            what = f"failed with exit code {code}"
        return FfmpegFailed(f"ffmpeg {what or 'stopped taking frames too early'}{_gist(log)}", returncode=code, log=log)


def _is_disk(code: int | None, log: str) -> bool:
    if not code:
        return False
    texts = [os.strerror(number) for number in DISK_ERRNOS]
    full = [256 - number for number in DISK_ERRNOS]  # ffmpeg exits with -errno: 228 is ENOSPC.
    return code in full or code == -getattr(signal, "SIGXFSZ", 0) or any(text in log for text in texts)


def _gist(log: str) -> str:
    """Return the end of an error sentence: the first and last line that ffmpeg itself calls errors, else its last."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    bad = [line for line in lines if "[error]" in line or "[fatal]" in line or "[panic]" in line]
    chosen = dict.fromkeys([bad[0], bad[-1]] if bad else lines[-1:])  # The cause comes first, its consequences after.
    text = "; ".join(re.sub(r"\[[^\]]*\]\s*", "", line) for line in chosen)
    return f": {text[:400]}" if text else "."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _environment() -> dict[str, str]:
    return {**os.environ, "AV_LOG_FORCE_NOCOLOR": "1"}
