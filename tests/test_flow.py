from __future__ import annotations

import cv2
import numpy as np
import pytest

from renderer.errors import UsageError
from renderer.motion import flow as flows
from renderer.motion.flow import FLOWS, MotionFinder

HEIGHT, WIDTH = 72, 96


def photo(seed: int = 0, *, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Textured like a photograph: noise at several scales."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cells, weight in ((4, 0.5), (10, 0.3), (26, 0.2)):
        coarse = rng.uniform(0, 1, (cells, cells, 3)).astype(np.float32)
        total += np.float32(weight) * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return total


def moved(x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """A frame and the one before it; the camera goes right by x and down by y pixels, the picture left and up."""
    wide = photo(height=HEIGHT + 40, width=WIDTH + 40)

    def view(left, top):
        matrix = np.array([[1, 0, 20 + left], [0, 1, 20 + top]], np.float32)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(wide, matrix, (WIDTH, HEIGHT), flags=flags)

    return view(x, y), view(0, 0)


def constant_flow(x: float, y: float) -> np.ndarray:
    return np.broadcast_to(np.float32([x, y]), (HEIGHT, WIDTH, 2)).copy()


@pytest.mark.parametrize("kind", FLOWS)
def test_flow_says_where_each_pixel_was_in_the_frame_before(kind):
    current, previous = moved(3.0, -1.5)
    found = flows.estimate(current, previous, kind=kind)
    assert found.shape == (HEIGHT, WIDTH, 2)
    middle = np.median(found[16:-16, 16:-16], axis=(0, 1))
    np.testing.assert_allclose(middle, [3.0, -1.5], atol=0.3)


def test_the_frame_before_read_along_the_flow_is_the_frame():
    current, previous = moved(2.5, 1.25)
    motion = MotionFinder("fine")(current, previous)
    inner = (slice(12, -12), slice(12, -12))
    left = np.abs(flows.warp_by(previous, motion.flow) - current)[inner].mean()
    assert left < 0.15 * np.abs(previous - current)[inner].mean()
    assert motion.trust[inner].mean() > 0.9


def test_frames_that_do_not_move_have_no_flow_and_full_trust():
    frame = photo()
    motion = MotionFinder("fine")(frame, frame)
    assert np.abs(motion.flow).max() < 0.05
    assert motion.trust.min() == 1.0


def test_what_enters_the_frame_is_not_trusted():
    current, previous = moved(8.0, 0.0)
    motion = MotionFinder("fine")(current, previous)
    assert motion.trust[:, -7:].max() == 0.0
    assert motion.trust[16:-16, 16:-24].mean() > 0.9


def test_what_a_passing_thing_uncovers_is_not_trusted():
    thing = photo(5, height=28, width=28)
    thing = thing / thing.mean() * 0.8
    current, previous = photo(1), photo(1)
    previous[20:48, 30:58] = thing
    current[20:48, 37:65] = thing
    motion = MotionFinder("fine")(current, previous)
    assert motion.trust[22:46, 30:36].mean() < 0.1
    assert motion.trust[:, :20].mean() > 0.95


def test_there_and_back_must_end_where_it_began():
    there, back = constant_flow(4, 0), constant_flow(-4, 0)
    assert flows.consistent(there, back)[:, :-6].all()
    assert not flows.consistent(there, constant_flow(0, 0)).any()
    assert not flows.consistent(there, back)[:, -3:].any()


def test_small_waves_of_flow_are_no_edges_of_motion_and_steps_are():
    waves = constant_flow(0, 0)
    waves[..., 0] += 0.2 * np.sin(np.arange(WIDTH) / 2)
    assert not flows.motion_edges(waves).any()
    step = constant_flow(0, 0)
    step[:, 48:, 0] = 3
    edges = flows.motion_edges(step)
    assert edges[:, 47:49].all()
    assert not edges[:, :44].any()


def test_trust_does_not_reach_into_what_is_not_trusted():
    there = constant_flow(0, 0)
    there[:, :40, 0] = -6  # reads from beyond the left edge in the first columns
    back = constant_flow(0, 0)
    back[:, :40, 0] = 6
    same = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    trusted = flows.trust(there, flows.consistent(there, back, margin=0.5), pictures=(same, same))
    assert trusted[:, :6].max() == 0.0
    assert trusted.min() >= 0
    assert trusted.max() <= 1


def test_a_warp_by_no_flow_changes_no_bit_and_by_whole_pixels_moves_them():
    layers = np.random.default_rng(0).normal(size=(HEIGHT, WIDTH, 4)).astype(np.float32)
    np.testing.assert_array_equal(flows.warp_by(layers, constant_flow(0, 0)), layers)
    shifted = flows.warp_by(layers, constant_flow(5, -2))
    np.testing.assert_allclose(shifted[2:, :-5], layers[:-2, 5:], atol=1e-6)
    np.testing.assert_allclose(shifted[2:, -1], layers[:-2, -1], atol=1e-6)


def test_a_warp_takes_positions_as_they_are_not_on_a_grid():
    ramp = np.broadcast_to(np.arange(WIDTH, dtype=np.float32)[None, :, None], (HEIGHT, WIDTH, 1)).copy()
    for step in (0.001, 0.01, 0.377):
        read = flows.warp_by(ramp, constant_flow(step, 0))
        np.testing.assert_allclose((read - ramp)[:, 4:-4], step, atol=2e-5)


def test_a_warp_survives_any_flow():
    layers = np.ones((HEIGHT, WIDTH, 3), np.float32)
    for far in (1e9, -1e30, np.inf, np.nan):
        np.testing.assert_allclose(flows.warp_by(layers, constant_flow(far, far)), 1, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (15, 15)])
def test_pictures_too_small_for_flow_are_taken_to_stand_still(shape):
    a, b = (np.random.default_rng(k).uniform(0, 1, (*shape, 3)).astype(np.float32) for k in (0, 1))
    assert not flows.estimate(a, b, kind="fine").any()


def test_an_unknown_flow_is_named():
    with pytest.raises(UsageError, match="'fine'"):
        flows.estimator("fien")
