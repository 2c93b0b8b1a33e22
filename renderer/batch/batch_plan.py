"""What a batch will do: every film of a jobs file resolved and checked before anything heavy is loaded.

Films that would spoil each other refuse the batch; what is wrong with one film is that film's own error.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from renderer.batch.batch_journal import TOLD, Records
from renderer.batch.conflicts import check_apart
from renderer.batch.jobfile import JobsFile, Wish, read_jobs
from renderer.batch.patterns import plain
from renderer.batch.status import Row
from renderer.batch.up_to_date import Found, look_for
from renderer.dreaming.networks.registry import network_spec
from renderer.errors import BadInput, DreamreelError, EnvironmentProblem, UsageError, bug, known_error, nearest
from renderer.films.film import Film
from renderer.films.first_frame import own_size
from renderer.films.guides import check_guides
from renderer.films.outputs import check_not_input
from renderer.films.recipe import film_key
from renderer.films.render_setup import check_memory
from renderer.films.still import Still
from renderer.films.video import video_film
from renderer.films.work import check_folder
from renderer.media.ffmpeg.encode import check_encode
from renderer.media.files import check_output
from renderer.media.images import image_size, image_suffix
from renderer.settings.schema import build, encode_key, flatten


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """What holds for a whole run.

    Attributes:
        only: names or globs of the films to make; empty for all.
        overwrite: whether files that are not this batch's may be replaced.
        keep_store: whether the lossless frames stay, also where the jobs file does not say so.
        work_dir: where the frames lie meanwhile; beside each film if None.
        restart: whether unfinished work of somebody else's may be thrown away.
        allow_env_change: whether work goes on that another version or machine began.
    """

    only: Sequence[str] = ()
    overwrite: bool = False
    keep_store: bool = False
    work_dir: Path | None = None
    restart: bool = False
    allow_env_change: bool = False


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One film of a batch, ready to be made, or made, or with the reason why it cannot be.

    Attributes:
        row: how it shows.
        priority: films with more are made first.
        film: what to make; None where `error` says why not.
        film_key: stands for all that decides its pixels, apart from the machine; "" for none.
        encode_key: for what decides the file besides.
        known: whether it is made and the journal knows it.
        error: why it cannot be made.
        notes: what the user should know.
    """

    row: Row
    priority: int = 0
    film: Film | Still | None = None
    film_key: str = ""
    encode_key: str = ""
    known: bool = False
    error: DreamreelError | None = None
    notes: tuple[str, ...] = ()


def open_jobs(path: Path, *, output_dir: Path | None = None) -> JobsFile:
    """Read a jobs file whose films do not spoil each other.

    Raises:
        BadInput, UsageError: as `read_jobs`, and as `check_apart`.
    """
    jobs = read_jobs(path, output_dir=output_dir)
    check_apart(jobs)
    return jobs


def plan_batch(
    jobs: JobsFile,
    records: Records,
    *,
    options: BatchOptions = BatchOptions(),
    progress: Callable[[int, int], None] = lambda *_: None,
) -> tuple[Planned, ...]:
    """Resolve and check every film, and find out which are made already.

    Args:
        jobs: what the jobs file asks for.
        records: what the journal tells of former runs.
        options: of this run.
        progress: told how many films are looked at.

    Returns:
        The films in the order of the file; those left out by `options.only` are not among them.

    Raises:
        UsageError: two films are the same, with both names; `only` names none.
    """
    wishes = chosen(jobs.wishes, options.only)
    planned = []
    for index, wish in enumerate(wishes):
        progress(index, len(wishes))
        planned.append(plan_one(wish, records, options=options))
    _check_unlike(planned)
    return tuple(planned)


def chosen(wishes: Sequence[Wish], only: Sequence[str]) -> list[Wish]:
    """Choose films by names or globs.

    Raises:
        UsageError: one of them names no film.
    """
    names = [wish.name for wish in wishes]
    for pattern in only:
        if not any(_named(name, pattern) for name in names):
            raise UsageError(f"--only {pattern}: there is no such film in the jobs file{nearest(pattern[:100], names)}")
    return [wish for wish in wishes if not only or any(_named(wish.name, pattern) for pattern in only)]


def _named(name: str, pattern: str) -> bool:
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def _check_unlike(planned: Sequence[Planned]) -> None:
    """Refuse two films that are the same film under two names."""
    seen: dict[tuple[str, str], str] = {}
    for one in planned:
        if one.film_key:
            twin = seen.setdefault((one.film_key, one.encode_key), one.row.name)
            if twin != one.row.name:
                raise UsageError(
                    f"The films {twin!r} and {one.row.name!r} are the same film: the same settings, the same input, "
                    "the same format. Change one of them, its seed for instance, or leave it out."
                )


# --- one film --------------------------------------------------------------------------------------------------------


def wished(wish: Wish) -> Row:
    """Show a film that was not looked at yet."""
    source = "" if wish.input is None else str(wish.input)
    return Row(name=wish.name, kind=wish.kind, preset=wish.preset, out=wish.output, source=source)


