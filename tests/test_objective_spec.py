from __future__ import annotations

import numpy as np
import pytest
from dreamers import dreamer_of

from renderer.dreaming.objectives.channel_weights import CHANNEL_CHOICES, ChannelChoice
from renderer.dreaming.objectives.objective import Objective, Term
from renderer.dreaming.objectives.objective_spec import added, class_mix, cycled, parse_mix
from renderer.errors import UsageError
from renderer.films.render_setup import open_dreamer
from renderer.settings.schema import build
from renderer.time_value import value_at


def test_a_mix_reads_kinds_layers_channels_ranks_and_places():
    mix = parse_mix(
        {"a": 1.0, "b:3": -0.5, "style@a": 2.0, "b:strongest8": 1.0, "mean@b:3(0.5,1)": 1.0, "a(0,0.25)": 1.0},
        kind="square",
    )
    assert mix == Objective(
        (
            Term("square", "a", None, 1.0),
            Term("square", "b", 3, -0.5),
            Term("style", "a", None, 2.0),
            Term("square", "b", None, 1.0, ChannelChoice("strongest", 8)),
            Term("mean", "b", 3, 1.0, None, (0.5, 1.0)),
            Term("square", "a", None, 1.0, None, (0.0, 0.25)),
        )
    )
    assert mix.layers == ("a", "b")


@pytest.mark.parametrize(
    ("mix", "what"),
    [
        ({}, "empty"),
        ({"a": 0.0}, "all its weights are 0"),
        ({"a:x": 1.0}, "'x' where a channel should be.*strongest8"),
        ({"a:strongest": 1.0}, "'strongest' where a channel"),
        ({"a:5..3": 1.0}, "the channels 5..3"),
        ({"a:0..999999999": 1.0}, "too many"),
        ({"a:strongest0": 1.0}, "chooses no channels"),
        ({"a:12(2,0.5)": 1.0}, "a place as parts of the frame"),
        ({"a(0.5)": 1.0}, "a place as parts of the frame"),
        ({"a:1:2": 1.0}, "should be LAYER or LAYER:CHANNEL"),
        ({"": 1.0}, "should be LAYER"),
        ({"styl@a": 1.0}, "no objective 'styl'; did you mean 'style'"),
        ({"a": float("nan")}, "finite"),
        ({"a": float("inf")}, "finite"),
    ],
)
def test_a_mix_that_means_nothing_is_refused_in_a_sentence(mix, what):
    with pytest.raises(UsageError, match=what):
        parse_mix(mix, kind="square")


def test_mixes_add_up():
    total = added([{"a": 1.0, "b": 2.0}, {"a": lambda t: t, "c": 1.0}])
    assert [value_at(total[name], 3.0) for name in "abc"] == [4.0, 2.0, 1.0]


def test_layers_take_turns_and_fade_into_each_other():
    mix = cycled([{"a": 2.0}, {"b": 1.0}, {"a": 1.0, "c": 1.0}], seconds=2.0, fade=0.5, loop_seconds=None)

    def at(seconds):
        return [round(value_at(mix[name], seconds), 6) for name in "abc"]

    assert (at(1.0), at(3.0), at(5.0), at(7.0)) == ([2, 0, 0], [0, 1, 0], [1, 0, 1], [2, 0, 0])
    assert at(2.0) == [1.0, 0.5, 0]
    assert at(0.0) == at(6.0) == [1.5, 0, 0.5]
    for seconds in np.linspace(0, 12, 97):
        assert value_at(mix["a"], seconds) >= 0
    hard = cycled([{"a": 1.0}, {"b": 1.0}], seconds=2.0, fade=0.0, loop_seconds=None)
    assert [value_at(hard["a"], t) for t in (0.0, 1.9, 2.0, 3.9, 4.0)] == [1, 1, 0, 0, 1]


def test_a_film_that_comes_round_has_whole_rounds_of_turns():
    mix = cycled([{"a": 1.0}, {"b": 1.0}], seconds=3.0, fade=0.5, loop_seconds=14.0)  # two rounds, of 7 s each
    for seconds in (0.0, 0.7, 2.9):
        assert value_at(mix["a"], seconds) == pytest.approx(value_at(mix["a"], seconds + 14.0))
        assert value_at(mix["a"], seconds) == pytest.approx(value_at(mix["a"], seconds + 7.0))


class Head:
    head = "scores"

    def class_numbers(self, which):
        return {"cat": (1,), "1": (1,), "dog": (2, 3, 4, 9)}[which]


def test_classes_are_channels_of_the_head():
    mix = class_mix(Head(), {"cat": 1.0, "dog": -0.5})
    assert mix == {"logit@scores:1": 1.0, "likeliest@scores:2..4|9": -0.5}
    assert [term.channel for term in parse_mix(mix, kind="mean").terms] == [1, (2, 3, 4, 9)]
    with pytest.raises(UsageError, match="class 1 twice, as 'cat' and as '1'"):
        class_mix(Head(), {"cat": 1.0, "1": 0.5})
    assert class_mix(Head(), {}) == {}


ACTIVITY = np.array([0.0, 5.0, 1.0, 3.0, 0.0, 2.0], np.float32)


@pytest.mark.parametrize("rule", list(CHANNEL_CHOICES))
def test_every_rank_weighs_some_channels_alike_with_a_mean_of_one(rule):
    weights = ChannelChoice(rule, 2).weights(ACTIVITY)
    assert weights.mean() == pytest.approx(1)
    assert len(set(weights[weights > 0])) == 1
    assert 0 < (weights > 0).sum() < 6


