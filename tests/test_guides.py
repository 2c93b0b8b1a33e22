"""Guides and styles from files: read at any time, told by their content, found again, sent to workers."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import films
import numpy as np
import pytest
from films import Listening, sha256
from typer.testing import CliRunner

from renderer.batch.jobfile import read_jobs
from renderer.cli.main import app
from renderer.errors import BadInput, UsageError
from renderer.films import guides as guides_module
from renderer.films.guides import GuideVideo, check_guides, crossfade, open_guides
from renderer.films.local_renderer import Environment
from renderer.films.make import make_film
from renderer.films.recipe import SAY_WHERE
from renderer.frame import Size
from renderer.media.ffmpeg.clips import open_clip
from renderer.media.ffmpeg.encode import read_recipe
from renderer.media.ffmpeg.pipes import file_url, run
from renderer.media.images import read_image, write_image
from renderer.motion.schedule import parse
from renderer.settings.messages import options
from renderer.settings.schema import FILES, build, fields, files_of, flatten, pixel_key, with_files
from renderer.workers.inputs import chunks, describe, keep
from renderer.workers.tasks import FrameRange, Missing, OpenFilm, RenderedFrames, TaskRunner, film_spec

RATE = 12
LEADS = ("dream.objective=guide", "dream.layers=parts")


def draw(path, *, seed=0, size=(96, 64)):
    """Write a picture of coloured patches."""
    import cv2

    coarse = np.random.default_rng(seed).uniform(0, 1, (8, 12, 3)).astype(np.float32)
    write_image(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC).clip(0, 1), path)
    return path


def film_guide(path, *, seconds=0.5, source="testsrc2", options=("-g", "4")):
    """Write a clip of 12 frames a second, 96x64, in which no two frames are alike."""
    coded = ["-c:v", "libx264", "-pix_fmt", "yuv420p", *options]
    run(["-f", "lavfi", "-i", f"{source}=s=96x64:r={RATE}:d={seconds}", *coded, "-y", file_url(path)])
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return films.save_tiny_network(tmp_path_factory.mktemp("network") / "tiny.keras")


@pytest.fixture(scope="module")
def guide(tmp_path_factory):
    """A clip of six frames."""
    return film_guide(tmp_path_factory.mktemp("guide") / "guide.mp4")


def command(*args):
    return CliRunner().invoke(app, list(map(str, args)))


# --- settings that name files ----------------------------------------------------------------------------------------


def test_every_setting_that_names_a_file_is_known_as_one_and_replay_can_be_told_where_it_is():
    paths = {key for key, field in fields().items() if options(field) == [Path]}
    assert paths == set(FILES.values())
    assert set(FILES) <= set(SAY_WHERE)
    flags = {flag for parameter in _parameters("replay") for flag in parameter.opts}
    assert set(SAY_WHERE.values()) <= flags


def _parameters(name):
    import typer

    return typer.main.get_command(app).commands[name].params


def test_where_a_file_lies_is_no_part_of_what_decides_pixels():
    keys = {pixel_key(build(dict.fromkeys(FILES.values(), place)), inputs={}, environment={}) for place in ("a", "b")}
    assert len(keys) == 1


def test_files_can_be_moved_all_at_once():
    settings = build({"guide.picture": "a.png", "guide.style": "b.png", "network.weights": "w"})
    assert files_of(settings) == {"weights": Path("w"), "guide": Path("a.png"), "style": Path("b.png")}
    moved = with_files(settings, {"guide": Path("c.png")})
    assert files_of(moved) == {"guide": Path("c.png")}
    assert files_of(with_files(moved, {})) == {}


def test_every_place_that_names_an_objective_counts():
    for values, needed in (
        ({}, None),
        ({"dream.objective": "guide"}, "guide"),
        ({"dream.objective": "guide", "dream.layers": "square@parts"}, None),
        ({"dream.layers": "parts,style@edges"}, "style"),
        ({"dream.of": "cat", "dream.objective": "guide"}, None),
        ({"dream.cycle": "guide@parts; edges"}, "guide"),
        ({"dream.octave_layers": "cosine@parts"}, "cosine"),
    ):
        if needed is None:
            check_guides(build(values))
        else:
            with pytest.raises(UsageError, match=f"The objective {needed} needs a"):
                check_guides(build(values))


# --- pictures over time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", ["1", "250"])
def test_a_guide_video_gives_the_same_picture_at_a_time_in_whatever_order_it_is_asked(tmp_path, keys):
    path = film_guide(tmp_path / "guide.mp4", seconds=2, options=("-g", keys, "-bf", "2"))
    expected = list(open_clip(path))
    assert len(expected) == 2 * RATE
    moving = GuideVideo(open_clip(path))
    order = [*range(2 * RATE + 3), *np.random.default_rng(1).integers(0, 100, 12), 5, 5, 4, 23, 0]
    for number in order:
        np.testing.assert_array_equal(moving.at(int(number)), expected[int(number) % len(expected)])
    moving.close()
    np.testing.assert_array_equal(moving.at(7), expected[7])


def test_a_guide_video_is_read_as_a_stream_and_begins_anew_only_where_it_must(guide, monkeypatch):
    clip, begun = open_clip(guide), []
    real = type(clip).frames
    monkeypatch.setattr(type(clip), "frames", lambda self, start=0: begun.append(start) or real(self, start))
    moving = GuideVideo(clip)
    for number in (0, 1, 2, 2, 4, 5, 6, 7):
        moving.at(number)
    assert begun == [0, 0]
    monkeypatch.setattr(guides_module, "_SKIP", 1)
    moving.at(6 + 5)
    assert begun == [0, 0, 5]


class Short:
    """A clip whose packets told of more frames than it holds."""

    path, count = Path("short.mp4"), 6

    def __init__(self, held):
        self.held = held

    def frames(self, start=0):
        return (np.full((2, 2, 3), number, np.float32) for number in range(start, self.held))


def test_a_clip_with_fewer_frames_than_it_told_shows_its_last_one_longer_wherever_reading_begins():
    in_order = GuideVideo(Short(4))
    shown = [in_order.at(number)[0, 0, 0] for number in range(8)]
    assert shown == [0, 1, 2, 3, 3, 3, 0, 1]
    assert [GuideVideo(Short(4)).at(number)[0, 0, 0] for number in range(8)] == shown
    assert GuideVideo(Short(1)).at(5)[0, 0, 0] == 0
    with pytest.raises(BadInput, match=r"short\.mp4 holds no frame"):
        GuideVideo(Short(0)).at(2)


def test_a_guide_goes_over_into_the_second_as_the_mix_says():
    first, second = np.zeros((48, 64, 3), np.float32), np.ones((60, 60, 3), np.float32)
    mix = parse("t/T", seconds=2.0, rate=Fraction(10), low=0, high=1)
    fading = crossfade(lambda _: first, lambda _: second, mix)
    assert fading(0.0) is first
    assert fading(2.0) is second
    np.testing.assert_allclose(fading(0.5), 0.25)
    assert fading(0.5).shape == first.shape
    # Objectives look at a picture anew whenever it is another array.
    assert fading(0.5) is fading(0.5)


def test_a_film_finds_its_guides_at_its_own_times_and_at_the_size_that_was_chosen(tmp_path, guide):
    large = draw(tmp_path / "large.png", size=(300, 200))
    settings = build(
        {
            "film.fps": 6,
            "film.seconds": 2,
            "guide.picture": str(guide),
            "guide.second": str(large),
            "guide.mix": {"0s": 0, "1s": 1},
            "guide.style": str(large),
            "guide.side": 60,
        }
    )
    opened = open_guides(settings)
    assert opened.pictures["style"](0.0).shape == opened.pictures["style"](9.0).shape == (40, 60, 3)
    assert opened.pictures["guide"](0.0).shape == (40, 60, 3)
    source = list(open_clip(guide, size=Size(60, 40), rate=Fraction(6)))
    np.testing.assert_array_equal(opened.pictures["guide"](0.0), source[0])
    half = 0.5 * source[0] + 0.5 * opened.pictures["style"](
        0.0
    )  # 0.5 s is frame 3 of a clip of 3 frames, which begins again.
    np.testing.assert_allclose(opened.pictures["guide"](0.5), half, atol=1e-6)
    opened.close()
    assert not open_guides(build({})).pictures


def test_a_small_guide_keeps_its_size(tmp_path):
    path = draw(tmp_path / "guide.png", size=(70, 50))
    assert open_guides(build({"guide.picture": str(path)})).pictures["guide"](0.0).shape == (50, 70, 3)


def test_pictures_of_any_kind_are_pictures_and_animations_are_videos(tmp_path):
    from PIL import Image

    frames = [Image.fromarray(np.full((64, 96, 3), grey, np.uint8)) for grey in (40, 120, 200)]
    for ending in (".png", ".jpg", ".gif", ".webp", ".bmp"):
        frames[0].save(tmp_path / f"one{ending}")
        one = open_guides(build({"guide.picture": str(tmp_path / f"one{ending}")})).pictures["guide"]
        assert abs(one(0.0) * 255 - 40).max() < 3, ending
        assert one(0.0) is one(1.0), ending
    for ending in (".gif", ".webp"):
        path = tmp_path / f"many{ending}"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=500, loop=0)
        many = open_guides(build({"guide.picture": str(path), "film.fps": 2}))
        means = [float(many.pictures["guide"](seconds).mean()) * 255 for seconds in (0.0, 0.5, 1.0, 1.5)]
        np.testing.assert_allclose(means, [40, 120, 200, 40], atol=3)
        many.close()


# --- what makes no sense ---------------------------------------------------------------------------------------------


def test_guides_that_make_no_sense_together_are_refused(guide):
    with pytest.raises(UsageError, match=r"no guide\.picture"):
        check_guides(build({"guide.second": str(guide)}))
    with pytest.raises(UsageError, match="never seen"):
        check_guides(build({"guide.picture": str(guide), "guide.second": str(guide)}))


BAD = [
    (["--guide", "none.png"], 4, "The guide none.png does not exist"),
    (["--style", "none.png"], 4, "The style none.png does not exist"),
    (["--guide", "text.png"], 4, "text.png is not a picture"),
    (["--guide", "text.mp4"], 4, "text.mp4"),
    (["--guide", "cut.png"], 4, "cut.png is damaged"),
    (["--guide", "cut.mp4"], 4, "cut.mp4"),
    (["--guide", "small.png"], 4, "is 40x30: too small for the network 'dreamnet', which needs 48"),
    (["--guide", "good.png", "--set", "guide.side=60"], 4, "is 96x64, brought to 60x40 by guide.side"),
    (["--guide", "good.png", "--second-guide", "good.png"], 2, "never seen"),
    (["--guide", "good.png", "--guide-mix", "2"], 2, "guide.mix"),
]


def test_a_bad_guide_ends_with_a_sentence_and_leaves_nothing(tmp_path, monkeypatch, guide):
    monkeypatch.chdir(tmp_path)
    draw(Path("good.png"))
    draw(Path("small.png"), size=(40, 30))
    Path("text.png").write_text("hello")
    Path("text.mp4").write_text("hello")
    Path("cut.png").write_bytes(Path("good.png").read_bytes()[:3000])
    Path("cut.mp4").write_bytes(guide.read_bytes()[: guide.stat().st_size // 2])
    before = sorted(Path().iterdir())
    for kind, out, faults in (("zoom", "y.mp4", BAD), ("still", "y.png", BAD[:7])):
        for args, code, words in faults:
            done = command(kind, "-o", out, "--objective", "guide", "--steps", "1", *args)
            assert (done.exit_code, words in done.stderr) == (code, True), (kind, args, done.output)
            assert "Traceback" not in done.output
            assert sorted(Path().iterdir()) == before


def test_a_guide_is_not_written_over(tmp_path):
    for kind, path in (("still", draw(tmp_path / "good.png")), ("zoom", film_guide(tmp_path / "good.mp4"))):
        done = command(kind, "-o", path, "--overwrite", "--objective", "guide", "--guide", path)
        assert (done.exit_code, "is an input" in done.stderr) == (2, True), done.output


def test_a_guide_that_nothing_heeds_and_an_objective_without_one_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw(Path("good.png"))
    for args, words in (
        (["--guide", "good.png"], "nothing heeds it"),
        (["--style", "good.png"], "nothing heeds it"),
        (["--objective", "guide"], "needs a guide"),
        (["--layers", "style@parts"], "needs a style"),
    ):
        done = command("zoom", "-o", "y.mp4", *args)
        assert (done.exit_code, words in done.stderr) == (2, True), done.output
    assert [path.name for path in tmp_path.iterdir()] == ["good.png"]


# --- films -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(network, guide, tmp_path_factory):
    """A film that a video leads."""
    out = tmp_path_factory.mktemp("whole") / "film.mp4"
    make_film(films.led(network, guide, out), listener=Listening())
    return out


MAKE = """
import sys, os, signal
from pathlib import Path
import films
from renderer.render import recurrence
recurrence.COMMIT_SECONDS = 0.0
network, out, guide, last = sys.argv[1:]
from renderer import runtime
runtime.prepare()
from renderer.films.make import make_film
def on_frame(report):
    if report.index == int(last):
        os.kill(os.getpid(), signal.SIGKILL)
