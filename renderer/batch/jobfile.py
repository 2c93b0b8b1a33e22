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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from renderer.batch.patterns import Search, fill, literal, places_of, plain
from renderer.dreaming.networks.registry import is_model_file
from renderer.errors import BadInput, DreamreelError, UsageError, nearest
from renderer.files import expanded
from renderer.settings import defaults
from renderer.settings.document import Document
from renderer.settings.messages import short
from renderer.settings.presets import EITHER, MAX_READ, Preset, Resolved, flat_settings, load_preset, resolve
from renderer.settings.schema import FILES, flatten, keys

KINDS = ("zoom", "video", "still")
"""Kinds of film that can be asked for."""

MOST_FILMS = 10_000
"""Films in one batch: more is a mistake in a grid."""

TABLES = ("defaults", "job", "sweep")


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """One film that a jobs file asks for.

    Attributes:
        name: unique in the file.
        kind: one of `KINDS`.
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
    drafts: list[_Draft] = []
    search, load = Search(), cache(load_preset)
    for block in _blocks(document, folder, search):
        drafts += _drafts(block, folder, search=search, load=load)
        if len(drafts) > MOST_FILMS:
            raise UsageError(f"{path} asks for more than {MOST_FILMS} films; split it into several files.")
    if not drafts:
        raise UsageError(f"{path} asks for no film: write a [[job]] or a [[sweep]] with an output.")
    return JobsFile(path=path, folder=folder, specs=tuple(_named(drafts, output_dir or folder)))


# --- the file --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Table:
    """A table of the file as it stands: [defaults], a [[job]] or a [[sweep]], and where it does."""

    document: Document
    kind: str
    index: int
    held: Mapping[str, Any]

    def where(self, key: str = "") -> str:
        """Say where a key stands: "jobs.toml, line 12, job 'dive'"."""
        head = self.kind if self.kind == "defaults" else f"{self.kind}.{self.index}"
        name = self.held.get("name")
        title = repr(name) if _is_text(name) else str(self.index + 1)
        what = "[defaults]" if self.kind == "defaults" else f"{self.kind} {title}"
        return f"{self.document.place(f'{head}.{key}' if key else head)}, {what}"


@dataclass(frozen=True, kw_only=True)
class _Block:
    """A [[job]] or [[sweep]] with the defaults merged in: its keys, its settings and where each stands, its grid."""

    table: _Table
    keys: Mapping[str, Any]
    values: Mapping[str, Any]
    origins: Mapping[str, str]
    over: Mapping[str, list[Any]]


def _blocks(document: Document, folder: Path, search: Search) -> Iterator[_Block]:
    _check_tables(document)
    base = _Table(document=document, kind="defaults", index=0, held=document.table.get("defaults", {}))
    _check_keys(base)
    base_values, base_origins = _values(base, folder)
    for kind in ("job", "sweep"):
        for index, held in enumerate(document.table.get(kind, [])):
            table = _Table(document=document, kind=kind, index=index, held=held)
            _check_keys(table)
            values, origins = _values(table, folder)
            yield _Block(
                table=table,
                keys={**base.held, **held},
                values=put_all(base_values, values),
                origins={**base_origins, **origins},
                over=_over(table, folder, search) if kind == "sweep" else {},
            )


def _check_tables(document: Document) -> None:
    for name, held in document.table.items():
        where = document.place(name)
        if name not in TABLES:
            raise UsageError(f"{where}: there is no table {name[:100]!r} in a jobs file{nearest(name[:100], TABLES)}")
        if name == "defaults" and not isinstance(held, Mapping):
            raise UsageError(f"{where}: defaults is a table: write [defaults].")
        if name != "defaults" and not (isinstance(held, list) and all(isinstance(one, Mapping) for one in held)):
            raise UsageError(f"{where}: {name} is a list of tables: write [[{name}]].")
    names: dict[str, str] = {}
    for kind in ("job", "sweep"):
        for index, held in enumerate(document.table.get(kind, [])):
            name, where = held.get("name"), _Table(document=document, kind=kind, index=index, held=held).where("name")
            if _is_text(name) and name in names:
                raise UsageError(f"{where}: the name is taken already ({names[name]}); choose another.")
            names[str(name)] = where


def put_all(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Set `more` over `values`, both by dotted name; of two ways to say one thing the later takes the other back."""
    merged = dict(values)
    for key, value in more.items():
        for other in EITHER.get(key, ()):
            merged.pop(other, None)
        merged[key] = value
    return merged


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 1000 and "\0" not in value


def _is_texts(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, list) and bool(value) and all(map(_is_text, value)))


def _is_presets(value: Any) -> bool:
    return _is_texts(value) and (isinstance(value, str) or len(value) <= MAX_READ)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 1_000_000


_KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_is_text, "a text"),
    "kind": (lambda value: _is_text(value) and value in KINDS, "one of " + ", ".join(KINDS)),
    "input": (_is_texts, "a path or a glob, or a list of them"),
    "output": (_is_text, "a path with places like {name}"),
    "preset": (_is_presets, f"a preset, or a list of up to {MAX_READ} presets that stack"),
    "set": (lambda value: isinstance(value, Mapping), "a table of settings, like { camera.zoom = 2 }"),
    "seed": (_is_whole, "a whole number"),
    "priority": (_is_whole, "a whole number from -1000000 to 1000000"),
    "mask": (_is_text, "a path"),
    "cuts": (_is_text, "a path"),
    "overwrite": (lambda value: isinstance(value, bool), "true or false"),
    "keep_store": (lambda value: isinstance(value, bool), "true or false"),
    "over": (lambda value: isinstance(value, Mapping) and bool(value), "a table of lists, like { seed = [1, 2] }"),
}
"""What a table may hold, what each key takes, and how that is said."""


def _check_keys(table: _Table) -> None:
    known = [key for key in _KEYS if key != "over" or table.kind == "sweep"]
    for key, value in table.held.items():
        if key not in known:
            setting = [one for one in keys() if key in (one, one.partition(".")[0], one.rpartition(".")[2])]
            hint = f"; settings like {setting[0]} belong into its `set`." if setting else nearest(key[:100], known)
            raise UsageError(f"{table.where(key)}: there is no key {key[:100]!r}{hint}")
        takes, expected = _KEYS[key]
        if not takes(value):
            raise UsageError(f"{table.where(key)}: {key} is {short(value)}: must be {expected}.")
    if table.kind == "sweep" and "over" not in table.held:
        raise UsageError(f"{table.where()}: over is missing: a sweep says what it goes over, like over.seed = [1, 2].")


