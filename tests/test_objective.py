from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from renderer.dreaming.ascent.ascent import Ascent
from renderer.dreaming.evaluator import Evaluator
from renderer.dreaming.objectives.objective import Objective, Term
from renderer.dreaming.objectives.objective_spec import parse_mix
from renderer.dreaming.objectives.objective_terms import OBJECTIVES
from renderer.dreaming.objectives.references import InputsBuilder
from renderer.dreaming.settings import AscentSettings

SIX = {"shifts": np.zeros((6, 2), np.int32), "sizes": np.full(6, 0.004, np.float32)}


@pytest.fixture
def other():
    """Another smooth picture, larger than the first."""
    coarse = np.random.default_rng(11).uniform(0.1, 0.9, (8, 7, 3)).astype(np.float32)
    return cv2.resize(coarse, (56, 64), interpolation=cv2.INTER_CUBIC)


def climber(network, mix, kind, canvas, other):
    """An ascent, and its inputs on a canvas where the other picture is guide and style."""
    ascent = Ascent(network, parse_mix(mix, kind=kind), settings=AscentSettings(normalise="std"))
    pictures = dict.fromkeys(("guide", "style"), lambda seconds: other)
    return ascent, InputsBuilder(ascent.objective, ascent.evaluator, pictures=pictures)(canvas)


def value(ascent, picture, inputs):
    return float(ascent.gradient(tf.constant(picture), inputs)[0])


def test_the_page_of_objectives_lists_every_kind_and_what_it_needs():
    page = (Path(__file__).parents[1] / "docs" / "objectives.md").read_text(encoding="utf-8")
    table = page[page.index("| kind | it grows with") :].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*)\|", table, re.MULTILINE))
    needs = {name: kind.compares_with for name, kind in OBJECTIVES.items()}
    wanted = {name: f"a {picture}" if picture in ("guide", "style") else "" for name, picture in needs.items()}
    assert {name: need.strip() for name, need in rows.items()} == {**wanted, "logit": "a head", "likeliest": "a head"}


def test_the_terms_of_a_mix_are_weighed_and_added():
    objective = parse_mix({"square@a:1": 0.2, "b": 3.0, "a": -1.0}, kind="mean")
    rng = np.random.default_rng(1)
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((1, 3, 4, 5), (1, 2, 2, 6)))
    activations = {"a": tf.constant(a), "b": tf.constant(b)}
    found = objective(activations, objective.inputs({"a": 5, "b": 6}))
    np.testing.assert_allclose(found, 0.2 * (a[..., 1] ** 2).mean() + 3 * b.mean() - a.mean(), rtol=1e-5)


@pytest.mark.parametrize("kind", list(OBJECTIVES))
def test_every_objective_has_its_true_gradient_and_rises_along_it(tiny_network, picture, other, kind):
    begin = np.ascontiguousarray(picture[:, ::-1])  # away from the canvas: nothing differs from itself
    ascent, inputs = climber(tiny_network, {"deep": 1.0, "middle:2": 0.5}, kind, picture, other)
    _, gradient = ascent.gradient(tf.constant(begin), inputs)
    direction = gradient.numpy() / np.linalg.norm(gradient.numpy())
    step = 1e-2
    ahead, behind = (value(ascent, begin + sign * step * direction, inputs) for sign in (1, -1))
    if kind != "likeliest":  # whose gradient holds fixed how soft its maximum is
        assert (ahead - behind) / (2 * step) == pytest.approx(float((gradient.numpy() * direction).sum()), rel=0.05)
    climbed, _ = ascent.ascend(
        begin, shifts=np.zeros((6, 2), np.int32), sizes=np.full(6, 0.004, np.float32), inputs=inputs
    )
    assert value(ascent, climbed, inputs) > value(ascent, begin, inputs)


@pytest.mark.parametrize(
    ("layer", "kind"), [("deep:weakest4", "mean"), ("shallow(0.4,0.6)", "content"), ("picture", "guide")]
)
def test_objectives_rise_on_some_channels_at_a_place_and_in_the_picture_itself(
    tiny_network, picture, other, kind, layer
):
    begin = np.ascontiguousarray(picture[:, ::-1])
    ascent, inputs = climber(tiny_network, {layer: 1.0}, kind, picture, other)
    climbed, _ = ascent.ascend(
        begin, shifts=np.zeros((6, 2), np.int32), sizes=np.full(6, 0.004, np.float32), inputs=inputs
    )
    assert value(ascent, climbed, inputs) > value(ascent, begin, inputs)


