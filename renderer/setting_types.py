"""What settings are made of: groups of fields, and the kinds of value, each read from text or TOML and written back.

A group stands beside the code that takes it: `dreaming.settings`, `motion.settings` and so on. Nothing here imports
TensorFlow or OpenCV.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
)
from pydantic_core.core_schema import CoreSchema, literal_schema, no_info_plain_validator_function

from renderer.errors import UsageError
from renderer.frame import MAX_SIDE, Size


class Group(BaseModel):
    """A group of settings: frozen, without unknown names, infinities or NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


MIN_RATE, MAX_RATE = Fraction(1, 100), 240
"""Slowest and fastest film, frames a second."""

BROADCAST = {
    Fraction(str(round(n * 1000 / 1001, places))): Fraction(n * 1000, 1001)
    for n in (24, 30, 48, 60, 120)
    for places in (2, 3)
}
"""What people write for the N*1000/1001 rates, like 23.976 and 29.97, and what they mean."""


def parse_rate(value: Any) -> Fraction:
    """Read a frame rate exactly: 24, "24000/1001", or 23.976, which stands for 24000/1001.

    Raises:
        ValueError: not a number from `MIN_RATE` to `MAX_RATE` frames a second.
    """
    problem = f"must be a rate in frames a second from {float(MIN_RATE):g} to {MAX_RATE}, like 24, 29.97 or 24000/1001"
    if isinstance(value, bool) or not isinstance(value, int | float | str | Fraction) or len(str(value)) > 40:
        raise ValueError(problem)
    if isinstance(value, str) and "e" in value.lower():
        raise ValueError(problem)
    try:
        rate = Fraction(str(value).strip())
    except (ValueError, ZeroDivisionError):
        raise ValueError(problem) from None
    rate = BROADCAST.get(rate, rate)
    if not MIN_RATE <= rate <= MAX_RATE or rate.denominator > 1_000_000 or rate.numerator > 100_000_000:
        raise ValueError(problem)
    return rate


def parse_dreams(value: Any) -> Fraction | Literal["frame"]:
    """Read how often is dreamed: a rate, or the word "frame" for a dream in every frame.

    Raises:
        ValueError: it is neither.
    """
    if value == "frame":
        return "frame"
    try:
        return parse_rate(value)
    except ValueError:
        raise ValueError(
            f"must be a rate in dreams a second from {float(MIN_RATE):g} to {MAX_RATE}, like 12, or the word frame for "
            "a dream in every frame"
        ) from None


LEAST_LINES = 32
"""Shorter side that a film is dreamed at, at least."""


def parse_reference(value: Any) -> int | Literal["frame"]:
    """Read the lines that a film is dreamed at: a whole number, or the word "frame" for those of its frames.

    Raises:
        ValueError: it is neither.
    """
    if value == "frame":
        return "frame"
    text = str(value)
    if not isinstance(value, bool) and text.isdecimal() and text.isascii() and len(text) < 10:
        lines = int(text)
        if LEAST_LINES <= lines <= MAX_SIDE:
            return lines
    raise ValueError(
        f"must be a whole number of lines from {LEAST_LINES} to {MAX_SIDE}, like 360, or the word frame for the "
        "frame's own size"
    )


def parse_size(value: Any) -> Size:
    """Read `WIDTHxHEIGHT`, or a pair of whole numbers.

    Raises:
        ValueError: not a size, or one that is zero or too large.
    """
    if isinstance(value, list | tuple) and len(value) == 2:
        value = f"{value[0]}x{value[1]}"
    if not isinstance(value, str):
        raise ValueError("must be WIDTHxHEIGHT in pixels, like 1280x720")
    try:
        return Size.parse(value)
    except UsageError as error:
        raise ValueError(str(error).rstrip(".")) from None


def parse_box(value: Any) -> tuple[float, float, float, float]:
    """Read `LEFT,TOP,WIDTH,HEIGHT` as parts of the frame, or four numbers.

    Raises:
        ValueError: not four numbers, or a box that is not inside the frame.
    """
    problem = "must be LEFT,TOP,WIDTH,HEIGHT as parts of the frame, like 0.25,0.2,0.5,0.6"
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or len(parts) != 4 or any(isinstance(part, bool) for part in parts):
        raise ValueError(problem)
    try:
        left, top, width, height = (float(part) for part in parts)
    except (TypeError, ValueError):
        raise ValueError(problem) from None
    slack = 1 + 1e-6
    if not (min(left, top) >= 0 and min(width, height) > 0 and left + width <= slack and top + height <= slack):
        raise ValueError(problem + ", inside it")
    return left, top, width, height


