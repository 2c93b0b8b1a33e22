"""How a jobs file is written: its tables and keys, what each takes, and what is said of a mistake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from renderer.errors import UsageError, nearest
from renderer.setting_types import OneOf
from renderer.settings.document import Document
from renderer.settings.messages import short
from renderer.settings.presets import COMMANDS, MAX_READ
from renderer.settings.schema import keys

Text = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]


def as_list(value: Any) -> Any:
    """Return the list that a single text stands for; anything else as it is."""
    return [value] if isinstance(value, str) else value


_one_or_many = BeforeValidator(as_list, json_schema_input_type=str | list[str])
Texts = Annotated[list[Text], Field(min_length=1), FailFast(), _one_or_many]
Presets = Annotated[list[Text], Field(min_length=1, max_length=MAX_READ), FailFast(), _one_or_many]


class JobTable(BaseModel):
    """What `[defaults]` and a `[[job]]` hold. Of each key the title says what it takes, in errors and in editors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Text | None = Field(
        None,
        title="a text",
        description="What the film is called, or a pattern; else as its input is. A glob or a grid adds what varies.",
    )
    kind: Annotated[str, OneOf(COMMANDS)] = Field(
        COMMANDS[0], title="one of " + ", ".join(COMMANDS), description="What kind of film."
    )
    input: Texts = Field(
        [],
        title="a path or a glob, or a list of them",
        description="A picture for `zoom` and `still`, none for noise; a clip for `video`. Each file is a film.",
    )
    output: Text | None = Field(
        None,
        title="a path with places like {name}",
        description="The finished file; its ending says the format. Folders are made.",
    )
    preset: Presets = Field(
        [],
        title=f"a preset, or a list of up to {MAX_READ} presets that stack",
        description="A name or a file, or a list that stacks; replaces that of the defaults.",
    )
    set: dict[str, Any] = Field(
        {},
        title="a table of settings, like { camera.zoom = 2 }",
        description="Settings, dotted or nested; they go over the defaults and over presets.",
    )
    seed: int | None = Field(None, title="a whole number", description="The same as `set.seed`.")
    priority: int = Field(
        0,
        ge=-1_000_000,
        le=1_000_000,
        title="a whole number from -1000000 to 1000000",
        description="Films with more are made first; else the order of the file holds.",
    )
    mask: Text | None = Field(None, title="a path", description="Of a `video` or `still`: where to dream.")
    cuts: Text | None = Field(None, title="a path", description="Of a `video`: where its scenes begin.")
    overwrite: bool = Field(
        False,
        title="true or false",
        description="Whether a file at `output` may be replaced that this batch did not make.",
    )
    keep_store: bool = Field(False, title="true or false", description="Whether the lossless frames stay.")


class SweepTable(JobTable):
    """What a `[[sweep]]` holds besides: the grid."""

    over: dict[str, Any] = Field(
        min_length=1,
        title="a table of lists, like { seed = [1, 2] }",
        description="Settings, and `preset`, each with its values; all combinations are made.",
    )


