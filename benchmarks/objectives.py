"""Measure whether the ways of dreaming reach what they aim at: `python -m benchmarks.objectives MEASUREMENT`.

See README.md here.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.tools import INCEPTION_WEIGHTS, Benchmark, Figure, comma_separated, tell, told
from renderer import runtime
from renderer.films.first_frame import first_canvas, fit
from renderer.films.render_setup import open_dreamer
from renderer.frame import Frame, Size, from_8bit, to_8bit
from renderer.media.images import read_image, write_image
from renderer.settings.presets import resolve
from renderer.settings.schema import Settings

if TYPE_CHECKING:
    from renderer.dreaming.ascent.dreamer import Dreamer
    from renderer.dreaming.networks.network import Network

SQUEEZENET_WEIGHTS = Path("data/weights/squeezenet_v1.0_imagenet.npz")
SIZE = Size(320, 240)
GUIDED = {"inception_v3": "mixed4", "dreamnet": "objects"}
STYLED = {"inception_v3": "mixed0,mixed1,mixed2,mixed3", "dreamnet": "edges,textures,patterns"}


def network_sets(network: str, shared: Path) -> list[str]:
    """Return the `--set` values that choose a network with real weights."""
    files = {"inception_v3": INCEPTION_WEIGHTS, "squeezenet": SQUEEZENET_WEIGHTS}
    chosen = [f"network.name={network}"]
    if network in files:
        path = (shared / files[network]).resolve()
        if not path.is_file():
            raise SystemExit(f"{path} is not there: say with --shared where the folder with real weights is")
        chosen.append(f"network.weights={path}")
    return chosen


def settings_for(network: str, shared: Path, *sets: str, presets: Sequence[str] = ()) -> Settings:
    """Return the settings of a still on a network, as the command line would make them."""
    return resolve(presets=presets, sets=[f"film.size={SIZE}", *network_sets(network, shared), *sets]).settings


def leading(**pictures: Frame) -> dict[str, Callable[[float], Frame]]:
    """Let pictures lead, as if they came from files."""
    return {name: lambda _, picture=picture: picture for name, picture in pictures.items()}  # type: ignore[misc]


def dream(dreamer: Dreamer, canvas: Frame) -> Frame:
    """Dream a still, and return it as it would be read again from a file."""
    return from_8bit(to_8bit(dreamer(canvas, frame=0, seconds=0.0)[0]))


def photos(shared: Path, numbers: Sequence[int]) -> list[Frame]:
    """Read photographs by their place in sorted order, brought to `SIZE`."""
    files = sorted((shared / "data" / "photos").glob("*.jpg"))
    return [fit(read_image(files[number]), SIZE, how="cover") for number in numbers]


def classes(options: argparse.Namespace) -> Iterator[Figure]:
    """Dream classes from grey on SqueezeNet, and ask it what it sees."""
    from renderer.dreaming.networks.classes import imagenet_names

    wanted = [1000 * k // options.classes for k in range(options.classes)]
    right, missed, pictures = 0, [], []
    for number in wanted:
        settings = settings_for(
            "squeezenet", options.shared, "film.size=227x227", f"dream.of={{{number}=1}}", presets=["apparition"]
        )
        network, dreamer = open_dreamer(settings, kind="still")
        pictures.append(dream(dreamer, first_canvas(settings, None)))
        scores = network.activations((network.head,))(pictures[-1][None])[network.head].numpy()[0]
        right += (found := int(scores.argmax())) == number
        if found != number:
            missed.append(f"{imagenet_names()[number]} is seen as {imagenet_names()[found]}")
        tell(f"  {imagenet_names()[number]}: {imagenet_names()[found]}")
    keep("classes", pictures, options.pictures)
    yield Figure(
        "squeezenet: classes from grey that it then sees",
        "9 of 10",
        f"{right} of {len(wanted)}",
        right >= 0.9 * len(wanted),
    )
    for line in missed:
        yield told(f"  {line}", "")


def guided(options: argparse.Namespace) -> Iterator[Figure]:
    """Dream photographs with others as guides, and compare their mean features before and after."""
    for network, layer in ((name, GUIDED[name]) for name in options.networks):
        rises, pictures = [], []
        for pair in range(options.pairs):
            source, guide = photos(options.shared, [25 * pair + 7, 977 - 31 * pair])
            settings = settings_for(network, options.shared, f"dream.layers={layer}", presets=["kinship"])
            opened, dreamer = open_dreamer(settings, kind="still", pictures=leading(guide=guide))
            dreamed = dream(dreamer, source)
            before, after = (cosine(opened, layer, one, guide) for one in (source, dreamed))
            rises.append((before, after))
            pictures += [source, guide, dreamed]
            tell(f"  {network} pair {pair}: {before:.3f} -> {after:.3f}")
        keep(f"guide-{network}", pictures, options.pictures)
        risen = sum(after > before for before, after in rises)
        name = f"{network} {layer}: pairs that come nearer to the guide"
        yield Figure(name, "all", f"{risen} of {len(rises)}", risen == len(rises))
        means = " -> ".join(f"{np.mean(values):.3f}" for values in zip(*rises, strict=True))
        yield told(f"{network} {layer}: cosine to the guide, mean", means)


def cosine(network: Network, layer: str, one: Frame, other: Frame) -> float:
    """Return the cosine between the mean features of two pictures."""
    model = network.activations((layer,))
    a, b = (model(picture[None])[layer].numpy().astype(np.float64).mean((0, 1, 2)) for picture in (one, other))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def styled(options: argparse.Namespace) -> Iterator[Figure]:
    """Give photographs the style of others in 60 steps, and compare Gram matrices before and after."""
    for network, layers in ((name, STYLED[name]) for name in options.networks):
        falls, pictures = [], []
        for pair in range(options.styles):
            source, style = photos(options.shared, [40 * pair + 3, 971 - 77 * pair])
            settings = settings_for(network, options.shared, f"dream.layers={layers}", presets=["brushwork"])
            opened, dreamer = open_dreamer(settings, kind="still", pictures=leading(style=style))
            dreamed = dream(dreamer, source)
            before, after = (gram_distance(opened, layers.split(","), one, style) for one in (source, dreamed))
            falls.append(before / after)
            pictures += [source, style, dreamed]
            tell(f"  {network} pair {pair}: {before:.4g} -> {after:.4g}, {falls[-1]:.1f} x")
        keep(f"style-{network}", pictures, options.pictures)
        good = sum(fall >= 5 for fall in falls)
        steps = settings.dream.octaves * settings.dream.first_steps
        name = f"{network}: pairs whose Gram distance falls 5 x in {steps} steps"
        measured = f"{good} of {len(falls)}, {min(falls):.1f} x at least"
        yield Figure(name, "all", measured, good == len(falls) and steps <= 60)


def gram_distance(network: Network, layers: Sequence[str], one: Frame, other: Frame) -> float:
    """Return the sum over layers of ||G - G_style||^2 / (2N)^2 (Gatys et al.), G on the mean of the positions."""
    model = network.activations(layers)
    seen, wanted = (model(picture[None]) for picture in (one, other))

    def gram(features: Any) -> np.ndarray:
        flat = features.numpy().astype(np.float64).reshape(-1, features.shape[-1])
        return flat.T @ flat / len(flat)

    return sum(
        float(((gram(seen[layer]) - gram(wanted[layer])) ** 2).sum() / (2 * seen[layer].shape[-1]) ** 2)
        for layer in layers
    )


def costs(options: argparse.Namespace) -> Iterator[Figure]:
    """Measure a gradient step of every objective against one of `square`, in turn, at 320x240."""
    runtime.prepare()
    from renderer.dreaming.objectives.objective_terms import OBJECTIVES

    canvas, other = photos(options.shared, [7, 400])
    for network, layer in ((name, GUIDED[name]) for name in options.networks):
        steps = {}
        for kind in (kind for kind in OBJECTIVES if kind != "logit"):  # of a head, which is another network
            steps[kind] = one_step(
                settings_for(network, options.shared, f"dream.layers={kind}@{layer}"), kind, canvas, other
            )
        times: dict[str, list[float]] = {kind: [] for kind in steps}
        for round_ in range(options.rounds + 1):
            for kind, step in steps.items():
                began = time.perf_counter()
                step()
                if round_:
                    times[kind].append(time.perf_counter() - began)
        plain = statistics.median(times["square"])
        for kind, taken in times.items():
            ratio = statistics.median(a / b for a, b in zip(taken, times["square"], strict=True))
            yield told(f"{network} {layer}: a step of {kind}, part of one of square", f"{ratio:.2f}")
        yield told(f"{network} {layer}: a step of square at {SIZE}", f"{plain * 1e3:.0f} ms")


def one_step(settings: Settings, kind: str, canvas: Frame, other: Frame) -> Callable[[], Any]:
    """Return a call that takes one step of an objective."""
    from renderer.dreaming.objectives.objective_terms import OBJECTIVES
    from renderer.dreaming.objectives.references import InputsBuilder

    name = OBJECTIVES[kind].compares_with
    led = {name: other} if name in ("guide", "style") else {}
    pictures = leading(**led)
    _, dreamer = open_dreamer(settings, kind="still", pictures=pictures)
    ascent = dreamer.ascents[-1]
    inputs = InputsBuilder(ascent.objective, ascent.evaluator, pictures=pictures)(canvas)
    shifts, sizes = np.array([[3, 5]], np.int32), np.array([0.01], np.float32)
    return lambda: ascent.ascend(canvas, shifts=shifts, sizes=sizes, inputs=inputs)


def keep(name: str, pictures: Sequence[Frame], folder: Path | None) -> None:
    """Write pictures on a sheet, three or five a row, into a folder if there is one."""
    if folder is None:
        return
    columns = 5 if len(pictures) % 3 else 3
    rows = [np.hstack(pictures[at : at + columns]) for at in range(0, len(pictures), columns)]
    folder.mkdir(parents=True, exist_ok=True)
    write_image(np.vstack(rows), folder / f"{name}.png", overwrite=True)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--networks", type=comma_separated, default=["inception_v3", "dreamnet"])
    parser.add_argument("--classes", type=int, default=20, help="class: how many, evenly over all")
    parser.add_argument("--pairs", type=int, default=10, help="guide: how many photographs and guides")
    parser.add_argument("--styles", type=int, default=5, help="style: how many photographs and styles")
    parser.add_argument("--rounds", type=int, default=9, help="cost: how often each step is taken")
    parser.add_argument("--pictures", type=Path, default=None, help="a folder to keep what was dreamed in")


BENCHMARK = Benchmark(
    name="objectives",
    about="Measure whether the ways of dreaming reach what they aim at, and what they cost.",
    measurements={"class": classes, "guide": guided, "style": styled, "cost": costs},
    add_options=add_options,
    smallest={"networks": ["dreamnet"], "classes": 1, "pairs": 1, "styles": 1, "rounds": 1},
    quick=("class", "guide"),
    needs_shared=("class", "guide", "style", "cost"),
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