make_film(films.led(Path(network), Path(guide), Path(out), frames=12), listener=films.Listening(on_frame))
"""


def made_elsewhere(network, out, guide, *, killed_at=-1):
    """Make the film in a process of its own, which may be killed after a frame, before that is committed."""
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    args = [sys.executable, "-c", MAKE, str(network), str(out), str(guide), str(killed_at)]
    return subprocess.Popen(args, env=environment)


@pytest.mark.minutes
def test_a_film_led_by_a_video_that_was_killed_goes_on_to_the_same_bytes(network, guide, tmp_path):
    whole, out = tmp_path / "whole.mp4", tmp_path / "film.mp4"
    assert made_elsewhere(network, whole, guide).wait() == 0
    for killed_at in (2, 4):
        assert made_elsewhere(network, out, guide, killed_at=killed_at).wait() == -signal.SIGKILL
        assert not out.exists()
    assert made_elsewhere(network, out, guide).wait() == 0
    assert sha256(out) == sha256(whole)


def test_the_recipe_names_the_guide_with_its_hash_and_replay_finds_it_or_says_what_is_missing(
    network, guide, whole, tmp_path
):
    assert read_recipe(whole)["inputs"] == {"guide": {"path": str(guide), "sha256": sha256(guide)}}
    away, out = tmp_path / "away.mp4", tmp_path / "film.mp4"
    moved = tmp_path / "moved.mp4"
    guide.rename(away)
    try:
        done = command("replay", whole, "-o", out)
        assert done.exit_code == 4, done.output
        assert f"The guide {guide}" in done.stderr
        assert sha256(away)[:16] in done.stderr
        assert "--guide" in done.stderr
        film_guide(moved, source="testsrc")
        done = command("replay", whole, "-o", out, "--guide", moved)
        assert done.exit_code == 4, done.output
        assert "content is another" in done.stderr
        done = command("replay", whole, "-o", out, "--guide", away)
        assert done.exit_code == 0, done.output
    finally:
        away.rename(guide)
    assert read_recipe(out)["film_key"] == read_recipe(whole)["film_key"]
    for frame, again in zip(open_clip(whole), open_clip(out), strict=True):
        assert np.abs(frame - again).mean() < 2e-3


def test_a_changed_guide_is_noticed_and_one_that_only_moved_is_not(network, tmp_path):
    path, out = draw(tmp_path / "guide.png"), tmp_path / "film.mp4"
    listening = Listening(stop_after=1)
    with pytest.raises(Exception, match="Stopped"):
        make_film(films.led(network, path, out), listener=listening, should_stop=listening.should_stop)
    moved = path.rename(tmp_path / "other.png")
    listening = Listening(stop_after=1)
    with pytest.raises(Exception, match="Stopped"):
        make_film(films.led(network, moved, out), listener=listening, should_stop=listening.should_stop)
    assert listening.frames == [1]
    draw(moved, seed=5)
    with pytest.raises(UsageError, match="made from another guide"):
        make_film(films.led(network, moved, out), listener=Listening())


def test_another_guide_gives_another_film_and_a_style_is_read_too(network, tmp_path):
    made = {}
    for name, sets in {
        "a": (*LEADS, f"guide.picture={draw(tmp_path / 'a.png')}"),
        "b": (*LEADS, f"guide.picture={draw(tmp_path / 'b.png', seed=1)}"),
        "c": ("dream.objective=style", "dream.layers=parts", f"guide.style={draw(tmp_path / 'c.png', seed=1)}"),
    }.items():
        film = films.zoom(network, tmp_path / name, *sets, frames=2)
        make_film(film, listener=Listening())
        made[name] = np.stack(list(open_clip(film.out)))
    for one, other in itertools.combinations(made.values(), 2):
        assert np.abs(one - other).mean() > 1e-4


def test_a_dry_run_tells_what_a_film_is_made_from(network, guide, tmp_path):
    sets = [part for text in (*films.SETS, *LEADS, f"network.weights={network}") for part in ("--set", text)]
    args = ["zoom", "-o", tmp_path / "x.mp4", "--guide", guide, "--size", "64x48", "--frames", "2", *sets, "--dry-run"]
    done = command(*args)
    assert done.exit_code == 0, done.output
    assert f"guide {guide}" in done.stdout
    told = json.loads(command(*args, "--json").stdout)
    assert told["inputs"] == {"guide": {"path": str(guide), "sha256": sha256(guide)}}
    assert list(tmp_path.iterdir()) == []


# --- workers ---------------------------------------------------------------------------------------------------------


def test_a_worker_without_the_guides_asks_for_them_and_renders_the_same(network, guide, tmp_path):
    style = draw(tmp_path / "style.png", seed=2)
    mixed = ("dream.layers=guide@parts,style@edges", f"guide.style={style}", f"guide.second={style}", "guide.mix=t/T")
    film = films.led(network, guide, tmp_path / "film.mp4", *mixed)
    spec = film_spec(film, {}, shared=False)
    assert set(spec.inputs) == {"guide", "second guide", "style", "weights"}
    assert not any(str(guide) in str(value) for value in spec.settings.values())
    runner = TaskRunner(tmp_path / "runner")
    runner.folder.mkdir()
    answer = runner.perform(OpenFilm(spec=spec))
    assert isinstance(answer, Missing)
    assert set(answer.files) == set(spec.inputs)
    for name, files in answer.files.items():
        for file in files:
            for chunk in chunks(spec.inputs[name], file):
                keep(chunk, runner.inputs)
    environment = runner.perform(OpenFilm(spec=spec))
    assert isinstance(environment, Environment), environment
    there = FrameRange(spec=spec, environment=environment, first=0, end=3, state=None, seconds=60.0)
    far = runner.perform(there)
    near = TaskRunner(tmp_path / "near")
    near.folder.mkdir()
    shared = FrameRange(
        spec=film_spec(film, {}, shared=True), environment=environment, first=0, end=3, state=None, seconds=60.0
    )
    here = near.perform(shared)
    for one in (runner, near):
        one.close()
    assert isinstance(far, RenderedFrames), far
    assert isinstance(here, RenderedFrames), here
    assert far.segments == here.segments


def test_a_network_that_is_a_file_counts_by_its_content_travels_to_workers_and_is_found_again(network, tmp_path):
    own = tmp_path / "own.keras"
    own.write_bytes(network.read_bytes())
    out = tmp_path / "film.mp4"
    film = films.zoom(network, out, "network.preprocess=unit", "dream.layers=parts", frames=1)
    film = replace(film, settings=build({**flatten(film.settings), "network.name": str(own), "network.weights": None}))
    spec = film_spec(film, {}, shared=False)
    assert not any(str(own) in str(value) for value in spec.settings.values())
    runner = TaskRunner(tmp_path / "runner")
    runner.folder.mkdir()
    for chunk in chunks(spec.inputs["weights"], spec.inputs["weights"].wanted[0][0]):
        keep(chunk, runner.inputs)
    environment = runner.perform(OpenFilm(spec=spec))
    runner.close()
    assert isinstance(environment, Environment), environment
    assert environment.weights_sha256 == sha256(own)
    make_film(film, listener=Listening())
    moved = own.rename(tmp_path / "moved.keras")
    gone = command("replay", out, "-o", tmp_path / "again.mp4")
    assert (gone.exit_code, "own.keras" in gone.stderr, "--weights" in gone.stderr) == (4, True, True), gone.output
    again = command("replay", out, "-o", tmp_path / "again.mp4", "--weights", moved)
    assert again.exit_code == 0, again.output
    assert read_recipe(tmp_path / "again.mp4")["pixel_key"] == read_recipe(out)["pixel_key"]


def test_weights_keep_the_ending_by_which_they_are_read(tmp_path):
    for name in ("a.weights.h5", "b.h5", "c.KERAS", "d.npz"):
        (tmp_path / name).write_bytes(b"x")
    names = [
        describe(tmp_path / name, shared=False).wanted[0][0] for name in ("a.weights.h5", "b.h5", "c.KERAS", "d.npz")
    ]
    assert names == ["content.weights.h5", "content.h5", "content.keras", "content.npz"]


# --- batches ---------------------------------------------------------------------------------------------------------


def write_jobs(folder, text):
    (folder / "jobs.toml").write_text(text, encoding="utf-8")
    return folder / "jobs.toml"


SWEEP_OF_NETWORKS = """
    [[sweep]]
    name = "by"
    output = "{name}.mp4"
    over.network.name = ["dreamnet", "nets/own.keras"]
    """


def test_guides_in_a_jobs_file_are_meant_from_where_it_lies_and_may_be_swept_over(tmp_path, monkeypatch):
    (tmp_path / "guides").mkdir()
    for name in ("moss", "fern"):
        draw(tmp_path / "guides" / f"{name}.png")
    monkeypatch.chdir(tmp_path.parent)
    path = write_jobs(
        tmp_path,
        """
        [[job]]
        name = "one"
        output = "{name}-{guide.picture}.mp4"
        set.guide = { picture = "guides/moss.png", second = "guides/fern.png", mix = "t/T" }
        [[sweep]]
        name = "each"
        output = "{name}.mp4"
        [sweep.over]
        guide.picture = ["guides/*.png", "guides/moss.png"]
        seed = [1, 2]
        """,
    )
    one, *swept = read_jobs(path).specs
    assert one.output == tmp_path / "one-moss.mp4"
    assert files_of(one.resolved.settings)["second guide"] == tmp_path / "guides" / "fern.png"
    assert [spec.name for spec in swept] == [
        "each-fern-1", "each-fern-2", "each-moss-1", "each-moss-2", "each-moss-1-2", "each-moss-2-2"
    ]  # fmt: skip
    chosen = [spec.resolved.settings.guide.picture for spec in swept]
    (named,) = [spec for spec in read_jobs(write_jobs(tmp_path, SWEEP_OF_NETWORKS)).specs if spec.name == "by-own"]
    assert named.resolved.settings.network.weights == tmp_path / "nets" / "own.keras"
    assert chosen[::2] == [tmp_path / "guides" / f"{name}.png" for name in ("fern", "moss", "moss")]
    with pytest.raises(BadInput, match=r"over\.guide\.style: No file matches 'x\*\.png'"):
        read_jobs(write_jobs(tmp_path, '[[sweep]]\noutput = "{name}.mp4"\nover.guide.style = ["x*.png"]'))


def test_a_batch_makes_films_with_guides_anew_only_when_the_guide_changed(network, tmp_path):
    draw(tmp_path / "guide.png")
    small = draw(tmp_path / "small.png", size=(40, 30))
    path = write_jobs(
        tmp_path,
        f"""
        [defaults]
        output = "{{name}}.mp4"
        [defaults.set]
        film = {{ size = "64x48", frames = 2 }}
        dream = {{ octaves = 1, first_steps = 1, steps = 1, objective = "guide", layers = "parts" }}
        network.weights = "{network}"
        [[job]]
        name = "good"
        set.guide.picture = "guide.png"
        [[job]]
        name = "bad"
        set.guide.picture = "{small.name}"
        """,
    )

    def rows():
        told = [json.loads(line) for line in command("batch", path, "--json").stdout.splitlines()]
        return {line["name"]: line for line in told if line["event"] in ("film", "failed")}

    first = rows()
    assert (first["good"]["event"], first["bad"]["event"], first["bad"]["exit_code"]) == ("film", "failed", 4)
    assert "too small" in first["bad"]["error"]
    assert rows()["good"]["earlier"]
    draw(tmp_path / "guide.png", seed=3)
    assert not rows()["good"]["earlier"]


def test_a_film_that_another_one_takes_as_its_guide_is_noticed(tmp_path):
    path = write_jobs(
        tmp_path,
        '[[job]]\nname = "a"\noutput = "a.mp4"\n[[job]]\nname = "b"\noutput = "b.mp4"\nset.guide.picture = "a.mp4"\n',
    )
    done = command("batch", path, "--dry-run")
    assert done.exit_code == 2
    assert "spoil each other" in done.stderr


def test_a_look_read_from_a_film_finds_its_guide_from_anywhere(whole, guide):
    from renderer.inspect.preset_files import look_of

    assert look_of(whole).values["guide.picture"] == str(guide.absolute())


def test_a_preset_made_from_flags_finds_the_guide_from_anywhere(tmp_path, monkeypatch):
    from renderer.inspect.preset_files import new_preset
    from renderer.settings.presets import load_preset, resolve

    monkeypatch.chdir(tmp_path)
    path = new_preset("mossy", resolve(sets=["guide.picture=moss.png"]), folder=tmp_path / "looks")
    assert load_preset(str(path)).values["guide.picture"] == str(tmp_path / "moss.png")


def test_a_preset_names_a_guide_beside_itself(tmp_path, guide):
    from renderer.settings.presets import load_preset

    (tmp_path / "look.toml").write_text('[guide]\npicture = "moss.png"\n')
    assert load_preset(str(tmp_path / "look.toml")).values["guide.picture"] == str(tmp_path / "moss.png")


# --- single pictures -------------------------------------------------------------------------------------------------

STILL = ("--octaves", "1", "--steps", "3", "--layers", "objects", "--set", "area.feather=0")


@pytest.fixture
def start(tmp_path):
    return draw(tmp_path / "start.png", seed=4)


def test_a_still_is_dreamed_on_inside_its_box_and_mask_alone(tmp_path, start):
    drawn = np.zeros((64, 96, 3), np.float32)
    drawn[:, :48] = 1
    write_image(drawn, tmp_path / "mask.png")
    out = tmp_path / "out.png"
    done = command("still", start, "-o", out, "--mask", tmp_path / "mask.png", "--box", "0,0,1,0.5", *STILL)
    assert done.exit_code == 0, done.output
    changed = np.abs(read_image(out) - read_image(start)).max(axis=-1)
    assert changed[32:].max() == changed[:, 48:].max() == 0
    assert changed[:32, :48].mean() > 0.01


def test_a_still_may_keep_its_colours(tmp_path, start):
    out = tmp_path / "out.png"
    assert command("still", start, "-o", out, "--keep-colour", *STILL).exit_code == 0
    dream, source = read_image(out), read_image(start)
    inside = ((dream > 0) & (dream < 1)).all(axis=-1)
    shift = (dream - source)[inside]
    assert np.abs(shift).mean() > 0.005
    assert np.abs(shift - shift.mean(axis=-1, keepdims=True)).max() < 2 / 255


def test_replay_of_a_still_finds_its_mask_and_its_guide(tmp_path, start):
    mask, guide = draw(tmp_path / "mask.png", seed=6), draw(tmp_path / "guide.png", seed=7)
    out, again = tmp_path / "out.png", tmp_path / "again.png"
    leading = ("--objective", "guide", "--guide", guide)
    assert command("still", start, "-o", out, "--mask", mask, *STILL, *leading).exit_code == 0
    assert set(read_recipe(out)["inputs"]) == {"picture", "mask", "guide"}
    guide.rename(tmp_path / "moved.png")
    done = command("replay", out, "-o", again)
    assert done.exit_code == 4
    assert "--guide" in done.stderr
    done = command("replay", out, "-o", again, "--guide", tmp_path / "moved.png")
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(read_image(again), read_image(out))


def test_a_still_in_a_batch_takes_a_mask_and_its_key_knows_it(tmp_path, start):
    draw(tmp_path / "mask.png", seed=6)
    text = """
        [[job]]
        kind = "still"
        input = "start.png"
        output = "out.png"
        mask = "mask.png"
        set = { dream = { octaves = 1, first_steps = 1 } }
        """
    path = write_jobs(tmp_path, text)
    assert command("batch", path).exit_code == 0
    before = sha256(tmp_path / "out.png")
    draw(tmp_path / "mask.png", seed=8)
    assert command("batch", path).exit_code == 0
    assert sha256(tmp_path / "out.png") != before


def test_a_bad_mask_or_box_of_a_still_ends_with_a_sentence(tmp_path, monkeypatch, start):
    monkeypatch.chdir(tmp_path)
    for args, code, words in (
        (["--mask", "none.png"], 4, "none.png is not there"),
        (["--box", "0.5,0,0.9,1"], 2, "area.box"),
        (["--feather", "2"], 2, "area.feather"),
    ):
        done = command("still", start, "-o", "out.png", *args)
        assert (done.exit_code, words in done.stderr) == (code, True), done.output
        assert not Path("out.png").exists()


def test_plain_values_of_settings_with_files_survive_json():
    made = build({key: f"{name}.png" for name, key in FILES.items()})
    assert build(json.loads(json.dumps(flatten(made)))) == made
