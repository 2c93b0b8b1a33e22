"""Frames larger than the film is dreamed at: the same film, with detail of their own.

A film is dreamed at its reference size, whatever size its frames have; so it is the same film at every size. A larger
frame is carried by the same camera at its own size. All that is dreamed at the reference is added to it, and what is
finer than the reference it dreams for itself: on scales of detail, through a shallow cut of the network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.dreaming.ascent.octaves import resize
from renderer.dreaming.governor import luma_of, shoulder
from renderer.frame import Frame, Size, scaled
from renderer.render.scenes import Scene

Plane = NDArray[np.float32]

EVERY = 3
"""How many frames it takes until a scale of detail is dreamed on again; the scales take turns, so that none jumps."""

FIRST = 8
"""How often detail is dreamed on the first frame, which is to be as rich as the others."""

TETHER = 0.8
"""Blur, pixels at the reference, of what holds a larger frame to the film: what is coarser is the film's, what is finer
the frame's own."""

NATURAL = (1.1, 0.8)
"""How strong the finest octave of waves is against the next one, and an octave against the next coarser one in general:
photographs', whose amplitudes fall with frequency to the power of -1.3."""

HALF_LIFE = 0.07
"""Seconds in which half of what detail lacks against that is made good."""

CRISPER = 0.4
"""Part of the way to its neighbour that a pixel at a contour goes in one frame, at most, where it is too soft."""

CONTOUR_SIGMA, CONTOUR_BEND = 1.0, 0.02
"""Blur, pixels, of the luma that contours are found in, and the Laplacian there at which they count in full."""

FINEST = 0.8
"""The finest scale of detail, part of the frame's side: finer yet are crisper contours, which cost less."""

FINER_RATIO = 2.0
"""From one scale of detail to the next at most: they look for texture, which is there at every size."""


class DetailDreamer(Protocol):
    """Dreams on one scale of detail, as a `Dreamer` does."""

    def __call__(self, canvas: Frame, *, frame: int, seconds: float, full: bool | None = None) -> tuple[Frame, float]:
        """Return the dream `(H, W, 3)`, and the objective."""


def detail_sizes(size: Size, reference: Size) -> list[Size]:
    """List the scales of detail of a frame larger than the reference, coarse to fine, each between it and the frame."""
    scale = min(size) / min(reference)
    finest = max(math.sqrt(scale), FINEST * scale)
    count = math.ceil(math.log(finest, FINER_RATIO) - 0.01)
    return [scaled(size, scale / finest ** (turn / count)) for turn in range(1, count + 1)]


class Detail:
    """Makes the larger frames of a film.

    Args:
        scene: the journey at the size of the frames; it is asked for each canvas as the recurrence's own is.
        dreamers: dream on one scale of detail each, coarse to fine.
        reference: size at which the film is dreamed.
        rate: of dreams, a second.
        knee: as the governor's: distance from black and white where extremes are bent.
    """

    def __init__(
        self, scene: Scene, dreamers: Sequence[DetailDreamer], *, reference: Size, rate: float, knee: float
    ) -> None:
        self.scene, self.dreamers, self.reference, self.knee = scene, dreamers, reference, knee
        self._part = 1.0 - 2.0 ** (-1.0 / (rate * HALF_LIFE))
        self._frame: Frame | None = None

    def __call__(self, canvas: Frame, dream: Frame, *, index: int, number: int, seconds: float) -> Frame:
        """Return the larger frame `(H, W, 3)`.

        Args:
            canvas: at the reference.
            dream: that was dreamed on it.
            index: of the frame, as scenes count.
            number: that keys its randomness.
            seconds: its time.
        """
        first = self._frame is None
        picture = self.scene.canvas(index, self._frame)
        assert picture is not None
        frame, dreamed = picture.picture, cv2.subtract(dream, canvas)
        if first:
            frame, dreamed = cv2.add(frame, resize(dreamed, Size.of(frame))), np.zeros_like(dreamed)
        for round_ in range(FIRST if first else 1):
            for turn, dreamer in enumerate(self.dreamers):
                if first or (number + turn) % EVERY == 0:
                    frame, _ = dreamer(frame, frame=number * FIRST + round_, seconds=seconds, full=False)
            crisper = _crisper(luma_of(frame), self._scale(frame), self._part)
            frame = cv2.add(frame, cv2.cvtColor(crisper, cv2.COLOR_GRAY2RGB), dst=frame)
        astray = cv2.subtract(cv2.subtract(dream, resize(frame, self.reference)), dreamed)
        dreamed = cv2.add(dreamed, cv2.GaussianBlur(astray, (0, 0), TETHER))
        frame = cv2.add(frame, resize(dreamed, Size.of(frame)), dst=frame)
        self._frame = self.scene.finish(shoulder(frame, self.knee))
        return self._frame

    def state(self) -> Mapping[str, Any]:
        """Return what the next frame is made from, beside what is dreamed: names with arrays."""
        if self._frame is None:
            return {}
        return {"frame": self._frame, **self.scene.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember it again."""
        self._frame = np.asarray(state["frame"], np.float32)
        self.scene.restore({name: value for name, value in state.items() if name != "frame"})

    def _scale(self, frame: Frame) -> float:
        return min(frame.shape[:2]) / min(self.reference)


def _crisper(luma: Plane, scale: float, part: float) -> Plane:
    """Return what brings the finest detail `(H, W)` nearer to the strength that it has in photographs.

    The network's gradients are weak there, and the camera softens what is finest. Raised as it is, it would be grain:
    contours are made steeper instead, each pixel drawn to the brighter or the darker one beside it, by the side of the
    contour that it is on. Too much of it is taken away.

    Source: Osher and Rudin 1990, "Feature-oriented image enhancement using shock filters".
    """
    octaves = 1 + round(math.log2(scale))
    finest = cv2.subtract(luma, cv2.GaussianBlur(luma, (0, 0), 0.7))
    # Of the coarser band only the strength is wanted, and half the size shows it as well.
    half = resize(luma, scaled(Size(luma.shape[1], luma.shape[0]), 2))
    coarser = cv2.subtract(*(cv2.GaussianBlur(half, (0, 0), 0.35 * 2**k) for k in (octaves - 1, octaves)))
    wanted = _rms(coarser) * NATURAL[1] ** (octaves - 1) * NATURAL[0]
    lacking = part * math.log(max(wanted, 1e-5) / max(_rms(finest), 1e-5))
    if lacking < 0:
        return np.asarray(finest * np.float32(math.expm1(max(lacking, -0.25))))
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    bend = cv2.Laplacian(cv2.GaussianBlur(luma, (0, 0), CONTOUR_SIGMA), cv2.CV_32F)
    side = np.tanh(bend * np.float32(-1 / CONTOUR_BEND))
    aim = np.where(side > 0, cv2.dilate(luma, cross) - luma, luma - cv2.erode(luma, cross))
    return np.asarray(aim * side * np.float32(min(CRISPER, lacking)))


def _rms(band: Plane) -> float:
    return float(cv2.norm(band, cv2.NORM_L2)) / math.sqrt(band.size)
