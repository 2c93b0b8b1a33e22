"""What runs on a Dask worker: it keeps a `TaskRunner` for each of the clients that give it tasks."""

from __future__ import annotations

import pickle
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

from renderer import __version__
from renderer.errors import DreamreelError
from renderer.events import FrameDone
from renderer.workers import inputs
from renderer.workers.answers import pack
from renderer.workers.tasks import Failure, TaskRunner

_RUNNERS = "_dreamreel_runners"  # Attribute of a Dask worker.
_TELL_SECONDS = 0.1  # Frames are told of no more often: all of it passes the scheduler.

STRANGER, TAKEN = b"stranger", b"taken"
"""What a worker says that took the place of the one that was meant; and one that has kept a chunk of an input."""


def _runners(dask_worker: Any) -> dict[str, TaskRunner]:
    """Return the runners of a worker by the topic of their client."""
    if not hasattr(dask_worker, _RUNNERS):
        setattr(dask_worker, _RUNNERS, {})
    held: dict[str, TaskRunner] = getattr(dask_worker, _RUNNERS)
    return held


def _runner(dask_worker: Any, topic: str, token: str) -> TaskRunner | None:
    """Return the runner of a client, None where this worker is another one than the client knows."""
    runner = _runners(dask_worker).get(topic)
    return runner if runner is not None and runner.token == token else None


def introduce(topic: str, dask_worker: Any = None) -> dict[str, Any]:
    """Make a worker ready for the tasks of a client; runs there. Returns what is to be known of the worker."""
    runners = _runners(dask_worker)
    if topic not in runners:
        folder = Path(dask_worker.local_directory) / f"{topic}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        runners[topic] = TaskRunner(folder)
    resources = dict(getattr(dask_worker.state, "total_resources", {}))
    return {"token": runners[topic].token, "version": __version__, "resources": resources}


def stop(topic: str, number: int, dask_worker: Any = None) -> None:
    """Have the task of that number end at its next frame; runs on the worker."""
    if topic in _runners(dask_worker):
        _runners(dask_worker)[topic].stopped.add(number)


def leave(topic: str, dask_worker: Any = None) -> None:
    """Forget a client, with the inputs that came from there; runs on the worker."""
    runner = _runners(dask_worker).pop(topic, None)
    if runner is not None:
        runner.leave()
        shutil.rmtree(runner.folder, ignore_errors=True)


def take(data: bytes, topic: str, token: str) -> bytes:
    """Keep a chunk of an input; runs on the worker. Returns that it did, or the failure."""
    from distributed import get_worker

    runner = _runner(get_worker(), topic, token)
    if runner is None:
        return STRANGER
    try:
        inputs.keep(pickle.loads(data), runner.inputs)
    except DreamreelError as error:
        return pack(Failure.of(error))
    return TAKEN


def perform(data: bytes, topic: str, token: str) -> bytes:
    """Do a task; runs on the worker. Returns the answer, packed."""
    from distributed import get_worker

    worker = get_worker()
    runner = _runner(worker, topic, token)
    if runner is None:
        return STRANGER
    number, work = pickle.loads(data)
    told = 0.0

    def send(**values: Any) -> None:
        worker.loop.add_callback(worker.log_event, topic, {"worker": worker.address, "number": number, **values})

    def report(frame: FrameDone) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_SECONDS:
            told = time.monotonic()
            send(said=pack(frame))

    send()
    return pack(runner.perform(work, number=number, report=report))