def test_ranks_choose_by_how_channels_answer():
    chosen = {rule: set(np.flatnonzero(ChannelChoice(rule, 2).weights(ACTIVITY))) for rule in CHANNEL_CHOICES}
    assert chosen["strongest"] == {1, 3}
    assert chosen["weakest"] == {2, 5}  # those that are silent give no direction
    assert chosen["average"] == {2, 5}
    assert chosen["ignore"] == {0, 2, 4, 5}


def test_a_rank_that_leaves_no_channels_is_refused(tiny_network):
    with pytest.raises(UsageError, match="16 channels: ignore16 leaves none"):
        dreamer_of(tiny_network, layers={"deep:ignore16": 1.0})


def test_ranks_follow_the_canvas(tiny_network, picture):
    """The strongest channel of a canvas is dreamed as that channel is by its number."""
    dreamer = dreamer_of(tiny_network, layers={"deep:strongest1": 1.0}, octaves=1, jitter=0)
    number = int(dreamer.ascents[0].evaluator.activations(picture)["deep"].numpy().mean((0, 1, 2)).argmax())
    by_number = dreamer_of(tiny_network, layers={f"deep:{number}": 1.0}, octaves=1, jitter=0)
    chooses_channels, numbered = (one(picture, frame=0, seconds=0.0)[0] for one in (dreamer, by_number))
    np.testing.assert_array_equal(chooses_channels, numbered)
    assert dreamer.ascents[0]._step is by_number.ascents[0]._step  # which channels is no part of the graph


def test_each_octave_dreams_its_own_layers(tiny_network, picture):
    """Coarse to fine, the last one for the rest; the finest alone is what the finest layers give."""
    layers, scales = [{"shallow": 1.0}, {"middle": 1.0}], {"octaves": 3, "octave_ratio": 1.3}
    dreamer = dreamer_of(tiny_network, octave_layers="shallow; middle", **scales, jitter=0)
    values = [report.values[0] for report in dreamer.evolve(picture, frame=0, seconds=0.0)]
    shallow, middle = (dreamer_of(tiny_network, layers=mix, **scales, jitter=0) for mix in layers)
    first = next(shallow.evolve(picture, frame=0, seconds=0.0))
    assert values[0] == first.values[0] != next(middle.evolve(picture, frame=0, seconds=0.0)).values[0]
    assert len(dreamer.ascents) == 2
    # A frame too small for the coarsest octave begins with the layers of the next.
    small = dreamer_of(
        tiny_network, octave_layers="shallow; middle", octaves=3, octave_ratio=1.3, smallest_side=22, jitter=0
    )
    assert next(small.evolve(picture, frame=0, seconds=0.0)).values[0] == pytest.approx(
        next(
            dreamer_of(tiny_network, layers=layers[1], octaves=2, octave_ratio=1.3, jitter=0).evolve(
                picture, frame=0, seconds=0.0
            )
        ).values[0],
        rel=1e-5,
    )


def test_layers_are_dreamed_on_every_octave_beside_its_own(tiny_network):
    dreamer = dreamer_of(tiny_network, layers={"content@picture": 0.5}, octave_layers="shallow; deep")
    assert [one.objective.layers for one in dreamer.ascents] == [("picture", "shallow"), ("picture", "deep")]


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("parts:strongest8", {"parts:strongest8": "1"}),
        ("parts:12:0.5,parts:average4:2", {"parts:12": "0.5", "parts:average4": "2"}),
        ("parts:12(0.5,0.25)", {"parts:12(0.5,0.25)": "1"}),
        ("parts(0.5,0.25):t", {"parts(0.5,0.25)": "t"}),
        ("style@parts:0.1,content@picture", {"style@parts": "0.1", "content@picture": "1"}),
        ("parts:max(0,1-t)", {"parts": "max(0,1-t)"}),
    ],
)
def test_a_mix_as_text_tells_channels_from_weights(text, layers):
    wanted = build({"dream.layers": layers}).dream.layers
    assert build({"dream.layers": text}).dream.layers == wanted


def test_octave_layers_are_written_in_one_line_or_a_list():
    line = build({"dream.octave_layers": "edges; patterns:2,parts ;objects"})
    listed = build({"dream.octave_layers": ["edges", "patterns:2,parts", "objects"]})
    assert line == listed
    for wrong in ("edges;;parts", "edges:t", 3, [], "a:nan"):
        with pytest.raises(UsageError, match=r"dream\.octave_layers"):
            build({"dream.octave_layers": wrong})


def test_a_film_has_the_layers_of_its_settings():
    base = {"film.size": "64x48", "dream.octaves": 2}
    _, dreamer = open_dreamer(build({**base, "dream.octave_layers": "textures; parts", "dream.objective": "square"}))
    assert [one.objective for one in dreamer.ascents] == [
        Objective((Term("square", layer),)) for layer in ("textures", "parts")
    ]
    _, dreamer = open_dreamer(build({**base, "dream.cycle": "textures; parts", "dream.cycle_seconds": 2}))
    np.testing.assert_allclose(dreamer.objective.weights(3.0), [0, 1])
    with pytest.raises(UsageError, match="both say which layers"):
        open_dreamer(build({**base, "dream.cycle": "textures; parts", "dream.octave_layers": "textures; parts"}))


def test_a_class_is_refused_where_the_network_tells_none_apart():
    with pytest.raises(UsageError, match=r"no head.* squeezenet and"):
        open_dreamer(build({"film.size": "64x48", "dream.of": "goldfish"}))
