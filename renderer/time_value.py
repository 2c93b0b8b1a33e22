"""Numbers that may change during a film: plain ones, or functions of seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

Value = float | Callable[[float], float]
"""A number, or seconds since the start of the film -> number."""

NEVER: Mapping[str, Any] = MappingProxyType({})
"""Nothing changes over time."""


def value_at(value: Value, seconds: float) -> float:
    """Return the value at a time in seconds."""
    return value(seconds) if callable(value) else value


class Timed:
    """A group of settings, some of which change over time.

    Args:
        settings: the group.
        over_time: values by name that take the place of the group's own, which may be keyframes or formulas:
            numbers or functions of seconds, or tables of such.
    """

    def __init__(self, settings: Any, over_time: Mapping[str, Any] = NEVER) -> None:
        self._settings, self._over_time = settings, over_time

    def __call__(self, name: str) -> Any:
        """Return the value of a setting: a number, a function of seconds, or a table of these."""
        return self._over_time.get(name, getattr(self._settings, name))

    def at(self, name: str, seconds: float) -> float:
        """Return the value of a setting at a time in seconds."""
        return value_at(self(name), seconds)
