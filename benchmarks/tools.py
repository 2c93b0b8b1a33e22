"""What the benchmarks share: figures as a table, the real command line as a process, what a process holds in memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
INCEPTION_WEIGHTS = Path("data/weights/inception_v3_imagenet_notop_to_mixed8.weights.h5")


@dataclass(frozen=True)
class Figure:
    """One figure: what it is, what is asked of it, what was measured, and whether that is enough (None: no verdict)."""

    name: str
    asked: str
    measured: str
    good: bool | None

    def line(self) -> str:
        verdict = {True: "ok", False: "MISSED", None: ""}[self.good]
        return f"{self.name:<58} | {self.asked:<14} | {self.measured:<28} {verdict}".rstrip()


def show(figures: Iterator[Figure]) -> bool:
    """Print figures as they come; return whether none was missed."""
    good = True
    for figure in figures:
        print(figure.line(), flush=True)
        good &= figure.good is not False
    return good


def tell(text: str) -> None:
    """Say on stderr what is going on."""
    print(text, file=sys.stderr, flush=True)


def below(name: str, measured: float, limit: float, *, form: str = "{:.2f}", asked: str = "at most") -> Figure:
    """Make a figure that must not be above `limit`."""
    return Figure(name, f"{asked} {form.format(limit)}", form.format(measured), measured <= limit)


class Command:
    """`dreamreel ARGS` of this checkout as a process of its own, its stderr read line by line. A context manager.

    Args:
        args: of the command line.
        before: Python statements run before the command; for benchmarks that change a constant, and say so.
    """

    def __init__(self, *args: str, before: str = "") -> None:
        code = f"{before}\nfrom renderer.cli.main import main\nmain()"
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        )
        self.said: list[str] = []

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.began

    def lines(self) -> Iterator[str]:
        """Give its lines on stderr as they come, until it ends."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip())
            yield self.said[-1]

    def finish(self) -> float:
        """Wait for its end; return how many seconds it took. Fails loudly if it did."""
        for _ in self.lines():
            pass
        code = self.process.wait()
        took = self.age
        if code != 0:
            raise SystemExit("\n".join([*self.said[-20:], f"the command ended with exit code {code}"]))
        return took

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def frame_of(line: str) -> int | None:
    """Return the frame that a line of plain progress tells of: "Frame 12 of 144, ..."."""
    found = re.match(r"Frame (\d+) of ", line)
    return int(found[1]) if found else None


def resident(pid: int) -> int:
    """Return the bytes that a process holds in memory."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024


def network_flags(network: str, shared: Path) -> Sequence[str]:
    """Return the flags that choose a network with real weights."""
    if network != "inception_v3":
        return ["--network", network]
    weights = (shared / INCEPTION_WEIGHTS).resolve()
    if not weights.is_file():
        raise SystemExit(f"{weights} is not there: say with --shared where the folder with real weights is")
    return ["--network", network, "--weights", str(weights), "--layers", "mixed4"]
