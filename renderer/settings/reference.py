"""Every setting explained: the reference page of the documentation, and a JSON Schema of preset files for editors.

Both come from the models in `renderer.settings.schema` and nothing else, so that they cannot tell of another Dreamreel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from string import Template
from typing import Any, Literal

from pydantic.fields import FieldInfo

from renderer.frame import MAX_SIDE, Size
from renderer.motion.formula import CONSTANTS, FUNCTIONS, MAX_LENGTH
from renderer.motion.schedule import EASES, TIME
from renderer.setting_types import LEAST_LINES, Within, WithinOrAuto
from renderer.settings.kinds import KINDS
from renderer.settings.messages import allowed, choices, each_within, limits, options, unit, within
from renderer.settings.presets import COMMANDS
from renderer.settings.schema import Settings, fields, flatten

PAGE = Template("""# Settings

*Made by `dreamreel presets reference` from the program itself; do not edit.*

Every setting has a name of a group and a field, like `camera.zoom`. It is given in a preset, below `[camera]`, or with
`--set camera.zoom=2`; many have a flag of their own. A flag wins over `--set`, which wins over presets, of which the
last wins. `dreamreel presets show NAME` shows what comes out and where each value is from.

A setting that would do nothing for what is asked, like `area.box` for a zoom or `dream.momentum` with an optimiser that
has none, is refused as a flag or with `--set`, and noted in a preset or a jobs file. What a preset says for another
kind of film that it is meant for too (`for`) is taken without a word, and so are what it builds on, and what only turns
something off.

## Values over time

Where the type says *over time*, a value may be

- a number: `zoom = 1.5`;
- keyframes: `zoom = { "0s" = 1.2, "4s" = 2.0, ease = "smooth" }`, with times like `500ms`, `4s`, `1.5min` or `50%` of
  the film. Before the first and after the last the value stays. Between them it goes as `ease` says:
  $eases;
- an expression: `zoom = "1.5 + 0.5*sin(t*tau/4)"`, where `t` are seconds and `T` is the length of the film, at most
  $longest characters. It knows the numbers $constants, the arithmetic and comparisons of Python, and the functions
  $functions;
- a string of Deforum: `zoom = "0:(1.0), 30:(1+0.02*sin(t/5))"`, which counts in frames; a move of the camera is then
  meant for each frame. Inside, `t` is the frame, `max_f` the number of frames and `s` the seed; `&`, `|`, `~`, `%` and
  the functions mean what they mean there, to numexpr.

Weights in `dream.layers` may change over time one by one, so that a film goes over from one thing to another:
`layers = { parts = "1 - t/T", objects = "t/T" }`. `dreamreel plan zoom ... --plot curves.png` draws all that
changes.

## In a preset

| key | type | meaning |
| --- | --- | --- |
| `extends` | name or list of names | presets, or files, that it builds on; it has the last word |
| `for` | $commands, or a list | commands that it is meant for; without it all |
""")


TABLE = "| setting | type | range | unit | default | meaning |\n| --- | --- | --- | --- | --- | --- |\n"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is to be said of a setting: its dotted name, type, range, unit, default, and a line."""

    key: str
    type: str
    range: str
    unit: str
    default: Any
    about: str

    def values(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def entries() -> Iterator[Entry]:
    """List every setting, in the order of the models."""
    plain = flatten(Settings())
    for key, field in fields().items():
        yield Entry(
            key=key,
            type=type_of(field),
            range=_range(field),
            unit=unit(field),
            default=plain[key],
            about=str(field.description),
        )


def reference() -> str:
    """Write the reference page, in Markdown."""
    page = PAGE.substitute(
        eases=_code(EASES),
        longest=MAX_LENGTH,
        constants=_code(CONSTANTS),
        functions=_code(FUNCTIONS),
        commands=_code(COMMANDS),
    )
    parts, group = [page], None
    for entry in entries():
        head, _, name = entry.key.rpartition(".")
        if head != group:
            title, about = (f"`[{head}]`", f"\n{_about(head)}\n") if head else ("Of the film as a whole", "")
            parts.append(f"\n## {title}\n{about}\n{TABLE}")
        group = head
        cells = (f"`{name}`", entry.type, entry.range, entry.unit, _default(entry), entry.about)
        parts.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n")
    return "".join(parts)


def flag_help(key: str, defaults: Mapping[str, Any]) -> str:
    """Say in a line what a flag for a setting means: as the setting says, with its unit, choices and default.

    Args:
        key: dotted name of the setting.
        defaults: of the command, by dotted name, where it begins from other values.
    """
    field = fields()[key]
    about, counted = str(field.description), f" ({unit(field)})" if unit(field) else ""
    text = f"{about}{counted}" + (f"; {', '.join(choices(field))}" if choices(field) else "")
    text += "; may change over time" if within(field) else ""
    usual = {**flatten(Settings()), **defaults}[key]
    shown = f"{usual:g}" if isinstance(usual, float) else usual
    return f"{text[0].upper()}{text[1:]}." + (f" [{shown}]" if usual not in (None, {}) else "")


def schema() -> dict[str, Any]:
    """Make the JSON Schema (2020-12) of a preset file, as an editor sees it once TOML is read."""
    names = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    command = {"enum": list(COMMANDS)}
    properties: dict[str, Any] = {
        "extends": {"description": "presets, or files, that this one builds on", **names},
        "for": {
            "description": "commands that this preset is meant for",
            "anyOf": [command, {"type": "array", "items": command}],
        },
    }
    plain = flatten(Settings())
    for key, field in fields().items():
        head, _, name = key.rpartition(".")
        place = properties
        if head:
            empty = {"type": "object", "description": _about(head), "additionalProperties": False}
            place = properties.setdefault(head, {**empty, "properties": {}})["properties"]
        told = {"description": f"{field.description}{f' [{unit(field)}]' if unit(field) else ''}"}
        usual = {} if plain[key] is None else {"default": plain[key]}
        place[name] = {**told, **_shape(field), **usual}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Dreamreel preset",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "$defs": {"keyframes": _keyframes(), "expression": {"type": "string", "minLength": 1}},
    }


