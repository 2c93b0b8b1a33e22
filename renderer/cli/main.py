"""The command line: `dreamreel COMMAND`. One file a group of commands; nothing heavy is imported before they run."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from renderer import __version__
from renderer.cli import batch, doctor, films, metrics, networks, presets, replay, words
from renderer.cli.show.streams import check_results, open_streams
from renderer.errors import DreamreelError

app = typer.Typer(
    name="dreamreel",
    no_args_is_help=True,
    add_completion=False,
    # Plain help: drawing boxes would take half of the time until it is there.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Render dream films: a neural network amplifies what it sees in every frame, and a camera moves through it.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"dreamreel {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Render dream films: a neural network amplifies what it sees in every frame, and a camera moves through it."""


for group in (films, batch, replay, metrics, presets, networks, words, doctor):
    group.add(app)


def main() -> None:
    """Run the command line; the entry point of the `dreamreel` command."""
    open_streams()
    try:
        app()
    except SystemExit as end:
        if end.code:
            raise
    try:
        check_results()
    except DreamreelError as error:
        print(f"dreamreel: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
