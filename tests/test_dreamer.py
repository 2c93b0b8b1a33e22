from __future__ import annotations

import numpy as np
import pytest
from dreamers import dreamer_of

from renderer.dreaming.ascent.octaves import octave_sizes, resize
from renderer.errors import EnvironmentProblem
from renderer.frame import Size


def test_octaves_go_from_coarse_to_the_frame_itself():
    sizes = octave_sizes(Size(640, 360), octaves=4, ratio=1.4)
    assert sizes == [Size(233, 131), Size(327, 184), Size(457, 257), Size(640, 360)]
    assert octave_sizes(Size(640, 360), octaves=4, ratio=1.4, smallest=150) == sizes[1:]
    assert octave_sizes(Size(1, 1), octaves=4, ratio=1.4, smallest=16) == [Size(1, 1)]


def test_resizing_to_the_same_size_is_the_frame_itself(picture):
    assert resize(picture, Size.of(picture)) is picture


def test_a_dream_is_the_same_each_time_and_differs_by_frame_and_seed(tiny_network, picture):
    def dream(seed, frame):
        return dreamer_of(tiny_network, octaves=2, seed=seed)(picture, frame=frame, seconds=0.0)[0]

    np.testing.assert_array_equal(dream(1, 4), dream(1, 4))
    assert np.abs(dream(1, 4) - dream(1, 5)).max() > 1e-4
    assert np.abs(dream(1, 4) - dream(2, 4)).max() > 1e-4


def test_no_steps_give_the_canvas_back(tiny_network, picture):
    dream, _ = dreamer_of(tiny_network, octaves=3, steps=0, first_steps=0)(picture, frame=3, seconds=0.0)
    np.testing.assert_allclose(dream, picture, atol=1e-6)


def test_the_first_frame_takes_its_own_number_of_steps(tiny_network, picture):
    dreamer = dreamer_of(tiny_network, octaves=2, steps=1, first_steps=5)
    assert [len(report.values) for report in dreamer.evolve(picture, frame=0, seconds=0.0)] == [5, 5]
    assert [len(report.values) for report in dreamer.evolve(picture, frame=1, seconds=0.0)] == [1, 1]


def test_half_the_rate_takes_steps_of_twice_the_length(tiny_network, picture):
    def change(rate):
        dream, _ = dreamer_of(tiny_network, octaves=1, steps=1, rate=rate, step_size=1e-3)(
            picture, frame=1, seconds=0.0
        )
        return dream - picture

    np.testing.assert_allclose(change(12.0), 2 * change(24.0), atol=1e-6)


def test_strength_is_read_at_the_time_of_the_frame(tiny_network, picture):
    dreamer = dreamer_of(tiny_network, octaves=1, strength=lambda seconds: 0.0 if seconds < 1 else 1.0)
    still, _ = dreamer(picture, frame=5, seconds=0.5)
    moved, _ = dreamer(picture, frame=5, seconds=1.5)
    np.testing.assert_array_equal(still, picture)
    assert np.abs(moved - picture).max() > 1e-3


def test_pictures_smaller_than_the_network_sees_are_dreamed_all_the_same(tiny_network):
    for size in [(1, 1), (7, 130), (16, 16)]:
        canvas = np.random.default_rng(0).uniform(0.3, 0.7, (*size, 3)).astype(np.float32)
        dream, strength = dreamer_of(tiny_network)(canvas, frame=0, seconds=0.0)
        assert dream.shape == canvas.shape
        assert np.isfinite(dream).all()
        assert np.isfinite(strength)


def test_values_that_are_not_finite_are_an_error_not_a_black_film(tiny_network, picture):
    with pytest.raises(EnvironmentProblem, match="not finite"):
        dreamer_of(tiny_network)(np.full_like(picture, np.nan), frame=0, seconds=0.0)
