"""Noise to begin a dream from."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from renderer.errors import UsageError
from renderer.frame import Size
from renderer.media import noise as source
from renderer.media.noise import NOISES, grey, noise

SIZE = Size(160, 90)

every_kind_with_forms = pytest.mark.parametrize("kind", [kind for kind in NOISES if NOISES[kind] is not grey])


@every_kind_with_forms
def test_noise_is_a_frame_with_contrast_and_colour_and_little_clipping(kind: str) -> None:
    frame = noise(kind, size=SIZE, seed=3)
    assert frame.shape == (90, 160, 3) and frame.dtype == np.float32
    assert np.isfinite(frame).all() and frame.min() >= 0 and frame.max() <= 1
    assert frame.std() > 0.1
    assert (frame.max(axis=2) - frame.min(axis=2)).mean() > 0.1  # Not grey.
    assert ((frame <= 0) | (frame >= 1)).mean() < 0.03
    assert 0.3 < frame.mean() < 0.75


def test_grey_is_even_whatever_the_seed() -> None:
    assert set(noise("grey", size=SIZE, seed=3).ravel()) == {0.5}


@every_kind_with_forms
def test_a_seed_gives_the_same_noise_again_and_another_seed_another(kind: str) -> None:
    first = noise(kind, size=SIZE, seed=1)
    assert first.tobytes() == noise(kind, size=SIZE, seed=1).tobytes()
    for seed in (2, 2**40):
        assert np.abs(first - noise(kind, size=SIZE, seed=seed)).mean() > 0.03


def test_noise_comes_in_every_size() -> None:
    for kind in NOISES:
        for size in (Size(1, 1), Size(1, 7), Size(9, 1), Size(33, 17)):
            frame = noise(kind, size=size, seed=0)
            assert frame.shape == (size.height, size.width, 3) and np.isfinite(frame).all()


@pytest.mark.parametrize("kind", ["pink", "perlin", "clouds"])
def test_a_small_preview_shows_the_forms_of_the_large_picture(kind: str) -> None:
    small = noise(kind, size=Size(160, 90), seed=5)
    large = noise(kind, size=Size(320, 180), seed=5)
    shrunk = cv2.resize(large, (160, 90), interpolation=cv2.INTER_AREA)
    blurred = [cv2.GaussianBlur(f, (0, 0), 3).ravel() for f in (small, shrunk)]
    assert np.corrcoef(*blurred)[0, 1] > 0.95


@pytest.mark.parametrize("kind", ["perlin", "clouds"])
def test_no_seam_shows_where_a_large_picture_is_made_in_strips(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = noise(kind, size=SIZE, seed=4)
    monkeypatch.setattr(source, "STRIP_PIXELS", 160 * 7)
    np.testing.assert_allclose(noise(kind, size=SIZE, seed=4), whole, atol=1e-6)


def test_pink_noise_is_as_strong_in_every_octave_and_white_noise_is_not() -> None:
    def octaves(kind: str) -> list[float]:
        grey = noise(kind, size=Size(256, 256), seed=0).mean(axis=2)
        power = np.abs(np.fft.fft2(grey - grey.mean())) ** 2
        cycles = np.hypot(*np.meshgrid(np.fft.fftfreq(256, 1 / 256), np.fft.fftfreq(256, 1 / 256)))
        return [float(power[(cycles >= low) & (cycles < 2 * low)].sum()) for low in (4, 8, 16, 32)]

    pink, white = octaves("pink"), octaves("white")
    assert max(pink) / min(pink) < 1.6
    assert white[-1] / white[0] > 20


def test_an_unknown_kind_or_a_negative_seed_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"'perlim'.*'perlin'"):
        noise("perlim", size=SIZE, seed=0)
    with pytest.raises(UsageError, match="-1"):
        noise("pink", size=SIZE, seed=-1)
