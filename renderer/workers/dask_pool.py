"""Workers of a Dask cluster, wherever they are: they share no disk with this machine, nothing but the scheduler.

Dask carries messages and nothing else: who does what is decided by our own `Scheduler`, one task a worker at a time,
each pinned to its worker. So one that kills two workers is set aside, whatever Dask's own limits are. Inputs travel
when a worker says that it lacks them, chunk by chunk, named and checked by what is in them; a worker keeps them in its
own local directory.

What workers say is checked as `answers` has it. Yet Dask itself pickles what it sends, and a pickle runs code. Keep
schedulers on networks of your own, or have Dask require TLS (`distributed.comm.require-encryption`), which is heeded.
"""

from __future__ import annotations

import contextlib
import math
import pickle
import queue
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from renderer import __version__
from renderer.errors import DreamreelError, EnvironmentProblem, UsageError
from renderer.workers.answers import NonsenseError, check, unpack
from renderer.workers.dask_worker import STRANGER, TAKEN, introduce, leave, perform, stop, take
from renderer.workers.distributed_renderer import error_of
from renderer.workers.inputs import chunks
from renderer.workers.pool import PoolExecutor
from renderer.workers.scheduler import Task
from renderer.workers.tasks import Answer, Failure, FilmSpec, Missing, OpenFilm

PATIENCE = 60.0
"""Seconds without any worker, after which what waits for one fails."""

CONNECT_SECONDS = 10.0
"""How long a scheduler may take to answer."""

_LOOK = 1.0  # Seconds between two looks at who is there.
_TICK = 0.5
_LARGE = 1 << 20  # Bytes; what is larger is sent to a worker by itself, as Dask advises.
_GRACE = 1.0  # Seconds more than Dask is given, in which it can say itself why there is nobody.


class DaskPool(PoolExecutor):
    """An executor with the workers of a Dask cluster.

    Args:
        address: HOST:PORT of the scheduler.
    """

    shared = False

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self.topic = f"dreamreel-{uuid.uuid4().hex}"
        self.client: Any = None
        self._workers: dict[str, DaskWorker] = {}
        self._useless: dict[str, float] = {}  # Address -> when it may be asked again.
        self._complaint = ""
        self._closed = threading.Event()
        self._watching: threading.Thread | None = None

    @property
    def workers(self) -> int:
        return max(1, len(self._workers))

    def start(self) -> None:
        if self.client is not None:
            return
        self.client = _connect(self.address)
        self.client.subscribe_topic(self.topic, self._heard)
        began = time.monotonic()
        try:
            while not (self._look() and self.scheduler.workers):
                if time.monotonic() - began > PATIENCE:
                    raise EnvironmentProblem(self._lack("no workers"))
                time.sleep(_TICK)
        except OSError as error:
            raise EnvironmentProblem(
                f"The Dask scheduler at {self.address} was lost: {str(error).rstrip('.')}."
            ) from error
        self._watching = threading.Thread(target=self._watch, name="dask workers", daemon=True)
        self._watching.start()

    def close(self) -> None:
        self._closed.set()
        if self._watching is not None:
            self._watching.join(10)
        self.scheduler.close()
        if self.client is not None:
            _aside(self.client.run, leave, self.topic, on_error="ignore").join(5)
            for worker in list(self._workers.values()):
                worker.gone("was let go")
            with contextlib.suppress(Exception):
                self.client.close(timeout=5)
            self.client = None

    def dismiss(self, worker: DaskWorker) -> None:
        """Know a worker no more; if it is still there, it is welcomed anew."""
        if self._workers.get(worker.address) is worker:
            del self._workers[worker.address]

    def distrust(self, worker: DaskWorker, why: str) -> None:
        """Ask a worker nothing more, for what it said or did not say."""
        self.dismiss(worker)
        self._complaint = f"The one at {worker.address} {why}."
        self._useless[worker.address] = math.inf  # One that is started anew has another address.

    def refuse(self, worker: DaskWorker, why: str) -> None:
        """A worker is of no use as it is; it is asked again later."""
        self.dismiss(worker)
        what = f"at {worker.address} is of no use: {why}. Install the same Dreamreel there."
        self._complaint = f"The one {what}"
        self._useless[worker.address] = time.monotonic() + PATIENCE
        self.scheduler.note(f"The Dask worker {what}")

    def _watch(self) -> None:
        missed = time.monotonic()
        while not self._closed.wait(_LOOK):
            try:
                there = self._look()
            except Exception as error:  # The scheduler has gone, in one of many ways.
                self._lose_all()
                self.scheduler.give_up(f"The Dask scheduler at {self.address} was lost: {str(error).rstrip('.')}.")
                return
            if there and self.scheduler.workers:
                missed = time.monotonic()
                self.scheduler.recover()
            elif time.monotonic() - missed > PATIENCE or (not there and self._all_distrusted()):
                self.scheduler.give_up(self._lack("no workers any more"))

    def _all_distrusted(self) -> bool:
        return bool(self._useless) and all(until == math.inf for until in self._useless.values())

    def _lack(self, what: str) -> str:
        """Say in a sentence or two that there is nobody."""
        what = "no worker that can be used" if self._complaint else what
        return f"The Dask scheduler at {self.address} has {what}. {self._complaint or _START}"

    def _look(self) -> int:
        """Take in who has come and let go who has gone; return how many there are."""
        there = set(self.client.nthreads())
        for address, worker in list(self._workers.items()):
            if address not in there:
                self.dismiss(worker)
                worker.gone("was lost")
        for address in there - set(self._workers):
            if time.monotonic() >= self._useless.get(address, 0.0):
                self._workers[address] = DaskWorker(self, address)
        for address in set(self._useless) - there:
            del self._useless[address]
        return len(self._workers)

    def _lose_all(self) -> None:
        workers, self._workers = self._workers, {}
        for worker in workers.values():
            worker.gone("was lost with its scheduler")

    def _heard(self, event: tuple[float, Any]) -> None:
        """Heed what a worker tells on the way. Anybody may say it, and it is of no consequence."""
        with contextlib.suppress(NonsenseError, KeyError, TypeError):
            told = event[1]
            worker, number = self._workers.get(told["worker"]), told["number"]
            if worker is None:
                return
            if "said" in told:
                self.scheduler.frame_done(worker, number, unpack(told["said"]))
            else:
                self.scheduler.begun(worker, number)


