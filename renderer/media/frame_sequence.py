"""Moving pictures that need no ffmpeg: folders of numbered pictures, animated WebP, frames from a work folder."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from renderer.errors import BadInput
from renderer.files import MeasuredFile, is_clutter, open_input
from renderer.frame import MAX_SIDE, Frame, Size, from_8bit
from renderer.media.ffmpeg.timing import Packets, timing_of
from renderer.media.images import MAX_PIXELS, image_size, over_black, read_image
from renderer.media.recipe import riff_chunks

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
"""Endings of the pictures in a folder that are frames."""

FOLDER_RATE = Fraction(24)
"""Frames a second of a folder of pictures, which does not say."""


@dataclass(frozen=True, kw_only=True)
class FrameSequence:
    """Pictures that are shown one after another, on a grid of time.

    Attributes:
        rate: of the grid, frames a second.
        times: when each picture is shown, seconds.
        seconds: in all.
        size: of the pictures.
        load: starts at the picture of that number and gives `(H, W, 3)`, one by one.
        notes: what the user should know, as sentences.
    """

    rate: Fraction
    times: Sequence[Fraction]
    seconds: Fraction
    size: Size
    load: Callable[[int], Iterator[NDArray[Any]]]
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Frames on the grid."""
        return max(1, round(self.seconds * self.rate))

    def read(self, begin: int, end: int | None, size: Size, tell: Callable[[str], None]) -> Iterator[NDArray[Any]]:
        """Read frames of the grid, as `FilmDecoder.read`. What is missing raises, so that `tell` is never told."""
        del tell
        pictures: Iterator[NDArray[Any]] | None = None
        at, shown = -1, None
        for number in range(begin, self.total if end is None else min(end, self.total)):
            # The last picture that begins nearer to this frame than to the next.
            wanted = max(0, bisect.bisect_left(self.times, (number + Fraction(1, 2)) / self.rate) - 1)
            if pictures is None:
                pictures, at = self.load(wanted), wanted - 1
            while at < wanted:
                shown, at = next(pictures), at + 1
            assert shown is not None
            yield fitted(shown, size)


def fitted(values: NDArray[Any], size: Size) -> NDArray[Any]:
    """Return a picture at another size; the middle of it where it has another shape."""
    height, width = values.shape[:2]
    if (width, height) == size:
        return values
    import cv2

    scale = max(Fraction(size.width, width), Fraction(size.height, height))
    wide, high = min(width, round(size.width / scale)), min(height, round(size.height / scale))
    left, top = (width - wide) // 2, (height - high) // 2
    frame: Frame = values if values.dtype == np.float32 else from_8bit(values)
    middle = np.ascontiguousarray(frame[top : top + high, left : left + wide])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(middle, (size.width, size.height), interpolation=how), np.float32)


# --- folders ---------------------------------------------------------------------------------------------------------


def open_folder(path: Path, rate: Fraction | None) -> FrameSequence:
    """Open a folder of pictures, in the order of the numbers in their names.

    Raises:
        BadInput: it holds none, or pictures of different sizes.
    """
    named = (p for p in path.iterdir() if p.suffix.lower() in PICTURES and not is_clutter(p.name))
    pictures = sorted((p for p in named if p.is_file()), key=_by_number)
    if not pictures:
        raise BadInput(f"The folder {path} holds no pictures ({', '.join(PICTURES)}) and is no work folder.")
    size = image_size(pictures[0])
    for picture in pictures:
        if (found := image_size(picture)) != size:
            raise BadInput(f"{picture} is {found}, the first picture of its folder is {size}.")

    def load(first: int) -> Iterator[NDArray[Any]]:
        return (read_image(picture) for picture in pictures[first:])

    chosen = rate or FOLDER_RATE
    times = [number / chosen for number in range(len(pictures))]
    notes = _gaps(path, pictures)
    return FrameSequence(
        rate=chosen, times=times, seconds=len(pictures) / chosen, size=size, load=load, notes=tuple(notes)
    )


def _by_number(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Order names as people number them: frame9 before frame10."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name


def _gaps(path: Path, pictures: list[Path]) -> list[str]:
    """Tell of numbers that are missing between the first and the last."""
    numbers = [re.findall(r"\d+", picture.stem) for picture in pictures]
    if not all(numbers):
        return []
    last = [int(found[-1]) for found in numbers]
    missing = sum(after - before - 1 for before, after in pairwise(last) if after > before)
    if not missing:
        return []
    what = "1 number is missing" if missing == 1 else f"{missing} numbers are missing"
    return [f"In {path} {what} between {pictures[0].name} and {pictures[-1].name}: the others follow each other."]


# --- animated WebP ---------------------------------------------------------------------------------------------------


def open_webp(path: Path, rate: Fraction | None) -> FrameSequence:
    """Open an animated WebP; with Pillow, because an ffmpeg before 8.1 does not decode it.

    Raises:
        BadInput: it cannot be read, or is too large.
    """
    with _webp(path) as image:
        size, count = Size(*image.size), getattr(image, "n_frames", 1)
    with open_input(path, expected="an animated WebP") as file:
        lengths = list(itertools.islice(_lengths(file), count + 1))
    if max(size) > MAX_SIDE or size.width * size.height > MAX_PIXELS:
        raise BadInput(f"{path} is {size}, which is too large.")
    if len(lengths) != count or not all(lengths):
        chosen = rate or FOLDER_RATE
        times, seconds = [number / chosen for number in range(count)], count / chosen
    else:
        ends = np.cumsum(lengths).tolist()
        starts = (0, *ends[:-1])
        packets = Packets(
            tick=Fraction(1, 1000), times=starts, length=lengths[-1], keys=(), exact=True, size=size, codec="webp"
        )
        timing = timing_of(packets, first=Fraction(0), nominal=None)
        chosen, seconds = rate or timing.rate, timing.seconds
        times = [k / timing.rate for k in range(count)] if timing.constant else [Fraction(at, 1000) for at in starts]

    def load(first: int) -> Iterator[NDArray[Any]]:
        with _webp(path) as image:
            for number in range(first, count):
                image.seek(number)
                pixels = np.array(image.convert("RGB"))
                yield over_black(from_8bit(pixels), np.array(image.getchannel("A"))) if image.mode == "RGBA" else pixels

    return FrameSequence(rate=chosen, times=times, seconds=seconds, size=size, load=load)


@contextlib.contextmanager
def _webp(path: Path) -> Iterator[Image.Image]:
    try:
        with MeasuredFile(path, expected="an animated WebP") as file, Image.open(file, formats=["WEBP"]) as image:
            yield image
    except Image.UnidentifiedImageError as error:
        raise BadInput(f"{path} is damaged: it begins like a WebP, and does not go on like one.") from error
    except (OSError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path} cannot be read as an animated WebP ({error}).") from error


def _lengths(file: IO[bytes]) -> Iterator[int]:
    """Read how long each frame of a WebP is shown, ms, from the heads of its chunks."""
    for kind, length in riff_chunks(file):
        if kind == b"ANMF" and length >= 16:
            yield int.from_bytes(file.read(16)[12:15], "little")
