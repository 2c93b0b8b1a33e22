"""Numbers that may change during a film: plain ones, or functions of seconds."""

from __future__ import annotations

from collections.abc import Callable

Value = float | Callable[[float], float]
"""A number, or seconds since the start of the film -> number."""


def value_at(value: Value, seconds: float) -> float:
    """Return the value at a time in seconds."""
    return value(seconds) if callable(value) else value
