"""Big pictures: tiles against the whole picture, their seams, what they take in memory and in time."""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tools import INCEPTION_WEIGHTS, ROOT, Benchmark, Figure, below, comma_separated, tell, told
from renderer.frame import Frame, Size

LAYERS = {
    "inception_v3": (["mixed4"], ["mixed2", "mixed5"], ["mixed8"]),
    "dreamnet": (["objects"], ["patterns", "objects"]),
    "vgg16": (["block4_conv3"],),
    "resnet50": (["conv3_block4_out"],),
}
KINDS = ("mean", "square", "diversity")
SIZES = (Size(641, 359), Size(512, 400))
HD, LARGE = Size(1280, 720), Size(3840, 2160)


def open_network(name: str, shared: Path, *, precision: str = "float32") -> Any:
    """Open a network: Inception with its real weights, the bundled one, or one with random weights."""
    from renderer import runtime

    runtime.prepare()
    import keras

    from renderer.dreaming.networks.network import Network, load_network
    from renderer.dreaming.networks.registry import network_spec

    if name == "dreamnet":
        return load_network(name, precision=precision)
    if name == "inception_v3":
        return load_network(name, weights=(shared / INCEPTION_WEIGHTS).resolve(), precision=precision)
    keras.utils.set_random_seed(3)
    model = getattr(keras.applications, str(network_spec(name).application))(weights=None, include_top=False)
    return Network(name, model, spec=network_spec(name), precision=precision)


def photograph(shared: Path, size: Size) -> Frame:
    """Return a photograph, brought to a size."""
    from renderer.films.first_frame import fit
    from renderer.media.images import read_image

    return fit(read_image(shared / "data/images/figures.jpg"), size, how="cover")


def tiled(network: Any, layers: list[str], size: Size, *, slack: float = 1.1) -> Callable[[Any, Any], Any]:
    """Make evaluators that take hardly more memory than it must have."""
    from renderer.dreaming.tiles.tile_search import least_budget
    from renderer.dreaming.tiles.tiled_evaluator import TiledEvaluator
    from renderer.dreaming.tiles.tiling import GraphCuts

    itemsize = 2 if network.precision == "bfloat16" else 4
    least = least_budget(GraphCuts(network.cut(layers), itemsize=itemsize), size)
    return lambda given, wanted: TiledEvaluator(given, wanted, budget=int(slack * least))


def dreams(network: Any, layers: list[str], picture: Frame, evaluator: Any, *, kind: str, jitter: int = 16) -> Frame:
    """Dream on a picture: two octaves of three steps."""
    from renderer.dreaming.ascent.dreamer import Dreamer
    from renderer.dreaming.settings import DreamSettings

    settings = DreamSettings(
        layers=dict.fromkeys(layers, 1.0), objective=kind, octaves=2, first_steps=3, jitter=jitter, variety=0.0
    )
    return Dreamer(network, settings, evaluator=evaluator)(picture, frame=0, seconds=0.0)[0]


def equality(options: argparse.Namespace) -> Iterator[Figure]:
    """Compare gradients and dreams in tiles with those of the whole picture.

    A gradient is compared as the largest difference over the largest value. Dreams take three steps on each of two
    octaves; beside them stands what becomes of a start that is a ten-millionth off, as rounding is.
    """
    from renderer.dreaming.evaluator import Evaluator

    for name, precision in itertools.product(options.networks, ("bfloat16", "float32")):
        network = open_network(name, options.shared, precision=precision)
        for layers, kind, size in itertools.product(LAYERS[name], KINDS, options.sizes):
            first = size == options.sizes[0] and layers == LAYERS[name][0]
            if kind != KINDS[0] and not first:
                continue
            label = f"{name} {'+'.join(layers)}, {kind}, {size}, {precision}"
            tell(f"equality: {label}")
            picture, tiles = photograph(options.shared, size), tiled(network, layers, size)
            slopes = [_slope(network, layers, picture, evaluator, kind=kind) for evaluator in (Evaluator, tiles)]
            apart = float(np.abs(slopes[1] - slopes[0]).max() / np.abs(slopes[0]).max())
            exact = below(f"{label}: gradient", apart, 1e-3, form="{:.1e}")
            # Half precision rounds by 4e-3: there it is told, not held to.
            yield exact if precision == "float32" else told(exact.name, exact.measured)
            if kind == KINDS[0] and first:
                whole, found = (
                    dreams(network, layers, picture, evaluator, kind=kind) for evaluator in (Evaluator, tiles)
                )
                nudged = picture + 1e-7 * np.random.default_rng(0).standard_normal(picture.shape).astype(np.float32)
                other = dreams(network, layers, nudged, Evaluator, kind=kind)
                measured = f"{np.abs(found - whole).max():.1e}; nudged: {np.abs(other - whole).max():.1e}"
                yield told("  dream", measured)


