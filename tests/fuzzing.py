"""One case of the fuzzer: a file or folder damaged on purpose, what reads it, and whether that ended as it must.

A case is named by a line of text, "preset:4:17,23": its kind, the number of the whole file that it began as, and the
numbers that each damage was drawn with. The same line is the same case on every machine.
"""

from __future__ import annotations

import contextlib
import re
import resource
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Self

from hypothesis import strategies as st
from mutations import CANARY

from renderer.errors import DreamreelError, known_error

MOST_SECONDS = 2.0
"""What a reading may take."""

MOST_BYTES = 500_000_000
"""What a reading may add to the memory of this process, and what a process that it starts may hold."""

UNTOUCHED = "untouched"
"""What stands in the canary."""

_CEILING = 2_000_000_000
"""Bytes that a reading can reserve: one that reads `/dev/zero` to its end must not take the machine with it."""

_BUG = "This is a bug in Dreamreel"
_REPEATS = 3  # How often what took too long is tried: the machine may have been busy.

Reading = tuple[str, Callable[[], Any]]
"""What reads a case: its name, and the call."""

Build = Callable[["Case", Path], Sequence[Reading]]
"""Writes the files of a case into a folder, and returns what reads them; what changes the files comes last."""


@dataclass(frozen=True)
class Case:
    """See the top."""

    kind: str
    base: int
    moves: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.kind}:{self.base}:{','.join(map(str, self.moves))}"

    @classmethod
    def parse(cls, text: str) -> Self:
        kind, base, moves = text.split(":")
        return cls(kind, int(base), tuple(int(move) for move in moves.split(",") if move))

    def rngs(self) -> Iterator[Random]:
        """Give the randomness of each damage."""
        return (Random(f"{self.kind} {self.base} {move}") for move in self.moves)

    def rng(self) -> Random:
        """Return the randomness of all else that is chosen."""
        return Random(f"{self.kind} {self.base} {self.moves[:1]}")


def cases(kind: str) -> st.SearchStrategy[Case]:
    """Return the cases of a kind, for hypothesis."""
    number = st.integers(0, 2**32 - 1)
    return st.builds(Case, st.just(kind), number, st.lists(number, min_size=1, max_size=4).map(tuple))


@dataclass(frozen=True)
class Failure:
    """A reading that ended as none may.

    Attributes:
        case: what was read.
        reading: the reading's name.
        kind: what is alike in failures of one cause: the error and the place in the program, "slow", "memory" ...
        what: details, on one line.
    """

    case: Case
    reading: str
    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind} [{self.reading}] {self.what} (python -m benchmarks.fuzz texts --repeat {self.case})"


@dataclass
class Tally:
    """What came of many cases. `refused`, `accepted`: by the program, reading by reading."""

    tried: int = 0
    refused: int = 0
    accepted: int = 0
    slowest: tuple[float, str] = (0.0, "-")
    largest: tuple[int, str] = (0, "-")
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.tried += other.tried
        self.refused += other.refused
        self.accepted += other.accepted
        self.slowest = max(self.slowest, other.slowest)
        self.largest = max(self.largest, other.largest)
        self.failures += other.failures

    def by_kind(self) -> dict[str, list[Failure]]:
        """Group the failures, those that came most often first."""
        groups: dict[str, list[Failure]] = {}
        for failure in self.failures:
            groups.setdefault(f"{failure.kind} [{failure.reading}]", []).append(failure)
        return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


class TooSlow(BaseException):
    """A reading took longer than it may. Nothing in the program catches it."""


class Wrong(Exception):
    """A reading ended without an error, and yet not as it must."""


def tell_bug(error: BaseException | str | None) -> None:
    """Raise if what the program tells of a film stands for an error that nobody foresaw."""
    if _BUG in str(error or ""):
        raise Wrong(str(error))


def attempt(build: Build, case: Case, scratch: Path, *, tell: Callable[[Case], None] = lambda _: None) -> Tally:
    """Write a case into a folder in `scratch`, read it in every way, and return what came of it; `tell` of each try."""
    tally = Tally(tried=1)
    readings = _written(build, case, scratch)
    for name in [*readings]:
        tell(case)
        found = _read(case, name, readings[name])
        for _ in range(_REPEATS - 1):
            if not any(failure.kind.startswith("slow") for failure in found.failures):
                break
            readings = _written(build, case, scratch)
            tell(case)
            found = _read(case, name, readings[name])
        tally.add(found)
        tally.failures += _strayed(case, name, scratch)
    shutil.rmtree(scratch, ignore_errors=True)
    return tally


