"""What a setting takes, said in words, and what is wrong with a value that it does not take."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from renderer.errors import nearest
from renderer.setting_types import OneOf, Unit, Within, WithinOrAuto


def markers(field: FieldInfo) -> list[Any]:
    """List what is noted about the type of a setting: its range, its unit; also that of `X | None`."""
    inner = [mark for option in options(field) for mark in getattr(option, "__metadata__", ())]
    return [*field.metadata, *inner]


def options(field: FieldInfo) -> list[Any]:
    """List the types that a setting may have, without `None`."""
    union = get_origin(field.annotation) in (Union, types.UnionType)
    return [kind for kind in (get_args(field.annotation) if union else [field.annotation]) if kind is not type(None)]


def within(field: FieldInfo) -> Within | None:
    """Return the range of a value that may change over time; None for other settings."""
    return next((item for item in markers(field) if isinstance(item, Within)), None)


def each_within(field: FieldInfo) -> Within | None:
    """Return the range of the values of a table whose values may change over time; None for other settings."""
    inner = get_args(field.annotation)[1:] if get_origin(field.annotation) is dict else ()
    found = (item for kind in inner for item in getattr(kind, "__metadata__", ()))
    return next((item for item in found if isinstance(item, Within)), None)


def unit(field: FieldInfo) -> str:
    """Return what a setting is counted in, "" for nothing."""
    return next((item.name for item in markers(field) if isinstance(item, Unit)), "")


def choices(field: FieldInfo) -> tuple[str, ...]:
    """Return the words that a setting is chosen from; empty where it is none of some words."""
    named = next((item.names for item in markers(field) if isinstance(item, OneOf)), ())
    return named or (get_args(field.annotation) if get_origin(field.annotation) is Literal else ())


def limits(field: FieldInfo) -> dict[str, float]:
    """Return the range of a number that stays: of `ge`, `gt`, `le`, those that it has."""
    names = ("ge", "gt", "le")
    return {name: getattr(item, name) for item in markers(field) for name in names if hasattr(item, name)}


def allowed(field: FieldInfo) -> str:
    """Say what a setting takes: its range or its choices, "" if its description has to do."""
    if choices(field):
        return "one of " + ", ".join(choices(field))
    if span := within(field):
        return f"{span.low:g} to {span.high:g}" + (" or auto" if isinstance(span, WithinOrAuto) else "")
    if span := each_within(field):
        return f"{span.low:g} to {span.high:g} each"
    if not (ends := limits(field)):
        return ""
    if "ge" in ends:
        return f"{ends['ge']:.10g} to {ends['le']:.10g}"
    return f"above {ends['gt']:.10g} and up to {ends['le']:.10g}"


def meaning(field: FieldInfo) -> str:
    """Say what a setting means, with its unit."""
    return f"{field.description}{', ' if unit(field) else ''}{unit(field)}"


def mistakes(error: ValidationError, known: Mapping[str, FieldInfo]) -> Iterator[tuple[str, str, str]]:
    """Tell of each setting that has a wrong value: its dotted name, the name with the part of it, and a sentence.

    Args:
        error: what pydantic found.
        known: the settings by dotted name.
    """
    told = set()
    for found in error.errors(include_url=False):
        parts = [str(part) for part in found["loc"]]
        key = next((".".join(parts[:n]) for n in (2, 1) if ".".join(parts[:n]) in known), ".".join(parts[:2]))
        field = known.get(key)
        inner = parts[2] if field is not None and each_within(field) and len(parts) > 2 else ""
        if (key, inner) in told:
            continue
        told.add((key, inner))
        shown = f"{key} ({inner})" if inner else key
        expected = _expected(found, field)
        end = "" if expected.endswith("?") else "."
        yield key, f"{key}.{inner}" if inner else key, f"{shown} is {short(found['input'])}: {expected}{end}"


def short(value: Any) -> str:
    """Write a value for an error, at most 80 characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python writes no whole number of thousands of digits.
        text = f"a {type(value).__name__} too long to be shown"
    return text if len(text) <= 80 else text[:77] + "..."


def _expected(mistake: Any, field: FieldInfo | None) -> str:
    """Say what a setting takes: choices with the nearest, a range, what it means."""
    if field is None:
        return str(mistake["msg"]).lower()
    kind, given = mistake["type"], mistake["input"]
    if kind == "literal_error":
        hint = nearest(given[:100], choices(field)) if isinstance(given, str) else ""
        return f"must be {allowed(field)}{hint.partition('; known:')[0]}"
    if kind == "value_error":
        return str(mistake["ctx"]["error"]) + (f" ({meaning(field)})" if within(field) else "")
    if kind == "path_type":
        return "must be the path of a file"
    what = "a whole number" if "int" in kind else "a number" if "float" in kind else "text" if "string" in kind else ""
    ends = allowed(field) or what
    if not ends:
        return f"{str(mistake['msg']).lower()} ({meaning(field)})"
    whole = "a whole number, " if what == "a whole number" and ends != what else ""
    return f"must be {whole}{ends} ({meaning(field)})"
