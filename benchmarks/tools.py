"""What the benchmarks share: figures as a table, the real command line as a process, what a process holds in memory."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

from renderer.frame import Frame, Pixels, Size, to_8bit

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


HEADER = f"{'figure':<58} | {'asked':<14} | measured"


Measurement = Callable[[argparse.Namespace], Iterator[Figure]]
"""Measures figures, one after another, from the options of the command line."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One command of this folder: `python -m benchmarks.NAME [MEASUREMENT ...] [options]`.

    Attributes:
        name: of the module.
        about: a line for the help.
        measurements: what it can measure, by name; "all" stands for all of them.
        add_options: adds the options that they read, beside those that every benchmark has.
        smallest: options -> values with which they measure as little as can be, to see that they run.
        quick: measurements that take seconds at that size; `python -m benchmarks` runs them.
        needs_shared: those that cannot do without the folder of real data.
    """

    name: str
    about: str
    measurements: Mapping[str, Measurement]
    add_options: Callable[[argparse.ArgumentParser], None] = lambda _: None
    smallest: Mapping[str, object] = field(default_factory=dict)
    quick: Sequence[str] = ()
    needs_shared: Sequence[str] = ()

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Measure what the command line asks for; return 1 if a figure was missed, else 0."""
        parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{self.name}", description=self.about)
        parser.add_argument("measurement", nargs="*", choices=[*self.measurements, "all"], default="all")
        parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder with data/")
        parser.add_argument("--json", action="store_true", help="figures as lines of JSON")
        parser.add_argument(
            "--smallest", action="store_true", help="measure as little as can be: to see that it runs, without verdicts"
        )
        self.add_options(parser)
        if parser.parse_args(arguments).smallest:
            parser.set_defaults(**self.smallest)
        options = parser.parse_args(arguments)
        chosen = self.measurements if "all" in options.measurement else dict.fromkeys(options.measurement)
        if not options.json:
            print(HEADER, flush=True)
        missed = [name for name in chosen if not self._show(name, options)]
        return 1 if missed else 0

    def _show(self, name: str, options: argparse.Namespace) -> bool:
        """Print a measurement's figures as they come; return whether none was missed."""
        good = True
        for measured in self.measurements[name](options):
            figure = replace(measured, good=None) if options.smallest else measured
            print(json.dumps(asdict(figure)) if options.json else figure.line(), flush=True)
            good &= figure.good is not False
        return good


def comma_separated(text: str) -> list[str]:
    """Read an option that is a list."""
    return text.split(",")


def tell(text: str) -> None:
    """Say on stderr what is going on."""
    print(text, file=sys.stderr, flush=True)


def told(name: str, measured: object) -> Figure:
    """Make a figure of which nothing is asked."""
    return Figure(name, "-", str(measured), None)


def at_least(name: str, measured: float | None, limit: float, *, form: str = "{:.3f}") -> Figure:
    """Make a figure that must not be below `limit`; one that could not be measured is missed."""
    asked = f"at least {form.format(limit)}"
    if measured is None:
        return Figure(name, asked, "could not be measured", False)
    return Figure(name, asked, form.format(measured), measured >= limit)


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


class Kept:
    """Stands in for a store: keeps the frames of a film in memory, rounded as a store rounds them.

    Args:
        size: of the frames.
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        self.frames: list[Pixels] = []

    @property
    def next_frame(self) -> int:
        """The number of the frame that comes next."""
        return len(self.frames)

    def state(self) -> None:
        """Return nothing to go on from: such a film is never stopped."""
        return

    def append(self, frame: Frame) -> None:
        """Keep a frame `(H, W, 3)`."""
        self.frames.append(to_8bit(frame))

    def commit(self, state: object) -> None:
        """Keep no state."""


def frame_of(line: str) -> int | None:
    """Return the frame, or dream, that a line of plain progress tells of: "Frame 12 of 144, ..."."""
    found = re.match(r"(?:Frame|Dream) (\d+) of ", line)
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
