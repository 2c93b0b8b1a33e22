"""`dreamreel networks distill`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from renderer.cli.options import Overwrite, command
from renderer.cli.show.terminal import Terminal


def add(group: typer.Typer) -> None:
    """Register the command."""
    command(group, name="distill")(_distill)


@dataclass(frozen=True)
class Training:
    """Who teaches what, and for how long."""

    teacher: Annotated[str, typer.Option("--teacher", metavar="NAME", help="Who teaches.")] = "inception_v3"
    weights: Annotated[Path | None, typer.Option("--weights", metavar="FILE", help="The teacher's weights.")] = None
    layers: Annotated[
        str | None, typer.Option("--layers", metavar="A,B,C", help="Three layers of the teacher, shallow to deep.")
    ] = None
    head: Annotated[
        bool,
        typer.Option(
            "--head", help="Teach the classes that the teacher, squeezenet, tells apart, to the network of --start."
        ),
    ] = False
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="NET",
            help="Begin from its weights: dreamnet, or a .keras file of an earlier training. [random ones]",
        ),
    ] = None
    minutes: Annotated[float, typer.Option("--minutes", metavar="N", help="How long to train.")] = 120.0
    hold_out: Annotated[
        int, typer.Option("--hold-out", metavar="N", help="Leave every Nth picture out, for measuring.")
    ] = 0
    match_from: Annotated[
        float,
        typer.Option(
            "--match-from",
            metavar="SHARE",
            help="Part of the time after which gradients are matched too: nearer to the teacher. [never]",
        ),
    ] = 1.0
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of pictures and first weights.")] = 0


def _distill(
    terminal: Terminal,
    *,
    photos: Annotated[Path, typer.Option("--photos", metavar="FOLDER", help="Pictures to learn from.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="NET.keras", help="The network to write.")],
    training: Training,
    overwrite: Overwrite = False,
) -> None:
    """Train a small network to dream as a big one does, on your pictures; NET.png shows its dreams.

    Stop it whenever you like: the same command goes on where it stopped.
    """
    from renderer.dreaming.networks.registry import network_spec

    network_spec(training.teacher)
    from renderer.runtime import prepare

    terminal.stage("loading TensorFlow")
    prepare(verbose=terminal.verbose)
    from renderer.dreaming.training.distill import DistillSettings
    from renderer.dreaming.training.head import HeadSettings
    from renderer.inspect.train import Lesson, teach

    minutes, seed = training.minutes, training.seed
    lesson = Lesson(
        teacher=training.teacher,
        weights=training.weights,
        layers=tuple(training.layers.split(",")) if training.layers else (),
        start=training.start,
        photos=photos,
        hold_out=training.hold_out,
        out=out,
        settings=HeadSettings(minutes=minutes, seed=seed)
        if training.head
        else DistillSettings(minutes=minutes, match_from=training.match_from, seed=seed),
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
