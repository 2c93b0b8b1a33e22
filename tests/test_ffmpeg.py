"""ffmpeg as a child: what goes in comes out, and every way to fail has a name and an end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from renderer.errors import DiskProblem, EnvironmentProblem
from renderer.frame import Pixels, Size
from renderer.media.ffmpeg import pipes as ffmpeg
from renderer.media.ffmpeg import process
from renderer.media.ffmpeg.pipes import FfmpegFailed, PipeReader, PipeWriter, ffmpeg_exe, file_url, run

RATE = Fraction(24000, 1001)
LOSSLESS = ["-c:v", "ffv1", "-pix_fmt", "bgr0", "-slices", "4", "-f", "matroska"]
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and scripts")


def noise(size: Size, count: int, seed: int = 0) -> Iterator[Pixels]:
    for number in range(count):
        yield np.random.default_rng([seed, number]).integers(0, 256, (size.height, size.width, 3), np.uint8)


def write(path: Path, size: Size, count: int) -> None:
    with PipeWriter([*LOSSLESS, file_url(path)], size=size, rate=RATE) as writer:
        for pixels in noise(size, count):
            writer.write(pixels)


def script(path: Path, body: str) -> str:
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_the_installed_ffmpeg_is_accepted() -> None:
    assert run(["-version"]).stdout.startswith(b"ffmpeg version")


@posix
def test_an_ffmpeg_older_than_5_1_is_refused_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    banner = "ffmpeg version 4.4.2-0ubuntu0 Copyright (c) 2000\\nlibavutil      56. 70.100 / 56. 70.100"
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", script(tmp_path / "old", f"print('{banner}')"))
    with pytest.raises(EnvironmentProblem, match=r"too old: found 4\.4\.2.*5\.1 or newer"):
        ffmpeg_exe()


@posix
@pytest.mark.parametrize("body", ["print('hello')", "raise SystemExit(3)"])
def test_something_that_is_no_ffmpeg_is_refused(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", script(tmp_path / "other", body))
    with pytest.raises(EnvironmentProblem, match="IMAGEIO_FFMPEG_EXE"):
        ffmpeg_exe()


def test_a_missing_ffmpeg_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    with pytest.raises(EnvironmentProblem, match="nowhere does not run"):
        ffmpeg_exe()


def test_a_failing_command_says_what_ffmpeg_said(tmp_path: Path) -> None:
    with pytest.raises(FfmpegFailed, match="No such file") as caught:
        run(["-i", file_url(tmp_path / "absent.mp4"), "-f", "null", "-"])
    assert caught.value.returncode not in (0, None)
    assert "absent.mp4" in caught.value.log


def test_a_command_that_never_ends_is_stopped() -> None:
    with pytest.raises(FfmpegFailed, match=r"did not finish within 0\.3 s"):
        run(["-f", "lavfi", "-i", "color=s=16x16", "-f", "null", "-"], timeout=0.3)


def test_much_error_text_hangs_nothing_and_only_its_end_is_kept() -> None:
    source = ["-f", "lavfi", "-i", "color=s=16x16:r=1000:d=1"]
    output = run(["-v", "info", *source, "-vf", "showinfo", "-f", "null", "-"], timeout=60)
    assert 4096 < len(output.log) <= ffmpeg.LOG_BYTES
    assert "n: 999" in output.log


@pytest.mark.parametrize(
    "name", ["a:b.mkv", "-x.mkv", "%d %s.mkv", "http:x.mkv", "new\nline.mkv", "\N{SLEEPING FACE}.mkv"]
)
@posix
def test_any_file_name_works_both_ways(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path(name), Size(8, 8), 2)
    assert (tmp_path / name).is_file()
    with PipeReader(["-i", file_url(name)], size=Size(8, 8), frames=2) as reader:
        assert len([None for _ in reader]) == 2


@pytest.mark.parametrize("size", [Size(64, 48), Size(33, 5), Size(7, 31)])
def test_frames_come_back_as_they_went_in(size: Size, tmp_path: Path) -> None:
    write(tmp_path / "f.mkv", size, 40)  # More than the queue holds.
    with PipeReader(["-i", file_url(tmp_path / "f.mkv")], size=size, frames=40) as reader:
        for got, sent in zip(reader, noise(size, 40), strict=True):
            np.testing.assert_array_equal(got, sent)
    assert reader.frames == 40


def test_a_frame_of_another_shape_is_refused(tmp_path: Path) -> None:
    with PipeWriter([*LOSSLESS, file_url(tmp_path / "f.mkv")], size=Size(8, 8), rate=RATE) as writer:
        writer.write(np.zeros((8, 8, 3), np.uint8))
        with pytest.raises(ValueError, match="expected uint8 8x8"):
            writer.write(np.zeros((8, 9, 3), np.uint8))


def test_an_encoder_that_refuses_its_options_is_noticed_with_its_words(tmp_path: Path) -> None:
    writer = PipeWriter(["-c:v", "no_such_codec", file_url(tmp_path / "f.mkv")], size=Size(8, 8), rate=RATE)
    with pytest.raises(FfmpegFailed, match="no_such_codec"):
        for pixels in noise(Size(8, 8), 10_000):
            writer.write(pixels)
    writer.close()  # Already over: nothing more to say.


def test_an_encoder_that_fails_only_at_its_end_is_noticed_on_close(tmp_path: Path) -> None:
    writer = PipeWriter(["-f", "matroska", file_url(tmp_path / "no" / "f.mkv")], size=Size(8, 8), rate=RATE)
    with pytest.raises(FfmpegFailed, match="No such file"):
        writer.close()


def test_an_encoder_that_takes_fewer_frames_than_it_gets_is_noticed(tmp_path: Path) -> None:
    writer = PipeWriter(["-frames:v", "1", *LOSSLESS, file_url(tmp_path / "f.mkv")], size=Size(64, 64), rate=RATE)
    with pytest.raises(FfmpegFailed, match="too early"):
        for pixels in noise(Size(64, 64), 500):
            writer.write(pixels)
        writer.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_disk_problem() -> None:
    writer = PipeWriter(["-c:v", "ffv1", "-f", "matroska", "-y", "file:/dev/full"], size=Size(64, 64), rate=RATE)
    with pytest.raises(DiskProblem, match="disk is full"):
        for pixels in noise(Size(64, 64), 2000):
            writer.write(pixels)
        writer.close()


@posix
def test_an_encoder_that_is_killed_is_named(tmp_path: Path) -> None:
    writer = PipeWriter([*LOSSLESS, file_url(tmp_path / "f.mkv")], size=Size(8, 8), rate=RATE)
    writer.write(np.zeros((8, 8, 3), np.uint8))
    os.kill(writer._child.process.pid, signal.SIGKILL)
    with pytest.raises(FfmpegFailed, match="SIGKILL") as caught:
        for pixels in noise(Size(8, 8), 10_000):
            writer.write(pixels)
    assert caught.value.returncode == -signal.SIGKILL


@posix
def test_an_encoder_that_stalls_is_stopped_while_writing_and_while_closing(tmp_path: Path) -> None:
    size = Size(1024, 1024)
    frame = np.zeros((1024, 1024, 3), np.uint8)
    for count in (100, 1):
        args = [*LOSSLESS, file_url(tmp_path / f"{count}.mkv")]
        writer = PipeWriter(args, size=size, rate=RATE, stall_seconds=0.3, finish_seconds=0.3)
        os.kill(writer._child.process.pid, signal.SIGSTOP)
        with pytest.raises(FfmpegFailed, match="and was stopped"):
            for _ in range(count):
                writer.write(frame)
            writer.close()
        assert writer._child.process.returncode == -signal.SIGKILL


def test_an_error_in_the_with_block_stops_the_encoder_and_stays_the_error(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        PipeWriter([*LOSSLESS, file_url(tmp_path / "f.mkv")], size=Size(8, 8), rate=RATE) as writer,
    ):
        raise ZeroDivisionError
    assert writer._child.process.returncode is not None


def test_a_decoder_may_be_left_early(tmp_path: Path) -> None:
    write(tmp_path / "f.mkv", Size(64, 64), 100)
    with PipeReader(["-i", file_url(tmp_path / "f.mkv")], size=Size(64, 64), frames=100) as reader:
        next(reader)
    assert reader._child.process.returncode is not None
    assert list(reader) == []


def test_a_file_that_ends_early_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "f.mkv"
    write(path, Size(64, 64), 20)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    delivered = 0
    with (
        pytest.raises(FfmpegFailed, match=r"delivered \d+ frames where 20 were expected|failed with exit code"),
        PipeReader(["-i", file_url(path)], size=Size(64, 64), frames=20) as reader,
    ):
        for _ in reader:
            delivered += 1
    assert 0 < delivered < 20


def test_a_stream_of_another_size_is_noticed(tmp_path: Path) -> None:
    write(tmp_path / "f.mkv", Size(8, 8), 3)
    with (
        pytest.raises(FfmpegFailed, match="ended inside frame"),
        PipeReader(["-i", file_url(tmp_path / "f.mkv")], size=Size(8, 9)) as reader,
    ):
        for _ in reader:
            pass


def test_a_file_that_is_no_video_is_a_failure_not_an_empty_film(tmp_path: Path) -> None:
    (tmp_path / "f.mkv").write_text("words, no frames")
    with pytest.raises(FfmpegFailed), PipeReader(["-i", file_url(tmp_path / "f.mkv")], size=Size(8, 8)) as reader:
        next(reader)


@posix
def test_a_decoder_that_is_killed_or_stalls_is_named(tmp_path: Path) -> None:
    endless = ["-f", "lavfi", "-i", "color=s=64x64"]
    for number, text in ((signal.SIGKILL, "SIGKILL"), (signal.SIGSTOP, "delivered nothing for")):
        with PipeReader(endless, size=Size(64, 64), stall_seconds=0.3) as reader:
            next(reader)
            os.kill(reader._child.process.pid, number)
            with pytest.raises(FfmpegFailed, match=text):
                for _ in reader:
                    pass


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_pipes_leave_neither_threads_nor_descriptors_behind(tmp_path: Path) -> None:
    def round_trip(number: int) -> None:
        path = tmp_path / f"{number}.mkv"
        write(path, Size(8, 8), 2)
        with PipeReader(["-i", file_url(path)], size=Size(8, 8), frames=2) as reader:
            for _ in reader:
                pass
        run(["-version"])

    round_trip(0)
    before = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for number in range(1, 6):
        round_trip(number)
    assert (threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))) == before


# --- an ffmpeg that misbehaves ---------------------------------------------------------------------------------------

SIZE = Size(8, 8)


@pytest.fixture
def misbehaving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a script in the place of ffmpeg, which writes the number of what it starts into a file `child`."""
    monkeypatch.setattr(process, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(process, "_GRACE", 0.2)
    monkeypatch.setattr(ffmpeg, "_HELD", 0.2)
    real = ffmpeg_exe()

    def place(body: str, *, version: bool = True) -> None:
        path = tmp_path / "ffmpeg"
        usual = f'case "$*" in *-version*) exec {real} "$@";; esac\n' if version else ""
        path.write_text(f"#!/bin/sh\n{usual}{body}\n")
        path.chmod(0o755)
        process._check_version.cache_clear()
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))

    return place


