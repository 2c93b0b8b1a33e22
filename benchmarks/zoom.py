"""Measure the figures of the infinite zoom: `python -m benchmarks.zoom FIGURE`. See README.md here."""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.tools import ROOT, Command, Figure, below, frame_of, network_flags, resident, show, tell

TINY = ["--size", "160x96", "--octaves", "2", "--steps", "1"]


def film(options: argparse.Namespace) -> Iterator[Figure]:
    """Make the default film with the real command, and compare a frame of it with its bare steps."""
    with tempfile.TemporaryDirectory() as folder:
        tell("film: dreamreel zoom -o zoom.mp4")
        with Command("zoom", "-o", f"{folder}/zoom.mp4") as command:
            for line in command.lines():
                tell(f"  {command.age:5.1f} s  {line}")
            took = command.finish()
    yield below("default film on disk, seconds from pressing Enter", took, 35, form="{:.1f}")
    from benchmarks.frame_cost import overhead

    yield from (figure for figure in overhead(options.shared, ["dreamnet"]))


def first_frame(options: argparse.Namespace) -> Iterator[Figure]:
    """Time the real command from its start until the store's journal tells of a frame."""
    del options
    with tempfile.TemporaryDirectory() as folder:
        tell("first-frame: dreamreel zoom -o zoom.mp4, stopped when the journal names a frame")
        journal = Path(folder, "work", "journal.jsonl")
        with Command("zoom", "-q", "-o", f"{folder}/zoom.mp4", "--work-dir", f"{folder}/work") as command:
            while not (journal.exists() and b'"segment"' in journal.read_bytes()):
                if command.process.poll() is not None:
                    command.finish()
                    break
                time.sleep(0.02)
            took = command.age
    yield below("first frame in the store, seconds from pressing Enter", took, 12, form="{:.1f}")


def memory(options: argparse.Namespace) -> Iterator[Figure]:
    """Watch what a long film's process holds at frame 100 and at its last."""
    small = ["--size", "96x64", "--octaves", "1", "--steps", "1"]
    large = ["--size", "640x360", "--octaves", "1", "--steps", "1"]
    for flags in [small] if options.quick else [small, large]:
        yield _growth(flags, frames=options.frames)


def _growth(flags: list[str], *, frames: int) -> Figure:
    tell(f"memory: {frames} frames, {' '.join(flags)}")
    held: dict[int, int] = {}
    # Told of every frame, so that the hundredth is not missed.
    often = "import renderer.cli.terminal as t; t.PLAIN_SECONDS = 0.0"
    with (
        tempfile.TemporaryDirectory() as folder,
        Command("zoom", "-o", f"{folder}/film.mp4", "--frames", str(frames), *flags, before=often) as command,
    ):
        for line in command.lines():
            frame = frame_of(line)
            if frame and frame % 100 == 0:
                held[frame] = resident(command.process.pid)
                tell(f"  frame {frame}: {held[frame] / 1e6:.1f} MB")
    growth = held[frames] / held[100] - 1
    figure = below(f"memory, {flags[1]}: growth from frame 100 to {frames}", growth, 0.02, form="{:.1%}", asked="under")
    return Figure(figure.name, figure.asked, f"{growth:.1%}, {held[frames] / 1e6:.0f} MB", figure.good)


def governor(options: argparse.Namespace) -> Iterator[Figure]:
    """Make a long zoom from noise and measure whether it keeps its shape and keeps changing."""
    from renderer.jobs.metrics import measure_film

    look = ["--preset", options.preset] if options.preset else []
    for network in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(options.keep or folder, f"{network}{'-' + options.preset if options.preset else ''}.mp4")
            tell(f"governor: {network}, {options.seconds:g} s, 24 fps, 480x270, {' '.join(look) or 'default look'}")
            chosen = [*look, *network_flags(network, options.shared)]
            flags = ["--seconds", str(options.seconds), "--fps", "24", "--size", "480x270", "--overwrite"]
            store = ["--keep-store", "--work-dir", f"{folder}/work"]
            with Command("zoom", "-o", str(out), *chosen, *flags, *store) as command:
                for line in command.lines():
                    tell(f"  {line}")
                command.finish()
            yield from _steadiness(network, measure_film(out).metrics)
            # Lossy coding takes saturated colours beyond black and white: what the loop itself clips is told apart.
            inside = measure_film(Path(folder, "work"), names=["clipped"]).metrics["clipped"]["mean"]
            yield below(f"{network}: clipped pixels, before encoding", inside, 0.02, form="{:.2%}", asked="under")


