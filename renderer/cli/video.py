"""`dreamreel video`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from renderer.cli.making import Making, Planning, make_or_plan
from renderer.cli.options import VIDEO_FLAGS, Given, KeepColour, Mask, NoSound, Out, command
from renderer.cli.show.terminal import Terminal
from renderer.settings.kinds import KINDS


def add(app: typer.Typer, *, planned: bool = False) -> None:
    """Register the command; `planned` as `options.command` has it."""

    @command(app, flags=VIDEO_FLAGS, settings=True, defaults=KINDS["video"].defaults, planned=planned)
    def video(
        terminal: Terminal,
        given: Given,
        clip: Annotated[
            Path, typer.Argument(metavar="CLIP", help="A film, an animated picture or a folder of pictures.")
        ],
        *,
        out: Out,
        size: Annotated[
            str | None,
            typer.Option(
                "--size", metavar="WxH", help="Pixels. [that of CLIP; without --memory at most 1920 on its longer side]"
            ),
        ] = None,
        fps: Annotated[
            str | None, typer.Option("--fps", metavar="RATE", help="Frames a second. [just that of CLIP]")
        ] = None,
        mask: Mask = None,
        cuts: Annotated[
            Path | None,
            typer.Option("--cuts", metavar="FILE", help="Times of the cuts, one a line; without it they are found."),
        ] = None,
        keep_colour: KeepColour = False,
        compare: Annotated[bool, typer.Option("--compare", help="Show CLIP beside the dream, at its left.")] = False,
        no_sound: NoSound = False,
        making: Making,
        planning: Planning,
    ) -> None:
        """Dream over a video, as steady as the video itself; its sound is kept.

        Stop it whenever you like: the same command goes on where it stopped.
        """
        extra = {
            "film.size": ("--size", size),
            "film.fps": ("--fps", fps),
            "area.keep_colour": ("--keep-colour", keep_colour or None),
            "encode.compare": ("--compare", compare or None),
            "encode.sound": ("--no-sound", False if no_sound else None),
        }
        inputs = {"clip": clip, "mask": mask, "cuts": cuts}
        resolved = given.resolve(extra, inputs=inputs)
        from renderer.films.new_film import new_film

        film = new_film("video", resolved, out, inputs, **making.options())
        make_or_plan(film, planning, terminal=terminal)
