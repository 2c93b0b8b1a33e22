"""Moving pictures to read: a film in a container, an animated WebP, a folder of pictures, a work folder.

`open_clip` takes any of them; each way of opening is one function and one line in `OPENERS` at the foot.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderer.errors import BadInput, UsageError
from renderer.files import check_input, open_input
from renderer.frame import Frame, Pixels, Size, from_8bit, to_8bit
from renderer.media.ffmpeg.decode import FilmDecoder, open_film
from renderer.media.ffmpeg.probe import probe
from renderer.media.ffmpeg.sound import Sound
from renderer.media.frame_sequence import PICTURES, FrameSequence, open_folder, open_webp
from renderer.media.images import is_picture
from renderer.media.store.store import Store
from renderer.media.store.work_folder import FILM

__all__ = ["OPENERS", "PICTURES", "Clip", "open_clip"]


@dataclass(kw_only=True)
class Clip:
    """Moving pictures, which may be gone through more than once.

    Attributes:
        path: what was opened.
        size: of every frame, pixels.
        rate: frames a second, exact.
        count: frames; a damaged film gives fewer, and one with frames of different lengths one more or less.
        source: what the frames are read from; it has frames of the whole film, on the grid of `rate`.
        first: frame of the whole film, at this rate, that is frame 0 here.
        sound: the part of the film's sound and subtitles that belongs to these frames; None where it has neither.
        meta: what a work folder keeps beside its frames; empty for all others.
        notes: what was decided about it and what the user should know, as sentences. Reading may add some.
        degraded: whether something of it is missing or damaged. Reading may find that out.
    """

    path: Path
    size: Size
    rate: Fraction
    count: int
    source: FilmDecoder | FrameSequence = field(repr=False)
    first: int = 0
    sound: Sound | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    degraded: bool = False
    end: int | None = field(default=None, repr=False)

    @property
    def start(self) -> Fraction:
        """When frame 0 is shown, seconds from the first frame of the whole film."""
        return self.first / self.rate

    @property
    def seconds(self) -> Fraction:
        """Length."""
        return self.count / self.rate

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Read frames from number `start` on, float32 `(H, W, 3)` in [0, 1], with all the depth that the film has.

        Raises:
            BadInput: they cannot be read.
        """
        return (_as_frame(values) for values in self._read(start))

    def pixels(self, start: int = 0) -> Iterator[Pixels]:
        """Read frames from number `start` on, uint8 `(H, W, 3)`.

        Raises:
            BadInput: they cannot be read.
        """
        return (values if values.dtype == np.uint8 else to_8bit(_as_frame(values)) for values in self._read(start))

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def scaled(self, size: Size) -> Clip:
        """Return the same frames at another size; the middle of them where it has another shape."""
        return dataclasses.replace(self, size=size, notes=list(self.notes))

    def _read(self, start: int) -> Iterator[NDArray[Any]]:
        if start < 0:
            raise ValueError(f"frame {start}")
        if self.count and start >= self.count:
            return iter(())
        return self.source.read(self.first + start, self.end, self.size, self._tell)

    def _tell(self, note: str) -> None:
        self.degraded = True
        if note not in self.notes:
            self.notes.append(note)


def open_clip(
    path: Path,
    *,
    start: float | Fraction | None = None,
    end: float | Fraction | None = None,
    size: Size | None = None,
    rate: Fraction | None = None,
) -> Clip:
    """Open moving pictures for reading.

    Args:
        path: a film, a folder of pictures in the order of the numbers in their names, or a work folder.
        start: seconds from the first frame of the film; the frame nearest to it begins the clip. None for the first.
        end: seconds from there as well; the frame nearest to it is the first that is not in the clip. None for all.
        size: of the frames. They are never stretched: the middle is cut out where the film has another shape. None for
            the film's own size, upright and with square pixels.
        rate: frames a second. A film drops and repeats frames to have it; a folder of pictures is taken to have it.
            None for the film's own.

    Raises:
        BadInput: nothing there, or nothing that can be read as moving pictures. Reading may raise it too.
        UsageError: `start`, `end` or `rate` make no sense.
        EnvironmentProblem: no usable ffmpeg.
    """
    _check_times(start, end, rate)
    if not _is_folder(path):  # Before anybody reads from it: a pipe would make us wait.
        check_input(path, expected="a film or a folder of pictures")
    for fits, opener in OPENERS:
        if fits(path):
            whole = opener(path, rate)
            return _sized(_cut(whole, start, end), size)
    raise BadInput(f"{path} is not there; expected a film or a folder of pictures.")


