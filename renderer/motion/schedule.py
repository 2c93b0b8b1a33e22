"""Numbers over time: constants, keyframes, expressions, and the schedule strings of Deforum.

Whatever can change during a film is a `Schedule`: seconds in, a finite number out. Schedules are data, they run no
code: an expression knows numbers, a few names and a few functions of numbers, nothing else.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from renderer.errors import UsageError, nearest
from renderer.motion.formula import Formula, quoted

Spec = float | int | str | Mapping[str, float | str]
"""What a user writes: `1.2`, `"1 + 0.1*sin(t)"`, `{"0s": 1.2, "4s": 2.0, "ease": "smooth"}`, `"0:(1.0), 30:(1.1)"`."""

MAX_DEFORUM_LENGTH = 20_000
CHECKED_FRAMES = 300
"""How many frames of the film, evenly spread, are tried when a schedule is read."""

TIME = r"\s*(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s*(ms|min|s|%|)\s*"
"""What the key of a keyframe looks like: a number and its unit."""

_DIGITS, _NUMBER = re.compile(r"[0-9]{1,9}"), re.compile(r"\s*\(?\s*(-?[0-9]{1,15}(?:\.[0-9]{0,15})?)\s*\)?\s*")
_UNITS = {"s": 1.0, "ms": 0.001, "min": 60.0, "": 1.0}


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A value over time; call it with seconds since the start of the film.

    Attributes:
        text: the spec, as the user wrote it.
        curve: seconds -> value, not yet checked.
        constant: true where the value is the same at all times.
        per_frame: the film's rate where the spec counts in frames (Deforum), else None. A camera reads such a value
            as motion per frame, as its author meant it.
        low, high: the least and the greatest value that is allowed.
    """

    text: str
    curve: Callable[[float], float]
    constant: bool = False
    per_frame: Fraction | None = None
    low: float = -math.inf
    high: float = math.inf

    def __call__(self, t: float) -> float:
        """Return the value at `t` seconds.

        Raises:
            UsageError: it cannot be computed there, is not finite, or lies outside [low, high].
        """
        try:
            value = float(self.curve(t))
        except (ArithmeticError, ValueError) as error:
            raise UsageError(f"Schedule {quoted(self.text)} has no value at {t:g} s: {error}.") from error
        if not math.isfinite(value):
            raise UsageError(
                f"Schedule {quoted(self.text)} is {value} at {t:g} s; it must be a finite number at all times."
            )
        if not self.low <= value <= self.high:
            raise UsageError(
                f"Schedule {quoted(self.text)} is {value:g} at {t:g} s; allowed is {_allowed(self.low, self.high)}."
            )
        return value

    def held_from(self, t: float) -> Schedule:
        """Return the same, which keeps from `t` seconds on the value that it has there."""
        return self if self.constant else replace(self, curve=_Held(self.curve, t))


