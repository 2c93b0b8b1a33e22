"""Heavy libraries that are loaded when they are first used, so that the tables of a module can be read without them."""

from __future__ import annotations

import importlib
from typing import Any


class Lazy:
    """A module that is imported at the first look at one of its names.

    Args:
        name: of the module, like "tensorflow".
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """Import the module, and return what it has under a name."""
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)  # So that the next look costs nothing.
        return value
