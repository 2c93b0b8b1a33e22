"""Big pictures: looking at them in tiles, and the memory that this is chosen for."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from dreamers import dreamer_of
from keras import layers, ops

from renderer import runtime
from renderer.dreaming.evaluator import PICTURE, Evaluator
from renderer.dreaming.networks.model_rewrite import Folded
from renderer.dreaming.networks.network import Network
from renderer.dreaming.networks.registry import NetworkSpec
from renderer.dreaming.objectives.objective_spec import parse_mix
from renderer.dreaming.tiles.receptive_field import WINDOWS, FieldAxis, ReceptiveField, TensorInfo, nodes_between, walk
from renderer.dreaming.tiles.tile_search import choose_tiling, least_budget
from renderer.dreaming.tiles.tiled_evaluator import TiledEvaluator, TiledEvaluatorFactory
from renderer.dreaming.tiles.tiling import GraphCuts
from renderer.errors import UsageError
from renderer.films import render_setup as parts
from renderer.films.first_frame import own_size
from renderer.frame import Size
from renderer.settings.schema import build, flatten

SIZES = [(61, 47), (80, 50)]


def network_of(model, *, precision="float32", smallest=8):
    spec = NetworkSpec(summary="for tests", preprocessing="tf", layers=(), mix={}, smallest=smallest)
    return Network("tested", model, spec=spec, precision=precision)


def randomised(model):
    rng = np.random.default_rng(5)
    for weight in model.weights:
        drawn = rng.normal(0, 0.4, weight.shape) + 0.1
        weight.assign(np.abs(drawn) if weight.name == "moving_variance" else drawn)
    return model


def stem_of_valid_layers():
    """Like Inception's: unpadded, three strides, branches of different field, one of them pooled."""
    x = picture = keras.Input((None, None, 3))
    x = layers.Conv2D(6, 3, strides=2, activation="relu")(x)
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="first")(x)
    x = layers.MaxPooling2D(3, 2)(x)
    branches = [
        layers.Conv2D(4, 1, activation="relu")(x),
        layers.Conv2D(4, (1, 7), padding="same", activation="relu")(layers.Conv2D(4, (7, 1), padding="same")(x)),
        layers.Conv2D(4, 1, activation="relu")(layers.AveragePooling2D(3, 1, padding="same")(x)),
    ]
    x = layers.Concatenate(name="mixed")(branches)
    deep = layers.Conv2D(8, 3, strides=2, activation="relu", name="deep")(x)
    return randomised(keras.Model(picture, [deep]))


def padded_and_residual():
    """Like ResNet's and MobileNet's: padding of its own, odd and even strides, sums, dilation, depthwise layers."""
    x = picture = keras.Input((None, None, 3))
    x = layers.ZeroPadding2D(((3, 2), (3, 3)))(x)
    x = layers.Conv2D(6, 7, strides=2)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(name="first")(x)
    side = layers.SeparableConv2D(8, 3, strides=2, padding="same")(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2D(8, 1)(x)
    x = layers.Activation("gelu", name="mixed")(layers.Add()([x, side]))
    x = layers.Conv2D(8, 3, dilation_rate=2, padding="same", activation="relu")(x)
    inner = keras.Sequential(
        [keras.Input((None, None, 8)), layers.LayerNormalization(), layers.Conv2D(8, 2, strides=2)]
    )
    x = layers.Activation("relu", name="deep")(inner(x))
    return randomised(keras.Model(picture, [x]))


def with_a_view_of_all():
    """Like EfficientNet's: blocks that weigh channels by their mean over the whole picture; and a head."""
    x = picture = keras.Input((None, None, 3))
    x = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="first")(x)
    weights = layers.Dense(6, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply()([x, weights])
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="mixed")(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="deep")(x)
    scores = layers.Dense(5, name="scores")(layers.GlobalAveragePooling2D()(x))
    return randomised(keras.Model(picture, [scores]))


MODELS = {
    "valid": stem_of_valid_layers,
    "padded": padded_and_residual,
    "global": with_a_view_of_all,
}


@pytest.fixture(scope="module")
def networks():
    return {name: network_of(make()) for name, make in MODELS.items()}


