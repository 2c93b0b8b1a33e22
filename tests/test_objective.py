from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from renderer.dreaming.ascent import Ascent
from renderer.dreaming.objective import KINDS, Objective, Term, mean, parse_mix, square
from renderer.errors import UsageError

ACTIVATIONS = {
    "a": tf.random.stateless_normal((1, 3, 4, 5), (1, 2)),
    "b": tf.random.stateless_normal((1, 2, 2, 6), (3, 4)),
}


def test_objectives_add_subtract_and_scale_as_numbers_do():
    objective = 0.2 * square("a", 1) + 3 * mean("b") - mean("a")
    value = objective(ACTIVATIONS, objective.aim({"a": 5, "b": 6}))
    a, b = ACTIVATIONS["a"].numpy(), ACTIVATIONS["b"].numpy()
    np.testing.assert_allclose(value, 0.2 * (a[..., 1] ** 2).mean() + 3 * b.mean() - a.mean(), rtol=1e-5)


def test_a_mix_reads_layers_and_channels():
    mix = parse_mix({"a": 1.0, "b:3": -0.5}, kind="square")
    assert mix == Objective((Term("square", "a", None, 1.0), Term("square", "b", 3, -0.5)))
    assert mix.layers == ("a", "b")


@pytest.mark.parametrize("mix", [{}, {"a": 0.0}, {"a:x": 1.0}, {"a": float("nan")}, {"a": float("inf")}])
def test_a_mix_that_means_nothing_is_refused(mix):
    with pytest.raises(UsageError):
        parse_mix(mix, kind="square")


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("layer", ["deep", "middle:3"])
def test_every_objective_rises_in_a_few_steps(tiny_network, picture, kind, layer):
    ascent = Ascent(tiny_network, parse_mix({layer: 1.0}, kind=kind), normalise="std")
    climbed = ascent.climb(picture, shifts=np.zeros((6, 2), np.int32), sizes=np.full(6, 0.01, np.float32))
    assert ascent.value(climbed.picture) > ascent.value(picture)


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_objective_has_the_gradient_of_finite_differences(tiny_network, picture, kind):
    ascent = Ascent(tiny_network, parse_mix({"deep": 1.0, "middle:2": 0.5}, kind=kind))
    _, gradient = ascent.gradient(tf.constant(picture))
    direction = gradient.numpy() / np.linalg.norm(gradient.numpy())
    step = 1e-2
    slope = (ascent.value(picture + step * direction) - ascent.value(picture - step * direction)) / (2 * step)
    assert slope == pytest.approx(float((gradient.numpy() * direction).sum()), rel=0.05)
