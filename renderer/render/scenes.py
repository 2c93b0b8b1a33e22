"""What is given to the dreamer at each frame, and what becomes of the dream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderer.frame import Frame, Size
from renderer.motion.camera import Camera
from renderer.motion.loops import Ring
from renderer.motion.resample import warp
from renderer.render.carry import Carry
from renderer.render.dream_layer import keep_chroma, kept
from renderer.render.prefetch import Footage, Shot

Plane = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """What is given to the dreamer.

    Attributes:
        picture: `(H, W, 3)`.
        full: whether nothing is dreamed on it yet, so that it needs a full dream.
        where: `(H, W)`, how strongly to dream, 1 as usual; None for 1 everywhere.
        source: `(H, W, 3)`, the picture without what is carried onto it; None where nothing is.
    """

    picture: Frame
    full: bool = False
    where: Plane | None = None
    source: Frame | None = None


class Scene:
    """Gives the canvas of each frame, from its number and the dream before it.

    What a scene remembers beside the dream must come back from `state` through `restore`, exact to the bit, or a film
    was stopped would not go on to the same bytes.

    Attributes:
        ring: how the film comes round; None for one that does not.
    """

    ring: Ring | None = None

    def canvas(self, frame: int, dream: Frame | None) -> Canvas | None:
        """Return the canvas of a frame; None where the film ends. `dream` is the one before, None at frame 0."""
        raise NotImplementedError

    def settle(self, dream: Frame) -> Frame:
        """Return what becomes of the dream `(H, W, 3)` on the canvas that was given last."""
        return dream

    def state(self) -> Mapping[str, Any]:
        """Return what is remembered: names with arrays and numbers."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember again."""

    def close(self) -> None:
        """Let go of files and threads."""


@dataclass(frozen=True)
class StillScene(Scene):
    """A film of one picture.

    Attributes:
        picture: `(H, W, 3)`.
        where: `(H, W)`, how strongly to dream on it; None for 1 everywhere.
        keep_colour: whether colours stay the picture's, and only brightness is dreamed.
    """

    picture: Frame
    where: Plane | None = None
    keep_colour: bool = False

    def canvas(self, frame: int, dream: Frame | None) -> Canvas:
        """Return the picture, or the dream so far."""
        return Canvas(picture=self.picture if dream is None else dream, full=frame == 0, where=self.where)

    def settle(self, dream: Frame) -> Frame:
        """Take the dream away where there is to be none, and keep the picture's colours if wanted."""
        if self.where is None and not self.keep_colour:
            return dream
        return kept(dream, self.picture, where=self.where, keep_colour=self.keep_colour)


@dataclass(frozen=True, kw_only=True)
class ZoomScene(Scene):
    """A camera that moves through its own dream.

    Attributes:
        start: the first canvas.
        camera: its moves.
        edges: key of `resample.EDGES`: what lies beyond the frame.
        rate: frames a second.
    """

    start: Frame
    camera: Camera
    edges: str
    rate: float

    def canvas(self, frame: int, dream: Frame | None) -> Canvas:
        """Return the dream before, seen by the camera one frame later."""
        if dream is None:
            return Canvas(picture=self.start, full=True)
        matrix = self.camera.matrix((frame - 1) / self.rate, frame / self.rate, size=Size.of(dream))
        return Canvas(picture=warp(dream, matrix, edges=self.edges))


class VideoScene(Scene):
    """A film that is dreamed over, frame by frame.

    Args:
        footage: its frames, and how they move.
        carry: how a frame gets the dream of the one before it.
        keep_colour: whether colours stay the source's, and only brightness is dreamed.
    """

    def __init__(self, footage: Footage, carry: Carry, *, keep_colour: bool = False) -> None:
        self.footage, self.carry, self.keep_colour = footage, carry, keep_colour
        self._shot: Shot | None = None

    def canvas(self, frame: int, dream: Frame | None) -> Canvas | None:
        """Return the next source frame with what is carried onto it; None where the footage ends."""
        shot = self._shot = self.footage.shot(frame)
        if shot is None:
            return None
        if dream is None or shot.cut:
            self.carry.begin()
            return Canvas(picture=shot.source, full=True, where=shot.where)
        carried = self.carry.onto(shot, dream)
        return Canvas(picture=carried.picture, full=carried.full, where=carried.where, source=shot.source)

    def settle(self, dream: Frame) -> Frame:
        """Keep the source's colours if wanted, balance the layer, and keep it within what can be seen."""
        assert self._shot is not None
        source, where = self._shot.source, self._shot.where
        dream = keep_chroma(dream, source) if self.keep_colour else dream
        settled = self.carry.settle(self._shot, dream)
        return kept(settled, source, where=where, keep_colour=self.keep_colour)

    def state(self) -> Mapping[str, Any]:
        """Return what the carrying remembers."""
        return self.carry.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Give it back."""
        self.carry.restore(state)

    def close(self) -> None:
        """Stop reading ahead."""
        self.footage.close()
