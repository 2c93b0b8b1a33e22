"""Settings that make no sense together are told apart from those that do, in a sentence, before anything is loaded."""

from __future__ import annotations

import pytest

from renderer.errors import UsageError
from renderer.films.render_setup import open_dreamer
from renderer.frame import Size
from renderer.setting_types import scales_of
from renderer.settings.presets import resolve
from renderer.settings.schema import build


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        ({"dream.octave_sizes": "0.5, 1", "dream.octaves": 3}, r"dream.octaves is 3; leave one of them out"),
        ({"dream.octave_sizes": "0.5, 1", "dream.octave_ratio": 1.5}, r"dream.octave_ratio is 1.5"),
        ({"dream.smallest_side": 200, "dream.largest_side": 100}, r"no scale is left"),
        ({"dream.parametrisation": "waves", "dream.clip": True}, r"dream.clip .* waves"),
        ({"dream.parametrisation": "waves", "area.box": "0,0,0.5,0.5"}, r"area.box .* waves"),
        ({"dream.optimiser": "lbfgs", "dream.smoothing": 2}, r"lbfgs .* dream.smoothing is 2"),
        ({"dream.optimiser": "lbfgs", "dream.colours": "natural"}, r"dream.colours is natural"),
        ({"dream.optimiser": "lbfgs", "dream.stop_at": 1.5}, r"dream.stop_at is 1.5"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_in_a_sentence(sets, told):
    with pytest.raises(UsageError, match=told):
        build(sets)
    for key, value in sets.items():
        if key != "dream.octave_ratio":
            build({key: value})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.5, 0.71, 1", (0.5, 0.71, 1.0)),
        ("320x180,640x360", (Size(320, 180), Size(640, 360))),
        ([0.5, "64x48", 1], (0.5, Size(64, 48), 1.0)),
        (1, (1.0,)),
    ],
)
def test_scales_are_named_as_sizes_or_parts_of_the_frame(text, found):
    assert scales_of(build({"dream.octave_sizes": text}).dream.octave_sizes) == found


@pytest.mark.parametrize("text", ["", "a", "0", "-1", "5", "nan", "1,,2", True, [True], {}, "1;2"])
def test_scales_that_are_none_are_refused(text):
    with pytest.raises(UsageError, match=r"dream.octave_sizes is .*: must be"):
        build({"dream.octave_sizes": text})


def test_waves_are_for_stills():
    settings = resolve(sets=["dream.parametrisation=waves"]).settings
    with pytest.raises(UsageError, match="dreamreel still"):
        open_dreamer(settings)


@pytest.mark.parametrize("preset", ["google", "tensorflow-tutorial", "pytorch-deepdream", "keras-io"])
def test_a_recipe_with_a_setting_of_the_users_on_top_still_makes_sense(preset):
    made = resolve(presets=[preset], sets=["dream.variety=0.5", "dream.step_size=0.01", "dream.normalise=laplacian"])
    assert made.settings.dream.step_size == 0.01


def test_the_last_word_on_scales_takes_the_others_back():
    preset = "tensorflow-tutorial"
    few = resolve(presets=[preset], sets=["dream.octaves=2"])
    assert resolve(presets=[preset]).settings.dream.octave_sizes is not None
    assert (few.settings.dream.octaves, few.settings.dream.octave_sizes) == (2, None)
    named = resolve(presets=["loom"], sets=["dream.octave_sizes=0.5,1"]).settings.dream
    assert (named.octave_sizes, named.octaves, named.octave_ratio) == ("0.5, 1", 4, 1.4)
