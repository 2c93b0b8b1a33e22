"""From dreams to frames: a zoom is dreamed at one rate, and shown at any other, slower, or with an open shutter.

Between two dreams lies what the camera sees of both: each is resampled once, by the camera's exact map, and they are
mixed by nearness. Two dreams are alike but not the same, so their mix is flatter than either, and a resample takes the
finest detail: both are put right band by band, until a frame has the energy that lies between those of its neighbours.
So neither sharpness nor contrast nor brightness beats at the rate of the dreams. A frame at the time of a dream is that
dream, untouched.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.dreaming.governor import LUMA
from renderer.frame import Frame, Pixels, Size
from renderer.motion.camera import Camera, Matrix

Plane = NDArray[np.float32]

MIDDLE = 1.2
"""Where the middle band ends and the rest begins, pixels (sigma)."""

GAINS = np.array([(0.8, 0.8, 0.85, 0.9), (2.5, 1.4, 1.25, 1.2)])
"""How much weaker or stronger each band may be made, finest first. Mixing takes less; more would be noise."""

ROUNDING = 20 * float((LUMA**2).sum()) / 12
"""Square of the sharpness that rounding to whole numbers adds: 20 is what a Laplacian makes of the noise of a pixel."""

FEATHER = 4.0
"""Softness of the edge where a dream ends in view of the camera, pixels, at least."""

SPACING = 1.0
"""How far anything in the frame moves from one picture of an open shutter to the next, pixels, at most."""

STILL = 0.05
"""What moves less while the shutter is open, pixels, stands still to the eye."""

MOST_PICTURES = 64
"""Pictures of an open shutter, at most."""

EDGES = {
    "mirror": cv2.BORDER_REFLECT,
    "reflect": cv2.BORDER_REFLECT_101,
    "wrap": cv2.BORDER_WRAP,
    "clamp": cv2.BORDER_REPLICATE,
}
"""Keys of `resample.EDGES`, as OpenCV calls them."""

_LIGHTS = 65_535
"""Steps that light is counted in: so many that the darkest of the 256 codes lie 20 apart."""


def shown_frames(
    dreams: Iterable[Pixels],
    *,
    dream_rate: Fraction,
    dream_count: int,
    rate: Fraction,
    frames: Iterable[int],
    camera: Camera,
    edges: str,
    loop: bool = False,
    shutter: float = 0.0,
) -> Iterator[Pixels]:
    """Stream the frames of a zoom from its dreams, of which two are in memory; of a loop the first one too.

    Args:
        dreams: uint8 `(H, W, 3)`, number n at n / `dream_rate` seconds; taken one by one.
        dream_rate: dreams a second.
        dream_count: how many there are.
        rate: frames a second of the dream's own time: in slow motion, that of the file over its speed.
        frames: which to show, ascending; frame n at n / `rate` seconds. Behind the last dream it is what the camera
            sees of it, in a loop what lies between it and the first.
        camera: of the film; of a loop, one that comes round.
        edges: key of `resample.EDGES`: what lies beyond a dream, where the camera sees beyond both neighbours.
        loop: whether dream 0 follows the last one.
        shutter: how long it is open from the time of a frame on, degrees: 0 not at all, 360 until the next frame.

    Yields:
        uint8 `(H, W, 3)`.
    """
    view = _View(_Reel(dreams, dream_rate, dream_count, loop=loop), camera, edges)
    open_for = Fraction(shutter) / 360 / rate
    for number in frames:
        time = number / rate
        if not open_for:
            yield view.picture(time)
        else:
            count = view.pictures_for(time, open_for)
            # Each stands for its part of the time that the shutter is open, so it is taken in the middle of it.
            yield exposed(view.picture(time + open_for * (2 * part + 1) / (2 * count)) for part in range(count))


def exposed(pictures: Iterable[Pixels]) -> Pixels:
    """Return what a shutter that is open makes of pictures `(H, W, 3)`: the mean of their light.

    Of their light, not of their sRGB codes: as on film, a bright point that moves draws a bright line.
    """
    total: Frame | None = None
    count = 0
    for picture in pictures:
        light = np.asarray(cv2.LUT(picture, _light_of_codes()), np.float32)
        total = light if total is None else np.asarray(cv2.add(total, light, dst=total), np.float32)
        count += 1
    assert total is not None
    return _codes_of_light()[np.rint(total * np.float32(_LIGHTS / count)).astype(np.uint16)]


@dataclass(frozen=True)
class _Energy:
    """What there is in a picture.

    Attributes:
        sharpness, contrast: as the governor measures them.
        fine, middle: deviation of the luma of these bands.
        mean: colour.
    """

    sharpness: float
    contrast: float
    fine: float
    middle: float
    mean: tuple[float, ...]

    def towards(self, other: _Energy, share: float) -> _Energy:
        """Return what lies between, `share` 0 to 1."""
        here, there = ((it.sharpness, it.contrast, it.fine, it.middle, *it.mean) for it in (self, other))
        sharpness, contrast, fine, middle, *mean = (a + share * (b - a) for a, b in zip(here, there, strict=True))
        return _Energy(sharpness, contrast, fine, middle, tuple(mean))


class _Bands:
    """A picture `(H, W, 3)` in parts that add up to it: the finest and the fine lines, the middle, and the rest.

    Attributes:
        fine, blurred, rest: `(H, W, 3)`; blurred is middle and rest.
    """

    def __init__(self, picture: Frame) -> None:
        self.blurred = _blur(picture, 3, 0)
        # What the first blur took, blurred again; the finest is what this leaves.
        self.fine = _blur(cv2.subtract(picture, self.blurred), 3, 0)
        self.rest = _blur(self.blurred, 7, MIDDLE)
        finest, fine, middle, rest = lumas = [_luma(part) for part in (picture, self.fine, self.blurred, self.rest)]
        cv2.subtract(finest, middle, dst=finest)
        cv2.subtract(finest, fine, dst=finest)
        cv2.subtract(middle, rest, dst=middle)
        self._luma = _covariance(lumas)
        self._lines = _covariance([cv2.Laplacian(luma, cv2.CV_32F) for luma in lumas])

    def energy(self) -> _Energy:
        """Measure them."""
        sharpness, contrast = (math.sqrt(values.sum()) for values in (self._lines, self._luma))
        _, fine, middle, _ = np.sqrt(np.diag(self._luma)).tolist()
        return _Energy(sharpness, contrast, fine, middle, tuple(cv2.mean(self.rest)[:3]))

    def gains(self, wanted: _Energy) -> list[float]:
        """Return what makes them as strong as is wanted, within `GAINS`, finest first.

        Fine and middle by their own size. The finest band is too weak to be told from the next by its size, and is
        made so strong that the whole is as sharp as is wanted; the rest, so that it has the contrast.
        """
        held = np.maximum(np.sqrt(np.diag(self._luma)), 1e-3)
        gains = np.array([1.0, wanted.fine / held[1], wanted.middle / held[2], 1.0]).clip(*GAINS)
        for _ in range(3):  # Either changes the other a little.
            for part, values, square in (
                (0, self._lines, wanted.sharpness**2 - ROUNDING),
                (3, self._luma, wanted.contrast**2),
            ):
                gains[part] = _gain(values, gains, part, square)
                gains = gains.clip(*GAINS)
        return [float(gain) for gain in gains]


class _Dream:
    """A dream at its time, and what is made of it once, however many frames look at it."""

    def __init__(self, pixels: Pixels, seconds: Fraction) -> None:
        self.pixels, self.seconds = pixels, seconds

    @cached_property
    def picture(self) -> Frame:
        """The dream `(H, W, 3)` as floats, 0 to 255."""
        return self.pixels.astype(np.float32)

    @cached_property
    def energy(self) -> _Energy:
        return _Bands(self.picture).energy()


class _Reel:
    """The dreams as they come, the two around a time; times are asked for in ascending order."""

    def __init__(self, dreams: Iterable[Pixels], rate: Fraction, count: int, *, loop: bool) -> None:
        self._coming, self._rate, self._count = iter(dreams), rate, count
        self._before = first = self._take(0)
        self._number = 0
        self._after: _Dream | None = None
        self._first = first.pixels if loop else None

    @property
    def size(self) -> Size:
        return Size.of(self._before.pixels)

    def around(self, time: Fraction) -> tuple[_Dream, _Dream | None]:
        """Return the last dream up to a time, and the next; None where there is none, or none is needed."""
        wanted = min(math.floor(time * self._rate), self._count - 1)
        while self._number < wanted:
            self._number += 1
            self._before = self._after or self._take(self._number)
            self._after = None
        if self._after is None and time > self._before.seconds:
            following = self._number + 1
            if following < self._count:
                self._after = self._take(following)
            elif self._first is not None:
                self._after = _Dream(self._first, following / self._rate)
        return self._before, self._after if time > self._before.seconds else None

    def _take(self, number: int) -> _Dream:
        return _Dream(next(self._coming), number / self._rate)


@dataclass(frozen=True)
class _View:
    """The camera in front of the dreams."""

    reel: _Reel
    camera: Camera
    edges: str

    def picture(self, time: Fraction) -> Pixels:
        """Return what is seen at a time, uint8 `(H, W, 3)`."""
        before, after = self.reel.around(time)
        if time == before.seconds:
            return before.pixels
        near = self._way(before, time)
        if after is None:
            return restored(self._seen(before, near), before.energy)
        far = self._way(after, time)
        share = float((time - before.seconds) / (after.seconds - before.seconds))
        mix = _mixed(
            self._seen(before, near), self._seen(after, far), _share_of_later(share, near, far, self.reel.size)
        )
        return restored(mix, before.energy.towards(after.energy, share))

    def pictures_for(self, time: Fraction, open_for: Fraction) -> int:
        """Return how many pictures a shutter needs that is open from a time on, so that motion is drawn as a line."""
        way = self.camera.matrix(float(time), float(time + open_for), size=self.reel.size)
        moved = np.abs(_corners_by(way, self.reel.size) - _corners_by(np.eye(3), self.reel.size)).max()
        fewest = 1 if moved < STILL else 2
        return max(fewest, math.ceil(min(moved / SPACING, MOST_PICTURES)))

    def _way(self, dream: _Dream, time: Fraction) -> Matrix:
        return self.camera.matrix(float(dream.seconds), float(time), size=self.reel.size)

    def _seen(self, dream: _Dream, way: Matrix) -> Frame:
        """Return a dream `(H, W, 3)` where a map leads to it."""
        if np.array_equal(way, np.eye(3)):
            return dream.picture.copy()
        return _warp(dream.picture, way, kernel=cv2.INTER_CUBIC, border=EDGES[self.edges])


def restored(picture: Frame, wanted: _Energy) -> Pixels:
    """Give a picture `(H, W, 3)`, 0 to 255, the bands and the mean colour that it should have; it is changed itself."""
    bands = _Bands(picture)
    finest, fine, middle, rest = bands.gains(wanted)
    cv2.addWeighted(picture, finest, bands.fine, fine - finest, 0, dst=picture)
    cv2.scaleAdd(bands.blurred, middle - finest, picture, dst=picture)
    cv2.scaleAdd(bands.rest, rest - middle, picture, dst=picture)
    lift = [there - rest * here for there, here in zip(wanted.mean, cv2.mean(bands.rest), strict=False)]
    pixels = cv2.add(picture, (*lift, 0.0), dtype=cv2.CV_8U)
    # What is cut off at black and white shifts the mean a little; together it beats at the rate of the dreams.
    lift = [by + there - here for by, there, here in zip(lift, wanted.mean, cv2.mean(pixels), strict=False)]
    return np.asarray(cv2.add(picture, (*lift, 0.0), dtype=cv2.CV_8U), np.uint8)


def _gain(values: Matrix, gains: NDArray[np.float64], part: int, wanted: float) -> float:
    """Return the gain of a part with which the whole has the variance `wanted`: the root of a quadratic equation.

    Args:
        values: covariance of the parts.
        gains: of the parts; that of `part` does not matter, but stays where no other is good.
        part: its number.
        wanted: variance of the sum of all of them.
    """
    others = np.where(np.arange(len(gains)) == part, 0.0, gains)
    square, shared, base = values[part, part], values[part] @ others, others @ values @ others
    root = shared**2 - square * (base - wanted)
    return float((math.sqrt(root) - shared) / square) if square > 1e-4 and root > 0 else float(gains[part])


def _covariance(planes: Sequence[NDArray[Any]]) -> Matrix:
    """Return the covariance of planes `(H, W)`, each with each, from the lengths of their sums: one pass each."""
    products = np.diag([cv2.norm(plane) ** 2 for plane in planes])
    for one, other in itertools.combinations(range(len(planes)), 2):
        apart = cv2.norm(planes[one], planes[other]) ** 2
        products[one, other] = products[other, one] = (products[one, one] + products[other, other] - apart) / 2
    means = [cv2.mean(plane)[0] for plane in planes]
    return np.asarray(products / planes[0].size - np.outer(means, means), np.float64)


def _share_of_later(share: float, near: Matrix, far: Matrix, size: Size) -> float | Plane:
    """Say how much of the later dream is in a frame: by nearness, and of one that ends in view nothing beyond its end.

    Args:
        share: of the way to the later dream that the frame lies on.
        near: from the frame into the earlier dream.
        far: into the later dream.
        size: of both.

    Returns:
        0 to 1, or a plane `(H, W)` of such where a dream ends in view.
    """
    covers = [_covered(way, size) for way in (near, far)]
    if all(cover is None for cover in covers):
        return share
    earlier, later = (
        np.float32(part) if cover is None else np.float32(part) * cover
        for part, cover in zip((1 - share, share), covers, strict=True)
    )
    return np.asarray(later / (earlier + later), np.float32)


def _covered(way: Matrix, size: Size) -> Plane | None:
    """Return `(H, W)`: 1 where a map leads well into a dream, falling to nearly 0 at its end; None for 1 all over."""
    x, y = _corners_by(way, size).T
    right, bottom = size.width - 1, size.height - 1
    beyond = float(max(-x.min(), x.max() - right, -y.min(), y.max() - bottom))
    if beyond < 0.5:  # The outermost pixels reach so far.
        return None
    feather = max(FEATHER, min(beyond, min(size) / 8))
    cover = _warp(_depth(size), way, kernel=cv2.INTER_LINEAR, border=cv2.BORDER_CONSTANT)
    cover *= np.float32(1 / feather)
    return np.clip(cover, np.float32(1e-3), np.float32(1), out=cover)  # Where neither leads, both are mixed as ever.


@cache
def _depth(size: Size) -> Plane:
    """Return how far each pixel is from the end of its picture, pixels, `(H, W)`."""
    across, down = (np.minimum(np.arange(side) + 0.5, side - 0.5 - np.arange(side)) for side in size)
    return np.minimum(across, down[:, None]).astype(np.float32)


def _mixed(earlier: Frame, later: Frame, share: float | Plane) -> Frame:
    """Mix pictures `(H, W, 3)`; the first may be overwritten."""
    if isinstance(share, float):
        return np.asarray(cv2.addWeighted(earlier, 1 - share, later, share, 0, dst=earlier), np.float32)
    return np.asarray(cv2.blendLinear(later, earlier, share, np.float32(1) - share), np.float32)


def _warp(picture: NDArray[np.float32], way: Matrix, *, kernel: int, border: int) -> NDArray[np.float32]:
    """Read a picture where a map leads, output pixel -> source pixel.

    OpenCV's cubic is sharper than that of `resample`, which has to stay flat through thousands of frames; this one is
    never dreamed on again.
    """
    flags = kernel | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(picture, way, Size.of(picture), flags=flags, borderMode=border), np.float32)


def _corners_by(way: Matrix, size: Size) -> NDArray[np.float64]:
    """Return where a map leads the corners of a frame, `(4, 2)` pixels; far away for what lies behind the camera."""
    right, bottom = size.width - 1.0, size.height - 1.0
    x, y, w = way @ np.array([[0, right, 0, right], [0, 0, bottom, bottom], [1, 1, 1, 1]])
    return np.stack([x, y], axis=1) / np.maximum(w, 1e-6)[:, None]


def _blur(picture: NDArray[Any], side: int, sigma: float) -> Frame:
    return np.asarray(cv2.GaussianBlur(picture, (side, side), sigma), np.float32)


def _luma(picture: Frame) -> Plane:
    return np.asarray(cv2.transform(picture, LUMA), np.float32)


@cache
def _light_of_codes() -> Plane:
    """Return the light, 0 to 1, of each of the 256 codes of sRGB (IEC 61966-2-1)."""
    code = np.arange(256) / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)


@cache
def _codes_of_light() -> Pixels:
    """Return the nearest code of each of the steps of light."""
    light = np.arange(_LIGHTS + 1) / _LIGHTS
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(code * 255).astype(np.uint8)
