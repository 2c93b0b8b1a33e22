"""Workers as processes beside this one, each started fresh: nothing may be forked once TensorFlow is loaded.

Every worker computes with as many threads as this process would alone, since their number is part of what decides a
film's pixels; workers that share the processors share them by time. On a machine with GPUs each worker has one.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from renderer import runtime
from renderer.errors import EnvironmentProblem, UsageError
from renderer.workers.answers import MOST_TEXT, NonsenseError, most_bytes, unpack
from renderer.workers.pool import PoolExecutor
from renderer.workers.process_worker import receive, send
from renderer.workers.scheduler import Task

MOST_WORKERS = 256

_BOOT = """
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from renderer.workers.process_worker import main
main(sys.argv[1])
"""
_LOG_BYTES = 4096
SILENCE_SECONDS = 120.0
"""How long a worker may say nothing at all, not even that it is alive, until another takes its place."""

_LOOK = 1.0  # Seconds between two looks at who is silent.
_FRUITLESS = 3  # Workers that may end before they did anything, one after another, until no more are started.


class ProcessPool(PoolExecutor):
    """An executor that keeps a number of worker processes running.

    Args:
        workers: how many; None for one a GPU, or one for every four processors, at least two.
    """

    shared = True

    def __init__(self, workers: int | None = None) -> None:
        super().__init__()
        self._devices = gpus()
        self._wanted = workers or len(self._devices) or max(2, runtime.thread_count() // 4)
        self._lock = threading.Lock()
        self._running: set[WorkerProcess] = set()
        self._fruitless = 0
        self._closed = threading.Event()
        self._folder: Path | None = None

    @property
    def workers(self) -> int:
        return self._wanted

    def start(self) -> None:
        if self._folder is not None:
            return
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="dreamreel-"))
        except OSError as error:
            raise EnvironmentProblem(f"There is no folder for temporary files: {error}. Set TMPDIR.") from error
        for place in range(self.workers):
            self._hire(place)
        threading.Thread(target=self._watch, name="silent workers", daemon=True).start()

    def close(self) -> None:
        with self._lock:
            self._closed.set()
            running = list(self._running)
        self.scheduler.close()
        for worker in running:
            worker.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def process_ids(self) -> list[int]:
        """Return the process ids of the workers."""
        with self._lock:
            return [worker.process.pid for worker in self._running]

    def answered(self, worker: WorkerProcess, number: int, data: bytes) -> None:
        """A worker has done a task.

        Raises:
            NonsenseError: this is no answer to it.
        """
        self.scheduler.answered(worker, number, unpack(data))
        self._fruitless = 0

    def ended(self, worker: WorkerProcess, how: str, *, nonsense: bool) -> None:
        """A worker has ended: start another in its place."""
        with self._lock:
            self._running.discard(worker)
            closed = self._closed.is_set()
        if closed:
            return
        if not self.scheduler.lost(worker, how, nonsense=nonsense):
            self._fruitless += 1
        if self._fruitless < _FRUITLESS:
            self._hire(worker.place)
        elif not self._running:
            why = f"No worker process could be started: the last one {how}. {worker.last_line()}"
            self.scheduler.give_up(why.strip())

    def _watch(self) -> None:
        """End who is silent. Looks are counted and not seconds: this process may have been stopped for a while."""
        while not self._closed.wait(_LOOK):
            with self._lock:
                running = list(self._running)
            for worker in running:
                worker.looks += 1
                if worker.looks * _LOOK > SILENCE_SECONDS:
                    worker.dismiss(f"said nothing for {SILENCE_SECONDS:g} seconds")

    def _hire(self, place: int) -> None:
        assert self._folder is not None
        device = self._devices[place % len(self._devices)] if self._devices else None
        try:
            worker = WorkerProcess(self, place, folder=self._folder, device=device)
        except OSError as error:
            self.scheduler.give_up(f"No worker process could be started: {error}.")
            return
        with self._lock:
            self._running.add(worker)
            closed = self._closed.is_set()
        if closed:
            worker.close()


class WorkerProcess:
    """One worker process, as its `scheduler.Worker`.

    Args:
        pool: is told what it answered and when it has ended.
        place: its number.
        folder: where it may make a folder for its temporary files.
        device: of the GPU that it uses, as CUDA counts; None for what there is.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, pool: ProcessPool, place: int, *, folder: Path, device: str | None) -> None:
        self.place, self.looks = place, 0
        self._nonsense: str | None = None
        self._most, self._welcomed = MOST_TEXT, False
        self._pool, self._log = pool, b""
        self._folder = Path(tempfile.mkdtemp(dir=folder))
        self._writing = threading.Lock()
        chosen = {} if device is None else {"CUDA_VISIBLE_DEVICES": device}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, str(self._folder), json.dumps([*map(str, sys.path)])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **chosen, "TMPDIR": str(self._folder)},  # What libraries leave there goes with it.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._reader = threading.Thread(target=self._read, name=f"worker {place}", daemon=True)
        self._drainer = threading.Thread(target=self._drain, name=f"worker {place} log", daemon=True)
        self._drainer.start()
        self._reader.start()

    def begin(self, task: Task) -> None:
        self._most = most_bytes(task.work)
        self._send(("do", task.number, task.work))

    def stop(self, task: Task) -> None:
        self._send(("stop", task.number, None))

    def close(self) -> None:
        """End it now; it has nothing that is worth a farewell, and its children see their pipes end."""
        with contextlib.suppress(OSError):
            self.process.kill()
        if threading.current_thread() is not self._reader:
            self._reader.join(5)

    def dismiss(self, why: str) -> None:
        """End it, since it is of no use; `why` as a `NonsenseError` tells it."""
        self._nonsense = self._nonsense or why
        with contextlib.suppress(OSError):
            self.process.kill()

    def last_line(self) -> str:
        """Return the last thing that it wrote to its standard error."""
        lines = self._log.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else ""

    def _send(self, message: object) -> None:
        with self._writing, contextlib.suppress(OSError, ValueError):  # It has ended: `_read` finds out.
            assert self.process.stdin is not None
            send(self.process.stdin, pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def _read(self) -> None:
        assert self.process.stdout is not None
        try:
            while True:
                message = receive(self.process.stdout, limit=self._most)
                self.looks = 0
                self._heed(message)
        except (EOFError, OSError):
            pass
        except NonsenseError as error:
            self.dismiss(str(error))
        except ValueError:
            self.dismiss("sent what is no message, or far too long")
        how = self._reap()
        if self._nonsense is not None:
            how = f"in process {self.process.pid} {self._nonsense}"
        self._pool.ended(self, how, nonsense=self._nonsense is not None)

    def _heed(self, message: bytes) -> None:
        """Do what a message is for.

        Raises:
            NonsenseError, ValueError: it makes no sense.
        """
        kind, number, said = message.split(b" ", 2)
        if kind == b"ready" and not self._welcomed:
            self._welcomed = True
            self._pool.scheduler.joined(self)
        elif kind == b"begun":
            self._pool.scheduler.begun(self, int(number))
        elif kind == b"frame":
            self._pool.scheduler.frame_done(self, int(number), unpack(said))
        elif kind == b"answer":
            self._pool.answered(self, int(number), said)
        elif kind != b"alive":
            raise NonsenseError("sent what is no message")

    def _reap(self) -> str:
        """Wait for the end, give everything back, and say how it ended."""
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._drainer.join(5)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

    def _drain(self) -> None:
        assert self.process.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            while block := self.process.stderr.read1(_LOG_BYTES):  # type: ignore[attr-defined]
                self._log = (self._log + block)[-_LOG_BYTES:]


def gpus() -> list[str]:
    """Return the GPUs that a worker can be given, as CUDA names them; known without loading TensorFlow."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    found = [path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")]
    return sorted((name for name in found if name.isdecimal()), key=int)


def open_processes(rest: str, workers: int | None) -> ProcessPool:
    """Read what follows `process` in a spec: nothing, or the number of workers.

    Raises:
        UsageError: something else.
    """
    if rest:
        if not rest.isdecimal() or not 1 <= int(rest) <= MOST_WORKERS:
            raise UsageError(
                f"--executor process:{rest[:40]}: after the colon comes the number of workers, like process:2."
            )
        if workers not in (None, int(rest)):
            raise UsageError(
                f"--executor process:{rest} and {workers} workers contradict each other; give one of them."
            )
        workers = int(rest)
    if workers is not None and not 1 <= workers <= MOST_WORKERS:
        raise UsageError(f"{workers} workers are out of range: 1 to {MOST_WORKERS}.")
    return ProcessPool(workers)
