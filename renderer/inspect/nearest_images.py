"""The pictures of a folder that look most like one picture, to a layer of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from renderer.dreaming.networks.network import Network
from renderer.errors import BadInput, UsageError, nearest
from renderer.files import is_clutter
from renderer.films.first_frame import fit
from renderer.frame import Frame, Pixels, Size
from renderer.media.images import read_image
from renderer.media.sheets import Section, contact_sheet

BATCH = 16
"""Pictures that are looked at together."""

TILE = 224
"""Side of a picture on the sheet, pixels."""

Features = NDArray[np.float32]
"""Of pictures, `(N, channels)`."""


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A picture that was found, and how alike it is: 1 for the same, about 0 for unrelated ones."""

    path: Path
    similarity: float


def similar(
    network: Network,
    picture: Path,
    folder: Path,
    *,
    layer: str | None = None,
    top: int = 10,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[list[Neighbour], list[tuple[Path, str]]]:
    """Find the pictures of a folder that are most like one picture.

    A picture's features are the mean activations of a layer's channels over the square in its middle. Each channel is
    standardised by its mean and deviation over all pictures looked at, so that channels that are always high say
    nothing; what is compared is the angle between the rest (cosine).

    Args:
        network: looks.
        picture: to compare with; where it lies in the folder itself, it is left out there.
        folder: the files in it are looked at, not those in folders inside.
        layer: whose features; the last that the network dreams with without it.
        top: how many to find.
        report: told how many files of how many are looked at.

    Returns:
        The pictures that were found, the most alike first; and the files that were passed over, each with what is wrong
        with it.

    Raises:
        UsageError: the network lacks the layer, or `top` is less than 1.
        BadInput: the picture cannot be read, or the folder has none besides.
    """
    if top < 1:
        raise UsageError(f"--top is {top}; it must be 1 or more.")
    features_of = looker(network, layer or list(network.spec.mix)[-1])
    first = features_of([square(read_image(picture), network)])
    files = _files(folder, without=picture)
    kept: list[Path] = []
    passed_over: list[tuple[Path, str]] = []
    rows = [first]
    for at in range(0, len(files), BATCH):
        frames = []
        for path in files[at : at + BATCH]:
            try:
                frames.append(square(read_image(path), network))
                kept.append(path)
            except BadInput as error:
                passed_over.append((path, str(error)))
        if frames:
            rows.append(features_of(frames))
        report(min(at + BATCH, len(files)), len(files))
    if not kept:
        raise BadInput(f"The folder {folder} holds no picture to compare {picture} with.")
    alike = similarities(np.concatenate(rows))
    best = np.argsort(-alike, kind="stable")[:top]
    return [Neighbour(path=kept[i], similarity=float(alike[i])) for i in best], passed_over


def similarities(features: Features) -> Features:
    """Compare the first row of features `(1 + N, channels)` with all others.

    Returns:
        `(N,)`, cosines of the standardised rows, -1 to 1.
    """
    if len(features) > 2:  # two rows alone would only be each other's opposite
        deviation = features.std(0)
        features = (features - features.mean(0)) / np.maximum(deviation, 1e-6 * max(float(deviation.max()), 1e-12))
    lengths = np.maximum(np.linalg.norm(features, axis=1), 1e-12)
    return np.asarray(features[1:] @ features[0] / (lengths[1:] * lengths[0]), np.float32)


def neighbour_sheet(picture: Path, neighbours: Sequence[Neighbour], *, network: str, folder: Path) -> Pixels:
    """Draw a picture and those that were found, with their similarities, as uint8 `(H, W, 3)`."""
    cell = Size(TILE, TILE)
    tiles = [(fit(read_image(n.path), cell, how="cover"), f"{n.similarity:.2f} {n.path.stem}") for n in neighbours]
    asked = Section(tiles=[(fit(read_image(picture), cell, how="cover"), picture.stem)])
    return contact_sheet(
        [asked, Section(heading="most alike", note=f"in {folder.name}, to {network}", tiles=tiles)],
        columns=min(5, len(tiles)),
        cell=cell,
    )


def looker(network: Network, layer: str) -> Callable[[Sequence[Frame]], Features]:
    """Return a function from frames of one size to the mean activations of a layer's channels, `(N, channels)`.

    Raises:
        UsageError: the network lacks the layer.
    """
    known = {info.name for info in network.layers()}
    if layer not in known:
        raise UsageError(f"Network {network.title!r} has no layer {layer!r}{nearest(layer, known)}")
    model = network.activations((layer,))

    def features(frames: Sequence[Frame]) -> Features:
        seen = model(np.stack(frames), training=False)[layer]
        return np.asarray(seen, np.float32).mean((1, 2))

    return features


def square(frame: Frame, network: Network) -> Frame:
    """Return the square in the middle of a frame, at the size that a network was made for."""
    side = max(network.side, network.spec.smallest)
    return np.asarray(np.clip(fit(frame, Size(side, side), how="cover"), 0, 1), np.float32)


def _files(folder: Path, *, without: Path) -> list[Path]:
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder." if folder.exists() else f"The folder {folder} does not exist.")
    files = (file for file in folder.iterdir() if file.is_file() and not is_clutter(file.name))
    return sorted(file for file in files if not file.samefile(without))
