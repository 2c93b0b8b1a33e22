"""Write the state of a film to a file and read it back, exact to the bit, running no code from it."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from renderer.records import read_json

Value = np.ndarray[Any, Any] | np.generic | bool | int | float | str | None
"""What a state may hold: arrays of numbers, and single values."""

_ARRAY = "array."  # Keeps names of ours apart from those that the npz format has for itself.
_SINGLES = "singles"
_KINDS = "biufcSU"  # Of numpy's types: numbers and text.
_READ_HEAD = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


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
            if array.dtype.kind not in _KINDS:
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

    Single numpy numbers come back as arrays of no dimension, with their types. Nothing is unpacked, and no array takes
    more memory than it has bytes in the file.

    Raises:
        ValueError: not a whole checkpoint.
        OSError: it cannot be read.
    """
    state: dict[str, Value] = {}
    try:
        with zipfile.ZipFile(path) as held:
            held.getinfo(f"{_SINGLES}.npy")  # Without it, it is none of ours.
            for entry in held.infolist():
                name, array = entry.filename.removesuffix(".npy"), _array(held, entry)
                if name == _SINGLES:
                    state |= _singles(array)
                elif name.startswith(_ARRAY):
                    state[name.removeprefix(_ARRAY)] = array
    except OSError:
        raise
    except Exception as error:  # Both libraries raise whatever comes to them in a damaged file.
        raise ValueError(f"damaged: {error}") from error
    return state


def _array(held: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray[Any, Any]:
    """Read an array of numbers or text, if its head tells of just as many bytes as there are."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > held.start_dir:
        raise ValueError("it is compressed, or tells of more than there is")
    with held.open(entry) as file:
        shape, _, kind = _READ_HEAD[np.lib.format.read_magic(file)](file)
        if kind.kind not in _KINDS or entry.file_size - file.tell() != kind.itemsize * math.prod(shape):
            raise ValueError("an array is not what its head says")
        file.seek(0)
        array: np.ndarray[Any, Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _singles(array: np.ndarray[Any, Any]) -> dict[str, Value]:
    singles = read_json(array.tobytes(), limit=1 << 20)
    if not isinstance(singles, dict) or any(isinstance(value, dict | list) for value in singles.values()):
        raise ValueError("no single values")
    return singles
