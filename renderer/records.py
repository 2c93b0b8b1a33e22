"""Read what films, work folders and batches record of themselves: JSON that somebody else may have written.

Nothing of a record counts before it has been through `read_json`, which bounds what a text can cost, and a `Record`,
which says what must be in it. Names of files that are not UTF-8 are kept as Python has them, with surrogate escapes.
"""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    ValidationError,
)

DEEPEST = 32
"""Tables and lists within each other."""

MOST_VALUES = 1_000_000
"""Values in one text: a plan of the largest batch has a sixth of them."""

_LARGEST_WHOLE = 10**40


class Record(BaseModel):
    """A table of a record; keys that a later version may have added are left out."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


def read_json(data: bytes | str, *, limit: int) -> Any:
    """Read a JSON text that need not be trusted.

    Args:
        data: the text.
        limit: bytes or letters of the longest that is read.

    Raises:
        ValueError: it is no JSON, is too long, holds too much or too deep, a key twice, or a number or a letter that
            is none.
    """
    if len(data) > limit:
        raise ValueError(f"it has more than {limit:,} bytes")
    text = data.decode("utf-8", "surrogateescape") if isinstance(data, bytes) else data
    if text.count(",") + text.count("[") + text.count("{") > MOST_VALUES:
        raise ValueError(f"it holds more than {MOST_VALUES:,} values")
    try:
        value = json.loads(text, object_pairs_hook=_table)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    _check(value)
    return value


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("it holds a key twice")
    return table


def _check(value: Any) -> None:
    """Go through all values, level by level, without recursion."""
    level = [value]
    for _ in range(DEEPEST + 1):
        if not level:
            return
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                for key in one:
                    _check_text(key)
                below.extend(one.values())
            elif isinstance(one, list):
                below.extend(one)
            elif isinstance(one, str):
                _check_text(one)
            elif isinstance(one, float) and not math.isfinite(one):
                raise ValueError("it holds a number that is none")
            elif isinstance(one, int) and abs(one) > _LARGEST_WHOLE:
                raise ValueError("it holds a number that is too large")
        level = below
    raise ValueError("it is nested too deep")


def _check_text(text: str) -> None:
    if not text.isascii():
        text.encode("utf-8", "surrogateescape")  # Raises a ValueError for halves of letters that stand alone.


R = TypeVar("R", bound=BaseModel)


def to_record(kind: type[R], value: Any) -> R:
    """Make a record of what `read_json` gave.

    Raises:
        ValueError: it is none; in a few words, with the place of the first mistake.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise ValueError(mistake(error)) from None


def mistake(error: ValidationError) -> str:
    """Say in a few words what is wrong with a record first, and where."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))[:100]
    said = first["msg"].removeprefix("Value error, ")[:300]
    return f"{place!r}: {said}" if place else said


def _text(longest: int, *, least: int = 0, nul: bool = True) -> PlainValidator:
    """Check a text of at most so many letters. pydantic's own `str` refuses names that are not UTF-8."""
    return PlainValidator(lambda value: _checked(value, longest, least=least, nul=nul))


def _checked(value: Any, longest: int, *, least: int, nul: bool) -> str:
    if not isinstance(value, str) or not least <= len(value) <= longest:
        raise ValueError(f"must be text of at most {longest:,} letters")
    if not nul and "\0" in value:
        raise ValueError("holds a NUL")
    return value


def _path(value: Any) -> Path:
    return value if isinstance(value, Path) else Path(_checked(value, 10_000, least=1, nul=False))


def _rate(text: str) -> str:
    above, _, below = text.partition("/")
    if not re.fullmatch(r"[0-9]{1,20}(/[0-9]{1,20})?", text) or int(below or 1) == 0:
        raise ValueError("is no rate")
    if not Fraction(1, 1_000_000) <= Fraction(int(above), int(below or 1)) <= 1000:
        raise ValueError("is no rate that a film can have")
    return text


Text = Annotated[str, _text(100_000)]
Word = Annotated[str, _text(1_000)]
PathText = Annotated[str, _text(10_000, least=1, nul=False)]
"""A path, as Python writes it."""
FilePath = Annotated[Path, PlainValidator(_path), PlainSerializer(str)]
"""The same, as a path."""
Hash = Annotated[str, _text(200)]
"""What is compared and nothing else."""
Count = Annotated[int, Field(ge=0, le=10**9)]
"""Frames, attempts and the like."""
Bytes = Annotated[int, Field(ge=0, le=2**60)]
Seconds = Annotated[float, Field(ge=0, le=1e12)]
RateText = Annotated[str, AfterValidator(_rate)]
"""Frames a second, exact, like 24000/1001."""
SizeText = Annotated[str, StringConstraints(pattern=r"\A([0-9]{1,6}x[0-9]{1,6})?\z")]
"""WIDTHxHEIGHT in pixels, or nothing."""
ExitCode = Annotated[int, Field(ge=0, le=255)]
