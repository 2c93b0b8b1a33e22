"""A film is the same at every size: larger frames add detail, smaller ones are shrunk."""

from __future__ import annotations

import itertools

import cv2
import films
import numpy as np
import pytest
from dreamers import moving_camera

from renderer.errors import BadInput, UsageError
from renderer.films.make import make_film
from renderer.frame import Size, at_reference
from renderer.media.store.store import Store
from renderer.motion.resample import KERNELS, warp
from renderer.render.detail import detail_sizes
from renderer.settings.presets import resolve
from renderer.settings.schema import build, pixel_key

SIZES = ("64x48", "128x96", "200x150", "40x30")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return films.save_tiny_network(tmp_path_factory.mktemp("network") / "net.keras")


def frames_of(film):
    make_film(film, listener=lambda event: None)
    return np.stack(list(Store.existing(film.folder).frames()))


def seen_small(frames):
    return np.stack([cv2.resize(frame, (32, 24), interpolation=cv2.INTER_AREA) for frame in frames]).astype(float)


@pytest.mark.parametrize("loop", ["false", "true"])
def test_a_film_is_the_same_at_every_size_and_larger_frames_are_sharper(network, tmp_path, loop):
    made = {
        size: frames_of(
            films.zoom(
                network,
                tmp_path / f"{size}.mp4",
                f"film.size={size}",
                "dream.reference=48",
                f"film.loop={loop}",
                "film.run_up=0.1",
                frames=5,
                keep_store=True,
            )
        )
        for size in SIZES
    }
    plain = seen_small(made["64x48"])
    for size, frames in made.items():
        assert frames.shape[1:3] == (Size.parse(size).height, Size.parse(size).width)
        for one, other in zip(plain, seen_small(frames), strict=True):
            assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.98
    enlarged = np.stack([cv2.resize(frame, (128, 96), interpolation=cv2.INTER_CUBIC) for frame in made["64x48"]])
    sharp, soft = (
        np.mean([cv2.Laplacian(frame.astype(np.float32), cv2.CV_32F).std() for frame in frames[2:]])
        for frames in (made["128x96"], enlarged)
    )
    assert sharp > 1.3 * soft


def test_at_its_reference_a_film_is_what_it_is_without_one(network, tmp_path):
    plain, meant = (
        films.zoom(network, tmp_path / f"{name}.mp4", f"dream.reference={name}", keep_store=True)
        for name in ("frame", "48")
    )
    assert plain.key == meant.key
    np.testing.assert_array_equal(frames_of(plain), frames_of(meant))


def test_a_large_film_that_was_stopped_goes_on_to_the_same_frames(network, tmp_path):
    whole = frames_of(films.zoom(network, tmp_path / "whole.mp4", frames=7, keep_store=True))
    film = films.zoom(network, tmp_path / "parts.mp4", frames=7, keep_store=True)
    for stop in (2, 5):
        asked = itertools.count()
        with pytest.raises(Exception, match="Stopped"):
            make_film(film, listener=lambda event: None, should_stop=lambda asked=asked, stop=stop: next(asked) >= stop)
    np.testing.assert_array_equal(frames_of(film), whole)


def test_what_was_kept_for_larger_frames_is_checked(network, tmp_path, monkeypatch):
    film = films.zoom(network, tmp_path / "a.mp4", frames=5, keep_store=True)
    with pytest.raises(Exception, match="Stopped"):
        make_film(film, listener=lambda event: None, should_stop=lambda: True)
    held = Store.state
    monkeypatch.setattr(Store, "state", lambda store: {k: v for k, v in held(store).items() if k != "detail.frame"})
    with pytest.raises(BadInput, match="is not of this film"):
        make_film(film, listener=lambda event: None)


def test_the_reference_is_meant_for_the_shorter_side():
    assert at_reference(Size(1920, 1080), 360) == Size(640, 360)
    assert at_reference(Size(1080, 1920), 360) == Size(360, 640)
    assert at_reference(Size(320, 180), 360) == Size(640, 360)
    assert at_reference(Size(650, 366), 360) == Size(650, 366)  # as good as at the reference
    assert at_reference(Size(1920, 1080), "frame") == Size(1920, 1080)
    assert detail_sizes(Size(700, 394), Size(640, 360)) == [Size(669, 377)]
    assert detail_sizes(Size(1280, 720), Size(640, 360)) == [Size(1024, 576)]
    assert detail_sizes(Size(1920, 1080), Size(640, 360)) == [Size(991, 558), Size(1536, 864)]


def test_only_what_changes_frames_counts_in_the_key():
    def key(**chosen):
        settings = build({name.replace("__", "."): value for name, value in chosen.items()})
        return pixel_key(settings, inputs={}, environment={})

    large = {"film__size": "1280x720", "dream__reference": 360}
    assert key(dream__reference=360) == key(dream__reference="frame", dream__detail=0.5)
    assert len({key(**large), key(**large, dream__detail=0.5), key(film__size="1280x720")}) == 3


def test_a_reference_that_is_no_size_and_detail_that_nothing_shows_are_refused():
    for wrong in ("0", "20", "99999", "window", "36.5"):
        with pytest.raises(UsageError, match=r"dream\.reference"):
            resolve(sets=[f"dream.reference={wrong}"])
    with pytest.raises(UsageError, match=r"dream\.detail would do nothing"):
        resolve(sets=["dream.detail=0.5"], defaults={"dream.reference": 360}, command="zoom", inputs=())


@pytest.mark.parametrize("edges", ["mirror", "reflect", "wrap", "clamp"])
def test_a_spline_goes_through_the_pixels_and_keeps_a_picture_sharp(edges):
    rng = np.random.default_rng(3)
    picture = cv2.GaussianBlur(rng.random((40, 56, 3), np.float32), (0, 0), 1.2)

    def moved(kernel, times):
        there = picture
        for _ in range(times):
            for shift in (0.37, -0.37):
                there = warp(there, np.array([[1, 0, shift], [0, 1, shift], [0, 0, 1.0]]), edges=edges, kernel=kernel)
        return there[8:-8, 8:-8]

    whole = warp(picture, np.array([[1, 0, 3.0], [0, 1, 0], [0, 0, 1.0]]), edges=edges, kernel="spline")
    np.testing.assert_allclose(whole[8:-8, 8:-11], picture[8:-8, 11:-8], atol=2e-5)
    errors = {kernel: np.abs(moved(kernel, 6) - picture[8:-8, 8:-8]).mean() for kernel in KERNELS}
    assert errors["spline"] < 0.5 * errors["catmull-rom"]


def test_an_unknown_kernel_is_refused():
    way = moving_camera(zoom=1.5).matrix(0.0, 0.1, size=Size(8, 8))
    with pytest.raises(ValueError, match="catmull-rom"):
        warp(np.zeros((8, 8, 3), np.float32), way, kernel="catmul-rom")