def test_a_channel_alone_is_to_every_objective_a_layer_of_one_channel(tiny_network, picture, other):
    evaluator = Evaluator(tiny_network, ["deep"])
    deep = evaluator.activations(tf.constant(np.ascontiguousarray(picture[:, ::-1])))["deep"]
    for kind in sorted(set(OBJECTIVES) - {"target", "logit", "likeliest"}):  # to which the others count
        whole, alone = (Objective((Term(kind, "deep", channel),)) for channel in (2, None))
        pictures = dict.fromkeys(("guide", "style"), lambda _: other)
        inputs = InputsBuilder(whole, evaluator, pictures=pictures)(picture)
        one = {name: _only(kept, 2, kind) for name, kept in inputs.references.items()}
        narrow = alone.inputs({"deep": 1}, references=one)
        found = float(alone({"deep": deep[..., 2:3]}, narrow))
        assert float(whole({"deep": deep}, inputs)) == pytest.approx(found, rel=1e-4, abs=1e-7), kind


def test_of_a_group_whichever_is_ahead_is_raised_and_not_all_alike():
    scores = tf.constant([[[[9.0, 3.0, *[0.0] * 98]]]])
    with tf.GradientTape() as tape:
        tape.watch(scores)
        value = OBJECTIVES["likeliest"].function(scores, tf.constant([50.0, 50.0, *[0.0] * 98]), tf.zeros(()))
    first, second, *others = tape.gradient(value, scores).numpy().ravel()
    assert float(value) == pytest.approx(9, abs=1)
    assert first > 0.8
    assert 0 < second < 0.2
    assert max(others) < 1e-2
    asleep = OBJECTIVES["likeliest"].function(tf.zeros((1, 1, 1, 4)), tf.ones(4), tf.zeros(()))
    assert np.isfinite(float(asleep))


def _only(reference, channel, kind):
    kept = reference[..., channel : channel + 1]
    return kept[channel : channel + 1] if OBJECTIVES[kind].features == "gram" else kept


def test_the_style_objective_is_that_of_gatys():
    rng = np.random.default_rng(0)
    seen, wanted = (rng.uniform(0, 1, shape).astype(np.float32) for shape in ((1, 5, 6, 4), (4, 4)))
    wanted = wanted @ wanted.T
    found = OBJECTIVES["style"].function(tf.constant(seen), tf.ones(4), tf.constant(wanted))
    flat = seen.reshape(-1, 4)
    gram = flat.T @ flat / len(flat)
    assert float(found) == pytest.approx(-((gram - wanted) ** 2).sum() / (wanted**2).sum(), rel=1e-5)


def test_the_guide_objective_has_the_gradient_of_googles_notebook():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(1, 3, 4, 5)).astype(np.float32), rng.normal(size=(7, 5)).astype(np.float32)
    seen = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(seen)
        found = OBJECTIVES["guide"].function(seen, tf.ones(5), tf.constant(y))
    # The published recipe: A = x.T y; the gradient is y[:, A.argmax(1)].
    flat = x.reshape(-1, 5).T
    wanted = y.T[:, (flat.T @ y.T).argmax(1)]
    np.testing.assert_allclose(tape.gradient(found, seen).numpy().reshape(-1, 5).T * x.size, wanted, rtol=1e-4)


def test_guides_of_any_size_are_matched_in_pieces(monkeypatch):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(1, 9, 11, 5)).astype(np.float32), rng.normal(size=(13, 5)).astype(np.float32)
    whole = OBJECTIVES["guide"].function(tf.constant(x), tf.ones(5), tf.constant(y))
    monkeypatch.setattr("renderer.dreaming.objectives.objective_terms.MATCHES_AT_ONCE", 64)
    pieces = OBJECTIVES["guide"].function(tf.constant(x), tf.ones(5), tf.constant(y))
    assert float(pieces) == pytest.approx(float(whole), rel=1e-6)


