"""Moving pictures to read: a film in a container, an animated WebP, a folder of pictures, a work folder.

`open_clip` takes any of them; each way of opening is one function and one line in `OPENERS` at the foot.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from renderer.errors import BadInput
from renderer.frame import Frame, Pixels, Size, from_8bit, to_8bit
from renderer.media.ffmpeg import FfmpegFailed, PipeReader, file_url
from renderer.media.ledger import FILM
from renderer.media.probe import INPUT, TRACK, FilmInfo, probe
from renderer.media.store import Store

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
"""Endings of the pictures in a folder that are frames."""

FOLDER_RATE = Fraction(24)
"""Frames a second of a folder of pictures, which does not say."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Moving pictures: an iterable of frames, which may be gone through more than once.

    Attributes:
        size: of every frame, pixels.
        rate: frames a second, exact.
        frames: how many there are by what the container says; a damaged film gives fewer.
        meta: what a work folder keeps beside its frames; empty for all others.
        read: starts at the first frame and gives uint8 `(H, W, 3)`.
    """

    size: Size
    rate: Fraction
    frames: int
    read: Callable[[], Iterator[Pixels]]
    meta: dict[str, Any]

    def __iter__(self) -> Iterator[Frame]:
        """Go through the frames `(H, W, 3)`, float32."""
        return (from_8bit(pixels) for pixels in self.read())


def open_clip(path: Path, *, rate: Fraction | None = None) -> Clip:
    """Open moving pictures for reading.

    Args:
        path: a film, a folder of pictures in the order of the numbers in their names, or a work folder.
        rate: frames a second to read at: a film drops and repeats frames to have it. None takes every frame just once
            (at the mean rate where they are not equally long).

    Raises:
        BadInput: nothing there, or nothing that can be read as moving pictures. Reading may raise it too.
        EnvironmentProblem: no usable ffmpeg.
    """
    for fits, opener in OPENERS:
        if fits(path):
            return opener(path, rate)
    raise BadInput(f"{path} is not there; expected a film or a folder of pictures.")


def _open_film(path: Path, rate: Fraction | None) -> Clip:
    info = probe(path)
    chosen = rate or info.rate
    frames = info.frames if rate is None else max(1, round(info.seconds * rate))
    # Counted only where every packet is one frame: asked for another rate, ffmpeg decides how many there are.
    args = [*INPUT, "-i", file_url(path), *TRACK, "-vf", ",".join(_filters(info, rate)), "-fps_mode", "passthrough"]

    def read() -> Iterator[Pixels]:
        try:
            with PipeReader(args, size=info.size) as reader:
                yield from reader
                if reader.frames == 0:
                    raise BadInput(f"{path} holds no frame that can be decoded.")
        except FfmpegFailed as error:
            raise BadInput(f"{path} cannot be decoded to its end: {error}") from error

    return Clip(size=info.size, rate=chosen, frames=frames, read=read, meta={})


def _filters(info: FilmInfo, rate: Fraction | None) -> list[str]:
    """Return the filters from what is stored to upright RGB frames with square pixels, colours as they are tagged."""
    filters = ["bwdif=mode=send_frame:deint=interlaced"] if info.interlaced else []
    if rate is not None:
        filters.append(f"fps={rate}")
    scale = f"scale={info.size.width}:{info.size.height}:flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
    if info.matrix is not None:
        scale += f":in_color_matrix={info.matrix}:in_range={'full' if info.full_range else 'limited'}"
    return [*filters, scale, "setsar=1", "format=rgb24"]


def _open_store(path: Path, rate: Fraction | None) -> Clip:
    store = Store.existing(path)
    if store.count == 0:
        raise BadInput(f"The work folder {path} holds no frames yet.")
    return Clip(size=store.size, rate=rate or store.rate, frames=store.count, read=store.frames, meta=store.meta)


def _open_folder(path: Path, rate: Fraction | None) -> Clip:
    from renderer.media.images import read_image

    pictures = sorted((p for p in path.iterdir() if p.suffix.lower() in PICTURES), key=_by_number)
    if not pictures:
        raise BadInput(f"The folder {path} holds no pictures ({', '.join(PICTURES)}) and is no work folder.")
    size = Size.of(read_image(pictures[0]))

    def read() -> Iterator[Pixels]:
        for picture in pictures:
            pixels = to_8bit(read_image(picture))
            if Size.of(pixels) != size:
                raise BadInput(f"{picture} is {Size.of(pixels)}, the first picture of its folder is {size}.")
            yield pixels

    return Clip(size=size, rate=rate or FOLDER_RATE, frames=len(pictures), read=read, meta={})


def _by_number(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Order names as people number them: frame9 before frame10."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name


def _open_webp(path: Path, rate: Fraction | None) -> Clip:
    # Pillow, because an ffmpeg before 8.1 does not decode animated WebP.
    import numpy as np
    from PIL import Image

    def failed(error: Exception) -> BadInput:
        return BadInput(f"{path} cannot be read as an animated WebP ({error}).")

    try:
        with Image.open(path, formats=["WEBP"]) as image:
            size, frames = Size(*image.size), getattr(image, "n_frames", 1)
            image.seek(frames - 1)  # Times are known only once a frame is decoded; the last one's tells the length.
            image.load()
            seconds = Fraction(image.info.get("timestamp", 0) + image.info.get("duration", 0), 1000)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise failed(error) from error
    mean = frames / seconds if seconds > 0 else FOLDER_RATE

    def read() -> Iterator[Pixels]:
        try:
            with Image.open(path, formats=["WEBP"]) as image:
                for number in range(frames):
                    image.seek(number)
                    yield np.array(image.convert("RGB"))
        except (OSError, ValueError, EOFError) as error:
            raise failed(error) from error

    return Clip(size=size, rate=rate or mean, frames=frames, read=read, meta={})


def _is_store(path: Path) -> bool:
    return path.is_dir() and (path / FILM).exists()


def _is_webp(path: Path) -> bool:
    if path.is_file():
        with contextlib.suppress(OSError), path.open("rb") as file:
            head = file.read(12)
            return head[:4] == b"RIFF" and head[8:] == b"WEBP"
    return False


OPENERS: list[tuple[Callable[[Path], bool], Callable[[Path, Fraction | None], Clip]]] = [
    (_is_store, _open_store),
    (Path.is_dir, _open_folder),
    (_is_webp, _open_webp),
    (Path.is_file, _open_film),
]
"""What a path may be -> how it is opened; the first that fits is taken."""
