"""The governor: keeps a long feedback loop from drifting to glare, murk, grey or blur.

Each frame is measured (mean luma, contrast, saturation, sharpness) and nudged towards targets by a part of the
distance that depends on time, not on frames. Extremes pass a soft shoulder instead of being clipped, and a little
band-limited noise keeps patterns from freezing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.dreaming.settings import GovernorSettings
from renderer.frame import Frame
from renderer.time_value import NEVER, Timed

LUMA = np.array([[0.2126, 0.7152, 0.0722]], np.float32)
"""Weights of R, G, B in luma (BT.709), over sRGB-encoded values."""

HEADROOM = 0.03
"""How near to 0 and 1 a governed value comes at most. Video codecs halve the resolution of colour and so overshoot at
strongly coloured edges: without room for it, a tenth of the pixels of a film is clipped when it is decoded."""

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Tone:
    """What the governor measures of a frame, and steers.

    Attributes:
        luma: mean luma, 0 to 1.
        contrast: standard deviation of luma.
        saturation: mean of (max - min) / max over R, G, B.
        sharpness: standard deviation of the Laplacian of luma (4-neighbour kernel).
    """

    luma: float
    contrast: float
    saturation: float
    sharpness: float


def measure(frame: Frame) -> Tone:
    """Measure the tone of a frame `(H, W, 3)`; saturation is taken at every second pixel."""
    return _measure(frame, luma_of(frame))


def luma_of(frame: Frame) -> Plane:
    """Return the luma `(H, W)` of a frame `(H, W, 3)`."""
    return np.asarray(cv2.transform(frame, LUMA), np.float32).reshape(frame.shape[:2])


class Governor:
    """Steers the tone of a film.

    Args:
        settings: how firmly, and towards which tone; "auto" for what `own` has.
        own: tone of the film's first canvas.
        over_time: values by name that take the place of those of the settings; functions of seconds.
        rate: frames a second.
        every: how many frames there are from one that it governs to the next.
        seed: keys the noise.
    """

    def __init__(
        self,
        settings: GovernorSettings,
        *,
        own: Tone,
        over_time: Mapping[str, Any] = NEVER,
        rate: float = 24.0,
        every: int = 1,
        seed: int = 0,
    ) -> None:
        self.settings, self.own, self.rate, self.seed = settings, own, rate, seed
        self._governed = rate / every  # a second
        self._now = Timed(settings, over_time)

    def __call__(self, dream: Frame, start: Tone, *, frame: int, age: float | None = None) -> Frame:
        """Return the governed frame `(H, W, 3)`.

        Args:
            dream: `(H, W, 3)`.
            start: tone of the film's first canvas.
            frame: its number.
            age: seconds from this canvas to the frame, if not as many as its number says: films that come round draw
                near it again.
        """
        seconds = frame / self.rate
        amount, noise = self._now.at("amount", seconds), self._now.at("noise", seconds)
        if amount <= 0:
            return dream
        luma = luma_of(dream)
        found = _measure(dream, luma)
        wanted = self.wanted(start, seconds, age=age)
        part = 1.0 - 2.0 ** (-amount / (self._governed * self.settings.half_life))
        new_luma = (luma - found.luma) * _gain(wanted.contrast, found.contrast, part)
        new_luma += found.luma + part * (wanted.luma - found.luma)
        gain = _gain(wanted.sharpness, found.sharpness, part)
        new_luma += (gain - 1.0) * (_detail(luma) if gain > 1.0 else luma - cv2.GaussianBlur(luma, (0, 0), 1.0))
        chroma = _gain(wanted.saturation, found.saturation, part)
        shift = cv2.cvtColor(cv2.addWeighted(new_luma, 1.0, luma, -chroma, 0.0), cv2.COLOR_GRAY2RGB)
        governed = cv2.addWeighted(dream, chroma, shift, 1.0, 0.0, dst=shift)
        if noise > 0:
            governed = cv2.add(governed, self._noise(dream.shape[:2], frame, noise), dst=governed)
        return shoulder(governed, self.settings.knee)

    def wanted(self, start: Tone, seconds: float, *, age: float | None = None) -> Tone:
        """Return the tone aimed at after some seconds of a film that began with the tone `start`."""
        memory = self.settings.memory
        kept = 2.0 ** (-(seconds if age is None else age) / memory) if memory > 0 else 0.0
        aim = self.target(seconds)
        target, begin = asdict(aim), asdict(start)
        return replace(aim, **{k: target[k] + kept * (begin[k] - target[k]) for k in target})

    def target(self, seconds: float) -> Tone:
        """Return the tone that the film tends to at a time in seconds."""
        names = [name for name in asdict(self.own) if self._now(name) != "auto"]
        return replace(self.own, **{name: self._now.at(name, seconds) for name in names})

    def _noise(self, shape: tuple[int, ...], frame: int, noise: float) -> Frame:
        height, width = shape
        rng = np.random.Generator(np.random.SFC64([self.seed, frame, 0x6E]))
        coarse = rng.standard_normal((height // 4 + 2, width // 4 + 2, 3), np.float32)
        coarse *= np.float32(noise / np.sqrt(self._governed))
        return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def shoulder(frame: Frame, knee: float) -> Frame:
    """Bend what comes nearer than `knee` to 0 or 1 so that it never gets there (in place, and returned).

    Beyond the edge m the value is m + knee * tanh((x - m) / knee), which ends `HEADROOM` away from 0 and 1.
    """
    low, high = np.float32(HEADROOM + knee), np.float32(1 - HEADROOM - knee)
    middle = np.clip(frame, low, high)
    frame -= middle
    frame *= np.float32(1 / knee)
    np.tanh(frame, out=frame)  # of everything: choosing the few pixels beyond the knee takes longer
    frame *= np.float32(knee)
    frame += middle
    return frame


def _measure(frame: Frame, luma: Plane) -> Tone:
    mean, deviation = cv2.meanStdDev(luma)
    red, green, blue = cv2.split(np.ascontiguousarray(frame[::2, ::2]))
    high = cv2.max(cv2.max(red, green), blue)
    low = cv2.min(cv2.min(red, green), blue)
    spread = (high - low) / np.maximum(high, np.float32(1 / 255))
    _, laplacian = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_32F))
    return Tone(float(mean[0, 0]), float(deviation[0, 0]), float(np.clip(spread, 0, 1).mean()), float(laplacian[0, 0]))


def _detail(luma: Plane) -> Plane:
    """Return the detail of about 3 to 8 pixels, which is what is raised to sharpen.

    Finer grain is left out: a camera that zooms spares it on the lines where its map meets pixel centres, and raised
    there again and again it would draw these lines.
    """
    return np.asarray(cv2.GaussianBlur(luma, (3, 3), 0.7) - cv2.GaussianBlur(luma, (9, 9), 1.8), np.float32)


def _gain(wanted: float, found: float, part: float) -> float:
    """Return the factor that makes good `part` of the distance, on a log scale, from found to wanted."""
    return float(np.clip((max(wanted, 1e-4) / max(found, 1e-4)) ** part, 0.5, 2.0))
