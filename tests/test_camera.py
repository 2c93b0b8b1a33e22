"""The camera: the same journey at every frame rate and size, without steps, black borders or needless blur."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from dreamers import moving_camera
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from renderer.errors import UsageError
from renderer.frame import Size
from renderer.motion.camera import Camera
from renderer.motion.moves import MOVES
from renderer.motion.resample import EDGES, _warper, warp
from renderer.motion.schedule import Schedule, parse

SIZE = Size(640, 360)
SECONDS = 3.0
RATES = [Fraction(12), Fraction(24), Fraction(48), Fraction(25), Fraction(30000, 1001)]


def scheduled(spec: Any) -> Schedule:
    return parse(spec, seconds=SECONDS, rate=Fraction(24))


CAMERAS: dict[str, Callable[[], Camera]] = {
    "zoom": lambda: moving_camera(zoom=2.0),
    "zoom out": lambda: moving_camera(zoom=scheduled("0.6 + 0.2*sin(5*t)")),
    "wander": lambda: moving_camera(zoom=1.7, wander=0.25, wander_period=3, seed=11),
    "jump": lambda: moving_camera(rotate=scheduled({"0s": 0, "0.777s": 40, "ease": "step"})),
    "everything": lambda: moving_camera(
        zoom=scheduled({"0s": 1.2, "1s": 2.0, "3s": 0.7, "ease": "smooth"}),
        rotate=scheduled("30*sin(t*2)"),
        pan_x=scheduled("0.2*cos(t)"),
        pan_y=0.05,
        turn_x=scheduled("4*t"),
        turn_y=-2.0,
        wander=scheduled("0.1 + 0.05*t"),
        seed=5,
    ),
    "deforum": lambda: moving_camera(zoom=scheduled("0:(1.02), 30:(1+0.02*sin(t/5))")),
}
SETTINGS = {"zoom": 2.0, "rotate": 20.0, "pan_x": 0.3, "pan_y": 0.3, "turn_x": 20.0, "turn_y": 20.0}


def journey(camera: Camera, times: list[float]) -> NDArray[np.float64]:
    way = np.eye(3)
    for t0, t1 in pairwise(times):
        way = way @ camera.matrix(t0, t1, size=SIZE)
    return way / way[2, 2]


def send(matrix: NDArray[np.float64], x: float, y: float) -> tuple[float, float]:
    u, v, w = matrix @ (x, y, 1)
    return u / w, v / w


def slide(x: float, y: float = 0.0) -> NDArray[np.float64]:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def waves(width: int, height: int) -> NDArray[np.float32]:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    planes = [0.5 + 0.4 * np.sin(x / 5 + y / 9 + channel) for channel in range(3)]
    return np.stack(planes, -1).astype(np.float32)


def noise(width: int, height: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


# --- the journey


@pytest.mark.parametrize("name", CAMERAS)
def test_the_same_second_is_the_same_place_at_every_frame_rate(name: str) -> None:
    camera = CAMERAS[name]()
    whole = camera.matrix(0, SECONDS, size=SIZE)
    for rate in RATES:
        frames = math.floor(SECONDS * rate)
        times = [*(float(k / rate) for k in range(frames + 1)), SECONDS]
        np.testing.assert_allclose(journey(camera, times), whole, rtol=0, atol=1e-8)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, SECONDS), min_size=1, max_size=6), st.sampled_from(sorted(CAMERAS)))
def test_any_stops_on_the_way_lead_to_the_same_place_also_backwards(stops: list[float], name: str) -> None:
    camera = CAMERAS[name]()
    times = [0.5, *stops, 2.0]
    np.testing.assert_allclose(journey(camera, times), camera.matrix(0.5, 2.0, size=SIZE), rtol=0, atol=1e-6)


def test_the_path_is_the_integral_of_its_speeds() -> None:
    camera = moving_camera(zoom=scheduled("2 + sin(3*t)"))
    t = (np.arange(200_000) + 0.5) / 200_000 * SECONDS
    factor = math.exp(np.log(2 + np.sin(3 * t)).mean() * SECONDS)
    assert camera.matrix(0, SECONDS, size=SIZE)[0, 0] == pytest.approx(1 / factor, rel=1e-5)
    turned = moving_camera(rotate=scheduled("90*t")).matrix(0, 1, size=SIZE)
    assert math.degrees(math.atan2(turned[1, 0], turned[0, 0])) == pytest.approx(45, abs=1e-3)


def test_rates_mean_what_they_say() -> None:
    middle = (319.5, 179.5)
    assert send(moving_camera(zoom=2).matrix(3, 4, size=SIZE), 419.5, 179.5) == pytest.approx((369.5, 179.5))
    assert send(moving_camera(zoom=0.5).matrix(3, 4, size=SIZE), 419.5, 179.5) == pytest.approx((519.5, 179.5))
    # Anticlockwise: what is now above the middle was to the right of it.
    assert send(moving_camera(rotate=90).matrix(0, 1, size=SIZE), 319.5, 79.5) == pytest.approx((419.5, 179.5))
    assert send(moving_camera(pan_x=0.5, pan_y=0.25).matrix(0, 1, size=SIZE), *middle) == pytest.approx((639.5, 269.5))
    turned = send(moving_camera(turn_x=15, turn_y=0).matrix(0, 1, size=SIZE), *middle)
    assert turned == pytest.approx((319.5 + 640 * 0.5 / math.tan(math.pi / 6) * math.tan(math.radians(15)), 179.5))
    corner = moving_camera(zoom=3, rotate=50, centre_x=0.25, centre_y=0.75)
    assert send(corner.matrix(0, 1, size=SIZE), 159.5, 269.5) == pytest.approx((159.5, 269.5))


def test_deforum_values_are_motion_per_frame() -> None:
    camera = moving_camera(zoom=scheduled("0:(1.02)"), rotate=scheduled("0:(where(t == 12, 90, 0))"))
    step = camera.matrix(3 / 24, 4 / 24, size=SIZE)
    assert step[0, 0] == pytest.approx(1 / 1.02)
    jump = camera.matrix(11 / 24, 12 / 24, size=SIZE)
    assert jump[1, 0] == pytest.approx(1 / 1.02) and jump[0, 0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", CAMERAS)
def test_the_journey_is_the_same_at_every_size(name: str) -> None:
    camera = CAMERAS[name]()
    small = send(camera.matrix(0, 1, size=Size(160, 90)), 40 - 0.5, 60 - 0.5)
    large = send(camera.matrix(0, 1, size=Size(1280, 720)), 320 - 0.5, 480 - 0.5)
    assert (np.array(small) + 0.5) * 8 == pytest.approx(np.array(large) + 0.5, abs=1e-6)


@pytest.mark.parametrize("name", MOVES)
def test_every_move_moves_and_rests_at_its_defaults(name: str) -> None:
    for setting in MOVES[name].settings:
        speed: dict[str, Any] = {setting: SETTINGS[setting]}
        matrix = moving_camera(**speed).matrix(0, 1, size=SIZE)
        assert np.isfinite(matrix).all() and np.linalg.det(matrix) > 0
        assert np.abs(np.array(send(matrix, 100, 50)) - (100, 50)).max() > 1
    assert np.array_equal(moving_camera(wander=0.3).matrix(0, 1, size=SIZE), np.eye(3))


@pytest.mark.parametrize(
    "bad",
    [
        {"zoom": 0.0},
        {"zoom": -1.0},
        {"zoom": math.nan},
        {"rotate": math.inf},
        {"pan_x": math.nan},
    ],
)
def test_impossible_moves_are_refused_with_their_name(bad: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(bad))):
        moving_camera(**bad)


def test_a_zoom_that_sinks_to_zero_or_races_off_is_refused() -> None:
    with pytest.raises(UsageError, match="above 0"):
        moving_camera(zoom=scheduled("1-t")).matrix(1, 2, size=SIZE)
    for camera in (
        moving_camera(zoom=1e300),
        moving_camera(zoom=1e-300),
        moving_camera(pan_x=1e308),
        moving_camera(rotate=1e308),
    ):
        with pytest.raises(UsageError, match="too fast"):
            camera.matrix(0, 100, size=SIZE)
    with pytest.raises(UsageError, match="finite"):
        moving_camera().matrix(0, math.nan, size=SIZE)


# --- the wandering centre


def test_the_centre_wanders_smoothly_within_its_bounds() -> None:
    camera = moving_camera(wander=0.2, wander_period=4.0, seed=3)
    step = 1 / 48
    path = np.array([camera.centre(k * step) for k in range(48 * 400)]) - 0.5
    assert np.hypot(*path.T).max() <= 0.2
    assert path.std(axis=0).min() > 0.05, "it really goes somewhere"
    # A swing of 0.2 in 4 s: speeds and bends stay of that order, nothing jumps.
    assert np.abs(np.diff(path, axis=0)).max() / step < 0.2 * 2 * math.tau / 4.0
    assert np.abs(np.diff(path, 2, axis=0)).max() / step**2 < 0.2 * 4 * (math.tau / 4.0) ** 2
    crossings = (np.diff(np.sign(path), axis=0) != 0).sum(axis=0) / (400 / 4.0)
    assert (crossings > 1.5).all() and (crossings < 2.6).all(), "there and back once a period"


def test_the_wandering_never_repeats_itself() -> None:
    camera = moving_camera(wander=1.0, wander_period=4.0, seed=3)
    path = np.array([camera.centre(k / 4)[0] for k in range(4 * 800)]) - 0.5
    power = np.abs(np.fft.rfft(path, 2 * len(path))) ** 2
    echo = np.fft.irfft(power)[: len(path) // 2] / power.mean()
    assert np.abs(echo[4 * 12 :]).max() < 0.35 * echo[0]


def test_the_wandering_comes_from_the_seed_alone() -> None:
    there = [moving_camera(wander=0.2, seed=8).centre(t) for t in (0, 100, 7.3)]
    again = [moving_camera(wander=0.2, seed=8).centre(t) for t in (7.3, 0, 100)]
    assert there == [again[1], again[2], again[0]]
    assert moving_camera(wander=0.2, seed=9).centre(7.3) != there[2]
    assert moving_camera(wander=0.2, seed=-1).centre(-5) != moving_camera(wander=0.2, seed=1).centre(-5)


# --- the resample


def reference(frame: NDArray[np.float32], matrix: NDArray[np.float64], edges: str) -> NDArray[np.float64]:
    """Catmull-Rom in plain numpy, over a picture that numpy itself has gone on with beyond its edges."""
    height, width = frame.shape[:2]
    modes: dict[str, Any] = {"mirror": "symmetric", "reflect": "reflect", "wrap": "wrap", "clamp": "edge"}
    margin = 60
    mode: Any = "edge" if edges == "reflect" and 1 in (height, width) and height == width else modes[edges]
    pad = ((margin, margin), (margin, margin), (0, 0))
    wide = np.pad(frame.astype(np.float64), pad, mode=mode)
    result = np.zeros(frame.shape)
    for y in range(height):
        for x in range(width):
            u, v = send(matrix, x, y)
            for j in range(math.floor(v) - 1, math.floor(v) + 3):
                for i in range(math.floor(u) - 1, math.floor(u) + 3):
                    result[y, x] += keys(u - i) * keys(v - j) * wide[j + margin, i + margin]
    return result


def keys(d: float) -> float:
    d = abs(d)
    return 1.5 * d**3 - 2.5 * d**2 + 1 if d < 1 else -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0.0


MATRICES = {
    "near": np.array([[0.98, -0.02, 0.31], [0.03, 0.97, -0.27], [0, 0, 1]]),
    "far": np.array([[1.1, 0.2, -37.3], [-0.3, 0.9, 41.6], [0, 0, 1]]),
    "bent": np.array([[0.97, 0.01, 0.4], [0.02, 1.01, -0.2], [0.01, -0.008, 1]]),
}


@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (13, 9)], ids=str)
def test_every_edge_and_size_is_sampled_exactly(edges: str, size: tuple[int, int]) -> None:
    frame = noise(*size, seed=4)
    for name, matrix in MATRICES.items():
        found = warp(frame, matrix, edges=edges)
        assert found.shape == frame.shape and found.dtype == np.float32
        np.testing.assert_allclose(found, reference(frame, matrix, edges), atol=2e-5, err_msg=name)


@pytest.mark.parametrize("size", [(1, 5), (5, 1)], ids=str)
def test_a_line_of_pixels_is_a_picture_too(size: tuple[int, int]) -> None:
    frame = noise(*size)
    np.testing.assert_allclose(warp(frame, MATRICES["far"]), reference(frame, MATRICES["far"], "mirror"), atol=2e-5)


@pytest.mark.parametrize("edges", EDGES)
def test_no_border_ever_shows(edges: str) -> None:
    frame = np.full((9, 13, 3), 0.7, np.float32)
    distances = [slide(1e9, -1e9), slide(-12345.678), np.diag([50.0, 80.0, 1.0]), np.diag([1e12, 1e12, 1.0])]
    horizon = np.array([[1, 0, 0], [0, 1, 0], [-0.2, 0, 1]])
    for matrix in [*MATRICES.values(), *distances, horizon]:
        np.testing.assert_allclose(warp(frame, matrix, edges=edges), 0.7, atol=1e-5)


def test_a_resting_camera_returns_the_same_bits() -> None:
    frame = noise(13, 9) * 3 - 1
    rested = warp(frame, moving_camera(wander=0.5, seed=1).matrix(0, 9, size=Size(13, 9)))
    assert np.array_equal(rested, frame) and not np.shares_memory(rested, frame)
    assert np.array_equal(warp(frame, slide(1e-30)), frame), "also through the resampler itself"
    moved = warp(frame, slide(2, 1))
    assert np.array_equal(moved[1:7, 2:9], frame[2:8, 4:11]), "a whole pixel needs no filter"


def test_nothing_is_clipped() -> None:
    frame = noise(13, 9) * 4 - 2
    moved = warp(frame, slide(0.5, 0.5))
    assert moved.min() < 0 and moved.max() > 1


def test_a_slow_move_has_no_steps() -> None:
    picture = waves(48, 24)
    offsets = np.arange(200) * 0.01
    here = (12, 20, 0)
    ours = np.diff([warp(picture, slide(offset))[here] for offset in offsets])
    x, y = np.meshgrid(np.arange(48, dtype=np.float32), np.arange(24, dtype=np.float32))
    theirs = np.diff([cv2.remap(picture, x + np.float32(o), y, cv2.INTER_LANCZOS4)[here] for o in offsets])
    exact = np.diff(0.5 + 0.4 * np.sin((here[1] + offsets) / 5 + here[0] / 9))
    assert np.abs(ours - exact).max() < 0.05 * np.abs(exact).max()
    assert np.abs(theirs - exact).max() > 1 * np.abs(exact).max(), "the measure sees steps of 1/32 pixel"


def test_a_hundred_small_zooms_keep_detail_that_bilinear_loses() -> None:
    size = Size(64, 64)
    picture = cv2.GaussianBlur(noise(*size, seed=2), (0, 0), 1.0)
    matrix = moving_camera(zoom=1.05, rotate=3.0).matrix(0, 1 / 24, size=size)
    ours, theirs = picture.copy(), picture.copy()
    for _ in range(100):
        ours = warp(ours, matrix)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        theirs = cv2.warpAffine(theirs, matrix[:2], tuple(size), flags=flags, borderMode=cv2.BORDER_REFLECT)
    once = warp(picture, np.linalg.matrix_power(matrix, 100))

    def sharpness(frame: NDArray[np.float32]) -> float:
        return float(cv2.Laplacian(frame[8:-8, 8:-8], cv2.CV_32F).var())

    assert sharpness(ours) > 0.4 * sharpness(once)
    assert sharpness(ours) > 4 * sharpness(theirs)
    assert np.abs(ours.mean() - once.mean()) < 1e-3, "and no light is made or lost"


def test_changing_the_move_never_compiles_again() -> None:
    frame = noise(13, 9)
    for k in range(20):
        warp(frame, slide(0.01 * k, -0.02 * k))
        warp(frame, MATRICES["bent"] * (1 + k))
    compiled: Any = _warper("mirror", True, "catmull-rom")
    assert compiled.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    ("frame", "matrix", "edges", "said"),
    [
        (np.zeros((4, 4), np.float32), np.eye(3), "mirror", "frame"),
        (np.zeros((0, 4, 3), np.float32), np.eye(3), "mirror", "frame"),
        (np.zeros((4, 4, 3), np.float32), np.eye(2), "mirror", "matrix"),
        (np.zeros((4, 4, 3), np.float32), np.eye(3) * np.nan, "mirror", "finite"),
        (np.zeros((4, 4, 3), np.float32), np.eye(3), "miror", "did you mean 'mirror'"),
    ],
)
def test_what_cannot_be_warped_is_refused(frame: Any, matrix: Any, edges: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        warp(frame, matrix, edges=edges)


def test_the_camera_loads_no_tensorflow_until_it_moves_a_picture() -> None:
    code = "import sys, renderer.motion.camera; print([m for m in ('tensorflow', 'cv2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
