from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from dreamers import square

from renderer.dreaming.ascent.ascent import Ascent
from renderer.dreaming.ascent.gradients import NORMALISERS, smooth
from renderer.errors import UsageError

NOISE = np.random.default_rng(0).normal(0, 1e-4, (40, 56, 3)).astype(np.float32)


def test_every_normaliser_forgets_the_scale_of_the_gradient_and_keeps_zero_zero():
    for name, normalise in NORMALISERS.items():
        assert not normalise(tf.zeros((24, 24, 3)), 4).numpy().any(), name
        if name != "none":
            small, large = normalise(tf.constant(NOISE), 4).numpy(), normalise(tf.constant(1e4 * NOISE), 4).numpy()
            np.testing.assert_allclose(small, large, rtol=1e-3, atol=1e-4, err_msg=name)
            assert 0.5 < np.abs(large).mean() < 1.1, name


def test_the_laplacian_normaliser_takes_any_size():
    for size in [(1, 1), (1, 37), (5, 3), (33, 65)]:
        found = NORMALISERS["laplacian"](tf.random.stateless_normal((*size, 3), (0, 1)), 4).numpy()
        assert found.shape == (*size, 3)
        assert np.isfinite(found).all()


def test_the_laplacian_normaliser_lifts_broad_strokes():
    broad = 1e-5 * np.sin(np.linspace(0, 2 * np.pi, 56))[None, :, None].repeat(40, 0).repeat(3, 2).astype(np.float32)

    def share(gradient):  # of the sine in the gradient
        return abs(np.vdot(gradient, broad)) / np.linalg.norm(gradient) / np.linalg.norm(broad)

    plain, lifted = (NORMALISERS[name](tf.constant(NOISE + broad), 5).numpy() for name in ("std", "laplacian"))
    assert share(lifted) > 3 * share(plain)


def test_smoothing_keeps_the_middle_mean_and_takes_the_noise():
    flat = smooth(tf.ones((30, 30, 3)), 2.0).numpy()
    np.testing.assert_allclose(flat[8:-8, 8:-8], 1, atol=1e-5)
    assert smooth(NOISE, 2.0).numpy().std() < 0.3 * NOISE.std()
    assert smooth(NOISE, 0.0) is NOISE


def test_jitter_comes_back_to_its_place(tiny_network, picture):
    ascent = Ascent(tiny_network, square("deep"))
    shifts = np.array([[3, -5], [16, 16], [-7, 2]], np.int32)
    still = ascent.ascend(picture, shifts=shifts, sizes=np.zeros(3, np.float32))[0]
    np.testing.assert_array_equal(still, picture)


def test_one_trace_serves_all_sizes(tiny_network):
    ascent = Ascent(tiny_network, square("deep"))
    for height, width, steps in [(32, 48, 2), (45, 31, 3), (64, 64, 1)]:
        canvas = np.full((height, width, 3), 0.5, np.float32)
        ascent.ascend(canvas, shifts=np.zeros((steps, 2), np.int32), sizes=np.zeros(steps, np.float32))
    assert ascent._step.experimental_get_tracing_count() == 1


def test_no_steps_leave_the_picture_alone(tiny_network, picture):
    climbed, values = Ascent(tiny_network, square("deep")).ascend(
        picture, shifts=np.zeros((0, 2), np.int32), sizes=np.zeros(0, np.float32)
    )
    np.testing.assert_array_equal(climbed, picture)
    assert values.size == 0


def test_a_channel_that_the_layer_lacks_is_refused(tiny_network):
    with pytest.raises(UsageError, match="0 to 15"):
        Ascent(tiny_network, square("deep", 16))
