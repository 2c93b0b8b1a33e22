from __future__ import annotations

import threading

import numpy as np
import pytest
from dreamers import carry_of, dreamer_of

from renderer.errors import UsageError
from renderer.motion.flow import Motion
from renderer.render.carry import CARRIES, FILL_STRENGTH, VideoScene, fill_strength
from renderer.render.dream_layer import Strength, balanced, bands, keep_chroma, stay_visible, strength
from renderer.render.footage import AHEAD, Footage, SourceFrame

HEIGHT, WIDTH = 32, 48
RATE = 24.0


def frame(seed: int, *, scale: float = 1.0) -> np.ndarray:
    return np.float32(0.5) + np.float32(scale) * np.random.default_rng(seed).uniform(
        -0.3, 0.3, (HEIGHT, WIDTH, 3)
    ).astype(np.float32)


def still(trust: float = 1.0, *, x: float = 0.0) -> Motion:
    flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    flow[..., 0] = x
    return Motion(flow=flow, trust=np.full((HEIGHT, WIDTH), trust, np.float32))


def shot(index: int, *, motion: Motion | None = None, where=None, cut=False) -> SourceFrame:
    previous = frame(index - 1) if index and not cut else frame(index)
    return SourceFrame(index=index, source=frame(index), previous=previous, motion=motion, where=where, cut=cut)


def settings(**changes):
    return {"rate": RATE, "level": 0.0, **changes}


def begun(carry, *, scale: float = 0.1, where=None):
    """A carry after the first frame, and its dream."""
    first = shot(0, cut=True, where=where)
    carry.begin()
    return carry.finish(first, first.source + np.float32(scale) * (frame(99) - 0.5))


@pytest.mark.parametrize("name", CARRIES)
def test_every_mode_gives_a_canvas_and_goes_on_from_its_state(name):
    def through(carry, dream, first):
        for index in range(first, first + 3):
            now = shot(index, motion=still(0.9, x=0.3))
            carried = carry.onto(now, dream)
            assert carried.picture.shape == (HEIGHT, WIDTH, 3)
            assert carried.picture.dtype == np.float32
            assert np.isfinite(carried.picture).all()
            dream = carry.finish(now, carried.picture + np.float32(0.01))
        return dream

    whole, stopped, resumed = (carry_of(name, **settings(level=1.0, seed=3)) for _ in range(3))
    expected = through(whole, through(whole, begun(whole), 1), 4)
    half = through(stopped, begun(stopped), 1)
    resumed.restore({key: np.array(value) for key, value in stopped.state().items()})
    np.testing.assert_array_equal(through(resumed, half, 4), expected)


def test_none_dreams_every_frame_alone_and_in_full():
    carried = carry_of("none", **settings()).onto(shot(3), frame(50))
    np.testing.assert_array_equal(carried.picture, frame(3))
    assert carried.full


def test_blend_mixes_the_dream_before_with_the_frame():
    carried = carry_of("blend", **settings(blend=0.25)).onto(shot(3), frame(50))
    np.testing.assert_allclose(carried.picture, 0.75 * frame(50) + 0.25 * frame(3), atol=1e-6)
    assert carried.full


def test_the_other_blends_change_their_share_as_deepdreamvideo_does():
    def share(name, index):
        mixed = carry_of(name, **settings(seed=1)).onto(shot(index), frame(50)).picture
        return float(((mixed - frame(50)) / (frame(index) - frame(50) + 1e-9)).mean())

    loop = [round(share("blend-loop", index), 2) for index in range(12)]
    assert loop == [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.6]
    drawn = [round(share("blend-random", index), 2) for index in range(30)]
    assert set(drawn) == {0.5, 0.6, 0.7, 0.8, 0.9, 1.0}
    assert drawn == [round(share("blend-random", index), 2) for index in range(30)]


@pytest.mark.parametrize("rate", [12.0, 24.0, 60.0])
def test_half_of_a_carried_dream_is_gone_after_its_half_life_at_any_rate(rate):
    carry = carry_of("flow", **settings(rate=rate, half_life=0.5))
    dream = begun(carry)
    before = np.abs(dream - frame(0)).mean()
    for index in range(1, round(rate / 2) + 1):
        now = shot(index, motion=still())
        carried = carry.onto(now, dream)
        assert not carried.full
        dream = carry.finish(now, carried.picture)
    assert np.abs(dream - now.source).mean() == pytest.approx(before / 2, rel=0.02)