def photo(size, seed=0):
    width, height = size
    return tf.constant(np.random.default_rng(seed).uniform(0, 1, (height, width, 3)).astype(np.float32))


def tightest(network, wanted, size, *, slack=1.02):
    """An evaluator with hardly more memory than it must have: as many stages and tiles as there can be."""
    least = least_budget(GraphCuts(network.cut([name for name in wanted if name != PICTURE]), itemsize=4), Size(*size))
    return TiledEvaluator(network, wanted, budget=int(least * slack))


def squares(activations):
    """Asks something of every layer, and of none position by position: means are subtracted."""
    values = [tf.cast(value, tf.float32) for value in activations.values()]
    return tf.add_n([tf.reduce_mean(tf.square(value - 0.5 * tf.reduce_mean(value))) for value in values])


def grams(activations):
    """Ties all positions of a layer together."""
    value = next(iter(activations.values()))
    return tf.reduce_mean(tf.square(tf.einsum("nhwc,nhwd->cd", value, value)) / tf.cast(tf.size(value), tf.float32))


def farthest(found, wanted):
    return float(np.abs(np.array(found) - np.array(wanted)).max() / np.abs(np.array(wanted)).max())


@pytest.mark.parametrize(
    ("wanted", "size"), [(["deep"], SIZES[1]), (["first", "mixed", "deep", PICTURE], SIZES[0])], ids=["one", "all"]
)
@pytest.mark.parametrize("model", MODELS)
def test_tiles_give_the_objective_and_the_gradient_of_the_whole_picture(networks, model, wanted, size):
    network, picture = networks[model], photo(size)
    value, gradient = Evaluator(network, wanted)(picture, squares)
    evaluator = tightest(network, wanted, size)
    stages = evaluator.tiling(Size(*size)).stages
    assert len(stages) > 1 or not stages[0].whole or model == "global"  # where one stage sees all, it may be all
    found, slope = evaluator(picture, squares)
    assert float(found) == pytest.approx(float(value), rel=1e-5)
    assert farthest(slope, gradient) < 1e-5


def test_an_objective_that_ties_all_positions_together_is_the_same_in_tiles(networks):
    picture = photo((61, 47))
    value, gradient = Evaluator(networks["valid"], ["mixed"])(picture, grams)
    found, slope = tightest(networks["valid"], ["mixed"], (61, 47))(picture, grams)
    assert float(found) == pytest.approx(float(value), rel=1e-5)
    assert farthest(slope, gradient) < 1e-5


def test_looking_in_tiles_gives_the_activations_of_the_whole_picture(networks):
    wanted, picture = ["first", "deep", PICTURE], photo((61, 47))
    whole = Evaluator(networks["valid"], wanted).activations(picture)
    tiled = tightest(networks["valid"], wanted, (61, 47)).activations(picture)
    assert list(tiled) == list(whole)
    assert all(farthest(tiled[name], whole[name]) < 1e-5 for name in whole)


def test_scores_of_a_head_are_the_same_in_tiles(networks):
    picture = photo((61, 47))
    value, gradient = Evaluator(networks["global"], ["scores"])(picture, lambda seen: seen["scores"][0, 2])
    found, slope = tightest(networks["global"], ["scores"], (61, 47))(picture, lambda seen: seen["scores"][0, 2])
    assert float(found) == pytest.approx(float(value), rel=1e-5)
    assert farthest(slope, gradient) < 1e-5


def test_the_picture_alone_needs_no_network(networks):
    evaluator = TiledEvaluator(networks["valid"], [PICTURE], budget=1)
    _, gradient = evaluator(photo((20, 16)), lambda seen: tf.reduce_sum(tf.square(seen[PICTURE])))
    assert farthest(gradient, 2 * photo((20, 16))) < 1e-6


def test_what_nothing_is_asked_of_has_no_gradient(networks):
    evaluator = tightest(networks["valid"], ["first", "deep"], (61, 47))
    _, gradient = evaluator(photo((61, 47)), lambda seen: tf.reduce_sum(seen["first"]))
    _, wanted = Evaluator(networks["valid"], ["first"])(photo((61, 47)), lambda seen: tf.reduce_sum(seen["first"]))
    assert farthest(gradient, wanted) < 1e-5