def _slope(network: Any, layers: list[str], picture: Frame, evaluator: Any, *, kind: str) -> Frame:
    import tensorflow as tf

    from renderer.dreaming.ascent.ascent import Ascent
    from renderer.dreaming.objectives.objective_spec import parse_mix

    ascent = Ascent(network, parse_mix(dict.fromkeys(layers, 1.0), kind=kind), evaluator=evaluator)
    gradient = tf.function(ascent.gradient) if ascent.evaluator.in_graph else ascent.gradient
    found: Frame = gradient(tf.constant(picture))[1].numpy()
    return found


def seams(options: argparse.Namespace) -> Iterator[Figure]:
    """Compare the steps between pixels where tiles meet with those elsewhere, in what was dreamed."""
    from renderer.dreaming.evaluator import Evaluator

    size, layers = HD, ["mixed4"]
    network, picture = open_network("inception_v3", options.shared), photograph(options.shared, HD)
    made: dict[str, Frame] = {}
    meetings: tuple[list[int], list[int]] = ([], [])
    for name, evaluator in (("whole", Evaluator), ("tiles", tiled(network, layers, size))):
        tell(f"seams: {name}")
        made[name] = dreams(network, layers, picture, evaluator, kind="mean", jitter=0) - picture
        if name == "tiles":
            meetings = _meetings(evaluator(network, layers), size)
    yield told("inception_v3 mixed4, 1280x720: lines where tiles meet", sum(map(len, meetings)))
    ratio = {name: _step_ratio(layer, meetings) for name, layer in made.items()}
    asked = "the mean step there / elsewhere, against the same lines of the whole"
    yield below(f"  {asked}", abs(ratio["tiles"] / ratio["whole"] - 1), 0.02, form="{:.2%}")
    yield told("  there / elsewhere, in tiles", f"{ratio['tiles']:.4f}")
    yield told("  there / elsewhere, whole", f"{ratio['whole']:.4f}")


def _meetings(evaluator: Any, size: Size) -> tuple[list[int], list[int]]:
    """List the rows and columns of pixels at which tiles of any stage begin."""
    cuts, rows, columns = evaluator._cuts, set(), set()
    fields = cuts.tensors(size)
    for stage in evaluator.tiling(size).stages:
        given = fields[id(cuts.cut_points[stage.begin][1])].field
        for tile in cuts.tiles(stage, Size(given.columns.size, given.rows.size)).forward:
            made = fields[id(cuts.outputs_of(stage.begin, stage.end)[0])].field
            rows.add(tile.own[0].whole[0].start * made.rows.stride)
            columns.add(tile.own[0].whole[1].start * made.columns.stride)
    return sorted(rows - {0}), sorted(columns - {0})


def _step_ratio(layer: Frame, meetings: tuple[list[int], list[int]]) -> float:
    """Return the mean absolute step across some rows and columns, over that across all others."""
    there, elsewhere = [], []
    for axis, lines in enumerate(meetings):
        steps = np.abs(np.diff(layer, axis=axis)).mean((1 - axis, 2))
        at = np.isin(np.arange(1, len(steps) + 1), lines)
        there += list(steps[at])
        elsewhere += list(steps[~at])
    return float(np.mean(there) / np.mean(elsewhere))


