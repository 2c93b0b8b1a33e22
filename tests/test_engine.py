"""Every optimiser, penalty, move, parametrisation, smoother, resampler ... does what a part of an ascent has to."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
import tensorflow as tf
from dreamers import dreamer_of, square

from renderer.dreaming.ascent.ascent import Ascent, without_edges
from renderer.dreaming.ascent.gradients import CENTRES, COLOURS, SMOOTHERS
from renderer.dreaming.ascent.octaves import CARRIES, RESAMPLERS, resize
from renderer.dreaming.ascent.optimisers import OPTIMISERS
from renderer.dreaming.ascent.parametrisation import PARAMETRISATIONS
from renderer.dreaming.ascent.pyramid import Pyramid
from renderer.dreaming.ascent.transforms import MOVES, matrices, warp, warp_back
from renderer.dreaming.evaluator import Evaluator
from renderer.dreaming.objectives.objective_terms import PENALTIES
from renderer.dreaming.settings import AscentSettings, OctaveSettings
from renderer.errors import UsageError
from renderer.frame import Size

RNG = np.random.default_rng(11)
PLAIN = AscentSettings()
Climbed = namedtuple("Climbed", "picture values")
LOUD = RNG.normal(0, 1, (33, 40, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def _drawn_anew():
    """Let every test draw the same numbers, whatever ran before it."""
    RNG.bit_generator.state = np.random.default_rng(11).bit_generator.state


class Apart(Evaluator):
    """An evaluator that is no part of a graph."""

    in_graph = False


def climb(network, picture, *, steps=6, size=0.01, jitter=9, settings=PLAIN, graph=None, **options):
    ascent = Ascent(network, square("deep"), settings=settings, **(graph or {}))
    shifts = np.random.default_rng(0).integers(-jitter, jitter + 1, (steps, 2), dtype=np.int32)
    return ascent, Climbed(*ascent.ascend(picture, shifts=shifts, sizes=np.full(steps, size, np.float32), **options))


@pytest.mark.parametrize("written", PARAMETRISATIONS)
@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_raises_the_objective_whatever_it_climbs_on(tiny_network, picture, name, written):
    settings = AscentSettings(optimiser=name, parametrisation=written)
    ascent, climbed = climb(tiny_network, picture, settings=settings)
    assert ascent.value(climbed.picture) > 1.05 * ascent.value(picture)
    assert len(climbed.values) == 6
    assert np.isfinite(climbed.picture).all()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_step_has_its_size_whatever_the_optimiser(tiny_network, picture, name):
    options = {"steps": 1, "jitter": 0, "settings": AscentSettings(optimiser=name, normalise="rms")}
    ascent, climbed = climb(tiny_network, picture, size=0.004, **options)
    assert 0.001 < np.sqrt(np.mean((climbed.picture - picture) ** 2)) < 0.0041
    _, down = climb(tiny_network, picture, size=-0.004, **options)
    assert ascent.value(down.picture) < ascent.value(picture) < ascent.value(climbed.picture)


def test_lbfgs_goes_no_further_than_its_steps_would(tiny_network, picture):
    where = np.zeros(picture.shape[:2], np.float32)
    where[8:20, 10:30] = 1
    _, climbed = climb(tiny_network, picture, settings=AscentSettings(optimiser="lbfgs"), where=where)
    moved = np.abs(climbed.picture - picture).max(-1)
    assert moved[where == 0].max() == 0
    assert 0.01 < moved.max() < 0.0601


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_momentum_remembers_within_a_climb_and_not_beyond(tiny_network, picture, name):
    still = AscentSettings(optimiser=name, momentum=0.0)
    _, first = climb(tiny_network, picture, settings=AscentSettings(optimiser=name))
    _, again = climb(tiny_network, picture, settings=AscentSettings(optimiser=name))
    _, forgetful = climb(tiny_network, picture, settings=still)
    np.testing.assert_array_equal(first.picture, again.picture)
    assert np.abs(first.picture - forgetful.picture).max() > 1e-3


CASCADE = {"smoother": "cascade", "smoothing": 0.5, "normalise": "std", "centre": "all", "colours": "standard"}
WAYS = [
    ({}, {}),
    ({"optimiser": "lbfgs"}, {"penalties": ("variation", "grey")}),
    ({"parametrisation": "waves"}, {"turned": True}),
    ({"optimiser": "adam", "clip": True, "border": 1, **CASCADE}, {"turned": True}),
]


@pytest.mark.parametrize(("settings", "graph"), WAYS, ids=range(len(WAYS)))
def test_a_sight_that_is_no_part_of_a_graph_climbs_just_the_same(tiny_network, picture, settings, graph):
    turns = matrices({"rotate": 9.0, "flip": 1.0}, keys=(1, 2, 3), steps=6) if graph.get("turned") else None
    weights = (0.1,) * len(graph.get("penalties", ()))
    options = {"settings": AscentSettings(**settings), "graph": graph, "turns": turns, "weights": weights}
    _, whole = climb(tiny_network, picture, **options)
    _, apart = climb(tiny_network, picture, **{**options, "graph": {**graph, "evaluator": Apart}})
    np.testing.assert_allclose(apart.picture, whole.picture, atol=2e-4)
    np.testing.assert_allclose(apart.values, whole.values, rtol=1e-3)


def test_every_penalty_has_the_gradient_of_finite_differences_and_eases():
    for name in PENALTIES:
        picture = tf.constant(RNG.uniform(0, 1, (12, 9, 3)))
        with tf.GradientTape() as tape:
            tape.watch(picture)
            value = PENALTIES[name](picture)
        gradient = tape.gradient(value, picture).numpy()
        direction = RNG.normal(0, 1, picture.shape)
        up, down = (float(PENALTIES[name](picture + step * direction)) for step in (1e-6, -1e-6))
        assert (gradient * direction).sum() == pytest.approx((up - down) / 2e-6, rel=1e-4)
        assert float(PENALTIES[name](picture - 0.1 * gradient / np.abs(gradient).max())) < float(value)


def test_every_penalty_is_least_for_flat_grey_and_does_not_grow_with_the_picture():
    for name in PENALTIES:
        rough = RNG.uniform(0, 1, (24, 16, 3)).astype(np.float32)
        small, large, grey = (
            float(PENALTIES[name](tf.constant(p))) for p in (rough, np.tile(rough, (4, 4, 1)), 0 * rough + 0.5)
        )
        assert 0 <= grey < 1e-3 < small
        assert large == pytest.approx(small, rel=0.15)


@pytest.mark.parametrize("name", PENALTIES)
def test_every_penalty_holds_a_dream_back(tiny_network, picture, name):
    _, free = climb(tiny_network, picture)
    _, held = climb(tiny_network, picture, graph={"penalties": (name,)}, weights=[50.0])
    assert float(PENALTIES[name](held.picture)) < float(PENALTIES[name](free.picture))


def test_a_penalty_of_weight_zero_changes_nothing(tiny_network, picture):
    _, free = climb(tiny_network, picture)
    _, held = climb(tiny_network, picture, graph={"penalties": tuple(PENALTIES)}, weights=[0.0] * len(PENALTIES))
    np.testing.assert_allclose(held.picture, free.picture, atol=1e-6)


@pytest.mark.parametrize("name", MOVES)
def test_what_goes_back_through_a_move_is_its_transpose(name):
    for size in [(33, 40), (1, 1), (1, 7), (16, 5)]:
        amount = {"rotate": 40.0, "scale": 0.4, "flip": 1.0}[name]
        for matrix in matrices({name: amount}, keys=(0, 1, 2), steps=4):
            there, back = (tf.constant(RNG.normal(0, 1, (*size, 3)).astype(np.float32)) for _ in range(2))
            one = float(tf.reduce_sum(warp(there, matrix) * back))
            other = float(tf.reduce_sum(there * warp_back(back, matrix)))
            assert one == pytest.approx(other, abs=2e-4 * (1 + np.prod(size) ** 0.5))


@pytest.mark.parametrize("name", MOVES)
def test_a_move_stays_within_its_amount_and_is_drawn_anew_for_every_step_octave_and_frame(name):
    amount = {"rotate": 10.0, "scale": 0.1, "flip": 1.0}[name]
    drawn = matrices({name: amount}, keys=(5, 0, 0), steps=40)
    np.testing.assert_array_equal(drawn, matrices({name: amount}, keys=(5, 0, 0), steps=40))
    np.testing.assert_array_equal(drawn[:7], matrices({name: amount}, keys=(5, 0, 0), steps=7))
    assert len(np.unique(drawn.round(5), axis=0)) > (1 if name == "flip" else 30)
    sizes = np.sqrt(np.abs(np.linalg.det(drawn)))
    assert (sizes <= 1.1001).all()
    assert (sizes >= 1 / 1.1001).all()
    np.testing.assert_allclose(matrices({name: 0.0}, keys=(5, 0, 0), steps=3), np.tile(np.eye(2), (3, 1, 1)))
    for keys in ((5, 1, 0), (5, 0, 1), (6, 0, 0)):
        assert np.abs(matrices({name: amount}, keys=keys, steps=40) - drawn).max() > 0


def test_a_mirrored_picture_is_exact_and_no_turn_is_the_picture_itself():
    np.testing.assert_allclose(warp(LOUD, np.eye(2, dtype=np.float32)), LOUD, atol=1e-5)
    np.testing.assert_allclose(warp(LOUD, np.diag([-1.0, 1.0]).astype(np.float32)), LOUD[:, ::-1], atol=1e-5)
    half_turn = warp(LOUD, -np.eye(2, dtype=np.float32))
    np.testing.assert_allclose(half_turn, LOUD[::-1, ::-1], atol=1e-5)


def test_a_turned_step_follows_the_true_gradient(tiny_network, picture):
    turn = matrices({"rotate": 20.0, "scale": 0.2}, keys=(3, 0, 0), steps=1)
    ascent = Ascent(tiny_network, square("deep"), settings=AscentSettings(normalise="none"), turned=True)
    climbed, _ = ascent.ascend(picture, shifts=np.array([[3, -2]], np.int32), sizes=np.ones(1, np.float32), turns=turn)

    def value(shown):
        return ascent.value(warp(tf.roll(tf.constant(shown), (3, -2), (0, 1)), turn[0]).numpy())

    direction = RNG.normal(0, 1, picture.shape).astype(np.float32)
    slope = (value(picture + 1e-3 * direction) - value(picture - 1e-3 * direction)) / 2e-3
    assert ((climbed - picture) * direction).sum() == pytest.approx(slope, rel=0.02, abs=1e-4)


@pytest.mark.parametrize("name", PARAMETRISATIONS)
def test_every_parametrisation_gives_back_what_it_wrote(name):
    for size in [(32, 48), (31, 45), (16, 17), (5, 5)]:
        written = PARAMETRISATIONS[name]
        picture = RNG.uniform(0.05, 0.95, (*size, 3)).astype(np.float32)
        shape = tf.constant(size)
        np.testing.assert_allclose(written.decode(written.encode(picture), shape), picture, atol=1e-4)


@pytest.mark.parametrize("name", PARAMETRISATIONS)
def test_every_parametrisation_gives_the_true_gradient_back(name):
    written, shape = PARAMETRISATIONS[name], tf.constant((15, 20))
    point = written.encode(RNG.uniform(0.2, 0.8, (15, 20, 3)).astype(np.float32))
    weights = tf.constant(RNG.normal(0, 1, (15, 20, 3)).astype(np.float32))
    gradient = written.pull(weights, point, shape)
    direction = RNG.normal(0, 1, point.shape).astype(np.float32) * float(tf.math.reduce_std(point) + 1e-3)
    up, down = (
        float(tf.reduce_sum(weights * written.decode(point + step * direction, shape))) for step in (0.01, -0.01)
    )
    assert float(tf.reduce_sum(gradient * direction)) == pytest.approx((up - down) / 0.02, rel=0.02)


def test_waves_have_no_places_for_a_mask(tiny_network, picture):
    with pytest.raises(UsageError, match="parametrisation"):
        climb(
            tiny_network, picture, settings=AscentSettings(parametrisation="waves"), where=np.ones((32, 48), np.float32)
        )


@pytest.mark.parametrize("name", SMOOTHERS)
def test_every_smoother_keeps_what_is_flat_and_takes_the_noise(name):
    smoother, progress = SMOOTHERS[name], tf.constant(0.5)
    flat = smoother(tf.ones((30, 40, 3)), 1.5, progress).numpy()
    np.testing.assert_allclose(flat[9:-9, 9:-9], 1, atol=1e-5)
    assert smoother(LOUD, 1.5, progress).numpy().std() < 0.5 * LOUD.std()


def test_the_cascade_grows_softer_over_the_steps():
    early, late = (SMOOTHERS["cascade"](LOUD, 0.5, tf.constant(part)).numpy().std() for part in (0.1, 1.0))
    assert late < 0.8 * early


@pytest.mark.parametrize("name", CENTRES)
def test_every_centring_takes_off_its_mean(name):
    tilted = LOUD + tf.constant([0.5, 0.1, -0.3])
    found = CENTRES[name](tilted).numpy().mean((0, 1))
    wanted = {"none": tilted.numpy().mean((0, 1)), "colours": np.zeros(3)}
    if name == "all":
        assert found.mean() == pytest.approx(0, abs=1e-6)
        assert found[0] - found[2] == pytest.approx(0.8, abs=0.1)
    else:
        np.testing.assert_allclose(found, wanted[name], atol=1e-6)


@pytest.mark.parametrize("name", COLOURS)
def test_steps_in_any_colours_are_as_long_and_still_rise(tiny_network, picture, name):
    ascent, climbed = climb(tiny_network, picture, steps=3, settings=AscentSettings(colours=name, normalise="rms"))
    assert ascent.value(climbed.picture) > ascent.value(picture)
    if COLOURS[name] is not None:
        assert np.sqrt(np.mean((LOUD @ COLOURS[name].T) ** 2)) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("name", RESAMPLERS)
def test_every_resampler_keeps_flat_colour_and_takes_frames_and_planes(name):
    frame = np.full((20, 31, 3), 0.3, np.float32)
    for size in (Size(9, 7), Size(50, 44), Size(31, 20), Size(1, 1)):
        assert Size.of(RESAMPLERS[name](frame, size)) == size
        np.testing.assert_allclose(RESAMPLERS[name](frame, size), 0.3, atol=1e-6)
        assert RESAMPLERS[name](frame[..., 0], size).shape == (size.height, size.width)
    assert RESAMPLERS[name](frame, Size(31, 20)) is frame


@pytest.mark.parametrize("carry", CARRIES)
def test_a_dream_without_steps_is_the_canvas_or_what_is_left_of_it(tiny_network, picture, carry):
    dreamer = dreamer_of(tiny_network, octaves=3, octave_carry=carry, first_steps=0)
    dream, _ = dreamer(picture, frame=0, seconds=0.0)
    if carry == "picture":
        assert 1e-3 < np.abs(dream - picture).max() < 0.3
    else:
        np.testing.assert_allclose(dream, picture, atol=1e-5)


@pytest.mark.parametrize("carry", CARRIES)
def test_every_carry_hands_the_dream_on(tiny_network, picture, carry):
    dreamer = dreamer_of(tiny_network, octaves=2, octave_carry=carry, first_steps=4)
    first, last = dreamer.evolve(picture, frame=0, seconds=0.0)
    seen = resize(last.picture - picture, first.size)
    below = first.picture - resize(picture, first.size)
    assert np.corrcoef(seen.ravel(), below.ravel())[0, 1] > 0.4


def test_a_blend_holds_the_dream_to_its_source(tiny_network, picture):
    def change(blend):
        dreamer = dreamer_of(tiny_network, octaves=3, first_steps=4, octave_blend=blend)
        return np.abs(dreamer(picture, frame=0, seconds=0.0)[0] - picture).mean()

    assert change(0.0) > change(0.5) > change(1.0) > 0


def test_scales_are_named_one_by_one_or_bounded_by_sides():
    def pyramid(**settings):
        return Pyramid(OctaveSettings(**settings))

    size = Size(640, 360)
    assert pyramid().sizes(size) == [Size(233, 131), Size(327, 184), Size(457, 257), size]
    assert pyramid(octave_sizes="0.5, 400x225, 1").sizes(size) == [Size(320, 180), Size(400, 225), size]
    assert pyramid(smallest_side=200).sizes(size) == [Size(457, 257), size]
    assert pyramid(largest_side=500).sizes(size) == [Size(233, 131), Size(327, 184), Size(457, 257)]
    assert pyramid(largest_side=100).sizes(size) == [Size(100, 56)]
    assert pyramid(octave_sizes="1.3").sizes(size, smallest=80) == [Size(832, 468)]
    assert pyramid(octave_sizes="0.01, 0.02").sizes(size, smallest=80) == [Size(13, 7)]


@pytest.mark.parametrize("carry", CARRIES)
@pytest.mark.parametrize("scales", ["0.5, 0.75", "1, 1.5"])
def test_a_dream_has_the_size_of_its_canvas_whatever_the_scales(tiny_network, picture, carry, scales):
    dreamer = dreamer_of(tiny_network, octave_sizes=scales, octave_carry=carry, first_steps=1)
    dream, _ = dreamer(picture, frame=0, seconds=0.0)
    assert dream.shape == picture.shape
    assert np.abs(dream - picture).max() > 1e-3


def test_the_edges_of_layers_can_be_left_out():
    inner = without_edges(tf.ones((1, 6, 5, 2)), 2).numpy()[0, :, :, 0]
    assert inner.sum() == 2
    assert inner[2:4, 2].all()
    assert not without_edges(tf.ones((1, 3, 3, 1)), 2).numpy().any()
    scores = tf.ones((1, 7))
    assert without_edges(scores, 2) is scores


def test_an_octave_ends_when_it_has_enough(tiny_network, picture):
    _, long = climb(tiny_network, picture)
    enough = float(long.values[2]) - 1e-6
    _, short = climb(tiny_network, picture, stop_at=enough)
    assert len(short.values) == 3
    np.testing.assert_array_equal(short.values, long.values[:3])


def test_a_held_picture_stays_within_black_and_white(tiny_network, picture):
    _, free = climb(tiny_network, picture, size=0.2)
    _, held = climb(tiny_network, picture, size=0.2, settings=AscentSettings(clip=True))
    assert free.picture.max() > 1
    assert held.picture.min() >= 0
    assert held.picture.max() <= 1


def test_the_picture_is_blurred_every_few_steps(tiny_network, picture):
    told = []

    def dream(**options):
        dreamer = dreamer_of(tiny_network, octaves=1, first_steps=4, **options)
        return dreamer(picture, frame=0, seconds=0.0, watch=told.append)[0]

    sharp, soft, later = dream(), dream(blur=1.0, blur_every=2), dream(blur=1.0, blur_every=5)
    rough = [np.abs(np.diff(found, axis=1)).mean() for found in (sharp, soft)]
    assert rough[1] < 0.9 * rough[0]
    np.testing.assert_array_equal(sharp, later)
    assert [(moment.octave, moment.step, moment.steps) for moment in told[:4]] == [
        (0, step, 4) for step in (1, 2, 3, 4)
    ]
