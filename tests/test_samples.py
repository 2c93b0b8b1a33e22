"""The samples: what they begin with is what the script draws, and the jobs file asks for films that can be made."""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from renderer.batch.jobfile import read_jobs
from renderer.frame import Size
from renderer.media.ffmpeg.clips import open_clip
from renderer.media.ffmpeg.cuts import find_cuts
from renderer.media.images import read_image

SAMPLES = Path(__file__).resolve().parent.parent / "samples"


@pytest.fixture(scope="module")
def draw():
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("draw", SAMPLES / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["clouds", "flower"])
def test_the_pictures_are_those_that_the_script_draws(draw, name):
    drawn = getattr(draw, name)(Size(160, 90))
    kept = cv2.resize(read_image(SAMPLES / f"{name}.jpg"), (160, 90), interpolation=cv2.INTER_AREA)
    assert np.abs(drawn - kept).mean() < 0.03
    np.testing.assert_array_equal(drawn, getattr(draw, name)(Size(160, 90)))


def test_the_flower_is_the_same_from_nearer(draw):
    far = draw.flower(Size(240, 240))

    def alike(turn):
        near = cv2.warpAffine(far, cv2.getRotationMatrix2D((119.5, 119.5), turn, draw.SMALLER**-7), (240, 240))
        middles = [picture[60:180, 60:180].mean(2).ravel() for picture in (far, near)]
        return np.corrcoef(*middles)[0, 1]

    # Seven petals on, they are that much smaller and turned by seven golden angles; light and colours are not turned.
    turned = np.degrees(7 * draw.GOLDEN)
    assert alike(-turned) > 0.5
    assert alike(-turned + 12) < 0.2


def test_the_clip_has_two_shots_and_a_tone():
    clip = open_clip(SAMPLES / "clip.mp4")
    assert (clip.size, clip.rate, clip.count) == (Size(320, 180), Fraction(24), 72)
    assert clip.sound is not None
    assert find_cuts(clip) == [36]


def test_the_clip_is_the_one_that_the_script_draws(draw):
    kept = open_clip(SAMPLES / "clip.mp4").pixels()
    for drawn, frame in zip(draw.shots(), kept, strict=False):
        assert np.abs(drawn.astype(int) - frame).mean() < 6
        break


def test_the_notes_are_two(draw, tmp_path):
    import wave

    with wave.open(str(draw.notes(tmp_path / "notes.wav", per_second=8000))) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert len(sound) == 3 * 8000
    loudest = [np.abs(np.fft.rfft(half)).argmax() / 1.5 for half in np.split(sound, 2)]
    assert loudest == pytest.approx([220, 330], abs=2)


def test_what_is_kept_of_the_drawings_is_small():
    assert sum(path.stat().st_size for path in SAMPLES.iterdir() if path.suffix in (".jpg", ".mp4")) < 600_000


def test_the_jobs_are_a_zoom_from_noise_one_from_a_picture_a_video_and_a_loop():
    specs = read_jobs(SAMPLES / "jobs.toml").specs
    assert [spec.error for spec in specs] == [None] * 4
    told = [(spec.kind, spec.input and spec.input.name, spec.resolved.settings.film.loop) for spec in specs]
    assert told == [
        ("zoom", None, False),
        ("zoom", "clouds.jpg", False),
        ("video", "clip.mp4", False),
        ("zoom", "flower.jpg", True),
    ]
    assert all(spec.input is None or spec.input.is_file() for spec in specs)
    assert all(spec.output.parent == SAMPLES / "films" for spec in specs)
    frames = sum(spec.resolved.settings.frame_count for spec in specs)
    assert frames < 500  # a few minutes
