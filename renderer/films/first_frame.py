"""The first canvas of a film: noise, or a picture brought to the film's size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from renderer.files import file_sha256
from renderer.frame import MAX_SIDE, Frame, Size
from renderer.media.images import read_image
from renderer.media.noise import noise
from renderer.settings.schema import Settings

LONGEST_SIDE = 1920
"""What has a size that nobody chose is brought to this at most, pixels: memory and time grow with the area."""


def first_canvas(settings: Settings, picture: Path | None) -> Frame:
    """Make the first canvas `(H, W, 3)` of a film, at its size.

    Raises:
        BadInput: the picture cannot be read.
    """
    if picture is None:
        return noise(settings.start.noise, size=settings.film.size, seed=settings.seed)
    return fit(read_image(picture), settings.film.size, how=settings.start.fit)


def fit(picture: Frame, size: Size, *, how: str) -> Frame:
    """Bring a picture `(h, w, 3)` to a size.

    Args:
        picture: any size.
        size: wanted, pixels.
        how: "cover" fills the frame and crops what is over; "contain" shows the whole picture and fills the rest with
            its mirror image; "stretch" ignores its shape.
    """
    found = Size.of(picture)
    if found == size:
        return picture
    if how == "stretch":
        return _resize(picture, size)
    ratios = (size.width / found.width, size.height / found.height)
    scale = max(ratios) if how == "cover" else min(ratios)
    scaled = Size(max(1, round(found.width * scale)), max(1, round(found.height * scale)))
    if how == "cover":
        # Cropped before it is scaled: a panorama would else be blown up to be thrown away.
        width, height = min(found.width, size.width / scale), min(found.height, size.height / scale)
        left, top = (found.width - width) / 2, (found.height - height) / 2
        return _resize(picture, size, box=(left, top, left + width, top + height))
    resized = _resize(picture, scaled)
    left, top = (size.width - scaled.width) // 2, (size.height - scaled.height) // 2
    margins = ((top, size.height - scaled.height - top), (left, size.width - scaled.width - left), (0, 0))
    return np.pad(resized, margins, mode="symmetric")


def shrunk(size: Size, longest: int = LONGEST_SIDE) -> Size:
    """Return a size of the same shape whose longer side has `longest` pixels at most."""
    scale = min(1.0, longest / max(size))
    return Size(max(1, round(size.width * scale)), max(1, round(size.height * scale)))


def own_size(found: Size, settings: Settings) -> Size:
    """Return the size of what is dreamed on at its own size: at most `LONGEST_SIDE`, if no memory is named for it."""
    return shrunk(found, LONGEST_SIDE if settings.dream.memory is None else MAX_SIDE)


def hashes_of(inputs: Mapping[str, Path]) -> dict[str, str]:
    """Return the sha256 of each file in hex, by the same names; of a folder, that of the files in it.

    Raises:
        BadInput: one cannot be read.
    """
    return {name: file_sha256(path, what=name) for name, path in inputs.items()}


def _resize(picture: Frame, size: Size, *, box: tuple[float, float, float, float] | None = None) -> Frame:
    """Resample with a Lanczos window that widens as the picture shrinks, channel by channel in float."""
    out = np.empty((size.height, size.width, 3), np.float32)
    for channel in range(3):
        plane = Image.fromarray(np.ascontiguousarray(picture[..., channel]))
        out[..., channel] = np.asarray(plane.resize(tuple(size), Image.Resampling.LANCZOS, box=box))
    return np.clip(out, 0.0, 1.0)  # Lanczos rings beyond the range; a picture begins inside it.
