"""`dreamreel zoom`, `video` and `still`: films are made, or planned with `dreamreel plan`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from renderer.cli.options import (
    STILL_FLAGS,
    VIDEO_FLAGS,
    ZOOM_FLAGS,
    DryRun,
    Given,
    KeepColour,
    Making,
    Mask,
    NoSound,
    Out,
    Overwrite,
    Preview,
    command,
)
from renderer.cli.show.terminal import Terminal
from renderer.errors import UsageError
from renderer.settings.kinds import KINDS

if TYPE_CHECKING:
    from renderer.films.film import Film


def add(app: typer.Typer) -> None:
    """Register the commands, and the group of the same commands that say what a film would take and make none."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Say what a film would take, and draw what changes over it; nothing is made.",
    )
    for place, planned in ((app, False), (group, True)):
        for function, flags in ((zoom, ZOOM_FLAGS), (video, VIDEO_FLAGS), (still, STILL_FLAGS)):
            defaults = KINDS[function.__name__].defaults
            command(place, flags=flags, settings=True, defaults=defaults, planned=planned)(function)
    app.add_typer(group, name="plan")


@dataclass(frozen=True, kw_only=True)
class Planning:
    """Whether a film is planned and not made, and whether it, or a preview of it."""

    preview: Preview = False
    dry_run: DryRun = False
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="PNG", help="When planning: draw the settings that change over the film."),
    ] = None


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
    _make_or_plan(film, planning, terminal=terminal)


def video(
    terminal: Terminal,
    given: Given,
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A film, an animated picture or a folder of pictures.")],
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
    _make_or_plan(film, planning, terminal=terminal)


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
    steps: Annotated[str | None, typer.Option("--steps", metavar="N", help="Gradient steps per octave. [12]")] = None,
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
    _make_or_plan(film, Planning(dry_run=dry_run), terminal=terminal)


def _make_or_plan(film: Film, planning: Planning, *, terminal: Terminal) -> None:
    """Make a film, or say what it would take, and print the line that ends it.

    Raises:
        DreamreelError: as making or planning it does.
    """
    from renderer.films.new_film import preview_of

    film = preview_of(film) if planning.preview else film
    if planning.plot is not None:
        if not planning.dry_run:
            raise UsageError("--plot draws what a film would be; give it together with --dry-run.")
        from renderer.measure.plot import draw_curves

        draw_curves(film, planning.plot)
        terminal.note(f"{planning.plot}: what changes over the film.")
    if planning.dry_run:
        from renderer.films.plan import make_plan

        small = film.kind == "still" or planning.preview
        plan = make_plan(film, preview=None if small else preview_of(film), listener=terminal)
        terminal.result(*plan.text().splitlines(), event="plan", **plan.values())
        return
    from renderer.films.make import make_film

    terminal.film(make_film(film, listener=terminal, should_stop=terminal.stopper))
