"""Figures of the ways of dreaming: do they reach what they inputs at, and what do they cost.

python -m benchmarks.objectives class|guide|style|cost|all --shared ../shared [--pictures FOLDER]
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

from benchmarks.tools import INCEPTION_WEIGHTS, Figure, show, tell
from renderer import runtime
from renderer.films.first_frame import first_canvas, fit
from renderer.films.guides import Guides, OnePicture, Reference
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
CLASSES = 20
GUIDED = {"inception_v3": "mixed4", "dreamnet": "objects"}
STYLED = {"inception_v3": "mixed0,mixed1,mixed2,mixed3", "dreamnet": "edges,textures,patterns"}

Keep = Callable[[str, Sequence[Frame]], None]
"""Is given a name and pictures to be seen side by side."""


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


def leading(**pictures: Frame) -> Guides:
    """Let pictures lead, as if they came from files."""
    return Guides(**{name: Reference(OnePicture(picture), mix=None, rate=24.0) for name, picture in pictures.items()})


def dream(dreamer: Dreamer, canvas: Frame) -> Frame:
    """Dream a still, and return it as it would be read again from a file."""
    return from_8bit(to_8bit(dreamer(canvas, frame=0, seconds=0.0)[0]))


def photos(shared: Path, numbers: Sequence[int]) -> list[Frame]:
    """Read photographs by their place in sorted order, brought to `SIZE`."""
    files = sorted((shared / "data" / "photos").glob("*.jpg"))
    return [fit(read_image(files[number]), SIZE, how="cover") for number in numbers]


def classes(shared: Path, keep: Keep) -> Iterator[Figure]:
    """Dream classes from grey on SqueezeNet, and ask it what it sees."""
    from renderer.dreaming.networks.classes import imagenet_names

    wanted = [1000 * k // CLASSES for k in range(CLASSES)]
    right, missed, pictures = 0, [], []
    for number in wanted:
        settings = settings_for(
            "squeezenet", shared, "film.size=227x227", f"dream.classes={{{number}=1}}", presets=["apparition"]
        )
        network, dreamer = open_dreamer(settings, still=True)
        pictures.append(dream(dreamer, first_canvas(settings, None)))
        scores = network.activations((network.head,))(pictures[-1][None])[network.head].numpy()[0]
        right += (found := int(scores.argmax())) == number
        if found != number:
            missed.append(f"{imagenet_names()[number]} is seen as {imagenet_names()[found]}")
        tell(f"  {imagenet_names()[number]}: {imagenet_names()[found]}")
    keep("classes", pictures)
    yield Figure("squeezenet: classes from grey that it then sees", "18 of 20", f"{right} of {CLASSES}", right >= 18)
    for line in missed:
        yield Figure(f"  {line}", "-", "", None)


def guided(shared: Path, keep: Keep, networks: Sequence[str]) -> Iterator[Figure]:
    """Dream photographs with others as guides, and compare their mean features before and after."""
    for network, layer in ((name, GUIDED[name]) for name in networks):
        rises, pictures = [], []
        for pair in range(10):
            source, guide = photos(shared, [25 * pair + 7, 977 - 31 * pair])
            settings = settings_for(network, shared, f"dream.layers={layer}", presets=["kinship"])
            opened, dreamer = open_dreamer(settings, still=True, guides=leading(guide=guide))
            dreamed = dream(dreamer, source)
            before, after = (cosine(opened, layer, one, guide) for one in (source, dreamed))
            rises.append((before, after))
            pictures += [source, guide, dreamed]
            tell(f"  {network} pair {pair}: {before:.3f} -> {after:.3f}")
        keep(f"guide-{network}", pictures)
        risen = sum(after > before for before, after in rises)
        yield Figure(
            f"{network} {layer}: pairs that come nearer to the guide", "10 of 10", f"{risen} of 10", risen == 10
        )
        means = " -> ".join(f"{np.mean(values):.3f}" for values in zip(*rises, strict=True))
        yield Figure(f"{network} {layer}: cosine to the guide, mean", "-", means, None)


def cosine(network: Network, layer: str, one: Frame, other: Frame) -> float:
    """Return the cosine between the mean features of two pictures."""
    model = network.activations((layer,))
    a, b = (model(picture[None])[layer].numpy().astype(np.float64).mean((0, 1, 2)) for picture in (one, other))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def styled(shared: Path, keep: Keep, networks: Sequence[str]) -> Iterator[Figure]:
    """Give photographs the style of others in 60 steps, and compare Gram matrices before and after."""
    for network, layers in ((name, STYLED[name]) for name in networks):
        falls, pictures = [], []
        for pair in range(5):
            source, style = photos(shared, [40 * pair + 3, 971 - 77 * pair])
            settings = settings_for(network, shared, f"dream.layers={layers}", presets=["brushwork"])
            opened, dreamer = open_dreamer(settings, still=True, guides=leading(style=style))
            dreamed = dream(dreamer, source)
            before, after = (gram_distance(opened, layers.split(","), one, style) for one in (source, dreamed))
            falls.append(before / after)
            pictures += [source, style, dreamed]
            tell(f"  {network} pair {pair}: {before:.4g} -> {after:.4g}, {falls[-1]:.1f} x")
        keep(f"style-{network}", pictures)
        good = sum(fall >= 5 for fall in falls)
        steps = settings.dream.octaves * settings.dream.first_steps
        name = f"{network}: pairs whose Gram distance falls 5 x in {steps} steps"
        yield Figure(name, "5 of 5", f"{good} of 5, {min(falls):.1f} x at least", good == 5 and steps <= 60)


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


def costs(shared: Path, networks: Sequence[str], *, rounds: int = 9) -> Iterator[Figure]:
    """Measure a gradient step of every objective against one of `square`, in turn, at 320x240."""
    runtime.prepare()
    from renderer.dreaming.objectives.objective_terms import OBJECTIVES

    canvas, other = photos(shared, [7, 400])
    for network, layer in ((name, GUIDED[name]) for name in networks):
        steps = {}
        for kind in (kind for kind in OBJECTIVES if kind != "logit"):  # of a head, which is another network
            steps[kind] = one_step(settings_for(network, shared, f"dream.layers={kind}@{layer}"), kind, canvas, other)
        times: dict[str, list[float]] = {kind: [] for kind in steps}
        for round_ in range(rounds + 1):
            for kind, step in steps.items():
                began = time.perf_counter()
                step()
                if round_:
                    times[kind].append(time.perf_counter() - began)
        plain = statistics.median(times["square"])
        for kind, taken in times.items():
            ratio = statistics.median(a / b for a, b in zip(taken, times["square"], strict=True))
            yield Figure(f"{network} {layer}: a step of {kind}, part of one of square", "-", f"{ratio:.2f}", None)
        yield Figure(f"{network} {layer}: a step of square at {SIZE}", "-", f"{plain * 1e3:.0f} ms", None)


def one_step(settings: Settings, kind: str, canvas: Frame, other: Frame) -> Callable[[], Any]:
    """Return a call that takes one step of an objective."""
    from renderer.dreaming.objectives.objective_terms import OBJECTIVES
    from renderer.dreaming.objectives.references import InputsBuilder

    name = OBJECTIVES[kind].compares_with
    led = {name: other} if name in ("guide", "style") else {}
    _, dreamer = open_dreamer(settings, still=True, guides=leading(**led))
    ascent = dreamer.ascents[-1]
    pictures = dict.fromkeys(led, lambda _: other)
    inputs = InputsBuilder(ascent.objective, ascent.evaluator, pictures=pictures)(canvas)
    shifts, sizes = np.array([[3, 5]], np.int32), np.array([0.01], np.float32)
    return lambda: ascent.ascend(canvas, shifts=shifts, sizes=sizes, inputs=inputs)


def keeper(folder: Path | None) -> Keep:
    """Return what writes pictures into a folder, each kind on a sheet, three or five a row."""

    def keep(name: str, pictures: Sequence[Frame]) -> None:
        if folder is None:
            return
        columns = 5 if len(pictures) % 3 else 3
        rows = [np.hstack(pictures[at : at + columns]) for at in range(0, len(pictures), columns)]
        folder.mkdir(parents=True, exist_ok=True)
        write_image(np.vstack(rows), folder / f"{name}.png", overwrite=True)

    return keep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["class", "guide", "style", "cost", "all"])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="the folder with real data")
    parser.add_argument("--networks", nargs="+", default=["inception_v3", "dreamnet"], choices=list(GUIDED))
    parser.add_argument("--pictures", type=Path, default=None, help="a folder to keep what was dreamed in")
    given = parser.parse_args()
    keep = keeper(given.pictures)
    figures = {
        "class": lambda: classes(given.shared, keep),
        "guide": lambda: guided(given.shared, keep, given.networks),
        "style": lambda: styled(given.shared, keep, given.networks),
        "cost": lambda: costs(given.shared, given.networks),
    }
    chosen = list(figures) if given.what == "all" else [given.what]
    good = [show(figures[name]()) for name in chosen]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
