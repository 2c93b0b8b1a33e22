"""What a frame costs beside its bare gradient steps, and what bfloat16 saves; measured inside one process."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tools import Figure, below, network_flags, tell, told
from renderer.frame import Frame, Size
from renderer.settings.schema import Settings, build

SIZE = Size(640, 360)


def settings_for(network: str, shared: Path, *, size: Size = SIZE, **more: Any) -> Settings:
    """Return the default film's settings with another network."""
    flags = list(network_flags(network, shared))
    given = dict(zip(flags[::2], flags[1::2], strict=True))
    keys = {"--network": "network.name", "--weights": "network.weights", "--layers": "dream.layers"}
    return build({"film.size": str(size), **{keys[flag]: value for flag, value in given.items()}, **more})


@dataclass(frozen=True)
class Cost:
    """Seconds of a frame: whole, its bare gradient steps, and the parts that can be told apart; medians."""

    frame: float
    bare: float
    parts: dict[str, float]


def frame_cost(settings: Settings, *, rounds: int = 5, block: int = 6) -> Cost:
    """Measure frames and their bare gradient steps in turn, in blocks.

    The bare steps are the network's objective and its gradient in the picture, compiled once for all sizes, called as
    often as a frame calls them, at its octaves' sizes: no jitter, no normalisation, no resizing. Frames come in blocks,
    so that the encoder of the store, a process beside us, has to keep up; before bare steps it is left to finish.
    """
    from renderer.films.film import ZoomFilm
    from renderer.films.first_frame import first_canvas
    from renderer.media.store.store import Store

    start = first_canvas(settings, None)
    parts = ZoomFilm(settings=settings, out=Path("film.mp4")).render_setup({})
    bare = bare_steps(parts.dreamer, start, settings)
    times: dict[str, list[float]] = defaultdict(list)
    steps: dict[Size, list[float]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(Path(folder), size=settings.film.size, rate=settings.rate, pixel_key="benchmark", meta={}) as store,
    ):
        dream, index = start, 1
        for round_ in range(rounds + 1):
            tell(f"  round {round_} of {rounds}")
            for _ in range(block):
                dream = _frame(parts, store, dream, index, float(settings.rate), times)
                index += 1
            began = time.perf_counter()
            store.commit({"dream": dream})
            times["commit"].append(time.perf_counter() - began)
            for _ in range(block):
                for size, step in bare:
                    began = time.perf_counter()
                    step()
                    steps[size].append(time.perf_counter() - began)
            if round_ == 0:  # to warm up
                times.clear()
                steps.clear()
    return _sum_up(times, steps, settings)


def bare_steps(dreamer: Any, canvas: Frame, settings: Settings) -> list[tuple[Size, Callable[[], Any]]]:
    """Return what a frame's gradient steps are, one entry each: the size, and a call that computes one and waits."""
    import tensorflow as tf

    from renderer.dreaming.ascent.octaves import pad_to, resize

    ascent = dreamer.ascents[-1]
    inputs, shape = ascent.inputs(), tf.TensorSpec((None, None, 3), tf.float32)
    gradient = tf.function(lambda seen: ascent.gradient(seen, inputs), input_signature=[shape])
    dream = settings.dream
    sizes = dreamer.pyramid.sizes(settings.film.size, smallest=dreamer.smallest)
    found: list[tuple[Size, Callable[[], Any]]] = []
    for size in sizes:
        picture = tf.constant(np.ascontiguousarray(pad_to(resize(canvas, size), dreamer.smallest)))
        found += [(size, partial(_compute, gradient, picture))] * dream.steps
    return found


def _compute(gradient: Any, picture: Any) -> Frame:
    found: Frame = gradient(picture)[1].numpy()
    return found


