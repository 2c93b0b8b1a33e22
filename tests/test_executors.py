"""Executors: the same films from one process, from processes and from a Dask cluster, whatever befalls the workers."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import films
import pytest
from films import SHOT, Batch, sha256

from renderer.errors import EnvironmentProblem, Interrupted, UsageError
from renderer.workers import dask_pool, distributed_renderer, process_pool
from renderer.workers.executors import open_executor
from renderer.workers.jobs import Job
from renderer.workers.process_pool import ProcessPool, gpus, open_processes

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A network, a clip, and films from them, made one after another by this process, for the workers to equal."""
    folder = tmp_path_factory.mktemp("made")
    films.make_references(folder)
    return folder


@pytest.fixture(scope="module")
def network(made):
    return made / "tiny.keras"


@pytest.fixture(scope="module")
def clip(made):
    return made / "clip.mp4"


@pytest.fixture(scope="module", autouse=True)
def small_lanes():
    """Every shot is a lane, every range a few frames long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed_renderer, "SHORTEST_LANE", 4)
        patch.setattr(distributed_renderer, "RANGE_SECONDS", 0.2)
        yield


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two worker processes, for all tests of this module; nothing of theirs is left in the temporary folder."""
    folder = tmp_path_factory.mktemp("temporary")
    with open_executor("process:2") as executor:
        with pytest.MonkeyPatch.context() as briefly:
            briefly.setenv("TMPDIR", str(folder))
            briefly.setattr(tempfile, "tempdir", str(folder))
            executor.start()
        yield executor
    assert [path.name for path in folder.iterdir()] == []


@pytest.fixture(scope="module")
def dask():
    """A worker of a Dask cluster of its own, which shares no folder that we know of; one that dies has a successor."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as local:
        address = local.scheduler_address.removeprefix("tcp://")
        with open_executor(f"dask://{address}") as executor:
            yield executor


def make(executor, *made, listener=None, should_stop=lambda: False):
    listener = listener or Batch()
    jobs = [Job(id=film.out.name, film=film) for film in made]
    return {one.id: one for one in executor.run(jobs, listener=listener, should_stop=should_stop)}, listener


@pytest.mark.parametrize("name", ["two", "dask"])
def test_every_executor_makes_films_with_the_same_bytes(request, name, made, network, clip, tmp_path):
    films_made = [films.video(network, clip, tmp_path / "video.mp4")]
    if name == "two":
        films_made.append(films.led(network, clip, tmp_path / "led.mp4"))
    outcomes, listener = make(request.getfixturevalue(name), *films_made)
    assert [outcome.error for outcome in outcomes.values()] == [None] * len(films_made)
    for path in tmp_path.iterdir():
        assert sha256(path) == sha256(made / "films" / path.name), path.name
    assert listener.jobs["video.mp4"].begun_at == 0
    assert listener.jobs["video.mp4"].frames[-1] == 3 * SHOT - 1


def test_a_stop_keeps_what_is_there_and_begins_no_other_film(two, network, tmp_path):
    listener = Batch()
    made = [films.zoom(network, tmp_path / f"{n}.mp4", frames=10_000) for n in range(9)]
    outcomes, _ = make(
        two, *made, listener=listener, should_stop=lambda: any(job.frames for job in listener.jobs.values())
    )
    assert 1 <= len(outcomes) <= 3
    assert all(isinstance(outcome.error, Interrupted) for outcome in outcomes.values())
    assert len(listener.jobs) == len(outcomes)
    assert not list(tmp_path.glob("*.mp4"))


def test_whoever_walks_away_leaves_no_thread_behind_and_may_come_back(two, network, tmp_path):
    running = two.run(
        [Job(id=name, film=films.zoom(network, tmp_path / name, frames=count)) for name, count in NAMED.items()],
        listener=Batch(),
    )
    assert next(running).id == "short.mp4"
    running.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("job ")]
    assert not (tmp_path / "endless.mp4").exists()
    outcomes, _ = make(two, films.zoom(network, tmp_path / "after.mp4"))
    assert outcomes["after.mp4"].error is None


NAMED = {"short.mp4": 1, "endless.mp4": 100_000}


def test_workers_share_no_session_with_the_terminal(two, network, tmp_path):
    make(two, films.zoom(network, tmp_path / "a.mp4", frames=1))
    workers = two.process_ids()
    assert len(workers) == 2
    assert all(os.getsid(number) == number != os.getsid(0) for number in workers)


def worker_ids(executor):
    """Process ids of the workers."""
    if isinstance(executor, ProcessPool):
        return executor.process_ids()
    return list(executor.client.run(os.getpid).values())


def at_work(executor):
    """Process ids of the workers that have a task: those beside them are warm, and take it over at once."""
    workers = list(executor.scheduler._at_work)
    if isinstance(executor, ProcessPool):
        return [worker.process.pid for worker in workers]
    return list(executor.client.run(os.getpid, workers=[worker.address for worker in workers]).values())


@pytest.mark.parametrize("name", ["two", "dask"])
def test_a_worker_killed_in_the_middle_is_replaced_and_the_film_has_the_same_bytes(
    request, name, made, network, tmp_path, monkeypatch
):
    monkeypatch.setattr(distributed_renderer, "RANGE_SECONDS", 60.0)  # It is killed in the middle of one.
    executor, killed = request.getfixturevalue(name), []

    def kill(report):
        if not killed and report.index >= 3:
            killed.extend(at_work(executor))
            for number in killed:
                os.kill(number, signal.SIGKILL)

    listener = Batch(kill)
    outcomes, _ = make(executor, films.zoom(network, tmp_path / "long.mp4", frames=films.LONG), listener=listener)
    assert killed
    assert outcomes["long.mp4"].error is None
    assert any(re.search("A worker (was killed|at tcp.* was lost).*long.mp4", note) for note in listener.notes)
    assert sha256(tmp_path / "long.mp4") == sha256(made / "films" / "long.mp4")
    assert not any(alive(number) for number in killed)


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    code = """
        from renderer.workers.executors import open_executor
        executor = open_executor("process:2")
        executor.start()
        print(*executor.process_ids(), flush=True)
        import signal; signal.pause()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=TESTS.parent,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with child:
        workers = child.stdout.readline().split()
        assert len(workers) == 2
        assert all(alive(int(number)) for number in workers)
        child.kill()
    wait_until(lambda: not any(alive(int(number)) for number in workers))
    assert list(tmp_path.iterdir()) == []