def test_the_same_picture_gives_the_same_bits_again(networks):
    evaluator, picture = tightest(networks["padded"], ["deep"], (61, 47)), photo((61, 47))
    first, second = evaluator(picture, squares), evaluator(picture, squares)
    assert np.array_equal(first[1], second[1])


def test_in_half_precision_tiles_are_as_near_to_the_truth_as_the_whole():
    model, picture = stem_of_valid_layers(), photo((61, 47))
    rough = network_of(model, precision="bfloat16")
    _, truth = Evaluator(network_of(model), ["deep"])(picture, squares)
    _, whole = Evaluator(rough, ["deep"])(picture, squares)
    _, tiled = tightest(rough, ["deep"], (61, 47))(picture, squares)
    missed = [np.sqrt(np.mean(np.square(np.array(found) - np.array(truth)))) for found in (whole, tiled)]
    assert 0 < missed[1] < 1.3 * missed[0]


def test_a_dream_in_tiles_is_the_dream_of_the_whole(tiny_network, picture):
    least = least_budget(GraphCuts(tiny_network.cut(["deep"]), itemsize=4), Size.of(picture))
    tiles = TiledEvaluatorFactory(size=Size.of(picture), memory=int(1.05 * least))
    dreams = [
        dreamer_of(tiny_network, layers={"deep": 1.0}, first_steps=3, evaluator=evaluator)(
            picture, frame=0, seconds=0.0
        )[0]
        for evaluator in (Evaluator, tiles)
    ]
    assert np.abs(dreams[0] - picture).max() > 0.01
    assert np.abs(dreams[0] - dreams[1]).max() < 1e-3


def test_no_step_is_seen_where_tiles_meet(networks):
    """Without context the gradient would break off at the borders; the step there is compared with those elsewhere."""
    size, network = (160, 48), networks["valid"]
    evaluator = TiledEvaluator(network, ["deep"], budget=int(1.3 * least_budget(deep_cuts(network), Size(*size))))
    picture = photo(size)
    steps = np.abs(np.diff(np.array(evaluator(picture, squares)[1]), axis=1)).mean((0, 2))
    whole = np.abs(np.diff(np.array(Evaluator(network, ["deep"])(picture, squares)[1]), axis=1)).mean((0, 2))
    assert np.abs(steps / whole - 1).max() < 1e-3


def deep_cuts(network):
    return GraphCuts(network.cut(["deep"]), itemsize=4)


def test_less_memory_means_more_work_and_never_more_bytes(networks):
    cuts, size = deep_cuts(networks["valid"]), SIZES[0]
    least = least_budget(cuts, Size(*size))
    chosen = [choose_tiling(cuts, Size(*size), budget=part * least) for part in (1.0, 1.3, 2.0, 5.0, 50.0)]
    costs = [tiling.cost for tiling in chosen]
    assert costs == sorted(costs, reverse=True)
    assert all(tiling.bytes <= part * least for tiling, part in zip(chosen, (1.0, 1.3, 2.0, 5.0, 50.0), strict=True))
    assert len(chosen[-1].stages) == 1
    assert chosen[-1].stages[0].whole
    assert choose_tiling(cuts, Size(*size), budget=0.9 * least) is None


def test_tiles_of_a_stage_own_every_position_once(networks):
    cuts, size = deep_cuts(networks["padded"]), Size(61, 47)
    for stage in choose_tiling(cuts, size, budget=least_budget(cuts, size)).stages:
        given = cuts.tensors(size)[id(cuts.cut_points[stage.begin][1])].field
        tiles = cuts.tiles(stage, Size(given.columns.size, given.rows.size))
        kept = [(shape, [tile.own[number] for tile in tiles.forward]) for number, shape in enumerate(tiles.shapes)]
        kept.append(((given.rows.size, given.columns.size), [tile.read for tile in tiles.back]))
        for shape, places in kept:
            owners = np.zeros(shape, int)
            for place in places:
                owners[place.whole] += 1
            assert (owners == 1).all()


def test_a_picture_that_fits_is_looked_at_whole(networks):
    assert isinstance(TiledEvaluatorFactory(size=Size(61, 47), memory=10**9)(networks["valid"], ["deep"]), Evaluator)


