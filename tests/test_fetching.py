"""Weights come from a server of our own here: good, wrong, cut off in the middle, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from renderer.dreaming.networks import download as fetching
from renderer.dreaming.networks.download import MIRROR, WeightsFile, cache_folder, fetch, is_whole
from renderer.errors import EnvironmentProblem

GOOD = bytes(range(256)) * 40


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves every name alike, in the way that its server's `manner` says."""

    def do_GET(self) -> None:
        server = self.server
        server.asked.append(self.path)
        manner = server.manners.pop(0) if len(server.manners) > 1 else server.manners[0]
        if manner == "absent":
            self.send_error(404)
            return
        if manner.startswith("drip"):
            self._drip(head=manner == "drip-head")
            return
        body = b"something else" if manner == "wrong" else GOOD
        self.send_response(200)
        if manner == "chunked-cut":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if manner == "chunked-cut":
            self.wfile.write(b"100\r\n" + GOOD[:256] + b"\r\n")
        else:
            self.wfile.write(body[: len(body) // 3] if manner == "cut" else body)

    def _drip(self, *, head: bool) -> None:
        """Send a byte now and then, for as long as somebody listens."""
        self.wfile.write(b"HTTP/1.0 200 OK\r\n" + (b"X: " if head else b"\r\n"))
        with contextlib.suppress(OSError):
            while not self.server.over.wait(0.03):
                self.wfile.write(b"x")

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server(monkeypatch, tmp_path) -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.manners, running.asked, running.over = ["good"], [], threading.Event()
        running.address = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=partial(running.serve_forever, poll_interval=0.01), daemon=True)
        thread.start()
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
        monkeypatch.delenv(MIRROR, raising=False)
        yield running
        running.over.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def file(server) -> WeightsFile:
    return WeightsFile(origin=f"{server.address}/far/net.h5", digest=hashlib.md5(GOOD).hexdigest())


def lying_there() -> list[str]:
    return sorted(path.name for path in cache_folder().iterdir())


def test_a_good_file_comes_whole_and_is_asked_for_once(server, file):
    told: list[tuple[int, int]] = []
    path = fetch(file, report=lambda done, total: told.append((done, total)))
    assert path.read_bytes() == GOOD
    assert told[-1] == (len(GOOD), len(GOOD))
    assert fetch(file) == path == cache_folder() / "net.h5"
    assert server.asked == ["/far/net.h5"]
    assert lying_there() == ["net.h5"]


def test_a_sha256_is_checked_as_an_md5_is(file):
    fetch(WeightsFile(origin=file.origin, digest=hashlib.sha256(GOOD).hexdigest()))
    assert lying_there() == ["net.h5"]


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("wrong", "expected is"),
        ("cut", f"broke off after {len(GOOD) // 3} of {len(GOOD)} bytes"),
        ("chunked-cut", "broke off"),
        ("absent", "404"),
    ],
)
def test_what_does_not_come_whole_leaves_nothing_behind_and_may_be_tried_again(server, file, manner, words):
    server.manners = [manner, "good"]
    with pytest.raises(EnvironmentProblem, match=words) as caught:
        fetch(file)
    assert file.origin in str(caught.value)
    assert f"put it into {cache_folder()}" in str(caught.value)
    assert lying_there() == []
    assert fetch(file).read_bytes() == GOOD


def test_without_a_connection_the_message_says_which_file_goes_where(file, monkeypatch):
    monkeypatch.setenv(MIRROR, "http://127.0.0.1:9/none")
    with pytest.raises(
        EnvironmentProblem, match=r"net\.h5 here in another way and put it into .*keras.models"
    ) as caught:
        fetch(file)
    assert MIRROR in str(caught.value)
    assert lying_there() == []


@pytest.mark.parametrize("manner", ["drip", "drip-head"])
def test_a_server_that_drips_is_given_up(server, file, monkeypatch, manner):
    monkeypatch.setattr(fetching, "PATIENCE", 0.1)
    server.manners = [manner]
    began = time.monotonic()
    with pytest.raises(EnvironmentProblem, match=r"too slowly|sent nothing"):
        fetch(file)
    assert time.monotonic() - began < 5
    assert lying_there() == []


def test_a_server_that_never_ends_does_not_fill_the_disk(server, file, monkeypatch):
    monkeypatch.setattr(fetching, "LARGEST", 5000)
    with pytest.raises(EnvironmentProblem, match="more than 5,000 bytes"):
        fetch(file)
    assert lying_there() == []


def test_a_file_that_somebody_brought_is_taken_without_asking(server, file):
    cache_folder().mkdir(parents=True)
    file.path.write_bytes(GOOD)
    assert fetch(file) == file.path
    assert server.asked == []


def test_a_file_that_is_not_whole_is_fetched_again(server, file):
    cache_folder().mkdir(parents=True)
    file.path.write_bytes(GOOD[:100])
    assert not is_whole(file)
    assert fetch(file).read_bytes() == GOOD


def test_a_file_that_is_not_whole_is_named_and_kept_where_no_other_comes(server, file):
    cache_folder().mkdir(parents=True)
    file.path.write_bytes(GOOD[:100])
    server.manners = ["absent"]
    with pytest.raises(EnvironmentProblem, match="is another, or not whole"):
        fetch(file)
    assert lying_there() == ["net.h5"]


def test_a_mirror_is_asked_by_the_name_of_the_file_and_held_to_the_same_hash(server, file, monkeypatch):
    monkeypatch.setenv(MIRROR, f"{server.address}/mirror/")
    elsewhere = WeightsFile(origin="https://nowhere.invalid/net.h5", digest=file.digest)
    assert fetch(elsewhere).read_bytes() == GOOD
    assert server.asked == ["/mirror/net.h5"]
    server.manners = ["wrong"]
    with pytest.raises(EnvironmentProblem, match="expected is"):
        fetch(WeightsFile(origin="https://nowhere.invalid/other.h5", digest=file.digest))


def test_a_folder_on_disk_may_be_the_mirror(file, monkeypatch, tmp_path):
    (tmp_path / "net.h5").write_bytes(GOOD)
    monkeypatch.setenv(MIRROR, tmp_path.as_uri())
    assert fetch(file).read_bytes() == GOOD


def test_what_a_killed_fetch_left_is_swept_away_later(file):
    cache_folder().mkdir(parents=True)
    old, fresh = (cache_folder() / f".net.h5.{number}.part" for number in (1, 2))
    for left in (old, fresh):
        left.write_bytes(b"half")
    os.utime(old, (0, 0))
    fetch(file)
    assert lying_there() == [fresh.name, "net.h5"]


def test_a_file_of_the_cache_is_where_keras_itself_looks_for_it(monkeypatch):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    assert cache_folder() == Path.home() / ".keras" / "models"
