"""Make a film, from settings to the finished file: the one place that puts renderer, store and encoder together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from renderer import runtime
from renderer.dreaming.networks.registry import network_spec
from renderer.errors import BadInput, EnvironmentProblem, Interrupted, UsageError
from renderer.events import Listener, Note, Stage, StageProgress
from renderer.films.film import Film, Result
from renderer.films.first_frame import fit
from renderer.films.guides import check_guides
from renderer.films.local_renderer import FilmRenderer, frames_there, render_here
from renderer.films.outputs import check_not_input, check_room, path_size
from renderer.films.recipe import hashes_of
from renderer.films.render_setup import camera_of, check_memory
from renderer.films.still import DreamedPicture, PictureDreamer, StillFilm, draw_evolution, dream_here
from renderer.films.work import Work, WorkState, check_folder, recipe_of_film
from renderer.frame import Pixels, Size
from renderer.media.ffmpeg.clips import Clip
from renderer.media.ffmpeg.encode import check_encode, encode, read_recipe
from renderer.media.ffmpeg.pipes import FfmpegFailed
from renderer.media.files import check_output
from renderer.media.images import image_size, image_suffix, write_image
from renderer.media.store.store import Store
from renderer.settings.schema import Settings, encode_key, flatten
from renderer.settings.showing import Showing

STORE_BYTES_A_PIXEL = 2.0
"""Bytes that a dreamed pixel takes in the store: dreams are rich in detail, lossless coding saves a third."""


def check(film: Film, *, room: bool = True) -> None:
    """Refuse what cannot end well, as far as it shows without loading anything heavy; nothing is written.

    Args:
        film: to be made.
        room: whether there must be room for its frames by now.

    Raises:
        UsageError, BadInput, EnvironmentProblem, DiskProblem: its output, its inputs, its network.
    """
    settings, inputs = film.settings, film.inputs
    network_spec(settings.network.name)
    weights = settings.network.weights
    if weights is not None and not weights.is_file():
        raise EnvironmentProblem(f"The weights file {weights} does not exist.")
    check_guides(settings)
    check_not_input(film.out, *inputs.values(), weights)
    if "picture" in inputs:
        image_size(inputs["picture"])
    if isinstance(film, StillFilm):
        check_output_picture(film.out, overwrite=film.overwrite)
        if film.evolution is not None:
            check_not_input(film.evolution, *inputs.values(), weights)
            check_output_picture(film.evolution, overwrite=film.overwrite)
            if film.out.resolve() == film.evolution.resolve():
                raise UsageError(f"The picture and its evolution cannot both be written to {film.out}.")
    else:
        check_folder(film.folder)
        chosen = settings.encode
        check_encode(
            film.out, size=film.encoded_size, codec=chosen.codec, quality=chosen.quality, overwrite=film.overwrite
        )
        if room and not os.path.lexists(film.folder):
            size = settings.film.size
            needed = int(film.kept.total * size.width * size.height * STORE_BYTES_A_PIXEL)
            check_room(_there(film.folder), needed=needed, what="This film")
    check_memory(settings, kind=film.kind)


def check_output_picture(path: Path, *, overwrite: bool) -> None:
    """Refuse a picture to be written whose ending says no format, or whose name is taken.

    Raises:
        UsageError, DiskProblem: it cannot be written.
    """
    image_suffix(path)
    check_output(path, overwrite=overwrite)


def make_film(
    film: Film,
    *,
    listener: Listener,
    should_stop: Callable[[], bool] = lambda: False,
    renderer: FilmRenderer = render_here,
    dreamer: PictureDreamer = dream_here,
) -> Result:
    """Make a film, or go on with one that was stopped.

    Args:
        film: what to make.
        listener: is told how it comes along.
        should_stop: asked after each frame; True commits what is there and ends with `Interrupted`.
        renderer: who renders the frames of a film.
        dreamer: who dreams a still.

    Raises:
        Interrupted: it was stopped; the same call goes on.
        DreamreelError: whatever else a user can mend.
    """
    began = time.monotonic()
    if isinstance(film, StillFilm):
        check(film)
        strength = _make_picture(film, dreamer(film, listener), listener)
        return replace(_result(film, kept=1, resumed_at=0, began=began), strength=strength, evolution=film.evolution)
    work = Work(film)
    if (finished := _already_finished(work)) is not None:
        listener(Note(f"{film.out} was finished by an earlier run."))
        return finished
    check(film)
    told = film.warnings()
    for note in told:
        listener(Note(note))
    store = work.reopen_done()
    resumed_at = film.kept.total
    if store is None:
        work.check()
        facts = film.facts(work.known, listener)
        rendering = renderer(film, facts, listener)
        store = work.open(rendering.environment, facts, listener)
        resumed_at = frames_there(store)
    with store:
        if not store.done:
            try:
                rendering.render(store, listener, should_stop)
            except FfmpegFailed as error:  # The store has all frames but the last few.
                listener(Note(f"{error} Once more, from the last frames that are kept."))
                renderer(film, facts, listener).render(store, listener, should_stop)
        finish(
            store,
            film.out,
            settings=film.settings,
            kind=film.kind,
            overwrite=film.overwrite,
            recipe=store.meta,
            clip=film.footage(),
            listener=listener,
            should_stop=should_stop,
            told=told,
        )
        kept = store.count
        if not film.keep_store:
            store.remove()
    return _result(film, kept=kept, resumed_at=resumed_at, began=began)


def _make_picture(film: StillFilm, dream: DreamedPicture, listener: Listener) -> float:
    """Write a dreamed picture, and its sheet where it has one; return the objective at the end."""
    recipe = recipe_of_film(film, dream.environment, hashes_of(film.inputs), facts={}, film_key=film.key)
    write_image(dream.picture, film.out, recipe=recipe, overwrite=film.overwrite)
    if film.evolution is not None:
        listener(Stage("drawing the sheet"))
        sheet = draw_evolution(dream.snapshots, dream.values, title=f"{dream.environment.network}, {film.out.name}")
        write_image(sheet, film.evolution, overwrite=film.overwrite)
    return dream.strength


def finish(
    store: Store,
    out: Path,
    *,
    settings: Settings,
    kind: str,
    overwrite: bool,
    recipe: Mapping[str, Any],
    clip: Clip | None,
    listener: Listener,
    should_stop: Callable[[], bool] = lambda: False,
    told: Collection[str] = (),
) -> None:
    """Encode what is in a store; once more if ffmpeg fails.

    Args:
        store: the frames, or dreams.
        out: the file.
        settings: of the film.
        kind: of film, in `KINDS`.
        overwrite: whether `out` may be replaced.
        recipe: that of the store.
        clip: that the film is dreamed over: its sound is kept, and it is shown beside the dream, as the settings say.
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
    showing = Showing(settings, kind=kind, kept=store.count)

    def progress(done: int) -> None:
        listener(StageProgress(done, showing.frames))
        if should_stop():
            raise Interrupted("Stopped while encoding; the frames are kept, and the same command goes on from here.")

    whole = finished_recipe(recipe, settings=settings, out=out)
    beside = clip if settings.encode.compare else None

    def attempt() -> tuple[str, ...]:
        return encode(
            shown(store, settings, kind=kind) if beside is None else _side_by_side(beside, store, settings, kind=kind),
            out,
            size=showing.size if beside is None else Size(2 * showing.size.width, showing.size.height),
            rate=showing.rate,
            codec=settings.encode.codec,
            quality=settings.encode.quality,
            recipe=whole,
            sound=clip.sound if clip is not None and settings.encode.sound else None,
            overwrite=overwrite,
            threads=runtime.thread_count(),
            progress=progress,
        )

    try:
        notes = attempt()
    except FfmpegFailed as error:
        listener(Note(f"{error} Once more, from the frames that are kept."))
        notes = attempt()
    for note in notes:
        if note not in told:
            listener(Note(note))


