"""Measure the bundled network against its teacher: `python -m benchmarks.dreamnet MEASUREMENT`. See README.md here.

Photographs are the held-out ones, every 25th of SHARED/data/photos sorted by name, cut to centred squares. Each
figure is defined by the docstring of its function, and compared with the target it is meant to reach.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np

from benchmarks.tools import INCEPTION_WEIGHTS, Benchmark, Figure, Measurement, tell, told
from renderer.dreaming.ascent.ascent import Ascent
from renderer.dreaming.ascent.channel_dreamer import ChannelDreamer, single, whole
from renderer.dreaming.networks.network import BUNDLED_WEIGHTS, Network, load_network
from renderer.dreaming.networks.preprocessing import PREPROCESSING
from renderer.dreaming.networks.squeezenet import SIDE, load_squeezenet
from renderer.dreaming.objectives.objective_spec import parse_mix
from renderer.dreaming.settings import AscentSettings
from renderer.errors import BadInput
from renderer.frame import Size, from_8bit, to_8bit
from renderer.inspect.atlas import shown, soft_noise
from renderer.media.noise import NOISES, noise
from renderer.media.sheets import Section, contact_sheet
from renderer.runtime import prepare as prepare_runtime
from renderer.runtime import processor, thread_count
from renderer.settings.schema import Settings

TAPS = {"patterns": "mixed2", "parts": "mixed4", "objects": "mixed5"}
"""Taps of the student -> the teacher's layers that they imitate."""


def number(name: str, value: float, *, unit: str = "", least: float | None = None, most: float | None = None) -> Figure:
    """Make a figure of a number that must not be below `least`, or above `most`; of neither nothing is asked."""
    measured = f"{value if isinstance(value, int) else f'{value:.3f}'} {unit}".rstrip()
    if least is not None:
        return Figure(name, f"at least {least:g}", measured, bool(value >= least))
    if most is not None:
        return Figure(name, f"at most {most:g}", measured, bool(value <= most))
    return told(name, measured)