def memory(options: argparse.Namespace) -> Iterator[Figure]:
    """Measure the most that the command holds in memory while it dreams at 3840x2160."""
    weights = (options.shared / INCEPTION_WEIGHTS).resolve()
    network = ["--network", "inception_v3", "--weights", str(weights), "--layers", "mixed4"]
    photo, few = (
        str(options.shared / "data/images/figures.jpg"),
        ["--octaves", "3", "--size", str(LARGE), "--overwrite"],
    )
    with tempfile.TemporaryDirectory() as folder:
        at = options.keep or Path(folder)
        clip = at / "clip.mp4"
        _enlarge(options.shared / "data/clips/video.mp4", clip)
        short = ["--first-steps", "3", "--steps", "1"]
        for name, limit, args in (
            ("still", 4.0, ["still", photo, "-o", str(at / "still.png"), "--steps", "3"]),
            ("zoom of 3 frames", 4.0, ["zoom", photo, "-o", str(at / "zoom.mp4"), "--frames", "3", *short]),
            ("video of 3 frames", 4.6, ["video", str(clip), "-o", str(at / "video.mp4"), *short]),
        ):
            tell(f"memory: {name}, {LARGE}")
            peak, took = _peak([*args, *few, *network, "--memory", f"{limit}GB"])
            yield below(f"inception_v3 mixed4, {LARGE}, {name}: GB", peak / 1e9, limit)
            yield told("  time", f"{took:.0f} s")


def _peak(args: list[str]) -> tuple[int, float]:
    """Run the command; return the most bytes that its process held, and the seconds it took."""
    began = time.monotonic()
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    code = "from renderer.cli.main import main\nmain()"
    process = subprocess.Popen([sys.executable, "-c", code, *args], env=env, stdin=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the command ended with status {os.waitstatus_to_exitcode(status)}")
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024), time.monotonic() - began


def _enlarge(clip: Path, out: Path) -> None:
    """Write three frames of a clip at 3840x2160."""
    from imageio_ffmpeg import get_ffmpeg_exe

    scale = f"scale={LARGE.width}:{LARGE.height}:flags=bicubic"
    args = ["-y", "-v", "error", "-i", str(clip), "-frames:v", "3", "-vf", scale, "-an", "-c:v", "libx264", str(out)]
    subprocess.run([get_ffmpeg_exe(), *args], check=True, stdin=subprocess.DEVNULL)


def cost(options: argparse.Namespace) -> Iterator[Figure]:
    """Compare the time of a gradient in tiles with that of the whole picture."""
    import tensorflow as tf

    from renderer.dreaming.evaluator import Evaluator

    for name in (name for name in options.networks if name != "resnet50"):
        layers, size = LAYERS[name][0], options.size
        network = open_network(name, options.shared, precision="auto" if name != "vgg16" else "float32")
        picture = tf.constant(photograph(options.shared, size))
        judge = _mean_of(layers)
        whole = Evaluator(network, layers)
        sights: dict[str, Any] = {"whole": tf.function(lambda given, whole=whole, judge=judge: whole(given, judge))}
        looks = {slack: tiled(network, layers, size, slack=slack)(network, layers) for slack in (4.0, 2.0, 1.1)}
        sights |= {f"{slack:g} times the least memory": look for slack, look in looks.items()}
        took: dict[str, list[float]] = {label: [] for label in sights}
        for _ in range(options.repeats + 1):
            for label, look in sights.items():
                began = time.perf_counter()
                (look(picture) if label == "whole" else look(picture, judge))[1].numpy()
                took[label].append(time.perf_counter() - began)
        best = {label: min(times[1:]) for label, times in took.items()}
        for label, seconds in best.items():
            yield told(f"{name}, {size}: {label}", f"{seconds:.2f} s, {seconds / best['whole']:.2f}")


def _mean_of(layers: list[str]) -> Callable[[Any], Any]:
    import tensorflow as tf

    return lambda seen: tf.add_n([tf.reduce_mean(tf.cast(seen[layer], tf.float32)) for layer in layers])


def _sizes(text: str) -> list[Size]:
    return [Size.parse(part) for part in text.split(",")]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--networks", type=comma_separated, default=list(LAYERS), help="equality, cost")
    parser.add_argument("--sizes", type=_sizes, default=list(SIZES), help="equality: of the pictures")
    parser.add_argument("--size", type=Size.parse, default=HD, help="cost: of the picture")
    parser.add_argument("--repeats", type=int, default=3, help="cost: how often each is measured")
    parser.add_argument("--keep", type=Path, help="folder that the pictures of `memory` are kept in")


BENCHMARK = Benchmark(
    name="big",
    about="Measure big pictures: tiles against the whole, their seams, memory and time.",
    measurements={"equality": equality, "seams": seams, "memory": memory, "cost": cost},
    add_options=add_options,
    smallest={"networks": ["dreamnet"], "sizes": [Size(161, 120)], "size": Size(320, 240), "repeats": 1},
    quick=("cost",),
    needs_shared=("equality", "seams", "memory", "cost"),
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
