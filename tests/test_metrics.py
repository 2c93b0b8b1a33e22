"""Metrics of films whose numbers are known beforehand."""

from __future__ import annotations

import itertools
import json
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from dreamers import moving_camera

from renderer.errors import BadInput, UsageError
from renderer.frame import Pixels, Size
from renderer.measure.measured import MeasuredFilm, MeasuredFrame, measure
from renderer.measure.metrics import METRICS, measure_film
from renderer.measure.similarity import ssim, unzoom
from renderer.media.ffmpeg.encode import encode
from renderer.media.ffmpeg.pipes import file_url
from renderer.media.ffmpeg.pipes import run as ffmpeg
from renderer.motion.camera import Camera
from renderer.settings.schema import build

SIZE = Size(64, 48)
RATE = Fraction(4)


def measured(name: str, film: list[Pixels], sources: list[Pixels] | None = None, **more: object) -> dict:
    """What a metric finds of a film of these frames."""
    about = MeasuredFilm(**{"size": SIZE, "rate": RATE, "frames": len(film), **more})  # type: ignore[arg-type]
    behind = [None] * len(film) if sources is None else sources
    frames = [MeasuredFrame(k, pixels, source=behind[k]) for k, pixels in enumerate(film)]
    return measure({name: METRICS[name].measure}, about, frames)[name]