Batch = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What the measurements share."""

    student: Network
    teacher: Network
    network_file: Path
    data: Path
    photos: int
    noises: int
    channels: int
    rounds: int
    batch: int
    sheets: Path | None
    seed: int = 0
    cache: dict[int, Batch] = field(default_factory=dict)

    def held_out(self, side: int) -> Batch:
        """Return the held-out photographs `(N, side, side, 3)`, RGB in [0, 1]; fewer are spread over all of them."""
        if side not in self.cache:
            files = sorted((self.data / "photos").glob("*.jpg"))[::25]
            if not files:
                raise BadInput(f"There are no photographs (*.jpg) in {self.data / 'photos'}; give --shared FOLDER.")
            places = np.linspace(0, len(files) - 1, min(self.photos, len(files))).round().astype(int)
            self.cache[side] = np.stack([_centre(files[i], side) for i in places])
        return self.cache[side]

    def batches(self, count: int) -> Iterator[slice]:
        """Cut `count` things into slices of the batch size, and tell of them on stderr."""
        for first in range(0, count, self.batch):
            tell(f"  {first}/{count}")
            yield slice(first, min(first + self.batch, count))

    def sheet(self, name: str, tiles: Sequence[tuple[Batch, str]], *, columns: int = 8, side: int = 216) -> None:
        if self.sheets is not None:
            self.sheets.mkdir(parents=True, exist_ok=True)
            page = contact_sheet([Section(tiles=tiles)], columns=columns, cell=Size(side, side), title=name)
            cv2.imwrite(str(self.sheets / f"{name}.png"), page[..., ::-1])


def speed(bench: Bench) -> list[Figure]:
    """Time one gradient step at 640x360: the student on its default layers, the teacher on `mixed5`.

    Both in the same precision and run, in turns, two steps at a time; the time is that of the fastest of 24 turns,
    which other work on the machine disturbs least; beside it the ratio in processor time, all threads together, which
    it hardly disturbs. With plain std normalisation, and with the Laplacian one that films are made with. Also told:
    the size of the network's file, and the time to open it (TensorFlow being loaded) until it has given activations.
    """
    picture = noise("perlin", size=Size(640, 360), seed=bench.seed)
    shifts, sizes = np.zeros((2, 2), np.int32), np.full(2, 0.01, np.float32)
    found = []
    for normalise in ("std", "laplacian"):
        shaping = AscentSettings(normalise=normalise)
        climbers = [
            Ascent(bench.student, parse_mix(bench.student.spec.mix, kind="square"), settings=shaping),
            Ascent(bench.teacher, parse_mix({"mixed5": 1.0}, kind="square"), settings=shaping),
        ]
        times: list[list[float]] = [[], []]
        busy: list[list[float]] = [[], []]
        for round_ in range(2 + bench.rounds):
            for climber, own, spent in zip(climbers, times, busy, strict=True):
                start, begun = time.perf_counter(), time.process_time()
                climber.ascend(picture, shifts=shifts, sizes=sizes)
                if round_ >= 2:  # the first ones trace and warm up
                    own.append((time.perf_counter() - start) / len(sizes))
                    spent.append(time.process_time() - begun)
        fast, slow = (min(t) for t in times)
        found += [
            number(f"{normalise}: student step", 1e3 * fast, unit="ms"),
            number(f"{normalise}: teacher step", 1e3 * slow, unit="ms"),
            number(f"{normalise}: teacher / student", slow / fast, unit="x", least=3.5),
            number(f"{normalise}: the same in processor time", min(busy[1]) / min(busy[0]), unit="x"),
        ]
    start = time.perf_counter()
    opened = load_network("dreamnet", weights=bench.network_file, precision=bench.student.precision)
    opened.activations(tuple(opened.spec.mix))(picture[None])
    found.append(number("load time", time.perf_counter() - start, unit="s", most=1.0))
    size = bench.network_file.stat().st_size
    found.append(number("network file", size / 1e6, unit="MB", most=8.0))
    found.append(number("parameters", bench.student.model.count_params() / 1e6, unit="M"))
    return found


def correlation(bench: Bench) -> list[Figure]:
    """Correlate the student's activations with the teacher's on held-out photographs of 299 px.

    Pearson's, per channel over all positions and photos, then the mean over the channels that the teacher uses at all;
    a channel that is dead in the student counts as 0. The student sees the photograph less a margin with which its
    maps lie on the teacher's (5 px for Inception v3).
    """
    photos = bench.held_out(299)
    teacher, student = bench.teacher.activations(list(TAPS.values())), bench.student.activations(list(TAPS))
    margin = _margin(student, teacher, photos.shape[1])
    sums = {tap: [np.zeros(0)] * 5 for tap in TAPS}
    counts = dict.fromkeys(TAPS, 0)
    for part in bench.batches(len(photos)):
        inner = photos[part, margin : photos.shape[1] - margin, margin : photos.shape[2] - margin]
        answers, wanted = student(inner), teacher(photos[part])
        for tap, layer in TAPS.items():
            a = np.asarray(answers[tap], np.float64).reshape(-1, answers[tap].shape[-1])
            b = np.asarray(_resized(wanted[layer], answers[tap].shape[1:3]), np.float64).reshape(a.shape)
            new = [a.sum(0), b.sum(0), (a * a).sum(0), (b * b).sum(0), (a * b).sum(0)]
            sums[tap] = new if counts[tap] == 0 else [x + y for x, y in zip(sums[tap], new, strict=True)]
            counts[tap] += len(a)
    found = [number("margin", margin, unit="px")]
    targets = {"parts": 0.75, "objects": 0.70}
    for tap, layer in TAPS.items():
        values, dead = _pearson(*sums[tap], count=counts[tap])
        found.append(number(f"{tap} ~ {layer}", float(values.mean()), least=targets.get(tap)))
        found.append(number(f"{tap}: dead channels", dead))
    return found


def transfer(bench: Bench) -> list[Figure]:
    """Dream each held-out photograph (288 px) with both by one recipe; the teacher says how much came of it.

    4 octaves (0.36, 0.5, 0.71, 1), 10 std-normalised steps each of 0.025 on [-1, 1], roll jitter 16. Gain: the
    teacher's mean square activation after minus before. Figure: the student's gain over the teacher's, mean over
    photos.
    """
    photos, found = bench.held_out(288), []
    for tap, target in (("parts", 0.45), ("objects", 0.25)):
        layer = TAPS[tap]
        student, teacher = _literal(bench.student, tap, bench.seed), _literal(bench.teacher, layer, bench.seed)
        gains: dict[str, list[Batch]] = {"student": [], "teacher": []}
        tiles = []
        for part in bench.batches(len(photos)):
            before = teacher.squares(photos[part])[layer].mean(1)
            dreams = {
                "student": student(photos[part], {tap: whole(student.channels[tap])}),
                "teacher": teacher(photos[part], {layer: whole(teacher.channels[layer])}),
            }
            for who, dream in dreams.items():
                gains[who].append(teacher.squares(dream)[layer].mean(1) - before)
            for i, photo in enumerate(photos[part]):
                tiles += [(photo, "photo"), (dreams["student"][i], tap), (dreams["teacher"][i], layer)]
        bench.sheet(f"transfer-{tap}", tiles, columns=9)
        own, other = np.concatenate(gains["student"]), np.concatenate(gains["teacher"])
        found += [
            number(f"{tap} on {layer}", float((own / other).mean()), least=target),
            number(f"{tap} on {layer}: ratio of the mean gains", float(own.mean() / other.mean())),
        ]
    return found


def variety(bench: Bench) -> list[Figure]:
    """Dream 40 evenly spaced channels of the deepest tap from one noise with both; see how much the dreams differ.

    The recipe is that of `transfer`, at 227 px, from the atlas's soft noise. Figure: mean pairwise distance of the
    student's dreams over the teacher's, in SqueezeNet's `fire7` (spatial means, each feature standardised over the
    dreams of both).
    """
    squeezenet, prepare = (
        load_squeezenet(bench.data / "weights" / "squeezenet_v1.0_imagenet.npz"),
        PREPROCESSING["squeezenet"],
    )
    judge = keras.Model(squeezenet.input, keras.layers.GlobalAveragePooling2D()(squeezenet.get_layer("fire7").output))
    start = soft_noise(Size(SIDE, SIDE), seed=bench.seed)
    seen = {}
    for who, network, layer in (("student", bench.student, "objects"), ("teacher", bench.teacher, TAPS["objects"])):
        dreamer = _literal(network, layer, bench.seed)
        count = dreamer.channels[layer]
        chosen = np.unique(np.linspace(0, count - 1, bench.channels).round().astype(int))
        dreams = []
        for part in bench.batches(len(chosen)):
            weights = np.stack([single(int(channel), count) for channel in chosen[part]])
            dreams += list(dreamer(np.repeat(start[None], len(weights), 0), {layer: weights}))
        bench.sheet(f"variety-{who}", [(shown(d), f"{layer}:{c}") for d, c in zip(dreams, chosen, strict=True)])
        seen[who] = np.asarray(judge(prepare(np.clip(np.stack(dreams), 0, 1))), np.float64)
    both = np.concatenate(list(seen.values()))
    deviation = np.maximum(both.std(0), 1e-6 * both.std())
    spread = {who: _mean_distance((f - both.mean(0)) / deviation) for who, f in seen.items()}
    return [
        number("student: mean distance", spread["student"]),
        number("teacher: mean distance", spread["teacher"]),
        number("student / teacher", spread["student"] / spread["teacher"], least=0.8),
    ]


def stripes(bench: Bench) -> list[Figure]:
    """Dream 40 photographs and 40 noises (288 px) four times longer than the default; look for a lone frequency.

    The recipe is a film's default first frame with four times the steps, on the default layers. Figure: the
    largest share of a picture's power (mean left out, R, G and B together, as 8 bits show it) in a single frequency
    beyond the lowest 1/16 of the spectrum, over all pictures; and how many pictures are not finite.
    """
    photos, settings = bench.held_out(288), Settings()
    recipe = settings.dream
    kinds = sorted(NOISES)
    noises = [noise(kinds[i % len(kinds)], size=Size(288, 288), seed=bench.seed + i) for i in range(bench.noises)]
    starts = np.concatenate([photos, np.stack(noises)]) if noises else photos
    mix = bench.student.spec.mix
    dreamer = ChannelDreamer(
        bench.student,
        list(mix),
        scales=[recipe.octave_ratio**-k for k in reversed(range(recipe.octaves))],
        steps=4 * recipe.first_steps,
        step_size=settings.schedule("dream.step_size")(0.0),
        jitter=recipe.jitter,
        settings=recipe,
        seed=bench.seed,
    )
    weights = {layer: np.float32(weight) * whole(dreamer.channels[layer]) for layer, weight in mix.items()}
    dreams = np.concatenate([dreamer(starts[part], weights) for part in bench.batches(len(starts))])
    shares = np.array([lone_frequency(dream) for dream in dreams])
    captions = [f"{share:.2%}" for share in shares]
    bench.sheet("stripes", list(zip(dreams, captions, strict=True)), columns=10)
    broken = int(sum(not np.isfinite(dream).all() for dream in dreams))
    start_shares = np.array([lone_frequency(start) for start in starts])
    over = int((shares > 0.02).sum())
    return [
        number("largest share", 100 * float(shares.max()), unit="%", most=2.0),
        number("pictures over 2 %", over, unit=f"of {len(starts)}", most=0),
        number("median share", 100 * float(np.median(shares)), unit="%"),
        number("largest share before dreaming", 100 * float(start_shares.max()), unit="%"),
        number("pictures not finite", broken, unit=f"of {len(starts)}", most=0),
    ]


def lone_frequency(picture: Batch) -> float:
    """Return the largest part of a picture's power that one frequency beyond the lowest 1/16 holds.

    A frequency and its opposite are one. The lowest 1/16: not more than 1/32 cycle a pixel, the highest being 1/2.
    """
    pixels = from_8bit(to_8bit(picture)).astype(np.float64)
    power = (np.abs(np.fft.fft2(pixels - pixels.mean((0, 1)), axes=(0, 1))) ** 2).sum(-1)
    rows, columns = (np.fft.fftfreq(n) for n in power.shape)
    mirrored = np.roll(power[::-1, ::-1], (1, 1), (0, 1))  # the power at -f, equal to that at f
    itself = (rows[:, None] % 0.5 == 0) & (columns[None] % 0.5 == 0)  # f and -f are one and the same cell
    pair = np.where(itself, power, power + mirrored)
    high = np.hypot(rows[:, None], columns[None]) > 1 / 32
    return float(pair[high].max() / max(power.sum(), 1e-12))


def _literal(network: Network, layer: str, seed: int) -> ChannelDreamer:
    return ChannelDreamer(
        network,
        [layer],
        scales=(0.36, 0.5, 0.71, 1.0),
        steps=10,
        step_size=0.0125,  # 0.025 on [-1, 1]
        jitter=16,
        settings=AscentSettings(normalise="std"),
        seed=seed,
    )


def _centre(file: Path, side: int) -> Batch:
    found = cv2.imread(str(file))
    if found is None:
        raise BadInput(f"{file} is no picture that can be read.")
    pixels = found[..., ::-1]
    short = min(pixels.shape[:2])
    top, left = ((n - short) // 2 for n in pixels.shape[:2])
    square_ = np.ascontiguousarray(pixels[top : top + short, left : left + short])
    return from_8bit(cv2.resize(square_, (side, side), interpolation=cv2.INTER_AREA))


def _margin(student: Any, teacher: Any, side: int) -> int:
    """Find the largest margin that leaves the student's maps as large as the teacher's, so centred on them; else 0."""

    def shapes(model: Any, length: int) -> list[tuple[int, ...]]:
        found = model.compute_output_shape((1, length, length, 3))
        return [tuple(found[name][1:3]) for name in (TAPS if model is student else TAPS.values())]

    wanted = shapes(teacher, side)
    return max((m for m in range(side // 8) if shapes(student, side - 2 * m) == wanted), default=0)


def _resized(maps: Any, shape: Sequence[int]) -> Any:
    import tensorflow as tf

    maps = tf.cast(maps, tf.float32)
    return maps if tuple(maps.shape[1:3]) == tuple(shape) else tf.image.resize(maps, shape)


def _pearson(
    a: np.ndarray, b: np.ndarray, aa: np.ndarray, bb: np.ndarray, ab: np.ndarray, *, count: int
) -> tuple[np.ndarray, int]:
    """Return the correlations of the channels where `b` varies, and how many of them do not vary in `a`."""
    a_variance, b_variance = (aa - a * a / count) / count, (bb - b * b / count) / count
    used = b_variance > 1e-8 * b_variance.max()
    alive = a_variance > 1e-8 * a_variance.max()
    covariance = (ab - a * b / count) / count
    values = np.where(alive, covariance / np.sqrt(np.maximum(a_variance * b_variance, 1e-30)), 0.0)[used]
    return values, int((used & ~alive).sum())


def _mean_distance(points: np.ndarray) -> float:
    """Return the mean Euclidean distance over all pairs of `(N, features)`."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return float(distances[np.triu_indices(len(points), 1)].mean())


