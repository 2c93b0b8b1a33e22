"""The jobs file: a batch of films written down as TOML.

`[defaults]` holds for every film; each `[[job]]` asks for one film, or for one a file where its input is a glob; each
`[[sweep]]` asks for one film a point of a grid over settings. A jobs file is data: it runs no code.

A mistake in how the file is written refuses all of it: what is no TOML, an unknown name, a value of the wrong kind, a
pattern that means nothing, two films of one name. What a film then turns out not to have - a preset, a file, a setting
in its range - is that film's own error, kept with it, and stops no other.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from renderer.batch.job_tables import (
    STACKS,
    TEXTS,
    JobTable,
    JobTables,
    SweepTable,
    as_list,
    is_valid,
    jobs_of,
    read_tables,
    where_is,
)
from renderer.batch.patterns import FoundInput, InputSearch, fill, places_of, plain
from renderer.dreaming.networks.registry import is_model_file
from renderer.errors import BadInput, DreamreelError, UsageError, nearest
from renderer.files import expanded
from renderer.settings.document import Document
from renderer.settings.kinds import KINDS
from renderer.settings.messages import short
from renderer.settings.presets import Resolved, flat_settings, load_preset, resolve
from renderer.settings.schema import FILES, flatten, keys
from renderer.settings.stacking import EITHER

MOST_FILMS = 10_000
"""Films in one batch: more is a mistake in a grid."""


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """One film that a jobs file asks for.

    Attributes:
        name: unique in the file.
        kind: of film: one of `presets.COMMANDS`.
        where: the place in the file, for errors: "jobs.toml, line 12, job 'dive'".
        presets: names or files, the last one wins.
        values: what the file sets, by dotted name.
        resolved: the settings, and where each came from; None where `error` says why not.
        output: the finished file, or a folder; None where it cannot be named.
        input: what it begins with or is dreamed over; None for noise.
        mask: of a video or still.
        cuts: of a video.
        priority: films with more are made first.
        overwrite: whether a file of somebody else's at `output` may be replaced.
        keep_store: whether the lossless frames stay.
        error: why it cannot be made.
    """

    name: str
    kind: str
    where: str
    presets: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    resolved: Resolved | None = None
    output: Path | None = None
    input: Path | None = None
    mask: Path | None = None
    cuts: Path | None = None
    priority: int = 0
    overwrite: bool = False
    keep_store: bool = False
    error: DreamreelError | None = None

    @property
    def preset(self) -> str:
        """The look in a word: names of presets joined by +, or "default"."""
        return _look(self.presets) or "default"


@dataclass(frozen=True, kw_only=True)
class JobsFile:
    """What a jobs file asks for, in its order; paths in it are meant from `folder`."""

    path: Path
    folder: Path
    specs: tuple[JobSpec, ...]


def read_jobs(path: Path, *, output_dir: Path | None = None) -> JobsFile:
    """Read a jobs file.

    Args:
        path: the file.
        output_dir: where outputs are meant from; None for where the file lies, as for every other path in it.

    Raises:
        BadInput: no such file, or not TOML.
        UsageError: a mistake in how it is written; it names file, line, job, key, value and what is allowed.
    """
    if not os.path.lexists(path):
        raise BadInput(f"The jobs file {path} does not exist.")
    document, folder = Document.read(path, what="jobs file"), path.absolute().parent
    reader = _Reader(document, read_tables(document), folder=folder, outputs=(output_dir or folder).absolute())
    specs = reader.read()
    if not specs:
        raise UsageError(f"{path} asks for no film: write a [[job]] or a [[sweep]] with an output.")
    return JobsFile(path=path, folder=folder, specs=tuple(specs))


class _Reader:
    """Turns the tables of a jobs file into films: the inputs of each times its grid."""

    def __init__(self, document: Document, tables: JobTables, *, folder: Path, outputs: Path) -> None:
        self._document, self._tables, self._folder, self._outputs = document, tables, folder, outputs
        self._search, self._load = InputSearch(), cache(load_preset)
        self._names: set[str] = set()

    def read(self) -> list[JobSpec]:
        """Return the films, in the order of the file, without those that would be dreamed over another's output."""
        base_values, base_origins = self._values("defaults", self._tables.defaults)
        usual = {name: getattr(self._tables.defaults, name) for name in self._tables.defaults.model_fields_set}
        found: list[tuple[JobSpec, bool, bool]] = []  # with: whether a glob found its input, and its output counts
        for head, own in jobs_of(self._tables):
            values, origins = self._values(head, own)
            table = own.model_copy(update={k: v for k, v in usual.items() if k not in own.model_fields_set})
            found += self._films(
                head, table, put_all(base_values, values), {**base_origins, **origins}, own=set(values)
            )
            if len(found) > MOST_FILMS:
                path = self._document.path
                raise UsageError(f"{path} asks for more than {MOST_FILMS} films; split it into several files.")
        outputs = {spec.output for spec, _, _ in found} - {None}
        specs = []
        for spec, matched, counts in found:
            if not (matched and spec.input in outputs):
                specs.append(spec)
            elif counts:
                raise UsageError(
                    f"{spec.where}: {spec.input} is written by this batch and found by its input: {{index}} would "
                    "count it too. Let output go into another folder, or use {stem} instead."
                )
        return specs

    def _where(self, head: str, key: str = "") -> str:
        return where_is(self._document, head, key)

    def _values(self, head: str, table: JobTable) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the settings in a table by dotted name, and where each stands."""
        if table.seed is not None and "seed" in table.set:
            raise UsageError(f"{self._where(head, 'seed')}: seed is given twice, also in `set`; give one of them.")
        flat = flat_settings(table.set, source=self._where(head, "set"), folder=self._folder)
        if "film.seconds" in flat and "film.frames" in flat:
            where = self._where(head, "set.film.frames")
            raise UsageError(f"{where}: film.seconds and film.frames say the same thing; give one of them.")
        origins = {key: self._where(head, f"set.{key}") for key in flat}
        if table.seed is not None:
            flat["seed"], origins["seed"] = table.seed, self._where(head, "seed")
        return flat, origins

    def _axes(self, head: str, table: SweepTable) -> dict[str, list[Any]]:
        """Return the axes of a grid in the order of the file: dotted name, or "preset", -> values."""
        axes: dict[str, list[Any]] = {}
        count = 1
        for name, held in table.over.items():
            where = self._where(head, f"over.{name}")
            found = {name: held} if name == "preset" else flat_settings({name: held}, source=where, folder=Path())
            for key, values in found.items():
                if not isinstance(values, list) or not values:
                    raise UsageError(f"{where}: over.{key} is {short(values)}: must be a list of values.")
                if key in FILES.values() and is_valid(values, TEXTS):
                    values = found[key] = self._files(values, where=f"{where}: over.{key}")
                if key == "network.name" and is_valid(values, TEXTS):
                    values = found[key] = [str(self._path(one)) if is_model_file(one) else one for one in values]
                if key == "preset" and not is_valid(values, STACKS):
                    raise UsageError(f"{where}: over.preset is {short(values)}: must be a list of presets.")
                count *= len(values)
            axes |= found
        if count > MOST_FILMS:
            raise UsageError(
                f"{self._where(head, 'over')}: the grid has {count} points, and {MOST_FILMS} are the most."
            )
        return axes

    def _files(self, values: list[str], *, where: str) -> list[str]:
        """Return the files of an axis, where each glob stands for all that it finds."""
        found = self._search.find(values, self._folder)
        for one in found:
            if one.error is not None:
                raise BadInput(f"{where}: {one.error}")
        return [str(one.path) for one in found]

    def _films(
        self, head: str, table: JobTable, values: Mapping[str, Any], origins: Mapping[str, str], *, own: set[str]
    ) -> Iterator[tuple[JobSpec, bool, bool]]:
        """Give the films of a table, each with whether a glob found its input, and whether its output counts them.

        Of `values`, the table names `own` itself, and not `[defaults]`.
        """
        where = self._where(head)
        if table.output is None:
            raise UsageError(f'{where}: output is missing: say where its film goes, like "{{name}}.mp4".')
        self._check_pattern(head, "output", table.output)
        self._check_pattern(head, "name", table.name or "")
        for name, path, belongs in (("mask", table.mask, "a mask belongs"), ("cuts", table.cuts, "cuts belong")):
            kinds = [kind for kind, one in KINDS.items() if name in one.inputs]
            if path and table.kind not in kinds:
                wanted = " and ".join(kinds)
                raise UsageError(f"{where}: {belongs} to films of kind {wanted}, and this one is a {table.kind}.")
        axes = self._axes(head, table) if isinstance(table, SweepTable) else {}
        origins = {**origins, **{key: self._where(head, f"over.{key}") for key in axes}}
        inputs = self._search.find(table.input, self._folder)
        points = list(itertools.product(*([(key, value) for value in values] for key, values in axes.items())))
        if len(points) * len(inputs) > MOST_FILMS:
            raise UsageError(f"{where}: it asks for more than {MOST_FILMS} films; split it up.")
        many = len(inputs) > 1 or any(source.matched for source in inputs)
        counts = "index" in places_of(table.output)
        for index, (source, point) in enumerate(itertools.product(inputs, points), 1):
            chosen = dict(point)
            spec = JobSpec(
                name="",
                kind=table.kind,
                where=where,
                presets=self._presets(chosen.pop("preset", table.preset)),
                values=put_all(values, chosen),
                input=source.path,
                mask=self._path(table.mask),
                cuts=self._path(table.cuts),
                priority=table.priority,
                overwrite=table.overwrite,
                keep_store=table.keep_store,
                error=source.error,
            )
            varied = [source.stem] if many or not table.name else []
            varied += [_look(spec.presets) if key == "preset" else plain(_called(key, one)) for key, one in point]
            spec = self._named(self._resolved(spec, origins, own={*own, *axes}), head, table, source, varied, index)
            yield spec, source.matched, counts

    def _resolved(self, spec: JobSpec, origins: Mapping[str, str], *, own: set[str]) -> JobSpec:
        """Stack its presets and values into settings, or note why that cannot be."""
        flags = {key: (origins[key], value) for key, value in spec.values.items()}
        given = {KINDS[spec.kind].inputs[0]: spec.input, "mask": spec.mask, "cuts": spec.cuts}
        try:
            resolved = resolve(
                presets=[self._load(name) for name in spec.presets],
                flags=flags,
                defaults=KINDS[spec.kind].defaults,
                command=spec.kind,
                inputs=[name for name, path in given.items() if path is not None],
                table=own,
            )
            return replace(spec, resolved=resolved)
        except DreamreelError as error:
            return replace(spec, error=spec.error or _placed(error, spec.where))

    def _named(
        self, spec: JobSpec, head: str, table: JobTable, source: FoundInput, varied: Sequence[str], index: int
    ) -> JobSpec:
        """Name a film and its output; names that come out the same are numbered."""
        asked = table.name or ""
        known = spec.values if spec.resolved is None else flatten(spec.resolved.settings)
        known = {key: _called(key, value) for key, value in known.items()}
        places = {**known, "stem": source.stem, "preset": spec.preset, "kind": spec.kind, "index": index}
        if source.error is not None and (not asked or places_of(asked)):
            kind, _, number = head.partition(".")
            named = f"{kind}-{int(number) + 1}"
        elif places_of(asked):
            named = _fill(asked, places) or f"{source.stem}-{index}"
        else:
            named = "-".join([asked, *varied] if asked else varied)
        name, twin = named, 2
        while name in self._names:
            name, twin = f"{named}-{twin}", twin + 1
        self._names.add(name)
        nothing = source.matched and source.path is None  # A glob without a match.
        output = None if nothing else _fill(str(table.output), {**places, "name": name})
        return replace(spec, name=name, output=None if output is None else self._outputs / expanded(output))

    def _check_pattern(self, head: str, key: str, pattern: str) -> None:
        known = ["stem", "preset", "kind", "index", *keys(), *(["name"] if key == "output" else [])]
        try:
            for place in sorted(places_of(pattern)):
                if place not in known:
                    by_last = [k for k in known if k.rpartition(".")[2] == place]
                    hint = f"; did you mean {{{by_last[0]}}}?" if by_last else nearest(place[:100], known)
                    raise UsageError(f"there is no place {{{place[:100]}}}{hint}")
        except UsageError as error:
            raise UsageError(f"{self._where(head, key)}: {key} is {short(pattern)}: {error}") from None

    def _presets(self, named: str | list[str]) -> tuple[str, ...]:
        """Return presets as `resolve` finds them: a file is meant from where the jobs file lies."""
        listed: list[str] = as_list(named)
        return tuple(str(self._folder / expanded(p)) if p.endswith(".toml") or "/" in p else p for p in listed)

    def _path(self, text: str | None) -> Path | None:
        return None if text is None else self._folder / expanded(text)


def put_all(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Set `more` over `values`, both by dotted name; of two ways to say one thing the later takes the other back."""
    merged = dict(values)
    for key, value in more.items():
        for other in EITHER.get(key, ()):
            merged.pop(other, None)
        merged[key] = value
    return merged


def _placed(error: DreamreelError, where: str) -> DreamreelError:
    """Begin an error with its place in the jobs file, unless it has it already."""
    text = str(error)
    return error if text.startswith(where.partition(",")[0]) else type(error)(f"{where}: {text}")


def _fill(pattern: str, places: Mapping[str, Any]) -> str | None:
    """Fill a pattern; None where its settings could not be had, which is the film's error already."""
    try:
        return fill(pattern, places)
    except KeyError:
        return None


def _called(key: str, value: Any) -> Any:
    """Return what a setting adds to a name: of a file, its stem."""
    is_file = key in FILES.values() or (key == "network.name" and is_model_file(str(value)))
    return Path(value).stem if is_file and isinstance(value, str) else value


def _look(presets: Sequence[str]) -> str:
    return "+".join(Path(name).stem for name in presets)
