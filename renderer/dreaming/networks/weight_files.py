"""Look over files of weights and models before a library opens them.

Keras' safe mode runs nothing that a file holds. It does not see to it that a small file takes little memory, that an
archive holds nothing else, or that an HDF5 file does not read other files of this machine through itself.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path
from typing import IO, Any

import h5py

from renderer.errors import BadInput, EnvironmentProblem
from renderer.files import check_input, open_input

MEMBERS = ("config.json", "metadata.json", "model.weights.h5", "model.weights.npz", "assets/")
"""What a `.keras` archive of a network of pictures holds."""

_EXPECTED = "weights or a model"
_TIMES, _FREE = 20, 64 << 20  # Weights hardly shrink when they are packed.
_LARGEST_TEXT = 32 << 20  # Bytes of JSON; the largest networks have 1 MB.
_MOST_LINKS = 1_000_000


def check_weights(path: Path) -> None:
    """Refuse a file of weights, or a model, that is not what it seems, or would not stay within its size.

    Raises:
        EnvironmentProblem: it is not there.
        BadInput: it is no plain file, neither HDF5 nor an archive, or would fill the memory or read other files.
    """
    if not path.exists():
        raise EnvironmentProblem(f"The file {path} does not exist; expected {_EXPECTED}.")
    size = check_input(path, expected=_EXPECTED)
    archive, hdf5 = zipfile.is_zipfile(path), is_hdf5(path)
    if not archive and not hdf5:
        raise BadInput(
            f"{path} is no Keras model, and no file of weights: it is neither HDF5 nor an archive, or not whole."
        )
    try:
        with open_input(path, expected=_EXPECTED) as file:
            if archive:
                _check_archive(file, path, size)
            if hdf5:
                _check_hdf5(file, path, size)
    except BadInput:
        raise
    except Exception as error:  # A file that is cut off makes these libraries fail in any way.
        what = (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")
        raise BadInput(f"{path} is no Keras model, and no file of weights, that is whole: {what}.") from error


def is_hdf5(path: Path) -> bool:
    """Tell whether a file is HDF5, whatever its name."""
    return bool(h5py.is_hdf5(path))


def _check_archive(file: IO[bytes], path: Path, size: int) -> None:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        _check_bytes(sum(member.file_size for member in members), path, size)
        if not any(member.filename == "config.json" for member in members):
            return  # Arrays alone, as .npz.
        held = sum(member.file_size for member in members if "weights" in member.filename)
        for member in members:
            name = member.filename
            if name not in MEMBERS:
                raise BadInput(f"{path} is no Keras model that is opened here: it holds {name!r} beside the model.")
            if name.endswith(".json") and member.file_size > _LARGEST_TEXT:
                raise BadInput(f"{path} has {member.file_size:,} bytes of {name}, which is too much for a model.")
            if name == "config.json" and (asked := _most_numbers(json.loads(archive.read(member)))) > held:
                raise BadInput(
                    f"{path} describes a layer of {asked:,} numbers and holds {held:,} bytes: it is damaged, or "
                    "made to fill memory."
                )
            if name.endswith(".h5"):
                _check_hdf5(io.BytesIO(archive.read(member)), path, member.file_size)
            if name.endswith(".npz"):
                _check_archive(io.BytesIO(archive.read(member)), path, member.file_size)


def _most_numbers(config: Any) -> int:
    """Return how many numbers the largest layer of a model has at least, by its description."""
    most, rest = 0, [config]
    while rest:
        part = rest.pop()
        rest += part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
        if isinstance(part, dict):
            channels = [part.get(key) for key in ("filters", "units", "depth_multiplier")]
            kernel = part.get("kernel_size")
            areas = [math.prod(side for side in kernel if isinstance(side, int))] if isinstance(kernel, list) else []
            most = max(most, *areas, *(count for count in channels if isinstance(count, int)), 0)
    return most


def _check_hdf5(file: IO[bytes], path: Path, size: int) -> None:
    found = links = 0

    def look(name: str, link: h5py.HardLink | h5py.SoftLink | h5py.ExternalLink) -> str | None:
        """Count the bytes behind a link; a name that is returned ends the search."""
        nonlocal found, links
        links += 1
        if links > _MOST_LINKS or not isinstance(link, h5py.HardLink):
            return name
        item = weights[name]
        if isinstance(item, h5py.Dataset):
            found += item.nbytes
            return name if item.external or item.is_virtual else None
        return None

    with h5py.File(file, "r") as weights:
        strange = weights.visititems_links(look)
    if strange is not None:
        raise BadInput(f"{path} reads other data through {strange!r}, as no file of weights does; it is not opened.")
    _check_bytes(found, path, size)


def _check_bytes(found: int, path: Path, size: int) -> None:
    if found > _TIMES * size + _FREE:
        raise BadInput(
            f"{path} has {size:,} bytes and would unfold to {found:,}: it is damaged, or made to fill memory."
        )