def _steadiness(network: str, found: Any) -> Iterator[Figure]:
    tell("\n".join(f"  {name}: {values}" for name, values in found["tone"]["per_second"].items()))
    for name, stray in found["tone"]["deviation"].items():
        middle = found["tone"]["median"][name]
        figure = below(f"{network}: {name} strays from its median", stray, 0.12, form="{:.1%}")
        yield Figure(figure.name, figure.asked, f"{stray:.1%} of {middle:.3g}", figure.good)
    clipped = found["clipped"]["mean"]
    yield below(f"{network}: clipped pixels, in the film as decoded", clipped, 0.02, form="{:.2%}", asked="under")
    similar = found["self_similarity"]
    if similar["largest"] is None:
        yield Figure(f"{network}: similarity to itself", "under 0.50", "too short to tell", None)
    else:
        name = f"{network}: SSIM of frames {similar['gap_seconds']:.2g} s apart, largest"
        figure = below(name, similar["largest"], 0.5, asked="under")
        yield Figure(name, figure.asked, f"{similar['largest']:.2f}, median {similar['median']:.2f}", figure.good)
    moved = found["hue_change"]["mean"]
    if moved is not None:
        yield Figure(f"{network}: hues that change in 4 s", "not constant", f"{moved:.1%}", moved > 0.01)


