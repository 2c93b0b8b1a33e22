"""The recipe of a film: everything that is needed to make it again, kept inside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renderer.errors import BadInput, UsageError
from renderer.jobs.settings import Settings, build, flatten
from renderer.jobs.start import file_sha256

VERSION = 1

_MOST_FOLDERS = 64

SAY_WHERE = {
    "picture": "--image",
    "clip": "--clip",
    "mask": "--mask",
    "cuts": "--cuts",
    "weights": "--weights",
    "guide": "--guide",
    "second guide": "--second-guide",
    "style": "--style",
}
"""What a film is made from -> the flag of `replay` that says where it is now."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe that was read back.

    Attributes:
        kind: "zoom", "video" or "still".
        settings: of the film.
        inputs: the files it was made from, as their paths were given then, by what they are to it.
        hashes: sha256 of those files.
        facts: what was found out about the inputs before the first frame.
        weights_sha256: of the network's weights.
        environment: versions and device that made it.
    """

    kind: str
    settings: Settings
    inputs: Mapping[str, Path]
    hashes: Mapping[str, str]
    facts: Mapping[str, Any]
    weights_sha256: str
    environment: Mapping[str, Any]

    @property
    def picture(self) -> Path | None:
        """The picture it began with; None for noise."""
        return self.inputs.get("picture")


def write_recipe(
    settings: Settings,
    *,
    kind: str,
    inputs: Mapping[str, tuple[Path, str]],
    facts: Mapping[str, Any],
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
        "inputs": {name: {"path": str(path), "sha256": sha256} for name, (path, sha256) in inputs.items()},
        "facts": dict(facts),
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
        inputs = data["inputs"]
        return Recipe(
            kind=str(data["kind"]),
            settings=build(data["settings"]),
            inputs={str(name): Path(held["path"]) for name, held in inputs.items()},
            hashes={str(name): str(held["sha256"]) for name, held in inputs.items()},
            facts=dict(data["facts"]),
            weights_sha256=str(data["weights_sha256"]),
            environment=dict(data["environment"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError, UsageError) as error:
        raise BadInput(f"The recipe in {source} is damaged: {error}.") from error


def find_input(given: Path | None, *, recorded: Path | None, sha256: str | None, film: Path, what: str) -> Path | None:
    """Find a file that a recipe names: where the user says, where it was, or where it lies now beside the film.

    Args:
        given: the user's word, None to look.
        recorded: its path in the recipe, None if the film needs none.
        sha256: what its content must hash to.
        film: the film that holds the recipe.
        what: what it is to the film, a key of `Recipe.inputs`, or "weights".

    Raises:
        BadInput: it is not there, or is another file now.
    """
    if recorded is None:
        return None
    places = [given] if given is not None else _places(recorded, film)
    there = [place for place in places if place.exists()]
    if not there:
        hashed = "" if sha256 is None else f" (sha256 {sha256[:16]}...)"
        raise BadInput(
            f"The {what} {places[0]} that {film} was made from is not there{hashed}; say where with {SAY_WHERE[what]}."
        )
    for place in there:
        if sha256 is None or file_sha256(place) == sha256:
            return place
    raise BadInput(
        f"{there[0]} is not the {what} that {film} was made from: its content is another; say where that is with "
        f"{SAY_WHERE[what]}."
    )


def _places(recorded: Path, film: Path) -> list[Path]:
    """Return where a file may lie by now: the path is meant from the folder in which the film was made.

    That is the current one, or one above the film; and what moved together with the film lies beside it.
    """
    above = [] if recorded.is_absolute() else [folder / recorded for folder in film.absolute().parents[:_MOST_FOLDERS]]
    return list(dict.fromkeys([recorded, *above, film.parent / recorded.name]))