def type_of(field: FieldInfo) -> str:
    """Say what kind of value a setting takes."""
    if span := within(field):
        return "number over time, or `auto`" if isinstance(span, WithinOrAuto) else "number over time"
    if each_within(field):
        return "table of numbers over time"
    if choices(field):
        return "choice"
    return TYPES[_plain_type(field)][0]


def _shape(field: FieldInfo) -> dict[str, Any]:
    """Write a setting's type and range in the words of JSON Schema."""
    if span := within(field):
        return _over_time(span)
    if each := each_within(field):
        mix = {"type": "object", "additionalProperties": _over_time(each)}
        return {"anyOf": [mix, {"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    if choices(field):
        return {"enum": list(choices(field))}
    words = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum"}
    ends = {words[name]: value for name, value in limits(field).items()}
    return {**TYPES[_plain_type(field)][1], **ends}


def _over_time(span: Within) -> dict[str, Any]:
    """Write a value over time; `auto` passes as an expression would."""
    number = {"type": "number", "minimum": span.low, "maximum": span.high}
    return {"anyOf": [number, {"$ref": "#/$defs/expression"}, {"$ref": "#/$defs/keyframes"}]}


def _keyframes() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"ease": {"enum": list(EASES)}},
        "patternProperties": {f"^{TIME}$": {"type": "number"}},
        "additionalProperties": False,
        "minProperties": 1,
    }


def _plain_type(field: FieldInfo) -> Any:
    """Return the bare Python type of a setting that stays, without `None` and marks."""
    if field.annotation in TYPES:
        return field.annotation
    kind = options(field)[0]
    while kind not in TYPES:
        kind = kind.__origin__
    return kind


def _range(field: FieldInfo) -> str:
    return allowed(field).removeprefix("one of ").removesuffix(" or auto")


def _default(entry: Entry) -> str:
    written = [(entry.default, "")]
    for command in COMMANDS:
        own = KINDS[command].defaults.get(entry.key, entry.default)
        if own != entry.default:
            written.append((own, f" for {command}s"))
    told = [(str(value).lower() if isinstance(value, bool) else value, whose) for value, whose in written]
    return ", ".join(f"`{value}`{whose}" for value, whose in told if value is not None and value != {})


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _about(group: str) -> str:
    return " ".join(str(Settings.model_fields[group].annotation.__doc__).split())


_RATE = [
    {"type": "number", "exclusiveMinimum": 0, "maximum": 240},
    {"type": "string", "pattern": r"^\s*\d+(\.\d+)?(/\d+)?\s*$"},
]

TYPES: Mapping[Any, tuple[str, dict[str, Any]]] = {
    int: ("whole number", {"type": "integer"}),
    float: ("number", {"type": "number"}),
    bool: ("`true` or `false`", {"type": "boolean"}),
    str: ("text", {"type": "string", "minLength": 1, "maxLength": 200}),
    Path: ("file", {"type": "string"}),
    Fraction: ("rate", {"anyOf": _RATE}),
    int | Literal["frame"]: (
        "whole number, or `frame`",
        {"anyOf": [{"type": "integer", "minimum": LEAST_LINES, "maximum": MAX_SIDE}, {"const": "frame"}]},
    ),
    Fraction | Literal["frame"]: ("rate, or `frame`", {"anyOf": [*_RATE, {"const": "frame"}]}),
    Size: ("size", {"type": "string", "pattern": r"^\s*\d{1,5}\s*[xX×]\s*\d{1,5}\s*$"}),
    tuple: (
        "box",
        {
            "anyOf": [
                {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
                {"type": "string", "pattern": r"^[^,]+(,[^,]+){3}$"},
            ]
        },
    ),
}
"""Type of a setting that stays -> its name on the page, and its shape in the schema."""
