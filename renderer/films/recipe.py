"""The recipe of a film: everything that is needed to make it again, kept inside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, StringConstraints, model_validator

from renderer.errors import BadInput, UsageError
from renderer.files import exists, file_sha256
from renderer.records import Count, Hash, PathText, Record, Text, Word, to_record
from renderer.settings.kinds import KINDS
from renderer.settings.schema import FILES, Settings, build, current_name, flatten, pixel_key

VERSION = 2

BEFORE: dict[int, dict[str, Any]] = {
    1: {"film.dreams": "frame", "dream.reference": "frame", "camera.resample": "catmull-rom"},
}
"""Version of a recipe -> settings that it did not know, with the values that stand for what was done then."""

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


class InputRecord(Record):
    """A file that a film was made from: its path as it was given, and the sha256 of its content."""

    path: PathText
    sha256: Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{64}\z")]


class SeamRecord(Record):
    """Where a film went on in another environment: at which frame, and what had changed."""

    frame: Count
    changed: Annotated[list[Text], Field(max_length=1000)]


def _kind(name: str) -> str:
    """Check the name of a kind of film."""
    if name not in KINDS:
        raise ValueError(f"must be one of {', '.join(KINDS)}")
    return name


def _settings(values: Any) -> Settings:
    """Make settings of what a recipe holds of them."""
    if not isinstance(values, dict):
        raise ValueError("must be a table of settings")
    try:
        return build({current_name(key): value for key, value in values.items()})
    except UsageError as error:
        raise ValueError(str(error).rstrip(".")) from None


def _facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Check what was found out: cuts are numbers of frames, ascending."""
    cuts = facts.get("cuts", [])
    if not isinstance(cuts, list) or any(type(cut) is not int for cut in cuts):
        raise ValueError("its cuts must be numbers of frames")
    if cuts != sorted(set(cuts)) or (cuts and not 0 < cuts[0] <= cuts[-1] < 10**9):
        raise ValueError("its cuts must ascend, from frame 1 on")
    return facts


class Recipe(Record):
    """A recipe that was read back.

    Attributes:
        dreamreel: the version that wrote it.
        kind: of film, a key of `KINDS`.
        settings: of the film.
        files: what it was made from, by what it is to it.
        facts: what was found out about the inputs before the first frame.
        weights_sha256: of the network's weights.
        environment: versions and device that made it.
        pixel_key: stands for all that decides its pixels.
        film_key: the same, apart from the machine.
        encode_key: stands for what decides the file; "" in a work folder.
        seams: where it went on in another environment.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    dreamreel: Word
    kind: Annotated[str, AfterValidator(_kind)]
    settings: Annotated[Settings, PlainValidator(_settings)]
    files: dict[str, InputRecord] = Field(alias="inputs")
    facts: Annotated[dict[str, Any], AfterValidator(_facts)]
    weights_sha256: Hash
    environment: Annotated[dict[Word, Word | int | float | None], Field(max_length=100)]
    pixel_key: Hash = ""
    film_key: Hash = ""
    encode_key: Hash = ""
    seams: Annotated[list[SeamRecord], Field(max_length=1000)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _made_from(self) -> Self:
        """Refuse inputs that a film of its kind does not have: they are given on by their names."""
        known = {*KINDS[self.kind].inputs, *FILES} - {"weights"}
        strange = [name for name in self.files if name not in known]
        if strange:
            raise ValueError(f"a {self.kind} is not made from {strange[0][:60]!r}")
        for needed in KINDS[self.kind].needs:
            if needed not in self.files:
                raise ValueError(f"a {self.kind} is made from a {needed}, and none is named")
        return self

    @property
    def inputs(self) -> dict[str, Path]:
        """The files that it was made from, as their paths were given then, by what they are to it."""
        return {name: Path(held.path) for name, held in self.files.items()}

    @property
    def hashes(self) -> dict[str, str]:
        """Sha256 of those files."""
        return {name: held.sha256 for name, held in self.files.items()}


def hashes_of(inputs: Mapping[str, Path]) -> dict[str, str]:
    """Return the sha256 of each file in hex, by the same names; of a folder, that of the files in it.

    Raises:
        BadInput: one cannot be read.
    """
    return {name: file_sha256(path, what=name) for name, path in inputs.items()}


def film_key(settings: Settings, *, kind: str, inputs: Mapping[str, Path]) -> str:
    """Name a film or picture apart from the machine: what the user decided, and what is in the files given for it.

    Raises:
        BadInput: an input cannot be read.
    """
    weights = settings.network.weights
    hashes = {**hashes_of(inputs), "weights": weights and file_sha256(weights)}
    return pixel_key(settings, inputs={"kind": kind, **hashes}, environment={})


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
    version = data.get("recipe")
    if type(version) is int and version > VERSION:
        writer = str(data.get("dreamreel", "a later version"))[:60]
        raise BadInput(f"The recipe in {source} comes from Dreamreel {writer}; this one is older.")
    try:
        if type(version) is not int or not 1 <= version <= VERSION:
            raise ValueError(f"'recipe' must be 1 to {VERSION}")
        return to_record(Recipe, {**data, "settings": _as_meant(data.get("settings"), version)})
    except ValueError as error:
        raise BadInput(f"The recipe in {source} is damaged: {error}.") from error


def _as_meant(settings: Any, version: int) -> Any:
    """Add to the settings of a recipe what its version did where later ones have a setting."""
    if isinstance(settings, dict):
        for unknown in (BEFORE[earlier] for earlier in range(version, VERSION)):
            settings = {**unknown, **settings}
    return settings


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
    there = [place for place in places if exists(place)]
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
