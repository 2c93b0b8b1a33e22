"""The work folder of a film: whose work lies in it, and whether this film may go on with it."""

from __future__ import annotations

import enum
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renderer.errors import BadInput, EnvironmentProblem, UsageError
from renderer.events import Listener, Note
from renderer.films.recipe import Recipe, hashes_of, parse_recipe, write_recipe
from renderer.media.files import disk_errors
from renderer.media.store.store import Store
from renderer.media.store.work_folder import check_ours, is_film_folder
from renderer.settings.schema import FILES, flatten, pixel_key

if TYPE_CHECKING:
    from renderer.films.film import Film
    from renderer.films.local_renderer import Environment


class WorkState(enum.Enum):
    """What lies in the work folder of a film."""

    NEW = "no frames of any film"
    SAME = "frames of this film; it can go on"
    DONE = "all frames of this film; only the encoding is left"
    OTHER = "frames of another film, or of this one with other settings"


class Work:
    """What lies in the work folder of a film before it is made, read once.

    Args:
        film: to be made.
    """

    def __init__(self, film: Film) -> None:
        self.film = film

    @functools.cached_property
    def key(self) -> str:
        """What names the film apart from the machine.

        Raises:
            BadInput: an input cannot be read.
        """
        return self.film.key

    @functools.cached_property
    def found(self) -> Store | None:
        """What lies there, for reading; None if it is no film that can be read."""
        return Store.find(self.film.folder)

    @functools.cached_property
    def recipe(self) -> Recipe | None:
        """The recipe of what lies there; None if there is none that can be read."""
        return None if self.found is None else recipe_of(self.found)

    @property
    def state(self) -> WorkState:
        """Say what may be done with what lies there."""
        if self.found is None:
            return WorkState.NEW
        if self.recipe is not None and self.recipe.film_key == self.key:
            return WorkState.DONE if self.found.done else WorkState.SAME
        return WorkState.OTHER if self.found.begun else WorkState.NEW

    @property
    def known(self) -> Mapping[str, Any]:
        """What earlier work on the same film found out about its inputs; empty where there is none."""
        same = self.state in (WorkState.SAME, WorkState.DONE)
        return self.recipe.facts if same and self.recipe is not None else {}

    def reopen(self) -> Store:
        """Open what lies there to go on with it, as it was begun.

        Raises:
            UsageError, BadInput, DiskProblem: as `Store.open`.
        """
        old = self.found
        assert old is not None
        return Store.open(old.directory, size=old.size, rate=old.rate, pixel_key=old.pixel_key, meta=old.meta)

    def reopen_done(self) -> Store | None:
        """Open the work of a film whose frames are all there and whole; None if it is not."""
        if self.state is not WorkState.DONE:
            return None
        store = self.reopen()
        if store.done:
            return store
        store.close()
        return None

    def check(self) -> None:
        """Refuse to go on in a folder that holds frames of a film with other settings.

        Raises:
            UsageError: it does, and `restart` is not set.
        """
        if self.state is not WorkState.OTHER or self.film.restart:
            return
        recipe, changed = self.recipe, []
        if recipe is not None:
            before, now = flatten(recipe.settings), flatten(self.film.settings)
            changed = [
                f"{k} was {before[k]!r} and is {now[k]!r}"
                for k in now
                if before[k] != now[k] and not k.startswith("encode.") and k not in FILES.values()
            ]
            held, hashes = recipe.hashes, hashes_of(self.film.inputs)
            changed += [f"it was made from another {n}" for n in {**held, **hashes} if held.get(n) != hashes.get(n)]
        what = ", ".join(changed[:4]) or ("its recipe cannot be read" if recipe is None else "other weights")
        raise UsageError(
            f"{self.film.folder} holds an unfinished film with other settings ({what}). "
            "Give the same settings to go on with it, --restart to throw it away, or another name with -o."
        )

    def open(self, environment: Environment, facts: Mapping[str, Any], listener: Listener) -> Store:
        """Open the folder for this film, and refuse the work of another film or another machine.

        Args:
            environment: what renders the film.
            facts: what was found out about its inputs.
            listener: is told what was found damaged.

        Raises:
            EnvironmentProblem: what lies there was begun by another machine, or with other weights.
            UsageError, BadInput, DiskProblem: as `Store.open`.
        """
        film, settings = self.film, self.film.settings
        recipe = recipe_of_film(film, environment, hashes_of(film.inputs), facts=facts, film_key=self.key)
        key, restart = recipe["pixel_key"], film.restart
        old = Store.find(film.folder)  # Once more: another run may have begun while the network was loaded.
        if old is not None and old.pixel_key != key and not restart:
            if old.begun:
                key, recipe = _changed_environment(film, old, recipe, listener)
            else:
                restart = True  # nothing of the other film is lost
        store = Store.open(
            film.folder, size=settings.film.size, rate=film.kept.rate, pixel_key=key, meta=recipe, restart=restart
        )
        for note in store.notes:
            listener(Note(note))
        return store


