"""What runs on a Dask worker: the place that it keeps for each of those who give it orders."""

from __future__ import annotations

import pickle
import shutil
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from renderer import __version__
from renderer.errors import DreamreelError
from renderer.workers.answers import pack
from renderer.workers.inputs import Piece
from renderer.workers.tasks import Desk, Failure, Progress

_PLACES = "_dreamreel_places"  # Attribute of a Dask worker.
_TELL_SECONDS = 0.1  # Frames are told of no more often: all of it passes the scheduler.

STRANGER, TAKEN = b"stranger", b"taken"
"""What a worker says that took the place of the one that was meant; and one that has kept a piece of an input."""


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


def take(data: bytes, topic: str, token: str) -> bytes:
    """Keep a piece of an input; runs on the worker. Returns that it did, or the failure."""
    from distributed import get_worker

    place = _places(get_worker()).get(topic)
    if place is None or place.token != token:
        return STRANGER
    piece: Piece = pickle.loads(data)
    try:
        place.desk.cache.put(piece)
    except DreamreelError as error:
        return pack(Failure.of(error))
    return TAKEN


def perform(data: bytes, topic: str, token: str) -> bytes:
    """Do an order; runs on the worker. Returns the answer, packed."""
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
            send(said=pack(progress))

    send()
    answer = place.desk.perform(unit, tell=tell, should_stop=lambda: number in place.stopped or place.left.is_set())
    if place.left.is_set():
        place.desk.close()
    return pack(answer)
