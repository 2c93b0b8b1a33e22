"""Weights that others publish: which files there are, where they lie once they are here, and how they get here.

Files lie in the cache of Keras (`~/.keras/models`, or below `KERAS_HOME`) under the names that Keras gives them, so
that what either has fetched serves both. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from renderer.errors import DiskProblem, EnvironmentProblem
from renderer.files import once_a_file

TABLE = Path(__file__).parent / "weights" / "keras.txt"

MIRROR = "DREAMREEL_WEIGHTS_URL"
"""Environment variable: an address below which the files lie under their own names, in place of their origins."""

PATIENCE = 30.0
"""How long a server may be silent, seconds."""

SLOWEST = 1024
"""Bytes a second that a server must send at least, over `PATIENCE`."""

LARGEST = 4 << 30
"""Bytes of the largest file that is fetched: several times what the largest network has."""

_BLOCK = 1 << 20
_STALE = 600.0  # seconds after which an unfinished file that nobody writes to is swept away

Report = Callable[[int, int], None]
"""Told of bytes that are here, and of bytes in all (0 where the server does not say)."""


@dataclass(frozen=True)
class WeightsFile:
    """A published file: its address, and the MD5 or SHA-256 that its content must have."""

    origin: str
    digest: str

    @property
    def name(self) -> str:
        """Its name, there and here."""
        return self.origin.rpartition("/")[2]

    @property
    def path(self) -> Path:
        """Where it lies once it is here."""
        return cache_folder() / self.name

    @property
    def kind(self) -> str:
        """Which hash `digest` is."""
        return "md5" if len(self.digest) == 32 else "sha256"


def weights_file(application: str, *, head: bool = False) -> WeightsFile:
    """Look up the weights of a class in `keras.applications`, with or without its head."""
    return _table()[application, "top" if head else "notop"]


def cache_folder() -> Path:
    """Return the folder in which Keras keeps weights.

    Raises:
        EnvironmentProblem: it is in a home that nobody has.
    """
    home = os.environ.get("KERAS_HOME")
    try:
        return (Path(home).expanduser() if home else Path.home() / ".keras") / "models"
    except RuntimeError as error:
        raise EnvironmentProblem(f"The folder of Keras, {home or '~/.keras'}, cannot be found: {error}") from error


def is_whole(file: WeightsFile) -> bool:
    """Tell whether a file is here with the content that it must have."""
    return file.path.is_file() and _digest(file.path, file.kind) == file.digest


def fetch(file: WeightsFile, *, report: Report | None = None) -> Path:
    """Bring a file here, unless it is; under its name appears nothing but the whole of it.

    Args:
        file: which one.
        report: told how far it is.

    Returns:
        Where it lies.

    Raises:
        EnvironmentProblem: no connection, a transfer that broke off, or another content than it must have.
        DiskProblem: it cannot be written.
    """
    if is_whole(file):
        return file.path
    mirror = os.environ.get(MIRROR)
    address = f"{mirror.rstrip('/')}/{file.name}" if mirror else file.origin
    part = file.path.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)  # A link that lay there would lead what comes somewhere else.
        _sweep(file)
        with part.open("xb") as out:
            found = _transfer(address, out, file.kind, report)
        if found != file.digest:
            raise _Broken(f"its {file.kind} is {found}, expected is {file.digest}; what came was thrown away")
        part.replace(file.path)
    except _Broken as error:
        held = f" (The file {file.name} that lies there now is another, or not whole.)" if file.path.exists() else ""
        raise EnvironmentProblem(
            f"{address} could not be fetched: {error}. Try again; or bring the file {file.name} here in another way "
            f"and put it into {file.path.parent}{held}; or set {MIRROR} to an address where it lies."
        ) from error
    except OSError as error:
        raise DiskProblem(f"{file.path.parent} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return file.path


class _Broken(Exception):
    """What is wrong with a transfer, as a part of a sentence."""


def _transfer(address: str, out: IO[bytes], kind: str, report: Report | None) -> str:
    """Copy what lies at an address, and return its hash."""
    digest, done, total = hashlib.new(kind, usedforsecurity=False), 0, 0
    span, before = time.monotonic(), 0
    for total, block in _arriving(address):
        digest.update(block)
        done += len(block)
        out.write(block)
        if done > LARGEST:
            raise _Broken(f"it has more than {LARGEST:,} bytes, as no weights that we know have")
        if time.monotonic() - span > PATIENCE:
            if done - before < SLOWEST * PATIENCE:
                raise _Broken(f"the server sends too slowly: {done - before} bytes in {PATIENCE:g} seconds")
            span, before = time.monotonic(), done
        if report:
            report(done, total)
    if done < total:
        raise _Broken(f"the connection broke off after {done} of {total} bytes")
    return digest.hexdigest()


def _arriving(address: str) -> Iterator[tuple[int, bytes]]:
    """Give what comes from an address, block by block, and with each how many bytes there are in all (0: unknown).

    Another thread waits for the server, which may drip even the head of its answer, so that we never wait longer than
    `PATIENCE`.
    """
    blocks: queue.Queue[tuple[int, bytes] | _Broken] = queue.Queue(4)
    left = threading.Event()

    def put(item: tuple[int, bytes] | _Broken) -> None:
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                blocks.put(item, timeout=0.2)
                return

    def receive() -> None:
        try:
            with _opening(address) as answer:
                said = str(answer.headers.get("Content-Length") or "")
                total = int(said) if said.isdecimal() and len(said) < 19 else 0
                while (block := _read(answer)) and not left.is_set():
                    put((total, block))
            put((total, b""))
        except _Broken as error:
            put(error)
        except Exception as error:  # A library's own slip must not leave us waiting.
            put(_Broken(f"{type(error).__name__}: {error}"))

    threading.Thread(target=receive, name="fetching", daemon=True).start()
    try:
        while True:
            item = blocks.get(timeout=2 * PATIENCE)  # One to find the server, one for its answer.
            if isinstance(item, _Broken):
                raise item
            yield item
            if not item[1]:
                return
    except queue.Empty:
        raise _Broken(f"the server sent nothing for {2 * PATIENCE:g} seconds") from None
    finally:
        left.set()


def _opening(address: str) -> Any:
    try:
        return urllib.request.urlopen(address, timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        raise _Broken(f"the answer was {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Broken(str(getattr(error, "reason", None) or error) or type(error).__name__) from error


def _read(answer: Any) -> bytes:
    try:
        return bytes(answer.read1(_BLOCK))  # What is here: a whole block might take its time.
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(f"the connection broke off: {error or type(error).__name__}") from error


def _sweep(file: WeightsFile) -> None:
    """Remove what a fetch left that was killed on its way."""
    for left in file.path.parent.glob(f".{file.name}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE:
                left.unlink()


@once_a_file
def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


@functools.cache
def _table() -> dict[tuple[str, str], WeightsFile]:
    rows = [line.split() for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {(name, kind): WeightsFile(origin=origin, digest=digest) for name, kind, digest, origin in rows}
