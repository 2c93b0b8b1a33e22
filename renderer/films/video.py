"""A film that is dreamed over: from a clip, its masks and cuts to what renders it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from renderer.errors import BadInput, UsageError
from renderer.events import Listener, Note, Stage, StageProgress
from renderer.films.film import Film
from renderer.films.first_frame import Masks, Plane, own_size
from renderer.films.guides import open_guides
from renderer.films.render_setup import RenderSetup, camera_of, governor_of, open_dreamer
from renderer.frame import Frame, Size
from renderer.media.ffmpeg.clips import Clip, open_clip
from renderer.media.ffmpeg.cuts import find_cuts, read_cuts
from renderer.media.ffmpeg.encode import choose_format
from renderer.media.ffmpeg.sound import plan_sound
from renderer.settings.presets import Resolved
from renderer.settings.schema import Settings, build, flatten

MOST_FRAMES = 12
"""From one dream to the next; they are all in memory."""


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

    @classmethod
    def settings_for(cls, resolved: Resolved, *, sized: bool, inputs: Mapping[str, Path]) -> Settings:
        """Return settings in which size, rate and length are the clip's where nobody chose them.

        Raises:
            BadInput: the clip cannot be read.
            UsageError: it does not reach the part that is asked for, or cannot be read at this rate.
        """
        del sized  # A preset may choose it too.
        settings, origins = resolved.settings, resolved.origins
        if settings.film.loop:
            raise UsageError(
                "film.loop is true: only a zoom can lead its end into its beginning, not a video. Leave it out, or "
                "make a loop with `dreamreel zoom`."
            )
        rate = None if origins["film.fps"] == "default" else settings.film.fps
        start, end = settings.video.start or None, settings.video.end
        if end is not None and end <= settings.video.start:
            raise UsageError(f"video.end is {end:g} s, and video.start {settings.video.start:g} s; it must be later.")
        clip = open_clip(inputs["clip"], start=start, end=end, rate=rate)
        size = settings.film.size if origins["film.size"] != "default" else own_size(clip.size, settings)
        values = {**flatten(settings), "film.size": str(size), "film.fps": str(clip.rate), "film.frames": clip.count}
        made = build(values, origins=resolved.places)
        if made.frames_a_dream(cls.kind) > MOST_FRAMES:
            least = f"{float(made.rate / MOST_FRAMES):.3g}"
            raise UsageError(
                f"film.dreams is {made.film.dreams}, and the video has {made.rate} frames a second; give {least} or "
                f"more: motion can be followed for {MOST_FRAMES} frames from one dream to the next, and not for longer."
            )
        return made

    @property
    def encoded_size(self) -> Size:
        """Twice as wide with the clip beside the dream."""
        size = self.showing.size
        return Size(2 * size.width, size.height) if self.settings.encode.compare else size

    def footage(self) -> Clip:
        """Open the part of the clip that is dreamed over, at the size and rate of the film."""
        chosen = self.settings.video
        return open_clip(
            self.clip, start=chosen.start or None, end=chosen.end, size=self.settings.film.size, rate=self.settings.rate
        )

    def facts(self, known: Mapping[str, Any], listener: Listener) -> dict[str, Any]:
        """Find the cuts, or take those that were found before."""
        held = known or self.found
        if "cuts" in held:
            return dict(held)
        clip = self.footage()
        for note in clip.notes:
            listener(Note(note))
        if self.cuts is not None:
            cuts = read_cuts(self.cuts, clip=clip)
        elif self.settings.video.cuts and self.settings.frame_count > 1:
            listener(Stage("looking for cuts"))

            def progress(done: int, total: int) -> None:
                listener(StageProgress(done, total))

            cuts = find_cuts(clip, threshold=self.settings.video.threshold, progress=progress)
        else:
            cuts = []
        if cuts:
            times = ", ".join(f"{float(cut / clip.rate):.2f}" for cut in cuts[:12])
            listener(Note(f"{len(cuts)} cuts, at {times}{', ...' if len(cuts) > 12 else ''} s."))
        return {"cuts": cuts}

    def beginnings(self, facts: Mapping[str, Any]) -> list[int]:
        """Return the cuts; none of a damaged film, which may decode otherwise from there than from its start."""
        return [] if self.footage().degraded else list(facts["cuts"])

    def render_setup(self, facts: Mapping[str, Any]) -> RenderSetup:
        """Build what renders it."""
        clip, settings = self.footage(), self.settings
        told = tuple(clip.notes)
        first = next(clip.frames(), None)
        if first is None:
            raise BadInput(f"{self.clip} holds no frame to dream on.")
        masks = Masks(settings, self.mask)
        guides = open_guides(settings)
        network, dreamer = open_dreamer(settings, kind=self.kind, pictures=guides.pictures)
        from renderer.dreaming.governor import measure
        from renderer.motion.flow import MotionFinder
        from renderer.render.carry import VideoScene, make_carry
        from renderer.render.footage import Footage

        finder, every = MotionFinder(settings.carry.flow), settings.frames_a_dream(self.kind)
        changing, rate = settings.over_time_in("carry"), float(settings.rate)
        carry = make_carry(settings.carry, over_time=changing, rate=rate, seed=settings.seed)
        footage = Footage(
            lambda start: pictures(clip, masks, settings, start),
            cuts=frozenset({*facts["cuts"], settings.frame_count}),
            motion=(lambda _, now, before: finder(now, before)) if carry.moves or every > 1 else None,
            both=lambda _, now, before: finder.both(now, before),
            every=every,
            size=settings.film.size,
        )
        return RenderSetup(
            network=network,
            scene=VideoScene(footage, carry, keep_colour=settings.area.keep_colour),
            dreamer=dreamer,
            governor=governor_of(settings, first, kind=self.kind),
            start=measure(first if (look := _camera(settings)) is None else look(first, 0)),
            notes=lambda: [note for note in clip.notes if note not in told],
            guides=guides,
        )

    def warnings(self) -> tuple[str, ...]:
        """Say what cannot be kept of the clip's sound and subtitles."""
        sound = self.footage().sound
        if sound is None or not self.settings.encode.sound:
            return ()
        return plan_sound(sound, choose_format(self.out, self.settings.encode.codec)[0], out=self.out).notes


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
        way, chosen = camera.matrix(0.0, index / rate, size=size), settings.camera
        return warp(frame, way, edges=chosen.edges, kernel=chosen.resample)

    return look
