"""Encode a film: frames in, one file (or a folder of PNGs) out, whole or not at all, with its recipe inside."""

from __future__ import annotations

import contextlib
import functools
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from renderer.errors import BadInput, EnvironmentProblem
from renderer.frame import Pixels, Size
from renderer.media import recipe as recipes
from renderer.media.ffmpeg.formats import (
    CODECS,
    FORMATS,
    Codec,
    Format,
    check_quality,
    check_size,
    choose_format,
)
from renderer.media.ffmpeg.pipes import PipeWriter, file_url, run
from renderer.media.ffmpeg.sound import Sound, SoundPlan, plan_sound
from renderer.media.files import check_output, picture_name, replacing, writing
from renderer.media.images import encode_image
from renderer.media.recipe import read_recipe

__all__ = ["CODECS", "FORMATS", "Encoder", "Sound", "check_encode", "choose_format", "encode", "read_recipe"]


def check_encode(
    out: str | Path, *, size: Size, codec: str | None = None, quality: float | None = None, overwrite: bool = False
) -> tuple[Format, str]:
    """Make sure that a film can be encoded under this name, before it is rendered.

    Args:
        out: as for `encode`, like all the others.
        size: of every frame, pixels.
        codec: one that the format takes; None for its default.
        quality: on the codec's own scale; None for its default.
        overwrite: whether a film that is there already may be replaced.

    Returns:
        The format and the codec's name.

    Raises:
        UsageError: name, codec, quality or size make no sense, or the name is taken.
        DiskProblem: the folder is missing or cannot be written.
        EnvironmentProblem: the ffmpeg of this machine lacks the codec, or there is no ffmpeg.
    """
    kind, name = choose_format(out, codec)
    check_quality(name, quality)
    check_size(name, size)
    check_output(Path(out), overwrite=overwrite, folder=kind.recipe == "file")
    if not codecs_here()[name]:
        raise EnvironmentProblem(
            f"This ffmpeg cannot write {name} (it lacks {CODECS[name].encoder}); choose another --codec or ending, "
            "or unset IMAGEIO_FFMPEG_EXE to use the one installed with Dreamreel."
        )
    return kind, name


def encode(
    frames: Iterable[Pixels],
    out: str | Path,
    *,
    size: Size,
    rate: Fraction,
    codec: str | None = None,
    quality: float | None = None,
    recipe: Mapping[str, Any] | None = None,
    sound: Sound | None = None,
    overwrite: bool = False,
    threads: int = 2,
    progress: Callable[[int], None] | None = None,
) -> tuple[str, ...]:
    """Encode a film.

    Args:
        frames: uint8 `(H, W, 3)`, RGB; taken one by one.
        out: its name; the ending chooses the format (see `FORMATS`), none means a folder of PNGs.
        size: of every frame, pixels.
        rate: frames a second.
        codec: one that the format takes; None for its default.
        quality: on the codec's own scale (see `CODECS`); None for its default.
        recipe: what made the film, kept inside it; None for none.
        sound: whose sound and subtitles it gets; None for none.
        overwrite: whether a film that is there already may be replaced.
        threads: of the encoder. The same number gives the same bytes; another may give others.
        progress: called with the number of frames handed over so far.

    Returns:
        What the user should know of the sound, as sentences: lost, converted.

    Raises:
        BadInput: there are no frames, or the source of the sound cannot be read.
        UsageError, DiskProblem, EnvironmentProblem: as `check_encode`; also when the encoder fails or the disk is full.
    """
    with Encoder(
        out,
        size=size,
        rate=rate,
        codec=codec,
        quality=quality,
        recipe=recipe,
        sound=sound,
        overwrite=overwrite,
        threads=threads,
    ) as encoder:
        for pixels in frames:
            encoder.write(pixels)
            if progress is not None:
                progress(encoder.frames)
    return encoder.notes


