"""`dreamreel networks atlas` and `filters`: sheets that show a network from within."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from renderer.cli.networks.opening import Name, Preprocess, Weights, check_network, open_network
from renderer.cli.options import Overwrite, command
from renderer.cli.show.terminal import Terminal

Sheet = Annotated[Path, typer.Option("-o", "--out", metavar="SHEET", help="The picture to write.")]


def add(group: typer.Typer) -> None:
    """Register the commands."""
    command(group, name="atlas")(_atlas)
    command(group, name="filters")(_filters)


@dataclass(frozen=True)
class Drawing:
    """What an atlas shows, and how it is drawn."""

    layers: Annotated[
        str | None,
        typer.Option("--layers", metavar="A,B:7", help="Layers, or channels of them. [those that dream well]"),
    ] = None
    of: Annotated[
        str | None,
        typer.Option("--of", metavar="A,B", help="Words to dream of, where it has a head. [classes evenly spread]"),
    ] = None
    channels: Annotated[int, typer.Option("--channels", metavar="N", help="Channels of each layer, and classes.")] = 8
    choose: Annotated[str, typer.Option("--choose", metavar="HOW", help="Which channels: strongest or spaced.")] = (
        "strongest"
    )
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="Gradient steps per octave.")] = 20
    size: Annotated[int, typer.Option("--size", metavar="PX", help="Side of a tile, pixels.")] = 192
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of the noise.")] = 0


def _atlas(
    terminal: Terminal,
    name: Name = "dreamnet",
    *,
    out: Sheet,
    drawing: Drawing,
    weights: Weights = None,
    preprocess: Preprocess = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw what each layer of a network, its strongest channels, and classes, dream from the same noise."""
    _check(name, weights, out, overwrite=overwrite)
    network = open_network(terminal, name, weights=weights, preprocess=preprocess, head=bool(drawing.of))
    from renderer.inspect.atlas import atlas
    from renderer.media.images import write_image

    terminal.stage("dreaming")
    sheet = atlas(
        network,
        layers=drawing.layers.split(",") if drawing.layers else None,
        of=[word.strip() for word in drawing.of.split(",")] if drawing.of else None,
        channels_per_layer=drawing.channels,
        choose=drawing.choose,
        size=drawing.size,
        steps=drawing.steps,
        seed=drawing.seed,
        report=lambda done, total: terminal.counted(done, total, what="tile"),
    )
    write_image(sheet, out, overwrite=overwrite)
    terminal.result(f"{out}: {sheet.shape[1]}x{sheet.shape[0]}", event="atlas", path=str(out))


def _filters(
    terminal: Terminal,
    name: Name = "dreamnet",
    *,
    out: Sheet,
    weights: Weights = None,
    preprocess: Preprocess = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw the filters of a network's first layer, pixel by pixel: what it looks for before it knows anything else."""
    _check(name, weights, out, overwrite=overwrite)
    network = open_network(terminal, name, weights=weights, preprocess=preprocess)
    from renderer.inspect.filters import filter_sheet
    from renderer.media.images import write_image

    sheet = filter_sheet(network)
    write_image(sheet, out, overwrite=overwrite)
    terminal.result(f"{out}: {sheet.shape[1]}x{sheet.shape[0]}", event="filters", path=str(out))


def _check(name: str, weights: Path | None, out: Path, *, overwrite: bool) -> None:
    from renderer.media.files import check_output
    from renderer.media.images import image_suffix

    check_network(name, weights)
    image_suffix(out)
    check_output(out, overwrite=overwrite)