def parse_layers(value: Any) -> Any:
    """Read a layer mix from `A,B`, `A:1,B:0.5`, `A:1-t/T` or a list of such; a mapping is left for the field to check.

    Raises:
        ValueError: something else, or a layer twice.
    """
    return _parse_weights(value, what="layer", example="mixed4:1,mixed5:0.5")


def parse_words(value: Any) -> Any:
    """Read words with weights as `parse_layers` reads layers; a bare number is one of a class.

    Raises:
        ValueError: something else, or a word twice.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if isinstance(value, list | tuple):
        value = [str(part) if isinstance(part, int) and not isinstance(part, bool) else part for part in value]
    return _parse_weights(value, what="word", example="castle:1,jellyfish:0.5")


def _parse_weights(value: Any, *, what: str, example: str) -> Any:
    if isinstance(value, str):
        value = [part.strip() for part in _at_commas(value) if part.strip()]
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be {what}s with weights, like {example}")
    mix: dict[str, Any] = {}
    for part in value:
        if not isinstance(part, str):
            raise ValueError(f"must be {what}s with weights, like {example}")
        name, colon, weight = part.rpartition(":")
        if not colon or _CHOSEN.fullmatch(weight.strip()):
            name, weight = part, "1"
        name, weight = name.strip(), weight.strip()
        if not name or name in mix:
            raise ValueError(f"names the {what} {name!r} twice" if name else f"has no {what} in {part!r}")
        mix[name] = weight
    return mix


_CHOSEN = re.compile(r"[a-z]+\d+(\(.*\))?|\d+\(.*\)|[\d.|]*(\.\.|\|)[\d.|]*(\(.*\))?")
"""What says which channels of a layer, and is no weight: `strongest8`, `12(0.5,0.5)`, `3..7|12`."""


def parse_mixes(value: Any) -> str:
    """Read layer mixes one after another from `A; B:0.5,C` or a list of them, and write them as `A; B:0.5,C`.

    Raises:
        ValueError: something else, or a weight that is no number.
    """
    parts = value.split(";") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not parts or not all(isinstance(part, str) for part in parts):
        raise ValueError("must be layers with weights one after another, like 'edges; patterns:2,parts; objects'")
    text = "; ".join(part.strip() for part in parts)
    mixes_of(text)
    return text


def mixes_of(text: str) -> list[dict[str, float]]:
    """Read what `parse_mixes` wrote: a list of layer -> weight.

    Raises:
        ValueError: as `parse_mixes`.
    """
    mixes: list[dict[str, float]] = []
    for part in text.split(";"):
        mix = parse_layers(part)
        if not mix:
            raise ValueError(f"has nothing between two semicolons, or at an end: {text!r}"[:200])
        try:
            mixes.append({name: float(weight) for name, weight in mix.items()})
        except ValueError:
            raise ValueError(f"must have numbers as weights, which do not change over time: {part.strip()!r}") from None
        if not all(map(math.isfinite, mixes[-1].values())):
            raise ValueError(f"must have finite numbers as weights: {part.strip()!r}")
    return mixes


def _at_commas(text: str) -> Iterator[str]:
    """Cut a text at its commas, but for those within parentheses: a weight may be `max(0, 1-t)`."""
    depth, start = 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth <= 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]


def parse_scales(value: Any) -> str:
    """Read octaves one by one, coarse to fine, from `0.5, 0.71, 1` or `320x180, 640x360` or a list of such.

    Raises:
        ValueError: something else, or parts of the frame that are not above 0 and up to 4.
    """
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    if not parts or not all(isinstance(part, int | float | str) and not isinstance(part, bool) for part in parts):
        raise ValueError("must be sizes or parts of the frame, coarse to fine, like '320x180, 640x360' or '0.5, 1'")
    text = ", ".join(str(part).strip() for part in parts)
    scales_of(text)
    return text


def scales_of(text: str) -> tuple[Size | float, ...]:
    """Read what `parse_scales` wrote: sizes, or parts of the frame's sides.

    Raises:
        ValueError: as `parse_scales`.
    """
    found: list[Size | float] = []
    for part in text.split(","):
        if re.search("[xX×]", part):
            found.append(parse_size(part))
            continue
        try:
            scale = float(part)
        except ValueError:
            scale = math.nan
        if not 0 < scale <= 4:
            raise ValueError(f"must be sizes like 320x180, or parts of the frame above 0 up to 4, not {part.strip()!r}")
        found.append(scale)
    return tuple(found)


def parse_memory(value: Any) -> str:
    """Read an amount of memory, like 2GB, 1.5GB or 800MB, and write it as such.

    Raises:
        ValueError: something else, or less than a megabyte.
    """
    text = value if isinstance(value, str) else ""
    found = re.fullmatch(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*([MGT])B?\s*", text, re.IGNORECASE)
    if not found or float(found[1]) == 0:
        raise ValueError("must be an amount of memory, like 2GB or 800MB")
    return f"{found[1]}{found[2].upper()}B"


def bytes_of(memory: str) -> int:
    """Return how many bytes an amount of memory is that `parse_memory` wrote; a GB is 1,000,000,000 of them."""
    return round(float(memory[:-2]) * {"MB": 10**6, "GB": 10**9, "TB": 10**12}[memory[-2:]])


def refuse_bool(value: Any) -> Any:
    """Let through all but true and false, which would count as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


