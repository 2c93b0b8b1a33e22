"""The recipe of a film: everything that is needed to make it again, kept inside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renderer.errors import BadInput, UsageError
from renderer.jobs.settings import Settings, build, flatten
from renderer.jobs.start import picture_sha256

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe that was read back.

    Attributes:
        kind: "zoom" or "still".
        settings: of the film.
        picture: the picture it began with, as its path was given then; None for noise.
        picture_sha256: of that file.
        weights_sha256: of the network's weights.
        environment: versions and device that made it.
    """

    kind: str
    settings: Settings
    picture: Path | None
    picture_sha256: str | None
    weights_sha256: str
    environment: Mapping[str, Any]


def write_recipe(
    settings: Settings,
    *,
    kind: str,
    picture: Path | None,
    picture_hash: str | None,
    weights_sha256: str,
    environment: Mapping[str, Any],
    pixel_key: str,
    film_key: str,
) -> dict[str, Any]:
    """Put a recipe together as JSON values; nothing in it depends on when or how often the work was stopped."""
    return {
        "dreamreel": environment["dreamreel"],
        "recipe": VERSION,
        "kind": kind,
        "settings": flatten(settings),
        "picture": None if picture is None else {"path": str(picture), "sha256": picture_hash},
        "weights_sha256": weights_sha256,
        "environment": dict(environment),
        "pixel_key": pixel_key,
        "film_key": film_key,
    }


def parse_recipe(data: Mapping[str, Any], *, source: Path) -> Recipe:
    """Check a recipe found in a file.

    Raises:
        BadInput: it is not one, or comes from a later version of Dreamreel.
    """
    try:
        if data["recipe"] > VERSION:
            raise BadInput(f"The recipe in {source} comes from Dreamreel {data['dreamreel']}; this one is older.")
        picture = data["picture"]
        return Recipe(
            kind=str(data["kind"]),
            settings=build(data["settings"]),
            picture=Path(picture["path"]) if picture else None,
            picture_sha256=str(picture["sha256"]) if picture else None,
            weights_sha256=str(data["weights_sha256"]),
            environment=dict(data["environment"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError, UsageError) as error:
        raise BadInput(f"The recipe in {source} is damaged: {error}.") from error


def find_input(given: Path | None, *, recorded: Path | None, sha256: str | None, film: Path, what: str) -> Path | None:
    """Find a file that a recipe names: where the user says, where it was, or beside the film.

    Args:
        given: the user's word, None to look.
        recorded: its path in the recipe, None if the film needs none.
        sha256: what its content must hash to.
        film: the film that holds the recipe.
        what: what it is, for errors: "picture".

    Raises:
        BadInput: it is not there, or is another file now.
    """
    if recorded is None:
        return None
    places = [given] if given is not None else [recorded, film.parent / recorded.name]
    there = [place for place in places if place.is_file()]
    if not there:
        raise BadInput(f"The {what} {places[0]} that {film} was made from is not there; say where with --{what}.")
    for place in there:
        if sha256 is None or picture_sha256(place) == sha256:
            return place
    raise BadInput(f"{there[0]} is not the {what} that {film} was made from: its content is another.")
