from __future__ import annotations

from dataclasses import asdict

import cv2
import numpy as np
import pytest
from dreamers import governor_of

from renderer.dreaming.governor import HEADROOM, Governor, Tone, measure, shoulder

TARGET = Tone(luma=0.45, contrast=0.2, saturation=0.4, sharpness=0.05)


def film(governor: Governor, canvas: np.ndarray, *, seconds: float, push) -> np.ndarray:
    start = measure(canvas)
    for frame in range(round(seconds * governor.rate)):
        canvas = governor(push(canvas), start, frame=frame)
    return canvas


@pytest.fixture
def garish() -> np.ndarray:
    rng = np.random.default_rng(0)
    shapes = cv2.resize(rng.uniform(0, 1, (18, 32, 3)).astype(np.float32), (64, 36), interpolation=cv2.INTER_CUBIC)
    return shapes * np.float32([1.0, 0.4, 0.1])


@pytest.mark.parametrize("name", ["luma", "contrast", "saturation", "sharpness"])
def test_every_part_of_the_tone_comes_near_its_target(garish, name):
    settled = measure(film(governor_of(TARGET, noise=0), garish, seconds=12, push=lambda x: x))
    assert getattr(settled, name) == pytest.approx(getattr(TARGET, name), rel=0.12)


def test_a_dream_that_grows_without_end_is_held(garish):
    def push(canvas):
        return canvas + 0.05 * (canvas - canvas.mean())

    first = measure(film(governor_of(TARGET, memory=0.0), garish, seconds=4, push=push))
    later = measure(film(governor_of(TARGET, memory=0.0), garish, seconds=12, push=push))
    assert later.contrast == pytest.approx(first.contrast, rel=0.05)
    assert later.luma == pytest.approx(first.luma, rel=0.05)


def test_the_pace_depends_on_time_not_on_frames(garish):
    def settled(rate):
        return measure(film(governor_of(TARGET, rate=rate, noise=0), garish, seconds=0.5, push=lambda x: x))

    slow, fast = settled(12.0), settled(48.0)
    assert fast.contrast == pytest.approx(slow.contrast, rel=0.05)
    assert fast.luma == pytest.approx(slow.luma, rel=0.05)


def test_a_seed_picture_keeps_its_own_tone_at_first():
    governor = governor_of(TARGET)
    start = Tone(0.8, 0.05, 0.1, 0.01)
    assert asdict(governor.wanted(start, 0.0)) == pytest.approx(asdict(start))
    assert governor.wanted(start, 60.0).luma == pytest.approx(TARGET.luma, abs=1e-3)
    assert governor_of(TARGET, memory=0.0).wanted(start, 0.0) == TARGET


def test_without_a_target_frames_stay_as_they_are(garish):
    assert governor_of(TARGET, amount=0.0)(garish, measure(garish), frame=3) is garish


def test_the_shoulder_leaves_the_middle_alone_and_never_reaches_the_ends():
    values = np.linspace(-3, 4, 2000, dtype=np.float32)
    bent = shoulder(values.copy(), 0.08)
    middle = (values > HEADROOM + 0.09) & (values < 0.91 - HEADROOM)
    np.testing.assert_array_equal(bent[middle], values[middle])
    assert (np.diff(bent) >= 0).all()
    assert bent.min() == pytest.approx(HEADROOM, abs=1e-3)
    assert bent.max() == pytest.approx(1 - HEADROOM, abs=1e-3)


def test_noise_is_keyed_by_seed_and_frame(garish):
    def governed(seed, frame):
        return governor_of(TARGET, noise=0.05, seed=seed)(garish, measure(garish), frame=frame)

    np.testing.assert_array_equal(governed(1, 2), governed(1, 2))
    assert np.abs(governed(1, 2) - governed(1, 3)).max() > 1e-4
    assert np.abs(governed(1, 2) - governed(2, 2)).max() > 1e-4


def test_a_flat_picture_stays_finite():
    flat = np.zeros((8, 8, 3), np.float32)
    governed = governor_of(TARGET)(flat, measure(flat), frame=0)
    assert np.isfinite(governed).all()
