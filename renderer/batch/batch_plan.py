"""What a batch will do: every film of a jobs file resolved and checked before anything heavy is loaded.

Films that would spoil each other refuse the batch; what is wrong with one film is that film's own error.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from renderer.batch.batch_journal import BatchJournal, FilmStatus
from renderer.batch.jobfile import JobsFile, JobSpec, read_jobs
from renderer.batch.patterns import plain
from renderer.batch.up_to_date import look_for
from renderer.errors import BadInput, DreamreelError, UsageError, bug, known_error, nearest
from renderer.films.film import Film, RunOptions
from renderer.films.make import check
from renderer.films.new_film import new_film, preview_settings
from renderer.films.outputs import preview_name
from renderer.settings.kinds import KINDS
from renderer.settings.schema import encode_key, files_of


@dataclass(frozen=True, kw_only=True)
class BatchOptions(RunOptions):
    """What holds for a whole run: how its films are made, also where the jobs file does not say so.

    Attributes:
        only: names or globs of the films to make; empty for all.
        preview: whether previews of the films are made, and not they.
    """

    only: Sequence[str] = ()
    preview: bool = False


@dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """One film of a batch, ready to be made, or made, or with the reason why it cannot be.

    Attributes:
        status: how it shows.
        priority: films with more are made first.
        film: what to make; None where `error` says why not.
        film_key: stands for all that decides its pixels, apart from the machine; "" for none.
        encode_key: for what decides the file besides.
        error: why it cannot be made.
        notes: what the user should know.
    """

    status: FilmStatus
    priority: int = 0
    film: Film | None = None
    film_key: str = ""
    encode_key: str = ""
    error: DreamreelError | None = None
    notes: tuple[str, ...] = ()


def open_jobs(path: Path, *, output_dir: Path | None = None, preview: bool = False) -> JobsFile:
    """Read a jobs file whose films do not spoil each other.

    Args:
        path: the file.
        output_dir: where outputs are meant from; None for where it lies.
        preview: whether its outputs are to be those of previews.

    Raises:
        BadInput, UsageError: as `read_jobs`.
        UsageError: films that would spoil each other, with both names.
    """
    jobs = read_jobs(path, output_dir=output_dir)
    if preview:
        jobs = replace(jobs, specs=tuple(map(_preview_spec, jobs.specs)))
    _check_apart(jobs)
    return jobs


def _preview_spec(spec: JobSpec) -> JobSpec:
    if spec.output is None:
        return spec
    try:
        return replace(spec, output=preview_name(spec.output, kind=spec.kind))
    except UsageError as error:
        return replace(spec, error=spec.error or error)


def plan_batch(
    jobs: JobsFile,
    journal: BatchJournal,
    *,
    options: BatchOptions = BatchOptions(),
    progress: Callable[[int, int], None] = lambda *_: None,
) -> tuple[PlannedJob, ...]:
    """Resolve and check every film, and find out which are made already.

    Args:
        jobs: what the jobs file asks for.
        journal: of former runs; it need not be open for writing.
        options: of this run.
        progress: told how many films are looked at.

    Returns:
        The films in the order of the file; those left out by `options.only` are not among them.

    Raises:
        UsageError: two films are the same, with both names; `only` names none.
    """
    specs = _told_once(chosen(jobs.specs, options.only))
    planned = []
    for index, spec in enumerate(specs):
        progress(index, len(specs))
        planned.append(plan_one(spec, journal, options=options))
    _check_unlike(planned)
    return tuple(planned)


def chosen(specs: Sequence[JobSpec], only: Sequence[str]) -> list[JobSpec]:
    """Choose films by names or globs.

    Raises:
        UsageError: one of them names no film.
    """
    names = [spec.name for spec in specs]
    for pattern in only:
        if not any(_named(name, pattern) for name in names):
            raise UsageError(f"--only {pattern}: there is no such film in the jobs file{nearest(pattern[:100], names)}")
    return [spec for spec in specs if not only or any(_named(spec.name, pattern) for pattern in only)]


def _told_once(specs: Sequence[JobSpec]) -> list[JobSpec]:
    """Leave out what was noted of an earlier film's settings in the same words."""
    told: set[str] = set()
    found = []
    for spec in specs:
        if (resolved := spec.resolved) is not None and resolved.notes:
            spec = replace(spec, resolved=replace(resolved, notes=tuple(n for n in resolved.notes if n not in told)))
            told.update(resolved.notes)
        found.append(spec)
    return found


def _named(name: str, pattern: str) -> bool:
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def _check_unlike(planned: Sequence[PlannedJob]) -> None:
    """Refuse two films that are the same film under two names."""
    seen: dict[tuple[str, str], str] = {}
    for one in planned:
        if one.film_key:
            twin = seen.setdefault((one.film_key, one.encode_key), one.status.name)
            if twin != one.status.name:
                raise UsageError(
                    f"The films {twin!r} and {one.status.name!r} are the same film: the same settings, the same input, "
                    "the same format. Change one of them, its seed for instance, or leave it out."
                )


# --- one film --------------------------------------------------------------------------------------------------------


def unplanned(spec: JobSpec) -> FilmStatus:
    """Show a film that was not looked at yet."""
    source = "" if spec.input is None else str(spec.input)
    return FilmStatus(name=spec.name, kind=spec.kind, preset=spec.preset, out=spec.output, source=source)


