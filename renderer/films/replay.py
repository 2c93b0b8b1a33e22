"""Films made again: encoded anew from a store, or rendered anew from a recipe."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from renderer.errors import BadInput, UsageError
from renderer.events import Listener, Note
from renderer.films.film import Film, Result
from renderer.films.make import finish
from renderer.films.new_film import FILMS
from renderer.films.outputs import check_not_input, path_size, work_folder
from renderer.films.recipe import Recipe, find_input, parse_recipe
from renderer.films.video import VideoFilm
from renderer.frame import Size
from renderer.media.ffmpeg.clips import Clip
from renderer.media.ffmpeg.encode import check_encode, read_recipe
from renderer.media.store.store import Store
from renderer.media.store.work_folder import FILM
from renderer.settings.rules import Asked, why_idle
from renderer.settings.schema import FILES, Settings, build, flatten, with_files
from renderer.settings.showing import Showing


def encode_again(
    source: Path,
    out: Path,
    *,
    encode: Mapping[str, Any] = MappingProxyType({}),
    clip: Path | None = None,
    overwrite: bool = False,
    listener: Listener,
    should_stop: Callable[[], bool] = lambda: False,
) -> Result:
    """Encode the frames of a work folder, finished or not, without dreaming.

    Args:
        source: the work folder, or the film that it lies beside.
        out: the file to make.
        encode: `encode` settings to take in place of the film's, by dotted name; codec and quality suit the ending if
            they are not among them.
        clip: where the video is now that it was made from; None to look for it.
        overwrite: whether `out` may be replaced.
        listener: is told how it comes along.
        should_stop: asked after each frame.

    Raises:
        BadInput: no frames are there, or the video whose sound is kept is not there or is another one now.
        DreamreelError: as `make.finish`.
    """
    began = time.monotonic()
    store = _find_store(source)
    recipe = parse_recipe(store.meta, source=store.directory)
    settings = _encoded_anew(recipe.settings, encode)
    _check_counts(encode, settings, kind=recipe.kind)
    check_not_input(out, *recipe.inputs.values())
    footage = _footage(recipe, settings, out, source=source, clip=clip)
    beside = footage is not None and settings.encode.compare
    showing = Showing(settings, kind=recipe.kind, kept=store.count)
    size = Size(2 * showing.size.width, showing.size.height) if beside else showing.size
    chosen = settings.encode
    check_encode(out, size=size, codec=chosen.codec, quality=chosen.quality, overwrite=overwrite)
    kept_rate, total = settings.kept(recipe.kind)
    if store.count < total:
        what = "frames" if kept_rate == settings.rate else "dreams"
        listener(Note(f"{store.count} of {total} {what} are there; the film is made of these."))
    for note in store.notes:
        listener(Note(note))
    meta = store.meta if store.count == total else {**store.meta, "frames": showing.frames}
    finish(
        store,
        out,
        settings=settings,
        kind=recipe.kind,
        overwrite=overwrite,
        recipe=meta,
        clip=footage,
        listener=listener,
        should_stop=should_stop,
    )
    return Result(
        kind=recipe.kind,
        path=out,
        size=size,
        rate=showing.rate,
        frames=showing.frames,
        kept=store.count,
        resumed_at=store.count,
        bytes=path_size(out),
        took=time.monotonic() - began,
    )


def film_from_recipe(
    source: Path,
    out: Path,
    *,
    given: Mapping[str, Path | None] = MappingProxyType({}),
    encode: Mapping[str, Any] = MappingProxyType({}),
    **options: Any,
) -> tuple[Film, Recipe]:
    """Read the recipe inside a film or picture, and put together what makes it again.

    Args:
        source: the film.
        out: where the new one goes.
        given: where its inputs are now, by what they are to it, keys of `SAY_WHERE`, if they are no longer where they
            were.
        encode: as `encode_again` takes it; codec and quality are the recipe's if the ending is the same and neither is
            given.
        options: further attributes of `Film`.

    Raises:
        BadInput: no recipe, or a file that it names is not there or is another one now.
        UsageError: a codec or a quality for a picture.
    """
    recipe = parse_recipe(read_recipe(source), source=source)
    check_not_input(out, source)
    inputs = {
        name: find_input(given.get(name), recorded=path, sha256=recipe.hashes[name], film=source, what=name)
        for name, path in recipe.inputs.items()
    }
    recorded = recipe.settings.network.weights
    found = find_input(
        given.get("weights"), recorded=recorded, sha256=recipe.weights_sha256, film=source, what="weights"
    )
    if out.suffix.lower() != source.suffix.lower() or {"encode.codec", "encode.quality"} & encode.keys():
        settings = _encoded_anew(recipe.settings, encode)
    else:
        settings = build({**flatten(recipe.settings), **encode})
    _check_counts(encode, settings, kind=recipe.kind)
    places = {name: path for name, path in {**inputs, "weights": found}.items() if path is not None}
    settings = with_files(settings, places)
    known: dict[str, Any] = {name: path for name, path in inputs.items() if name not in FILES}
    known |= {"found": recipe.facts} if recipe.kind == VideoFilm.kind else {}
    weights_sha256 = recipe.weights_sha256 or None
    return FILMS[recipe.kind](settings=settings, out=out, weights_sha256=weights_sha256, **known, **options), recipe


def _footage(recipe: Recipe, settings: Settings, out: Path, *, source: Path, clip: Path | None) -> Clip | None:
    """Find the video that a film was made from, where its sound is kept or it is shown beside the dream.

    Raises:
        BadInput: the video is not there, and without it something would be lost.
    """
    if recipe.kind != VideoFilm.kind or not (settings.encode.sound or settings.encode.compare):
        return None
    try:
        found = find_input(clip, recorded=recipe.inputs["clip"], sha256=recipe.hashes["clip"], film=source, what="clip")
        assert found is not None
        return VideoFilm(settings=settings, out=out, clip=found).footage()
    except BadInput as error:
        hint = "" if settings.encode.compare else " Or leave its sound out with --no-sound."
        raise BadInput(f"{error}{hint}") from error


def _find_store(source: Path) -> Store:
    for folder in (source, work_folder(source)):
        if os.path.lexists(folder / FILM):
            return Store.existing(folder)
    if not os.path.lexists(source):
        raise BadInput(f"{source} does not exist.")
    raise BadInput(
        f"The lossless frames of {source} are not there: its work folder {work_folder(source)} is gone, as after any "
        "film is finished without --keep-store. `dreamreel replay` renders them again."
    )


def _check_counts(encode: Mapping[str, Any], settings: Settings, *, kind: str) -> None:
    """Refuse what was asked of the encoding and would do nothing for this film.

    Raises:
        UsageError: with the reason.
    """
    for key in encode:
        if idle := why_idle(key, Asked(settings=settings, kind=kind)):
            raise UsageError(idle.sentence)


def _encoded_anew(settings: Settings, encode: Mapping[str, Any]) -> Settings:
    return build({**flatten(settings), "encode.codec": None, "encode.quality": None, **encode})