def test_too_little_memory_is_refused_with_what_would_do(networks):
    with pytest.raises(UsageError, match=r"too little for 61x47.* Give at least --memory 0\.6GB"):
        TiledEvaluatorFactory(size=Size(61, 47), memory=500_000_100, beside=500_000_000)(networks["valid"], ["deep"])
    assert TiledEvaluatorFactory(size=Size(61, 47), memory=600_000_000, beside=500_000_000)(networks["valid"], ["deep"])


def test_a_memory_that_nobody_chose_is_raised_if_it_must_be(networks):
    tiles = TiledEvaluatorFactory(size=Size(61, 47), memory=500_000_100, beside=500_000_000, strict=False)
    assert isinstance(tiles(networks["valid"], ["deep"]), TiledEvaluator)


EXAMPLES = {
    "Conv2D": lambda: layers.Conv2D(4, (3, 5), strides=2, padding="same"),
    "DepthwiseConv2D": lambda: layers.DepthwiseConv2D(3, strides=1, padding="valid"),
    "SeparableConv2D": lambda: layers.SeparableConv2D(4, 3, dilation_rate=2, padding="same"),
    "MaxPooling2D": lambda: layers.MaxPooling2D(3, 2, padding="same"),
    "AveragePooling2D": lambda: layers.AveragePooling2D((2, 3), padding="valid"),
    "ZeroPadding2D": lambda: layers.ZeroPadding2D(((1, 2), (0, 3))),
    "Cropping2D": lambda: layers.Cropping2D(((1, 0), (2, 1))),
    "BatchNormalization": layers.BatchNormalization,
    "LayerNormalization": layers.LayerNormalization,
    "Normalization": lambda: layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0]),
    "Softmax": layers.Softmax,
    "Concatenate": lambda: lambda x: layers.Concatenate()([x, x]),
    "Activation": lambda: layers.Activation("swish"),
    "ReLU": layers.ReLU,
    "LeakyReLU": layers.LeakyReLU,
    "ELU": layers.ELU,
    "Dropout": lambda: layers.Dropout(0.5),
    "SpatialDropout2D": lambda: layers.SpatialDropout2D(0.5),
    "GaussianNoise": lambda: layers.GaussianNoise(0.1),
    "Rescaling": lambda: layers.Rescaling(2.0, -1.0),
    "Dense": lambda: layers.Dense(4),
    "Identity": layers.Identity,
    "Folded": Folded,
    "Add": lambda: lambda x: layers.Add()([x, x]),
    "Subtract": lambda: lambda x: layers.Subtract()([x, layers.ReLU()(x)]),
    "Multiply": lambda: lambda x: layers.Multiply()([x, x]),
    "Average": lambda: lambda x: layers.Average()([x, layers.ReLU()(x)]),
    "Maximum": lambda: lambda x: layers.Maximum()([x, layers.ReLU()(x)]),
    "Minimum": lambda: lambda x: layers.Minimum()([x, layers.ReLU()(x)]),
    "TrueDivide": lambda: lambda x: x / 2.0,
    "Divide": lambda: lambda x: ops.divide(x, 2.0),
    "Negative": lambda: lambda x: -x,
    "Absolute": lambda: ops.absolute,
    "Square": lambda: ops.square,
    "Sqrt": lambda: lambda x: ops.sqrt(ops.absolute(x)),
    "Exp": lambda: ops.exp,
    "Cast": lambda: lambda x: ops.cast(x, "float32"),
    "Clip": lambda: lambda x: ops.clip(x, 0.0, 1.0),
    "Relu": lambda: ops.relu,
    "Relu6": lambda: ops.relu6,
    "Sigmoid": lambda: ops.sigmoid,
    "HardSigmoid": lambda: ops.hard_sigmoid,
    "HardSilu": lambda: ops.hard_silu,
    "Silu": lambda: ops.silu,
    "Gelu": lambda: ops.gelu,
    "Tanh": lambda: ops.tanh,
    "Elu": lambda: ops.elu,
}
OF_SOME_NETWORKS = {"InputLayer", "LayerScale", "StochasticDepth", "CustomScaleLayer"}
"""The first reads nothing; the others are private to ConvNeXt and Inception-ResNet, and scale channels or add."""


def test_every_operation_that_is_known_has_an_example():
    assert set(EXAMPLES) | OF_SOME_NETWORKS == set(WINDOWS)


