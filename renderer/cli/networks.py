"""`dreamreel networks`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from renderer.cli.options import Overwrite, command
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
        from renderer.dreaming.registry import NETWORKS

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

    @command(group)
    def atlas(
        terminal: Terminal,
        name: Annotated[str, typer.Argument(metavar="NAME", help="A network of `networks list`.")] = "dreamnet",
        *,
        out: Annotated[Path, typer.Option("-o", "--out", metavar="SHEET", help="The picture to write.")],
        layers: Annotated[
            str | None,
            typer.Option("--layers", metavar="A,B:7", help="Layers, or channels of them. [those that dream well]"),
        ] = None,
        channels: Annotated[int, typer.Option("--channels", metavar="N", help="Channels of each layer.")] = 8,
        choose: Annotated[
            str, typer.Option("--choose", metavar="HOW", help="Which channels: strongest or spaced.")
        ] = "strongest",
        steps: Annotated[int, typer.Option("--steps", metavar="N", help="Gradient steps per octave.")] = 20,
        size: Annotated[int, typer.Option("--size", metavar="PX", help="Side of a tile, pixels.")] = 192,
        seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of the noise.")] = 0,
        weights: Annotated[Path | None, typer.Option("--weights", metavar="FILE", help="Its weights.")] = None,
        overwrite: Overwrite = False,
    ) -> None:
        """Draw what each layer of a network, and each of its strongest channels, dreams from the same noise."""
        from renderer.dreaming.registry import network_spec
        from renderer.media.files import check_output
        from renderer.media.images import image_suffix, write_image

        network_spec(name)
        image_suffix(out)
        check_output(out, overwrite=overwrite)
        from renderer.jobs.runtime import prepare

        terminal.stage("loading TensorFlow and the network")
        prepare(verbose=terminal.verbose)
        from renderer.dreaming.networks import load_network
        from renderer.jobs.atlas import atlas as draw

        network = load_network(name, weights=weights)
        terminal.stage("dreaming")
        sheet = draw(
            network,
            layers=layers.split(",") if layers else None,
            channels_per_layer=channels,
            choose=choose,
            size=size,
            steps=steps,
            seed=seed,
            report=lambda p: terminal.counted(p.done, p.total, what="tile"),
        )
        write_image(sheet, out, overwrite=overwrite)
        terminal.result(f"{out}: {sheet.shape[1]}x{sheet.shape[0]}", event="atlas", path=str(out))

    @command(group)
    def distill(
        terminal: Terminal,
        *,
        photos: Annotated[Path, typer.Option("--photos", metavar="FOLDER", help="Pictures to learn from.")],
        out: Annotated[Path, typer.Option("-o", "--out", metavar="NET.keras", help="The network to write.")],
        teacher: Annotated[str, typer.Option("--teacher", metavar="NAME", help="Who teaches.")] = "inception_v3",
        weights: Annotated[
            Path | None, typer.Option("--weights", metavar="FILE", help="The teacher's weights.")
        ] = None,
        layers: Annotated[
            str | None,
            typer.Option("--layers", metavar="A,B,C", help="Three layers of the teacher, shallow to deep."),
        ] = None,
        start: Annotated[
            str | None,
            typer.Option(
                "--start",
                metavar="NET",
                help="Begin from its weights: dreamnet, or a .keras file of an earlier training. [random ones]",
            ),
        ] = None,
        minutes: Annotated[float, typer.Option("--minutes", metavar="N", help="How long to train.")] = 120.0,
        hold_out: Annotated[
            int, typer.Option("--hold-out", metavar="N", help="Leave every Nth picture out, for measuring.")
        ] = 0,
        match_from: Annotated[
            float,
            typer.Option(
                "--match-from",
                metavar="SHARE",
                help="Part of the time after which gradients are matched too: nearer to the teacher. [never]",
            ),
        ] = 1.0,
        seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of pictures and first weights.")] = 0,
        overwrite: Overwrite = False,
    ) -> None:
        """Train a small network to dream as a big one does, on your pictures; NET.png shows its dreams.

        Stop it whenever you like: the same command goes on where it stopped.
        """
        from renderer.dreaming.registry import network_spec

        network_spec(teacher)
        from renderer.jobs.runtime import prepare

        terminal.stage("loading TensorFlow")
        prepare(verbose=terminal.verbose)
        from renderer.dreaming.distill import DistillSettings
        from renderer.jobs.distill import Lesson, teach

        lesson = Lesson(
            teacher=teacher,
            weights=weights,
            layers=tuple(layers.split(",")) if layers else (),
            start=start,
            photos=photos,
            hold_out=hold_out,
            out=out,
            settings=DistillSettings(minutes=minutes, match_from=match_from, seed=seed),
            overwrite=overwrite,
        )
        terminal.stopper.graceful = True
        count = teach(lesson, listener=terminal, should_stop=terminal.stopper)
        terminal.result(
            f"{out}: learned from {count} pictures in {minutes:g} min; its dreams: {lesson.sheet}",
            event="network",
            path=str(out),
            sheet=str(lesson.sheet),
            pictures=count,
        )
