"""Make a film, from settings to the finished file: the one place that puts parts, store and encoder together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from renderer import runtime
from renderer.dreaming.networks.registry import network_spec
from renderer.errors import BadInput, EnvironmentProblem, Interrupted
from renderer.events import Listener, Note, Stage, StageProgress
from renderer.films.film import Extras, Film, Result
from renderer.films.guides import check_guides
from renderer.films.local_renderer import FilmRenderer, frames_there, render_here
from renderer.films.outputs import check_not_input, check_room, path_size
from renderer.films.render_setup import check_memory
from renderer.films.work import (
    check_folder,
    check_unfinished,
    known,
    open_done,
    open_store,
    recipe_of,
)
from renderer.frame import Pixels, Size
from renderer.media.ffmpeg.clips import Clip
from renderer.media.ffmpeg.encode import check_encode, encode, read_recipe
from renderer.media.ffmpeg.pipes import FfmpegFailed
from renderer.media.store.store import Store
from renderer.settings.schema import Settings, encode_key, flatten

STORE_BYTES_A_PIXEL = 2.0
"""Bytes that a dreamed pixel takes in the store: dreams are rich in detail, lossless coding saves a third."""


def check(film: Film) -> None:
    """Refuse what cannot end well, before anything heavy is loaded.

    Raises:
        UsageError, BadInput, DiskProblem: the output, the picture or the guides.
    """
    settings = film.settings
    network_spec(settings.network.name)
    check_guides(settings)
    check_not_input(film.out, *film.inputs.values(), settings.network.weights)
    check_encode(
        film.out,
        size=film.encoded_size,
        codec=settings.encode.codec,
        quality=settings.encode.quality,
        overwrite=film.overwrite,
    )
    size, count = settings.film.size, settings.frame_count
    check_folder(film.folder)
    if not os.path.lexists(film.folder):
        needed = int(count * size.width * size.height * STORE_BYTES_A_PIXEL)
        check_room(_there(film.folder), needed=needed, what="This film")
    check_memory(settings, kind=film.kind)
    weights = settings.network.weights
    if weights is not None and not weights.is_file():
        raise EnvironmentProblem(f"The weights file {weights} does not exist.")


def make_film(
    film: Film,
    *,
    listener: Listener,
    should_stop: Callable[[], bool] = lambda: False,
    renderer: FilmRenderer = render_here,
) -> Result:
    """Make a film, or go on with one that was stopped.

    Args:
        film: what to make.
        listener: is told how it comes along.
        should_stop: asked after each frame; True commits what is there and ends with `Interrupted`.
        renderer: who renders the frames.

    Raises:
        Interrupted: it was stopped; the same call goes on.
        DreamreelError: whatever else a user can mend.
    """
    began = time.monotonic()
    if (finished := _already_finished(film)) is not None:
        listener(Note(f"{film.out} was finished by an earlier run."))
        return finished
    check(film)
    told = film.warnings()
    for note in told:
        listener(Note(note))
    key = film.key
    store = open_done(film, key)
    resumed_at = film.settings.frame_count
    if store is None:
        check_unfinished(film, key)
        facts = film.facts(known(film, key), listener)
        rendering = renderer(film, facts, listener)
        store = open_store(film, key, rendering.maker, facts, listener)
        resumed_at = frames_there(store)
    with store:
        if not store.done:
            try:
                rendering.render(store, listener=listener, should_stop=should_stop)
            except FfmpegFailed as error:  # The store has all frames but the last few.
                listener(Note(f"{error} Once more, from the last frames that are kept."))
                renderer(film, facts, listener).render(store, listener=listener, should_stop=should_stop)
        finish(
            store,
            film.out,
            settings=film.settings,
            overwrite=film.overwrite,
            recipe=store.meta,
            extras=film.extras(),
            listener=listener,
            should_stop=should_stop,
            told=told,
        )
        frames = store.count
        if not film.keep_store:
            store.remove()
    return _result(film, frames=frames, resumed_at=resumed_at, took=time.monotonic() - began)


def finish(
    store: Store,
    out: Path,
    *,
    settings: Settings,
    overwrite: bool,
    recipe: Mapping[str, Any],
    extras: Extras,
    listener: Listener,
    should_stop: Callable[[], bool] = lambda: False,
    told: Collection[str] = (),
) -> None:
    """Encode what is in a store; once more if ffmpeg fails.

    Args:
        store: the frames.
        out: the file.
        settings: of the film.
        overwrite: whether `out` may be replaced.
        recipe: that of the store.
        extras: what the file has beside the frames.
        listener: is told how it comes along.
        should_stop: asked after each frame.
        told: notes that were told before.

    Raises:
        BadInput: there are no frames.
        Interrupted: it was stopped.
        DiskProblem, EnvironmentProblem: it could not be written.
    """
    if not store.count:
        raise BadInput(f"There is not one finished frame in {store.directory} yet.")
    listener(Stage(f"encoding {out.name}"))

    def progress(done: int) -> None:
        listener(StageProgress(done, store.count))
        if should_stop():
            raise Interrupted("Stopped while encoding; the frames are kept, and the same command goes on from here.")

    attempt = partial(_encode, store, out, settings=settings, extras=extras, overwrite=overwrite, progress=progress)
    whole = finished_recipe(recipe, settings=settings, out=out)
    try:
        notes = attempt(recipe=whole)
    except FfmpegFailed as error:
        listener(Note(f"{error} Once more, from the frames that are kept."))
        notes = attempt(recipe=whole)
    for note in notes:
        if note not in told:
            listener(Note(note))


def _encode(
    store: Store,
    out: Path,
    *,
    settings: Settings,
    extras: Extras,
    overwrite: bool,
    recipe: Mapping[str, Any],
    progress: Callable[[int], None],
) -> tuple[str, ...]:
    beside = extras.beside
    return encode(
        store.frames() if beside is None else _side_by_side(beside, store),
        out,
        size=store.size if beside is None else Size(2 * store.size.width, store.size.height),
        rate=store.rate,
        codec=settings.encode.codec,
        quality=settings.encode.quality,
        recipe=recipe,
        sound=extras.sound,
        overwrite=overwrite,
        threads=runtime.thread_count(),
        progress=progress,
    )


def _side_by_side(clip: Clip, store: Store) -> Iterator[Pixels]:
    for left, right in zip(clip.scaled(store.size).pixels(), store.frames(), strict=False):
        yield np.hstack([left, right])


def finished_recipe(recipe: Mapping[str, Any], *, settings: Settings, out: Path) -> dict[str, Any]:
    """Complete a store's recipe with what the file adds: the `encode` settings and their key."""
    chosen = {k: v for k, v in flatten(settings).items() if k.startswith("encode.")}
    key = encode_key(settings, pixels=str(recipe.get("pixel_key", "")), suffix=out.suffix.lower())
    return {**recipe, "settings": {**recipe.get("settings", {}), **chosen}, "encode_key": key}