def plan_one(spec: JobSpec, journal: BatchJournal, *, options: BatchOptions) -> PlannedJob:
    """Resolve and check one film; what is wrong with it is in the result."""
    status = unplanned(spec)
    notes = spec.resolved.notes if spec.resolved else ()
    planned = PlannedJob(status=status, priority=spec.priority, notes=notes)
    try:
        if spec.error is not None or spec.output is None:
            raise spec.error or BadInput(f"{spec.where}: its output cannot be named.")
        film = _film(spec, spec.output, options)
        planned = replace(planned, film=film, status=_described(status, film))
        check_film(film)
        film_key, encoding = keys_of(film)
        planned = replace(planned, film_key=film_key, encode_key=encoding)
        may_replace = options.overwrite or spec.overwrite
        to_make, status = look_for(film, planned.status, (film_key, encoding), journal, may_replace=may_replace)
        if status.state != "done":
            planned = replace(planned, notes=(*planned.notes, *film.warnings()))
        return replace(planned, film=to_make, status=status)
    except Exception as error:
        known = known_error(error) or bug(error)
        return replace(planned, error=known, film_key="", status=planned.status.updated(state="failed"))


def _film(spec: JobSpec, out: Path, options: BatchOptions) -> Film:
    """Put the film of a job together."""
    assert spec.resolved is not None
    work_dir = None
    if options.work_dir is not None:
        place = hashlib.sha256(os.fsencode(out.absolute())).hexdigest()[:8]
        work_dir = options.work_dir / f".{plain(spec.name)}-{place}.dreamreel"
    kind = KINDS[spec.kind]
    if spec.input is None and kind.needs:
        raise UsageError(
            f"{spec.where}: input is missing: a film of kind {spec.kind} is dreamed over a {kind.needs[0]}."
        )
    files = {kind.inputs[0]: spec.input, "mask": spec.mask, "cuts": spec.cuts}
    film = new_film(
        spec.kind,
        spec.resolved,
        out,
        files,
        sized="film.size" in spec.values,
        keep_store=options.keep_store or spec.keep_store,
        work_dir=work_dir,
        restart=options.restart,
        allow_env_change=options.allow_env_change,
    )
    return replace(film, settings=preview_settings(film)) if options.preview else film


def _described(status: FilmStatus, film: Film) -> FilmStatus:
    settings = film.settings
    described = status.updated(network=settings.network.name, seed=settings.seed)
    if film.kind == "still":
        return described.updated(size=str(settings.film.size), frames=1)
    return described.updated(
        size=str(film.encoded_size),
        fps=str(film.showing.rate),
        frames=film.frames,
        dreams=film.kept.total if film.kept_as == "dream" else 0,
        seconds=float(film.frames / film.showing.rate),
        work=film.folder,
    )


def check_film(film: Film) -> None:
    """Refuse what cannot end well, as far as it shows by now; see `make.check`."""
    # Its folder is made when its turn comes; whether it can be, the folder above it tells.
    above = next(folder for folder in film.out.absolute().parents if folder.exists())
    place = film.out if film.out.parent.is_dir() else above / film.out.name
    check(replace(film, out=place, work_dir=film.folder, overwrite=True), room=False)


def keys_of(film: Film) -> tuple[str, str]:
    """Name what decides a film's pixels, apart from the machine, and what decides its file besides.

    Raises:
        BadInput: an input cannot be read.
    """
    return film.key, encode_key(film.settings, pixels="", suffix=film.out.suffix.lower())


# --- films that would spoil each other -------------------------------------------------------------------------------


def _check_apart(jobs: JobsFile) -> None:
    """Refuse films that write the same file, one inside the other, or what another reads; told by their paths."""
    writers: dict[str, JobSpec] = {}
    own = _real(jobs.path)
    for spec in jobs.specs:
        if spec.output is None:
            continue
        place = _real(spec.output)
        if place == own:
            raise UsageError(f"{spec.where}: the film {spec.name!r} would be written over the jobs file itself.")
        if place in writers:
            how = f"both would be written to {spec.output}; tell them apart with a place in output, like {{name}}"
            raise _clash(writers[place], spec, how)
        writers[place] = spec
    for place, spec in writers.items():
        for above in _above(place):
            if above in writers:
                raise _clash(writers[above], spec, f"the second would lie inside the folder that is the first, {above}")
    _check_reading(jobs, writers)


def _check_reading(jobs: JobsFile, writers: dict[str, JobSpec]) -> None:
    readers = [(_real(path), spec) for spec in jobs.specs for path in _reads(spec)]
    for place, spec in readers:
        for written in (place, *_above(place)):
            other = writers.get(written)
            # A film over its own input is that film's own mistake.
            if other is not None and other is not spec:
                raise _clash(spec, other, f"the first reads {place}, which the second writes")
    folders = {place: spec for place, spec in readers if _is_folder(Path(place))}
    for place, spec in writers.items():
        for above in _above(place):
            if above in folders:
                raise _clash(folders[above], spec, f"the second would be written into {above}, which the first reads")


def _reads(spec: JobSpec) -> Iterator[Path]:
    yield from (path for path in (spec.input, spec.mask, spec.cuts) if path is not None)
    if spec.resolved is not None:
        yield from files_of(spec.resolved.settings).values()


def _clash(one: JobSpec, other: JobSpec, how: str) -> UsageError:
    if one is other:
        return UsageError(f"{one.where}: the film {one.name!r} would be written into a folder that it reads.")
    return UsageError(f"{other.where}: the films {one.name!r} and {other.name!r} spoil each other: {how}.")


def _real(path: Path) -> str:
    return os.path.normcase(path.resolve())


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # A name that cannot be: the film says so itself.
        return False


def _above(place: str) -> list[str]:
    return [str(parent) for parent in Path(place).parents]
