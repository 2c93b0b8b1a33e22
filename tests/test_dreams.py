"""Dreams a second are not frames a second: how many dreams a film has, and when."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import films
import numpy as np
import pytest
from films import Listening
from typer.testing import CliRunner

from renderer.cli.main import app
from renderer.errors import Interrupted, UsageError
from renderer.films.make import make_film
from renderer.films.new_film import new_film, preview_of
from renderer.films.recipe import VERSION, parse_recipe
from renderer.films.replay import encode_again
from renderer.frame import Size
from renderer.media.ffmpeg.clips import open_clip
from renderer.media.recipe import read_recipe
from renderer.media.store.store import Store
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
    for_all = resolve(flags={"film.dreams": ("jobs.toml, line 2", 30)}, table={"seed"})
    assert new_film("zoom", for_all, tmp_path / "film.mp4", {}).settings.dream_rate == 24
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


# --- films -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return films.save_tiny_network(tmp_path_factory.mktemp("network") / "tiny.keras")


def make(film, *, stop_after=10**9):
    listening = Listening(stop_after=stop_after)
    return make_film(film, listener=listening, should_stop=listening.should_stop), listening


def pixels_of(path):
    return np.stack(list(open_clip(path).pixels()))


def test_a_film_of_fewer_dreams_goes_on_after_a_stop_to_the_same_bytes_and_shows_what_is_there(network, tmp_path):
    sets = ("film.dreams=8", "film.fps=24", "camera.zoom=1.5")
    whole, broken, part = tmp_path / "whole.mp4", tmp_path / "broken.mp4", tmp_path / "part.apng"
    result, listening = make(films.zoom(network, whole, *sets, frames=24))
    assert (result.frames, result.kept, result.rate, listening.frames) == (24, 9, 24, list(range(9)))
    assert open_clip(whole).count == 24
    with pytest.raises(Interrupted, match="Stopped after dream 4 of 9"):
        make(films.zoom(network, broken, *sets, frames=24), stop_after=4)
    so_far = encode_again(broken, part, listener=(told := Listening()))
    assert (so_far.frames, so_far.kept) == (10, 4) and "4 of 9 dreams are there" in told.notes[0]
    assert len(pixels_of(part)) == read_recipe(part)["frames"] == 10
    result, listening = make(films.zoom(network, broken, *sets, frames=24))
    assert (result.resumed_at, listening.frames) == (4, [4, 5, 6, 7, 8])
    assert films.sha256(broken) == films.sha256(whole)


def test_a_film_as_many_dreams_as_frames_shows_them_as_they_are(network, tmp_path):
    film = films.zoom(network, tmp_path / "film.apng", "film.dreams=12", "film.fps=12", frames=6, keep_store=True)
    make(film)
    dreams = np.stack(list(Store.existing(film.folder).frames()))
    np.testing.assert_array_equal(pixels_of(film.out), dreams)
    again = films.zoom(network, tmp_path / "again.apng", "film.dreams=frame", "film.fps=12", frames=6)
    make(again)
    np.testing.assert_array_equal(pixels_of(again.out), dreams)


def test_a_loop_has_the_same_dreams_at_every_rate_and_comes_round_at_each(network, tmp_path):
    dreams = []
    for fps in (24, 25, 30, 60):
        sets = ("film.loop=true", "film.dreams=12", f"film.fps={fps}", "film.seam=0.5", "film.run_up=0.25")
        film = films.zoom(network, tmp_path / f"{fps}.apng", *sets, frames=fps, keep_store=True)
        result, _ = make(film)
        assert (result.frames, result.kept) == (fps, 12)
        dreams.append(np.stack(list(Store.existing(film.folder).frames())))
        np.testing.assert_array_equal(dreams[-1], dreams[0])
        shown = pixels_of(film.out).astype(float)
        steps = [np.abs(a - b).mean() for a, b in zip(shown, [*shown[1:], shown[0]], strict=True)]
        assert steps[-1] < 1.2 * max(steps[:-1])


def test_a_preview_is_small_and_of_few_dreams_and_leaves_the_film_alone(network, tmp_path):
    sets = ("film.size=480x800", "encode.size=1080x1920", "film.dreams=12")
    film = films.zoom(network, tmp_path / "film.mp4", *sets, frames=24)
    small = preview_of(film)
    assert (small.out.name, small.settings.film.size) == ("film.preview.mp4", Size(180, 300))
    assert small.settings.encode.size == Size(180, 320)
    assert (small.settings.dream_rate, small.settings.encode.quality) == (8, 23)
    assert small.settings.duration == film.settings.duration and small.folder != film.folder
    slow = films.zoom(network, tmp_path / "frames", "film.size=96x64", "film.dreams=5", "encode.quality=3", frames=3)
    small = preview_of(slow)
    assert (small.out.name, small.settings) == ("frames-preview", slow.settings)


def test_a_batch_makes_previews_beside_its_films(network, tmp_path):
    (tmp_path / "jobs.toml").write_text(
        f"""
        [defaults]
        output = "{{name}}.mp4"
        set = {{ network.weights = "{network}", dream.octaves = 1, film.size = "64x48", film.seconds = 0.25 }}
        [[job]]
        name = "a"
        """
    )
    for flags, names in ((["--preview"], {"a.preview.mp4"}), ([], {"a.preview.mp4", "a.mp4"})):
        done = CliRunner().invoke(app, ["batch", str(tmp_path / "jobs.toml"), *flags, "--json"])
        assert done.exit_code == 0, done.output
        assert {path.name for path in tmp_path.glob("*.mp4")} == names
    made = next(json.loads(line) for line in done.stdout.splitlines())
    assert (made["frames"], made["dreams"], made["rendered"]) == (6, 4, 4)


def test_the_plan_of_a_film_tells_of_its_preview_too(network, tmp_path):
    asked = ["plan", "zoom", "-o", str(tmp_path / "film.mp4"), "--weights", str(network), "--size", "320x200"]
    asked += ["--octaves", "1", "--seconds", "1"]
    text = CliRunner().invoke(app, asked).stdout
    assert "dreams:  13, 12 a second" in text and "(288x180, 9 dreams)" in text
    told = json.loads(CliRunner().invoke(app, [*asked, "--preview", "--json"]).stdout)
    assert (told["size"], told["frames"], told["dreams"], told["preview_seconds"]) == ("288x180", 24, 9, None)
