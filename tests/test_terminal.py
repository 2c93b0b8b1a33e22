from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from renderer.cli.show.streams import Stream, check_results, open_stream
from renderer.cli.show.terminal import Terminal
from renderer.errors import (
    BadInput,
    DiskProblem,
    DreamreelError,
    EnvironmentProblem,
    known_error,
    shown,
)

NASTY = "a\x1b[31m\x07\r\n\u202eb\u2066\x9b\u200b\udcff"
WRITTEN = r"a\x1b[31m\x07\r\n\u202eb\u2066\x9b\u200b\xff"
MAIN = "from renderer.cli.main import main; main()"


def run(*args: str, shell: str = '"$@"', **env: str) -> subprocess.CompletedProcess[bytes]:
    command = ["sh", "-c", shell, "sh", sys.executable, "-c", MAIN, *args]
    return subprocess.run(command, capture_output=True, timeout=120, env={**os.environ, **env}, check=False)


def test_what_could_move_a_cursor_is_written_out_and_all_other_text_stays():
    assert shown(NASTY) == WRITTEN
    plain = "Ünïcödé 夢 \u00a0\u3000 👩\u200d🚀 می\u200cخواهم ~`'\"\\"
    assert shown(plain) == plain
    assert shown("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_results_notes_and_errors_show_no_control_characters(capsys):
    terminal = Terminal()
    terminal.result(f"{NASTY}: made", "second line")
    terminal.note(NASTY)
    terminal.failure(f"{NASTY}: failed")
    with pytest.raises(Exception), terminal.guard():  # noqa: B017 - typer's way to exit
        raise BadInput(f"{NASTY} is no picture.")
    out, err = capsys.readouterr()
    assert out == f"{WRITTEN}: made\nsecond line\n"
    assert err == f"{WRITTEN}\n{WRITTEN}: failed\ndreamreel: {WRITTEN} is no picture.\n"


def test_a_line_of_json_is_plain_text_and_gives_the_name_back(capsys):
    Terminal(json=True).result("", path=NASTY)
    line = capsys.readouterr().out
    assert shown(line.rstrip("\n")) == line.rstrip("\n")
    assert json.loads(line) == {"path": NASTY}


def test_a_name_of_thousands_of_letters_is_cut_in_a_message(capsys):
    Terminal().note("x" * 5000 + ".png is not there.")
    assert len(capsys.readouterr().err) < 300


def test_bars_show_no_control_characters(monkeypatch, tmp_path):
    from renderer.cli.show import bar

    path = tmp_path / "drawn"
    with path.open("wb") as file:
        monkeypatch.setattr(bar.os, "dup", lambda _: os.open(path, os.O_WRONLY))
        bars = bar.BatchBars()
        bars.film("\x1b]0;stolen\x07[bold]", 1, 2, text="\u202ereading", reading="1/2")
        bars.note("\x1b]0;stolen\x07")
        bars.close()
        del file
    drawn = path.read_text(encoding="utf-8")
    assert "\x1b]0" not in drawn
    assert "\u202e" not in drawn


def test_a_reader_who_leaves_a_disk_that_is_full_or_a_closed_pipe_stops_nothing(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    gone = open_stream(writer, encoding="utf-8", closes=True)
    monkeypatch.setattr(sys, "stdout", gone)
    for number in range(3):
        Terminal().result(f"film {number}")
    assert gone.lost is not None
    check_results()  # Nobody wanted to know.
    gone.lost = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(DiskProblem, match="stdout"):
        check_results()
    gone.close()


def test_a_stream_writes_what_its_encoding_lacks_in_ascii():
    held = io.BytesIO()
    stream = Stream(held, encoding="ascii", errors="backslashreplace")
    stream.write("夢 · \udcff\n")
    stream.flush()
    assert held.getvalue() == b"\\u5922 \\xb7 \\xff\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_exit_codes_with_streams_that_are_closed_full_or_ascii():
    assert run("--version", shell='"$@" >&- 2>&- <&-').returncode == 0
    full = run("--version", shell='"$@" >/dev/full')
    assert (full.returncode, b"Traceback" in full.stderr) == (6, False)
    assert b"stdout" in full.stderr
    wrong = run("zoom", "--bogus\x1b[31m\u202e夢", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert wrong.returncode == 2
    assert b"\x1b" not in wrong.stderr
    assert b"Traceback" not in wrong.stderr


SAID = [
    (OSError(errno.ENOSPC, "No space left", "x"), DiskProblem),
    (OSError(errno.EFBIG, "File too large"), DiskProblem),
    (OSError(errno.EROFS, "Read-only", "x"), DiskProblem),
    (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), BadInput),
    (OSError(errno.ELOOP, "Too many levels of symbolic links", "x"), BadInput),
    (NotADirectoryError(errno.ENOTDIR, "Not a directory", "x/y"), BadInput),
    (IsADirectoryError(errno.EISDIR, "Is a directory", b"x\xff"), BadInput),
    (PermissionError(errno.EACCES, "Permission denied", "/there/is/no/such"), DiskProblem),
    (FileNotFoundError(errno.ENOENT, "No such file or directory"), EnvironmentProblem),
    (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in []"), EnvironmentProblem),
    (OSError(errno.EMFILE, "Too many open files", "x"), EnvironmentProblem),
    (RuntimeError("Symlink loop from 'x'"), BadInput),
    (RuntimeError("can't start new thread"), EnvironmentProblem),
    (ImportError("failed to map segment", name="numpy"), EnvironmentProblem),
    (UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range(128)"), BadInput),
    (ValueError("embedded null byte"), BadInput),
    (MemoryError(), EnvironmentProblem),
]


def test_what_the_system_says_is_a_sentence_with_its_exit_code():
    for error, kind in SAID:
        known = known_error(error)
        assert type(known) is kind, error
        assert str(known).endswith(".")
    for error in (ValueError("x"), RuntimeError("x"), ImportError("x", name="renderer.y"), BrokenPipeError()):
        assert not isinstance(known_error(error), DreamreelError), error


def test_a_folder_that_is_gone_is_told(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from renderer.cli.main import app

    before, gone = Path.cwd(), tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    try:
        gone.rmdir()
        done = CliRunner().invoke(app, ["zoom", "-o", "x.mp4"])
    finally:
        os.chdir(before)
    assert done.exit_code == 5, done.stderr
    assert "current folder is gone" in done.stderr
