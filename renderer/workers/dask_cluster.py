"""Workers of a Dask cluster, wherever they are: they share no disk with this machine, nothing but the scheduler.

Dask carries messages and nothing else: who does what is decided by our own `Crew`, one order a worker at a time, each
pinned to its worker. So one that kills two workers is set aside, whatever the scheduler's own limits are. Inputs travel
when a worker says that it lacks them, piece by piece, named and checked by what is in them; a worker keeps them in its
own local directory.

Dask pickles what it sends, and a pickle runs code. Keep schedulers on networks of your own, or have Dask require TLS
(`distributed.comm.require-encryption`), which is heeded here.
"""

from __future__ import annotations

import contextlib
import pickle
import queue
import shutil
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from renderer import __version__
from renderer.errors import DreamreelError, EnvironmentProblem, UsageError
from renderer.workers.inputs import Piece, pieces
from renderer.workers.scheduler import Crew, Order
from renderer.workers.tasks import Answer, Desk, Failure, Missing, Progress, Script

PATIENCE = 60.0
"""Seconds without any worker, after which what waits for one fails."""

CONNECT_SECONDS = 10.0
"""How long a scheduler may take to answer."""

_LOOK = 1.0  # Seconds between two looks at who is there.
_TICK = 0.5
_LARGE = 1 << 20  # Bytes; what is larger is sent to a worker by itself, as Dask advises.
_PLACES = "_dreamreel_places"  # Attribute of a Dask worker.
_TELL_SECONDS = 0.1  # Frames are told of no more often: all of it passes the scheduler.


class Cluster:
    """The workers of a Dask scheduler; a `Staff`.

    Args:
        address: HOST:PORT of the scheduler.
    """

    shared = False

    def __init__(self, address: str) -> None:
        self.address = address
        self.crew = Crew()
        self.topic = f"dreamreel-{uuid.uuid4().hex}"
        self.client: Any = None
        self._hands: dict[str, DaskWorker] = {}
        self._useless: dict[str, float] = {}  # Address -> when it may be asked again.
        self._closed = threading.Event()
        self._watching: threading.Thread | None = None

    @property
    def workers(self) -> int:
        return max(1, len(self._hands))

    def start(self) -> None:
        if self.client is not None:
            return
        self.client = _connect(self.address)
        self.client.subscribe_topic(self.topic, self._heard)
        began = time.monotonic()
        try:
            while not self._look():
                if time.monotonic() - began > PATIENCE:
                    raise EnvironmentProblem(f"The Dask scheduler at {self.address} has no workers. {_START}")
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
        self.crew.close()
        if self.client is not None:
            with contextlib.suppress(Exception):  # Whatever a connection says on its way out.
                self.client.run(leave, self.topic, on_error="ignore")
            for hand in list(self._hands.values()):
                hand.gone("was let go")
            with contextlib.suppress(Exception):
                self.client.close(timeout=5)
            self.client = None

    def dismiss(self, hand: DaskWorker) -> None:
        """Know a worker no more; if it is still there, it is welcomed anew."""
        if self._hands.get(hand.address) is hand:
            del self._hands[hand.address]

    def _watch(self) -> None:
        missed = time.monotonic()
        while not self._closed.wait(_LOOK):
            try:
                there = self._look()
            except Exception as error:  # The scheduler has gone, in one of many ways.
                self._lose_all()
                self.crew.give_up(f"The Dask scheduler at {self.address} was lost: {str(error).rstrip('.')}.")
                return
            if there:
                missed = time.monotonic()
                self.crew.recover()
            elif time.monotonic() - missed > PATIENCE:
                self.crew.give_up(f"The Dask scheduler at {self.address} has no workers any more. {_START}")

    def _look(self) -> int:
        """Take in who has come and let go who has gone; return how many there are."""
        there = set(self.client.nthreads())
        for address, hand in list(self._hands.items()):
            if address not in there:
                self.dismiss(hand)
                hand.gone("was lost")
        for address in there - set(self._hands):
            if time.monotonic() >= self._useless.get(address, 0.0):
                self._welcome(address)
        return len(self._hands)

    def _welcome(self, address: str) -> None:
        try:
            (found,) = self.client.run(introduce, self.topic, workers=[address]).values()
            if found["version"] != __version__:
                raise EnvironmentProblem(f"it has version {found['version']}, not {__version__}")
        except Exception as error:  # No Dreamreel there, or no worker any more.
            self._useless[address] = time.monotonic() + PATIENCE
            self.crew.note(f"The Dask worker at {address} is of no use: {error}. Install the same Dreamreel there.")
            return
        hand = DaskWorker(self, address, token=found["token"], resources=found["resources"])
        self._hands[address] = hand
        self.crew.joined(hand)

    def _lose_all(self) -> None:
        hands, self._hands = self._hands, {}
        for hand in hands.values():
            hand.gone("was lost with its scheduler")

    def _heard(self, event: tuple[float, dict[str, Any]]) -> None:
        told = event[1]
        hand = self._hands.get(told["worker"])
        if hand is None:
            return
        if "index" not in told:
            self.crew.begun(hand, told["number"])
            return
        progress = Progress(index=told["index"], strength=told["strength"], seconds=told["seconds"])
        self.crew.heard(hand, told["number"], progress)