@dataclass(frozen=True)
class Within:
    """The range of a value that may change over time, both ends included.

    A constant is checked at once; keyframes and expressions when the length of the film is known (`settings.build`).
    """

    low: float
    high: float

    def __call__(self, value: Any) -> Any:
        """Check a constant's range; return numbers as float and anything else as it is."""
        value = _plain(value)
        if isinstance(value, float):
            self.check(value)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let pydantic call this as the whole check of a value."""
        return no_info_plain_validator_function(self)

    def check(self, value: float) -> None:
        """Refuse a number outside the range.

        Raises:
            ValueError: outside, infinite or not a number.
        """
        if not (math.isfinite(value) and self.low <= value <= self.high):
            raise ValueError(f"must be {self.low:g} to {self.high:g}")


@dataclass(frozen=True)
class WithinOrAuto(Within):
    """A value that may change over time, or the word "auto" for one that the film finds by itself."""


class OneOf:
    """One of the names of a table: a setting that says which entry is used.

    Args:
        table: the names.
    """

    def __init__(self, table: Iterable[str]) -> None:
        self.names = tuple(table)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let pydantic take these names and nothing else."""
        return literal_schema(list(self.names))


@dataclass(frozen=True)
class Unit:
    """What a setting is counted in, like "seconds" or "degrees a second"."""

    name: str


def _plain(value: Any) -> Any:
    """Turn numbers and texts that are numbers into float; copy mappings; leave the rest to the parser."""
    if isinstance(refuse_bool(value), int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value.strip()
    if isinstance(value, Mapping):
        if len(value) > 10_000:
            raise ValueError("has more than 10000 keyframes")
        return dict(value)
    raise ValueError('must be a number, keyframes like {"0s" = 1.0, "4s" = 2.0}, or an expression of t')


Rate = Annotated[Fraction, PlainValidator(parse_rate), PlainSerializer(str), Unit("frames a second")]
DreamRate = Annotated[
    Fraction | Literal["frame"], PlainValidator(parse_dreams), PlainSerializer(str), Unit("dreams a second")
]
FrameSize = Annotated[Size, PlainValidator(parse_size), PlainSerializer(str), Unit("pixels")]
Box = Annotated[
    tuple[float, float, float, float], PlainValidator(parse_box), PlainSerializer(list), Unit("parts of the frame")
]
Whole = Annotated[int, BeforeValidator(refuse_bool)]
Reference = Annotated[int | Literal["frame"], PlainValidator(parse_reference), Unit("lines")]
Number = Annotated[float, BeforeValidator(refuse_bool)]
Spec = float | str | dict[str, Any]
"""A value that may change over time: a constant, keyframes, or an expression; `renderer.motion.schedule` reads it."""
Mixes = Annotated[str, BeforeValidator(parse_mixes), StringConstraints(max_length=200)]
"""Layer mixes one after another, with weights that stay."""
Weights = Annotated[dict[str, Annotated[Spec, Within(-1000, 1000)]], BeforeValidator(parse_layers)]
"""Weights that may change over time, by layer."""
WordWeights = Annotated[dict[str, Annotated[Spec, Within(-1000, 1000)]], BeforeValidator(parse_words)]
"""The same, by what is dreamed of."""
Memory = Annotated[str, BeforeValidator(parse_memory), StringConstraints(max_length=20)]
"""An amount of memory, like 2GB."""
Scales = Annotated[str, BeforeValidator(parse_scales), StringConstraints(max_length=200)]
"""Octaves one by one: sizes, or parts of the frame."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Seconds = Annotated[Number, Unit("seconds")]
Pixels = Annotated[Number, Unit("pixels")]
Part = Annotated[Spec, Within(0, 1)]
"""A share of something, which may change over time."""
