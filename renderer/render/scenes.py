"""What is given to the dreamer at each frame, and what becomes of the dream: stills, zooms, loops.

The scene of a video is in `carry`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.frame import Frame, Size
from renderer.motion.camera import Camera
from renderer.motion.loops import Loop
from renderer.motion.resample import warp
from renderer.render.dream_layer import kept

Plane = NDArray[np.float32]

_CLOUDS = (5, 8)
"""Rows and columns of the grid that the clouds are drawn on in which a loop comes round."""

_FEATHER = 0.08
"""Softness of the edge of the first frame seen from afar, part of that frame's sides."""


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """What is given to the dreamer.

    Attributes:
        picture: `(H, W, 3)`.
        full: whether nothing is dreamed on it yet, so that it needs a full dream.
        where: `(H, W)`, how strongly to dream, 1 as usual; None for 1 everywhere.
        source: `(H, W, 3)`, the picture without what is carried onto it; None where nothing is.
        passed: how many frames there are between the last dream and this one, which `Scene.between` makes.
    """

    picture: Frame
    full: bool = False
    where: Plane | None = None
    source: Frame | None = None
    passed: int = 0


class Scene:
    """Gives the canvas of each frame, from its number and the dream before it.

    What a scene remembers beside the dream must come back from `state` through `restore`, exact to the bit, or a film
    that was stopped would not go on to the same bytes.

    Attributes:
        loop: how the film comes round; None for one that does not.
    """

    loop: Loop | None = None

    def canvas(self, frame: int, dream: Frame | None) -> Canvas | None:
        """Return the canvas of a frame, or of a later one that is dreamed next; None where the film ends.

        `dream` is the one before, None at frame 0.
        """
        raise NotImplementedError

    def finish(self, dream: Frame) -> Frame:
        """Return what becomes of the dream `(H, W, 3)` on the canvas that was given last."""
        return dream

    def between(self, before: Frame | None, dream: Frame) -> Iterator[Frame]:
        """Give the frames between the dream before and this one, finished, that the last canvas told of.

        Args:
            before: the dream `(H, W, 3)` before; None at frame 0.
            dream: the finished dream on the canvas that was given last.
        """
        del before, dream
        return iter(())

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

    def finish(self, dream: Frame) -> Frame:
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
        resample: key of `resample.KERNELS`.
        rate: frames a second.
    """

    start: Frame
    camera: Camera
    edges: str
    rate: float
    resample: str = "catmull-rom"

    def canvas(self, frame: int, dream: Frame | None) -> Canvas:
        """Return the dream before, seen by the camera one frame later."""
        if dream is None:
            return Canvas(picture=self.start, full=True)
        matrix = self.camera.matrix((frame - 1) / self.rate, frame / self.rate, size=Size.of(dream))
        return Canvas(picture=warp(dream, matrix, edges=self.edges, kernel=self.resample))


class LoopScene(Scene):
    """A zoom that comes round: its end is led into its beginning.

    The last frames are not laid over the first ones: that shows two pictures at once, and the grey mush of both.
    Instead the canvas is pulled towards the beginning inside the recurrence, a little in each frame, so that the
    network dreams the mixture into something sharp before it is mixed again. What it is pulled towards is the first
    frame as the camera sees it from afar: small in the middle when the camera zooms in, at the side when it pans. It
    grows until it fills the frame, and there the film is where it began. Places follow one another in the shape of
    clouds.

    Args:
        zoom: the journey, with a camera that comes round.
        loop: its length, and how it turns into its beginning.
        seed: of the clouds.
    """

    loop: Loop

    def __init__(self, zoom: ZoomScene, loop: Loop, *, seed: int) -> None:
        self.zoom, self.loop, self.seed = zoom, loop, seed
        self._frame = 0
        self._beginning: Frame | None = None

    def canvas(self, frame: int, dream: Frame | None) -> Canvas:
        """Return the dream before, seen by the camera one frame later, and led back where the end is near."""
        self._frame = frame
        canvas = self.zoom.canvas(frame, dream)
        pull = self.loop.pull(frame)
        if not pull or self._beginning is None:
            return canvas
        # Where each pixel of this frame will be seen when the film is round.
        way = self.zoom.camera.matrix(self.loop.seconds, frame / self.zoom.rate, size=Size.of(canvas.picture))
        there = warp(self._beginning, way, edges=self.zoom.edges, kernel=self.zoom.resample)
        part = np.float32(pull) * self.loop.onset(frame, self._late) * inside(way, Size.of(canvas.picture))
        return replace(canvas, picture=canvas.picture + part[..., None] * (there - canvas.picture))

    def finish(self, dream: Frame) -> Frame:
        """Remember the first frame."""
        if self._frame == 0:
            self._beginning = dream
        return dream

    def state(self) -> Mapping[str, Any]:
        """Return the first frame."""
        return {} if self._beginning is None else {"beginning": self._beginning}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember it again."""
        self._beginning = np.asarray(state["beginning"], np.float32)

    @cached_property
    def _late(self) -> Plane:
        """When each place `(H, W)` joins in, 0 first, 1 last."""
        rows, columns = _CLOUDS
        turns = np.random.default_rng([self.seed, 0x72]).permutation(rows * columns).reshape(_CLOUDS)
        coarse = (turns / (rows * columns - 1)).astype(np.float32)
        size = Size.of(self.zoom.start)
        return np.clip(cv2.resize(coarse, tuple(size), interpolation=cv2.INTER_CUBIC), 0, 1).astype(np.float32)


def inside(way: NDArray[np.float64], size: Size) -> Plane:
    """Return `(H, W)`: 1 where a map `(3, 3)` leads into the frame, falling softly to 0 outside."""
    columns, rows = np.arange(size.width, dtype=np.float64), np.arange(size.height, dtype=np.float64)[:, None]
    x, y, w = (row[0] * columns + row[1] * rows + row[2] for row in way)
    ahead = w > 1e-9  # What lies behind a camera that turns is nowhere.
    x, y = (np.divide(value, w, out=np.full(w.shape, -np.inf), where=ahead) for value in (x, y))
    depth = np.minimum(np.minimum(x, size.width - 1 - x) / size.width, np.minimum(y, size.height - 1 - y) / size.height)
    share = np.clip(1.0 + depth / _FEATHER, 0.0, 1.0).astype(np.float32)
    return share * share * (3 - 2 * share)