class DaskWorker:
    """One worker of a cluster; a `Hand`, with a thread that brings it its orders and waits for the answers."""

    def __init__(self, cluster: Cluster, address: str, *, token: str, resources: dict[str, float]) -> None:
        self.cluster, self.address, self.token, self.resources = cluster, address, token, resources
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._gone: str | None = None
        self._thread = threading.Thread(target=self._work, name=f"dask {address}", daemon=True)
        self._thread.start()

    def begin(self, order: Order) -> None:
        self._orders.put(order)

    def stop(self, order: Order) -> None:
        with contextlib.suppress(Exception):  # It may have gone; then nothing is to be stopped.
            self.cluster.client.run(stop, self.cluster.topic, order.number, workers=[self.address])

    def close(self) -> None:
        self.gone("was let go")

    def gone(self, how: str) -> None:
        """It has left the cluster."""
        self._gone = how
        self._orders.put(None)

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            try:
                answer = self._do(order)
            except LostError as error:
                self._gone = str(error)
                break
            except DreamreelError as error:  # An input that cannot be read any more.
                answer = Failure.of(error)
            self.cluster.crew.answered(self, order.number, answer)
        self.cluster.dismiss(self)
        self.cluster.crew.lost(self, self._gone or "was lost")

    def _do(self, order: Order) -> Answer:
        """Have an order done, sending what it lacks.

        Raises:
            LostError: the worker has gone.
            BadInput: what it lacks cannot be read.
        """
        work = pickle.dumps((order.number, order.unit))
        answer = self._call(perform, work)
        if isinstance(answer, Missing):
            self._send_files(order.unit.script, answer)
            answer = self._call(perform, work)
        return answer

    def _send_files(self, script: Script, missing: Missing) -> None:
        for name, files in missing.files.items():
            for file in files:
                for piece in pieces(script.inputs[name], file):
                    failed = self._call(take, pickle.dumps(piece))
                    if failed is not None:
                        raise failed.error()

    def _call(self, function: Any, data: bytes) -> Any:
        """Run a function on this worker and nowhere else.

        Raises:
            LostError: the worker has gone.
        """
        client = self.cluster.client
        pinned: dict[str, Any] = {"workers": [self.address], "allow_other_workers": False, "pure": False}
        if "GPU" in self.resources:
            pinned["resources"] = {"GPU": 1}
        try:
            carried = client.scatter(data, workers=[self.address], hash=False) if len(data) > _LARGE else data
            future = client.submit(function, carried, self.cluster.topic, self.token, **pinned)
        except Exception as error:
            raise LostError(f"could not be reached ({error})") from error
        ended = threading.Event()
        future.add_done_callback(lambda _: ended.set())
        while not ended.wait(_TICK):
            if self._gone is not None:
                future.cancel()
                raise LostError(self._gone)
        try:
            answer = future.result(timeout=600)
        except Exception as error:  # Errors of the work are answers: this is Dask's own, or a worker's death.
            raise LostError(f"was lost ({type(error).__name__})") from error
        if answer == STRANGER:
            raise LostError("was restarted")
        return answer