def grain(seed: int, size: Size = SIZE, scale: int = 4) -> np.ndarray:
    """Smooth random luma in [0.2, 0.8], good for any resampling."""
    coarse = np.random.default_rng(seed).uniform(0.2, 0.8, (size.height // scale + 1, size.width // scale + 1))
    return cv2.resize(coarse.astype(np.float32), tuple(size), interpolation=cv2.INTER_CUBIC).clip(0, 1)


def grey(plane: np.ndarray) -> Pixels:
    return np.repeat(np.round(plane * 255).astype(np.uint8)[..., None], 3, axis=2)


# --- structural similarity -------------------------------------------------------------------------------------------


def test_a_picture_is_wholly_similar_to_itself() -> None:
    plane = grain(1)
    assert ssim(plane, plane) == pytest.approx(1.0, abs=1e-6)


def test_similarity_does_not_depend_on_the_order() -> None:
    assert ssim(grain(1), grain(2)) == pytest.approx(ssim(grain(2), grain(1)), abs=1e-6)


def test_pictures_without_anything_in_common_are_hardly_similar_and_negatives_are_opposite() -> None:
    noise = [np.random.default_rng(seed).uniform(0, 1, (48, 64)).astype(np.float32) for seed in (1, 2)]
    assert abs(ssim(*noise)) < 0.06
    assert ssim(noise[0], 1 - noise[0]) < -0.7


def test_similarity_of_two_flat_planes_is_what_the_formula_says() -> None:
    a, b, c1 = 0.3, 0.6, 0.01**2
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    assert ssim(np.full((20, 20), a, np.float32), np.full((20, 20), b, np.float32)) == pytest.approx(expected, abs=1e-5)


def test_similarity_equals_a_plain_sum_over_one_window() -> None:
    a, b = grain(3)[:11, :11], grain(4)[:11, :11]
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights = np.outer(taps, taps) / taps.sum() ** 2
    ma, mb = (weights * a).sum(), (weights * b).sum()
    va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
    cov = (weights * (a - ma) * (b - mb)).sum()
    c1, c2 = 0.01**2, 0.03**2
    expected = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    assert ssim(a, b) == pytest.approx(expected, abs=1e-5)


def test_more_noise_is_less_similar() -> None:
    plane, noise = grain(1), np.random.default_rng(0).normal(0, 1, (48, 64)).astype(np.float32)
    found = [ssim(plane, plane + np.float32(s) * noise) for s in (0.01, 0.05, 0.2)]
    assert found == sorted(found, reverse=True) and found[0] > 0.9 > 0.5 > found[-1]


def test_only_windows_inside_the_mask_count() -> None:
    plane = grain(1)
    spoiled, mask = plane.copy(), np.ones(plane.shape, bool)
    spoiled[:, 40:], mask[:, 40:] = 0, False
    assert ssim(plane, spoiled, mask=mask) == pytest.approx(1.0, abs=1e-6)
    assert ssim(plane, spoiled) < 0.9
    assert ssim(plane, spoiled, mask=np.zeros_like(mask)) is None


# --- the un-zoomed film ----------------------------------------------------------------------------------------------


def zoom_into(world: np.ndarray, camera: Camera, seconds: float) -> np.ndarray:
    """See a still world at some seconds of a journey, the world being finer than the frame so that nothing is lost."""
    fine = world.shape[1] / SIZE.width
    way = camera.matrix(0.0, seconds, size=SIZE)
    to_world = np.array([[fine, 0, fine / 2 - 0.5], [0, fine, fine / 2 - 0.5], [0, 0, 1]])
    return cv2.warpPerspective(world, to_world @ way, tuple(SIZE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def test_a_later_frame_is_brought_back_onto_the_earlier() -> None:
    world = grain(5, Size(512, 384), scale=64)
    for moves in ({"zoom": 1.3}, {"zoom": 1.2, "rotate": 15.0}, {"zoom": 1.0, "pan_x": 0.1}):
        camera = moving_camera(**moves, wander=0.1)
        early, late = zoom_into(world, camera, 0.5), zoom_into(world, camera, 2.0)
        seen, mask = unzoom(late, camera, earlier_at=0.5, later_at=2.0)
        assert 0.2 < mask.mean() < 0.95
        assert np.abs(seen - early)[mask].mean() < 0.01
        assert ssim(early, seen, mask=mask) > 0.95 > 0.8 > ssim(early, late)


def test_a_ramp_is_brought_back_to_a_twentieth_of_a_pixel() -> None:
    camera = moving_camera(zoom=3.0)
    ramp = np.tile(np.arange(64, dtype=np.float32) / 64, (48, 1))
    seen, mask = unzoom(ramp, camera, earlier_at=0.0, later_at=1.0)
    inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    places = (np.arange(64) - 31.5) * 3 + 31.5  # of the later frame, seen from the earlier
    assert np.abs(seen - places / 64)[inner].max() < 0.05 * 3 / 64


def test_a_film_that_only_zooms_is_similar_and_one_that_changes_is_not() -> None:
    camera = moving_camera(zoom=1.15)
    world = grain(6, Size(512, 384), scale=48)
    frames = 24
    shown = [grey(zoom_into(world, camera, index / 4)) for index in range(frames)]
    still = measured("self_similarity", shown, camera=camera)
    changing = measured("self_similarity", [grey(grain(index)) for index in range(frames)], camera=camera)
    assert still["gap_seconds"] == 3.0 and still["unzoomed"] and len(still["pairs"]) == 6
    assert still["median"] > 0.9 > 0.3 > changing["largest"]


def test_frames_that_share_too_little_are_not_compared() -> None:
    frames = [grey(grain(index)) for index in range(16)]
    found = measured("self_similarity", frames, camera=moving_camera(zoom=20.0))
    assert found["median"] is None and found["pairs"]
    assert "share too little" in METRICS["self_similarity"].text(found)[0]


def test_only_a_few_frames_are_kept() -> None:
    alive: list[weakref.ref] = []
    most = 0

    def frames() -> Iterator[MeasuredFrame]:
        nonlocal most
        for index in range(60):
            frame = MeasuredFrame(index, grey(grain(index % 3)), source=grey(grain(index % 3)))
            alive.append(weakref.ref(frame))
            yield frame
            del frame
            most = max(most, sum(ref() is not None for ref in alive))

    about = MeasuredFilm(size=SIZE, rate=RATE, frames=400, path=Path(__file__), source=Path(__file__))
    measure({name: metric.measure for name, metric in METRICS.items()}, about, frames())
    assert 1 < most <= 12


# --- tone, clipping, hue ---------------------------------------------------------------------------------------------


def test_a_constant_film_has_no_contrast_no_sharpness_and_no_drift() -> None:
    found = measured("tone", [np.full((48, 64, 3), (128, 64, 64), np.uint8)] * 40)
    assert found["median"]["contrast"] == found["median"]["sharpness"] == pytest.approx(0, abs=1e-12)
    assert found["median"]["saturation"] == pytest.approx(0.5)
    assert found["median"]["luma"] == pytest.approx((0.2126 * 128 + 0.7874 * 64) / 255, abs=1e-5)
    assert all(value < 1e-6 for value in found["deviation"].values())


def test_sharpness_and_contrast_are_those_of_the_definition() -> None:
    stripes = np.zeros((48, 64), np.float32)
    stripes[:, ::2] = 1
    found = measured("tone", [grey(stripes)])["median"]
    assert found["contrast"] == pytest.approx(0.5, abs=1e-4)
    assert found["sharpness"] == pytest.approx(4.0, abs=1e-3)  # the Laplacian is +2 and -2 in turn


def test_drifting_brightness_is_found_and_what_happens_while_settling_is_not_held_against_a_film() -> None:
    plane = grain(1) * 0.5
    frames = 40  # ten seconds, two of them for settling
    drifting = measured("tone", [grey(plane * (1 + index / frames)) for index in range(frames)])
    settling = measured("tone", [grey(plane * (2 if index < 8 else 1)) for index in range(frames)])
    assert drifting["settling_seconds"] == 2.0
    assert len(drifting["per_second"]["luma"]) == 10
    assert 0.25 < drifting["deviation"]["luma"] < 0.4
    assert settling["deviation"]["luma"] < 0.01


def test_a_short_last_piece_belongs_to_the_second_before() -> None:
    found = measured("tone", [grey(grain(1))] * 9)
    assert len(found["per_second"]["luma"]) == 2


def test_the_share_of_clipped_pixels_is_exact() -> None:
    pixels = np.full((48, 64, 3), 100, np.uint8)
    pixels[0, 0, 1] = 255
    pixels[1, :4, 2] = 0
    pixels[1, 0, 0] = 255  # the same pixel twice is one pixel
    clean = np.full((48, 64, 3), (1, 254, 100), np.uint8)
    found = measured("clipped", [pixels, clean])
    assert found["largest"] == pytest.approx(5 / (48 * 64))
    assert found["mean"] == pytest.approx(2.5 / (48 * 64))


def test_turning_hues_are_told_from_constant_ones() -> None:
    def hue(degrees: float) -> Pixels:
        hsv = np.full((48, 64, 3), (degrees / 2, 200, 200), np.uint8)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)

    constant = measured("hue_change", [hue(90)] * 40)
    turning = measured("hue_change", [hue(9 * index) for index in range(40)])
    assert constant["mean"] == 0.0
    assert turning["smallest"] > 0.9


def test_every_metric_takes_the_shortest_films_and_gives_json_and_lines() -> None:
    for name, frames in itertools.product(METRICS, (1, 2, 5)):
        pixels = [grey(grain(index)) for index in range(frames)]
        # Every file there is, none of them a film: what reads files must bear that as well.
        found = measured(name, pixels, pixels, path=Path(__file__), source=Path(__file__))
        lines = METRICS[name].text(json.loads(json.dumps(found, allow_nan=False)))
        assert lines and all(isinstance(line, str) for line in lines), (name, frames)


# --- whole films -----------------------------------------------------------------------------------------------------


def recipe(**values: object) -> dict:
    settings = {"film.size": str(SIZE), "film.fps": "4", "film.frames": 12, "camera.zoom": 1.1, "camera.wander": 0.0}
    from renderer.settings.schema import flatten

    return {
        "dreamreel": "0",
        "recipe": 1,
        "kind": "zoom",
        "settings": flatten(build({**settings, **values})),
        "inputs": {},
        "facts": {},
        "weights_sha256": "",
        "environment": {},
    }


def test_a_film_file_is_measured_with_the_camera_of_its_recipe(tmp_path: Path) -> None:
    out = tmp_path / "film.mp4"
    frames = iter([grey(grain(index)) for index in range(12)])
    encode(frames, out, size=SIZE, rate=RATE, recipe=recipe(), threads=1)
    report = measure_film(out)
    found = report.as_json()
    assert (found["frames"], found["rate"], found["size"]) == (12, "4", "64x48")
    assert found["metrics"]["self_similarity"]["unzoomed"] is True
    assert found["metrics"]["tone"]["median"]["luma"] == pytest.approx(float(grain(5).mean()), abs=0.06)
    assert any("clipped" in line for line in report.lines())


def test_a_gif_takes_its_rate_from_the_recipe(tmp_path: Path) -> None:
    out = tmp_path / "film.gif"
    values = {"film.fps": "24", "camera.zoom": 1.1}
    frames = iter([grey(grain(index)) for index in range(12)])
    encode(frames, out, size=SIZE, rate=Fraction(24), recipe=recipe(**values), threads=1)
    assert measure_film(out).as_json()["rate"] == "24"


def test_what_is_no_film_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    for content in (b"", b"hello", b"ffconcat version 1.0\nfile film.mp4\n"):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=r"film\.mp4"):
            measure_film(path)
    (tmp_path / "empty").mkdir()
    for name, words in (("none.mp4", "not there"), ("empty", "holds no pictures")):
        with pytest.raises(BadInput, match=words):
            measure_film(tmp_path / name)


# --- against the video it was made from ------------------------------------------------------------------------------


def moving(count: int, *, flicker: float = 0.0, seed: int = 0) -> list[Pixels]:
    """A photograph-like picture that goes left by two pixels a frame; its brightness flickers."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0.2, 0.8, (12, 40, 3)).astype(np.float32)
    wide = cv2.resize(coarse, (160, 48), interpolation=cv2.INTER_CUBIC)
    shown = []
    for index in range(count):
        light = np.float32(1 + (flicker if index % 2 else -flicker))
        shown.append(np.clip(255 * light * wide[:, 2 * index : 2 * index + 64], 0, 255).astype(np.uint8))
    return shown


def test_a_film_that_moves_with_its_source_is_as_steady_and_one_that_flickers_is_not() -> None:
    source = moving(12)
    same = measured("steadiness", source, source)
    assert same["gap_1"]["ratio"] == pytest.approx(1.0)
    assert same["gap_1"]["source"] < 2e-4
    assert len(same["pairs"]) == 11
    flickering = measured("steadiness", moving(12, flicker=0.1), source)
    assert flickering["gap_1"]["ratio"] > 20
    painted = measured("steadiness", moving(12, seed=4)[::-1], source)
    assert painted["gap_1"]["film"] > 20 * same["gap_1"]["film"]


def test_pairs_across_a_cut_do_not_count() -> None:
    source = moving(6) + moving(6, seed=9)
    with_cut = measured("steadiness", source, source, cuts=frozenset({6}))
    assert len(with_cut["pairs"]) == 10
    assert with_cut["gap_1"]["source"] < 2e-4
    assert (
        measured("flicker", source, source, cuts=frozenset({6}))["film"] < measured("flicker", source, source)["film"]
    )


def test_flicker_is_told_in_parts_of_the_range() -> None:
    flat = [np.full((48, 64, 3), 100 + 10 * (index % 2), np.uint8) for index in range(8)]
    found = measured("flicker", flat, [flat[0]] * 8)
    assert found["film"] == pytest.approx(10 / 255, abs=1e-4)
    assert found["source"] == 0.0


def test_without_a_source_what_compares_is_left_out_and_with_one_it_is_there(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    encode(iter(moving(12)), film, size=SIZE, rate=RATE, threads=1)
    assert "steadiness" not in measure_film(film).metrics
    report = measure_film(film, source=film)
    assert report.metrics["steadiness"]["gap_1"]["ratio"] == pytest.approx(1.0)
    assert any("warping error" in line for line in report.lines())


def test_sound_that_comes_late_is_told_to_the_millisecond(tmp_path: Path) -> None:
    source, late = tmp_path / "source.mkv", tmp_path / "late.mkv"
    tone = ["-f", "lavfi", "-i", "sine=duration=2", "-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=2"]
    ffmpeg([*tone, "-c:v", "libx264", "-c:a", "aac", "-y", file_url(source)])
    shift = ["-i", file_url(source), "-itsoffset", "0.25", "-i", file_url(source), "-map", "0:v", "-map", "1:a"]
    ffmpeg([*shift, "-c", "copy", "-y", file_url(late)])
    same = measure_film(source, source=source, names=["lip_sync"]).metrics["lip_sync"]
    assert (same["start"], same["end"], same["copied"]) == (0.0, 0.0, True)
    found = measure_film(late, source=source, names=["lip_sync"]).metrics["lip_sync"]
    assert found["start"] == pytest.approx(0.25, abs=0.002)
    assert found["end"] == pytest.approx(0.25, abs=0.002)


def test_a_plot_is_drawn_and_replaces_no_file(tmp_path: Path) -> None:
    from renderer.measure.plot import check_plot, draw_plot

    film, out = tmp_path / "film.mp4", tmp_path / "plot.png"
    encode(iter(moving(8)), film, size=SIZE, rate=RATE, threads=1)
    check_plot(out)
    draw_plot(measure_film(film, source=film), out)
    assert out.read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(UsageError):
        check_plot(out)