def shown(store: Store, settings: Settings, *, kind: str) -> Iterator[Pixels]:
    """Stream the frames of a film `(H, W, 3)`, as it is shown, of what is kept of it.

    Args:
        store: its frames, or dreams.
        settings: of the film.
        kind: of film, in `KINDS`.
    """
    showing = Showing(settings, kind=kind, kept=store.count)
    frames = store.frames()
    if showing.resampled:
        from renderer.render.shown import shown_frames

        frames = shown_frames(
            frames,
            dream_rate=store.rate,
            dream_count=store.count,
            rate=showing.pace,
            frames=range(showing.frames),
            camera=camera_of(settings),
            edges=settings.camera.edges,
            loop=settings.film.loop and store.count == settings.kept(kind).total,
            shutter=showing.shutter,
        )
    return _reframed(frames, settings)


def _side_by_side(clip: Clip, store: Store, settings: Settings, *, kind: str) -> Iterator[Pixels]:
    beside = _reframed(clip.scaled(store.size).pixels(), settings)
    for left, right in zip(beside, shown(store, settings, kind=kind), strict=False):
        yield np.hstack([left, right])


def _reframed(frames: Iterator[Pixels], settings: Settings) -> Iterator[Pixels]:
    """Bring frames of a film's size to that of its file."""
    size = settings.encode.size
    return frames if size is None else (fit(frame, size, how=settings.encode.fit) for frame in frames)


def finished_recipe(recipe: Mapping[str, Any], *, settings: Settings, out: Path) -> dict[str, Any]:
    """Complete a store's recipe with what the file adds: the `encode` settings and their key."""
    chosen = {k: v for k, v in flatten(settings).items() if k.startswith("encode.")}
    key = encode_key(settings, pixels=str(recipe.get("pixel_key", "")), suffix=out.suffix.lower())
    return {**recipe, "settings": {**recipe.get("settings", {}), **chosen}, "encode_key": key}


def _already_finished(work: Work) -> Result | None:
    """Notice a film that an earlier run finished and was killed before it could clean up."""
    film, old = work.film, work.found
    if film.overwrite or film.keep_store or not os.path.lexists(film.out) or old is None or work.recipe is None:
        return None
    try:
        recipe = read_recipe(film.out)
    except BadInput:
        return None
    expected = finished_recipe(old.meta, settings=film.settings, out=film.out)
    if recipe.get("encode_key") != expected["encode_key"] or work.state is not WorkState.DONE:
        return None
    with work.reopen() as store:
        store.remove()
    return _result(film, kept=old.count, resumed_at=old.count, began=time.monotonic())


def _result(film: Film, *, kept: int, resumed_at: int, began: float) -> Result:
    showing = Showing(film.settings, kind=film.kind, kept=kept)
    return Result(
        kind=film.kind,
        path=film.out,
        size=film.encoded_size,
        rate=showing.rate,
        frames=showing.frames,
        kept=kept,
        resumed_at=resumed_at,
        bytes=path_size(film.out),
        took=time.monotonic() - began,
    )


def _there(folder: Path) -> Path:
    """Return the nearest folder above that exists."""
    return next(parent for parent in folder.absolute().parents if parent.is_dir())
