"""`dreamreel encode` and `dreamreel replay`: films made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from renderer.cli.options import ENCODE_FLAGS, Given, Making, NoSound, Out, Overwrite, command
from renderer.cli.show.terminal import Terminal

Clip = Annotated[
    Path | None, typer.Option("--clip", metavar="FILE", help="The video it was made from, if it has moved.")
]


def add(app: typer.Typer) -> None:
    """Register the commands."""
    for function in (encode, replay):
        command(app, flags=ENCODE_FLAGS)(function)


def encode(
    terminal: Terminal,
    given: Given,
    film: Annotated[Path, typer.Argument(metavar="FILM", help="A film with a kept store, or a work folder.")],
    *,
    out: Out,
    clip: Clip = None,
    no_sound: NoSound = False,
    overwrite: Overwrite = False,
) -> None:
    """Make a film from what is there, of a kept store or of one that is not finished yet; nothing is dreamed.

    Of a zoom it may have any rate and speed, and motion blur; every film any size.
    """
    chosen = _encode_settings(given, no_sound=no_sound)
    from renderer.films.replay import encode_again

    terminal.stopper.graceful = True
    result = encode_again(
        film,
        out,
        encode=chosen,
        clip=clip,
        overwrite=overwrite,
        listener=terminal,
        should_stop=terminal.stopper,
    )
    terminal.film(result)


def replay(
    terminal: Terminal,
    given: Given,
    film: Annotated[Path, typer.Argument(metavar="FILM", help="A film or picture made by Dreamreel.")],
    *,
    out: Out,
    image: Annotated[
        Path | None, typer.Option("--image", metavar="FILE", help="The picture it began with, if it has moved.")
    ] = None,
    clip: Clip = None,
    mask: Annotated[Path | None, typer.Option("--mask", metavar="FILE", help="Its mask, if it has moved.")] = None,
    cuts: Annotated[
        Path | None, typer.Option("--cuts", metavar="FILE", help="Its list of cuts, if it has moved.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="The network's weights, if they have moved.")
    ] = None,
    guide: Annotated[Path | None, typer.Option("--guide", metavar="FILE", help="Its guide, if it has moved.")] = None,
    second_guide: Annotated[
        Path | None, typer.Option("--second-guide", metavar="FILE", help="Its second guide, if it has moved.")
    ] = None,
    style: Annotated[Path | None, typer.Option("--style", metavar="FILE", help="Its style, if it has moved.")] = None,
    no_sound: NoSound = False,
    making: Making,
) -> None:
    """Render a film again from the recipe inside it."""
    chosen = _encode_settings(given, no_sound=no_sound)
    from renderer.films.make import make_film
    from renderer.films.replay import film_from_recipe

    again, recipe = film_from_recipe(
        film,
        out,
        given={
            "picture": image,
            "clip": clip,
            "mask": mask,
            "cuts": cuts,
            "weights": weights,
            "guide": guide,
            "second guide": second_guide,
            "style": style,
        },
        encode=chosen,
        **making.options(),
    )
    result = make_film(again, listener=terminal, should_stop=terminal.stopper)
    from renderer.runtime import differences

    if changed := differences(recipe.environment):
        terminal.note(f"Made then with something else ({'; '.join(changed)}): frames may differ in fine detail.")
    terminal.film(result)


def _encode_settings(given: Given, *, no_sound: bool) -> dict[str, Any]:
    """Return the settings of the encoding that were given, by dotted name."""
    from renderer.settings.schema import flatten

    values = flatten(given.resolve().settings)
    return {key: values[key] for key in given.flags} | ({"encode.sound": False} if no_sound else {})
