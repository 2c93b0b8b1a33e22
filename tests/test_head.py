from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from dreamers import untraced

from renderer.dreaming.networks.dreamnet import TAPS, StandardisedConvolution, build_dreamnet
from renderer.dreaming.networks.network import Network, load_network
from renderer.dreaming.networks.registry import network_spec
from renderer.dreaming.networks.squeezenet import build_squeezenet
from renderer.dreaming.training.head import OFFSET, HeadDistillation, HeadSettings, aim, class_map, scores
from renderer.errors import UsageError

SETTINGS = HeadSettings(minutes=0.0, size=75, fresh=2, remembered=1, chained=2, chains=3, ending=1.0, memory=2)


@pytest.fixture(scope="module")
def teacher():
    keras.utils.set_random_seed(3)
    model = build_squeezenet(classes=7)
    return Network("squeezenet", model, spec=network_spec("squeezenet"), weights_sha256="t", head="scores", side=75)


@pytest.fixture(scope="module")
def dreamnet():
    keras.utils.set_random_seed(4)
    heads = {"patterns": 3, "parts": 4, "objects": 5}
    model = build_dreamnet(heads=heads)
    for weight in model.weights:  # numbers that half precision holds
        weight.assign(tf.cast(tf.cast(weight, tf.float16), tf.float32))
    return Network("dreamnet", model, spec=network_spec("dreamnet"), weights_sha256="d")


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (90 + 10 * i, 120, 3), dtype=np.uint8) for i in range(3)]


@pytest.fixture(scope="module")
def trained(teacher, dreamnet, photos, tmp_path_factory):
    checkpoint = tmp_path_factory.mktemp("head") / "state.npz"
    training = HeadDistillation(teacher, photos, SETTINGS, checkpoint=checkpoint, start=dreamnet, fitted=16)
    training.chains.visits[:] = 9  # so that chains end, and are remembered, at once
    with untraced():
        for step in range(2):
            training._one_step(0.2 + 0.1 * step)
    training._one_step(0.4)
    training.step = 3
    training.save()
    return training


def test_the_branch_lies_on_the_teachers_map_and_learns(trained, teacher):
    picture = np.random.default_rng(1).random((1, 75, 75, 3), np.float32)
    assert trained.publish()(picture[:, OFFSET:, OFFSET:]).shape == class_map(teacher)(picture).shape
    assert np.isfinite(trained.means[:5]).all()
    assert all(np.isfinite(weight.numpy()).all() for weight in trained.weights)
    assert len(trained.chains.memory) == SETTINGS.memory
    assert trained.chains.pool.min() >= 0
    assert trained.chains.pool.max() <= 1


def test_the_teachers_map_averages_to_its_scores(teacher):
    picture = np.random.default_rng(2).random((2, 75, 75, 3), np.float32)
    expected = teacher.activations(("scores",))(picture)["scores"]
    np.testing.assert_allclose(scores(class_map(teacher)(picture)), expected, rtol=1e-3, atol=1e-4)


def test_a_dream_climbs_its_class_and_descends_its_rivals():
    found = aim(tf.constant([[1.0, 5.0, 2.0, -9.0]]), tf.constant([0])).numpy()[0]
    assert found[0] == 1
    assert found[1] < found[2] < found[3] <= 0
    assert abs(found.sum()) < 1e-6


def test_the_training_of_a_head_goes_on_from_its_checkpoint(trained, teacher, dreamnet, photos):
    again = HeadDistillation(teacher, photos, SETTINGS, checkpoint=trained.checkpoint, start=dreamnet, fitted=16)
    assert again.step == 3
    for mine, theirs in zip(again.averages, trained.averages, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    with pytest.raises(UsageError, match="other pictures or settings"):
        HeadDistillation(teacher, photos[:2], SETTINGS, checkpoint=trained.checkpoint, start=dreamnet, fitted=16)


def test_a_network_with_a_head_answers_as_before_and_tells_classes_apart(trained, dreamnet, tmp_path):
    trained.write(tmp_path / "own.keras")
    network = load_network("dreamnet", weights=tmp_path / "own.keras", precision="float32")
    assert network.class_count == 7
    picture = np.random.default_rng(5).random((1, 75, 75, 3), np.float32)
    before, after = (each.activations(TAPS)(picture) for each in (dreamnet, network))
    for tap in TAPS:
        np.testing.assert_array_equal(before[tap], after[tap])
    found = network.activations(("classes", "scores"))(picture)
    expected = trained.plain(picture)
    np.testing.assert_allclose(found["classes"], expected, atol=0.02 * float(np.abs(expected).max()))
    np.testing.assert_allclose(found["scores"], scores(found["classes"], against=0.1), rtol=1e-3, atol=1e-4)


def test_a_branch_can_begin_from_an_earlier_one(trained, teacher, photos, tmp_path):
    trained.write(tmp_path / "own.keras")
    start = load_network("dreamnet", weights=tmp_path / "own.keras", precision="float32")
    again = HeadDistillation(teacher, photos, SETTINGS, checkpoint=tmp_path / "state.npz", start=start, fitted=16)
    picture = np.random.default_rng(6).random((1, 75, 75, 3), np.float32)
    expected = trained.publish()(picture)
    np.testing.assert_allclose(again.publish()(picture), expected, atol=0.05 * float(np.abs(expected).max()))


def test_only_a_classifier_of_a_known_kind_teaches_a_head(dreamnet):
    with pytest.raises(UsageError, match="squeezenet"):
        class_map(dreamnet)


def test_every_convolution_of_the_branch_trains(trained):
    standardised = [layer for layer in trained.student.layers if isinstance(layer, StandardisedConvolution)]
    assert len(trained.weights) == 3 * len(standardised)
