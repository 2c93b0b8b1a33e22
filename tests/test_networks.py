from __future__ import annotations

import inspect
import pkgutil
import re

import keras
import numpy as np
import pytest

from renderer.dreaming.networks.download import weights_file
from renderer.dreaming.networks.feature_maps import list_maps, smallest_side
from renderer.dreaming.networks.loaders import build_application
from renderer.dreaming.networks.model_rewrite import open_up, rebuild
from renderer.dreaming.networks.network import Network, load_network
from renderer.dreaming.networks.preprocessing import preprocessing
from renderer.dreaming.networks.registry import NETWORKS
from renderer.dreaming.networks.squeezenet import build_squeezenet
from renderer.errors import BadInput, EnvironmentProblem, UsageError

LARGER = re.compile("vgg19|resnet1|inception_resnet|densenet|mobilenet_v3|efficientnet_(b[1-7]|v2)|convnext|xception")
"""Networks that take long to build, or have a smaller relative of the same make."""

ALL = [pytest.param(name, marks=pytest.mark.minutes if LARGER.match(name) else ()) for name in NETWORKS]


def shaken(model: keras.Model) -> keras.Model:
    """Give a model random weights under which every layer matters: none dies out, none explodes."""
    rng = np.random.default_rng(2)
    for weight in model.weights:
        shape, name = tuple(weight.shape), weight.path.rpartition("/")[2]
        if "variance" in name or "gamma" in name:
            weight.assign(rng.uniform(0.5, 1.5, shape))
        elif len(shape) > 1:
            weight.assign(rng.normal(0, np.prod(shape[:-1]) ** -0.5, shape))
        elif weight.dtype.startswith("float"):
            weight.assign(rng.normal(0, 0.1, shape))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
    return model


def original(name: str) -> keras.Model:
    application = NETWORKS[name].application
    if application is None:
        return {"dreamnet": lambda: load_network("dreamnet").model, "squeezenet": build_squeezenet}[name]()
    return shaken(build_application(application, head=False))


@pytest.mark.parametrize("name", ALL)
def test_every_network_sees_what_the_model_behind_it_sees_in_layers_from_shallow_to_deep(name):
    spec, model = NETWORKS[name], original(name)
    assert spec.summary
    assert set(spec.mix) <= set(spec.layers)
    opened, _ = open_up(model, None)
    strides = {info.name: info.stride for info in list_maps(opened)}
    found = [strides[layer] for layer in spec.layers]
    assert found == sorted(found)
    assert smallest_side(opened, spec.layers) <= spec.smallest

    network = Network(name, opened, spec=spec, precision="float32")
    pictures = np.random.default_rng(1).random((1, spec.smallest + 16, spec.smallest + 24, 3), np.float32)
    activations = network.activations(spec.layers)(pictures)
    outputs = {operation.name: operation.output for operation in model.operations}
    whole = keras.Model(model.input, [outputs[layer] for layer in spec.layers])
    for layer, expected in zip(spec.layers, whole(preprocessing(spec.preprocessing)(pictures)), strict=True):
        values = np.asarray(expected)
        assert values.std() > 1e-4, layer
        rounding = 4e-3 if values.dtype == np.float16 else 2e-4  # dreamnet's file computes in half precision
        np.testing.assert_allclose(activations[layer], values, atol=rounding * np.abs(values).max(), err_msg=layer)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_application_has_weights_with_and_without_head_as_keras_pins_them(name):
    spec = NETWORKS[name]
    preprocessing(spec.preprocessing)
    pkgutil.resolve_name(spec.opener)
    if spec.application is None:
        return
    builders = (getattr(keras.applications, name) for name in (spec.application, "ResNet50"))  # V2 uses V1's table
    source = "".join(inspect.getsource(inspect.getmodule(build)) for build in builders)
    for head in (False, True):
        file = weights_file(spec.application, head=head)
        assert len(file.digest) in (32, 64)
        assert file.origin.startswith("https://")
        assert file.digest in source or spec.application in ("MobileNet", "MobileNetV2")


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


def test_layers_have_the_same_names_whatever_was_built_before():
    names = [[one.name for one in build_application("MobileNetV3Small", head=False).operations] for _ in range(2)]
    assert names[0][1:] == names[1][1:]
    assert len(set(names[0])) == len(names[0])


@pytest.mark.minutes
def test_efficientnet_gets_pictures_scaled_as_keras_scales_them_for_its_weights(tmp_path, monkeypatch):
    whole = shaken(build_application("EfficientNetB0", head=False))
    path = tmp_path / "some.weights.h5"
    whole.save_weights(path)
    module = inspect.getmodule(keras.applications.EfficientNetB0)
    monkeypatch.setattr(module.file_utils, "get_file", lambda *args, **options: str(path))
    loaded = keras.applications.EfficientNetB0(include_top=False, weights="imagenet")
    layer = "block2a_expand_activation"
    pictures = np.random.default_rng(1).random((1, 64, 48, 3), np.float32)
    expected = np.asarray(keras.Model(loaded.input, loaded.get_layer(layer).output)(pictures * 255))
    network = load_network("efficientnet_b0", weights=path, precision="float32")
    found = network.activations([layer])(pictures)[layer]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_in_bfloat16_a_network_sees_much_the_same(tmp_path):
    pictures = np.random.default_rng(1).random((1, 64, 48, 3), np.float32)
    model, _ = open_up(shaken(build_application("MobileNetV3Small", head=False)), None)
    layer, spec = "expanded_conv_2_add", NETWORKS["mobilenet_v3_small"]
    exact, quick = (
        np.asarray(
            keras.ops.cast(Network("x", model, spec=spec, precision=p).activations([layer])(pictures)[layer], "float32")
        )
        for p in ("float32", "bfloat16")
    )
    assert np.corrcoef(exact.ravel(), quick.ravel())[0, 1] > 0.99


def test_an_unknown_network_names_the_nearest():
    with pytest.raises(UsageError, match="inception_v3"):
        load_network("inceptionv3")


def test_an_unknown_layer_names_the_nearest(tiny_network):
    with pytest.raises(UsageError, match="'middle'"):
        tiny_network.activations(["midle"])


def test_weights_that_are_missing_or_do_not_fit_say_which_file(tmp_path):
    with pytest.raises(EnvironmentProblem, match=r"gone\.h5"):
        load_network("mobilenet", weights=tmp_path / "gone.h5")
    wrong = tmp_path / "wrong.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(wrong)
    with pytest.raises(EnvironmentProblem, match=r"wrong\.weights\.h5"):
        load_network("mobilenet", weights=wrong)
    text = tmp_path / "text.keras"
    text.write_text("no model")
    with pytest.raises(BadInput, match=r"text\.keras"):
        load_network("dreamnet", weights=text)


@pytest.mark.shared
def test_real_inception_weights_fit_and_fold_to_the_same_activations(shared):
    weights = shared / "weights" / "inception_v3_imagenet_notop_to_mixed8.weights.h5"
    network = load_network("inception_v3", weights=weights, precision="float32")
    data = np.random.default_rng(0).random((1, 96, 96, 3), np.float32)
    plain = keras.Model(network.model.input, network.model.get_layer("mixed4").output)
    expected = np.asarray(plain(data * 2 - 1))
    found = np.asarray(network.activations(["mixed4"])(data)["mixed4"])
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.max())
