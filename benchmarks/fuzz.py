"""Damage files on purpose and read them: `python -m benchmarks.fuzz texts|media`. See README.md here.

What is damaged, how, and what reads it stands in `tests/fuzz_texts.py` and its neighbours: the tests try a few of the
same cases.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from benchmarks.tools import ROOT, Benchmark, Figure, below, tell, told

sys.path.insert(0, str(ROOT / "tests"))

import fuzz_media
import fuzz_records
import fuzz_texts
import fuzzing
from fuzzing import Case, Failure, Tally

SHARES = {
    "texts": {"preset": 4, "set": 4, "recipe": 4, "state": 3, "jobs": 2, "journal": 2, "cuts": 1},
    "media": {"png": 3, "jpg": 3, "tiff": 3, "webp": 4, "gif": 2, "wav": 1, "mp4": 1, "mov": 1, "webm": 1, "mkv": 1},
}
"""How often each kind is tried: films take their time, as ffmpeg reads them in processes of its own."""

ASKED = {"texts": 20_000, "media": 3_000}
"""Cases in ten minutes, or in as long as it takes."""

BATCH = 20
"""Cases of one kind that a worker tries in a row."""

PATIENCE = 30.0
"""Seconds until a worker that tells nothing is given up: a library hangs where Python cannot interrupt it."""

BUILDS = {**fuzz_texts.KINDS, **fuzz_records.KINDS, **fuzz_media.KINDS}


def try_batch(kind: str, seed: str, pipe: Connection, scratch: Path, known: set[str]) -> bool:
    """Try a batch of cases and tell the pipe of each before and after it; return whether to go on in this process."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    sound = True

    @seeded(seed)
    @settings(
        max_examples=BATCH, phases=[Phase.generate], database=None, deadline=None, suppress_health_check=[*HealthCheck]
    )
    @given(fuzzing.cases(kind))
    def run(case: Case) -> None:
        nonlocal sound
        tally = fuzzing.attempt(BUILDS[kind], case, scratch, tell=pipe.send)
        for failure in [*tally.failures]:
            group = f"{failure.kind} {failure.reading}"
            if group not in known:
                known.add(group)
                less = fuzzing.smallest(BUILDS[kind], failure, scratch, tell=pipe.send)
                tally.failures[tally.failures.index(failure)] = less
            sound &= not failure.kind.startswith("memory")  # The system tells the largest child of a process alone.
        pipe.send((case, tally))

    run()
    return sound


def work(kinds: Sequence[str], seed: str, first: int, pipe: Connection, scratch: Path) -> None:
    """Try batches from number `first` on until the pipe closes."""
    warnings.simplefilter("ignore")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)  # Libraries of pictures write their own words there.
    for kind in {*kinds}:
        told = fuzzing.attempt_whole(BUILDS[kind], kind, scratch, refused=fuzz_media.REFUSED.get(kind, 0))
        pipe.send((Case(kind, 0, ()), told))
    known: set[str] = set()
    number = first
    while try_batch(kinds[number % len(kinds)], f"{seed} {number}", pipe, scratch, known):
        number += 1


@dataclass
class Worker:
    """A process that tries cases, begun anew when it hangs or dies."""

    kinds: Sequence[str]
    seed: str
    scratch: Path
    number: int = 0
    case: Case | None = None
    told: float = field(default_factory=time.monotonic)
    pipe: Any = None
    process: Any = None

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe(duplex=False)
        args = (self.kinds, self.seed, self.number, other, self.scratch)
        self.process = context.Process(target=work, args=args, daemon=False)
        self.process.start()
        other.close()
        self.case, self.told = None, time.monotonic()
        self.number += 1000

    def hear(self) -> tuple[Case, Tally] | None:
        """Take what the process tells: a case that it has tried, if any; one that it did not survive has failed."""
        try:
            told = self.pipe.recv()
        except (EOFError, OSError):
            return self.lost("died")
        self.told = time.monotonic()
        if isinstance(told, Case):
            self.case = told
            return None
        self.case = None
        return told  # type: ignore[no-any-return]

    def lost(self, how: str) -> tuple[Case, Tally] | None:
        """End the process, begin another, and return what it was at, as a failure."""
        case = self.case
        self.stop()
        self.start()
        if case is None:
            return None
        return case, Tally(tried=1, failures=[Failure(case, "any", how, "the process that read it")])

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def try_for(minutes: float, kinds: Sequence[str], *, seed: int, workers: int) -> tuple[Tally, set[Case]]:
    """Try cases on some processes for some time; return what came of them."""
    total, seen = Tally(), set[Case]()
    with tempfile.TemporaryDirectory() as folder:
        crew = [Worker(kinds, f"{seed} {n}", Path(folder, str(n))) for n in range(workers)]
        ends = time.monotonic() + 60 * minutes
        said = time.monotonic()
        try:
            for worker in crew:
                worker.start()
            while time.monotonic() < ends:
                ready = wait([worker.pipe for worker in crew], timeout=1.0)
                for worker in crew:
                    done = worker.hear() if worker.pipe in ready else None
                    if time.monotonic() - worker.told > PATIENCE:
                        done = worker.lost("hangs")
                    if done is not None:
                        seen.add(done[0])
                        total.add(done[1])
                if time.monotonic() - said > 30:
                    said = time.monotonic()
                    tell(f"fuzz: {len(seen)} cases, {len(total.failures)} failures of {len(total.by_kind())} kinds")
        finally:
            for worker in crew:
                worker.stop()
    return total, seen


