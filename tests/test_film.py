"""Whole films in this process, tiny, with the bundled network."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import time
from collections import Counter

import pytest
from films import Listening, make_clip
from typer.testing import CliRunner

from renderer import runtime
from renderer.cli.main import app
from renderer.errors import BadInput, EnvironmentProblem, Interrupted, UsageError
from renderer.films.film import ZoomFilm
from renderer.films.make import make_film
from renderer.films.new_film import new_film
from renderer.films.recipe import parse_recipe
from renderer.films.replay import encode_again, film_from_recipe
from renderer.frame import Size
from renderer.media.ffmpeg.encode import read_recipe
from renderer.media.images import write_image
from renderer.settings.presets import resolve

FRAMES = 4


def film(out, *sets, **options):
    values = [f"film.frames={FRAMES}", "film.size=64x48", "dream.octaves=2", "dream.first_steps=2", "dream.steps=1"]
    return ZoomFilm(settings=resolve(sets=[*values, *sets]).settings, out=out, **options)


def make(made, *, stop_after=10**9):
    listening = Listening(stop_after=stop_after)
    result = make_film(made, listener=listening, should_stop=listening.should_stop)
    return result, listening


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A film made without a stop."""
    out = tmp_path_factory.mktemp("whole") / "film.mp4"
    make(film(out))
    return out


def test_a_film_is_there_whole_with_its_recipe_and_nothing_beside_it(whole):
    assert [path.name for path in whole.parent.iterdir()] == ["film.mp4"]
    recipe = parse_recipe(read_recipe(whole), source=whole)
    assert recipe.settings == film(whole).settings
    assert len(recipe.weights_sha256) == 64
    assert {"tensorflow", "numpy", "device", "threads", "precision"} <= set(recipe.environment)


def test_a_film_that_was_stopped_goes_on_to_the_same_bytes(tmp_path, whole):
    out = tmp_path / "film.mp4"
    with pytest.raises(Interrupted, match=f"frame 1 of {FRAMES}"):
        make(film(out), stop_after=1)
    assert not out.exists()
    with pytest.raises(Interrupted, match=f"frame 3 of {FRAMES}"):
        make(film(out), stop_after=2)
    result, listening = make(film(out))
    assert (result.resumed_at, listening.frames) == (3, [3])
    assert sha256(out) == sha256(whole)


def test_a_film_that_goes_on_reads_its_store_its_picture_and_its_weights_once(tmp_path, picture, monkeypatch):
    write_image(picture, tmp_path / "seed.png")
    made = film(tmp_path / "film.mp4", picture=tmp_path / "seed.png")
    with pytest.raises(Interrupted):
        make(made, stop_after=3)
    store = [path for path in made.folder.iterdir() if path.suffix in (".mkv", ".npz")]
    for path in (*store, tmp_path / "seed.png"):  # What this process knows of them is forgotten.
        os.utime(path, (time.time() - 60, time.time() - 60))
    digested, real = Counter(), hashlib.file_digest
    sizes = {path.stat().st_ino: path.stat().st_size for path in store}

    def counted(file, kind):
        inode = os.fstat(file.fileno()).st_ino
        digested[inode] += 1
        return real(file, kind)

    monkeypatch.setattr("renderer.files._MOMENT_NS", 0)
    monkeypatch.setattr(hashlib, "file_digest", counted)
    with pytest.raises(Interrupted):
        make(made, stop_after=0)
    assert sum(sizes.values()) * 0.5 < sum(digested[inode] * size for inode, size in sizes.items())
    assert sum(digested[inode] * size for inode, size in sizes.items()) <= 1.05 * sum(sizes.values())
    assert digested[(tmp_path / "seed.png").stat().st_ino] == 1


def test_frames_so_far_make_a_film_and_the_rest_goes_on_afterwards(tmp_path):
    out, part = tmp_path / "film.mp4", tmp_path / "part.gif"
    with pytest.raises(Interrupted):
        make(film(out), stop_after=2)
    listening = Listening()
    result = encode_again(out, part, listener=listening)
    assert (result.frames, result.size) == (2, Size(64, 48))
    assert f"2 of {FRAMES}" in listening.notes[0]
    assert read_recipe(part)["frames"] == 2
    assert make(film(out))[0].resumed_at == 2


def test_unfinished_work_with_other_settings_is_refused_by_name_until_it_may_be_thrown_away(tmp_path):
    out = tmp_path / "film.mp4"
    with pytest.raises(Interrupted):
        make(film(out), stop_after=1)
    with pytest.raises(UsageError, match=r"camera\.zoom was 1\.5 and is 2\.0"):
        make(film(out, "camera.zoom=2"))
    result, _ = make(film(out, "camera.zoom=2", restart=True))
    assert result.resumed_at == 0


def test_another_quality_renders_nothing_again(tmp_path):
    out = tmp_path / "film.mp4"
    make(film(out, keep_store=True))
    before = sha256(out)
    result, listening = make(film(out, "encode.quality=40", keep_store=True, overwrite=True))
    assert listening.frames == []
    assert result.resumed_at == FRAMES
    assert sha256(out) != before


def test_work_of_another_environment_is_refused_unless_allowed_and_then_noted(tmp_path, monkeypatch):
    out = tmp_path / "film.mp4"
    with pytest.raises(Interrupted):
        make(film(out), stop_after=1)
    real = runtime.environment()
    monkeypatch.setattr(runtime, "environment", lambda: {**real, "numpy": "99"})
    with pytest.raises(EnvironmentProblem, match=r"numpy: .* -> 99.*--allow-env-change"):
        make(film(out))
    _, listening = make(film(out, allow_env_change=True))
    assert listening.frames == [1, 2, 3]
    assert read_recipe(out)["seams"][0]["frame"] == 1


