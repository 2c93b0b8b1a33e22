"""What a long film must bear: being killed, and lasting. Measured with the real commands."""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from benchmarks.tools import Command, Figure, below, frame_of, resident, tell


def growth(args: list[str], *, size: str, frames: int) -> Figure:
    """Watch what the process of a film holds in memory at frame 100 and at its last one, a multiple of 100.

    Args:
        args: of the command, without its output.
        size: of the frames, for the name of the figure.
        frames: that it makes.
    """
    tell(f"memory: dreamreel {' '.join(args)}")
    held: dict[int, int] = {}
    # Told of every frame, so that the hundredth is not missed.
    often = "import renderer.cli.show.terminal as t; t.PLAIN_SECONDS = 0.0"
    with (
        tempfile.TemporaryDirectory() as folder,
        Command(*args, "-o", f"{folder}/film.mp4", before=often) as command,
    ):
        for line in command.lines():
            frame = frame_of(line)
            if frame and frame % 100 == 0:
                held[frame] = resident(command.process.pid)
                tell(f"  frame {frame}: {held[frame] / 1e6:.1f} MB")
    more = held[frames] / held[100] - 1
    figure = below(f"memory, {size}: growth from frame 100 to {frames}", more, 0.02, form="{:.1%}", asked="under")
    return Figure(figure.name, figure.asked, f"{more:.1%}, {held[frames] / 1e6:.0f} MB", figure.good)


def add_resume_options(parser: argparse.ArgumentParser) -> None:
    """Add what `resumed` reads."""
    parser.add_argument("--kills", type=int, default=10, help="resume: how often")
    parser.add_argument("--seed", type=int, default=1, help="resume: of the moments")
    parser.add_argument("--resume-frames", type=int, default=2000, help="resume: length of the film")
    parser.add_argument(
        "--commit-seconds", type=float, default=0.5, help="resume: time between checkpoints; 0 leaves it as it is"
    )


def resumed(args: list[str], options: argparse.Namespace) -> Iterator[Figure]:
    """Kill a command at random moments, go on each time, and compare the film with an uninterrupted one.

    Args:
        args: of the command, without its output.
        options: those of `add_resume_options`.
    """
    chance = random.Random(options.seed)
    period = options.commit_seconds
    often = (
        "from renderer import runtime; runtime.prepare()\n"
        f"import renderer.render.recurrence as recurrence; recurrence.COMMIT_SECONDS = {period}"
        if period
        else ""
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or temporary
        whole, broken = Path(folder, "whole.mp4"), Path(folder, "broken.mp4")
        tell(f"resume: dreamreel {' '.join(args)}, uninterrupted")
        start, took = _uninterrupted([*args, "-o", str(whole)], often)
        tell(f"  took {took:.1f} s, first frame after {start:.1f} s")
        # Long enough for some checkpoints, short enough that there is work left to the last kill.
        longest = start + max(3 * (period or 20.0), 1.3 * (took - start) / options.kills)
        kept: list[int] = []
        args = [*args, "-o", str(broken)]
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
    from renderer.films.outputs import work_folder
    from renderer.media.store.store import Store

    try:
        return Store.existing(work_folder(out)).count
    except BadInput:
        return 0


def _difference(whole: Path, broken: Path) -> str:
    """Say in what two films that should be the same differ."""
    import numpy as np

    from renderer.media.ffmpeg.clips import open_clip
    from renderer.media.recipe import read_recipe

    recipes = read_recipe(whole), read_recipe(broken)
    keys = [key for key in recipes[0] if recipes[0][key] != recipes[1].get(key)]
    pairs = enumerate(zip(open_clip(whole).pixels(), open_clip(broken).pixels(), strict=False))
    frames = [index for index, (a, b) in pairs if not np.array_equal(a, b)]
    return f"  recipes differ in {keys}; {len(frames)} frames differ, the first is {frames[:1]}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
