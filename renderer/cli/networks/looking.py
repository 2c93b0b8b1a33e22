"""`dreamreel networks classify` and `similar`: what networks see in pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from renderer.cli.networks.opening import Preprocess, Weights, check_network, open_network
from renderer.cli.options import Overwrite, command
from renderer.cli.show.terminal import Terminal

Looker = Annotated[
    str, typer.Option("--network", metavar="NAME|FILE", help="A network of `networks list`, or a model file.")
]


def add(group: typer.Typer) -> None:
    """Register the commands."""
    command(group, name="classify")(_classify)
    command(group, name="similar")(_similar)


def _classify(
    terminal: Terminal,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures to look at.")],
    *,
    network: Looker = "squeezenet",
    weights: Weights = None,
    preprocess: Preprocess = None,
    top: Annotated[int, typer.Option("--top", metavar="N", help="How many classes to name.")] = 5,
) -> None:
    """Say what pictures show: the likeliest classes, with probability and score; for networks with a head."""
    from renderer.media.images import image_size

    check_network(network, weights)
    for image in images:
        image_size(image)
    # In bfloat16 scores that are close would be equal.
    opened = open_network(terminal, network, weights=weights, preprocess=preprocess, head=True, precision="float32")
    from renderer.inspect.classify import classify

    for path, guesses in classify(opened, images, top=top):
        listed = ", ".join(f"{guess.name} {guess.probability:.1%} ({guess.score:.4g})" for guess in guesses)
        terminal.result(
            f"{path}: {listed}",
            event="classes",
            path=str(path),
            classes=[
                {"number": g.number, "name": g.name, "probability": g.probability, "score": g.score} for g in guesses
            ],
        )


def _similar(
    terminal: Terminal,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture to compare with.")],
    *,
    folder: Annotated[Path, typer.Option("--in", metavar="FOLDER", help="The pictures to search.")],
    network: Looker = "dreamnet",
    weights: Weights = None,
    preprocess: Preprocess = None,
    layer: Annotated[
        str | None, typer.Option("--layer", metavar="LAYER", help="Whose features. [what it dreams with]")
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", help="How many to find.")] = 10,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="SHEET", help="Draw them too, into this picture.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Find the pictures of a folder that are most like one, in the features of a layer."""
    from renderer.media.images import image_size, write_image

    check_network(network, weights)
    image_size(image)
    if out is not None:
        _check_sheet(out, image, overwrite=overwrite)
    opened = open_network(terminal, network, weights=weights, preprocess=preprocess)
    from renderer.inspect.nearest_images import neighbour_sheet, similar

    terminal.stage("looking")
    neighbours, passed_over = similar(
        opened, image, folder, layer=layer, top=top, report=lambda done, all_: terminal.counted(done, all_, what="file")
    )
    for path, why in passed_over:
        terminal.note(f"Passed over {path}: {why}")
    if out is not None:
        write_image(neighbour_sheet(image, neighbours, network=network, folder=folder), out, overwrite=overwrite)
    for rank, found in enumerate(neighbours, 1):
        terminal.result(
            f"{found.similarity:.3f} {found.path}",
            event="similar",
            rank=rank,
            path=str(found.path),
            similarity=round(found.similarity, 6),
        )


def _check_sheet(out: Path, image: Path, *, overwrite: bool) -> None:
    from renderer.films.outputs import check_not_input
    from renderer.media.files import check_output
    from renderer.media.images import image_suffix

    image_suffix(out)
    check_output(out, overwrite=overwrite)
    check_not_input(out, image)