class DaskWorker:
    """One worker of a cluster, as its `scheduler.Worker`: a thread brings it its tasks and waits for the answers."""

    def __init__(self, pool: DaskPool, address: str) -> None:
        self.pool, self.address = pool, address
        self._token = ""
        self._resources: dict[str, Any] = {}
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._gone: str | None = None
        threading.Thread(target=self._work, name=f"dask {address}", daemon=True).start()

    def begin(self, task: Task) -> None:
        self._tasks.put(task)

    def stop(self, task: Task) -> None:
        _aside(self.pool.client.run, stop, self.pool.topic, task.number, workers=[self.address])

    def gone(self, how: str) -> None:
        """It has left the cluster."""
        self._gone = how
        self._tasks.put(None)

    def _work(self) -> None:
        if not self._get_to_know():
            return
        nonsense = False
        while (task := self._tasks.get()) is not None:
            try:
                try:
                    answer = self._do(task)
                except DreamreelError as error:  # An input that cannot be read any more.
                    answer = Failure.of(error)
                self.pool.scheduler.answered(self, task.number, answer)
            except ConnectionError as error:
                self._gone = str(error)
                break
            except NonsenseError as error:
                nonsense, self._gone = True, str(error)
                self.pool.distrust(self, self._gone)
                break
        self.pool.dismiss(self)
        self.pool.scheduler.lost(self, f"at {self.address} {self._gone or 'was lost'}", nonsense=nonsense)

    def _get_to_know(self) -> bool:
        """Make ready for tasks; tell whether it is of use."""
        try:
            (found,) = self.pool.client.run(introduce, self.pool.topic, workers=[self.address]).values()
            token, version, resources = str(found["token"]), str(found["version"])[:40], dict(found["resources"])
            if version != __version__:
                raise EnvironmentProblem(f"it has version {version}, not {__version__}")
        except Exception as error:  # No Dreamreel there, or no worker any more.
            if self._gone is None:
                self.pool.refuse(self, str(error)[:300].rstrip("."))
            return False
        self._token, self._resources = token, resources
        self.pool.scheduler.joined(self)
        return True

    def _do(self, task: Task) -> Answer:
        """Have a task done, sending what it lacks.

        Raises:
            ConnectionError: the worker has gone.
            NonsenseError: it said what is no answer.
            BadInput: what it lacks cannot be read.
        """
        work = pickle.dumps((task.number, task.work))
        answer = unpack(self._call(perform, work))
        if isinstance(answer, Missing):
            check(task.work, answer)
            self._send_files(task.work.spec, answer)
            answer = unpack(self._call(perform, work))
            if isinstance(answer, Missing):
                raise NonsenseError("asked for files that it had been sent")
        return answer

    def _send_files(self, spec: FilmSpec, missing: Missing) -> None:
        for name, files in missing.files.items():
            for file in files:
                for chunk in chunks(spec.inputs[name], file):
                    said = self._call(take, pickle.dumps(chunk))
                    if said != TAKEN:
                        failed = unpack(said)
                        check(OpenFilm(spec=spec), failed)
                        raise error_of(failed)

    def _call(self, function: Any, data: bytes) -> Any:
        """Run a function on this worker and nowhere else.

        Raises:
            ConnectionError: the worker has gone.
        """
        client = self.pool.client
        pinned: dict[str, Any] = {"workers": [self.address], "allow_other_workers": False, "pure": False}
        if "GPU" in self._resources:
            pinned["resources"] = {"GPU": 1}
        try:
            carried = client.scatter(data, workers=[self.address], hash=False) if len(data) > _LARGE else data
            future = client.submit(function, carried, self.pool.topic, self._token, **pinned)
        except Exception as error:
            raise ConnectionError(f"could not be reached ({error})") from error
        ended = threading.Event()
        future.add_done_callback(lambda _: ended.set())
        while not ended.wait(_TICK):
            if self._gone is not None:
                future.cancel()
                raise ConnectionError(self._gone)
        try:
            answer = future.result(timeout=600)
        except Exception as error:  # Errors of the work are answers: this is Dask's own, or a worker's death.
            raise ConnectionError(f"was lost ({type(error).__name__})") from error
        if isinstance(answer, bytes) and answer == STRANGER:
            raise ConnectionError("was restarted")
        return answer