def test_regions_that_are_alike_are_not_diverse():
    tile = np.random.default_rng(0).uniform(0, 1, (1, 4, 4, 6)).astype(np.float32)
    alike = tf.constant(np.tile(tile, (1, 2, 3, 1)))
    unlike = tf.concat([alike[:, :, :4] * [1.0, 0, 0, 0, 0, 0], alike[:, :, 4:]], 2)
    judge = OBJECTIVES["diversity"].function
    assert float(judge(alike, tf.ones(6), tf.zeros(()))) == pytest.approx(-1, abs=1e-5)
    assert float(judge(unlike, tf.ones(6), tf.zeros(()))) > -0.9


def test_a_target_of_some_channels_holds_the_others():
    rng = np.random.default_rng(0)
    canvas = rng.uniform(0, 1, (1, 3, 3, 4)).astype(np.float32)
    weights = np.array([4, 0, 0, 0], np.float32)
    judge = OBJECTIVES["target"].function
    raised = canvas * np.array([2, 1, 1, 1], np.float32)
    assert float(judge(tf.constant(raised), tf.constant(weights), tf.constant(canvas))) == pytest.approx(0, abs=1e-6)
    assert float(judge(tf.constant(canvas), tf.constant(weights), tf.constant(canvas))) < -0.01


def test_a_neuron_is_one_channel_at_one_place(tiny_network, picture):
    objective = parse_mix({"deep:5(0.5,0.25)": 1.0}, kind="mean")
    ascent = Ascent(tiny_network, objective)
    seen = ascent.evaluator.activations(tf.constant(picture))["deep"].numpy()[0]
    down, across = int(0.25 * seen.shape[0]), int(0.5 * seen.shape[1])
    assert value(ascent, picture, ascent.inputs()) == pytest.approx(float(seen[down, across, 5]), rel=1e-5)


def test_what_is_meant_for_a_place_stays_there_while_the_picture_is_rolled(tiny_network, picture):
    """A roll by whole strides of the layer changes nothing: maps and places go along."""
    for mix in ({"content@shallow": 1.0}, {"mean@shallow:3(0.6,0.4)": 1.0}, {"difference@picture": 1.0}):
        ascent = Ascent(tiny_network, parse_mix(mix, kind="mean"))
        inputs = InputsBuilder(ascent.objective, ascent.evaluator)(picture)
        begin = np.ascontiguousarray(np.tile(picture.mean((0, 1)), (32, 48, 1)) + 0.1 * picture)
        shift, size = np.array([8, -12], np.int32), np.array([32, 48], np.int32)
        still = value(ascent, begin, inputs)
        rolled = value(ascent, np.roll(begin, shift, (0, 1)), inputs.rolled(tf.constant(shift), tf.constant(size)))
        assert rolled == pytest.approx(still, rel=0.05)
        if mix.get("difference@picture"):
            assert rolled == pytest.approx(still, rel=1e-5)


def test_a_head_is_a_layer_of_one_place():
    objective = parse_mix({"logit@scores:3": 2.0}, kind="mean")
    scores = tf.constant([[0.0, 1.0, 2.0, 5.0]])
    assert float(objective({"scores": scores}, objective.inputs({"scores": 4}))) == pytest.approx(10.0, rel=1e-3)


def test_a_class_that_is_silent_still_has_a_direction():
    """Scores are never negative: where a class sees nothing, its own gradient is 0."""
    scores = tf.Variable([[[[-0.5, 1.0, 2.0]]]])
    with tf.GradientTape() as tape:
        found = OBJECTIVES["logit"].function(tf.nn.relu(scores), tf.constant([3.0, 0.0, 0.0]), tf.zeros(()))
    assert np.abs(tape.gradient(found, scores).numpy()).max() > 0


def test_drifting_channels_leave_what_is_compared_alone():
    drift = {"a": np.array([0.1, 1.9], np.float32)}
    inputs_of = [
        Objective((Term(kind, "a"),)).inputs({"a": 2}, channel_weights=drift) for kind in ("square", "style", "content")
    ]
    assert [inputs.channel_weights[0].numpy().tolist() for inputs in inputs_of[1:]] == [[1, 1], [1, 1]]
    np.testing.assert_array_equal(inputs_of[0].channel_weights[0], drift["a"])