def test_a_block_leaves_no_process_thread_or_temporary_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = threading.active_count()
    with open_executor("process", workers=1) as executor:
        executor.start()
        workers = executor.process_ids()
        assert list(tmp_path.iterdir())
    assert not any(alive(number) for number in workers)
    assert threading.active_count() <= before
    assert list(tmp_path.iterdir()) == []


LIAR = """
import os, struct, sys, time

def send(data, length=None):
    os.write(1, struct.pack("!Q", len(data) if length is None else length) + data)

send(b"ready 0 ")
os.read(0, 1)
%s
time.sleep(60)
"""


LIES = [
    ("send(b'x', length=1 << 60)", "far too long"),
    ("send(b'hello')", "no message"),
    ("send(b'hello there you')", "no message"),
    ("send(b'answer x ')", "no message"),
    ("send(b'frame 0 frame')", "no answer"),
    ("send(b'answer 999999999 ')", "answered with nothing"),
    ("""send(b'answer 999999999 Failure [{"kind": "BadInput", "message": "x"}]')""", "not asked"),
    ("", "said nothing for 0.2 seconds"),
]
"""What a process says -> words of the complaint."""


def test_a_process_that_talks_nonsense_or_nothing_is_ended_and_named(network, tmp_path, monkeypatch):
    monkeypatch.setattr(process_pool, "_LOOK", 0.05)
    for says, words in LIES:
        monkeypatch.setattr(process_pool, "_BOOT", LIAR % says)
        monkeypatch.setattr(process_pool, "SILENCE_SECONDS", 60.0 if says else 0.2)
        with open_executor("process:1") as executor:
            outcomes, _ = make(executor, films.zoom(network, tmp_path / "a.mp4"))
        error = outcomes["a.mp4"].error
        assert isinstance(error, EnvironmentProblem)
        assert re.search(rf"one in process \d+ .*{words}.*, the other in process \d+ .*{words}", str(error)), says


def test_a_process_that_is_stopped_by_somebody_is_given_up_and_replaced(monkeypatch):
    notes = []
    with open_executor("process:1") as executor:
        executor.scheduler.note = notes.append
        executor.start()
        wait_until(lambda: executor.scheduler.workers)
        (stopped,) = executor.process_ids()
        os.kill(stopped, signal.SIGSTOP)
        monkeypatch.setattr(process_pool, "SILENCE_SECONDS", 0.5)
        wait_until(lambda: notes)
        monkeypatch.setattr(process_pool, "SILENCE_SECONDS", 120.0)
        wait_until(lambda: executor.scheduler.workers)
        assert not alive(stopped)
    assert notes == [f"A worker in process {stopped} said nothing for 0.5 seconds."]


