"""`dreamreel zoom`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from renderer.cli.making import Making, Planning, make_or_plan
from renderer.cli.options import ZOOM_FLAGS, Given, Out, command
from renderer.cli.show.terminal import Terminal
from renderer.settings.kinds import KINDS


def add(app: typer.Typer, *, planned: bool = False) -> None:
    """Register the command; `planned` as `options.command` has it."""

    @command(app, flags=ZOOM_FLAGS, settings=True, defaults=KINDS["zoom"].defaults, planned=planned)
    def zoom(
        terminal: Terminal,
        given: Given,
        image: Annotated[Path | None, typer.Argument(metavar="IMAGE", help="A picture to begin from.")] = None,
        *,
        out: Out,
        loop: Annotated[
            bool, typer.Option("--loop", help="Lead the last frame into the first, so that the film has no end.")
        ] = False,
        making: Making,
        planning: Planning,
    ) -> None:
        """Make an infinite-zoom dream film, from noise or from IMAGE.

        Stop it whenever you like: the same command goes on where it stopped.
        """
        resolved = given.resolve({"film.loop": ("--loop", loop or None)}, inputs={"picture": image})
        from renderer.films.new_film import new_film

        film = new_film("zoom", resolved, out, {"picture": image}, **making.options())
        make_or_plan(film, planning, terminal=terminal)
