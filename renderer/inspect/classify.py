"""What a network with a head says a picture shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from renderer.dreaming.networks.network import Network
from renderer.errors import UsageError
from renderer.films.first_frame import fit
from renderer.frame import Frame, Size
from renderer.media.images import read_image


@dataclass(frozen=True, kw_only=True)
class Guess:
    """One class that a picture may show.

    Attributes:
        number: of the class, from 0.
        name: of the class; its number where it has none.
        score: what the network's head gives it, before any softmax.
        probability: the softmax of all scores, at this class.
    """

    number: int
    name: str
    score: float
    probability: float


def classifier(network: Network) -> Callable[[Frame], NDArray[np.float32]]:
    """Return a function from a frame `(H, W, 3)` to the class scores `(classes,)` of the square in its middle.

    The square is brought to the size that the network was made for.

    Raises:
        UsageError: the network has no head.
    """
    if network.head is None:
        network.class_numbers(0)  # says so
    head, side = str(network.head), max(network.side, network.spec.smallest)
    model = network.activations((head,))

    def scores(frame: Frame) -> NDArray[np.float32]:
        square = np.clip(fit(frame, Size(side, side), how="cover"), 0, 1)
        return np.asarray(model(square[None], training=False)[head], np.float32)[0]

    return scores


def classify(network: Network, paths: Iterable[Path], *, top: int = 5) -> Iterator[tuple[Path, list[Guess]]]:
    """Say what pictures show, one after the other.

    Args:
        network: with a head.
        paths: of the pictures.
        top: how many classes to name, the likeliest first.

    Raises:
        UsageError: the network has no head, or `top` is less than 1.
        BadInput: a picture cannot be read.
    """
    if top < 1:
        raise UsageError(f"--top is {top}; it must be 1 or more.")
    scores_of, names = classifier(network), network.class_names
    for path in paths:
        scores = scores_of(read_image(path)).astype(np.float64)
        chances = np.exp(scores - scores.max())
        chances /= chances.sum()
        yield (
            path,
            [
                Guess(
                    number=int(number),
                    name=names[number] if names else str(number),
                    score=float(scores[number]),
                    probability=float(chances[number]),
                )
                for number in np.argsort(-scores, kind="stable")[:top]
            ],
        )
