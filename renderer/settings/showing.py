"""How a film is shown, whatever it was dreamed at: at which rate and speed, for how long, how large."""

from __future__ import annotations

import math
from fractions import Fraction

from renderer.settings.schema import Settings


class Showing:
    """What the frames of a file are, of what is kept of a film.

    Args:
        settings: of the film.
        kind: of film, in `KINDS`.
        kept: how many of its pictures are there; None for all that it has.

    Attributes:
        rate: frames a second of the file.
        pace: frames a second of the film's own time.
        frames: how many it has; of a film that is not finished, as many as its pictures are enough for.
        size: of each of them, without what is shown beside it.
        shutter: how long it is open, degrees.
        resampled: whether they are other pictures than those that are kept.
    """

    def __init__(self, settings: Settings, *, kind: str, kept: int | None = None) -> None:
        chosen, length, pictures = settings.encode, settings.frame_count / settings.rate, settings.kept(kind)
        timed = kind == "zoom"  # A dreamed video has the frames of its clip.
        self.rate = chosen.fps if timed and chosen.fps is not None else settings.rate
        self.pace = self.rate / Fraction(str(chosen.speed)) if timed else self.rate
        self.frames = max(1, round(length * self.pace))
        if settings.film.loop:  # As far from the last frame to the first as between any others.
            self.pace = self.frames / length
        if kept is not None and kept < pictures.total:
            so_far = math.floor((kept - 1) / pictures.rate * self.pace) + 1 if kept else 0
            self.frames = min(self.frames, so_far)
        self.size = chosen.size or settings.film.size
        self.shutter = chosen.shutter if timed else 0.0
        self.resampled = self.pace != pictures.rate or self.shutter > 0
