"""Dreams a second are not frames a second: how many dreams a film has, and when."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from renderer.errors import UsageError
from renderer.films.new_film import new_film
from renderer.films.recipe import VERSION, parse_recipe
from renderer.settings.presets import resolve
from renderer.settings.schema import build, flatten, pixel_key

RATES = ("24", "25", "30", "60", "24000/1001", "7")


def film_of(**chosen):
    return build({f"film.{name}": value for name, value in chosen.items()})


def key_of(settings):
    return pixel_key(settings, inputs={}, environment={})


def test_the_last_frame_has_a_dream_at_or_after_it_and_no_dream_is_needless():
    for fps in RATES:
        for dreams in ("12", "7", "5/3", "0.01"):
            for frames in (1, 2, 13, 144):
                made = film_of(fps=fps, dreams=dreams, frames=frames)
                last = Fraction(frames - 1) / made.rate
                assert made.dream_rate == min(Fraction(dreams), made.rate)
                assert (made.dream_count - 1) / made.dream_rate >= last > (made.dream_count - 2) / made.dream_rate


def test_a_film_that_is_dreamed_in_every_frame_has_as_many_dreams_however_that_is_said():
    for fps in RATES:
        plain = film_of(fps=fps, seconds=1.5)
        for dreams in ("frame", fps, "100"):
            made = film_of(fps=fps, seconds=1.5, dreams=dreams)
            assert (made.dream_rate, made.dream_count) == (made.rate, made.frame_count)
            assert key_of(made) == key_of(plain)
        assert key_of(film_of(fps=fps, seconds=1.5, dreams="5")) != key_of(plain)


def test_a_loop_has_a_whole_number_of_dreams_at_every_rate():
    for fps in RATES:
        for dreams in ("12", "7", "0.01"):
            made = film_of(fps=fps, dreams=dreams, seconds=4, loop=True)
            loop = made.loop(from_noise=True)
            assert loop.frames == made.dream_count >= 1
            assert loop.frames / loop.rate == made.frame_count / made.rate
            assert abs(made.dream_count - made.frame_count / made.rate * min(Fraction(dreams), made.rate)) < 1


def test_what_changes_over_time_keeps_its_last_value_where_a_dream_lies_behind_the_last_frame():
    made = build({"film.frames": 13, "film.dreams": "7", "dream.strength": "1/(0.52 - t)"})
    end = (made.dream_count - 1) / made.dream_rate
    assert end > Fraction(12, 24) and math.isclose(made.schedule("dream.strength")(float(end)), 50)


def test_more_dreams_than_frames_are_refused_where_a_user_asks_for_them_and_not_where_a_preset_does(tmp_path):
    (tmp_path / "fast.toml").write_text("[film]\ndreams = 30\n")
    resolved = resolve(presets=[str(tmp_path / "fast.toml")])
    assert new_film("zoom", resolved, tmp_path / "film.mp4", {}).settings.dream_rate == 24
    for dreams, refused in (("24", False), ("frame", False), ("24.1", True)):
        resolved = resolve(flags={"film.dreams": ("--dreams", dreams)})
        if refused:
            with pytest.raises(UsageError, match=r"--dreams: film\.dreams is 241/10, and the film has 24 frames"):
                new_film("zoom", resolved, tmp_path / "film.mp4", {})
        else:
            new_film("zoom", resolved, tmp_path / "film.mp4", {})


def recipe(version, **settings):
    plain = {key: value for key, value in flatten(build({})).items() if key != "film.dreams"}
    data = {"dreamreel": "0", "kind": "zoom", "settings": {**plain, **settings}, "inputs": {}, "facts": {}}
    return {**data, "recipe": version, "weights_sha256": "", "environment": {}}


def test_a_recipe_of_before_means_a_dream_in_every_frame(tmp_path):
    assert parse_recipe(recipe(1), source=tmp_path).settings.film.dreams == "frame"
    later = recipe(VERSION, **{"film.dreams": "12"})
    assert parse_recipe(later, source=tmp_path).settings.film.dreams == 12
