"""Measure whether what is dreamed of can be seen: `python -m benchmarks.words MEASUREMENT`. See README.md here."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.objectives import SQUEEZENET_WEIGHTS
from benchmarks.tools import INCEPTION_WEIGHTS, Benchmark, Figure, Kept, tell, told
from renderer.frame import Frame, Size, from_8bit, to_8bit

if TYPE_CHECKING:
    from renderer.dreaming.networks.network import Network
    from renderer.settings.presets import Resolved

JUDGE_LAYER = "mixed8"
"""The deepest layer of Inception v3 whose weights are real; its mean features are what photographs are compared by."""

NEAREST = 10
"""Photographs that have a say in the kind of a picture, each with how alike it is."""

ASKED = {"still": (50, 75), "zoom": (40, 65)}
"""Of a hundred words, how many SqueezeNet should see first, and among five."""

USUAL = {"still": ["vision"], "zoom": ["wish"]}
"""The look of each kind of film, where no other is asked for."""

KIND_ASKED = 60
"""Of a hundred words, how many the photographs should put into the right one of the twenty kinds."""


class Dreamed(NamedTuple):
    """A word's class and what was dreamed of it, as it would be read from a file."""

    number: int
    frame: Frame


def stills(options: argparse.Namespace) -> Iterator[Figure]:
    """Dream stills of words, and ask what they show."""
    yield from _judged("still", options, _still)


def zooms(options: argparse.Namespace) -> Iterator[Figure]:
    """Dream zooms of words, and ask what their frame `--frame` shows."""
    yield from _judged("zoom", options, _zoom)


