"""Films from settings and inputs, of whatever kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from renderer.errors import UsageError
from renderer.films.film import Film, ZoomFilm
from renderer.films.outputs import preview_name
from renderer.films.still import StillFilm
from renderer.films.video import VideoFilm
from renderer.media.ffmpeg.formats import CODECS, choose_format
from renderer.settings.kinds import KINDS
from renderer.settings.presets import Resolved
from renderer.settings.schema import Settings, build, flatten

FILMS: dict[str, type[Film]] = {film.kind: film for film in (ZoomFilm, VideoFilm, StillFilm)}
"""Name in `KINDS` -> what makes a film of that kind."""


PREVIEW_LINES = 180
"""Shorter side of a preview, pixels; a film that is smaller keeps its size."""

PREVIEW_DREAMS = 8
"""Dreams a second of the preview of a film whose frames are made of dreams, at most."""


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
    if "film.dreams" in resolved.chosen and kind != "still":
        check_dreams(settings, origin=resolved.places["film.dreams"])
    return film(settings=settings, out=out, **{**given, **options})


def preview_of(film: Film) -> Film:
    """Return the preview of a film: the same, small, under a name of its own.

    Raises:
        UsageError: no film can have its name.
    """
    out = preview_name(film.out, kind=film.kind)
    # Frames of both may be kept at a time.
    work_dir = film.work_dir and film.work_dir.with_name(f"{film.work_dir.name}.preview")
    return replace(film, settings=preview_settings(film), out=out, work_dir=work_dir)


def preview_settings(film: Film) -> Settings:
    """Return the settings of the preview of a film: a small frame, few dreams a second, and little care in encoding.

    Raises:
        UsageError: no film can have its name.
    """
    settings, changed = film.settings, dict[str, Any]()
    for key in ("film.size", "encode.size"):
        if (size := settings.value(key)) is not None and min(size) > PREVIEW_LINES:
            width, height = (2 * round(side * PREVIEW_LINES / min(size) / 2) for side in size)
            changed[key] = f"{width}x{height}"
    if KINDS[film.kind].keeps == "dreams":
        if settings.dream_rate > PREVIEW_DREAMS:
            changed["film.dreams"] = PREVIEW_DREAMS
        if settings.dream.largest_side is None and min(settings.dream_size) > PREVIEW_LINES:
            # The finest scale costs as much as all the others, and adds what so small a frame hardly shows.
            changed["dream.largest_side"] = max(16, max(settings.dream_size) - 1)
    if film.has_store and settings.encode.quality is None:
        scale = CODECS[choose_format(film.out, settings.encode.codec)[1]].quality
        changed["encode.quality"] = None if scale is None else scale.preview
    return build({**flatten(settings), **changed})


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