def resume(options: argparse.Namespace) -> Iterator[Figure]:
    """Kill one render at random moments, go on each time, and compare the film with an uninterrupted one."""
    chance = random.Random(options.seed)
    period = options.commit_seconds
    often = (
        "from renderer.jobs import runtime; runtime.prepare()\n"
        f"import renderer.render.loop as loop; loop.COMMIT_SECONDS = {period}"
        if period
        else ""
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or temporary
        whole, broken = Path(folder, "whole.mp4"), Path(folder, "broken.mp4")
        flags = ["--frames", str(options.resume_frames), *TINY]
        tell(f"resume: dreamreel zoom {' '.join(flags)}, uninterrupted")
        start, took = _uninterrupted(["zoom", "-o", str(whole), *flags], often)
        tell(f"  took {took:.1f} s, first frame after {start:.1f} s")
        # Long enough for some checkpoints, short enough that there is work left to the last kill.
        longest = start + max(3 * (period or 20.0), 1.3 * (took - start) / options.kills)
        kept: list[int] = []
        args = ["zoom", "-o", str(broken), *flags]
        while len(kept) < options.kills and not broken.exists():
            moment = chance.uniform(0.3 * start, longest)
            if not _ends_within(args, often, seconds=moment):
                kept.append(_frames_kept(broken))
                tell(f"  kill {len(kept)} after {moment:5.2f} s: {kept[-1]} frames kept")
        if not broken.exists():
            tell("  on to the encoder, killed at its first word")
            _ends_within(args, often, word="Encoding")
        half = broken.exists() and _sha256(broken) != _sha256(whole)
        if not broken.exists():
            tell("  to the end")
            _uninterrupted(args, often)
        same = _sha256(whole) == _sha256(broken)
        if not same:
            tell(_difference(whole, broken))
    asked = f"{options.kills} kills"
    enough = len(kept) == options.kills
    found = f"{len(kept)} kills at {kept} frames" + ("" if enough else ": --resume-frames is too small")
    yield Figure("resume: killed, and gone on", asked, found, enough)
    yield Figure("resume: only the whole film under its name", "always", "no" if half else "yes", not half)
    yield Figure("resume: same sha256 as the uninterrupted film", "same", "same" if same else "another", same)


def _uninterrupted(args: list[str], before: str) -> tuple[float, float]:
    """Run a film to its end; return the seconds to its first frame and to its end."""
    start = 0.0
    with Command(*args, before=before) as command:
        for line in command.lines():
            start = start or (command.age if frame_of(line) else 0.0)
        return start, command.finish()


def _ends_within(args: list[str], before: str, *, seconds: float = 600.0, word: str = "\0") -> bool:
    """Kill a command after so many seconds or when it says a word; return whether it ended by itself before."""
    with Command(*args, before=before) as command:
        timer = threading.Timer(seconds, command.process.kill)
        timer.start()
        for line in command.lines():
            if line.startswith(word):
                command.process.kill()
        code = command.process.wait()
        timer.cancel()
    if code not in (0, -signal.SIGKILL):
        raise SystemExit("\n".join([*command.said[-20:], f"a resumed run ended with exit code {code}"]))
    return code == 0


def _frames_kept(out: Path) -> int:
    from renderer.errors import BadInput
    from renderer.jobs.outputs import work_folder
    from renderer.media.store import Store

    try:
        return Store.existing(work_folder(out)).count
    except BadInput:
        return 0


def _difference(whole: Path, broken: Path) -> str:
    """Say in what two films that should be the same differ."""
    import numpy as np

    from renderer.media.clips import open_clip
    from renderer.media.recipe import read_recipe

    recipes = read_recipe(whole), read_recipe(broken)
    keys = [key for key in recipes[0] if recipes[0][key] != recipes[1].get(key)]
    pairs = enumerate(zip(open_clip(whole).pixels(), open_clip(broken).pixels(), strict=False))
    frames = [index for index, (a, b) in pairs if not np.array_equal(a, b)]
    return f"  recipes differ in {keys}; {len(frames)} frames differ, the first is {frames[:1]}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def overhead(options: argparse.Namespace) -> Iterator[Figure]:
    """Measure everything around the network."""
    from benchmarks.frame_cost import overhead as measure

    return measure(options.shared, options.networks, rounds=options.rounds)


def precision(options: argparse.Namespace) -> Iterator[Figure]:
    """Measure bfloat16 against float32."""
    from benchmarks.frame_cost import precision as measure

    return measure(options.shared)


FIGURES = {
    "film": film,
    "first-frame": first_frame,
    "overhead": overhead,
    "precision": precision,
    "memory": memory,
    "governor": governor,
    "resume": resume,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoom", description=__doc__)
    parser.add_argument("figure", choices=[*FIGURES, "all"])
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder with data/weights")
    parser.add_argument("--networks", type=lambda text: text.split(","), default=["inception_v3", "dreamnet"])
    parser.add_argument("--preset", help="governor: a look instead of the default")
    parser.add_argument("--seconds", type=float, default=30.0, help="governor: length of the film")
    parser.add_argument("--keep", help="governor, resume: a folder for the films, instead of throwing them away")
    parser.add_argument("--rounds", type=int, default=5, help="overhead: of six frames and their bare steps each")
    parser.add_argument("--frames", type=int, default=1000, help="memory: length of the film, a multiple of 100")
    parser.add_argument("--quick", action="store_true", help="memory: small frames only")
    parser.add_argument("--kills", type=int, default=10, help="resume: how often")
    parser.add_argument("--seed", type=int, default=1, help="resume: of the moments")
    parser.add_argument("--resume-frames", type=int, default=2000, help="resume: length of the film")
    parser.add_argument(
        "--commit-seconds", type=float, default=0.5, help="resume: time between checkpoints; 0 leaves it as it is"
    )
    options = parser.parse_args()
    chosen = list(FIGURES) if options.figure == "all" else [options.figure]
    print(f"{'figure':<58} | {'asked':<14} | measured")
    missed = [name for name in chosen if not show(FIGURES[name](options))]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