class LostError(Exception):
    """A worker has gone; the text tells how."""


STRANGER = "stranger"
"""What a worker answers that took the place of the one that was meant."""


class Place:
    """What a Dask worker keeps for one of those who give it orders: a desk, and which orders are to stop."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.token, self.desk = uuid.uuid4().hex, Desk(folder)
        self.stopped: set[int] = set()
        self.left = threading.Event()


def _places(dask_worker: Any) -> dict[str, Place]:
    if not hasattr(dask_worker, _PLACES):
        setattr(dask_worker, _PLACES, {})
    held: dict[str, Place] = getattr(dask_worker, _PLACES)
    return held


def introduce(topic: str, dask_worker: Any = None) -> dict[str, Any]:
    """Make a worker ready for the orders of whoever `topic` is; runs there. Returns what is to be known of it."""
    places = _places(dask_worker)
    if topic not in places:
        places[topic] = Place(Path(dask_worker.local_directory) / f"{topic}-{uuid.uuid4().hex[:8]}")
    resources = dict(getattr(dask_worker.state, "total_resources", {}))
    return {"token": places[topic].token, "version": __version__, "resources": resources}


def stop(topic: str, number: int, dask_worker: Any = None) -> None:
    """Have the order of that number end at its next frame; runs on the worker."""
    if topic in _places(dask_worker):
        _places(dask_worker)[topic].stopped.add(number)


def leave(topic: str, dask_worker: Any = None) -> None:
    """Forget whoever `topic` was, with the inputs that came from there; runs on the worker."""
    place = _places(dask_worker).pop(topic, None)
    if place is not None:
        place.left.set()
        shutil.rmtree(place.desk.folder, ignore_errors=True)


def take(data: bytes, topic: str, token: str) -> Failure | str | None:
    """Keep a piece of an input; runs on the worker. Returns why it could not."""
    from distributed import get_worker

    place = _places(get_worker()).get(topic)
    if place is None or place.token != token:
        return STRANGER
    piece: Piece = pickle.loads(data)
    try:
        place.desk.cache.put(piece)
    except DreamreelError as error:
        return Failure.of(error)
    return None


def perform(data: bytes, topic: str, token: str) -> Answer | str:
    """Do an order; runs on the worker."""
    from distributed import get_worker

    worker = get_worker()
    place = _places(worker).get(topic)
    if place is None or place.token != token:
        return STRANGER
    number, unit = pickle.loads(data)
    told = 0.0

    def send(**values: Any) -> None:
        worker.loop.add_callback(worker.log_event, topic, {"worker": worker.address, "number": number, **values})

    def tell(progress: Progress) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_SECONDS:
            told = time.monotonic()
            send(index=progress.index, strength=progress.strength, seconds=progress.seconds)

    send()
    answer = place.desk.perform(unit, tell=tell, should_stop=lambda: number in place.stopped or place.left.is_set())
    if place.left.is_set():
        place.desk.close()
    return answer


def open_cluster(rest: str, workers: int | None) -> Cluster:
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
    return Cluster(f"{host}:{port}")


_START = f"Start some where Dreamreel {__version__} is installed: dask worker SCHEDULER --nthreads 1, one a GPU."


def _connect(address: str) -> Any:
    distributed = _distributed()
    import dask

    scheme = "tls" if dask.config.get("distributed.comm.require-encryption", None) else "tcp"
    try:
        return distributed.Client(
            f"{scheme}://{address}", timeout=CONNECT_SECONDS, set_as_default=False, name="dreamreel"
        )
    except (OSError, TimeoutError) as error:
        raise EnvironmentProblem(
            f"No Dask scheduler answers at {address}: {error}. Is it running, and is this its address?"
        ) from error


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise EnvironmentProblem(
            "The dask executor needs Dask, which is not installed: pip install 'dreamreel[distributed]'."
        ) from error
    return distributed
