"""Where to dream: boxes and masks, brought to the size of a film."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.files import check_input
from renderer.films.first_frame import fit
from renderer.frame import Frame, Size
from renderer.media.ffmpeg.clips import Clip, open_clip
from renderer.media.images import is_picture, read_image
from renderer.settings.schema import Settings

Plane = NDArray[np.float32]


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
