"""Draw what `jobs.toml` begins with: `python samples/draw.py [FOLDER]`.

All of it is made here, of noise and curves; the same files come out each time.

- clouds.jpg: a sky at sunset, of noise that is stirred by other noise.
- flower.jpg: a flower without end: each petal is the one before, a little smaller and turned by the golden angle.
- clip.mp4: three seconds, a balloon before the sky and a flower that opens, with a cut between, and two notes.
"""

from __future__ import annotations

import sys
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.frame import Frame, Pixels, Size, to_8bit
from renderer.media.ffmpeg.encode import Sound, encode
from renderer.media.images import write_image

Plane = NDArray[np.float64]

PICTURE = Size(640, 360)
CLIP = Size(320, 180)
RATE = Fraction(24)
SHOT = 36
"""Frames of each of the clip's two shots."""

GOLDEN = np.pi * (3 - np.sqrt(5))
"""Angle from one petal to the next, as in a daisy: no two ever lie one above the other."""

SMALLER, PETALS = 0.972, 165
"""Each petal's length as a part of the one before, and how many are drawn: the last ones are under a pixel."""

PETAL = ["#ffe27a", "#ff8a3c", "#e8346b", "#b43fb8", "#5f56d8"]
"""Colours of a petal from within to its tip."""


def main() -> None:
    """Draw all three, beside this script or into the folder that is named."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    write_image(clouds(PICTURE), folder / "clouds.jpg")
    write_image(flower(PICTURE), folder / "flower.jpg")
    draw_clip(folder / "clip.mp4")


def clouds(size: Size, *, drift: float = 0.0) -> Frame:
    """Draw a sky at sunset `(H, W, 3)`.

    Args:
        size: pixels.
        drift: how far the clouds have gone, frame widths.
    """
    x, y = _plane(size)
    shade = 1.6 / (1.3 - y)  # Clouds draw together towards the horizon.
    u, v = (x - 0.5) * shade + drift, shade * 1.4
    stirred = _noise(u * 1.2, v * 1.2, seed=3, octaves=4)
    billows = _noise(u * 1.7 + 1.1 * stirred, v * 2.6 + 0.7 * stirred, seed=1, octaves=7)
    lit = _noise(u * 1.7 + 1.1 * stirred + 0.06, v * 2.6 + 0.7 * stirred + 0.13, seed=1, octaves=7)
    cover = _smooth((billows + 0.05) / 0.55)
    light = np.clip(0.55 + 2.2 * (billows - lit), 0, 1)
    sun = np.exp(-(((x - 0.68) * size.width / size.height) ** 2 + (y - 0.8) ** 2) * 6)
    sky = _ramp(y, ["#182a63", "#35529b", "#7f7cb4", "#e79a86", "#ffd08a"])
    bright = _ramp(y, ["#c9c4e6", "#f2c7cf", "#ffc29a", "#ffdf9e", "#fff3c4"])
    dark = _ramp(y, ["#2c2f66", "#4b3f7d", "#7d4a7e", "#a8536b", "#c96b55"])
    cloud = dark + (bright - dark) * light[..., None]
    picture = sky + (cloud - sky) * (0.94 * cover[..., None])
    return _finish(picture + sun[..., None] * _colour("#ffb35c") * (0.75 - 0.45 * cover[..., None]))


def flower(size: Size, *, opened: float = 1.0, turned: float = 0.0) -> Frame:
    """Draw a flower without end `(H, W, 3)`: come nearer to its middle, and it looks the same.

    Args:
        size: pixels.
        opened: how far it is open, 0 to 1.
        turned: angle, radians.
    """
    x, y = _plane(size)
    aspect = size.width / size.height
    across, down = (x - 0.5) * 2 * aspect, (y - 0.5) * 2
    mist = _noise(across * 0.9 + 5, down * 0.9, seed=8, octaves=5)
    leaf = _ramp(0.5 + 0.3 * mist + 0.2 * down, ["#04130f", "#0b3326", "#17603f", "#3d8f56"])
    veins = np.abs(np.sin(11.5 * np.arctan2(down, across) + 0.4 * mist)) ** 0.25
    picture = leaf * ((0.5 + 0.5 * veins) * (0.6 + 0.4 * np.exp(-0.4 * (across**2 + down**2))))[..., None]
    for k in range(PETALS):  # from the outermost, which lies below
        reach = 1.1 * SMALLER**k * (0.3 + 0.7 * opened)
        rows, columns = (_near(plane, reach) for plane in (down[:, 0], across[0]))
        place = across[rows, columns], down[rows, columns]
        shape = {"angle": turned - k * GOLDEN, "reach": reach, "tint": k / PETALS, "pixel": 2 / size.height}
        _petal(picture[rows, columns], *place, **shape)
    return _finish(picture)


def _petal(
    picture: Plane, across: Plane, down: Plane, *, angle: float, reach: float, tint: float, pixel: float
) -> None:
    """Lay one petal over a picture `(H, W, 3)`, with its veins and the shadow that it throws."""
    cos, sin = np.cos(angle), np.sin(angle)
    along, aside = (across * cos + down * sin) / reach, (down * cos - across * sin) / reach
    width = 0.25 * np.sqrt(np.clip(along, 0, None)) * np.clip(1 - along**5, 0, None) ** 0.7
    edge = np.minimum(width - np.abs(aside), np.minimum(along, 1 - along)) * reach
    picture *= 1 - 0.32 * _smooth(edge / (0.09 * reach) + 0.5)[..., None]
    place = aside / np.maximum(width, 1e-3)
    light = 0.42 + 0.33 * np.clip(1 - place**2, 0, 1) + 0.16 * along * np.cos(place * 9.4) ** 2 + 0.3 * along**3
    cloth = _ramp(np.clip(0.8 * along - 0.25 + 0.5 * np.cos(tint * 5.2), 0, 1), PETAL)
    inside = _smooth(edge / (1.5 * pixel))[..., None]
    picture += inside * (cloth * (light + 0.1 * np.cos(angle + 0.9))[..., None] - picture)


def shots() -> Iterator[Pixels]:
    """Give the frames of the clip, uint8 `(H, W, 3)`."""
    for k in range(SHOT):
        share = k / SHOT
        yield to_8bit(_balloon(clouds(CLIP, drift=0.12 * share), 0.22 + 0.42 * share, 0.6 - 0.22 * share))
    for k in range(SHOT):
        share = k / SHOT
        yield to_8bit(flower(CLIP, opened=0.25 + 0.75 * np.sin(share * np.pi / 2), turned=0.5 * share))


def _balloon(sky: Frame, x0: float, y0: float) -> Frame:
    """Hang a balloon before a sky `(H, W, 3)`."""
    height, width = sky.shape[:2]
    x, y = _plane(Size(width, height))
    across, down = (x - x0) * width / height / 0.2, (y - y0) / 0.2
    narrow = 1 - 0.32 * np.clip(down, 0, None) ** 1.6
    inside = _smooth((1 - np.hypot(across / narrow, down * 0.88)) * height / 12)
    girth = narrow * np.sqrt(np.clip(1 - (down * 0.88) ** 2, 0.02, 1))
    stripes = _smooth(np.sin(5 * np.arcsin(np.clip(across / girth, -1, 1))) * 4 + 0.5)[..., None]
    cloth = _colour("#d8343c") * (1 - stripes) + _colour("#fbe9c6") * stripes
    light = 0.5 + 0.5 * np.clip(0.55 + 0.6 * across - 0.35 * down, 0, 1)
    basket = _smooth((0.13 - np.maximum(np.abs(across), np.abs(down - 1.62))) * height / 12)
    ropes = _smooth((0.025 - np.abs(np.abs(across) - 0.12 - 0.35 * (1.5 - down))) * height / 14)
    ropes *= np.abs(down - 1.27) < 0.24
    picture = sky + inside[..., None] * (cloth * light[..., None] - sky)
    for part, colour in ((ropes, "#3a2a24"), (basket, "#6b4426")):
        picture = picture + part[..., None] * (_colour(colour) - picture)
    return picture.astype(np.float32)


def notes(path: Path, *, per_second: int = 48_000) -> Path:
    """Write the clip's sound: a soft note for each shot, as a WAV file."""
    length = int(SHOT / RATE * per_second)
    t = np.arange(length) / per_second
    swell = np.minimum(1, np.minimum(t / 0.15, (t[-1] - t) / 0.25))
    tones = []
    for root in (220.0, 329.63):
        chord = sum(np.sin(2 * np.pi * root * part * t) / part**1.5 for part in (1, 2, 3, 5))
        tones.append(swell * chord * (1 + 0.15 * np.sin(2 * np.pi * 5 * t)))
    sound = np.concatenate(tones)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(per_second)
        file.writeframes((sound / np.abs(sound).max() * 12_000).astype("<i2").tobytes())
    return path


