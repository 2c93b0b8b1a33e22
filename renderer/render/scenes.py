"""What is given to the dreamer at each frame. A film is `canvas[t] = scene.canvas(t, dream[t-1])`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from renderer.frame import Frame, Size
from renderer.motion.camera import Camera
from renderer.motion.resample import warp


class Scene(Protocol):
    """Gives the canvas of each frame, from its number and the dream before it."""

    def canvas(self, frame: int, dream: Frame | None) -> Frame:
        """Return the canvas `(H, W, 3)` of a frame; `dream` is the one before, None at frame 0."""


@dataclass(frozen=True)
class StillScene:
    """A film of one picture."""

    picture: Frame

    def canvas(self, frame: int, dream: Frame | None) -> Frame:  # noqa: ARG002 a still has no time
        """Return the picture, or the dream so far."""
        return self.picture if dream is None else dream


@dataclass(frozen=True, kw_only=True)
class ZoomScene:
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

    def canvas(self, frame: int, dream: Frame | None) -> Frame:
        """Return the dream before, seen by the camera one frame later."""
        if dream is None:
            return self.start
        matrix = self.camera.matrix((frame - 1) / self.rate, frame / self.rate, size=Size.of(dream))
        return warp(dream, matrix, edges=self.edges)
