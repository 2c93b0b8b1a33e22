"""Lead the end of a zoom into its beginning.

The last frames are not laid over the first ones: that shows two pictures at once, and the grey mush of both. Instead
the canvas is pulled towards the beginning inside the recurrence, a little in each frame, so that the network dreams the
mixture into something sharp before it is mixed again. What it is pulled towards is the first frame as the camera sees
it from afar: small in the middle when the camera zooms in, at the side when it pans. It grows until it fills the frame,
and there the film is where it began. Places follow one another in the shape of clouds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.frame import Frame, Size
from renderer.motion.loops import Ring
from renderer.motion.resample import warp
from renderer.render.scenes import Canvas, Scene, ZoomScene

Plane = NDArray[np.float32]

_CLOUDS = (5, 8)
"""Rows and columns of the grid that the clouds are drawn on."""

_FEATHER = 0.08
"""Softness of the edge of the first frame seen from afar, part of that frame's sides."""


class RingScene(Scene):
    """A zoom that comes round.

    Args:
        zoom: the journey, with a camera that comes round.
        ring: its length, and how it turns into its beginning.
        seed: of the clouds.
    """

    ring: Ring

    def __init__(self, zoom: ZoomScene, ring: Ring, *, seed: int) -> None:
        self.zoom, self.ring, self.seed = zoom, ring, seed
        self._frame = 0
        self._beginning: Frame | None = None

    def canvas(self, frame: int, dream: Frame | None) -> Canvas:
        """Return the dream before, seen by the camera one frame later, and led back where the end is near."""
        self._frame = frame
        canvas = self.zoom.canvas(frame, dream)
        pull = self.ring.pull(frame)
        if not pull or self._beginning is None:
            return canvas
        # Where each pixel of this frame will be seen when the film is round.
        way = self.zoom.camera.matrix(self.ring.seconds, frame / self.zoom.rate, size=Size.of(canvas.picture))
        there = warp(self._beginning, way, edges=self.zoom.edges)
        part = np.float32(pull) * self.ring.onset(frame, self._late) * inside(way, Size.of(canvas.picture))
        return replace(canvas, picture=canvas.picture + part[..., None] * (there - canvas.picture))

    def settle(self, dream: Frame) -> Frame:
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