def is_gone(folder: Path) -> bool:
    """Whether what the script started has ended (a zombie has)."""
    number = (folder / "child").read_text().strip()
    until = time.monotonic() + 10  # A signal is sent at once and, on a busy machine, obeyed later.
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
    return False


@posix
@pytest.mark.parametrize("body", ["yes ffmpeg version", "sleep 100 & echo $! > {folder}/child; wait", "exit 3"])
def test_an_ffmpeg_that_never_says_its_version_is_refused_at_once(tmp_path: Path, misbehaving, body: str) -> None:
    misbehaving(body.format(folder=tmp_path), version=False)
    with pytest.raises(EnvironmentProblem, match=r"does not run .*(wrote more than|did not finish|exit code 3)"):
        ffmpeg_exe()
    assert "child" not in body or is_gone(tmp_path)


@posix
@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("way", ["run", "read", "write"])
def test_what_holds_the_pipes_of_an_ffmpeg_that_ended_is_not_waited_for(
    tmp_path: Path, misbehaving, way: str, escaped: bool
) -> None:
    """Neither a child of its own nor one in a session of its own, which nobody but the test can end."""
    if escaped and not Path("/usr/bin/setsid").exists():
        pytest.skip("needs setsid")
    misbehaving(f"{'setsid ' if escaped else ''}sleep 20 <&0 & echo $! > {tmp_path}/child; echo hello; exit 0")
    began = time.monotonic()
    if way == "run":
        assert run(["-i", "x"]).stdout == b"hello\n"
    elif way == "read":
        with pytest.raises(FfmpegFailed, match=r"ended inside frame|0 frames"):
            list(PipeReader(["-i", "x"], size=SIZE, frames=2))
    else:
        with pytest.raises(FfmpegFailed), PipeWriter([], size=Size(512, 512), rate=RATE) as writer:
            for pixels in noise(Size(512, 512), 60):
                writer.write(pixels)
    assert time.monotonic() - began < 5
    if escaped:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
    else:
        assert is_gone(tmp_path)


