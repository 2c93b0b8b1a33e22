"""Films of one batch that would spoil each other: told by their paths, before any of them is looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from renderer.batch.jobfile import JobsFile, JobSpec
from renderer.errors import UsageError
from renderer.settings.schema import files_of


def check_apart(jobs: JobsFile) -> None:
    """Refuse films that write the same file, one inside the other, or what another reads.

    Raises:
        UsageError: with both names.
    """
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
