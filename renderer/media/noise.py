"""Where a film begins: noise that is worth dreaming on.

Every kind is a function of the seed and of the place in the picture alone: no generator is carried along, and places
are measured in picture heights, so that a preview at half the size shows the same forms. Frames are RGB in [0, 1],
sRGB-encoded (see `renderer.frame`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from renderer.errors import UsageError, nearest
from renderer.frame import Frame, Size

Floats = NDArray[np.float32]
Integers = NDArray[np.uint32]

STRIP_PIXELS = 400_000
"""How many pixels are worked on at once: the temporaries of a large picture stay within some megabytes."""

# Orthogonal directions of colour, strongest first: brightness, warm against cold, green against purple. Natural
# pictures vary about this much along each; noise drawn in this basis has the colours of a landscape, not of static.
COLOUR_AXES = np.array([[0.577, 0.577, 0.577], [0.707, 0.0, -0.707], [-0.408, 0.816, -0.408]], np.float32)
COLOUR_SPREAD = np.array([1.0, 0.42, 0.24], np.float32)

# Skies: the colour above, the colour below, a cloud in the light, a cloud in the shade; 0 to 255.
SKIES = (
    ((38, 62, 128), (244, 168, 120), (255, 222, 190), (118, 82, 128)),  # dawn
    ((52, 34, 96), (238, 104, 78), (255, 190, 128), (92, 44, 108)),  # dusk
    ((44, 112, 196), (166, 214, 236), (250, 246, 236), (112, 136, 176)),  # noon
    ((18, 54, 84), (82, 204, 172), (226, 248, 206), (52, 86, 138)),  # sea light
    ((30, 28, 70), (116, 76, 176), (240, 176, 226), (48, 70, 136)),  # night
    ((122, 142, 118), (246, 216, 132), (255, 244, 206), (154, 106, 84)),  # late summer
)


def noise(kind: str, *, size: Size, seed: int) -> Frame:
    """Make a picture of noise to begin a dream from.

    Args:
        kind: a name in `NOISES`.
        size: of the picture, pixels.
        seed: any integer >= 0; the same seed gives the same bytes.

    Returns:
        A frame `(H, W, 3)` in [0, 1].

    Raises:
        UsageError: the kind is unknown, or the seed is negative.
    """
    if kind not in NOISES:
        raise UsageError(f"Noise {kind!r} is unknown{nearest(kind, NOISES)}")
    if seed < 0:
        raise UsageError(f"Seed {seed} is negative: it must be 0 or more.")
    return NOISES[kind](size, seed)


def white(size: Size, seed: int) -> Frame:
    """Draw every pixel alone: the finest grain, no forms at all."""
    generator = np.random.default_rng(_keys(seed, "white"))
    out = np.empty((size.height, size.width, 3), np.float32)
    for row in range(size.height):  # a row at a time: no second copy of a large picture
        values = generator.standard_normal((size.width, 3), np.float32) * (COLOUR_SPREAD * np.float32(0.32))
        out[row] = np.clip(0.5 + values @ COLOUR_AXES, 0, 1)
    return out


def grey(size: Size, seed: int) -> Frame:
    """Draw nothing, an even grey: where the dream of a class begins (Simonyan et al. 2013, who begin from black)."""
    del seed
    return np.full((size.height, size.width, 3), 0.5, np.float32)


def pink(size: Size, seed: int) -> Frame:
    """Draw 1/f noise, equally strong at every scale like a natural picture, in the colours of one.

    The spectrum is drawn as a hash of its place, so the large forms are the same at every size of one shape.
    """
    height, width = size.height, size.width
    down = np.fft.fftfreq(height, 1 / height)[:, None]
    across = np.fft.rfftfreq(width, 1 / width)[None, :]
    frequency = np.hypot(down, across * (height / width))  # in cycles a picture height
    frequency[0, 0] = np.inf
    # The reddest waves are held back, or one half of the picture is dark and the other bright.
    amplitude = 1 / np.maximum(frequency, 1.5)
    amplitude[0, 0] = 0.0
    spectrum_total = np.sqrt((amplitude**2).sum() * 2) or 1.0  # A picture of one pixel has no waves.
    out = np.full((height, width, 3), 0.5, np.float32)
    for axis, key in enumerate(_keys(seed, "pink")[:3]):
        phase = _unit(_hash(down.astype(np.int64), across.astype(np.int64), key)) * np.float32(2 * np.pi)
        wave = np.fft.irfft2(amplitude * np.exp(1j * phase), s=(height, width)).astype(np.float32)
        wave *= np.float32(height * width / spectrum_total) * COLOUR_SPREAD[axis] * np.float32(0.36)
        out += wave[..., None] * COLOUR_AXES[axis]
    return _shoulder(out)


def perlin(size: Size, seed: int) -> Frame:
    """Draw folded gradient noise in a few colours that go together: marble, silk, oil on water."""
    keys = _keys(seed, "perlin")
    palette = _palette(keys[0])
    out = np.empty((size.height, size.width, 3), np.float32)
    for rows, x, y in _strips(size):
        fine = size.height
        fold_x = _fractal(x, y, base=1.3, cells=fine, key=keys[1], octaves=4)
        fold_y = _fractal(x, y, base=1.3, cells=fine, key=keys[2], octaves=4)
        swirl_x = _fractal(x + 0.9 * fold_x, y + 0.9 * fold_y, base=1.7, cells=fine, key=keys[3], octaves=4)
        height = _fractal(x + 0.55 * swirl_x, y + 0.55 * fold_x, base=2.0, cells=fine, key=keys[4], gain=0.58)
        place = 0.5 + 0.55 * height + 0.30 * swirl_x
        light = 1 + 0.55 * height + 0.35 * fold_y
        out[rows] = _shoulder(palette(place) * light[..., None])
    return out


def clouds(size: Size, seed: int) -> Frame:
    """Draw billowing clouds, lit from one side, before a sky that turns from one colour to another."""
    keys = _keys(seed, "clouds")
    high, low, lit, shaded = np.array(SKIES[keys[0] % len(SKIES)], np.float32) / 255
    sun = 2 * np.pi * float(_unit(np.array(keys[1], np.uint32)))
    toward_x, toward_y = np.float32(0.07 * np.cos(sun)), np.float32(-0.07 * abs(np.sin(sun)) - 0.02)
    out = np.empty((size.height, size.width, 3), np.float32)
    for rows, x, y in _strips(size):
        cells = size.height
        drift = _fractal(x, y, base=1.1, cells=cells, key=keys[2], octaves=3)
        swell = _fractal(x, y, base=1.5, cells=cells, key=keys[3], octaves=3)
        x_blown, y_blown = x + 0.16 * drift, y + 0.16 * swell
        body = _fractal(x_blown, y_blown, base=1.9, cells=cells, key=keys[4], gain=0.54)
        # What stands between a place and the sun, in coarse forms only: fine ones would shade it like sand.
        thick = _fractal(x_blown, y_blown, base=1.9, cells=cells, key=keys[4], gain=0.54, octaves=5)
        ahead = _fractal(
            x_blown + toward_x, y_blown + toward_y, base=1.9, cells=cells, key=keys[4], gain=0.54, octaves=5
        )
        cover = _smooth((body + 0.42) / 0.75)[..., None]
        light = _smooth(0.5 + 0.62 * (thick - ahead) + 0.22 * (body - thick))[..., None]
        slope = _smooth(y + 0.16 * drift)[..., None]
        sky = high * (1 - slope) + low * slope
        glow = np.float32(0.10) * (swell + drift)[..., None] * (low - high)
        cloud = shaded * (1 - light) + lit * light
        out[rows] = np.clip(sky * (1 - cover) + cloud * cover + glow, 0, 1)
    return out


def _keys(seed: int, kind: str) -> list[int]:
    """Draw 32-bit keys from a seed, other ones for every kind."""
    return [int(k) for k in np.random.SeedSequence([seed, *kind.encode()]).generate_state(8)]


def _strips(size: Size) -> Iterator[tuple[slice, Floats, Floats]]:
    """Go down the picture in strips: rows, and x and y of their pixel centres, in picture heights from its centre."""
    rows = max(1, STRIP_PIXELS // size.width)
    across = ((np.arange(size.width, dtype=np.float32) + 0.5) - size.width / 2) / np.float32(size.height)
    for top in range(0, size.height, rows):
        strip = slice(top, min(top + rows, size.height))
        down = (np.arange(strip.start, strip.stop, dtype=np.float32) + 0.5) / np.float32(size.height)
        x, y = np.meshgrid(across.astype(np.float32), down)
        yield strip, x, y


def _fractal(
    x: Floats, y: Floats, *, base: float, cells: int, key: int, gain: float = 0.5, octaves: int = 16
) -> Floats:
    """Add gradient noise over octaves, each twice as fine and `gain` as strong; about [-1, 1], mean 0.

    Args:
        x: places across `(H, W)`, picture heights.
        y: places down `(H, W)`, picture heights.
        base: cells of the coarsest octave in a picture height.
        cells: pixels in a picture height; octaves too fine for them are left out, the next finest fades.
        key: 32 bits.
        gain: strength of each octave against the last.
        octaves: how many at most.
    """
    total = np.zeros_like(x)
    strength, frequency, power = 1.0, base, 0.0
    for octave in range(octaves):
        pixels_a_cell = cells / frequency
        if pixels_a_cell < 1.5 and octave:
            break
        fade = min(1.0, pixels_a_cell - 1.5) if octave else 1.0
        octave_key = (key + octave * 0x9E3779B9) & 0xFFFFFFFF
        total += np.float32(strength * fade) * _gradient_noise(x, y, frequency, octave_key)
        power += strength**2
        strength, frequency = strength * gain, frequency * 2.03  # a little off 2: the lattices never line up
    return total * np.float32(1.6 / np.sqrt(power))


def _gradient_noise(x: Floats, y: Floats, frequency: float, key: int) -> Floats:
    """Interpolate between random slopes on a lattice; source: Perlin, "Improving Noise", SIGGRAPH 2002.

    The slopes come from a hash of the lattice point instead of a table, so the noise never repeats.
    """
    x, y = x * np.float32(frequency), y * np.float32(frequency)
    left, top = np.floor(x), np.floor(y)
    right_of, below = x - left, y - top
    column, row = left.astype(np.int32), top.astype(np.int32)
    first_column, first_row = int(column.min()), int(row.min())
    columns = np.arange(first_column, int(column.max()) + 2)
    rows = np.arange(first_row, int(row.max()) + 2)
    angle = _unit(_hash(rows[:, None], columns[None, :], key)) * np.float32(2 * np.pi)
    slope_x, slope_y = np.cos(angle).ravel(), np.sin(angle).ravel()
    corner = (row - first_row) * len(columns) + (column - first_column)

    def at(across: int, down: int) -> Floats:
        index = corner + (down * len(columns) + across)
        return slope_x[index] * (right_of - across) + slope_y[index] * (below - down)

    ease_x, ease_y = _quintic(right_of), _quintic(below)
    upper = at(0, 0) * (1 - ease_x) + at(1, 0) * ease_x
    lower = at(0, 1) * (1 - ease_x) + at(1, 1) * ease_x
    return (upper * (1 - ease_y) + lower * ease_y).astype(np.float32, copy=False)


def _hash(row: NDArray[np.integer], column: NDArray[np.integer], key: int) -> Integers:
    """Mix two integers and a key into 32 random bits, elementwise, with broadcasting."""
    bits = row.astype(np.int64).astype(np.uint32) * np.uint32(0x85EBCA6B)
    bits = bits ^ np.uint32(key)
    bits = (bits ^ (bits >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    bits = bits + column.astype(np.int64).astype(np.uint32) * np.uint32(0x297A2D39)
    bits = (bits ^ (bits >> np.uint32(12))) * np.uint32(0x2C1B3C6D)
    bits = (bits ^ (bits >> np.uint32(15))) * np.uint32(0x297A2D39)
    mixed: Integers = bits ^ (bits >> np.uint32(16))
    return mixed


def _unit(bits: Integers) -> Floats:
    """Turn 32 bits into [0, 1)."""
    return (bits >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def _palette(key: int) -> Callable[[Floats], Floats]:
    """Choose a run of colours round a hue: `(H, W)` -> `(H, W, 3)`, about [0, 1]. Each channel is a cosine."""
    start, spread, turn = _unit(_hash(np.arange(3), np.array([7]), key))
    offset = np.float32(start) + np.array([0.0, 0.24, 0.48], np.float32) * np.float32(0.75 + 0.5 * spread)
    speed = np.array([1.0, 1.12, 0.88], np.float32) * np.float32(0.95 + 0.35 * turn)

    def colour(place: Floats) -> Floats:
        return 0.48 + 0.32 * np.cos(np.float32(2 * np.pi) * (place[..., None] * speed + offset))

    return colour


def _quintic(t: Floats) -> Floats:
    return t * t * t * (t * (t * 6 - 15) + 10)


def _smooth(t: Floats) -> Floats:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _shoulder(frame: Floats) -> Floats:
    """Bend values into [0, 1] softly, so that no form is cut off flat: the dreamer needs slopes everywhere."""
    bent: Floats = (0.5 + 0.5 * np.tanh((frame - 0.5) * np.float32(1.9))).astype(np.float32)
    return bent


NOISES: dict[str, Callable[[Size, int], Frame]] = {
    "white": white,
    "pink": pink,
    "perlin": perlin,
    "clouds": clouds,
    "grey": grey,
}
