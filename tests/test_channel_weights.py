from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from dreamers import dreamer_of, square

from renderer.dreaming.ascent.ascent import Ascent
from renderer.dreaming.objectives.channel_weights import ChannelWaves


def test_without_variety_all_channels_weigh_alike():
    np.testing.assert_array_equal(ChannelWaves(amount=0.0).weights("a", 5, 3.0), np.ones(5))


def test_weights_have_mean_one_and_drift_slowly():
    drift = ChannelWaves(amount=1.0, period=8.0, seed=3)
    weights = [drift.weights("a", 500, t) for t in (0.0, 1 / 24, 4.0, 40.0)]
    for each in weights:
        assert each.mean() == pytest.approx(1, rel=1e-5)
        assert each.min() > 0
    logs = [np.log(each) for each in weights]
    assert np.corrcoef(logs[0], logs[1])[0, 1] > 0.99
    assert np.corrcoef(logs[0], logs[2])[0, 1] < 0.5
    assert abs(np.corrcoef(logs[0], logs[3])[0, 1]) < 0.2


def test_weights_are_keyed_by_seed_and_layer():
    one = ChannelWaves(amount=1.0, seed=1)
    np.testing.assert_array_equal(one.weights("a", 9, 2.0), ChannelWaves(amount=1.0, seed=1).weights("a", 9, 2.0))
    assert np.abs(one.weights("a", 9, 2.0) - one.weights("b", 9, 2.0)).max() > 0.1
    assert np.abs(one.weights("a", 9, 2.0) - ChannelWaves(amount=1.0, seed=2).weights("a", 9, 2.0)).max() > 0.1


def test_emphasis_on_one_channel_is_the_objective_of_that_channel(tiny_network, picture):
    whole, single = Ascent(tiny_network, square("deep")), Ascent(tiny_network, square("deep", 5))
    weights = np.zeros(16, np.float32)
    weights[5] = 16
    value, gradient = whole.gradient(tf.constant(picture), whole.inputs(channel_weights={"deep": weights}))
    wanted_value, wanted = single.gradient(tf.constant(picture))
    assert float(value) == pytest.approx(float(wanted_value), rel=1e-4)
    np.testing.assert_allclose(gradient, wanted, atol=1e-6)


def test_with_variety_the_dream_depends_on_the_time(tiny_network, picture):
    dreamer = dreamer_of(tiny_network, octaves=1, variety=1.0, variety_period=4.0)
    early, late = (dreamer(picture, frame=3, seconds=seconds)[0] for seconds in (0.0, 5.0))
    assert np.abs(early - late).max() > 1e-3
