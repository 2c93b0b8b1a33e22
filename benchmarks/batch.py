"""Measure the figures of the render queue: `python -m benchmarks.batch FIGURE`. See README.md here."""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tools import Benchmark, Command, Figure, resident, tell, told

SET = 'film.size = "64x48", film.fps = 12, dream.octaves = 1, dream.first_steps = 1, network.weights = "tiny.keras"'

SAY = """
import sys
import renderer.cli.show.progress as progress
from renderer.events import Stage
def said(self, event, show=progress.FilmProgress.__call__):
    if isinstance(event, Stage):
        print("STAGE", event.text, file=sys.stderr, flush=True)
    show(self, event)
progress.FilmProgress.__call__ = said
"""
"""Tells of every stage of a film, so that a kill can hit one."""

OFTEN = """
from renderer import runtime; runtime.prepare()
import renderer.render.recurrence as recurrence; recurrence.COMMIT_SECONDS = 0.2
"""

COUNT = """
import sys
from renderer import runtime; runtime.prepare()
from renderer.dreaming.ascent.dreamer import Dreamer
def counted(self, *args, real=Dreamer.__call__, **options):
    print("DREAMED", file=sys.stderr, flush=True)
    return real(self, *args, **options)
Dreamer.__call__ = counted
"""


def many(options: argparse.Namespace) -> Iterator[Figure]:
    """Run many tiny jobs, ten of them bad in four ways, and watch what the process holds."""
    good = options.films - 10
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _network(folder)
        (folder / "text.mp4").write_text("this is no video")
        bad: list[dict[str, object]] = [
            *({"name": f"missing-{i}", "input": f"none-{i}.png"} for i in range(3)),
            *({"name": f"look-{i}", "preset": "no-such-look"} for i in range(3)),
            *({"name": f"clash-{i}", "seed": 9000 + i, "priority": -1} for i in range(2)),
            *({"name": f"video-{i}", "kind": "video", "input": "text.mp4", "seed": i} for i in range(2)),
        ]
        jobs: list[dict[str, object]] = [{"name": f"good-{i:03}", "seed": i} for i in range(good)]
        for at, job in enumerate(bad):  # spread over the batch
            jobs.insert(at * good // len(bad), job)
        _write(folder, jobs, frames=2)
        tell(f"many: {options.films} jobs, {len(bad)} of them bad")
        held: dict[int, _Held] = {}
        with Command("batch", f"{folder}/jobs.toml") as command:
            for line in command.lines():
                words = line.split()
                if words[1:2] == ["begun,"]:
                    through = int(words[2])
                    if through == 5 + 8:  # the eight that cannot be made are through at once
                        for i in range(2):
                            (folder / f"clash-{i}.mp4").write_bytes(b"a file of somebody else's")
                    held[through] = _Held.of(command.process.pid)
                    if len(held) % 20 == 0:
                        tell(f"  {command.age:6.1f} s  {through} films are through: {held[through]}")
            code = command.process.wait()
            took = command.age
        made = len(list(folder.glob("good-*.mp4")))
        names = [str(job["name"]) for job in bad]
        sentences = [n for n in names if any(line.startswith(f"{n}: ") for line in command.said[-len(bad) - 1 :])]
        mine = all((folder / f"clash-{i}.mp4").read_bytes().startswith(b"a file") for i in range(2))
    yield Figure("many: films made", f"{good}", f"{made}, in {took:.0f} s", made == good and mine)
    yield Figure("many: sentences at the end", f"{len(bad)}", f"{len(sentences)}", len(sentences) == len(bad))
    yield Figure("many: exit code", "3", str(code), code == 3)
    early, late = held[sorted(held)[min(20, len(held) // 4)]], held[max(held)]
    growth = late.memory / early.memory - 1
    measured = f"{growth:.1%}: {early.memory / 1e6:.0f} to {late.memory / 1e6:.0f} MB"
    yield Figure("many: memory, from job 20 to the last", "under 5%", measured, growth < 0.05)
    for what in ("descriptors", "threads"):
        before, after = getattr(early, what), getattr(late, what)
        yield Figure(f"many: {what}, from job 20 to the last", "no more", f"{before} to {after}", after <= before)


@dataclass(frozen=True)
class _Held:
    """What a process holds: bytes of memory, open files, threads."""

    memory: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> _Held:
        return cls(
            resident(pid), len(list(Path(f"/proc/{pid}/fd").iterdir())), len(list(Path(f"/proc/{pid}/task").iterdir()))
        )

    def __str__(self) -> str:
        return f"{self.memory / 1e6:.1f} MB, {self.descriptors} descriptors, {self.threads} threads"


def kill(options: argparse.Namespace) -> Iterator[Figure]:
    """Kill a whole batch at random moments, go on each time, and compare every film with an undisturbed run's."""
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(options.keep or name)
        folder.mkdir(parents=True, exist_ok=True)
        whole, broken = folder / "whole", folder / "broken"
        _network(folder)
        _clip(folder / "clip.mp4")
        # One jobs file for both: a film's recipe tells where its network and its clip lie.
        _write(folder, _mixed(), frames=options.frames)
        tell("kill: the batch undisturbed")
        start, took = _undisturbed(whole)
        tell(f"  took {took:.1f} s, first film begun after {start:.1f} s")
        expected = _films(whole)
        share = 1.2 * (took - start) / max(1, options.kills)
        done = halves = same = 0
        rounds = 1  # A batch that ends before it is killed is followed by another.
        while done < options.kills:
            word = "STAGE encoding" if done % 3 == 2 else ""
            moment = chance.uniform(0.2 * start, start + 2 * share)
            if not _killed(broken, seconds=moment, word=word, skip=chance.randrange(3)):
                tell("  to the end, and from the beginning")
                same += _films(broken) == expected
                rounds += 1
                shutil.rmtree(broken)
                continue
            done += 1
            found = _films(broken)
            halves += sum(expected[film] != sha256 for film, sha256 in found.items())
            tell(f"  kill {done} {'while encoding' if word else f'after {moment:.2f} s'}: {len(found)} films are there")
        tell("  to the end")
        _undisturbed(broken)
        same += _films(broken) == expected
    yield told("kill: kills", f"{done}")
    yield Figure("kill: only whole films under their names", "always", f"{halves} others", halves == 0)
    measured = f"all {len(expected)} in {same} of {rounds} batches"
    yield Figure("kill: films with the undisturbed run's sha256", "all", measured, same == rounds)


def _mixed() -> list[dict[str, object]]:
    films: list[dict[str, object]] = [{"name": f"zoom-{i}", "seed": i} for i in range(4)]
    films += [{"name": "gif", "seed": 5, "output": "{name}.gif"}, {"name": "webm", "seed": 6, "output": "{name}.webm"}]
    films += [{"name": "still", "kind": "still", "output": "{name}.png"}]
    return [*films, {"name": "video", "kind": "video", "input": "clip.mp4", "output": "dream.mp4"}]


def _undisturbed(folder: Path) -> tuple[float, float]:
    """Run a batch to its end; return the seconds until its first film is begun, and until its end."""
    start = 0.0
    with Command("batch", f"{folder.parent}/jobs.toml", "--output-dir", str(folder), before=OFTEN) as command:
        for line in command.lines():
            start = start or (command.age if "begun," in line else 0.0)
        return start, command.finish()


def _killed(folder: Path, *, seconds: float, word: str, skip: int) -> bool:
    """Kill a run after so many seconds, or when it has said a word some times; return False if it ended before."""
    args = ["batch", f"{folder.parent}/jobs.toml", "--output-dir", str(folder)]
    with Command(*args, before=OFTEN + SAY) as command:
        timer = threading.Timer(600.0 if word else seconds, command.process.kill)
        timer.start()
        for line in command.lines():
            if word and line.startswith(word):
                if skip == 0:
                    command.process.kill()
                skip -= 1
        code = command.process.wait()
        timer.cancel()
    if code not in (0, -signal.SIGKILL):
        raise SystemExit("\n".join([*command.said[-20:], f"a resumed batch ended with exit code {code}"]))
    return code != 0


def codec(options: argparse.Namespace) -> Iterator[Figure]:
    """Change nothing but the codec of a finished, kept batch, and count the frames that are dreamed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _network(folder)
        films: list[dict[str, object]] = [{"name": f"film-{i}", "seed": i} for i in range(options.kept)]
        runs = (
            ("as they are", "", "{name}.mp4"),
            ("another quality", ", encode.quality = 35", "{name}.mp4"),
            ("another codec", ', encode.codec = "av1"', "{name}.mp4"),
            ("another ending", "", "{name}.webm"),
        )
        for index, (what, more, output) in enumerate(runs):
            _write(folder, films, frames=12, more=more, output=output, keep=True)
            tell(f"codec: {what}")
            with Command("batch", f"{folder}/jobs.toml", "--json", before=COUNT) as command:
                command.finish()
                assert command.process.stdout is not None
                lines = [json.loads(line) for line in command.process.stdout.read().splitlines()]
            dreamed = command.said.count("DREAMED")
            made = sum(line["event"] == "film" and not line["earlier"] for line in lines)
            asked = 12 * options.kept if index == 0 else 0
            good = dreamed == asked and made == options.kept
            figure = f"codec: frames dreamed for {options.kept} films, {what}"
            yield Figure(figure, str(asked), f"{dreamed}; {made} films made", good)


def _write(
    folder: Path,
    jobs: list[dict[str, object]],
    *,
    frames: int,
    more: str = "",
    output: str = "{name}.mp4",
    keep: bool = False,
) -> None:
    """Write a jobs file."""
    settings = f"set = {{ {SET}, film.frames = {frames}{more} }}"
    lines = ["[defaults]", f'output = "{output}"', settings, f"keep_store = {str(keep).lower()}"]
    for job in jobs:
        lines += ["", "[[job]]", *(f"{key} = {json.dumps(value)}" for key, value in job.items())]
    (folder / "jobs.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _network(folder: Path) -> None:
    """Save a tiny network, with layers named like those of the bundled one."""
    from renderer.runtime import prepare

    prepare()
    import keras

    keras.utils.set_random_seed(7)
    picture = x = keras.Input((None, None, 3))
    for name in ("edges", "textures", "patterns", "parts", "objects"):
        x = keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name=name)(x)
    keras.Model(picture, x).save(folder / "tiny.keras")


def _clip(path: Path) -> None:
    from renderer.media.ffmpeg.pipes import file_url, run

    shown = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=12:d=4", "-f", "lavfi", "-i", "sine=frequency=440:duration=4"]
    run([*shown, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-y", file_url(path)])


def _films(folder: Path) -> dict[str, str]:
    """Hash what lies under final names."""
    made = [path for path in folder.glob("[!.]*") if path.is_file() and path.suffix != ".html"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in made}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--films", type=int, default=200, help="many: how many jobs, ten of them bad")
    parser.add_argument("--kills", type=int, default=20, help="kill: how often")
    parser.add_argument("--seed", type=int, default=1, help="kill: of the moments")
    parser.add_argument("--frames", type=int, default=500, help="kill: length of each film")
    parser.add_argument("--keep", help="kill: a folder for the films, instead of throwing them away")
    parser.add_argument("--kept", type=int, default=4, help="codec: how many films")


BENCHMARK = Benchmark(
    name="batch",
    about="Measure the figures of the render queue.",
    measurements={"many": many, "kill": kill, "codec": codec},
    add_options=add_options,
    smallest={"films": 24, "kills": 1, "frames": 8, "kept": 1},
    quick=("many",),
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
