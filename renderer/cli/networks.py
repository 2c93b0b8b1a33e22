"""`dreamreel networks`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from renderer.cli.options import command
from renderer.cli.terminal import Terminal


def add(app: typer.Typer) -> None:
    """Register the group."""
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="List the networks that can dream, and their layers."
    )
    app.add_typer(group, name="networks")

    @command(group, name="list")
    def list_(terminal: Terminal) -> None:
        """List the networks, each with its default mix of layers."""
        from renderer.jobs.runtime import prepare

        prepare(verbose=terminal.verbose)
        from renderer.dreaming.networks import NETWORKS

        width = max(map(len, NETWORKS))
        for name, spec in NETWORKS.items():
            mix = ",".join(f"{layer}:{weight:g}" for layer, weight in spec.mix.items())
            terminal.result(
                f"{name:<{width}}  {spec.summary} [{mix}]",
                event="network",
                name=name,
                summary=spec.summary,
                mix=dict(spec.mix),
            )

    @command(group)
    def layers(
        terminal: Terminal,
        name: Annotated[str, typer.Argument(metavar="NAME", help="A network of `networks list`.")] = "dreamnet",
        *,
        weights: Annotated[Path | None, typer.Option("--weights", metavar="FILE", help="Its weights.")] = None,
    ) -> None:
        """List the layers that can be amplified, with channels and stride; * marks those that dream well."""
        from renderer.jobs.runtime import prepare

        prepare(verbose=terminal.verbose)
        from renderer.dreaming.networks import load_network

        network = load_network(name, weights=weights)
        good = set(network.spec.layers)
        for layer in network.layers():
            mark = "*" if layer.name in good else " "
            terminal.result(
                f"{mark} {layer.name:<32} {layer.channels:>5} channels, stride {layer.stride}",
                event="layer",
                name=layer.name,
                channels=layer.channels,
                stride=layer.stride,
                recommended=layer.name in good,
            )