class Encoder:
    """Encodes a film as its frames come. A context manager.

    Leaving the `with` block normally finishes the film and gives it its name; an exception leaves nothing.
    Arguments and errors as for `encode`.
    """

    def __init__(
        self,
        out: str | Path,
        *,
        size: Size,
        rate: Fraction,
        codec: str | None = None,
        quality: float | None = None,
        recipe: Mapping[str, Any] | None = None,
        sound: Sound | None = None,
        overwrite: bool = False,
        threads: int = 2,
    ) -> None:
        self.frames = 0
        """How many frames were handed over so far."""
        self._format, name = check_encode(out, size=size, codec=codec, quality=quality, overwrite=overwrite)
        self._out = Path(out)
        self._size, self._rate, self._recipe = size, rate, recipe
        self._codec, self._threads = CODECS[name], threads
        self._quality = check_quality(name, quality)
        self._sound = plan_sound(sound, self._format, out=self._out) if sound else SoundPlan()
        self.notes = self._sound.notes
        """What the user should know of the sound, as sentences."""
        self._overwrite = overwrite
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:  # Undoes its part if the encoder does not even start.
            self._part = stack.enter_context(replacing(self._out, overwrite=self._overwrite))
            self._writer = self._open(stack)
            self._stack = stack.pop_all()
        return self

    def write(self, pixels: Pixels) -> None:
        """Hand over one frame, uint8 `(H, W, 3)`; it must not be changed afterwards.

        Raises:
            ValueError: another shape or type.
            EnvironmentProblem, DiskProblem: the encoder died, and why.
        """
        if pixels.shape != (self._size.height, self._size.width, 3) or pixels.dtype != np.uint8:
            raise ValueError(f"expected uint8 {self._size}, got {pixels.dtype} {pixels.shape}")
        if self._writer is not None:
            self._writer.write(_make_even(pixels) if self._codec.even else pixels)
        else:
            path = self._part / picture_name(self.frames)
            with writing(path):
                path.write_bytes(encode_image(pixels, ".png", compress_level=3))
        self.frames += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is not None:
            self._abort()  # First, so that nothing writes to the file while it is removed.
            self._stack.__exit__(kind, error, tb)
            return
        with self._stack:
            try:
                self._finish()
            finally:
                self._abort()

    def _abort(self) -> None:
        if self._writer is not None:
            self._writer.abort()

    def _finish(self) -> None:
        if self.frames == 0:
            raise BadInput(f"There are no frames to make {self._out} of.")
        if self._writer is not None:
            self._writer.close()
        if self._recipe is not None:
            with writing(self._out):
                _add_recipe(self._part, self._recipe, self._format, self._size)

    def _open(self, stack: contextlib.ExitStack) -> PipeWriter | None:
        """Start ffmpeg; None where pictures are written into a folder instead."""
        if not self._format.muxer:
            with writing(self._part):
                self._part.mkdir()
            return None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dreamreel-")))
        inputs, tracks, last = self._sound.arguments(folder) if self._sound.inputs else ([], [], 0)
        tracks = ["-map", "0:v:0", *tracks]
        if self._recipe is not None and self._format.recipe == "metadata":
            note = folder / "recipe.ffmetadata"
            note.write_text(recipes.ffmetadata(self._recipe), "utf-8")
            inputs += ["-f", "ffmetadata", "-i", file_url(note)]
            tracks += ["-map_metadata", str(last + 1)]
        options = encode_options(
            self._format, self._codec, rate=self._rate, quality=self._quality, threads=self._threads
        )
        size = _even_size(self._size) if self._codec.even else self._size
        return PipeWriter([*inputs, *tracks, *options, "-y", file_url(self._part)], size=size, rate=self._rate)


@functools.cache
def codecs_here() -> dict[str, bool]:
    """Say of every name in `CODECS` whether the ffmpeg of this machine can write it.

    Raises:
        EnvironmentProblem: no usable ffmpeg.
    """
    text = run(["-encoders"]).stdout.decode("utf-8", "replace")
    known = set(re.findall(r"^ V\S{5} (\S+)", text, re.MULTILINE))
    return {name: codec.encoder in known or not codec.encoder for name, codec in CODECS.items()}


def encode_options(kind: Format, codec: Codec, *, rate: Fraction, quality: float, threads: int) -> list[str]:
    """Put together what ffmpeg is told between its input and the name of its output."""
    thin = f"fps={codec.most_rate}," if codec.most_rate is not None and rate > codec.most_rate else ""
    return [
        *("-filter_threads", "1", "-vf", thin + codec.filters),
        *("-c:v", codec.encoder, *codec.options.format(quality=f"{quality:g}", threads=threads).split()),
        # Without the first, ffmpeg may repeat or drop frames for formats with coarse clocks; the second keeps versions
        # and random numbers out of the file.
        *("-fps_mode", "passthrough", "-bitexact"),
        *(*kind.options, "-f", kind.muxer),
    ]


def _add_recipe(part: Path, recipe: Mapping[str, Any], kind: Format, size: Size) -> None:
    if kind.recipe == "png":
        recipes.add_to_png(part, recipe)
    elif kind.recipe == "gif":
        recipes.add_to_gif(part, recipe)
    elif kind.recipe == "webp":
        recipes.add_to_webp(part, recipe, width=size.width, height=size.height)
    elif kind.recipe == "file":
        (part / "recipe.json").write_text(recipes.to_text(recipe) + "\n", "utf-8")


def _even_size(size: Size) -> Size:
    return Size(size.width + size.width % 2, size.height + size.height % 2)


def _make_even(pixels: Pixels) -> Pixels:
    """Repeat the last column or row where a side is odd: nothing is stretched, and no black line shows."""
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return pixels