def open_cluster(rest: str, workers: int | None) -> DaskPool:
    """Read what follows `dask` in a spec: `//HOST:PORT`.

    Raises:
        UsageError: something else, or a number of workers: a cluster has those it has.
        EnvironmentProblem: Dask is not installed.
    """
    host, _, port = rest.removeprefix("//").rstrip("/").rpartition(":")
    if not rest.startswith("//") or not host or not port.isdecimal():
        raise UsageError(
            f"--executor dask:{rest[:80]}: expected is the scheduler's address, like dask://10.0.0.5:8786."
        )
    if workers is not None:
        raise UsageError("The number of workers is that of the Dask cluster; start as many there as you like.")
    _distributed()
    return DaskPool(f"{host}:{port}")


_START = f"Start some where Dreamreel {__version__} is installed: dask worker SCHEDULER --nthreads 1, one a GPU."


def _connect(address: str) -> Any:
    distributed = _distributed()
    import dask

    scheme = "tls" if dask.config.get("distributed.comm.require-encryption", None) else "tcp"
    found: list[Any] = []

    def connect() -> None:
        try:
            options: dict[str, Any] = {"timeout": CONNECT_SECONDS, "set_as_default": False, "name": "dreamreel"}
            found.append(distributed.Client(f"{scheme}://{address}", **options))
        except Exception as error:  # What stands there may be no scheduler, or of another version.
            found.append(error)

    # Dask would wait for ever for the first word of a server that takes the call and says nothing.
    calling = threading.Thread(target=connect, name="dask scheduler", daemon=True)
    calling.start()
    calling.join(CONNECT_SECONDS + _GRACE)
    if not found or isinstance(found[0], Exception):
        why = str(found[0]).strip(". ")[:300] if found else f"it said nothing for {CONNECT_SECONDS:g} seconds"
        raise EnvironmentProblem(
            f"No Dask scheduler answers at {address}: {why}. Is it running, and is this its address?"
        ) from (found[0] if found else None)
    return found[0]


def _aside(function: Callable[..., Any], *args: Any, **options: Any) -> threading.Thread:
    """Call a function that may wait for ever for a worker that says nothing; whatever becomes of it, nobody minds."""

    def call() -> None:
        with contextlib.suppress(Exception):
            function(*args, **options)

    thread = threading.Thread(target=call, name="dask aside", daemon=True)
    thread.start()
    return thread


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise EnvironmentProblem(
            "The dask executor needs Dask, which is not installed: pip install 'dreamreel[distributed]'."
        ) from error
    return distributed
