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


def refused(values) -> str:
    with pytest.raises(UsageError) as caught:
        build(values)
    return str(caught.value)


def test_every_setting_says_what_it_means_and_has_a_default_that_it_accepts():
    plain = flatten(Settings())
    for key, field in fields().items():
        assert field.description
        assert build({key: plain[key]}) == Settings()


def test_a_number_out_of_range_is_refused_with_its_name_and_what_is_allowed():
    numbers = {key: field for key, field in fields().items() if any(hasattr(mark, "le") for mark in field.metadata)}
    assert len(numbers) > 20
    for key, field in numbers.items():
        for wrong in (float("nan"), float("inf"), -float("inf"), 1e30, -1e30, True, "x", [], {"a": 1}):
            message = refused({key: wrong})
            assert key in message
            assert allowed(field) in message or "true or false" in message


def test_a_value_over_time_that_makes_no_sense_is_refused_with_its_name():
    keys_over_time = [key for key, field in fields().items() if any(isinstance(m, Within) for m in field.metadata)]
    assert len(keys_over_time) > 20
    for key in keys_over_time:
        for wrong in (float("nan"), float("inf"), "inf", 1e30, "-1e30", True, None, [], "__class__"):
            assert key in refused({key: wrong})


def test_rates_are_exact():
    for given_rate, exact in [
        (24, Fraction(24)),
        ("25", Fraction(25)),
        (23.976, Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("24000/1001", Fraction(24000, 1001)),
        ("12.5", Fraction(25, 2)),
    ]:
        assert build({"film.fps": given_rate}).rate == exact


def test_rates_and_sizes_that_are_none_are_refused():
    for wrong in ("nan", "inf", 0, -24, "1/0", "1e99999999", 10**30, True, "9" * 5000, "24/", None):
        message = refused({"film.fps": wrong})
        assert "film.fps" in message and "frames a second" in message
    for wrong in ("0x0", "640", "-3x4", "99999x10", "axb", 5, None, "640x360x3"):
        assert "film.size" in refused({"film.size": wrong})


def test_layers_are_a_mix_of_names_and_weights():
    for written, mix in [
        ("a,b", {"a": 1.0, "b": 1.0}),
        ("a:1, b:0.5", {"a": 1.0, "b": 0.5}),
        ("parts:20:0.8", {"parts:20": 0.8}),
        (["a", "b:2"], {"a": 1.0, "b": 2.0}),
        ({"a": 2}, {"a": 2.0}),
        ("a:1-t/T,b:7:max(0, t)", {"a": "1-t/T", "b:7": "max(0, t)"}),
        ({"a": "t/T", "b": {"0s": 1, "4s": 0}}, {"a": "t/T", "b": {"0s": 1, "4s": 0}}),
    ]:
        assert build({"dream.layers": written}).dream.layers == mix
    for wrong in (
        "a:x",
        "a,a",
        ":1",
        {"a": float("nan")},
        5,
        [3],
        {"a": True},
        {"a": 1e4},
        {"a": "1/t"},
        {"a": {"4x": 1}},
    ):
        assert "dream.layers" in refused({"dream.layers": wrong})


def test_an_unknown_setting_is_answered_with_the_nearest():
    for wrong, hint in (
        ("camera.zom", "camera.zoom"),
        ("zoom", "camera.zoom"),
        ("film.sice", "film.size"),
        ("sed", "seed"),
    ):
        message = refused({wrong: 1})
        assert f"no setting {wrong!r}" in message and "did you mean" in message and repr(hint) in message


def test_names_of_the_machinery_are_no_settings():
    for wrong in ("__class__", "camera.__class__", "camera", "camera.zoom.x", "", ".", "model_config"):
        assert "no setting" in refused({wrong: 1})


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


def test_a_key_changes_with_whatever_changes_pixels_and_with_nothing_else():
    layers = {"dream__layers": "a"}
    for change in ({"seed": 1}, {"camera__zoom": 1.6}, {"film__size": "64x64"}, {"film__seconds": 5}, layers):
        assert key_of(**change) != key_of()
    for change in ({"encode__quality": 20}, {"encode__codec": "av1"}, {"film__frames": 144}, {"film__fps": "24/1"}):
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


@settings(max_examples=150, deadline=None)
@given(key=st.sampled_from(keys()), value=anything)
def test_any_value_is_either_taken_or_refused_in_a_sentence_that_names_the_setting(key, value):
    try:
        made = build({key: value})
    except UsageError as error:
        assert key in str(error)
    else:
        assert build(json.loads(json.dumps(flatten(made), allow_nan=False))) == made