def _check_times(start: float | Fraction | None, end: float | Fraction | None, rate: Fraction | None) -> None:
    for name, value in (("start", start), ("end", end)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise UsageError(f"The {name} of a clip must be seconds from 0 on, not {value}.")
    if end is not None and end <= (start or 0):
        raise UsageError(f"A clip cannot end at {float(end):g} s, where it starts at {float(start or 0):g} s.")
    if rate is not None and not 0 < rate <= 1000:
        raise UsageError(f"{rate} frames a second is out of range: above 0 and up to 1000.")


def _cut(clip: Clip, start: float | Fraction | None, end: float | Fraction | None) -> Clip:
    """Return the part from `start` to `end`, at least one frame."""
    if start is None and end is None:
        return clip
    first = round(Fraction(start or 0) * clip.rate)
    if first >= clip.count:
        length = float(clip.seconds)
        raise BadInput(f"{clip.path} is {length:.3g} s long; it cannot be read from {float(start or 0):g} s on.")
    stop = None if end is None else max(first + 1, round(Fraction(end) * clip.rate))
    count = min(clip.count, stop or clip.count) - first
    sound = clip.sound and dataclasses.replace(
        clip.sound, start=first / clip.rate if first else None, end=None if stop is None else stop / clip.rate
    )
    return dataclasses.replace(clip, first=first, end=stop, count=count, sound=sound)


def _sized(clip: Clip, size: Size | None) -> Clip:
    if size is None or size == clip.size:
        return clip
    if abs(math.log(size.width * clip.size.height / (size.height * clip.size.width))) > 0.02:
        note = f"{clip.path} is {clip.size}: for {size} its middle is cut out, so that nothing is stretched."
        clip.notes.append(note)
    return clip.scaled(size)


def _as_frame(values: NDArray[Any]) -> Frame:
    if values.dtype == np.uint8:
        return from_8bit(values)
    if values.dtype == np.uint16:
        return values.astype(np.float32) * np.float32(1 / 65535)
    return values


def _open_film(path: Path, rate: Fraction | None) -> Clip:
    try:
        info = probe(path)
    except BadInput as error:
        if not is_picture(path):
            raise
        raise BadInput(
            f"{path} is one picture, and a film is needed; `dreamreel still` and `dreamreel zoom` dream on pictures."
        ) from error
    film = open_film(path, info, rate=rate)
    heard = Sound(source=path) if info.sounds or info.subtitles else None
    return Clip(
        path=path,
        size=info.size,
        rate=film.rate,
        count=film.total,
        source=film,
        sound=heard,
        notes=list(info.notes),
        degraded=info.damaged,
    )


def _open_store(path: Path, rate: Fraction | None) -> Clip:
    store = Store.existing(path)
    if store.count == 0:
        raise BadInput(f"The work folder {path} holds no frames yet.")
    times = [number / store.rate for number in range(store.count)]
    seconds = store.count / store.rate
    shown = FrameSequence(rate=rate or store.rate, times=times, seconds=seconds, size=store.size, load=store.frames)
    return dataclasses.replace(_clip_of(path, shown), meta=store.meta)


def _open_folder(path: Path, rate: Fraction | None) -> Clip:
    return _clip_of(path, open_folder(path, rate))


def _open_webp(path: Path, rate: Fraction | None) -> Clip:
    return _clip_of(path, open_webp(path, rate))


def _clip_of(path: Path, shown: FrameSequence) -> Clip:
    return Clip(path=path, size=shown.size, rate=shown.rate, count=shown.total, source=shown, notes=list(shown.notes))


def _is_store(path: Path) -> bool:
    return path.is_dir() and (path / FILM).exists()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _is_webp(path: Path) -> bool:
    if path.is_file():
        with open_input(path, expected="a film") as file:
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