def parse(
    spec: Spec,
    *,
    seconds: float,
    rate: Fraction,
    low: float = -math.inf,
    high: float = math.inf,
    seed: int = 0,
) -> Schedule:
    """Read a schedule and try it over the film.

    - a number: constant.
    - text: an expression of `t` (seconds) and `T` (the film's length), see `renderer.motion.formula`.
    - text with a colon: Deforum's `frame:(value), frame:(value)`; inside the parentheses `t` is the frame number,
      `max_f` the number of frames and `s` the seed, and `%` and `&` mean what they mean to numexpr. A plain number
      leads in a straight line to the next key, an expression runs until the next key.
    - a table of keyframes: `"1.5s"`, `"500ms"`, `"2min"` or `"50%"` (of the film) -> number, and `ease`, a name in
      `EASES`. Before the first key and after the last, the value stays.

    Args:
        spec: as above.
        seconds: length of the film, above 0.
        rate: frames a second; only Deforum's frame numbers mean something else at another rate.
        low: least value allowed.
        high: greatest value allowed.
        seed: of the film, Deforum's `s`.

    Raises:
        UsageError: the spec makes no sense, or has no finite value within bounds at some frame of the film.
    """
    if not (math.isfinite(seconds) and seconds > 0 and rate > 0):
        raise UsageError(f"A film of {seconds} s at {rate} frames a second has no time to put a schedule on.")
    if isinstance(spec, bool) or not isinstance(spec, int | float | str | Mapping):
        raise UsageError(f"Schedule {quoted(str(spec))} is none of: a number, an expression, a table of keyframes.")
    per_frame = None
    if isinstance(spec, Mapping):
        curve: Callable[[float], float] = _read_keyframes(spec, seconds)
        constant = False
    elif isinstance(spec, str) and ":" in spec:
        curve, per_frame, constant = _read_deforum(spec, seconds, rate, seed), rate, False
    elif isinstance(spec, str):
        curve = _Expression(Formula(spec, names=("t", "T")), seconds)
        constant = "t" not in curve.formula.used
    else:
        curve, constant = _Constant(_to_float(spec)), True
    schedule = Schedule(text=str(spec), curve=curve, constant=constant, per_frame=per_frame, low=low, high=high)
    frames = max(1, math.ceil(seconds * rate))
    checked = 1 if constant else min(frames, CHECKED_FRAMES)
    for k in range(checked):
        schedule(float(k * (frames - 1) // max(1, checked - 1) / rate))
    return schedule


@dataclass(frozen=True)
class _Held:
    curve: Callable[[float], float]
    end: float

    def __call__(self, t: float) -> float:
        return self.curve(min(t, self.end))


@dataclass(frozen=True)
class _Constant:
    value: float

    def __call__(self, _t: float) -> float:
        return self.value


@dataclass(frozen=True)
class _Expression:
    formula: Formula
    seconds: float

    def __call__(self, t: float) -> float:
        return self.formula(t=t, T=self.seconds)


@dataclass(frozen=True)
class _Keyframes:
    times: tuple[float, ...]
    values: tuple[float, ...]
    ease: Ease

    def __call__(self, t: float) -> float:
        index = bisect_right(self.times, t) - 1
        if index < 0:
            return self.values[0]
        if index == len(self.times) - 1:
            return self.values[-1]
        share = (t - self.times[index]) / (self.times[index + 1] - self.times[index])
        return self.ease(self.times, self.values, index, share)


@dataclass(frozen=True)
class _Deforum:
    frames: tuple[int, ...]
    values: tuple[Formula | float, ...]
    rate: Fraction
    count: int
    seed: int

    def __call__(self, t: float) -> float:
        # Deforum moves INTO frame n by the value at n, so what lies between n-1 and n belongs to n.
        frame = math.ceil(t * float(self.rate) - 1e-6)
        index = max(0, bisect_right(self.frames, frame) - 1)
        value, read = self._value(index, frame), self.values[index]
        leads = isinstance(read, float) or read.literal
        if frame <= self.frames[index] or index == len(self.frames) - 1 or not leads:
            return value
        start, end = self.frames[index], self.frames[index + 1]
        return value + (self._value(index + 1, end) - value) * (frame - start) / (end - start)

    def _value(self, index: int, frame: int) -> float:
        value = self.values[index]
        if isinstance(value, float):
            return value
        return value(t=float(max(frame, self.frames[0])), max_f=float(self.count), s=float(self.seed))


def _read_keyframes(spec: Mapping[str, float | str], seconds: float) -> _Keyframes:
    keys: dict[float, tuple[str, float]] = {}
    for key, value in spec.items():
        if key == "ease":
            continue
        time = _read_time(str(key), seconds)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"Keyframe {quoted(key)} is {quoted(str(value))}; it must be a number.")
        if not math.isfinite(value):
            raise UsageError(f"Keyframe {quoted(key)} is {value!r}; it must be a finite number.")
        if time in keys:
            raise UsageError(f"Keyframes {keys[time][0]!r} and {key!r} are at the same time; keep one.")
        keys[time] = (str(key), _to_float(value))
    if not keys:
        raise UsageError('A table of keyframes needs at least one, like { "0s" = 1.2, "4s" = 2.0 }.')
    name = spec.get("ease", "linear")
    if not isinstance(name, str) or name not in EASES:
        raise UsageError(f"Unknown ease {quoted(str(name))}{nearest(str(name)[:100], EASES)}")
    times = sorted(keys)
    return _Keyframes(tuple(times), tuple(keys[time][1] for time in times), EASES[name])


def _read_time(key: str, seconds: float) -> float:
    match = re.fullmatch(TIME, key)
    if not match:
        raise UsageError(f"Keyframe {quoted(key)} is not a time like '4s', '500ms', '1.5min' or '50%'.")
    number, unit = float(match[1]), match[2]
    return number / 100 * seconds if unit == "%" else number * _UNITS[unit]


def _read_deforum(text: str, seconds: float, rate: Fraction, seed: int) -> _Deforum:
    if len(text) > MAX_DEFORUM_LENGTH:
        raise UsageError(f"Schedule {text[:40]!r}... has {len(text)} characters; at most {MAX_DEFORUM_LENGTH}.")
    count = max(1, math.ceil(seconds * rate))
    keys: dict[int, Formula | float] = {}
    for start, part in _split(text):
        key, colon, value = part.partition(":")
        offset = start + len(key) - len(key.lstrip())
        if not colon:
            raise UsageError(
                f"Schedule {quoted(text)} has {quoted(part.strip())} at character {offset + 1}; expected FRAME:(VALUE)."
            )
        bare = key.strip().strip("\"'")
        # Deforum takes quotes away; a space in their stead keeps every place. It takes the last of two equal keys.
        plain = value.replace('"', " ").replace("'", " ")
        frame = int(bare) if _DIGITS.fullmatch(bare) else _read_frame(bare, text, offset, count)
        if number := _NUMBER.fullmatch(plain):  # By far the most are, and a formula takes its time.
            keys[frame] = float(number[1])
        else:
            keys[frame] = Formula(
                plain, names=("t", "max_f", "s"), whole=text, offset=start + len(key) + 1, truncated=True
            )
    if not keys:
        raise UsageError(f"Schedule {quoted(text)} has no keyframe; expected FRAME:(VALUE), FRAME:(VALUE).")
    frames = sorted(keys)
    return _Deforum(tuple(frames), tuple(keys[frame] for frame in frames), rate, count, seed)


def _read_frame(key: str, text: str, offset: int, count: int) -> int:
    try:
        frame = Formula(key, names=("max_f",), whole=text, offset=offset)(max_f=float(count))
        if 0 <= frame <= 1e9:
            return int(frame)
    except (ArithmeticError, ValueError):
        pass
    raise UsageError(
        f"Schedule {quoted(text)} has the key {quoted(key)} at character {offset + 1}; expected a frame number."
    )


def _split(text: str) -> list[tuple[int, str]]:
    """Cut at the commas outside all parentheses; each part with its place. A trailing comma is fine."""
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(text + ","):
        if letter == "," and depth <= 0:
            if text[start:place].strip():
                parts.append((start, text[start:place]))
            start = place + 1
        depth += (letter == "(") - (letter == ")")
    if depth > 0:
        raise UsageError(f"Schedule {quoted(text)} has a '(' that is never closed.")
    return parts


def _allowed(low: float, high: float) -> str:
    if math.isinf(high):
        return f"{low:g} or more"
    return f"{high:g} or less" if math.isinf(low) else f"{low:g} to {high:g}"


def _to_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError as error:
        raise UsageError(f"The number {str(number)[:20]}... is too large.") from error


Ease = Callable[[Sequence[float], Sequence[float], int, float], float]
"""(times, values, index of the key before, share of the way to the next) -> value."""


def _linear(_times: Sequence[float], values: Sequence[float], index: int, share: float) -> float:
    return values[index] + (values[index + 1] - values[index]) * share


def _smooth(times: Sequence[float], values: Sequence[float], index: int, share: float) -> float:
    return _linear(times, values, index, share * share * (3 - 2 * share))


def _step(_times: Sequence[float], values: Sequence[float], index: int, _share: float) -> float:
    return values[index]


def _cubic(times: Sequence[float], values: Sequence[float], index: int, share: float) -> float:
    """One curve through all keys, without a kink and without shooting over a key (Fritsch and Butland 1984)."""
    width = times[index + 1] - times[index]
    before = _slope(times, values, index) * width
    after = _slope(times, values, index + 1) * width
    rise = values[index + 1] - values[index]
    return values[index] + share * (
        before + share * (3 * rise - 2 * before - after + share * (before + after - 2 * rise))
    )


def _slope(times: Sequence[float], values: Sequence[float], index: int) -> float:
    if index in (0, len(times) - 1):
        return 0.0
    left, right = times[index] - times[index - 1], times[index + 1] - times[index]
    fall, rise = (values[index] - values[index - 1]) / left, (values[index + 1] - values[index]) / right
    if fall * rise <= 0:
        return 0.0
    return 3 * (left + right) / ((2 * right + left) / fall + (right + 2 * left) / rise)


EASES: dict[str, Ease] = {"linear": _linear, "smooth": _smooth, "step": _step, "cubic": _cubic}