def test_the_layer_goes_where_the_flow_says_and_is_signed():
    carry = carry_of("flow", **settings(half_life=1e3))
    dream = begun(carry)
    layer = dream - frame(0)
    assert layer.min() < -0.01
    assert layer.max() > 0.01
    moved = carry.onto(shot(1, motion=still(x=4)), dream).picture - frame(1)
    np.testing.assert_allclose(moved[:, :-4], layer[:, 4:], atol=1e-3)


def test_a_cut_and_the_first_frame_are_dreamed_in_full():
    footage = Footage(
        lambda start: iter([(frame(k), None) for k in range(start, 4)]), cuts=frozenset({2}), motion=no_motion
    )
    scene = VideoScene(footage, carry_of("flow", **settings()))
    full = []
    dream = None
    for index in range(4):
        canvas = scene.canvas(index, dream)
        full.append(canvas.full)
        if canvas.full:
            np.testing.assert_array_equal(canvas.picture, frame(index))
        dream = scene.finish(canvas.picture + np.float32(0.05))
    assert full == [True, False, True, False]
    assert scene.canvas(4, dream) is None
    scene.close()


def no_motion(index, current, previous):
    return still()


def test_what_comes_into_view_begins_bare_then_is_dreamed_on_more_until_it_has_as_much():
    carry = carry_of("flow", **settings())
    dream = begun(carry)
    motion = still()
    motion.trust[:, :10] = 0
    carried = carry.onto(shot(1, motion=motion), dream)
    np.testing.assert_array_equal(carried.picture[:, :10], frame(1)[:, :10])
    strength = [carried.where[:, :10].mean()]
    np.testing.assert_allclose(carried.where[:, 10:], FILL_STRENGTH[-1][1], rtol=1e-6)
    for index in range(2, 40):
        dream = carry.finish(shot(index - 1), carried.picture)
        carried = carry.onto(shot(index, motion=still()), dream)
        strength.append(float(carried.where[:, :10].mean()))
    assert strength[0] < 0.3
    assert max(strength[1:6]) > 1.5
    assert strength[-1] == pytest.approx(FILL_STRENGTH[-1][1], abs=0.05)


def test_what_came_into_view_is_dreamed_on_most_and_what_is_ripe_a_little_less_than_in_full():
    sight, fresh, coverage = fill_strength(np.array([[0.0, 0.1, 1.0]], np.float32))[0]
    assert sight < 0.1
    assert fresh > 1.5
    assert 0.8 < coverage < 1


def test_where_nothing_is_to_be_dreamed_nothing_is_carried():
    where = np.ones((HEIGHT, WIDTH), np.float32)
    where[:, 24:] = 0
    carry = carry_of("flow", **settings(level=1.0))
    dream = begun(carry)  # the first frame had no mask: the mask moves in
    carried = carry.onto(shot(1, motion=still(), where=where), dream)
    np.testing.assert_array_equal(carried.picture[:, 24:], frame(1)[:, 24:])
    assert np.abs(carried.picture[:, :24] - frame(1)[:, :24]).mean() > 0.001
    assert carried.where is None or carried.where[:, 24:].max() == 0


def test_a_layer_does_not_run_away_nor_fade_when_it_is_held():
    carry = carry_of("flow", **settings(level=1.0))
    dream = begun(carry)
    start = np.abs(dream - frame(0)).mean()
    for addition in (0.3, 0.0):  # far too much on top, and nothing at all
        for index in range(1, 60):
            now = shot(index, motion=still())
            carried = carry.onto(now, dream)
            dream = carry.finish(now, carried.picture + np.float32(addition) * (carried.picture - now.source))
        assert 0.7 * start < np.abs(dream - now.source).mean() < 1.5 * start


def test_bands_add_up_and_are_brought_to_what_is_wanted_with_their_colour():
    layer = frame(7) - np.float32(0.5)
    np.testing.assert_allclose(sum(bands(layer)), layer, atol=1e-6)
    weight = np.ones((HEIGHT, WIDTH), np.float32)
    wanted = Strength(tuple(0.5 * value for value in strength(layer, weight).bands), (0.01, 0.0, -0.01))
    for _ in range(40):
        layer = balanced(layer, weight, wanted=wanted)
    found = strength(layer, weight)
    np.testing.assert_allclose(found.bands, wanted.bands, rtol=0.1)
    np.testing.assert_allclose(found.mean, wanted.mean, atol=1e-3)
    empty = balanced(np.zeros_like(layer), weight, wanted=Strength(wanted.bands, (0.0, 0.0, 0.0)))
    assert not empty.any()