class JobTables(BaseModel):
    """A jobs file as it is written."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    defaults: JobTable = Field(JobTable(), description="What holds for every film.")
    job: Annotated[list[JobTable], FailFast()] = Field([], description="A film, or one for each file of a glob.")
    sweep: Annotated[list[SweepTable], FailFast()] = Field([], description="A film for each point of a grid.")


TABLES: dict[str, type[JobTable]] = {"defaults": JobTable, "job": JobTable, "sweep": SweepTable}


def job_schema() -> dict[str, Any]:
    """Make the JSON Schema (2020-12) of a jobs file, as an editor sees it once TOML is read."""
    from renderer.settings.reference import schema

    made, preset = JobTables.model_json_schema(), schema()
    settings = {name: shape for name, shape in preset["properties"].items() if name not in ("extends", "for")}
    # A dotted name in quotes is a setting too.
    closed = {"type": "object", "additionalProperties": False, "patternProperties": {r"\.": {}}}
    for table in ("JobTable", "SweepTable"):
        asked = made["$defs"][table]["properties"]["set"]
        asked |= {**closed, "properties": settings}
    made["$defs"] |= preset["$defs"]
    return {"$schema": preset["$schema"], **made, "title": "Dreamreel jobs file"}


def read_tables(document: Document) -> JobTables:
    """Read the tables of a jobs file.

    Raises:
        UsageError: a name or a value that makes no sense, or two tables of one name; with its place.
    """
    _check_names(document)
    try:
        tables = JobTables.model_validate(document.table)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        places = [([str(part) for part in one["loc"]], one["type"]) for one in found]
        first = min(places, key=lambda one: document.lines.get(".".join(one[0][:3]), 0))
        raise _wrong_value(document, *first) from None
    names: dict[str, str] = {}
    for head, table in jobs_of(tables):
        if table.name is not None:
            where = where_is(document, head, "name")
            if table.name in names:
                raise UsageError(f"{where}: the name is taken already ({names[table.name]}); choose another.")
            names[table.name] = where
    return tables


def jobs_of(tables: JobTables) -> Iterator[tuple[str, JobTable]]:
    """Give every job and sweep with where it stands: "job.0"."""
    for kind in ("job", "sweep"):
        yield from ((f"{kind}.{index}", table) for index, table in enumerate(getattr(tables, kind)))


def _check_names(document: Document) -> None:
    """Refuse the first table or key that does not exist; a hostile file may have very many."""
    for kind, held in document.table.items():
        if kind not in TABLES:
            where = document.place(kind)
            raise UsageError(f"{where}: there is no table {kind[:100]!r} in a jobs file{nearest(kind[:100], TABLES)}")
        known = TABLES[kind].model_fields
        for index, table in enumerate(held if isinstance(held, list) else [held]):
            for key in table if isinstance(table, Mapping) else ():
                if key not in known:
                    where = where_is(document, kind if kind == "defaults" else f"{kind}.{index}", key)
                    setting = [one for one in keys() if key in (one, one.partition(".")[0], one.rpartition(".")[2])]
                    meant = f"; settings like {setting[0]} belong into its `set`." if setting else ""
                    raise UsageError(f"{where}: there is no key {key[:100]!r}{meant or nearest(key[:100], known)}")


def _wrong_value(document: Document, parts: Sequence[str], problem: str) -> UsageError:
    """Say what is wrong with a value: its place, what it is, what it must be."""
    kind, *inner = parts
    if kind != "defaults":
        inner = inner[1:]
    if not inner:
        meant = "defaults is a table: write [defaults]"
        many = f"{kind} is a list of tables: write [[{kind}]]"
        return UsageError(f"{document.place(kind)}: {meant if kind == 'defaults' else many}.")
    key, head = inner[0], kind if kind == "defaults" else f"{kind}.{parts[1]}"
    if problem == "missing":
        return UsageError(
            f"{where_is(document, head)}: over is missing: a sweep says what it goes over, like over.seed = [1, 2]."
        )
    value = _raw(document, head)[key]
    return UsageError(
        f"{where_is(document, head, key)}: {key} is {short(value)}: must be {TABLES[kind].model_fields[key].title}."
    )


def _raw(document: Document, head: str) -> Mapping[str, Any]:
    kind, _, index = head.partition(".")
    held = document.table.get(kind, {})
    found = held[int(index)] if index and isinstance(held, list) else held
    return found if isinstance(found, Mapping) else {}


def where_is(document: Document, head: str, key: str = "") -> str:
    """Say where a table, or a key of it, stands: "jobs.toml, line 12, job 'dive'"."""
    kind, _, index = head.partition(".")
    name = _raw(document, head).get("name")
    title = repr(name) if is_valid([name], TEXTS) else str(int(index or 0) + 1)
    what = "[defaults]" if kind == "defaults" else f"{kind} {title}"
    return f"{document.place(f'{head}.{key}' if key else head)}, {what}"


TEXTS: TypeAdapter[Any] = TypeAdapter(Annotated[list[Text], FailFast()], config=ConfigDict(strict=True))
STACKS: TypeAdapter[Any] = TypeAdapter(Annotated[list[Presets], FailFast()], config=ConfigDict(strict=True))


def is_valid(value: Any, kind: TypeAdapter[Any]) -> bool:
    """Say whether a value is of a kind: `TEXTS` or `STACKS`."""
    try:
        kind.validate_python(value)
    except ValidationError:
        return False
    return True
