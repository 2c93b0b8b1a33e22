"""`dreamreel plan`: what a film would take."""

from __future__ import annotations

import typer

from renderer.cli import still, video, zoom


def add(app: typer.Typer) -> None:
    """Register the group: the commands that make films, which here make none."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Say what a film would take, and draw what changes over it; nothing is made.",
    )
    zoom.add(group, planned=True)
    video.add(group, planned=True)
    still.add(group, planned=True)
    app.add_typer(group, name="plan")
