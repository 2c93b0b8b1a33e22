"""Films from settings and inputs, of whatever kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from renderer.errors import UsageError
from renderer.films.film import Film, ZoomFilm
from renderer.films.still import StillFilm
from renderer.films.video import VideoFilm
from renderer.settings.kinds import KINDS
from renderer.settings.presets import Resolved
from renderer.settings.schema import Settings

FILMS: dict[str, type[Film]] = {film.kind: film for film in (ZoomFilm, VideoFilm, StillFilm)}
"""Name in `KINDS` -> what makes a film of that kind."""


def new_film(
    kind: str, resolved: Resolved, out: Path, inputs: Mapping[str, Path | None], *, sized: bool = False, **options: Any
) -> Film:
    """Put a film together whose size, rate and length are those of its inputs where nobody chose them.

    Args:
        kind: in `KINDS`.
        resolved: settings, and where each came from.
        out: the finished file.
        inputs: name in the kind's `inputs` -> file, None for none.
        sized: whether the user chose the size, and not a preset.
        options: further attributes of the film.

    Raises:
        BadInput: an input cannot be read.
        UsageError: one is missing, or the settings do not fit.
    """
    given = {name: path for name, path in inputs.items() if path is not None}
    for needed in KINDS[kind].needs:
        if needed not in given:
            raise UsageError(f"input is missing: a film of kind {kind} is dreamed over a {needed}.")
    film = FILMS[kind]
    settings = film.settings_for(resolved, sized=sized, inputs=given)
    if "film.dreams" in resolved.chosen:
        check_dreams(settings, origin=resolved.places["film.dreams"])
    return film(settings=settings, out=out, **{**given, **options})


def check_dreams(settings: Settings, *, origin: str) -> None:
    """Refuse dreams that no frame would show; those that nobody asked for are left out without a word.

    Args:
        settings: of the film.
        origin: where its dreams were asked for.

    Raises:
        UsageError: there are more dreams a second than frames.
    """
    asked, rate = settings.film.dreams, settings.rate
    if asked != "frame" and asked > rate:
        raise UsageError(
            f"{origin}: film.dreams is {asked}, and the film has {rate} frames a second, each of which shows one dream "
            "at most; give fewer dreams, or more frames with film.fps."
        )
