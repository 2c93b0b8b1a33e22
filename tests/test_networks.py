from __future__ import annotations

import keras
import numpy as np
import pytest

from renderer.dreaming import networks
from renderer.dreaming.folding import rebuild
from renderer.dreaming.networks import PREPROCESSING, load_network
from renderer.dreaming.registry import NETWORKS
from renderer.errors import EnvironmentProblem, UsageError


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_entry_names_an_application_and_a_preprocessing_that_exist(name):
    spec = NETWORKS[name]
    assert spec.application is None or hasattr(keras.applications, spec.application)
    assert spec.preprocessing in PREPROCESSING
    assert spec.summary
    assert {layer.partition(":")[0] for layer in spec.mix} <= set(spec.layers)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, spec in NETWORKS.items() if spec.application])
def test_the_curated_layers_of_every_application_exist_and_see_the_smallest_picture(name):
    spec = NETWORKS[name]
    model = getattr(keras.applications, spec.application)(include_top=False, weights=None)
    cut = networks.Network(name, model, spec=spec).activations(spec.layers)
    shapes = cut.compute_output_shape((1, spec.smallest, spec.smallest, 3))
    assert all(min(shape[1:3]) >= 1 for shape in shapes.values())


def test_the_bundled_network_loads_and_answers_on_all_its_taps():
    network = load_network("dreamnet")
    assert len(network.weights_sha256) == 64
    answers = network.activations(network.spec.layers)(np.full((1, 96, 96, 3), 0.5, np.float32))
    for layer, answer in answers.items():
        values = np.asarray(keras.ops.cast(answer, "float32"))
        assert np.isfinite(values).all(), layer
        assert values.min() >= 0, layer


def test_folding_batch_norms_keeps_the_activations(tiny_network, picture):
    folded = rebuild(tiny_network.model, dtype="float32")
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)
    np.testing.assert_allclose(folded(picture[None]), tiny_network.model(picture[None]), atol=1e-5)


def test_folding_leaves_a_norm_whose_convolution_is_read_elsewhere():
    x = keras.Input((8, 8, 3))
    conv = keras.layers.Conv2D(4, 1, name="conv")(x)
    norm = keras.layers.BatchNormalization(name="norm")(conv)
    model = keras.Model(x, keras.layers.Add()([conv, norm]))
    model.get_layer("norm").set_weights([np.full(4, v, np.float32) for v in (2, 1, 0.5, 4)])
    data = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
    np.testing.assert_allclose(rebuild(model, dtype="float32")(data), model(data), atol=1e-5)


def test_depthwise_convolutions_fold_too():
    x = keras.Input((8, 8, 3))
    y = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="conv")(x)
    model = keras.Model(x, keras.layers.BatchNormalization(name="norm")(y))
    rng = np.random.default_rng(1)
    model.get_layer("norm").set_weights([rng.uniform(0.5, 2, 6) for _ in range(4)])
    data = rng.random((1, 8, 8, 3), np.float32)
    np.testing.assert_allclose(rebuild(model, dtype="float32")(data), model(data), atol=1e-5)


def test_layers_are_listed_with_channels_and_stride(tiny_network):
    listed = {info.name: info for info in tiny_network.layers()}
    assert (listed["shallow"].channels, listed["shallow"].stride) == (8, 2)
    assert (listed["deep"].channels, listed["deep"].stride) == (16, 4)


def test_an_unknown_network_names_the_nearest():
    with pytest.raises(UsageError, match="inception_v3"):
        load_network("inceptionv3")


def test_an_unknown_layer_names_the_nearest(tiny_network):
    with pytest.raises(UsageError, match="'middle'"):
        tiny_network.activations(["midle"])


def test_weights_that_are_missing_or_do_not_fit_say_which_file(tmp_path):
    with pytest.raises(EnvironmentProblem, match=r"gone\.h5"):
        load_network("vgg16", weights=tmp_path / "gone.h5")
    wrong = tmp_path / "wrong.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(wrong)
    with pytest.raises(EnvironmentProblem, match=r"wrong\.weights\.h5"):
        load_network("vgg16", weights=wrong)
    text = tmp_path / "text.keras"
    text.write_text("no model")
    with pytest.raises(EnvironmentProblem, match=r"text\.keras"):
        load_network("dreamnet", weights=text)


def test_without_a_connection_the_message_says_what_to_do(monkeypatch, tmp_path):
    def refuse(*args, **options):
        raise OSError("URL fetch failure: no connection")

    monkeypatch.setattr(keras.utils, "get_file", refuse)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match=r"--weights FILE.*vgg16.*dreamnet"):
        load_network("vgg16")


@pytest.mark.shared
def test_real_inception_weights_fit_and_fold_to_the_same_activations(shared):
    weights = shared / "weights" / "inception_v3_imagenet_notop_to_mixed8.weights.h5"
    network = load_network("inception_v3", weights=weights, precision="float32")
    data = np.random.default_rng(0).random((1, 96, 96, 3), np.float32)
    plain = keras.Model(network.model.input, network.model.get_layer("mixed4").output)
    expected = np.asarray(plain(data * 2 - 1))
    found = np.asarray(network.activations(["mixed4"])(data)["mixed4"])
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.max())
