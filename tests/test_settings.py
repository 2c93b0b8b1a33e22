from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renderer.errors import UsageError
from renderer.frame import Size
from renderer.setting_types import Within
from renderer.settings.messages import allowed
from renderer.settings.schema import Settings, build, encode_key, examine, fields, flatten, keys, pixel_key


def test_the_defaults_are_a_film_of_6_seconds_at_640x360_and_24_frames_a_second():
    plain = build({})
    assert (plain.film.size, plain.rate, plain.frame_count) == (Size(640, 360), 24, 144)
    assert plain == Settings()


@pytest.mark.parametrize(("key", "field"), list(fields().items()))
def test_every_setting_says_what_it_means_and_has_a_default_that_it_accepts(key, field):
    assert field.description
    assert build({key: flatten(Settings())[key]}) == Settings()


@pytest.mark.parametrize(
    ("key", "field"), [(k, f) for k, f in fields().items() if any(hasattr(m, "le") for m in f.metadata)]
)
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf"), 1e30, -1e30, True, "x", [], {"a": 1}])
def test_a_number_out_of_range_is_refused_with_its_name_and_what_is_allowed(key, field, wrong):
    with pytest.raises(UsageError) as caught:
        build({key: wrong})
    message = str(caught.value)
    assert key in message
    assert allowed(field) in message or "true or false" in message


@pytest.mark.parametrize("key", [k for k, f in fields().items() if any(isinstance(m, Within) for m in f.metadata)])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), "inf", 1e30, "-1e30", True, None, [], "__class__"])
def test_a_value_over_time_that_makes_no_sense_is_refused_with_its_name(key, wrong):
    with pytest.raises(UsageError, match=key):
        build({key: wrong})


@pytest.mark.parametrize(
    ("given_rate", "exact"),
    [
        (24, Fraction(24)),
        ("25", Fraction(25)),
        (23.976, Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("24000/1001", Fraction(24000, 1001)),
        ("12.5", Fraction(25, 2)),
    ],
)
def test_rates_are_exact(given_rate, exact):
    assert build({"film.fps": given_rate}).rate == exact


@pytest.mark.parametrize("wrong", ["nan", "inf", 0, -24, "1/0", "1e99999999", 10**30, True, "9" * 5000, "24/", None])
def test_rates_that_are_none_are_refused(wrong):
    with pytest.raises(UsageError, match=r"film\.fps.*frames a second"):
        build({"film.fps": wrong})


@pytest.mark.parametrize("wrong", ["0x0", "640", "-3x4", "99999x10", "axb", 5, None, "640x360x3"])
def test_sizes_that_are_none_are_refused(wrong):
    with pytest.raises(UsageError, match=r"film\.size"):
        build({"film.size": wrong})


@pytest.mark.parametrize(
    ("written", "mix"),
    [
        ("a,b", {"a": 1.0, "b": 1.0}),
        ("a:1, b:0.5", {"a": 1.0, "b": 0.5}),
        ("parts:20:0.8", {"parts:20": 0.8}),
        (["a", "b:2"], {"a": 1.0, "b": 2.0}),
        ({"a": 2}, {"a": 2.0}),
        ("a:1-t/T,b:7:max(0, t)", {"a": "1-t/T", "b:7": "max(0, t)"}),
        ({"a": "t/T", "b": {"0s": 1, "4s": 0}}, {"a": "t/T", "b": {"0s": 1, "4s": 0}}),
    ],
)
def test_layers_are_a_mix_of_names_and_weights(written, mix):
    assert build({"dream.layers": written}).dream.layers == mix


@pytest.mark.parametrize(
    "wrong", ["a:x", "a,a", ":1", {"a": float("nan")}, 5, [3], {"a": True}, {"a": 1e4}, {"a": "1/t"}, {"a": {"4x": 1}}]
)
def test_layers_that_are_no_mix_are_refused(wrong):
    with pytest.raises(UsageError, match=r"dream\.layers"):
        build({"dream.layers": wrong})


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [("camera.zom", "camera.zoom"), ("zoom", "camera.zoom"), ("film.sice", "film.size"), ("sed", "seed")],
)
def test_an_unknown_setting_is_answered_with_the_nearest(wrong, hint):
    with pytest.raises(UsageError, match=f"no setting '{wrong}'.*did you mean.*'{hint}'"):
        build({wrong: 1})


@pytest.mark.parametrize("wrong", ["__class__", "camera.__class__", "camera", "camera.zoom.x", "", ".", "model_config"])
def test_names_of_the_machinery_are_no_settings(wrong):
    with pytest.raises(UsageError, match="no setting"):
        build({wrong: 1})


def test_a_wrong_choice_is_answered_with_the_nearest_and_with_where_it_came_from():
    with pytest.raises(UsageError, match=r"^--noise: start.noise is 'perlni'.*white, pink, perlin, clouds.*'perlin'"):
        build({"start.noise": "perlni"}, origins={"start.noise": "--noise"})