def plan_one(wish: Wish, records: Records, *, options: BatchOptions) -> Planned:
    """Resolve and check one film; what is wrong with it is in the result."""
    row = wished(wish)
    notes = wish.resolved.notes if wish.resolved else ()
    planned = Planned(row=row, priority=wish.priority, notes=notes)
    try:
        if wish.error is not None or wish.output is None:
            raise wish.error or BadInput(f"{wish.where}: its output cannot be named.")
        film = KINDS[wish.kind](wish, wish.output, options)
        planned = replace(planned, film=film, row=_described(row, film))
        check_film(film)
        film_key, encoding = keys_of(film)
        planned = replace(planned, film_key=film_key, encode_key=encoding)
        found = look_for(film, (film_key, encoding), records, may_replace=options.overwrite or wish.overwrite)
        if isinstance(film, Film) and found.done is None:
            planned = replace(planned, notes=(*planned.notes, *film.warnings()))
        return replace(planned, film=found.film, known=bool(found.done), row=_found(planned.row, found))
    except Exception as error:
        known = known_error(error) or bug(error)
        return replace(planned, error=known, film_key="", row=replace(planned.row, state="failed"))


def _found(row: Row, found: Found) -> Row:
    """Show what was found of a film."""
    work = found.film.folder if isinstance(found.film, Film) else None
    if found.done is None:
        return replace(row, work=work, state="stopped" if found.kept else "waiting", frames_done=found.kept)
    told = {name: found.done[name] for name in TOLD if name in found.done}
    row = replace(row, **told, work=work, state="done", earlier=True)
    return replace(row, frames_done=row.frames)


def _zoom(wish: Wish, out: Path, options: BatchOptions) -> Film:
    assert wish.resolved is not None
    return Film(settings=wish.resolved.settings, picture=wish.input, **_common(wish, out, options))


def _video(wish: Wish, out: Path, options: BatchOptions) -> Film:
    if wish.input is None:
        raise UsageError(f"{wish.where}: input is missing: a film of kind video is dreamed over a clip.")
    assert wish.resolved is not None
    common = _common(wish, out, options)
    return video_film(wish.resolved, wish.input, common.pop("out"), mask=wish.mask, cuts=wish.cuts, **common)


def _still(wish: Wish, out: Path, options: BatchOptions) -> Still:
    del options
    assert wish.resolved is not None
    settings = wish.resolved.settings
    if wish.input is not None:
        # The size is settled here, so that its key is known without reading the picture.
        size = settings.film.size if "film.size" in wish.values else own_size(image_size(wish.input), settings)
        settings = build({**flatten(settings), "film.size": str(size), "film.frames": 1})
    return Still(settings=settings, out=out, picture=wish.input, mask=wish.mask, own_size=False)


KINDS: dict[str, Callable[[Wish, Path, BatchOptions], Film | Still]] = {
    "zoom": _zoom,
    "video": _video,
    "still": _still,
}
"""Kind of film -> what puts it together. `jobfile.KINDS` names the same."""


def _common(wish: Wish, out: Path, options: BatchOptions) -> dict[str, Any]:
    work_dir = None
    if options.work_dir is not None:
        place = hashlib.sha256(os.fsencode(out.absolute())).hexdigest()[:8]
        work_dir = options.work_dir / f".{plain(wish.name)}-{place}.dreamreel"
    return {
        "out": out,
        "keep_store": options.keep_store or wish.keep_store,
        "work_dir": work_dir,
        "restart": options.restart,
        "allow_env_change": options.allow_env_change,
    }


def _described(row: Row, film: Film | Still) -> Row:
    settings = film.settings
    described = replace(row, network=settings.network.name, seed=settings.seed)
    if isinstance(film, Still):
        return replace(described, size=str(settings.film.size), frames=1)
    return replace(
        described,
        size=str(film.encoded_size),
        fps=str(settings.rate),
        frames=settings.frame_count,
        seconds=settings.duration,
        work=film.folder,
    )


def check_film(film: Film | Still) -> None:
    """Refuse what cannot end well, as far as it shows without loading anything heavy; nothing is written.

    Raises:
        UsageError, BadInput, EnvironmentProblem, DiskProblem: its output, its input, its network.
    """
    settings = film.settings
    network_spec(settings.network.name)
    weights = settings.network.weights
    if weights is not None and not weights.is_file():
        raise EnvironmentProblem(f"The weights file {weights} does not exist.")
    inputs = film.inputs
    check_guides(settings)
    check_memory(settings, kind=film.kind if isinstance(film, Film) else "still")
    check_not_input(film.out, *inputs.values(), weights)
    if "picture" in inputs:
        image_size(inputs["picture"])
    # Its folder is made when its turn comes; whether it can be, the folder above it tells.
    above = next(folder for folder in film.out.absolute().parents if folder.exists())
    place = film.out if film.out.parent.is_dir() else above / film.out.name
    if isinstance(film, Still):
        image_suffix(film.out)
        check_output(place, overwrite=True)
    else:
        check_folder(film.folder)
        chosen = settings.encode
        check_encode(place, size=film.encoded_size, codec=chosen.codec, quality=chosen.quality, overwrite=True)


def keys_of(film: Film | Still) -> tuple[str, str]:
    """Name what decides a film's pixels, apart from the machine, and what decides its file besides.

    Raises:
        BadInput: an input cannot be read.
    """
    key = film_key(film.settings, kind=film.kind, inputs=film.inputs)
    return key, encode_key(film.settings, pixels="", suffix=film.out.suffix.lower())