def test_a_film_killed_between_its_name_and_the_cleaning_up_is_noticed(tmp_path):
    out = tmp_path / "film.mp4"
    make(film(out, keep_store=True))
    result, listening = make(film(out))
    assert listening.stages == []
    assert result.frames == FRAMES
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
    with pytest.raises(UsageError, match="exists"):
        make(film(out))


def test_replay_gives_the_same_bytes(tmp_path, whole):
    again, _ = film_from_recipe(whole, tmp_path / "again.mp4")
    make(again)
    assert sha256(again.out) == sha256(whole)


def printed(*args):
    """What a command prints for people, without times and names of films; and its last line as JSON, without them."""
    texts, found = [], {}
    for more in ([], ["--json", "--overwrite"]):
        done = CliRunner().invoke(app, [*map(str, args), *more])
        assert done.exit_code == 0, done.output
        texts.append(re.sub(r"\S+/[\w-]+\.(mp4|png)|made in [^\n]*", "", done.stdout))
        found = json.loads(done.stdout.splitlines()[-1]) if more else {}
    return texts[0], {name: value for name, value in found.items() if name not in ("path", "took")}


def test_replay_of_anything_prints_what_the_first_run_printed(tmp_path, picture):
    write_image(picture, tmp_path / "start.png")
    clip = make_clip(tmp_path / "clip.mp4")
    small = ["--octaves", "1", "--layers", "parts"]
    for kind, ending, args in (
        ("zoom", "mp4", ["--size", "48x32", "--frames", "2", "--first-steps", "1"]),
        ("video", "mp4", [clip, "--size", "48x32", "--set", "video.end=0.2", "--first-steps", "1"]),
        ("still", "png", [tmp_path / "start.png", "--steps", "1"]),
    ):
        first = printed(kind, *args, *small, "-o", tmp_path / f"{kind}.{ending}")
        assert first[1]["event"] == ("still" if kind == "still" else "film")
        assert printed("replay", tmp_path / f"{kind}.{ending}", "-o", tmp_path / f"again-{kind}.{ending}") == first


def test_a_still_is_planned_like_any_film(tmp_path):
    args = ["still", "-o", tmp_path / "x.png", "--size", "64x48", "--octaves", "1", "--steps", "1"]
    planned = CliRunner().invoke(app, list(map(str, ["plan", *args, "--json"])))
    dry = CliRunner().invoke(app, list(map(str, [*args, "--dry-run", "--json"])))
    plans = [json.loads(done.stdout) for done in (planned, dry)]
    assert [(plan["event"], plan["frames"], plan["size"]) for plan in plans] == 2 * [("plan", 1, "64x48")]
    assert list(tmp_path.iterdir()) == []


def test_replay_refuses_weights_that_are_not_those_of_the_film(tmp_path, whole):
    again, _ = film_from_recipe(whole, tmp_path / "again.mp4")
    with pytest.raises(EnvironmentProblem, match="not those that the film was made with"):
        make(dataclasses.replace(again, weights_sha256="0" * 64))


def test_replay_finds_the_picture_beside_the_film_and_notices_another(tmp_path, picture):
    from renderer.media.images import write_image

    image, out = tmp_path / "start.png", tmp_path / "film.mp4"
    write_image(picture, image)
    make(film(out, picture=image))
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in (image, out):
        path.rename(moved / path.name)
    again, _ = film_from_recipe(moved / "film.mp4", tmp_path / "again.mp4")
    assert again.picture == moved / "start.png"
    write_image(picture * 0.5, moved / "start.png")
    with pytest.raises(BadInput, match="content is another"):
        film_from_recipe(moved / "film.mp4", tmp_path / "again.mp4")


def test_a_stop_while_encoding_leaves_no_film_and_renders_nothing_twice(tmp_path):
    out = tmp_path / "film.mp4"
    with pytest.raises(Interrupted, match="while encoding"):
        make(film(out), stop_after=FRAMES)
    assert not out.exists()
    _, listening = make(film(out))
    assert listening.frames == []
    assert out.exists()


def test_a_still_is_dreamed_and_shows_how_it_came_about(tmp_path, picture):
    from renderer.media.images import read_image

    image = tmp_path / "start.png"
    write_image(picture, image)
    resolved = resolve(sets=["dream.octaves=2", "dream.first_steps=3"])
    plain = new_film("still", resolved, tmp_path / "plain.png", {"picture": image})
    shown = dataclasses.replace(plain, out=tmp_path / "shown.png", evolution=tmp_path / "sheet.png")
    for still in (plain, shown):
        result, _ = make(still)
        assert (result.size, result.frames) == (Size.of(picture), 1)
    assert (read_image(plain.out) == read_image(shown.out)).all()
    assert abs(read_image(plain.out) - picture).max() > 0.02
    assert read_image(shown.evolution).shape[1] > 2 * 48


def test_a_dry_run_measures_and_writes_nothing(tmp_path):
    from renderer.films.plan import make_plan

    plan = make_plan(film(tmp_path / "film.mp4"), listener=Listening())
    assert (plan.frames, plan.octaves[-1]) == (FRAMES, Size(64, 48))
    assert plan.seconds > plan.frame_seconds > 0
    assert list(tmp_path.iterdir()) == []
    assert "4 frames, 64x48" in plan.text()
