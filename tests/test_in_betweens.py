"""Frames of a video between two that are dreamed: which they are, whence their layers come, how strong they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from renderer.motion.flow import Motion
from renderer.render.dream_layer import bands
from renderer.render.footage import Footage, InBetween
from renderer.render.in_betweens import Layer, in_between

HEIGHT, WIDTH = 72, 96


def picture(value: float) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), value, np.float32)


def noise(seed: int) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((HEIGHT, WIDTH, 3), np.float32)
    return np.asarray(0.3 * cv2.GaussianBlur(made, (0, 0), 1.2), np.float32)


def motion(x: float, trust: float = 1.0) -> Motion:
    flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    flow[..., 0] = x
    return Motion(flow=flow, trust=np.full((HEIGHT, WIDTH), trust, np.float32))


def between(share: float, before: Motion, after: Motion) -> InBetween:
    return InBetween(source=picture(0.5), where=None, share=share, before=before, after=after)


def footage(*, start: int, cuts: set[int], every: int, count: int = 12):
    """Frames whose picture is their number, each moved on by a pixel."""
    found = Footage(
        lambda first: ((picture(k), None) for k in range(first, count)),
        cuts=frozenset(cuts),
        motion=lambda index, now, before: motion(before[0, 0, 0] - now[0, 0, 0]),
        both=lambda index, now, before: (
            motion(before[0, 0, 0] - now[0, 0, 0]),
            motion(now[0, 0, 0] - before[0, 0, 0]),
        ),
        every=every,
    )
    shots, index = [], start
    while (shot := found.frame(index)) is not None:
        shots.append(shot)
        index = shot.index + 1
    found.close()
    return shots


def test_the_first_frame_of_a_shot_the_last_and_every_so_many_are_dreamed():
    shots = footage(start=0, cuts={5, 6}, every=3)
    assert [shot.index for shot in shots] == [0, 3, 4, 5, 6, 9, 11]
    assert [shot.cut for shot in shots] == [True, False, False, True, True, False, False]
    for shot, before in zip(shots[1:], shots, strict=False):
        if shot.cut:
            assert (shot.passed, shot.motion) == ((), None)
            continue
        assert shot.previous[0, 0, 0] == before.index
        assert shot.motion.flow[0, 0, 0] == before.index - shot.index
        for number, frame in enumerate(shot.passed, before.index + 1):
            assert frame.source[0, 0, 0] == number
            assert (frame.before.flow[0, 0, 0], frame.after.flow[0, 0, 0]) == (
                before.index - number,
                shot.index - number,
            )
            assert frame.share == pytest.approx((number - before.index) / (shot.index - before.index))


def test_reading_that_goes_on_after_a_dreamed_frame_gives_the_same_frames():
    whole, later = footage(start=0, cuts={5}, every=3), footage(start=4, cuts={5}, every=3)
    assert [(shot.index, len(shot.passed)) for shot in later] == [(s.index, len(s.passed)) for s in whole[2:]]


def test_a_mixture_has_the_strength_of_what_is_mixed_in_every_band_however_far_they_differ():
    first, second = noise(1), noise(2)
    for later in (first, second, (first + second) / np.float32(2**0.5)):
        one, other = Layer.of(first, picture(0)), Layer.of(later, picture(0))
        made = in_between(between(0.4, motion(0.5), motion(-0.5)), one, other)
        for found, before, after in zip(bands(made), one.strength, other.strength, strict=True):
            assert float(found.std()) == pytest.approx(0.6 * before + 0.4 * after, rel=0.06)


def test_where_one_side_cannot_be_trusted_the_other_counts_and_where_none_can_both_softly():
    one, other = Layer.of(noise(1), picture(0)), Layer.of(noise(2), picture(0))
    only = in_between(between(0.5, motion(3, trust=1), motion(-3, trust=0)), one, other)
    inner = np.s_[:, 4:-8]
    np.testing.assert_allclose(only[inner], np.roll(noise(1), -3, axis=1)[inner], atol=0.03)
    none = in_between(between(0.5, motion(3, trust=0), motion(-3, trust=0)), one, other)
    assert 0.4 * only.std() < none.std() < 0.8 * only.std()
