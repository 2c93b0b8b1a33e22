"""Films that come round: each part by itself, then whole loops, tiny, with the tiny network."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from fractions import Fraction

import numpy as np
import pytest
from dreamers import dreamer_of, governor_of, moving_camera
from typer.testing import CliRunner

from renderer.dreaming.governor import Tone, measure
from renderer.dreaming.objectives.channel_weights import ChannelWaves
from renderer.errors import Interrupted, UsageError
from renderer.events import FrameDone, Note
from renderer.films.film import ZoomFilm
from renderer.films.make import make_film
from renderer.films.new_film import new_film
from renderer.films.render_setup import camera_of
from renderer.films.replay import film_from_recipe
from renderer.frame import Size, to_8bit
from renderer.media.ffmpeg.clips import open_clip
from renderer.media.ffmpeg.encode import encode
from renderer.media.store.store import Store
from renderer.motion.loops import Loop
from renderer.render.recurrence import render
from renderer.render.scenes import LoopScene, ZoomScene, inside
from renderer.settings.presets import resolve
from renderer.settings.schema import build

RATE = Fraction(12)
LOOP = Loop(frames=24, seam=10, run_up=8, rate=RATE)


def settings(*sets):
    length = [] if any(one.startswith("film.frames=") for one in sets) else ["film.seconds=2"]
    return resolve(sets=["film.size=48x32", "film.fps=12", *length, "film.loop=true", *sets]).settings


# --- time ------------------------------------------------------------------------------------------------------------


def test_numbers_and_ages_come_round():
    assert [LOOP.drawn(frame) for frame in (-8, -1, 0, 23, 24)] == [16, 23, 0, 23, 0]
    assert LOOP.age(-8) == 0
    assert LOOP.age(0) == LOOP.age(24) == pytest.approx(8 / 12)
    assert max(LOOP.age(frame) for frame in range(24)) == LOOP.age(12)


def test_the_pull_begins_with_the_seam_and_is_whole_after_the_last_frame():
    assert all(LOOP.pull(frame) == 0 for frame in range(-8, 15))
    pulls = [LOOP.pull(frame) for frame in range(15, 25)]
    assert pulls[0] > 0
    assert pulls == sorted(pulls)
    assert pulls[-1] == 1


def test_at_any_rate_the_same_part_of_the_way_is_gone_at_the_same_time():
    def left(loop, frames):
        return np.prod([1 - loop.pull(frame) for frame in range(frames)])

    twice = dataclasses.replace(LOOP, frames=48, seam=20, run_up=16, rate=2 * RATE)
    for frame in range(15, 24):
        assert left(twice, 2 * frame + 1) == pytest.approx(left(LOOP, frame + 1))


def test_places_join_in_one_after_another():
    late = np.linspace(0, 1, 5, dtype=np.float32)
    begin, middle, end = (LOOP.onset(frame, late) for frame in (14, 19, 24))
    assert not begin.any()
    assert (end == 1).all()
    assert (np.diff(middle) <= 0).all()
    assert middle[0] == 1
    assert middle[-1] == 0


def test_a_schedule_that_ends_as_it_begins_is_kept_and_repeats():
    zoom = settings("camera.zoom=1.5 + 0.4*sin(t*tau/2)").schedule("camera.zoom")
    for t in np.arange(0, 2, 0.1):
        assert zoom(t) == pytest.approx(1.5 + 0.4 * np.sin(t * np.pi))
        assert zoom(t - 2) == pytest.approx(zoom(t)) == pytest.approx(zoom(t + 4))


@pytest.mark.parametrize("spec", ["1 + t/2", {"0s": 1.0, "1s": 2.0}, "1 + sqrt(t)", "0:(1.0), 23:(2.0)"])
def test_another_one_is_led_back_to_its_first_value_within_the_seam(spec):
    values = {"film.size": "48x32", "film.fps": 12, "film.seconds": 2, "camera.zoom": spec, "film.seam": 0.5}
    once, round_ = (build({**values, "film.loop": loop}).schedule("camera.zoom") for loop in (False, True))
    times = np.arange(0, 1.5, 0.01)
    assert [round_(t) for t in times] == [once(t) for t in times]
    assert once(1.95) > once(0) + 0.3
    assert round_(1.999) == pytest.approx(round_(0), abs=0.02)
    assert round_(-0.3) == round_(1.7)
    changes = np.abs(np.diff([round_(t) for t in np.arange(0, 2.5, 1 / 240)]))
    assert changes.max() < 0.1


def test_one_without_a_value_at_the_end_is_refused():
    assert settings("camera.zoom=1 + sqrt(1.96 - t)", "film.loop=false")
    with pytest.raises(UsageError, match=r"camera\.zoom.*has no value at 2 s"):
        settings("camera.zoom=1 + sqrt(1.96 - t)")


def test_the_journey_is_the_same_at_any_rate():
    size = Size(64, 48)
    ways = []
    for fps in (12, 24):
        camera = camera_of(settings(f"film.fps={fps}", "camera.zoom=1 + t/2", "camera.wander=0.3", "camera.rotate=9"))
        ways.append([camera.matrix(0, t, size=size) for t in (0.5, 1.5, 2.0, 2.25)])
    np.testing.assert_allclose(*ways, atol=1e-6)


def test_the_camera_wanders_back_to_where_it_began():
    camera = moving_camera(zoom=1.5, rotate=10.0, wander=0.3, wander_period=3.0, seed=4, loop_seconds=2.0)
    centres = np.array([camera.centre(t) for t in np.arange(0, 2, 0.05)])
    assert np.ptp(centres, axis=0).min() > 0.05
    assert np.abs(centres - 0.5).max() <= 0.3
    again = np.array([camera.centre(t) for t in np.arange(-2, 0, 0.05)])
    np.testing.assert_allclose(again, centres, atol=1e-9)
    size = Size(64, 48)
    for t in (0.0, 0.5, 1.75):
        there, later = (camera.matrix(t + shift, t + shift + 0.25, size=size) for shift in (0, 2))
        np.testing.assert_allclose(there, later, atol=1e-8)


def test_channels_come_and_go_whole_times_and_as_often_as_without():
    looped, free = (
        ChannelWaves(amount=1.0, period=2.0, seed=1, loop_seconds=5.0),
        ChannelWaves(amount=1.0, period=2.0, seed=1),
    )
    for t in (0.0, 1.3, 4.0):
        np.testing.assert_allclose(looped.weights("a", 64, t), looped.weights("a", 64, t + 5), rtol=1e-4)
    assert not np.allclose(looped.weights("a", 64, 0), looped.weights("a", 64, 2.5))
    np.testing.assert_array_equal(looped.weights("a", 64, 0), free.weights("a", 64, 0))

    def restless(drift):
        logs = np.log([drift.weights("a", 64, t) for t in np.arange(0, 5, 0.05)])
        return np.abs(np.diff(logs, axis=0)).mean()

    assert restless(looped) == pytest.approx(restless(free), rel=0.15)


def test_a_pictures_own_tone_comes_back(picture):
    governor = governor_of(Tone(0.9, 0.2, 0.4, 0.05), memory=1.0, half_life=0.01, rate=12.0, noise=0.0)
    tone = Tone(0.2, 0.2, 0.4, 0.05)
    far, near = (measure(governor(picture, tone, frame=20, age=age)).luma for age in (100.0, 0.0))
    assert far > near + 0.3


# --- the scene -------------------------------------------------------------------------------------------------------


def test_what_it_is_led_into_is_small_when_the_camera_zooms_in():
    size = Size(96, 64)
    way = moving_camera(zoom=2.0).matrix(1.0, 0.0, size=size)  # what fills the frame in a second
    share = inside(way, size)
    assert (share[17:47, 25:71] == 1).all()
    assert not share[:8].any()
    assert not share[:, :12].any()
    assert (inside(np.eye(3), size) == 1).all()


def test_a_camera_that_turns_sees_it_at_the_side():
    size = Size(96, 64)
    share = inside(moving_camera(turn_x=40.0).matrix(1.0, 0.0, size=size), size)
    assert (share[20:44, -10:] == 1).all()
    assert not share[:, :40].any()


def scene(picture, loop=LOOP, **camera):
    moves = {"zoom": 1.5, "wander": 0.1, "seed": 2, **camera}
    zoom = ZoomScene(
        start=picture, camera=moving_camera(**moves, loop_seconds=loop.seconds), edges="mirror", rate=float(loop.rate)
    )
    return LoopScene(zoom, loop, seed=2)


class Kept:
    """Keeps frames in memory."""

    def __init__(self):
        self.frames = []

    @property
    def next_frame(self):
        return len(self.frames)

    def state(self):
        return None

    def append(self, frame):
        self.frames.append(to_8bit(frame).astype(float))

    def commit(self, state):
        pass


def dream(scene, tiny_network, store, *, frames, stop_after=10**9):
    dreamer = dreamer_of(
        tiny_network,
        octaves=2,
        steps=1,
        first_steps=4,
        rate=12.0,
        variety=0.5,
        loop_seconds=LOOP.seconds,
        step_size=0.03,
    )
    governor = governor_of(Tone(0.45, 0.2, 0.4, 0.05), rate=12.0)
    seen = []
    done = render(
        scene,
        dreamer,
        store,
        governor=governor,
        frames=frames,
        rate=RATE,
        report=seen.append,
        should_stop=lambda: len(seen) >= stop_after,
    )
    return done, seen


def apart(a, b):
    return np.abs(a - b).mean()


@pytest.mark.parametrize("moves", [{}, {"zoom": 0.8, "rotate": 15.0, "pan_x": 0.3}])
def test_the_last_frame_leads_into_the_first(tiny_network, picture, moves):
    kept = Kept()
    dream(scene(picture, **moves), tiny_network, kept, frames=25)
    *frames, after = kept.frames
    usual = np.mean([apart(a, b) for a, b in itertools.pairwise(frames)])
    assert apart(frames[-1], frames[0]) <= 1.5 * usual
    assert apart(after, frames[0]) <= 1.5 * usual
    # Without the seam it does not, so the test can tell.
    plain = Kept()
    dream(scene(picture, dataclasses.replace(LOOP, seam=0), **moves), tiny_network, plain, frames=24)
    np.testing.assert_array_equal(plain.frames[:14], frames[:14])
    assert apart(plain.frames[-1], plain.frames[0]) > 1.5 * usual


def test_frames_before_the_first_are_dreamed_as_a_round_before_would_be_and_are_not_kept(picture):
    asked, ages, kept = [], [], Kept()

    def governor(dream, start, *, frame, age):
        ages.append(age * 12)
        return dream

    def dreamer(canvas, *, frame, seconds, full, where, source):
        asked.append((frame, seconds * 12, full))
        return canvas, 1.0

    reports = []
    render(scene(picture), dreamer, kept, governor=governor, frames=2, rate=RATE, report=reports.append)
    assert [frame for frame, _, _ in asked] == [16, 17, 18, 19, 20, 21, 22, 23, 0, 1]
    assert [seconds for _, seconds, _ in asked] == pytest.approx([frame for frame, _, _ in asked])
    assert ages == pytest.approx([*range(10)])
    assert [full for _, _, full in asked] == [True] + 9 * [False]
    assert [report.index for report in reports] == [0, 1]
    assert len(kept.frames) == 2


def test_what_leaves_the_frame_before_the_film_comes_round_is_left_alone(picture):
    first, here = picture, np.zeros_like(picture)
    journey = scene(picture, zoom=4.0, wander=0.0)
    journey.canvas(0, None)
    journey.finish(first)
    led = journey.canvas(18, here).picture  # half a second before the end: the beginning is half as large as the frame
    assert not led[:4].any() and not led[-4:].any() and not led[:, :6].any()
    assert led[12:20, 18:30].max() > 0.1


@pytest.mark.parametrize("stops", [(1,), (13,), (3, 16, 2)])
def test_a_loop_stopped_anywhere_goes_on_to_the_same_frames(tiny_network, picture, tmp_path, stops):
    def go(folder, stop_after=10**9):
        with Store.open(folder, size=Size.of(picture), rate=RATE, pixel_key="k", meta={}) as store:
            done, _ = dream(scene(picture), tiny_network, store, frames=24, stop_after=stop_after)
            return done, [np.array(frame) for frame in store.frames()]

    whole = go(tmp_path / "whole")[1]
    for stop_after in stops:
        assert not go(tmp_path / "parts", stop_after)[0]
    done, frames = go(tmp_path / "parts")
    assert done
    np.testing.assert_array_equal(frames, whole)


# --- whole films -----------------------------------------------------------------------------------------------------

SMALL = ["dream.octaves=2", "dream.first_steps=2", "film.frames=6", "film.run_up=0.2", "film.seam=0.2"]


class Listening:
    """Asks to stop after some frames."""

    def __init__(self, stop_after=10**9):
        self.notes, self.frames, self.stop_after = [], 0, stop_after

    def __call__(self, event):
        self.frames += isinstance(event, FrameDone)
        if isinstance(event, Note):
            self.notes.append(event.text)


def make(film, stop_after=10**9):
    listening = Listening(stop_after)
    make_film(film, listener=listening, should_stop=lambda: listening.frames >= listening.stop_after)
    return listening


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_loop_is_made_stopped_and_made_again_with_the_same_bytes(tmp_path):
    film = ZoomFilm(settings=settings(*SMALL), out=tmp_path / "a.mp4")
    assert any("2 that are not kept" in note for note in make(film).notes)
    parts = dataclasses.replace(film, out=tmp_path / "b.mp4")
    with pytest.raises(Interrupted):
        make(parts, stop_after=4)
    make(parts)
    again, _ = film_from_recipe(film.out, tmp_path / "c.mp4")
    assert again.settings.film.loop
    make(again)
    assert len({sha256(tmp_path / name) for name in ("a.mp4", "b.mp4", "c.mp4")}) == 1
    assert open_clip(film.out).count == 6


def test_a_loop_from_a_picture_begins_with_it_and_one_from_noise_in_full_swing():
    assert settings().loop(from_noise=False).run_up == 0
    assert settings().loop(from_noise=True).run_up == 24
    assert settings("film.run_up=1").loop(from_noise=False).run_up == 12
    assert settings("film.loop=false").loop(from_noise=True) is None


def test_the_seam_takes_half_a_short_loop_at_most():
    assert settings("film.seconds=10").loop(from_noise=True).seam == 24
    assert settings().loop(from_noise=True).seam == 12
    assert settings("film.frames=1").loop(from_noise=True).seam == 0
    assert settings("film.frames=1", "camera.zoom=1 + t").schedule("camera.zoom")(0) == 1


def test_the_benchmark_tells_a_loop_from_a_jump():
    from benchmarks.loops import measure

    def missed(frames, after):
        figures = measure("a", frames, after=after, seam=6)
        return {figure.name.partition(": ")[2].partition(",")[0] for figure in figures if figure.good is False}

    stripes = (np.sin(np.arange(48) * np.pi / 6) * 60 + 120).astype(np.uint8)
    shift = [np.repeat(np.roll(stripes, k)[None, :, None], 32, axis=0).repeat(3, axis=2) for k in range(24)]
    assert missed(shift, shift[0]) == set()
    assert missed(shift[:19], shift[19]) == {
        "first frame from what follows the last",
        "first frame from the last",
        "largest step in the seam",
    }
    grey = [*shift[:-2], np.full_like(shift[0], 120), shift[-1]]
    assert missed(grey, shift[0]) >= {"least sharpness in the seam", "least contrast in the seam"}


def test_the_flag_makes_a_loop(tmp_path, monkeypatch):
    from renderer.cli.main import app

    asked = []

    def note(film, **_):
        asked.append(film.settings.film.loop)
        raise UsageError("enough")

    monkeypatch.setattr("renderer.films.make.make_film", note)
    for flags in ([], ["--loop"]):
        CliRunner().invoke(app, ["zoom", "-o", str(tmp_path / "a.mp4"), *flags])
    assert asked == [False, True]


def test_a_video_cannot_come_round(tmp_path):
    resolved = resolve(sets=["film.loop=true"])
    with pytest.raises(UsageError, match=r"film\.loop is true"):
        new_film("video", resolved, tmp_path / "out.mp4", {"clip": tmp_path / "clip.mp4"})


@pytest.mark.parametrize(
    ("ending", "forever"),
    [("gif", b"NETSCAPE2.0\x03\x01\x00\x00"), ("apng", b"acTL\x00\x00\x00\x03\x00\x00\x00\x00"), ("webp", b"ANIM")],
)
def test_animated_pictures_play_for_ever(tmp_path, ending, forever):
    out = tmp_path / f"film.{ending}"
    frames = [np.full((16, 16, 3), value, np.uint8) for value in (0, 90, 200)]
    encode(iter(frames), out, size=Size(16, 16), rate=RATE, recipe={}, threads=1)
    data = out.read_bytes()
    assert forever in data
    if ending == "webp":  # length of the chunk, background, number of rounds
        at = data.index(b"ANIM")
        assert data[at + 12 : at + 14] == b"\x00\x00"


def test_all_that_varies_in_a_loop_comes_round(tmp_path):
    parts = ZoomFilm(settings=settings(*SMALL), out=tmp_path / "a.mp4").render_setup({})
    scene = parts.scene
    assert scene.loop.seconds == scene.zoom.camera.loop_seconds == parts.dreamer.channel_waves.loop_seconds == 0.5