def test_dask_workers_that_talk_nonsense_are_named(dask, network, tmp_path, monkeypatch):
    def nothing(data, topic, token):
        return None

    monkeypatch.setattr(dask_pool, "perform", nothing)
    with open_executor(f"dask://{dask.address}") as executor:
        outcomes, _ = make(executor, films.zoom(network, tmp_path / "a.mp4"))
    error = outcomes["a.mp4"].error
    assert isinstance(error, EnvironmentProblem)
    named = r"at tcp://127.0.0.1:\d+ answered with nothing"
    assert re.search(rf"one {named}, the other {named}|The one {named}", str(error))


@pytest.mark.parametrize("greeting", [b"", b"\xff" * 64])
def test_a_server_that_is_no_scheduler_is_given_up_in_the_stated_seconds(greeting, monkeypatch):
    monkeypatch.setattr(dask_pool, "CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        calls = []

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    calls.append(server.accept()[0])
                    calls[-1].sendall(greeting)

        threading.Thread(target=serve, daemon=True).start()
        began = time.monotonic()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with open_executor(f"dask://{address}") as executor, pytest.raises(EnvironmentProblem, match=address):
            next(executor.run([], listener=Batch()))
        assert time.monotonic() - began < 10
        for call in calls:
            call.close()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads sockets in /proc")
def test_nothing_of_ours_listens_beyond_this_machine(two, dask):
    dask.start()
    listening = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":  # Listening.
                listening[fields[9]] = fields[1].partition(":")[0]
    ours = [os.getpid(), *worker_ids(two), *worker_ids(dask)]
    found = set()
    for number in ours:
        for descriptor in Path(f"/proc/{number}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(listening.get(str(descriptor.readlink()).removeprefix("socket:[").rstrip("]")))
    assert found - {None} <= {"0100007F", "0" * 24 + "01000000"}


def test_workers_that_cannot_even_start_end_in_a_sentence(network, tmp_path, monkeypatch):
    monkeypatch.setattr(process_pool, "_BOOT", "raise SystemExit('no such thing here')")
    with open_executor("process:2") as executor:
        outcomes, _ = make(executor, films.zoom(network, tmp_path / "a.mp4"))
    error = outcomes["a.mp4"].error
    assert isinstance(error, EnvironmentProblem)
    assert "No worker process could be started" in str(error)
    assert "no such thing here" in str(error)


SENSELESS = [
    ("serail", None, "'serial'"),
    ("serial:2", None, "process:N"),
    ("serial", 2, "process:N"),
    ("process:0", None, "process:0"),
    ("process:two", None, "process:two"),
    ("process:2", 3, "contradict"),
    ("process", 1000, "1 to 256"),
    ("dask:10.0.0.1:8786", None, "dask://10.0.0.5:8786"),
    ("dask://10.0.0.1", None, "dask://10.0.0.5:8786"),
    ("dask://10.0.0.1:8786", 2, "Dask cluster"),
]


def test_an_executor_that_makes_no_sense_is_refused():
    for spec, workers, words in SENSELESS:
        with pytest.raises(UsageError, match=words):
            open_executor(spec, workers=workers)


def test_without_dask_a_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'dreamreel\[distributed\]'"):
        open_executor("dask://127.0.0.1:8786")


def test_a_scheduler_that_is_not_there_ends_in_a_sentence(network, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_pool, "CONNECT_SECONDS", 0.5)
    with open_executor("dask://127.0.0.1:9") as executor, pytest.raises(EnvironmentProblem, match=r"127\.0\.0\.1:9"):
        make(executor, films.zoom(network, tmp_path / "a.mp4"))


def test_each_worker_has_a_gpu_of_its_own_where_there_are_some(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert gpus() == ["2", "5"]
    assert open_processes("", None).workers == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert gpus() == []
    assert open_processes("", None).workers >= 2
    assert open_processes("3", None).workers == 3


def test_nothing_heavy_is_loaded_by_whoever_only_hands_out_work():
    code = "import sys; from renderer.workers import distributed_renderer, pool, process_pool; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=TESTS.parent)
    assert not set(done.stdout.split()) & {"tensorflow", "keras", "distributed"}


def alive(number):
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(condition, *, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
