"""`dreamreel networks list`, `layers` and `fetch`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from renderer.cli.networks.opening import Name, Preprocess, Weights, fetching, open_network
from renderer.cli.options import command
from renderer.cli.show.terminal import Terminal

if TYPE_CHECKING:
    from renderer.dreaming.networks.download import WeightsFile
    from renderer.dreaming.networks.feature_maps import LayerInfo
    from renderer.dreaming.networks.registry import NetworkSpec


def add(group: typer.Typer) -> None:
    """Register the commands."""
    command(group, name="list")(_list)
    command(group, name="layers")(_layers)
    command(group, name="fetch")(_fetch)


def _list(terminal: Terminal) -> None:
    """List the networks: whether their weights are here, and the layers each dreams with unless told otherwise."""
    from renderer.dreaming.networks.registry import NETWORKS

    width = max(map(len, NETWORKS))
    for name, spec in NETWORKS.items():
        mix = ",".join(f"{layer}:{weight:g}" for layer, weight in spec.mix.items())
        there = _whereabouts(spec)
        classes = ", with classes" if spec.classes else ""
        terminal.result(
            f"{name:<{width}}  {there:<9}  {spec.summary}{classes} [{mix}]",
            event="network",
            name=name,
            summary=spec.summary,
            weights=there,
            classes=spec.classes,
            mix=dict(spec.mix),
        )


def _whereabouts(spec: NetworkSpec) -> str:
    """Say where a network's weights are: bundled, here, to fetch, or with the user."""
    from renderer.dreaming.networks.download import weights_file

    if spec.application is None:
        return "bundled" if spec.bundled else "--weights"
    return "here" if weights_file(spec.application).path.is_file() else "to fetch"


def _layers(
    terminal: Terminal, name: Name = "dreamnet", *, weights: Weights = None, preprocess: Preprocess = None
) -> None:
    """List the layers that can be amplified, with channels and stride; * marks those that dream well."""
    from renderer.dreaming.networks.registry import NETWORKS

    if name in NETWORKS and weights is None:
        good, found = set(NETWORKS[name].layers), _known_layers(terminal, name)
    else:
        network = open_network(terminal, name, weights=weights, preprocess=preprocess)
        good, found = set(network.spec.layers), network.layers()
    for layer in found:
        mark = "*" if layer.name in good else " "
        terminal.result(
            f"{mark} {layer.name:<32} {layer.channels:>5} channels, stride {layer.stride}",
            event="layer",
            name=layer.name,
            channels=layer.channels,
            stride=layer.stride,
            recommended=layer.name in good,
        )


def _known_layers(terminal: Terminal, name: str) -> list[LayerInfo]:
    """List the layers of a network of the registry, for which its weights need not be here."""
    from renderer.runtime import prepare

    terminal.stage("loading TensorFlow")
    prepare(verbose=terminal.verbose)
    from renderer.dreaming.networks.network import layers_of

    return layers_of(name)


def _fetch(
    terminal: Terminal,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Networks of `networks list`.")],
    *,
    head: Annotated[bool, typer.Option("--head", help="Those with the head that tells classes apart.")] = False,
) -> None:
    """Bring the weights of networks here ahead of their first use, checked against their hashes."""
    from renderer.dreaming.networks.download import fetch

    for name, file in [(name, _file_of(name, head=head)) for name in names]:
        if file is None:
            terminal.result(f"{name}: bundled", event="fetched", name=name, path=None)
            continue
        terminal.stage(f"fetching the weights of {name}")
        path = fetch(file, report=fetching(terminal, f"the weights of {name}"))
        terminal.result(f"{name}: {path}", event="fetched", name=name, path=str(path))


def _file_of(name: str, *, head: bool) -> WeightsFile | None:
    """Look the file up that a network's weights are published in; None for a network that brings its own."""
    from renderer.dreaming.networks.download import weights_file
    from renderer.dreaming.networks.registry import network_spec
    from renderer.errors import UsageError

    spec = network_spec(name)
    if spec.application is not None:
        return weights_file(spec.application, head=head)
    if spec.bundled:
        return None
    raise UsageError(
        f"The weights of {name!r} cannot be fetched: nobody publishes them in a form that is read here. "
        "docs/networks.md says how to make the file for --weights."
    )
