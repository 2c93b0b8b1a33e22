"""A worker process: reads tasks from its standard input, writes answers to what was its standard output.

A message to it is a pickle, one from it is not: `KIND NUMBER` of a task, and what `answers.pack` wrote.

It ends with the process that started it, however that one ended, since its input ends then; and Ctrl-C on a terminal
does not reach it, since it leads a session of its own.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import shutil
import struct
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import IO

from renderer.events import FrameDone
from renderer.workers.answers import pack
from renderer.workers.tasks import TaskRunner, Work

BEAT_SECONDS = 10.0
"""How often a worker says that it is alive, whatever it is doing."""

_LENGTH = struct.Struct("!Q")


def send(pipe: IO[bytes], data: bytes) -> None:
    """Write a message, its length before it.

    Raises:
        OSError: nobody reads it.
    """
    pipe.write(_LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def receive(pipe: IO[bytes], *, limit: int | None = None) -> bytes:
    """Read a message.

    Raises:
        EOFError: whoever wrote has ended, maybe in the middle of it.
        ValueError: it is longer than `limit` bytes.
    """
    (length,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
    if limit is not None and length > limit:
        raise ValueError(f"a message of {length} bytes")
    return _exactly(pipe, length)


def _exactly(pipe: IO[bytes], length: int) -> bytes:
    data = pipe.read(length)
    if data is None or len(data) < length:
        raise EOFError
    return data


def main(folder: str) -> None:
    """Work until the input ends.

    Args:
        folder: for temporary files; deleted at the end.
    """
    inbox, outbox = os.fdopen(0, "rb", closefd=False), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What libraries print is no message.
    runner = TaskRunner(Path(folder))
    tasks: queue.SimpleQueue[tuple[int, Work]] = queue.SimpleQueue()
    writing = threading.Lock()

    def tell(kind: str, number: int, said: bytes = b"") -> None:
        with writing, contextlib.suppress(OSError):  # The other end has gone: `listen` ends this process.
            send(outbox, b"%s %d %s" % (kind.encode(), number, said))

    def beat() -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            tell("alive", 0)

    def listen() -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                kind, number, work = pickle.loads(receive(inbox))  # From the process that started this one.
                if kind == "stop":
                    runner.stopped.add(number)
                else:
                    tasks.put((number, work))
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # The last worker out, where the parent was killed.
            Path(folder).parent.rmdir()
        os._exit(0)

    def report(number: int, frame: FrameDone) -> None:
        tell("frame", number, pack(frame))

    for work_on in (listen, beat):
        threading.Thread(target=work_on, name=work_on.__name__, daemon=True).start()
    tell("ready", 0)
    while True:
        number, work = tasks.get()
        tell("begun", number)
        tell("answer", number, pack(runner.perform(work, number=number, report=partial(report, number))))


if __name__ == "__main__":
    main(sys.argv[1])