def draw_clip(out: Path) -> None:
    """Write the clip."""
    with TemporaryDirectory() as folder:
        sound = Sound(source=notes(Path(folder, "notes.wav")))
        encode(shots(), out, size=CLIP, rate=RATE, quality=20, sound=sound, overwrite=True, threads=1)


def _plane(size: Size) -> tuple[Plane, Plane]:
    """Return where the pixels are `(H, W)`, 0 to 1, from the left and from the top."""
    y, x = np.mgrid[0 : size.height, 0 : size.width]
    return (x + 0.5) / size.width, (y + 0.5) / size.height


def _noise(x: Plane, y: Plane, *, seed: int, octaves: int) -> Plane:
    """Return smooth noise at places `(H, W)`, about -1 to 1: each octave twice as fine and half as strong."""
    total = np.zeros_like(x)
    for octave in range(octaves):
        table = np.random.default_rng([seed, octave]).uniform(-1, 1, (64, 64))
        u, v = x * 2**octave, y * 2**octave
        i, j = np.floor(u).astype(int), np.floor(v).astype(int)
        a, b = _smooth(u - i), _smooth(v - j)
        corners = [[table[(j + q) % 64, (i + p) % 64] for p in (0, 1)] for q in (0, 1)]
        upper, lower = (left + (right - left) * a for left, right in corners)
        total += (upper + (lower - upper) * b) / 2**octave
    return total


def _near(places: Plane, reach: float) -> slice:
    """Return which of ascending places lie within a little more than `reach` of the middle."""
    return slice(*np.searchsorted(places, (-1.1 * reach, 1.1 * reach)))


def _smooth(value: Plane) -> Plane:
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)


def _colour(text: str) -> Plane:
    return np.array([int(text[k : k + 2], 16) for k in (1, 3, 5)]) / 255


def _ramp(value: Plane, colours: list[str]) -> Plane:
    """Return `(H, W, 3)`: the colours one after another for values from 0 to 1."""
    table = np.array([_colour(colour) for colour in colours])
    places = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(value, places, table[:, k]) for k in range(3)], axis=-1)


def _finish(picture: Plane) -> Frame:
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 0.5), 0, 1).astype(np.float32)


if __name__ == "__main__":
    main()