def recipe_of_film(
    film: Film, environment: Environment, hashes: Mapping[str, str], *, facts: Mapping[str, Any], film_key: str
) -> dict[str, Any]:
    """Put the recipe of a film together as JSON values, given the sha256 of each of its inputs.

    Raises:
        EnvironmentProblem: it is to be made with other weights than there are here.
    """
    if film.weights_sha256 not in (None, environment.weights_sha256):
        raise EnvironmentProblem(
            f"The weights of {environment.network!r} here are not those that the film was made with "
            f"(sha256 {environment.weights_sha256[:16]}..., then {str(film.weights_sha256)[:16]}...); "
            "give those with --weights."
        )
    inputs = {"kind": film.kind, **hashes, "weights": environment.weights_sha256}
    return write_recipe(
        film.settings,
        kind=film.kind,
        inputs={name: (path, hashes[name]) for name, path in film.inputs.items()},
        facts=facts,
        weights_sha256=environment.weights_sha256,
        environment=environment.details,
        pixel_key=pixel_key(film.settings, inputs=inputs, environment=environment.details),
        film_key=film_key,
    )


def _changed_environment(
    film: Film, old: Store, recipe: dict[str, Any], listener: Listener
) -> tuple[str, dict[str, Any]]:
    """Go on with work that another environment began, if the user says so: under its key, with a word in the recipe."""
    held = recipe_of(old)
    before, now = {} if held is None else held.environment, recipe["environment"]
    changed = [f"{k}: {before.get(k)} -> {now.get(k)}" for k in {**before, **now} if before.get(k) != now.get(k)]
    if held is None or held.weights_sha256 != recipe["weights_sha256"]:
        changed.append("the network's weights")
    what = "; ".join(changed) or "the environment"
    if not film.allow_env_change:
        raise EnvironmentProblem(
            f"The unfinished film in {film.folder} was begun with something else ({what}), so it may go on with other "
            "bytes. Give --allow-env-change to go on all the same, or --restart to begin again."
        )
    listener(Note(f"Going on although something changed ({what}); the film may show a seam."))
    key, seams = old.pixel_key, [] if held is None else [seam.model_dump() for seam in held.seams]
    seams.append({"frame": old.count, "changed": changed})
    return key, {**recipe, "pixel_key": key, "seams": seams}


def check_folder(folder: Path) -> None:
    """Refuse a work folder that is neither empty nor ours, before the work for it begins.

    Raises:
        UsageError, BadInput: as `work_folder.check_ours`.
        DiskProblem: it cannot be read.
    """
    if os.path.lexists(folder):
        with disk_errors(folder):
            check_ours(folder, is_ours=is_film_folder)


def recipe_of(store: Store) -> Recipe | None:
    """Read the recipe of a film that lies in a work folder; None if there is none that can be read."""
    try:
        return parse_recipe(store.meta, source=store.directory)
    except BadInput:
        return None
