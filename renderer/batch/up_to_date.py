"""Whether a film of a batch is made already: by its content, never by its name.

What lies under its name counts if it has the hash that the journal noted. Where the journal is silent - the batch was
killed between the two, or the film was made without it - it counts if it has our recipe inside and can be read from
its first frame to its last.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from renderer.batch.batch_journal import TOLD, BatchJournal, FilmStatus, kept_frames
from renderer.errors import BadInput, DreamreelError, UsageError
from renderer.files import file_sha256
from renderer.films.film import Film
from renderer.films.recipe import Recipe, parse_recipe
from renderer.frame import Size
from renderer.media.ffmpeg.clips import open_clip
from renderer.media.images import read_image
from renderer.media.recipe import read_recipe


def look_for(
    film: Film, status: FilmStatus, keys: tuple[str, str], journal: BatchJournal, *, may_replace: bool
) -> tuple[Film, FilmStatus]:
    """Find out whether a film is made, begun, or still to be made.

    Args:
        film: resolved and checked.
        status: of it, as far as it is planned.
        keys: of its pixels, and of what decides its file besides.
        journal: of the batch.
        may_replace: whether anything under its name may be replaced, not only what this batch made.

    Returns:
        What to make of it, allowed to replace what is ours and to use what is kept of it; and how it stands. One that
        is made without a hash in its status is not known to the journal.

    Raises:
        UsageError: there is something else under its name.
    """
    history = journal.history(film.out)
    ours = may_replace
    done = status.updated(state="done", earlier=True, frames_done=status.pictures)
    if os.path.lexists(film.out):
        noted = history.done.sha256 if history.done else None
        if history.done and noted == file_sha256(film.out):
            if (history.done.film_key, history.done.encode_key) == keys:
                return film, done.updated(**history.done.told(*TOLD))
            ours = True  # Its settings have changed since.
        elif recipe := _recipe(film.out):
            # Killed between the film's name and the journal's line, or made without this batch.
            unknown = history.done is None and history.begun is None
            if (history.begun == keys or unknown) and _is_this(recipe, film, keys[0]) and _is_whole(film):
                return film, done
            ours = ours or (history.begun is not None and recipe.film_key == history.begun[0])
        if not ours:
            raise UsageError(_in_the_way(film, changed=noted is not None))
    if not film.has_store:
        return replace(film, overwrite=ours), status
    film = _with_kept_frames(film, keys[0], journal)
    work = kept_frames(film.folder)
    # Frames of ours that other settings made: the jobs file was changed. Those of the same film are never thrown away.
    stale = work is not None and work.film_key != keys[0] and work.film_key in history.film_keys
    kept = work.frames if work is not None and work.film_key == keys[0] else 0
    status = status.updated(work=film.folder, state="stopped" if kept else "waiting", frames_done=kept)
    return replace(film, overwrite=ours, restart=film.restart or stale), status


def _recipe(path: Path) -> Recipe | None:
    try:
        return parse_recipe(read_recipe(path), source=path)
    except BadInput:
        return None


def _is_this(recipe: Recipe, film: Film, film_key: str) -> bool:
    """Say whether a recipe is that of this film, encoded like this."""
    return recipe.film_key == film_key and recipe.settings.encode == film.settings.encode


def _is_whole(film: Film) -> bool:
    """Say whether a finished file can be read from its first frame to its last."""
    try:
        if film.kind == "still":
            return Size.of(read_image(film.out)) == film.settings.film.size
        clip = open_clip(film.out)
        count = sum(1 for _ in clip.pixels())
    except DreamreelError:
        return False
    # A GIF of more than 50 frames a second is thinned out.
    enough = count == film.frames or (film.out.suffix.lower() == ".gif" and count > 0)
    return enough and not clip.degraded


def _in_the_way(film: Film, *, changed: bool) -> str:
    found = "it was changed since this batch made it" if changed else "this batch did not make it"
    return (
        f"{film.out} exists already, and {found}; move it away, choose another output, or allow it to be replaced "
        "with --overwrite."
    )


def _with_kept_frames(film: Film, film_key: str, journal: BatchJournal) -> Film:
    """Use the kept frames of the same film under another name: a new ending renders nothing again."""
    if film.work_dir is not None or kept_frames(film.folder) is not None:
        return film
    for history in journal.histories():
        if history.done is None or history.done.film_key != film_key or history.done.work is None:
            continue
        folder = journal.base / history.done.work
        work = kept_frames(folder)
        if work is not None and work.done and work.film_key == film_key:
            return replace(film, work_dir=folder)
    return film
