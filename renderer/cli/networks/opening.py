"""Open the network that a command names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from renderer.cli.show.terminal import Terminal

if TYPE_CHECKING:
    from renderer.dreaming.networks.download import Report
    from renderer.dreaming.networks.network import Network

Name = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A network of `networks list`, or a Keras model file.")]
Weights = Annotated[Path | None, typer.Option("--weights", metavar="FILE", help="Its weights.")]
Preprocess = Annotated[
    str | None,
    typer.Option(
        "--preprocess",
        metavar="HOW",
        help="How it wants its pictures: caffe, tf, torch, byte, unit, or a range like -1..1. [as it is known to]",
    ),
]


def check_network(name: str, weights: Path | None) -> None:
    """Refuse a name that no network has, before anything heavy is loaded."""
    from renderer.dreaming.networks.registry import by_name, network_spec

    network_spec(by_name(name, weights)[0])


def open_network(
    terminal: Terminal,
    name: str,
    *,
    weights: Path | None,
    preprocess: str | None,
    head: bool = False,
    precision: str = "auto",
) -> Network:
    """Load TensorFlow and open a network, told to a terminal."""
    from renderer.dreaming.networks.registry import by_name
    from renderer.runtime import prepare

    settled, file = by_name(name, weights)
    terminal.stage("loading TensorFlow and the network")
    prepare(verbose=terminal.verbose)
    from renderer.dreaming.networks.network import load_network

    report = fetching(terminal, f"the weights of {name}")
    return load_network(settled, weights=file, preprocess=preprocess, head=head, precision=precision, report=report)


def fetching(terminal: Terminal, what: str) -> Report:
    """Return what tells a terminal how far a download is."""

    def report(done: int, total: int) -> None:
        terminal.counted(done >> 20, max(total, done) >> 20, what=f"MB of {what}:")

    return report