def _already_finished(film: Film) -> Result | None:
    """Notice a film that an earlier run finished and was killed before it could clean up."""
    if film.overwrite or film.keep_store or not os.path.lexists(film.out):
        return None
    old = Store.find(film.folder)
    held = None if old is None else recipe_of(old)
    if old is None or held is None:
        return None
    try:
        recipe = read_recipe(film.out)
    except BadInput:
        return None
    expected = finished_recipe(old.meta, settings=film.settings, out=film.out)
    same = recipe.get("encode_key") == expected["encode_key"] and held.film_key == film.key
    if not (old.done and same):
        return None
    with Store.open(film.folder, size=old.size, rate=old.rate, pixel_key=old.pixel_key, meta=old.meta) as store:
        store.remove()
    return _result(film, frames=old.count, resumed_at=old.count, took=0.0)


def _result(film: Film, *, frames: int, resumed_at: int, took: float) -> Result:
    return Result(
        path=film.out,
        size=film.encoded_size,
        rate=film.settings.rate,
        frames=frames,
        resumed_at=resumed_at,
        bytes=path_size(film.out),
        took=took,
    )


def _there(folder: Path) -> Path:
    """Return the nearest folder above that exists."""
    return next(parent for parent in folder.absolute().parents if parent.is_dir())