def _judged(
    kind: str, options: argparse.Namespace, dream: Callable[[Resolved, argparse.Namespace], Frame]
) -> Iterator[Figure]:
    from renderer.dreaming.networks.classes import imagenet_names, words
    from renderer.dreaming.networks.network import load_network
    from renderer.inspect.classify import classifier
    from renderer.runtime import prepare

    prepare()
    judge = load_network("squeezenet", weights=_weights(options, SQUEEZENET_WEIGHTS), precision="float32", head=True)
    scores_of, names, table = classifier(judge), imagenet_names(), words()
    dreamed, ranks = [], []
    for number in (1000 * k // options.words for k in range(options.words)):
        frame = from_8bit(to_8bit(np.clip(dream(_resolved(kind, number, options), options), 0, 1)))
        scores = scores_of(frame)
        ranks.append(int((scores > scores[number]).sum()) if scores[number] > 0 else len(names))
        dreamed.append(Dreamed(number, frame))
        tell(f"  {names[number]}: {ranks[-1] + 1}, first {names[int(scores.argmax())]}")
    first, among = (sum(rank < most for rank in ranks) for most in (1, 5))
    title = f"{options.network}, {kind}s"
    for what, found, of_hundred in zip(("first", "among five"), (first, among), ASKED[kind], strict=True):
        yield _share(f"{title}: SqueezeNet sees the word {what}", found, len(dreamed), of_hundred)
    kinds = [table.kind(one.number) for one in dreamed]
    guesses = ["?"] * len(dreamed)
    if (options.shared / INCEPTION_WEIGHTS).is_file() and not options.no_photographs:
        photographs = Photographs(options)
        guesses = photographs.kinds_of([one.frame for one in dreamed])
        yield told("photographs themselves: kind by their nearest", f"{photographs.itself():.0%}")
        right = sum(guess == own for guess, own in zip(guesses, kinds, strict=True))
        yield _share(f"{title}: nearest photographs are of its kind", right, len(dreamed), KIND_ASKED)
    if options.sheet is not None:
        _draw(options.sheet, kind, dreamed, ranks, guesses, options)


def _share(name: str, found: int, count: int, of_hundred: int) -> Figure:
    return Figure(name, f"{of_hundred} of 100", f"{found} of {count}", found * 100 >= of_hundred * count)


def _resolved(kind: str, number: int, options: argparse.Namespace) -> Resolved:
    from renderer.settings.kinds import KINDS
    from renderer.settings.presets import resolve

    weights = options.weights
    if weights is None and options.network == "squeezenet":
        weights = _weights(options, SQUEEZENET_WEIGHTS)
    sets = [f"network.name={options.network}", f"film.size={options.size}", f"dream.of={number}", *options.set]
    sets += [f"network.weights={weights}"] if weights is not None else []
    sets += [f"film.frames={options.frame + 1}"] if kind == "zoom" else []
    presets = [options.preset] if options.preset else USUAL[kind]
    return resolve(presets=presets, sets=sets, defaults=KINDS[kind].defaults, command=kind)


def _still(resolved: Resolved, options: argparse.Namespace) -> Frame:
    del options
    from renderer.films.first_frame import first_canvas
    from renderer.films.render_setup import open_dreamer

    _, dreamer = open_dreamer(resolved.settings, kind="still")
    return dreamer(first_canvas(resolved.settings, None), frame=0, seconds=0.0)[0]


def _zoom(resolved: Resolved, options: argparse.Namespace) -> Frame:
    from renderer.films.film import ZoomFilm
    from renderer.render.recurrence import render

    settings = resolved.settings
    setup, kept = ZoomFilm(settings=settings, out=Path("zoom.mp4")).render_setup({}), Last(settings.film.size)
    render(
        setup.scene,
        setup.dreamer,
        kept,
        governor=setup.governor,
        frames=round(options.frame / settings.rate * settings.dream_rate) + 1,  # the dream that is shown then
        rate=settings.dream_rate,
        report=lambda _: None,
        size=settings.dream_size,
        detail=setup.detail,
    )
    setup.close()
    return from_8bit(kept.frames[-1])


class Last(Kept):
    """Keeps how many frames there were, and the last of them."""

    def append(self, frame: Frame) -> None:
        self.frames[-1:] = [self.frames[-1][:1, :1]] if self.frames else []
        super().append(frame)


class Photographs:
    """The second judge: the photographs that a picture is most like, to a network that no training of heads saw.

    Features are the mean activations of a layer of Inception v3 over the square in the middle, each channel
    standardised over the photographs; what is compared is the angle between them.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        from renderer.dreaming.networks.classes import words
        from renderer.dreaming.networks.network import load_network
        from renderer.inspect.nearest_images import BATCH, looker, square
        from renderer.media.images import read_image

        network: Network = load_network("inception_v3", weights=_weights(options, INCEPTION_WEIGHTS))
        self._look, self._square = looker(network, JUDGE_LAYER), lambda frame: square(frame, network)
        files = sorted((options.shared / "data" / "photos").glob("*.jpg"))[:: options.every]
        tell(f"  looking at {len(files)} photographs")
        features = np.concatenate(
            [
                self._look([self._square(read_image(file)) for file in files[at : at + BATCH]])
                for at in range(0, len(files), BATCH)
            ]
        )
        self._mean, self._deviation = features.mean(0), np.maximum(features.std(0), 1e-6)
        self._known, table = self._direction(features), words()
        self._kinds = [table.kind(number) for number in range(0, 1000, options.every)]

    def kinds_of(self, frames: Sequence[Frame]) -> list[str]:
        """Name the kind that each picture's nearest photographs are of."""
        return [self._vote(self._known @ self._direction(self._look([self._square(frame)]))[0]) for frame in frames]

    def itself(self) -> float:
        """Return for how many of the photographs, each left out in turn, the others name the kind."""
        alike = self._known @ self._known.T - 2 * np.eye(len(self._known))
        return float(np.mean([self._vote(row) == kind for row, kind in zip(alike, self._kinds, strict=True)]))

    def _direction(self, features: np.ndarray) -> np.ndarray:
        standard = (features - self._mean) / self._deviation
        return standard / np.linalg.norm(standard, axis=1, keepdims=True)

    def _vote(self, alike: np.ndarray) -> str:
        votes: dict[str, float] = {}
        for index in np.argsort(-alike, kind="stable")[:NEAREST]:
            votes[self._kinds[index]] = votes.get(self._kinds[index], 0.0) + max(0.0, float(alike[index]))
        return max(votes, key=lambda kind: votes[kind])


def _draw(
    sheet: Path,
    kind: str,
    dreamed: Sequence[Dreamed],
    ranks: Sequence[int],
    guesses: Sequence[str],
    options: argparse.Namespace,
) -> None:
    """Draw all of it, misses included: under each its word, the place that it was given, and the kind of the second."""
    from renderer.dreaming.networks.classes import imagenet_names
    from renderer.media.images import write_image
    from renderer.media.sheets import Section, contact_sheet

    tiles = [
        (one.frame, f"{imagenet_names()[one.number]}: {rank + 1 if rank < 1000 else '-'}, {guess}")
        for one, rank, guess in zip(dreamed, ranks, guesses, strict=True)
    ]
    note = "the word, its place among SqueezeNet's thousand, the kind of the nearest photographs"
    page = contact_sheet(
        [Section(tiles=tiles)], columns=10, cell=Size(192, 144), title=f"{options.network}, {kind}s", note=note
    )
    path = sheet.with_stem(f"{sheet.stem}-{kind}s")
    write_image(page, path, overwrite=True)
    tell(f"  {path}")


def _weights(options: argparse.Namespace, relative: Path) -> Path:
    path = (options.shared / relative).resolve()
    if not path.is_file():
        raise SystemExit(f"{path} is not there: say with --shared where the folder with real weights is")
    return path


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--network", default="dreamnet", help="that dreams: dreamnet, squeezenet, or another with a head"
    )
    parser.add_argument("--weights", type=Path, default=None, help="weights file in place of the network's own")
    parser.add_argument("--words", type=int, default=100, help="how many, evenly over all")
    parser.add_argument("--size", type=Size.parse, default=Size(320, 240))
    parser.add_argument("--frame", type=int, default=72, help="of a zoom, that is judged")
    parser.add_argument("--preset", default=None, help="in place of the usual look")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting")
    parser.add_argument(
        "--sheet", type=Path, default=None, help="a picture to draw all on; its name gets the kind of film"
    )
    parser.add_argument("--no-photographs", action="store_true", help="leave the second judge out")
    parser.add_argument("--every", type=int, default=1, help="of the photographs, each so-manieth")


BENCHMARK = Benchmark(
    name="words",
    about="Measure whether what is dreamed of can be seen.",
    measurements={"still": stills, "zoom": zooms},
    add_options=add_options,
    smallest={
        "network": "squeezenet",
        "words": 1,
        "size": Size(96, 72),
        "frame": 1,
        "every": 200,
        "set": ["dream.first_steps=2", "dream.octaves=1"],
    },
    quick=("still",),
    needs_shared=("still", "zoom"),
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
