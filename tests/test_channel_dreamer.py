from __future__ import annotations

import keras
import numpy as np
import pytest

from renderer.dreaming.ascent.ascent import Ascent
from renderer.dreaming.ascent.channel_dreamer import ChannelDreamer, single, whole
from renderer.dreaming.networks.network import Network
from renderer.dreaming.networks.registry import NetworkSpec
from renderer.dreaming.objectives.objective_spec import parse_mix
from renderer.dreaming.settings import AscentSettings
from renderer.errors import UsageError


def pictures(count: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(1).uniform(0.3, 0.7, (count, size, size + 8, 3)).astype(np.float32)


def test_one_trace_serves_every_channel_and_size(two_layers):
    dreamer = ChannelDreamer(two_layers, ["high"], steps=2)
    for channel, size in ((0, 32), (3, 40), (9, 24)):
        assert dreamer(pictures(2, size), {"high": single(channel, 10)}).shape == (2, size, size + 8, 3)
    assert dreamer._step.experimental_get_tracing_count() == 1


def test_a_picture_dreams_the_same_alone_and_in_company(two_layers):
    dreamer = ChannelDreamer(two_layers, ["high"], steps=3, seed=4)
    start = pictures(3)
    weights = np.stack([single(c, 10) for c in (1, 4, 7)])
    together = dreamer(start, {"high": weights})
    for i in range(3):
        alone = dreamer(start[i : i + 1], {"high": weights[i]})
        np.testing.assert_allclose(together[i], alone[0], atol=1e-4)


def test_a_channel_is_raised_above_what_the_whole_layer_gives_it(two_layers):
    dreamer = ChannelDreamer(two_layers, ["high"], steps=8, scales=(1.0,))
    start = np.repeat(pictures(1), 10, 0)
    own = dreamer.squares(dreamer(start, {"high": np.stack([single(c, 10) for c in range(10)])}))["high"]
    layer = dreamer.squares(dreamer(start[:1], {"high": whole(10)}))["high"][0]
    before = dreamer.squares(start[:1])["high"][0]
    gain = np.diag(own) - before
    assert (gain >= 0).all()
    assert gain.sum() > 1.2 * (layer - before).sum()


def test_a_whole_layer_climbs_as_the_film_does(two_layers):
    dreamer = ChannelDreamer(two_layers, ["low", "high"], steps=4, scales=(1.0,), seed=2)
    start = pictures(1)
    dream = dreamer(start, {"low": whole(6), "high": np.float32(0.5) * whole(10)})
    ascent = Ascent(two_layers, parse_mix({"low": 1.0, "high": 0.5}, kind="square"))
    climbed, _ = ascent.ascend(start[0], shifts=dreamer._shifts(0), sizes=np.full(4, 0.012, np.float32))
    np.testing.assert_allclose(dream[0], climbed, atol=1e-4)


def test_a_channel_that_sees_nothing_yet_is_woken(two_layers):
    bias = two_layers.model.get_layer("high").bias
    before = bias.numpy()
    bias.assign(before - 5 * np.eye(10, dtype=np.float32)[2])
    try:
        dreamer = ChannelDreamer(two_layers, ["high"], steps=20, step_size=0.03, scales=(1.0,))
    finally:
        bias.assign(before)
    start = pictures(1)
    assert dreamer.means(start)["high"][0, 2] == 0
    asleep = dreamer(start, {"high": single(2, 10, wake=0)})
    np.testing.assert_allclose(asleep, start, atol=1e-5)
    assert not np.allclose(dreamer(start, {"high": single(2, 10)}), start, atol=0.05)


def test_pictures_smaller_than_the_network_takes_are_dreamed_all_the_same(two_layers):
    small = pictures(1, 10)[:, :, :10]
    dream = ChannelDreamer(two_layers, ["low"], steps=2)(small, {"low": whole(6)})
    assert dream.shape == small.shape
    assert not np.allclose(dream, small)


def test_unknown_layers_are_refused(two_layers):
    with pytest.raises(UsageError, match="high"):
        ChannelDreamer(two_layers, ["hihg"])


def test_a_class_below_zero_is_raised():
    keras.utils.set_random_seed(2)
    picture = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu", name="low")(picture))
    scores = keras.layers.Dense(3, bias_initializer=keras.initializers.Constant(-2.0), name="scores")(x)
    spec = NetworkSpec(summary="", preprocessing="unit", layers=("low",), mix={"low": 1.0}, smallest=8)
    network = Network("tiny", keras.Model(picture, scores), spec=spec, precision="float32", head="scores")
    plain = AscentSettings(normalise="std")
    dreamer = ChannelDreamer(network, ["scores"], steps=4, scales=(1.0,), settings=plain)
    start = np.random.default_rng(0).uniform(0.3, 0.7, (1, 24, 24, 3)).astype(np.float32)
    before, after = (dreamer.means(one)["scores"][0, 1] for one in (start, dreamer(start, {"scores": single(1, 3)})))
    assert before < 0
    assert after > before
