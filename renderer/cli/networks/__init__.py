"""`dreamreel networks`: one file for what belongs together."""

from __future__ import annotations

import typer

from renderer.cli.networks import distilling, drawing, listing, looking


def add(app: typer.Typer) -> None:
    """Register the group."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="The networks that dream: list, fetch, look inside, train.",
    )
    app.add_typer(group, name="networks")
    for part in (listing, drawing, looking, distilling):
        part.add(group)
