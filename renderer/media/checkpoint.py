"""Write the state of a film to a file and read it back, exact to the bit, running no code from it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

Value = np.ndarray[Any, Any] | np.generic | bool | int | float | str | None
"""What a state may hold: arrays of numbers, and single values."""

_ARRAY = "array."  # Keeps names of ours apart from those that the npz format has for itself.
_SINGLES = "singles"


def save(state: Mapping[str, Value], path: Path) -> None:
    """Write a state as an npz file without compression.

    Raises:
        TypeError: a value is neither an array of numbers nor a single value.
        OSError: it cannot be written.
    """
    singles: dict[str, Any] = {}
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name, value in state.items():
        if isinstance(value, np.ndarray) or (isinstance(value, np.generic) and not isinstance(value, np.str_)):
            array = np.asarray(value)
            if array.dtype.kind not in "biufcSU":
                raise TypeError(f"state {name!r}: arrays of {array.dtype} cannot be kept")
            arrays[_ARRAY + name] = array
        elif value is None or isinstance(value, bool | int | float | str):
            singles[name] = value
        else:
            raise TypeError(f"state {name!r}: a {type(value).__name__} cannot be kept")
    arrays[_SINGLES] = np.frombuffer(json.dumps(singles).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load(path: Path | BinaryIO) -> dict[str, Value]:
    """Read a state from a file, which may be open already.

    Single numpy numbers come back as arrays of no dimension, with their types.

    Raises:
        ValueError: not a whole checkpoint.
        OSError: it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            state: dict[str, Value] = dict(json.loads(held[_SINGLES].tobytes()))
            state |= {name.removeprefix(_ARRAY): held[name] for name in held.files if name.startswith(_ARRAY)}
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise ValueError(f"damaged: {error}") from error
    return state
