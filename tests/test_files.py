"""Files that somebody else wrote: only plain ones are opened, and nothing is read or written through a link."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from renderer.errors import BadInput
from renderer.files import check_input, is_own_folder, once_a_file, open_own, read_input, read_own

posix = pytest.mark.skipif(os.name != "posix", reason="needs FIFOs and links")


def special(folder: Path, kind: str) -> Path:
    """Make what is no plain file."""
    path = folder / "input"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    return {"device": Path("/dev/zero"), "kernel": Path("/proc/self/environ")}.get(kind, path)


@posix
@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "kernel", "missing"])
def test_what_is_no_plain_file_is_refused_at_once(tmp_path, kind):
    path = special(tmp_path, kind)
    for call in (
        lambda: read_input(path, expected="a picture", limit=10),
        lambda: check_input(path, expected="a film"),
    ):
        with pytest.raises(BadInput, match="expected a"):
            call()


def test_a_file_is_read_up_to_its_limit(tmp_path):
    path = tmp_path / "input"
    path.write_bytes(b"12345")
    assert read_input(path, expected="a preset", limit=5) == b"12345"
    assert check_input(path, expected="a preset") == 5
    with pytest.raises(BadInput, match="more than 4 bytes"):
        read_input(path, expected="a preset", limit=4)


@posix
def test_an_input_may_be_a_link_and_a_file_of_ours_may_not(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"theirs")
    link.symlink_to(real)
    assert read_input(link, expected="a preset", limit=10) == b"theirs"
    for flags in (os.O_RDONLY, os.O_WRONLY | os.O_TRUNC, os.O_RDWR | os.O_CREAT):
        with pytest.raises(BadInput, match="link"):
            open_own(link, flags)
    assert real.read_bytes() == b"theirs"


@posix
def test_a_hard_link_is_not_written_through(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"theirs")
    os.link(real, link)
    with pytest.raises(BadInput):
        open_own(link, os.O_WRONLY | os.O_TRUNC)
    assert real.read_bytes() == b"theirs"
    assert read_own(link, expected="a journal", limit=10) == b"theirs"


@posix
def test_a_folder_behind_a_link_is_not_ours(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert is_own_folder(tmp_path / "real")
    assert not is_own_folder(tmp_path / "link")
    assert not is_own_folder(tmp_path / "none")


@pytest.fixture
def later(monkeypatch):
    """Let some seconds pass: what was just written is no longer new."""
    now = time.time_ns
    monkeypatch.setattr("renderer.files.time.time_ns", lambda: now() + 5_000_000_000)


def test_a_file_is_read_once_until_it_changes(tmp_path, later):
    path, reads = tmp_path / "input", []

    @once_a_file
    def content(path: Path, *, more: str = "") -> bytes:
        reads.append(path)
        return path.read_bytes()

    path.write_bytes(b"one")
    assert [content(path), content(path), content(path, more="x")] == [b"one"] * 3
    assert len(reads) == 2
    path.write_bytes(b"two")  # Of the same length.
    assert content(path) == b"two"
    (tmp_path / "other").write_bytes(b"six")
    (tmp_path / "other").replace(path)
    assert content(path) == b"six"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        content(path)


def test_a_file_that_was_just_written_is_read_again(tmp_path):
    reads = []
    read = once_a_file(lambda path: reads.append(path))
    (tmp_path / "input").write_bytes(b"one")
    os.utime(tmp_path / "input")
    read(tmp_path / "input"), read(tmp_path / "input")
    assert len(reads) == 2