def figures(what: str, options: argparse.Namespace) -> Iterator[Figure]:
    """Try texts or media, and tell what came of it."""
    if options.repeat:
        good = repeat(options.repeat, options)
        yield Figure(f"{options.repeat}: taken, or refused in a sentence", "yes", "yes" if good else "no", good)
        return
    most = max(SHARES[what].values())
    kinds = [kind for turn in range(most) for kind, share in SHARES[what].items() if turn < share]
    kinds = [kind for kind in kinds if options.kind in ("", kind)]
    total, seen = try_for(options.minutes, kinds, seed=options.seed, workers=options.workers)
    enough = len(seen) >= ASKED[what] if options.minutes >= 10 and not options.kind else None
    yield Figure(
        f"{what}: cases tried in {options.minutes:g} minutes", f"at least {ASKED[what]}", str(len(seen)), enough
    )
    yield told(f"{what}: readings that took a damaged file", total.accepted)
    yield told(f"{what}: readings that refused one with a sentence", total.refused)
    yield below(f"{what}: readings that ended in any other way", len(total.failures), 0, form="{:.0f}")
    yield below(f"{what}: slowest reading, seconds", total.slowest[0], fuzzing.MOST_SECONDS)
    yield below(
        f"{what}: most memory of a reading, MB", total.largest[0] / 1e6, fuzzing.MOST_BYTES / 1e6, form="{:.0f}"
    )
    for found in total.by_kind().values():
        example = min(found, key=lambda failure: len(failure.case.moves))
        tell(f"{len(found)} x {example}")
        if options.save:
            save(example, options.save)


def save(failure: Failure, folder: Path) -> None:
    """Keep the files of a case that failed."""
    place = folder / str(failure.case).replace(":", "-").replace(",", "-")
    shutil.rmtree(place, ignore_errors=True)
    (place / "case").mkdir(parents=True)
    BUILDS[failure.case.kind](failure.case, place / "case")
    (place / "failure.txt").write_text(f"{failure}\n")


def repeat(case: Case, options: argparse.Namespace) -> bool:
    """Try one case again; tell its failures with where they came from."""
    with tempfile.TemporaryDirectory() as folder:
        tally = fuzzing.attempt(BUILDS[case.kind], case, Path(folder, "scratch"))
    for failure in tally.failures:
        tell(str(failure))
        if options.save:
            save(failure, options.save)
    tell(f"{case}: {tally.accepted} readings took it, {tally.refused} refused it, {len(tally.failures)} failed")
    return not tally.failures


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeat", type=Case.parse, metavar="CASE", help="try this case alone, as a failure names it")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long each takes")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that try cases")
    parser.add_argument("--seed", type=int, default=1, help="of all randomness")
    parser.add_argument("--kind", choices=["", *BUILDS], default="", help="cases of this kind alone")
    parser.add_argument("--save", type=Path, help="keep a smallest example of each failure in this folder")


BENCHMARK = Benchmark(
    name="fuzz",
    about="Damage files on purpose, and read them with everything that reads such files.",
    measurements={"texts": partial(figures, "texts"), "media": partial(figures, "media")},
    add_options=add_options,
    smallest={"minutes": 0.1, "workers": 1},
    quick=("texts",),
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
