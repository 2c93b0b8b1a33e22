"""The work folder of a film: whose work lies in it, and whether this film may go on with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renderer.errors import BadInput, EnvironmentProblem, UsageError
from renderer.events import Listener, Note
from renderer.films.first_frame import hashes_of
from renderer.films.recipe import Recipe, parse_recipe, write_recipe
from renderer.media.files import disk_errors
from renderer.media.store.store import Store
from renderer.media.store.work_folder import check_ours, is_film_folder
from renderer.settings.schema import FILES, flatten, pixel_key

if TYPE_CHECKING:
    from renderer.films.film import Film
    from renderer.films.local_renderer import Maker


def open_done(film: Film, film_key: str) -> Store | None:
    """Open the work of a film whose frames are all there, so that only the encoding is left; None if there is none."""
    old = Store.find(film.folder)
    recipe = None if old is None else recipe_of(old)
    if old is None or not old.done or recipe is None or recipe.film_key != film_key:
        return None
    store = Store.open(film.folder, size=old.size, rate=old.rate, pixel_key=old.pixel_key, meta=old.meta)
    if store.done:
        return store
    store.close()
    return None


def known(film: Film, film_key: str) -> Mapping[str, Any]:
    """Return what was found out about the inputs by unfinished work on the same film; empty where there is none."""
    old = Store.find(film.folder)
    recipe = None if old is None else recipe_of(old)
    return recipe.facts if recipe is not None and recipe.film_key == film_key else {}


def open_store(film: Film, film_key: str, maker: Maker, facts: Mapping[str, Any], listener: Listener) -> Store:
    """Open the work folder for this film, and refuse the work of another film or another machine."""
    settings = film.settings
    if film.weights_sha256 not in (None, maker.weights_sha256):
        raise EnvironmentProblem(
            f"The weights of {maker.network!r} here are not those that the film was made with (sha256 "
            f"{maker.weights_sha256[:16]}..., then {str(film.weights_sha256)[:16]}...); give those with --weights."
        )
    hashes = hashes_of(film.inputs)
    inputs = {"kind": film.kind, **hashes, "weights": maker.weights_sha256}
    key = pixel_key(settings, inputs=inputs, environment=maker.environment)
    recipe = write_recipe(
        settings,
        kind=film.kind,
        inputs={name: (path, hashes[name]) for name, path in film.inputs.items()},
        facts=facts,
        weights_sha256=maker.weights_sha256,
        environment=maker.environment,
        pixel_key=key,
        film_key=film_key,
    )
    old, restart = Store.find(film.folder), film.restart
    if old is not None and old.pixel_key != key and not restart:
        if old.begun:
            key, recipe = _changed_environment(film, old, recipe, listener)
        else:
            restart = True  # nothing of the other film is lost
    store = Store.open(
        film.folder, size=settings.film.size, rate=settings.rate, pixel_key=key, meta=recipe, restart=restart
    )
    for note in store.notes:
        listener(Note(note))
    return store


def check_unfinished(film: Film, film_key: str) -> None:
    """Refuse to go on in a folder that holds frames of a film with other settings.

    Raises:
        UsageError: it does, and `restart` is not set.
    """
    old = Store.find(film.folder)
    if old is None or not old.begun or film.restart:
        return
    recipe, changed = recipe_of(old), []
    if recipe is not None:
        if recipe.film_key == film_key:
            return
        before, now = flatten(recipe.settings), flatten(film.settings)
        changed = [
            f"{k} was {before[k]!r} and is {now[k]!r}"
            for k in now
            if before[k] != now[k] and not k.startswith("encode.") and k not in FILES.values()
        ]
        held, hashes = recipe.hashes, hashes_of(film.inputs)
        changed += [f"it was made from another {n}" for n in {**held, **hashes} if held.get(n) != hashes.get(n)]
    what = ", ".join(changed[:4]) or ("its recipe cannot be read" if recipe is None else "other weights")
    raise UsageError(
        f"{film.folder} holds an unfinished film with other settings ({what}). "
        "Give the same settings to go on with it, --restart to throw it away, or another name with -o."
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