def attempt_whole(build: Build, kind: str, scratch: Path, *, refused: int = 0) -> Tally:
    """Read a whole file in every way: where it is refused, nothing that is damaged would be looked into.

    Args:
        build: of the kind.
        kind: of file.
        scratch: see `attempt`.
        refused: how many readings are right to refuse it.
    """
    case = Case(kind, 0, ())
    tally = attempt(build, case, scratch)
    if tally.refused != refused:
        what = f"{tally.refused} readings refuse it, and {refused} should"
        tally.failures.append(Failure(case, "all", "whole", what))
    return tally


def smallest(
    build: Build, failure: Failure, scratch: Path, *, tell: Callable[[Case], None] = lambda _: None
) -> Failure:
    """Return the same kind of failure with as few damages as show it."""
    for number in range(len(failure.case.moves)):
        moves = failure.case.moves[:number] + failure.case.moves[number + 1 :]
        less = Case(failure.case.kind, failure.case.base, moves)
        if not moves:
            continue
        found = attempt(build, less, scratch, tell=tell).failures
        if same := [one for one in found if (one.kind, one.reading) == (failure.kind, failure.reading)]:
            return smallest(build, same[0], scratch, tell=tell)
    return failure


def _written(build: Build, case: Case, scratch: Path) -> dict[str, Callable[[], Any]]:
    shutil.rmtree(scratch, ignore_errors=True)
    folder = scratch / "case"
    folder.mkdir(parents=True)
    (scratch / CANARY).write_text(UNTOUCHED)
    return dict(build(case, folder))


def _strayed(case: Case, name: str, scratch: Path) -> list[Failure]:
    """Notice what was written outside of the folder of a case."""
    beside = sorted(path.name for path in scratch.iterdir())
    text = (scratch / CANARY).read_text() if (scratch / CANARY).is_file() else "gone"
    if beside == sorted([CANARY, "case"]) and text == UNTOUCHED:
        return []
    (scratch / CANARY).write_text(UNTOUCHED)
    return [Failure(case, name, "wrote outside", f"beside its folder: {beside}, {CANARY}: {text[:40]!r}")]


def _read(case: Case, name: str, reading: Callable[[], Any]) -> Tally:
    children, held = _largest_child(), _begin_peak()
    began = time.monotonic()
    kind, what, refused = "", "", False
    try:
        with _limited(MOST_SECONDS), _bounded(_CEILING):
            reading()
    except TooSlow as error:
        kind, what = f"slow {_place(error)}", f"over {MOST_SECONDS:g} s"
    except MemoryError as error:
        kind, what = f"memory {_place(error)}", f"over {_CEILING >> 20} MB"
    except Exception as error:
        known = known_error(error)
        refused = known is not None and known.exit_code != DreamreelError.exit_code
        if not refused:
            line = f"{type(error).__name__}: {error}".encode("ascii", "backslashreplace").decode()
            kind, what = f"{type(error).__name__} {_place(error)}", " ".join(line.split())[:200]
    took, grown, child = time.monotonic() - began, max(0, _peak() - held), _largest_child()
    if child <= max(children, held + grown):  # What a child takes over from us when it is started is none of its own.
        child = 0
    most = max(grown, child)
    if not kind and took > MOST_SECONDS:
        kind, what = "slow", f"{took:.1f} s"
    if not kind and most > MOST_BYTES:
        kind, what = "memory", f"{most >> 20} MB{' of a child' if child > grown else ''}"
    label = f"{case} [{name}]"
    return Tally(
        refused=int(refused),
        accepted=int(not refused and not kind),
        slowest=(took, label),
        largest=(most, label),
        failures=[Failure(case, name, kind, what)] if kind else [],
    )


def _place(error: BaseException) -> str:
    """Name the innermost function of the program that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "renderer" in Path(frame.filename).parts]
    if not ours:
        # Of a command, what it printed tells.
        found = re.findall(r'File ".*?/(renderer/[^"]+)", line (\d+), in (\S+)', str(error))
        return ":".join(found[-1]) if found else ""
    path = Path(ours[-1].filename)
    return f"{'/'.join(path.parts[path.parts.index('renderer') :])}:{ours[-1].lineno}:{ours[-1].name}"


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise `TooSlow` in what takes longer, again and again until it ends; only where the system has such a timer."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- memory ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _bounded(most: int) -> Iterator[None]:
    """Let this process, and those that it starts, reserve only so many bytes more, where the system can limit it."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    try:
        with contextlib.suppress(OSError, ValueError):
            reserved = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (reserved + most, before[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _begin_peak() -> int:
    """Make `_peak` count from now; return the bytes that this process holds."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return _peak()


def _peak() -> int:
    """Return the most bytes that this process held since `_begin_peak`, or ever, where the system does not count so."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _largest_child() -> int:
    """Return the most bytes that a process which was started here and has ended ever held."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