@posix
@pytest.mark.parametrize("way", ["run", "read", "write", "close"])
def test_an_ffmpeg_that_does_nothing_is_given_up_with_all_that_it_started(
    tmp_path: Path, misbehaving, way: str
) -> None:
    misbehaving(f"sleep 100 & echo $! > {tmp_path}/child; wait")
    with pytest.raises(FfmpegFailed, match="and was stopped"):
        if way == "run":
            run(["-i", "x"])
        elif way == "read":
            list(PipeReader(["-i", "x"], size=SIZE))
        else:
            with PipeWriter([], size=Size(512, 512), rate=RATE) as writer:
                for pixels in noise(Size(512, 512), 60 if way == "write" else 1):
                    writer.write(pixels)
    assert is_gone(tmp_path)


@posix
def test_an_ffmpeg_at_work_is_not_given_up_because_nothing_comes_of_it(misbehaving) -> None:
    misbehaving("n=0; while [ $n -lt 200000 ]; do n=$((n+1)); done; echo done")
    assert run(["-i", "x"]).stdout == b"done\n"


@pytest.mark.parametrize(
    ("log", "kind"),
    [
        ("[out#0/mp4 @ 0x5] [error] Error writing trailer: No space left on device\n", DiskProblem),
        ("[error] av_interleaved_write_frame(): No space left on device\n", DiskProblem),
        ("[info]     title           : No space left on device\n", FfmpegFailed),
        ("[info]     title           : x\n                    : [error] No space left on device\n", FfmpegFailed),
    ],
)
def test_a_full_disk_is_what_ffmpeg_calls_one_and_not_what_a_film_is_called(log, kind, monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", ffmpeg_exe())
    child = process.Child(["-version"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    child.wait()
    monkeypatch.setattr(child, "log", lambda: log)
    monkeypatch.setattr(child.process, "poll", lambda: 1)
    assert type(child.failure()) is kind
