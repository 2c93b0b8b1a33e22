"""A film that is dreamed over: from a clip, its masks and cuts to the parts that render it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.errors import BadInput, UsageError
from renderer.frame import Frame, Size
from renderer.jobs.film import Extras, Film, Listener
from renderer.jobs.parts import Parts, camera_of, governor_of, open_dreamer
from renderer.jobs.presets import Resolved
from renderer.jobs.settings import Settings, build, flatten
from renderer.jobs.start import fit
from renderer.media.clips import PICTURES, Clip, open_clip
from renderer.media.cuts import find_cuts, read_cuts
from renderer.media.images import read_image

LONGEST_SIDE = 1920
"""A video whose size nobody chose is brought to this at most, pixels: memory and time grow with its area."""

Plane = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class VideoFilm(Film):
    """A film to dream over a clip.

    Attributes:
        clip: a film, an animated picture, a folder of pictures or a work folder.
        mask: a picture, or moving pictures, whose brightness says how strongly to dream; None for no mask.
        cuts: a list of cuts; None to look for them.
        found: what was found out about them when the film was made before: its cuts.
    """

    kind: ClassVar[str] = "video"

    clip: Path
    mask: Path | None = None
    cuts: Path | None = None
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> dict[str, Path]:
        """The clip, the mask and the list of cuts."""
        named = {"clip": self.clip, "mask": self.mask, "cuts": self.cuts}
        return {name: path for name, path in named.items() if path is not None}

    @property
    def encoded_size(self) -> Size:
        """Twice as wide with the clip beside the dream."""
        size = self.settings.film.size
        return Size(2 * size.width, size.height) if self.settings.encode.compare else size

    def footage(self) -> Clip:
        """Open the part of the clip that is dreamed over, at the size and rate of the film."""
        chosen = self.settings.video
        return open_clip(
            self.clip, start=chosen.start or None, end=chosen.end, size=self.settings.film.size, rate=self.settings.rate
        )

    def facts(self, known: Mapping[str, Any], listener: Listener) -> dict[str, Any]:
        """Find the cuts, or take those that were found before."""
        held = known.get("facts") or self.found
        if "cuts" in held:
            return dict(held)
        clip = self.footage()
        for note in clip.notes:
            listener.note(note)
        if self.cuts is not None:
            cuts = read_cuts(self.cuts, clip=clip)
        elif self.settings.video.cuts and self.settings.frame_count > 1:
            listener.stage("looking for cuts")
            cuts = find_cuts(clip, threshold=self.settings.video.threshold, progress=listener.encoded)
        else:
            cuts = []
        if cuts:
            times = ", ".join(f"{float(cut / clip.rate):.2f}" for cut in cuts[:12])
            listener.note(f"{len(cuts)} cuts, at {times}{', ...' if len(cuts) > 12 else ''} s.")
        return {"cuts": cuts}

    def beginnings(self, facts: Mapping[str, Any]) -> list[int]:
        """Return the cuts; none of a damaged film, which may decode otherwise from there than from its start."""
        return [] if self.footage().degraded else list(facts["cuts"])

    def parts(self, facts: Mapping[str, Any]) -> Parts:
        """Build what renders it."""
        clip, settings = self.footage(), self.settings
        told = tuple(clip.notes)
        first = next(clip.frames(), None)
        if first is None:
            raise BadInput(f"{self.clip} holds no frame to dream on.")
        masks = Masks(settings, self.mask)
        network, dreamer = open_dreamer(settings)
        from renderer.dreaming.tone import measure
        from renderer.motion.flow import MotionFinder
        from renderer.render.carry import CarrySettings, make_carry
        from renderer.render.footage import Footage
        from renderer.render.scenes import VideoScene

        chosen = settings.carry
        finder = MotionFinder(chosen.flow)
        carry = make_carry(
            chosen.mode,
            CarrySettings(
                rate=float(settings.rate),
                half_life=settings.schedule("carry.half_life"),
                level=settings.schedule("carry.level"),
                blend=settings.schedule("carry.blend"),
                seed=settings.seed,
            ),
        )
        footage = Footage(
            lambda start: pictures(clip, masks, settings, start),
            cuts=frozenset(facts["cuts"]),
            motion=(lambda _, now, before: finder(now, before)) if carry.moves else None,
        )
        return Parts(
            network=network,
            scene=VideoScene(footage, carry, keep_colour=settings.video.keep_colour),
            dreamer=dreamer,
            governor=governor_of(settings, first),
            start=measure(first if (look := _camera(settings)) is None else look(first, 0)),
            notes=lambda: [note for note in clip.notes if note not in told],
        )

    def extras(self) -> Extras:
        """Return the clip's sound, and the clip itself where it is to be shown."""
        clip = self.footage()
        return Extras(sound=clip.sound, beside=clip if self.settings.encode.compare else None)


