"""A worker process: reads orders from its standard input, writes answers to what was its standard output.

A message to it is a pickle, one from it is not: `KIND NUMBER` of an order, and what `answers.pack` wrote.

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
from pathlib import Path
from typing import IO

from renderer.workers.answers import pack
from renderer.workers.tasks import Desk, Progress, Unit

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
    orders: queue.SimpleQueue[tuple[int, Unit]] = queue.SimpleQueue()
    stopped: set[int] = set()
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
                kind, number, unit = pickle.loads(receive(inbox))  # From the process that started this one.
                if kind == "stop":
                    stopped.add(number)
                else:
                    orders.put((number, unit))
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # The last worker out, where the parent was killed.
            Path(folder).parent.rmdir()
        os._exit(0)

    for work in (listen, beat):
        threading.Thread(target=work, name=work.__name__, daemon=True).start()
    desk = Desk(Path(folder))
    tell("ready", 0)
    while True:
        number, unit = orders.get()
        tell("begun", number)

        def told(progress: Progress, number: int = number) -> None:
            tell("frame", number, pack(progress))

        def should_stop(number: int = number) -> bool:
            return number in stopped

        tell("answer", number, pack(desk.perform(unit, tell=told, should_stop=should_stop)))


if __name__ == "__main__":
    main(sys.argv[1])
