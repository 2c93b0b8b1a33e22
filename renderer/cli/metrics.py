"""`dreamreel metrics`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from renderer.cli.options import command
from renderer.cli.terminal import Terminal


def add(app: typer.Typer) -> None:
    """Register the command."""

    @command(app)
    def metrics(
        terminal: Terminal,
        film: Annotated[Path, typer.Argument(metavar="FILM", help="A film, a folder of pictures or a work folder.")],
    ) -> None:
        """Measure a film: whether its tone holds, what is clipped, and whether it keeps changing.

        With --json, also every second's and every pair's value.
        """
        from renderer.jobs.metrics import measure_film

        terminal.stage(f"measuring {film.name}")
        report = measure_film(film, progress=terminal.encoded)
        for note in report.notes:
            terminal.note(note)
        terminal.result("\n".join(report.lines()), event="metrics", **report.as_json())
