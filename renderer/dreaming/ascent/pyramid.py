"""The pyramid of scales that a dream is made on, from coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence

import cv2

from renderer.dreaming.ascent.octaves import CARRIES, RESAMPLERS, CoarserOctave, octave_sizes, scaled
from renderer.dreaming.settings import OctaveSettings
from renderer.frame import Frame, Size
from renderer.setting_types import scales_of


class Pyramid:
    """The scales that a dream is made on.

    Args:
        settings: how many, how far apart, and what one hands to the next.
    """

    def __init__(self, settings: OctaveSettings) -> None:
        self.settings = settings
        self.scales = scales_of(settings.octave_sizes) if settings.octave_sizes else ()
        self.resized = RESAMPLERS[settings.resample]

    def sizes(self, size: Size, *, smallest: int = 1) -> list[Size]:
        """List the sizes of the octaves of a frame, coarse to fine; `smallest` is the network's own shortest side."""
        chosen, least = self.settings, max(self.settings.smallest_side, smallest)
        if self.scales:
            asked = [scale if isinstance(scale, Size) else scaled(size, 1 / scale) for scale in self.scales]
            found = [*(one for one in asked[:-1] if min(one) >= least), asked[-1]]
        else:
            found = octave_sizes(size, octaves=chosen.octaves, ratio=chosen.octave_ratio, smallest=least)
        if (most := chosen.largest_side) is not None:
            found = [one for one in found if max(one) <= most] or [scaled(size, max(size) / most)]
        return found

    def left_out(self, sizes: Sequence[Size]) -> int:
        """Return how many of the coarsest octaves are left out of those asked for, if a frame is too small for them."""
        asked = len(self.scales) or self.settings.octaves
        return 0 if self.settings.largest_side is not None else max(0, asked - len(sizes))

    def bases(self, canvas: Frame, sizes: Sequence[Size]) -> list[Frame]:
        """Bring a canvas to the sizes of the octaves, coarse to fine."""
        if self.settings.resample != "corners":
            return [self.resized(canvas, size) for size in sizes]
        bases = [canvas]  # Google's notebook shrinks each octave from the finer one.
        for size in reversed(sizes):
            bases.append(self.resized(bases[-1], size))
        return bases[:0:-1]

    def start(self, base: Frame, coarser: CoarserOctave | None, *, blend: float = 0.0) -> Frame:
        """Return what an octave is dreamed on.

        Args:
            base: the canvas at its size.
            coarser: the octave before; None for the coarsest.
            blend: share of the canvas itself that is mixed in.
        """
        if coarser is None:
            return base
        handed = CARRIES[self.settings.octave_carry](self.resized, base, coarser)
        return handed if not blend else cv2.addWeighted(handed, 1 - blend, base, blend, 0)

    def finish(self, base: Frame, coarser: CoarserOctave | None, dream: Frame) -> Frame:
        """Return what becomes of an octave's dream: what shrinking took of the canvas may be put back."""
        if self.settings.octave_carry != "restored" or coarser is None:
            return dream
        return cv2.add(dream, cv2.subtract(base, self.resized(coarser.base, Size.of(base))))