def video_film(
    resolved: Resolved, clip: Path, out: Path, *, mask: Path | None = None, cuts: Path | None = None, **options: Any
) -> VideoFilm:
    """Put a film together whose size, rate and length are the clip's where nobody chose them.

    Args:
        resolved: settings, and where each came from.
        clip: what is dreamed over.
        out: the finished file.
        mask: see `VideoFilm`.
        cuts: see `VideoFilm`.
        options: further attributes of `Film`.

    Raises:
        BadInput: the clip cannot be read.
        UsageError: it does not reach the part that is asked for, or cannot be read at this rate.
    """
    settings, origins = resolved.settings, resolved.origins
    if settings.film.loop:
        raise UsageError(
            "film.loop is true: only a zoom can lead its end into its beginning, not a video. Leave it out, or make a "
            "loop with `dreamreel zoom`."
        )
    rate = None if origins["film.fps"] == "default" else settings.film.fps
    start, end = settings.video.start or None, settings.video.end
    if end is not None and end <= settings.video.start:
        raise UsageError(f"video.end is {end:g} s, and video.start {settings.video.start:g} s; it must be later.")
    found = open_clip(clip, start=start, end=end, rate=rate)
    size = settings.film.size if origins["film.size"] != "default" else shrunk(found.size)
    values = {**flatten(settings), "film.size": str(size), "film.fps": str(found.rate), "film.frames": found.count}
    return VideoFilm(
        settings=build(values, origins=resolved.places), out=out, clip=clip, mask=mask, cuts=cuts, **options
    )


def shrunk(size: Size) -> Size:
    """Return a size with the same shape whose longer side is `LONGEST_SIDE` at most."""
    scale = min(1.0, LONGEST_SIDE / max(size))
    return Size(max(1, round(size.width * scale)), max(1, round(size.height * scale)))


class Masks:
    """Says for each frame how strongly to dream, pixel by pixel.

    Args:
        settings: of the film.
        path: a picture or moving pictures; None for the box alone.

    Raises:
        BadInput: it cannot be read.
    """

    def __init__(self, settings: Settings, path: Path | None) -> None:
        self._size, video = settings.film.size, settings.video
        self._sigma = video.feather * self._size.height / 2
        self._box = None if video.box is None else self._soft(_inside(video.box, self._size))
        self._still: Plane | None = None
        self._clip: Clip | None = None
        if path is not None and path.suffix.lower() in PICTURES and not path.is_dir():
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

    def _times_box(self, plane: Plane) -> Plane:
        return plane if self._box is None else plane * self._box

    def _soft(self, plane: Plane) -> Plane:
        plane = np.clip(plane, 0, 1)
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), self._sigma) if self._sigma > 0.1 else plane, np.float32)


def pictures(clip: Clip, masks: Masks, settings: Settings, start: int) -> Iterator[tuple[Frame, Plane | None]]:
    """Give the frames of a clip from number `start` on with their masks, as the camera sees them."""
    look = _camera(settings)
    for index, (frame, where) in enumerate(zip(clip.frames(start), masks.planes(start), strict=False), start):
        if look is None:
            yield frame, where
        else:
            yield look(frame, index), None if where is None else look(np.dstack([where] * 3), index)[..., 0]


def _camera(settings: Settings) -> Callable[[Frame, int], Frame] | None:
    """Return what a camera sees of a frame, None for one that never moves."""
    from renderer.motion.resample import warp

    camera, rate, size = camera_of(settings), float(settings.rate), settings.film.size
    if np.array_equal(camera.matrix(0.0, max(settings.duration, 1 / rate), size=size), np.eye(3)):
        return None

    def look(frame: Frame, index: int) -> Frame:
        return warp(frame, camera.matrix(0.0, index / rate, size=size), edges=settings.camera.edges)

    return look


def _inside(box: tuple[float, float, float, float], size: Size) -> Plane:
    left, top, width, height = box
    plane = np.zeros((size.height, size.width), np.float32)
    rows = slice(round(top * size.height), max(round(top * size.height) + 1, round((top + height) * size.height)))
    columns = slice(round(left * size.width), max(round(left * size.width) + 1, round((left + width) * size.width)))
    plane[rows, columns] = 1
    return plane


def _luma(frame: Frame) -> Plane:
    return np.asarray(frame @ np.array([0.2126, 0.7152, 0.0722], np.float32), np.float32)
