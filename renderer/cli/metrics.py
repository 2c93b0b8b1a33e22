"""`dreamreel metrics`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from renderer.cli.options import command
from renderer.cli.show.terminal import Terminal


def add(app: typer.Typer) -> None:
    """Register the command."""

    @command(app)
    def metrics(
        terminal: Terminal,
        film: Annotated[Path, typer.Argument(metavar="FILM", help="A film, a folder of pictures or a work folder.")],
        *,
        source: Annotated[
            Path | None,
            typer.Option("--source", metavar="CLIP", help="The video it was dreamed over: is it as steady, in sync?"),
        ] = None,
        alone: Annotated[
            int,
            typer.Option(
                "--alone", metavar="N", min=0, max=1000, help="With --source: frames dreamed alone, to compare."
            ),
        ] = 3,
        plot: Annotated[
            Path | None, typer.Option("--plot", metavar="PNG", help="Also draw what changes over time.")
        ] = None,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the plot if it exists.")] = False,
    ) -> None:
        """Measure a film: whether its tone holds, what is clipped, and whether it keeps changing.

        With --source also how steady it is beside the video it was made from. With --json every pair's value.
        """
        from renderer.events import StageProgress
        from renderer.measure.metrics import measure_film

        if plot is not None:
            from renderer.measure.plot import check_plot, draw_plot

            check_plot(plot, overwrite=overwrite)
        terminal.stage(f"measuring {film.name}")

        def progress(done: int, total: int) -> None:
            terminal(StageProgress(done, total))

        report = measure_film(film, source=source, alone=alone if source else 0, progress=progress)
        for note in report.notes:
            terminal.note(note)
        if plot is not None:
            draw_plot(report, plot, overwrite=overwrite)
        terminal.result(*report.lines(), event="metrics", **report.as_json())
