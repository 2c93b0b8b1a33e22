from __future__ import annotations

import numpy as np
import pytest
from dreamers import dreamer_of

from renderer.dreaming.evaluator import Evaluator
from renderer.dreaming.objectives.objective_spec import parse_mix
from renderer.dreaming.objectives.references import InputsBuilder, covering
from renderer.errors import BadInput, UsageError
from renderer.frame import Size


def guide_of(height, width, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (height, width, 3)).astype(np.float32)


def builder(network, mix, **pictures):
    objective = parse_mix(mix, kind="mean")
    return InputsBuilder(objective, Evaluator(network, objective.layers), pictures=pictures, smallest=16)


def test_a_guide_keeps_its_size_and_shrinks_with_the_octaves(tiny_network, picture):
    guide = guide_of(40, 64)
    inputs = builder(tiny_network, {"guide@shallow": 1.0}, guide=lambda seconds: guide)
    assert inputs(picture, scale=1.0).references["guide vectors shallow"].shape == (20 * 32, 8)
    assert inputs(picture[::2, ::2], scale=0.5).references["guide vectors shallow"].shape == (10 * 16, 8)
    # Not below what the network can take.
    assert inputs(picture[::4, ::4], scale=0.1).references["guide vectors shallow"].shape == (8 * 13, 8)


def test_what_compares_place_by_place_gets_the_guide_at_the_size_of_the_canvas(tiny_network, picture):
    guide = guide_of(40, 64)
    both = builder(tiny_network, {"inversion@shallow": 1.0, "direction@deep": 1.0}, guide=lambda seconds: guide)
    found = both(picture).references
    assert found["guide map shallow"].shape == (1, 16, 24, 8)
    assert found["guide mean deep"].shape == (16,)


def test_a_guide_that_stays_is_looked_at_once_an_octave_and_one_that_moves_each_time(tiny_network, picture):
    still, looks = guide_of(40, 64), []
    inputs = builder(tiny_network, {"direction@deep": 1.0}, guide=lambda seconds: still)
    one, again = (inputs(picture, seconds=seconds).references["guide mean deep"] for seconds in (0.0, 1.0))
    assert one is again
    moving = builder(tiny_network, {"direction@deep": 1.0}, guide=lambda seconds: guide_of(40, 64, int(seconds)))
    looks = [moving(picture, seconds=seconds).references["guide mean deep"].numpy() for seconds in (0.0, 1.0)]
    assert np.abs(looks[0] - looks[1]).max() > 1e-4


def test_what_is_compared_with_the_canvas_is_of_this_octave(tiny_network, picture):
    inputs = builder(tiny_network, {"content@shallow": 1.0, "difference@picture": 1.0})
    for canvas in (picture, picture[::2, ::2]):
        found = inputs(np.ascontiguousarray(canvas)).references
        np.testing.assert_array_equal(found["canvas map picture"][0], canvas)
        assert found["canvas map shallow"].shape[1:3] == (canvas.shape[0] // 2, canvas.shape[1] // 2)


@pytest.mark.parametrize(
    ("mix", "pictures", "what"),
    [
        ({"guide@deep": 1.0}, (), "guide needs a guide.*--guide"),
        ({"cosine@deep": 1.0, "direction@deep": 1.0}, ("style",), "direction, cosine need a guide"),
        ({"style@deep": 1.0}, ("guide",), "A guide is given.*nothing heeds it.*--objective guide|needs a style"),
        ({"deep": 1.0}, ("style",), "A style is given with --style.*nothing heeds it.*style@LAYER"),
    ],
)
def test_guides_that_are_lacking_or_compared_with_nothing_are_refused(tiny_network, mix, pictures, what):
    given = dict.fromkeys(pictures, lambda seconds: guide_of(32, 32))
    with pytest.raises(UsageError, match=what):
        dreamer_of(tiny_network, layers=mix, pictures=given)


def test_a_guide_too_small_for_the_network_is_refused(tiny_network, picture):
    with pytest.raises(BadInput, match=r"guide picture is 40x12: too small.*16 pixels"):
        builder(tiny_network, {"guide@deep": 1.0}, guide=lambda seconds: guide_of(12, 40))(picture)


def test_a_guide_that_ends_is_told_of(tiny_network, picture):
    with pytest.raises(UsageError, match="no guide picture at 2 s"):
        builder(tiny_network, {"guide@deep": 1.0}, guide=lambda seconds: None)(picture, seconds=2.0)


def test_covering_fills_the_size_and_keeps_the_middle():
    wide = np.zeros((10, 40, 3), np.float32)
    wide[:, 15:25] = 1
    covered = covering(wide, Size(20, 20))
    assert covered.shape == (20, 20, 3)
    assert covered[:, 2:18].min() > 0.9


@pytest.mark.parametrize("kind", ["guide", "style"])
def test_a_led_dream_comes_nearer_to_what_leads_it(tiny_network, picture, kind):
    guide = guide_of(32, 48, seed=4)
    dreamer = dreamer_of(
        tiny_network,
        layers={f"{kind}@deep": 1.0},
        pictures={kind: lambda seconds: guide},
        octaves=2,
        step_size=0.004,
    )
    dream, _ = dreamer(picture, frame=0, seconds=0.0)
    before, after = (dreamer.value(one, seconds=0.0, source=picture) for one in (picture, dream))
    assert after > before


def test_content_holds_to_the_source_and_not_to_what_is_carried_onto_it(tiny_network, picture):
    dreamer = dreamer_of(tiny_network, layers={"content@picture": 1.0}, octaves=1, jitter=0)
    carried = picture + np.float32(0.1)
    held, _ = dreamer(carried, frame=0, seconds=0.0)
    led, _ = dreamer(carried, frame=0, seconds=0.0, source=picture)
    np.testing.assert_array_equal(held, carried)
    assert np.abs(led - picture).mean() < np.abs(carried - picture).mean()