def test_only_what_counts_is_measured():
    layer = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    layer[:, 24:] = 1
    weight = np.zeros((HEIGHT, WIDTH), np.float32)
    assert strength(layer, weight) == Strength((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    np.testing.assert_array_equal(balanced(layer, weight, wanted=Strength((9.0, 9.0, 9.0), (9.0, 9.0, 9.0))), layer)
    weight[:, 40:] = 1
    assert strength(layer, weight).bands[-1] == pytest.approx(1, abs=0.01)
    assert strength(layer, weight).mean[0] == pytest.approx(1)


def test_a_layer_is_bent_at_black_and_white_and_the_source_never():
    source = np.linspace(0, 1, HEIGHT * WIDTH * 3, dtype=np.float32).reshape(HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(stay_visible(source, source), source)
    small = np.clip(source + np.float32(0.02), 0.05, 0.95)
    np.testing.assert_array_equal(stay_visible(small, source), small)
    wild = stay_visible(source + 5 * (source - np.float32(0.5)), source)
    assert wild.min() > -0.05
    assert wild.max() < 1.05
    assert (np.diff(wild.ravel()) >= -1e-6).all()


def test_keeping_colour_gives_luma_of_the_dream_and_chroma_of_the_source():
    kept, source, dream = keep_chroma(frame(2), frame(1)), frame(1), frame(2)
    luma = np.float32([0.2126, 0.7152, 0.0722])
    np.testing.assert_allclose(kept @ luma, dream @ luma, atol=1e-5)
    np.testing.assert_allclose(kept[..., 0] - kept[..., 2], source[..., 0] - source[..., 2], atol=1e-6)


def test_footage_is_the_same_wherever_it_is_begun():
    def shots(start):
        read = lambda first: iter([(frame(k), None) for k in range(first, 7)])  # noqa: E731
        footage = Footage(read, motion=lambda index, now, before: still(x=float(now[0, 0, 0] - before[0, 0, 0])))
        found = []
        while (item := footage.frame(start + len(found))) is not None:
            found.append(item)
        footage.close()
        return found

    whole = shots(0)
    assert [item.index for item in whole] == list(range(7))
    assert whole[0].motion is None
    assert whole[0].cut
    for item, same in zip(shots(3), whole[3:], strict=True):
        np.testing.assert_array_equal(item.source, same.source)
        np.testing.assert_array_equal(item.previous, same.previous)
        np.testing.assert_array_equal(item.motion.flow, same.motion.flow)


def test_footage_stays_a_few_frames_ahead_and_its_thread_ends():
    read = []

    def pictures(start):
        for index in range(start, 1000):
            read.append(index)
            yield frame(0), None

    before = threading.active_count()
    footage = Footage(pictures)
    footage.frame(0)
    footage.frame(1)
    footage.close()
    assert len(read) <= AHEAD + 4
    assert threading.active_count() == before


def test_what_goes_wrong_while_reading_is_raised_where_the_frame_is_wanted():
    def pictures(start):
        if start < 1:
            yield frame(0), None
            raise UsageError("no more")

    footage = Footage(pictures)
    assert footage.frame(0) is not None
    with pytest.raises(UsageError, match="no more"):
        footage.frame(1)
    assert footage.frame(2) is None
    footage.close()


def test_dreaming_heeds_the_map(tiny_network, picture):
    where = np.zeros(picture.shape[:2], np.float32)
    where[:, :24] = 1
    dreamer = dreamer_of(tiny_network, octaves=1, first_steps=2, seed=1)
    dream, _ = dreamer(picture, frame=0, seconds=0.0, where=where)
    np.testing.assert_allclose(dream[:, 24:], picture[:, 24:], atol=1e-6)
    assert np.abs(dream[:, :24] - picture[:, :24]).mean() > 0.001


def test_a_full_dream_takes_its_steps_at_their_stated_size_at_any_frame(tiny_network, picture):
    fast, slow = (dreamer_of(tiny_network, octaves=2, steps=1, first_steps=3, rate=rate) for rate in (12.0, 48.0))
    a, b = (d(picture, frame=5, seconds=0.0, full=True)[0] for d in (fast, slow))
    np.testing.assert_array_equal(a, b)
    light, _ = fast(picture, frame=5, seconds=0.0)
    assert np.abs(light - picture).mean() < np.abs(a - picture).mean()


def test_later_frames_can_be_dreamed_on_the_fine_octaves_alone(tiny_network, picture):
    dreamer = dreamer_of(tiny_network, octaves=3, octave_ratio=1.3, late_octaves=1)
    reports = list(dreamer.evolve(picture, frame=1, seconds=0.0))
    assert [report.octave for report in reports] == [len(list(dreamer.evolve(picture, frame=0, seconds=0.0))) - 1]
