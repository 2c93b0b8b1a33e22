"""`dreamreel still`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from renderer.cli.making import Planning, make_or_plan
from renderer.cli.options import STILL_FLAGS, DryRun, Given, KeepColour, Mask, Out, Overwrite, command
from renderer.cli.show.terminal import Terminal


def add(app: typer.Typer, *, planned: bool = False) -> None:
    """Register the command; `planned` as `options.command` has it."""

    @command(app, flags=STILL_FLAGS, settings=True, planned=planned)
    def still(
        terminal: Terminal,
        given: Given,
        image: Annotated[
            Path | None, typer.Argument(metavar="IMAGE", help="The picture to dream on; without one, noise.")
        ] = None,
        *,
        out: Out,
        size: Annotated[
            str | None,
            typer.Option(
                "--size",
                metavar="WxH",
                help="Pixels. [that of IMAGE; without --memory at most 1920 on its longer side]",
            ),
        ] = None,
        steps: Annotated[
            str | None, typer.Option("--steps", metavar="N", help="Gradient steps per octave. [12]")
        ] = None,
        evolution: Annotated[
            Path | None,
            typer.Option("--evolution", metavar="SHEET", help="Also draw a sheet of octaves and steps, with losses."),
        ] = None,
        mask: Mask = None,
        keep_colour: KeepColour = False,
        overwrite: Overwrite = False,
        dry_run: DryRun = False,
    ) -> None:
        """Dream on one picture, IMAGE or noise, and write it as png, jpg, webp or tiff."""
        extra = {
            "film.size": ("--size", size),
            "dream.first_steps": ("--steps", steps),
            "area.keep_colour": ("--keep-colour", keep_colour or None),
        }
        inputs = {"picture": image, "mask": mask}
        resolved = given.resolve(extra, inputs=inputs)
        from renderer.films.new_film import new_film

        sized = resolved.origins["film.size"] in ("--size", "--set")
        film = new_film("still", resolved, out, inputs, sized=sized, evolution=evolution, overwrite=overwrite)
        make_or_plan(film, Planning(dry_run=dry_run), terminal=terminal)