def test_a_schedule_is_looked_at_over_the_whole_film():
    assert build({"camera.zoom": "1.5 + 0.1*t", "film.seconds": 2}).schedule("camera.zoom")(1.0) == pytest.approx(1.6)
    with pytest.raises(UsageError, match=r"camera\.zoom.*allowed is 0\.001 to 1000"):
        build({"camera.zoom": "1.5 - t", "film.seconds": 2})
    assert build({"camera.zoom": "1.5 - t", "film.seconds": 1}).schedule("camera.zoom")(1.0) == pytest.approx(0.5)


def test_every_mistake_is_found_and_the_first_is_told_with_how_many_there_are_beside_it():
    wrong = {"camera.zoom": "1 - t", "camera.zom": 1, "film.fps": 0, "dream.layers": {"a": "1/t", "b": "sin"}}
    settings, found = examine(wrong, origins={"camera.zoom": "--zoom", "dream.layers.b": "x.toml, line 3"})
    assert settings is None
    assert [sentence.partition(" is ")[0].partition(": Sched")[0] for sentence in found] == [
        "There", "film.fps", "dream.layers (a)", "x.toml, line 3: dream.layers (b)", "--zoom: camera.zoom"
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"no setting 'camera.zom'.*\(4 more of the settings are wrong too\.\)$"):
        build(wrong)
    assert examine({"seed": 3}) == (build({"seed": 3}), [])


def test_what_changes_during_the_film_is_told_apart_from_what_stays():
    made = build(
        {
            "camera.zoom": "1 + t",
            "camera.rotate": "2*pi",
            "dream.layers": {"a": 1, "b": "t/T"},
            "governor.luma": "auto",
            "carry.half_life": {"0s": 1, "100%": 4},
        }
    )
    assert made.over_time().keys() == {"camera.zoom", "dream.layers.b", "carry.half_life"}
    assert made.over_time()["carry.half_life"](3.0) == 2.5
    assert {name: schedule(6.0) for name, schedule in made.schedules("dream.layers").items()} == {"a": 1.0, "b": 1.0}


def test_a_target_takes_auto_and_nothing_that_only_looks_like_it():
    assert build({"governor.luma": "auto"}).governor.luma == "auto"
    with pytest.raises(UsageError, match=r"governor\.luma: .*unknown name 'atuo'"):
        build({"governor.luma": "atuo"})


def test_settings_survive_json():
    made = build(
        {
            "film.fps": "29.97",
            "film.size": "33x17",
            "camera.zoom": {"0s": 1.2, "4s": 2, "ease": "smooth"},
            "camera.rotate": "sin(t)",
            "dream.layers": {"a": 0.5, "b": "t/T", "c": {"0s": 0, "2s": 1}},
            "governor.luma": "auto",
            "network.weights": "w.h5",
        }
    )
    assert build(json.loads(json.dumps(flatten(made)))) == made
    assert list(flatten(made)) == keys()


def key_of(**changes: object) -> str:
    return pixel_key(build({k.replace("__", "."): v for k, v in changes.items()}), inputs={}, environment={})


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"camera__zoom": 1.6}, {"film__size": "64x64"}, {"film__seconds": 5}, {"dream__layers": "a"}],
)
def test_whatever_changes_pixels_changes_their_key(change):
    assert key_of(**change) != key_of()


@pytest.mark.parametrize(
    "change", [{"encode__quality": 20}, {"encode__codec": "av1"}, {"film__frames": 144}, {"film__fps": "24/1"}]
)
def test_what_changes_no_pixel_leaves_their_key_alone(change):
    assert key_of(**change) == key_of()


def test_keys_know_inputs_environment_codec_and_ending():
    plain = build({})
    pixels = [
        pixel_key(plain, inputs={}, environment={}),
        pixel_key(plain, inputs={"picture": "a"}, environment={}),
        pixel_key(plain, inputs={}, environment={"numpy": "2"}),
    ]
    files = [
        encode_key(plain, pixels="a", suffix=".mp4"),
        encode_key(plain, pixels="b", suffix=".mp4"),
        encode_key(plain, pixels="a", suffix=".webm"),
        encode_key(build({"encode.quality": 3}), pixels="a", suffix=".mp4"),
    ]
    assert len(set(pixels)) == 3
    assert len(set(files)) == 4


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(key=st.sampled_from(keys()), value=anything)
def test_any_value_is_either_taken_or_refused_in_a_sentence_that_names_the_setting(key, value):
    try:
        made = build({key: value})
    except UsageError as error:
        assert key in str(error)
    else:
        assert build(json.loads(json.dumps(flatten(made), allow_nan=False))) == made


def test_choices_are_those_that_the_code_below_knows():
    from renderer.media.noise import NOISES
    from renderer.motion.resample import EDGES

    known = fields()
    assert allowed(known["start.noise"]) == "one of " + ", ".join(NOISES)
    assert allowed(known["camera.edges"]) == "one of " + ", ".join(EDGES)


def test_ways_of_normalising_and_objectives_are_those_that_the_dreamer_knows():
    from renderer.dreaming.ascent.gradients import NORMALISERS
    from renderer.dreaming.objectives.objective_terms import OBJECTIVES

    known = fields()
    assert set(allowed(known["dream.normalise"]).removeprefix("one of ").split(", ")) == set(NORMALISERS)
    assert set(allowed(known["dream.objective"]).removeprefix("one of ").split(", ")) == set(OBJECTIVES)
