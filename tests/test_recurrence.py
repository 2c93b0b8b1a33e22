from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from dreamers import dreamer_of, governor_of, moving_camera

from renderer.dreaming.governor import Tone
from renderer.frame import Size
from renderer.media.store.store import Store
from renderer.render.recurrence import render
from renderer.render.scenes import StillScene, ZoomScene

RATE = Fraction(12)
FRAMES = 7


@pytest.fixture
def film(tiny_network, picture):
    """Render the test film into a folder; stop after the given frames."""

    def make(folder, *, stop_after=(), start=picture):
        scene = ZoomScene(start=start, camera=moving_camera(zoom=1.5, rotate=20.0), edges="mirror", rate=float(RATE))
        dreamer = dreamer_of(tiny_network, octaves=2, steps=1, first_steps=2, rate=float(RATE))
        governor = governor_of(Tone(0.45, 0.2, 0.4, 0.05), rate=float(RATE))
        seen = []
        with Store.open(folder, size=Size.of(start), rate=RATE, pixel_key="k", meta={}) as store:
            finished = render(
                scene,
                dreamer,
                store,
                governor=governor,
                frames=FRAMES,
                rate=RATE,
                report=seen.append,
                should_stop=lambda: seen[-1].index in stop_after,
            )
            frames = np.stack([np.array(frame) for frame in store.frames()])
        return finished, frames, seen

    return make


def test_every_frame_is_reported_and_stored(film, tmp_path):
    finished, frames, seen = film(tmp_path / "a")
    assert finished
    assert frames.shape == (FRAMES, 32, 48, 3)
    assert [report.index for report in seen] == list(range(FRAMES))
    assert all(report.total == FRAMES and report.strength > 0 for report in seen)


def test_a_film_stopped_twice_has_the_frames_of_one_that_was_not(film, tmp_path):
    _, whole, _ = film(tmp_path / "whole")
    assert not film(tmp_path / "parts", stop_after=(1,))[0]
    finished, frames, seen = film(tmp_path / "parts", stop_after=(4,))
    assert not finished
    assert seen[0].index == 2
    finished, frames, _ = film(tmp_path / "parts")
    assert finished
    np.testing.assert_array_equal(frames, whole)


def test_a_finished_film_is_not_rendered_again(film, tmp_path):
    film(tmp_path / "a")
    assert film(tmp_path / "a")[2] == []


def test_neighbouring_frames_move_as_the_camera_does(film, tmp_path, picture):
    _, frames, _ = film(tmp_path / "a")
    moved = np.abs(frames[3].astype(int) - frames[4]).mean()
    assert 0 < moved < np.abs(frames[3].astype(int) - frames[3][::-1]).mean()


def test_a_still_is_a_scene_of_one_picture(picture):
    assert StillScene(picture).canvas(0, None).picture is picture
