"""`dreamreel still`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from renderer.cli.options import STILL_FLAGS, Given, KeepColour, Mask, Out, Overwrite, command
from renderer.cli.show.terminal import Terminal


def add(app: typer.Typer) -> None:
    """Register the command."""

    @command(app, flags=STILL_FLAGS, settings=True)
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
    ) -> None:
        """Dream on one picture, IMAGE or noise, and write it as png, jpg, webp or tiff."""
        extra = {
            "film.size": ("--size", size),
            "dream.first_steps": ("--steps", steps),
            "area.keep_colour": ("--keep-colour", keep_colour or None),
        }
        resolved = given.resolve(extra)
        from renderer.films.still import Still, make_still

        job = Still(
            settings=resolved.settings,
            out=out,
            picture=image,
            mask=mask,
            own_size=image is not None and resolved.origins["film.size"] not in ("--size", "--set"),
            evolution=evolution,
            overwrite=overwrite,
        )
        from renderer.films.outputs import span

        done = make_still(job, listener=terminal)
        terminal.result(
            f"{done.path}: {done.size}, dream strength {done.strength:.3g}, made in {span(done.took)}",
            event="still",
            path=str(done.path),
            width=done.size.width,
            height=done.size.height,
            strength=done.strength,
            evolution=None if evolution is None else str(evolution),
            took=round(done.took, 3),
        )
