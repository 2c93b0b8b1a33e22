"""Measure the house itself: `python -m benchmarks.house code|resume|help|suite`. See README.md here."""

from __future__ import annotations

import argparse
import ast
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from benchmarks.tools import ROOT, Benchmark, Command, Figure, below, frame_of, tell, told

sys.path.insert(0, str(ROOT / "tests"))

from test_imports import MODULES, imports


def code(options: argparse.Namespace) -> Iterator[Figure]:
    """Count lines, classes, modules, and look for circles of imports."""
    del options
    texts = {name: path.read_text(encoding="utf-8") for name, path in MODULES.items()}
    lines = sum(text.count("\n") for text in texts.values())
    classes = sum(isinstance(node, ast.ClassDef) for text in texts.values() for node in ast.walk(ast.parse(text)))
    folders = Counter(path.parent for path in MODULES.values())
    yield below("code: lines of Python", lines, 24_000, form="{:.0f}")
    yield below("code: classes", classes, 215, form="{:.0f}")
    yield below("code: modules", len(texts), 130, form="{:.0f}")
    folder, most = folders.most_common(1)[0]
    yield Figure("code: modules in the fullest folder", "at most 15", f"{most} in {folder.name}", most <= 15)
    circle = ""
    try:
        TopologicalSorter({name: imports(path) - {name} for name, path in MODULES.items()}).prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
    yield Figure("code: circles of imports", "none", circle or "none", not circle)
    longest = max(texts, key=lambda name: texts[name].count("\n"))
    yield told("code: longest module", f"{texts[longest].count(chr(10))} lines, {longest}")


COUNTED = """
import hashlib, os, subprocess, sys
def digested(file, kind, *, real=hashlib.file_digest):
    print("HASHED", os.readlink(f"/proc/self/fd/{file.fileno()}"), file=sys.stderr, flush=True)
    return real(file, kind)
hashlib.file_digest = digested
def begun(self, args, *rest, real=subprocess.Popen.__init__, **options):
    print("RAN", *args, file=sys.stderr, flush=True)
    return real(self, args, *rest, **options)
subprocess.Popen.__init__ = begun
import renderer.cli.show.terminal as terminal; terminal.PLAIN_SECONDS = 0.0
from renderer import runtime; runtime.prepare()
import renderer.render.recurrence as recurrence; recurrence.COMMIT_SECONDS = 0.1
"""
"""Tells of every hash of a file and of every run of ffmpeg, of every frame, and commits often."""


def resume(options: argparse.Namespace) -> Iterator[Figure]:
    """Count what going on with a killed video reads: hashes and probes of its clip, bytes of its store."""
    del options
    clip = ROOT / "samples" / "clip.mp4"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder, "work")
        args = ["video", str(clip), "-o", f"{folder}/film.mp4", "--work-dir", str(work), "--size", "96x54"]
        tell("resume: a video, killed at its fifth frame")
        with Command(*args, before=COUNTED) as command:
            next((line for line in command.lines() if frame_of(line) == 5), None)
        sizes = {str(path): path.stat().st_size for path in work.iterdir() if path.suffix in (".mkv", ".npz")}
        tell(f"resume: gone on with; {len(sizes)} files are there")
        with Command(*args, before=COUNTED) as command:
            command.finish()
            hashed = Counter(line.partition(" ")[2] for line in command.said if line.startswith("HASHED "))
            # A showinfo has another name each time, so that nothing in a film can pass for its words.
            runs = Counter(re.sub(r"showinfo@\w+", "showinfo", line) for line in command.said if clip.name in line)
    yield _once("resume: hashes of the clip", hashed[str(clip)])
    most = max(count for run, count in runs.items() if run.startswith("RAN ") and "rawvideo" not in run)
    yield _once("resume: the same probe of the clip, at most", most)
    read = sum(count * sizes.get(path, 0) for path, count in hashed.items())
    yield below("resume: bytes hashed of the store, part of its size", read / max(1, sum(sizes.values())), 1.05)


def _once(name: str, count: int) -> Figure:
    return Figure(name, "1", str(count), count == 1)


def help_time(options: argparse.Namespace) -> Iterator[Figure]:
    """Time `dreamreel --help` from the start of the process to its end; the median of some runs."""
    took = []
    for _ in range(options.helps):
        with Command("--help") as command:
            took.append(command.finish())
    yield below("help: seconds of --help", statistics.median(took), 0.2)


def suite(options: argparse.Namespace) -> Iterator[Figure]:
    """Time the default test suite; it says itself how many tests there are."""
    del options
    load, began, spent = os.getloadavg()[0], time.monotonic(), _spent()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=ROOT, capture_output=True, text=True
    )
    took, spent = time.monotonic() - began, _spent() - spent
    *before, summary = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout.strip()).splitlines()
    for line in before:
        if line.startswith(("FAILED", "ERROR")):
            tell(f"suite: {line}")
    yield below("suite: minutes", took / 60, 5)
    yield told("suite: minutes of a processor", f"{spent / 60:.1f}; {load:.1f} others were at work when it began")
    yield Figure("suite: tests", "all pass", summary, done.returncode == 0)


def _spent() -> float:
    """Return the seconds that processes which this one has seen end have computed for."""
    times = os.times()
    return times.children_user + times.children_system


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--helps", type=int, default=9, help="help: how often")


BENCHMARK = Benchmark(
    name="house",
    about="Measure the house itself: its code, what resuming reads, help, the test suite.",
    measurements={"code": code, "resume": resume, "help": help_time, "suite": suite},
    add_options=add_options,
    smallest={"helps": 1},
    quick=("code", "help"),
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