def _values(table: _Table, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the settings in a table by dotted name, and where each stands."""
    held = dict(table.held.get("set", {}))
    if "seed" in table.held and "seed" in held:
        raise UsageError(f"{table.where('seed')}: seed is given twice, also in `set`; give one of them.")
    flat = flat_settings(held, source=table.where("set"), folder=folder)
    if "film.seconds" in flat and "film.frames" in flat:
        where = table.where("set.film.frames")
        raise UsageError(f"{where}: film.seconds and film.frames say the same thing; give one of them.")
    origins = {key: table.where(f"set.{key}") for key in flat}
    if "seed" in table.held:
        flat["seed"], origins["seed"] = table.held["seed"], table.where("seed")
    return flat, origins


def _over(table: _Table, folder: Path, search: Search) -> dict[str, list[Any]]:
    """Return the axes of a grid in the order of the file: dotted name, or "preset", -> values."""
    axes: dict[str, list[Any]] = {}
    count = 1
    for name, held in table.held["over"].items():
        where = table.where(f"over.{name}")
        found = {name: held} if name == "preset" else flat_settings({name: held}, source=where, folder=Path())
        for key, values in found.items():
            if not isinstance(values, list) or not values:
                raise UsageError(f"{where}: over.{key} is {short(values)}: must be a list of values.")
            if key in FILES.values() and all(map(_is_text, values)):
                values = found[key] = _files(values, folder, search, where=f"{where}: over.{key}")
            if key == "network.name" and all(map(_is_text, values)):
                values = found[key] = [str(_path(one, folder)) if is_model_file(one) else one for one in values]
            if key == "preset" and not all(map(_is_presets, values)):
                raise UsageError(f"{where}: over.preset is {short(values)}: must be a list of presets.")
            count *= len(values)
        axes |= found
    if count > MOST_FILMS:
        raise UsageError(f"{table.where('over')}: the grid has {count} points, and {MOST_FILMS} are the most.")
    return axes


def _files(values: list[str], folder: Path, search: Search, *, where: str) -> list[str]:
    """Return the files of an axis, where each glob stands for all that it finds."""
    found = search.find(values, folder)
    for one in found:
        if one.error is not None:
            raise BadInput(f"{where}: {one.error}")
    return [str(one.path) for one in found]


# --- films -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """A film whose name and output are patterns still, with what is known of it to fill them."""

    spec: JobSpec
    output: str
    stem: str
    index: int
    matched: bool


def _drafts(block: _Block, folder: Path, *, search: Search, load: Callable[[str], Preset]) -> Iterator[_Draft]:
    """Give the films of a block: its inputs times its grid."""
    asked, own_name = block.keys, block.keys.get("name", "")
    if "output" not in asked:
        raise UsageError(f'{block.table.where()}: output is missing: say where its film goes, like "{{name}}.mp4".')
    for key in ("output", "name"):
        _check_pattern(asked.get(key, ""), block, key)
    inputs = search.find(asked.get("input"), folder)
    points = list(itertools.product(*([(key, value) for value in values] for key, values in block.over.items())))
    if len(points) * len(inputs) > MOST_FILMS:
        raise UsageError(f"{block.table.where()}: it asks for more than {MOST_FILMS} films; split it up.")
    many = len(inputs) > 1 or any(source.matched for source in inputs)
    for index, (source, point) in enumerate(itertools.product(inputs, points), 1):
        chosen = dict(point)
        presets = _presets(chosen.pop("preset", asked.get("preset", [])), folder)
        varied = [source.stem] if many or not own_name else []
        varied += [_look(presets) if key == "preset" else plain(_called(key, value)) for key, value in point]
        named = "-".join([own_name, *varied] if own_name else varied)
        spec = JobSpec(
            name=own_name if places_of(own_name) else literal(named),
            kind=asked.get("kind", KINDS[0]),
            where=block.table.where(),
            presets=presets,
            values=put_all(block.values, chosen),
            input=source.path,
            mask=_path(asked.get("mask"), folder),
            cuts=_path(asked.get("cuts"), folder),
            priority=asked.get("priority", 0),
            overwrite=asked.get("overwrite", False),
            keep_store=asked.get("keep_store", False),
            error=source.error,
        )
        if source.error is not None and (not own_name or places_of(own_name)):
            spec = replace(spec, name=f"{block.table.kind}-{block.table.index + 1}")
        yield _Draft(
            spec=_resolved(spec, block, load),
            output=asked["output"],
            stem=source.stem,
            index=index,
            matched=source.matched,
        )


def _resolved(spec: JobSpec, block: _Block, load: Callable[[str], Preset]) -> JobSpec:
    """Stack its presets and values into settings, or note why that cannot be."""
    if (spec.mask and spec.kind == "zoom") or (spec.cuts and spec.kind != "video"):
        belongs = (
            "a mask belongs to films of kind video and still" if spec.mask else "cuts belong to films of kind video"
        )
        raise UsageError(f"{spec.where}: {belongs}, and this one is a {spec.kind}.")
    origins = {**block.origins, **{key: block.table.where(f"over.{key}") for key in block.over}}
    flags = {key: (origins[key], value) for key, value in spec.values.items()}
    base = defaults.of_command(spec.kind)
    try:
        presets = [load(name) for name in spec.presets]
        return replace(spec, resolved=resolve(presets=presets, flags=flags, defaults=base, command=spec.kind))
    except DreamreelError as error:
        return replace(spec, error=spec.error or _placed(error, spec.where))


def _placed(error: DreamreelError, where: str) -> DreamreelError:
    """Begin an error with its place in the jobs file, unless it has it already."""
    text = str(error)
    return error if text.startswith(where.partition(",")[0]) else type(error)(f"{where}: {text}")


def _named(drafts: Sequence[_Draft], base: Path) -> Iterator[JobSpec]:
    """Fill names, number those that came out the same, fill outputs; leave out what a glob found of them."""
    seen: set[str] = set()
    found = []
    for draft in drafts:
        spec = draft.spec
        known = spec.values if spec.resolved is None else flatten(spec.resolved.settings)
        known = {key: _called(key, value) for key, value in known.items()}
        places = {**known, "stem": draft.stem, "preset": spec.preset, "kind": spec.kind, "index": draft.index}
        named = _fill(spec.name, places) or f"{draft.stem}-{draft.index}"
        name, number = named, 2
        while name in seen:
            name, number = f"{named}-{number}", number + 1
        seen.add(name)
        nothing = draft.matched and spec.input is None  # A glob without a match.
        output = None if nothing else _fill(draft.output, {**places, "name": name})
        found.append(replace(spec, name=name, output=None if output is None else base / expanded(output)))
    outputs = {spec.output for spec in found} - {None}
    for draft, spec in zip(drafts, found, strict=True):
        if not (draft.matched and spec.input in outputs):
            yield spec
        elif "index" in places_of(draft.output):
            raise UsageError(
                f"{spec.where}: {spec.input} is written by this batch and found by its input: {{index}} would count it "
                "too. Let output go into another folder, or use {stem} instead."
            )


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


def _check_pattern(pattern: str, block: _Block, key: str) -> None:
    known = ["stem", "preset", "kind", "index", *keys(), *(["name"] if key == "output" else [])]
    try:
        for place in sorted(places_of(pattern)):
            if place not in known:
                by_last = [k for k in known if k.rpartition(".")[2] == place]
                hint = f"; did you mean {{{by_last[0]}}}?" if by_last else nearest(place[:100], known)
                raise UsageError(f"there is no place {{{place[:100]}}}{hint}")
    except UsageError as error:
        raise UsageError(f"{block.table.where(key)}: {key} is {short(pattern)}: {error}") from None


def _presets(named: str | list[str], folder: Path) -> tuple[str, ...]:
    """Return presets as `resolve` finds them: a file is meant from where the jobs file lies."""
    listed = [named] if isinstance(named, str) else named
    return tuple(str(folder / expanded(p)) if p.endswith(".toml") or "/" in p else p for p in listed)


def _path(text: str | None, folder: Path) -> Path | None:
    return None if text is None else folder / expanded(text)