def test_no_operation_spoils_more_of_a_cut_picture_than_it_is_said_to():
    for name in EXAMPLES:
        check_cut(name)


def check_cut(name):
    given = keras.Input((None, None, 3))
    model = randomised(keras.Model(given, EXAMPLES[name]()(given)))
    nodes = nodes_between(model.inputs, model.outputs)
    assert name in {type(node.operation).__name__ for node in nodes}
    for height, width in ((25, 22), (24, 23)):
        begin = {id(given): TensorInfo(ReceptiveField(FieldAxis(height), FieldAxis(width)))}
        field = walk(nodes, begin)[id(model.outputs[0])].field
        assert field.local, name
        whole = np.array(model(photo((width, height))[None]))
        assert whole.shape[1:3] == (field.rows.size, field.columns.size), name
        top, bottom, left, right = 4, 6, 6, 4  # cut off; all strides divide them
        part = np.array(model(photo((width, height))[None, top : height - bottom, left : width - right]))
        rows, columns = (slice(axis.before, -axis.after or None) for axis in (field.rows, field.columns))
        first_row, first_column = top // field.rows.stride, left // field.columns.stride
        same = whole[:, first_row:, first_column:][:, : part.shape[1], : part.shape[2]]
        np.testing.assert_allclose(part[:, rows, columns], same[:, rows, columns], rtol=1e-4, atol=1e-5, err_msg=name)


def test_an_operation_that_is_not_known_is_said_to_see_everything():
    given = keras.Input((None, None, 3))
    model = keras.Model(given, layers.GroupNormalization(3)(given))
    field = walk(
        nodes_between(model.inputs, model.outputs), {id(given): TensorInfo(ReceptiveField(FieldAxis(9), FieldAxis(9)))}
    )
    assert not field[id(model.outputs[0])].field.local


def test_memory_is_read_as_people_write_it():
    for text, wanted in [("2GB", "2GB"), ("1.5 gb", "1.5GB"), ("800M", "800MB"), ("1tb", "1TB")]:
        assert flatten(build({"dream.memory": text}))["dream.memory"] == wanted


def test_memory_that_makes_no_sense_is_refused():
    for text in ("2", 2, "lots", "0GB", "-1GB", "2PB", True, "1e3GB"):
        with pytest.raises(UsageError, match=r"dream\.memory .*like 2GB or 800MB"):
            build({"dream.memory": text})


def test_a_named_memory_lets_a_picture_keep_its_own_size():
    assert own_size(Size(3840, 2160), build({})) == Size(1920, 1080)
    assert own_size(Size(3840, 2160), build({"dream.memory": "4GB"})) == Size(3840, 2160)


def test_small_films_are_looked_at_whole_without_a_word(monkeypatch):
    monkeypatch.setattr(runtime, "memory_total", lambda: 8 * 10**9)
    assert parts.evaluator_for(build({"film.size": "640x360"}), kind="zoom") is Evaluator


def test_large_films_get_half_of_the_machine_whatever_is_free(monkeypatch):
    monkeypatch.setattr(runtime, "memory_total", lambda: 24 * 10**9 + 12345)
    monkeypatch.setattr(runtime, "memory_available", lambda: 10**9)
    large = build({"film.size": "3840x2160"})
    assert parts.evaluator_for(large, kind="still").memory == 12 * 10**9
    monkeypatch.setattr(runtime, "memory_total", lambda: 24 * 10**9 + 54321)
    assert parts.evaluator_for(large, kind="still").memory == 12 * 10**9


def test_the_mix_of_a_preset_is_the_same_in_tiles(networks):
    """The objectives of films, with weights of channels and of terms."""
    objective = parse_mix({"mixed": 1.0, "deep:3": 0.5}, kind="mean")
    inputs = objective.inputs({"mixed": 12, "deep": 8})
    picture, wanted = photo((61, 47)), list(objective.layers)
    _, gradient = Evaluator(networks["valid"], wanted)(picture, lambda seen: objective(seen, inputs))
    _, slope = tightest(networks["valid"], wanted, (61, 47))(picture, lambda seen: objective(seen, inputs))
    assert farthest(slope, gradient) < 1e-5
