"""What a film begins with, and where it is dreamed on: noise, pictures and masks, brought to the film's size."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from renderer.files import check_input
from renderer.frame import MAX_SIDE, Frame, Pixels, Size
from renderer.media.ffmpeg.clips import Clip, open_clip
from renderer.media.images import is_picture, read_image
from renderer.media.noise import noise
from renderer.settings.schema import Settings

Plane = NDArray[np.float32]
Picture = TypeVar("Picture", Frame, Pixels)

LONGEST_SIDE = 1920
"""What has a size that nobody chose is brought to this at most, pixels: memory and time grow with the area."""


def first_canvas(
    settings: Settings, picture: Path | None, *, size: Size | None = None, drawn_at: Size | None = None
) -> Frame:
    """Make the first canvas `(H, W, 3)` of a film.

    Args:
        settings: of the film.
        picture: that it begins with; None for noise.
        size: of the canvas, pixels; None for that of the film's frames.
        drawn_at: size at which noise is drawn, so that it is the same at every size; None for that of the canvas.

    Raises:
        BadInput: the picture cannot be read.
    """
    size = size or settings.film.size
    if picture is None:
        return fit(noise(settings.start.noise, size=drawn_at or size, seed=settings.seed), size, how="stretch")
    return fit(read_image(picture), size, how=settings.start.fit)


def fit(picture: Picture, size: Size, *, how: str) -> Picture:
    """Bring a picture `(h, w, 3)` to a size.

    Args:
        picture: any size; a frame, or rounded to 8 bits.
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


def _resize(picture: Picture, size: Size, *, box: tuple[float, float, float, float] | None = None) -> Picture:
    """Resample with a Lanczos window that widens as the picture shrinks; a frame channel by channel in float."""
    if picture.dtype == np.uint8:
        return np.asarray(Image.fromarray(picture).resize(tuple(size), Image.Resampling.LANCZOS, box=box))
    out = np.empty((size.height, size.width, 3), np.float32)
    for channel in range(3):
        plane = Image.fromarray(np.ascontiguousarray(picture[..., channel]))
        out[..., channel] = np.asarray(plane.resize(tuple(size), Image.Resampling.LANCZOS, box=box))
    return np.clip(out, 0.0, 1.0)  # Lanczos rings beyond the range; a picture begins inside it.


class Masks:
    """Says for each frame how strongly to dream, pixel by pixel.

    Args:
        settings: of the film.
        path: a picture or moving pictures; None for the box alone.

    Raises:
        BadInput: it cannot be read.
    """

    def __init__(self, settings: Settings, path: Path | None) -> None:
        self._size, area = settings.film.size, settings.area
        self._sigma = area.feather * self._size.height / 2
        self._box = None if area.box is None else self._soft(_inside(area.box, self._size))
        self._still: Plane | None = None
        self._clip: Clip | None = None
        if path is not None and path.exists() and not path.is_dir():
            check_input(path, expected="a picture or a video")
        if path is not None and is_picture(path):
            self._still = self._times_box(self._soft(_luma(fit(read_image(path), self._size, how="cover"))))
        elif path is not None:
            self._clip = open_clip(path, size=self._size, rate=settings.rate)

    def planes(self, start: int) -> Iterator[Plane | None]:
        """Give `(H, W)`, 0 to 1, for each frame from `start` on, without end; None for 1 everywhere.

        A mask that ends before the film keeps its last picture.
        """
        if self._clip is None:
            yield from itertools.repeat(self._box if self._still is None else self._still)
            return
        last: Plane | None = None
        # A mask shorter than this keeps the picture that it ended with.
        for frame in self._clip.frames(min(start, max(0, self._clip.count - 1))):
            last = self._times_box(self._soft(_luma(frame)))
            yield last
        yield from itertools.repeat(last)

    def first(self) -> Plane | None:
        """Return the plane of a single picture."""
        planes = self.planes(0)
        try:
            return next(planes)
        finally:
            planes.close()  # type: ignore[attr-defined]

    def _times_box(self, plane: Plane) -> Plane:
        return plane if self._box is None else plane * self._box

    def _soft(self, plane: Plane) -> Plane:
        plane = np.clip(plane, 0, 1)
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), self._sigma) if self._sigma > 0.1 else plane, np.float32)


def _inside(box: tuple[float, float, float, float], size: Size) -> Plane:
    left, top, width, height = box
    plane = np.zeros((size.height, size.width), np.float32)
    rows = slice(round(top * size.height), max(round(top * size.height) + 1, round((top + height) * size.height)))
    columns = slice(round(left * size.width), max(round(left * size.width) + 1, round((left + width) * size.width)))
    plane[rows, columns] = 1
    return plane


def _luma(frame: Frame) -> Plane:
    return np.asarray(frame @ np.array([0.2126, 0.7152, 0.0722], np.float32), np.float32)
