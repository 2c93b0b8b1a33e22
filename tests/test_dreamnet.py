from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from dreamers import untraced

from renderer.dreaming.networks.dreamnet import HEADS, TAPS, StandardisedConvolution, build_dreamnet
from renderer.dreaming.networks.network import BUNDLED_WEIGHTS, Network
from renderer.dreaming.networks.registry import network_spec
from renderer.dreaming.training.distill import Distillation, DistillSettings
from renderer.dreaming.training.pictures import coloured_noise, training_picture

SETTINGS = DistillSettings(minutes=0.0, size=75, fresh=2, chained=1, chains=4, visits=2)


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (90 + 10 * i, 120, 3), dtype=np.uint8) for i in range(3)]


@pytest.fixture(scope="module")
def trained(tiny_network, photos, tmp_path_factory):
    checkpoint = tmp_path_factory.mktemp("distill") / "state.npz"
    distillation = Distillation(tiny_network, ("shallow", "middle", "deep"), photos, SETTINGS, checkpoint=checkpoint)
    with untraced():
        losses = [distillation._one_step(0.2 + 0.05 * i, i >= 1)[0] for i in range(2)]
    losses.append(distillation._one_step(0.3, True)[0])
    distillation.step = 3
    distillation.save()
    return distillation, losses


def test_taps_have_plain_names_shallow_to_deep():
    model = build_dreamnet()
    assert tuple(model.output) == TAPS
    assert {name: model.output[name].shape[-1] for name in HEADS} == HEADS


def test_the_bundled_weights_fit_in_eight_megabytes():
    assert BUNDLED_WEIGHTS.stat().st_size <= 8_000_000


@pytest.mark.parametrize("residual", [False, True])
def test_a_standardised_convolution_equals_its_plain_one(residual):
    layer = StandardisedConvolution(4, 3, name="conv", padding="same", residual=residual)
    data = np.random.default_rng(0).random((1, 9, 9, 4), np.float32)
    layer(data)
    layer.gain.assign([0.5, 1, 2, 3])
    layer.bias.assign([0.1, 0.2, 0.3, 0.4])
    plain = keras.layers.Conv2D(4, 3, padding="same")
    plain.build(data.shape)
    plain.set_weights([layer.plain_kernel(layer.raw, layer.gain), layer.bias])
    np.testing.assert_allclose(layer(data), plain(data), atol=1e-5)


@pytest.mark.parametrize("residual", [False, True])
def test_a_standardised_convolution_can_begin_from_a_plain_one(residual):
    layers = [StandardisedConvolution(4, 3, name="conv", padding="same", residual=residual) for _ in range(2)]
    data = np.random.default_rng(0).random((1, 9, 9, 4), np.float32)
    for layer in layers:
        layer(data)
    first, second = layers
    first.gain.assign([0.5, 1, 2, 3])
    second.begin_from(np.asarray(first.plain_kernel(first.raw, first.gain)), np.float32([0.1, 0.2, 0.3, 0.4]))
    first.bias.assign([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(second(data), first(data), atol=1e-4)


def test_a_training_can_begin_from_an_earlier_student(trained, tiny_network, photos, tmp_path):
    earlier = trained[0].plain
    start = Network("dreamnet", earlier, spec=network_spec("dreamnet"), weights_sha256="earlier")
    layers, other = ("shallow", "middle", "deep"), replace(SETTINGS, seed=1)
    begun = Distillation(tiny_network, layers, photos, other, checkpoint=tmp_path / "state.npz", start=start)
    picture = np.random.default_rng(3).random((1, 75, 75, 3), np.float32)
    for tap, activations in begun.plain(picture).items():
        np.testing.assert_allclose(activations, earlier(picture)[tap], atol=2e-3)
    fresh = Distillation(tiny_network, layers, photos, other, checkpoint=tmp_path / "other.npz")
    assert np.abs(fresh.plain(picture)["objects"] - earlier(picture)["objects"]).max() > 0.01


def test_training_pictures_are_pictures(photos):
    rng = np.random.default_rng(1)
    for _ in range(60):
        picture = training_picture(photos, 40, rng)
        assert picture.shape == (40, 40, 3)
        assert picture.dtype == np.float32
        assert 0 <= picture.min() <= picture.max() <= 1
    assert coloured_noise(40, rng).std() > 0.005


def test_training_steps_change_the_student_and_stay_finite(trained):
    distillation, losses = trained
    assert np.isfinite(losses).all()
    assert all(np.isfinite(weight.numpy()).all() for weight in distillation.weights)
    moved = [
        np.abs(w.numpy() - a.numpy()).max() for w, a in zip(distillation.weights, distillation.averages, strict=True)
    ]
    assert max(moved) > 0


def test_the_network_in_use_is_the_folded_average(trained, photos):
    distillation, _ = trained
    data = np.stack([training_picture(photos, 75, np.random.default_rng(2))])
    kept = [weight.numpy() for weight in distillation.weights]
    for weight, average in zip(distillation.weights, distillation.averages, strict=True):
        weight.assign(average)
    expected = distillation.student(data)
    for weight, value in zip(distillation.weights, kept, strict=True):
        weight.assign(value)
    distillation.publish()
    for tap, found in distillation.plain(data).items():
        np.testing.assert_allclose(found, expected[tap], atol=1e-3)


def test_a_training_goes_on_from_its_checkpoint(trained, tiny_network, photos):
    distillation, _ = trained
    again = Distillation(
        tiny_network, ("shallow", "middle", "deep"), photos, SETTINGS, checkpoint=distillation.checkpoint
    )
    assert again.step == 3
    for mine, theirs in zip(again.averages, distillation.averages, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_the_written_network_answers_as_the_one_in_use(trained, tmp_path, photos):
    distillation, _ = trained
    distillation.write(tmp_path / "own.keras")
    loaded = keras.saving.load_model(tmp_path / "own.keras")
    data = np.stack([training_picture(photos, 75, np.random.default_rng(2))])
    expected = distillation.plain(data)
    for tap, found in loaded(data).items():
        scale = np.abs(np.asarray(expected[tap])).max() + 1e-3
        np.testing.assert_allclose(np.asarray(found, np.float32), expected[tap], atol=0.02 * scale)
    assert [path.name for path in tmp_path.iterdir()] == ["own.keras"]
