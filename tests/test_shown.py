"""From dreams to frames: any rate out of the same dreams, as sharp as these, and what an open shutter draws."""

from __future__ import annotations

from fractions import Fraction

import cv2
import films
import numpy as np
import pytest
from typer.testing import CliRunner

from renderer.cli.main import app
from renderer.dreaming.governor import measure
from renderer.events import FrameDone
from renderer.films.make import make_film
from renderer.films.replay import encode_again, film_from_recipe
from renderer.frame import Size, from_8bit, to_8bit
from renderer.media.ffmpeg.clips import open_clip
from renderer.motion.camera import Camera
from renderer.motion.resample import EDGES, warp
from renderer.motion.settings import CameraSettings
from renderer.render import shown
from renderer.render.shown import exposed, shown_frames
from renderer.settings.schema import build, encode_key
from renderer.settings.showing import Showing

SIZE = Size(160, 90)
DREAMS = Fraction(12)


def detail(seed, size=SIZE):
    """A picture with detail of every scale, as dreams have it."""
    rng, total = np.random.default_rng(seed), np.zeros((size.height, size.width, 3), np.float32)
    for side, part in ((2, 0.05), (4, 0.07), (8, 0.08), (24, 0.1)):
        few = rng.normal(0, part, (size.height // side + 2, size.width // side + 2, 3)).astype(np.float32)
        total += cv2.resize(few, tuple(size), interpolation=cv2.INTER_CUBIC)
    return 0.5 + total


def dreams_of(camera, count, *, edges="mirror", change=0.3):
    """A film in which each dream is what the camera sees of the one before, and a little of something else."""
    frames, keep = [detail(0)], (1 - change**2) ** 0.5
    for number in range(1, count):
        seen = warp(frames[-1], camera.matrix((number - 1) / 12, number / 12, size=SIZE), edges=edges)
        frames.append(seen + (0.5 + keep * (detail(number) - 0.5) - seen) * change)
    return [to_8bit(frame) for frame in frames]


def shown_of(dreams, camera, rate, *, frames, edges="mirror", **options):
    found = shown_frames(
        iter(dreams),
        dream_rate=DREAMS,
        dream_count=len(dreams),
        rate=Fraction(rate),
        frames=range(frames) if isinstance(frames, int) else frames,
        camera=camera,
        edges=edges,
        **options,
    )
    return list(found)


def camera_with(**moves):
    return Camera(CameraSettings(**{"zoom": 1, "wander": 0, **moves}))


ZOOM = {"zoom": 1.5, "rotate": 6}


def test_opencv_knows_every_edge():
    assert shown.EDGES.keys() == EDGES.keys()


@pytest.mark.parametrize("loop", [False, True])
def test_a_frame_at_the_time_of_a_dream_is_that_dream(loop):
    camera = camera_with(**ZOOM)
    dreams = dreams_of(camera, 4)
    found = shown_of(dreams, camera, 36, frames=12, loop=loop)
    assert all(np.array_equal(found[3 * number], dream) for number, dream in enumerate(dreams))
    assert all(map(np.array_equal, shown_of(dreams, camera, 12, frames=4), dreams))
    assert all(map(np.array_equal, shown_of(dreams, camera, 6, frames=2), dreams[::2]))


def test_a_world_that_stands_still_is_seen_as_the_camera_moves_through_it():
    camera = camera_with(zoom=1.5)
    dreams = dreams_of(camera, 3, change=0)
    for number, frame in enumerate(shown_of(dreams, camera, 60, frames=11)):
        exact = warp(from_8bit(dreams[0]), camera.matrix(0, number / 60, size=SIZE))
        assert np.abs(from_8bit(frame) - exact)[8:-8, 8:-8].mean() < 0.02


@pytest.mark.parametrize("moves", [ZOOM, {"zoom": 0.7, "rotate": 8}, {"pan_x": 0.3, "zoom": 1.2}, {"turn_y": 8}])
def test_frames_between_dreams_are_as_bright_and_as_sharp_as_these(moves):
    camera = camera_with(**moves)
    dreams = dreams_of(camera, 6)
    tones = [measure(from_8bit(frame)) for frame in shown_of(dreams, camera, 60, frames=26)]
    for number, tone in enumerate(tones):
        (before, after), share = (tones[number // 5 * 5], tones[min(25, number // 5 * 5 + 5)]), number % 5 / 5
        for name, far in (("luma", 0.004), ("contrast", 0.02), ("sharpness", 0.06)):
            between = (1 - share) * getattr(before, name) + share * getattr(after, name)
            assert getattr(tone, name) == pytest.approx(between, rel=far), (number, name)


def test_where_a_dream_ends_in_view_the_other_is_seen_alone():
    camera = camera_with(zoom=2)
    white, black = (np.full((90, 160, 3), value, np.uint8) for value in (200, 50))
    frame = shown_of([white, black], camera, 24, frames=2)[1]
    assert frame[0, 0, 0] - frame[45, 80, 0] == pytest.approx(75, abs=10)  # Half-way: one of them against both.
    assert np.abs(np.diff(frame[45, :, 0].astype(int))).max() < 25


def test_behind_the_last_dream_the_camera_goes_on_and_a_loop_comes_round():
    camera = camera_with(zoom=1.5)
    dreams = dreams_of(camera, 3)
    open_end = shown_of(dreams, camera, 24, frames=6)
    exact = warp(from_8bit(dreams[-1]), camera.matrix(2 / 12, 5 / 24, size=SIZE))
    assert np.abs(from_8bit(open_end[-1]) - exact).mean() < 0.02
    round_ = shown_of(dreams, camera_with(), 24, frames=6, loop=True)
    mean = (dreams[-1].astype(float) + dreams[0]) / 2
    assert np.abs(round_[-1] - mean).mean() < np.abs(dreams[-1] - mean).mean() / 2


def test_an_open_shutter_takes_the_mean_of_the_light():
    two = [np.full((2, 2, 3), value, np.uint8) for value in (0, 255)]
    assert exposed(two)[0, 0, 0] == 188  # Half the light of white, as sRGB codes it.
    for value in range(0, 256, 5):
        assert exposed([np.full((1, 1, 3), value, np.uint8)] * 3)[0, 0, 0] == value


@pytest.mark.parametrize("moves", [{"zoom": 2.5, "rotate": 10}, {"zoom": 1.15}, {"pan_x": 0.02}])
def test_an_open_shutter_is_as_good_as_one_of_64_pictures(moves):
    camera = camera_with(**moves)
    dreams = dreams_of(camera, 2)
    (frame,) = shown_of(dreams, camera, 24, frames=1, shutter=180)
    instants = shown_of(dreams, camera, 24 * 256, frames=range(1, 128, 2))
    apart = (frame.astype(float) - exposed(instants)) / 255
    assert -10 * np.log10((apart**2).mean()) >= 45


def test_two_threads_give_the_same_bytes_as_one():
    camera = camera_with(**ZOOM)
    dreams = dreams_of(camera, 3)
    threads = cv2.getNumThreads()
    found = []
    try:
        for count in (1, 2):
            cv2.setNumThreads(count)
            found.append(shown_of(dreams, camera, 60, frames=10, shutter=90))
    finally:
        cv2.setNumThreads(threads)
    assert all(map(np.array_equal, *found))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A film of a second, 64x48, of which the dreams are kept."""
    folder = tmp_path_factory.mktemp("kept")
    network = films.save_tiny_network(folder / "tiny.keras")
    film = films.zoom(network, folder / "film.mp4", "film.fps=8", "film.dreams=4", frames=8, keep_store=True)
    make_film(film, listener=films.Listening())
    return film


@pytest.mark.parametrize(
    ("asked", "rate", "frames", "size"),
    [
        ({"fps": 30}, 30, 30, (64, 48)),
        ({"fps": "24000/1001", "shutter": 180}, Fraction(24000, 1001), 24, (64, 48)),
        ({"speed": 0.5}, 8, 16, (64, 48)),
        ({"fps": 25, "speed": 4}, 25, 6, (64, 48)),
        ({"size": "48x96", "fit": "contain"}, 8, 8, (48, 96)),
    ],
)
def test_one_store_gives_films_of_any_rate_speed_and_shape_without_a_dream(kept, tmp_path, asked, rate, frames, size):
    out, told = tmp_path / "other.mp4", []
    encode = {f"encode.{name}": value for name, value in asked.items()}
    made = encode_again(kept.folder, out, encode=encode, listener=told.append)
    clip = open_clip(out)
    assert (made.rate, made.frames, made.size) == (clip.rate, clip.count, clip.size) == (rate, frames, size)
    assert not any(isinstance(event, FrameDone) for event in told)
    again, recipe = film_from_recipe(out, tmp_path / "again.mp4")
    assert {name: getattr(recipe.settings.encode, name) for name in asked} == {
        name: getattr(build(encode).encode, name) for name in asked
    }
    if "shutter" in asked:
        make_film(again, listener=films.Listening())
        assert again.out.read_bytes() == out.read_bytes()


def test_a_loop_is_shown_in_equal_steps_at_any_rate():
    looped = build({"film.loop": True, "film.fps": 8, "film.frames": 10, "film.dreams": 4, "encode.fps": 7})
    showing = Showing(looped, kind="zoom")
    assert showing.frames / showing.pace == Fraction(10, 8)


def test_what_cannot_be_shown_is_refused_in_a_sentence(kept, tmp_path):
    for args, told in (
        (["--shutter", "720"], "must be 0 to 360"),
        (["--speed", "0"], "must be 0.05 to 20"),
        (["--fps", "0"], "frames a second from 0.01 to 240"),
        (["--fit", "contain"], "encode.size is not given"),
        (["--size", "0x3"], "each side must be 1"),
    ):
        done = CliRunner().invoke(app, ["encode", str(kept.folder), "-o", str(tmp_path / "x.mp4"), *args])
        assert (done.exit_code, done.stdout) == (2, "")
        assert told in done.stderr
    assert not list(tmp_path.iterdir())


def test_films_that_are_shown_as_they_were_dreamed_keep_the_key_that_they_had():
    old = "6787b6e0"
    assert encode_key(build({}), pixels="a", suffix=".mp4").startswith(old)