def measurement(measure: Callable[[Bench], list[Figure]]) -> Measurement:
    """Open both networks, as the options say, and measure them; the opened ones are kept for what follows."""

    def figures(options: argparse.Namespace) -> Iterator[Figure]:
        bench = opened(
            options.network_file,
            options.teacher_weights or options.shared / INCEPTION_WEIGHTS,
            options.precision,
            data=options.shared / "data",
            photos=options.photos,
            noises=options.noises,
            channels=options.channels,
            rounds=options.rounds,
            batch=options.batch,
            sheets=options.sheets,
            seed=options.seed,
        )
        tell(f"{measure.__name__}: {processor()}, {thread_count()} threads, {bench.student.precision}")
        for figure in measure(bench):
            yield replace(figure, name=f"{measure.__name__}: {figure.name}")

    return figures


@functools.cache
def opened(network_file: Path, teacher_weights: Path, precision: str, **more: Any) -> Bench:
    prepare_runtime()
    return Bench(
        student=load_network("dreamnet", weights=network_file, precision=precision),
        teacher=load_network("inception_v3", weights=teacher_weights, precision=precision),
        network_file=network_file,
        **more,
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network-file", type=Path, default=BUNDLED_WEIGHTS, help="the student (default: bundled)")
    parser.add_argument("--teacher-weights", type=Path, help="Inception v3's weights (default: those in SHARED)")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--photos", type=int, default=40, help="how many of the held-out photographs (default: all 40)")
    parser.add_argument("--noises", type=int, default=40, help="how many noises for stripes")
    parser.add_argument("--channels", type=int, default=40, help="how many channels for variety")
    parser.add_argument("--rounds", type=int, default=24, help="how many turns for speed")
    parser.add_argument("--batch", type=int, default=8, help="pictures worked on at once")
    parser.add_argument("--sheets", type=Path, metavar="FOLDER", help="write contact sheets of the dreams there")
    parser.add_argument("--seed", type=int, default=0)


BENCHMARK = Benchmark(
    name="dreamnet",
    about="Measure the bundled network against the teacher it was distilled from.",
    measurements={
        measure.__name__: measurement(measure) for measure in (speed, correlation, transfer, variety, stripes)
    },
    add_options=add_options,
    smallest={"photos": 1, "noises": 1, "channels": 2, "rounds": 1},
    quick=("correlation", "stripes"),
    needs_shared=("speed", "correlation", "transfer", "variety", "stripes"),
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