def _frame(parts: Any, store: Any, dream: Frame, index: int, rate: float, times: dict[str, list[float]]) -> Frame:
    """Make one frame as the loop does, and note what each part took."""
    marks = [time.perf_counter()]
    canvas = parts.scene.canvas(index, dream).picture
    marks.append(time.perf_counter())
    dream, _ = parts.dreamer(canvas, frame=index, seconds=index / rate)
    marks.append(time.perf_counter())
    dream = parts.governor(dream, parts.governor.own, frame=index)
    marks.append(time.perf_counter())
    store.append(dream)
    marks.append(time.perf_counter())
    for name, began, ended in zip(("camera", "dreamer", "governor", "append"), marks, marks[1:], strict=False):
        times[name].append(ended - began)
    times["frame"].append(marks[-1] - marks[0])
    return dream


def _sum_up(times: dict[str, list[float]], steps: dict[Size, list[float]], settings: Settings) -> Cost:
    from renderer.render.recurrence import COMMIT_SECONDS

    middle = {name: statistics.median(values) for name, values in times.items()}
    # A commit comes once in a while; a frame bears its share.
    middle["commit"] *= middle["frame"] / COMMIT_SECONDS
    frame = middle.pop("frame") + middle["commit"]
    bare = sum(settings.dream.steps * statistics.median(values) for values in steps.values())
    middle["dreamer around the steps"] = middle.pop("dreamer") - bare
    return Cost(frame=frame, bare=bare, parts=middle)


def overhead(shared: Path, networks: Sequence[str], *, rounds: int, size: Size) -> Iterator[Figure]:
    """Measure everything around the network as a part of a frame."""
    for network in networks:
        tell(f"overhead: {network}, {size}")
        cost = frame_cost(settings_for(network, shared, size=size), rounds=rounds)
        name = "inception_v3 mixed4" if network == "inception_v3" else network
        asked = 1.20 if network == "inception_v3" else 1.40
        yield below(f"{name}: whole frame / its bare steps", cost.frame / cost.bare, asked)
        yield told(f"{name}: around the network, part of a frame", f"{1 - cost.bare / cost.frame:.1%}")
        yield told(f"{name}: a frame", f"{cost.frame * 1e3:.0f} ms, bare {cost.bare * 1e3:.0f} ms")
        for part, seconds in cost.parts.items():
            yield told(f"{name}:   {part}", f"{seconds * 1e3:.1f} ms, {seconds / cost.frame:.1%}")


def precision(shared: Path, *, size: Size, repeats: int = 12) -> Iterator[Figure]:
    """Measure one gradient step of Inception v3 `mixed4` at 640x360 in bfloat16 against float32, in turn."""
    from renderer import runtime

    runtime.prepare()
    from renderer.dreaming.networks.network import best_precision

    if best_precision() != "bfloat16":
        yield Figure("inception_v3 mixed4: step in bfloat16 / in float32", "at most 0.75", "no bfloat16 here", None)
        return
    tell(f"precision: inception_v3 mixed4, {size}")
    steps = {
        kind: _one_step(settings_for("inception_v3", shared, size=size, **{"network.precision": kind}))
        for kind in KINDS
    }
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for repeat in range(repeats + 2):
        for kind, step in steps.items():
            began = time.perf_counter()
            step()
            if repeat >= 2:
                times[kind].append(time.perf_counter() - began)
    fast, plain = (statistics.median(times[kind]) for kind in KINDS)
    yield below("inception_v3 mixed4: step in bfloat16 / in float32", fast / plain, 0.75)
    yield told("inception_v3 mixed4: a step", f"{fast * 1e3:.0f} ms, float32 {plain * 1e3:.0f} ms")


KINDS = ("bfloat16", "float32")


def _one_step(settings: Settings) -> Callable[[], Any]:
    from renderer.films.film import ZoomFilm
    from renderer.films.first_frame import first_canvas

    canvas = first_canvas(settings, None)
    ascent = ZoomFilm(settings=settings, out=Path("film.mp4")).render_setup({}).dreamer.ascents[-1]
    shifts, sizes = np.array([[3, 5]], np.int32), np.array([0.01], np.float32)
    return lambda: ascent.ascend(canvas, shifts=shifts, sizes=sizes)
