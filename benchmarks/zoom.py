"""Measure the figures of the infinite zoom: `python -m benchmarks.zoom FIGURE`. See README.md here."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.endurance import add_resume_options, growth, resumed
from benchmarks.tools import Benchmark, Command, Figure, below, comma_separated, network_flags, tell
from renderer.frame import Size

SIZE = Size(640, 360)
"""Of the default film."""

TINY = ["--size", "160x96", "--octaves", "2", "--steps", "1"]


def film(options: argparse.Namespace) -> Iterator[Figure]:
    """Make the default film with the real command, and compare a frame of it with its bare steps."""
    with tempfile.TemporaryDirectory() as folder:
        tell("film: dreamreel zoom -o zoom.mp4")
        with Command("zoom", "-o", f"{folder}/zoom.mp4", *_other_size(options)) as command:
            for line in command.lines():
                tell(f"  {command.age:5.1f} s  {line}")
            took = command.finish()
    yield below("default film on disk, seconds from pressing Enter", took, 35, form="{:.1f}")
    from benchmarks.frame_cost import overhead as measure

    yield from measure(options.shared, ["dreamnet"], rounds=options.rounds, size=options.size)


def _other_size(options: argparse.Namespace) -> list[str]:
    """Return the flags of a film that is no default one, for a first look."""
    return [] if options.size == SIZE else ["--size", str(options.size), "--frames", "2"]


def first_frame(options: argparse.Namespace) -> Iterator[Figure]:
    """Time the real command from its start until the store's journal tells of a frame."""
    with tempfile.TemporaryDirectory() as folder:
        tell("first-frame: dreamreel zoom -o zoom.mp4, stopped when the journal names a frame")
        journal = Path(folder, "work", "journal.jsonl")
        with Command(
            "zoom", "-q", "-o", f"{folder}/zoom.mp4", *_other_size(options), "--work-dir", f"{folder}/work"
        ) as command:
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
        yield growth(
            ["zoom", "--dreams", "frame", "--frames", str(options.frames), *flags], size=flags[1], frames=options.frames
        )


def governor(options: argparse.Namespace) -> Iterator[Figure]:
    """Make a long zoom from noise and measure whether it keeps its shape and keeps changing."""
    from renderer.measure.metrics import measure_film

    look = ["--preset", options.preset] if options.preset else []
    for network in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(options.keep or folder, f"{network}{'-' + options.preset if options.preset else ''}.mp4")
            tell(f"governor: {network}, {options.seconds:g} s, 24 fps, {' '.join(look) or 'default look'}")
            chosen = [*look, *network_flags(network, options.shared)]
            flags = ["--seconds", str(options.seconds), "--fps", "24", "--overwrite"]
            flags += ["--size", "480x270" if options.size == SIZE else str(options.size)]
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
    """Kill a zoom at random moments, go on each time, and compare the film with an uninterrupted one."""
    return resumed(["zoom", "--frames", str(options.resume_frames), *TINY], options)


def overhead(options: argparse.Namespace) -> Iterator[Figure]:
    """Measure everything around the network."""
    from benchmarks.frame_cost import overhead as measure

    return measure(options.shared, options.networks, rounds=options.rounds, size=options.size)


def precision(options: argparse.Namespace) -> Iterator[Figure]:
    """Measure bfloat16 against float32."""
    from benchmarks.frame_cost import precision as measure

    return measure(options.shared, size=options.size)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--networks", type=comma_separated, default=["inception_v3", "dreamnet"])
    parser.add_argument("--size", type=Size.parse, default=SIZE, help="another size than the figures are meant at")
    parser.add_argument("--preset", help="governor: a look instead of the default")
    parser.add_argument("--seconds", type=float, default=30.0, help="governor: length of the film")
    parser.add_argument("--keep", help="governor, resume: a folder for the films, instead of throwing them away")
    parser.add_argument("--rounds", type=int, default=5, help="overhead: of six frames and their bare steps each")
    parser.add_argument("--frames", type=int, default=1000, help="memory: length of the film, a multiple of 100")
    parser.add_argument("--quick", action="store_true", help="memory: small frames only")
    add_resume_options(parser)


BENCHMARK = Benchmark(
    name="zoom",
    about="Measure the figures of the infinite zoom.",
    measurements={
        "film": film,
        "first-frame": first_frame,
        "overhead": overhead,
        "precision": precision,
        "memory": memory,
        "governor": governor,
        "resume": resume,
    },
    add_options=add_options,
    smallest={
        "networks": ["dreamnet"],
        "size": Size(160, 96),
        "rounds": 1,
        "seconds": 0.2,
        "frames": 200,
        "quick": True,
        "kills": 1,
        "resume_frames": 400,
    },
    quick=("film", "overhead"),
    needs_shared=("precision",),
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
