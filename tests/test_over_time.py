"""What may change during a film is read at the time of each frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dreamers import carry_of, dreamer_of, governor_of

from renderer.dreaming.ascent.ascent import Ascent
from renderer.dreaming.governor import Tone, measure
from renderer.dreaming.objectives.channel_weights import ChannelWaves
from renderer.dreaming.objectives.objective_spec import parse_mix
from renderer.errors import UsageError
from renderer.films.film import ZoomFilm
from renderer.films.first_frame import first_canvas
from renderer.media.images import write_image
from renderer.motion.flow import Motion
from renderer.render.footage import SourceFrame
from renderer.settings.schema import build

CROSSING = {"deep": lambda seconds: 1 - seconds, "middle:2": lambda seconds: seconds}


def dream(network, picture, *, seconds, **options):
    dreamer = dreamer_of(network, octaves=2, rate=24.0, **options)
    return dreamer(picture, frame=3, seconds=seconds)[0], dreamer


def test_a_mix_goes_over_from_one_objective_to_another_with_one_trace(tiny_network, picture):
    dreamer = dreamer_of(tiny_network, octaves=2, rate=24.0, layers=CROSSING)
    for seconds, mix in ((0.0, {"deep": 1.0, "middle:2": 0.0}), (1.0, {"deep": 0.0, "middle:2": 1.0})):
        alone, _ = dream(tiny_network, picture, seconds=seconds, layers=mix)
        np.testing.assert_array_equal(dreamer(picture, frame=3, seconds=seconds)[0], alone)
    halfway, _ = dreamer(picture, frame=3, seconds=0.5)
    even, _ = dream(tiny_network, picture, seconds=0.5, layers={"deep": 0.5, "middle:2": 0.5})
    np.testing.assert_array_equal(halfway, even)
    assert dreamer.ascents[-1]._step.experimental_get_tracing_count() == 1


def test_weights_over_time_are_those_of_their_moment():
    mix = parse_mix({"a": lambda t: 0.5 * t, "b": -1.5}, kind="mean")
    np.testing.assert_allclose(mix.weights(4.0), [2.0, -1.5])


def test_an_ascent_alone_takes_the_weights_of_the_beginning(tiny_network, picture):
    crossing, deep = (Ascent(tiny_network, parse_mix(mix, kind="mean")) for mix in (CROSSING, {"deep": 1.0}))
    assert crossing.value(picture) == deep.value(picture) != crossing.value(picture, seconds=1.0)


@pytest.mark.parametrize("name", ["step_size", "strength"])
def test_steps_have_the_length_of_their_time(tiny_network, picture, name):
    def changed(value, seconds):
        return np.abs(dream(tiny_network, picture, seconds=seconds, **{name: value})[0] - picture).max()

    assert changed(lambda t: 0.0 if t < 1 else 0.01, 0.5) == 0
    assert changed(lambda t: 0.0 if t < 1 else 0.01, 1.5) == changed(0.01, 1.5) > 0


def test_channels_drift_as_far_as_their_time_says():
    drift = ChannelWaves(amount=lambda t: t, seed=1)
    np.testing.assert_array_equal(drift.weights("a", 5, 0.0), np.ones(5))
    np.testing.assert_array_equal(drift.weights("a", 5, 1.0), ChannelWaves(amount=1.0, seed=1).weights("a", 5, 1.0))


def test_the_governor_aims_at_what_its_time_says_and_lets_go_at_an_amount_of_0(picture):
    start = measure(picture)
    dark, bright = Tone(0.2, 0.2, 0.4, 0.05), Tone(0.7, 0.2, 0.4, 0.05)
    crossing = governor_of(dark, luma=lambda t: 0.2 if t < 1 else 0.7, memory=0.0, rate=1.0)
    np.testing.assert_array_equal(
        crossing(picture, start, frame=2), governor_of(bright, memory=0.0, rate=1.0)(picture, start, frame=2)
    )
    assert crossing.wanted(start, 0.5) == dark
    fading = governor_of(dark, amount=lambda t: max(0.0, 1 - t), rate=1.0)
    assert fading(picture, start, frame=1) is picture
    assert fading(picture, start, frame=0) is not picture


def test_noise_fades_as_its_time_says(picture):
    start = measure(picture)
    quiet = governor_of(start, memory=0.0, noise=lambda t: 0.1 if t < 1 else 0.0, rate=1.0)
    silent = governor_of(start, memory=0.0, noise=0.0, rate=1.0)
    np.testing.assert_array_equal(quiet(picture, start, frame=1), silent(picture, start, frame=1))
    assert np.abs(quiet(picture, start, frame=0) - silent(picture, start, frame=0)).max() > 0.01


def shot(picture, index):
    return SourceFrame(index=index, source=picture, previous=picture, motion=None, where=None, cut=False)


def test_a_blend_has_the_share_of_its_time(picture):
    carry = carry_of("blend", rate=10.0, blend=lambda t: t)
    dreamed = picture + 0.1
    np.testing.assert_allclose(carry.onto(shot(picture, 0), dreamed).picture, dreamed, atol=1e-6)
    np.testing.assert_allclose(carry.onto(shot(picture, 5), dreamed).picture, picture + 0.05, atol=1e-6)


@pytest.mark.parametrize(("index", "half_life"), [(1, 0.1), (20, 4.0)])
def test_a_carried_dream_fades_with_the_half_life_of_its_time(picture, index, half_life):
    flow = Motion(np.zeros((*picture.shape[:2], 2), np.float32), np.ones(picture.shape[:2], np.float32))
    carry = carry_of("flow", rate=10.0, level=0.0, half_life=lambda t: 0.1 if t < 1 else 4.0)
    carry.finish(shot(picture, index - 1), picture + 0.1)
    moving = SourceFrame(index=index, source=picture, previous=picture, motion=flow, where=None, cut=False)
    kept = carry.onto(moving, picture + 0.1).picture - picture
    np.testing.assert_allclose(kept, 0.1 * 2 ** (-1 / (10 * half_life)), rtol=1e-3)


def test_a_carried_dream_is_held_to_the_level_of_its_time(picture):
    def strength(level):
        carry = carry_of("flow", rate=10.0, level=level)
        rng = np.random.default_rng(0)
        layer = rng.normal(0, 0.1, picture.shape).astype(np.float32)
        carry.finish(shot(picture, 0), picture + layer)
        return np.std(carry.finish(shot(picture, 20), picture + layer) - picture)

    assert strength(lambda t: 1.0 if t < 1 else 0.3) == strength(0.3) < 0.9 * strength(1.0)


def test_a_mix_of_nothing_is_refused_however_it_is_written():
    for nothing in (0, "0", "1 - 1"):
        settings = build({"film.size": "64x48", "dream.layers": {"parts": nothing}})
        with pytest.raises(UsageError, match="all its weights are 0"):
            ZoomFilm(settings=settings, out=Path("film.mp4")).render_setup({})


def test_a_film_reads_every_value_over_time_from_its_settings(tmp_path, picture):
    settings = build(
        {
            "film.size": "64x48",
            "film.seconds": 2,
            "dream.layers": {"parts": "1 - t/T", "objects": {"0s": 0, "2s": 4}},
            "dream.step_size": "0.01*t",
            "dream.variety": "t/2",
            "governor.luma": "0.3 + 0.1*t",
            "governor.contrast": "auto",
            "governor.amount": "t/2",
            "governor.noise": {"50%": 0.1, "100%": 0.3},
        }
    )
    write_image(picture, tmp_path / "start.png")
    parts = ZoomFilm(settings=settings, out=tmp_path / "film.mp4", picture=tmp_path / "start.png").render_setup({})
    np.testing.assert_allclose(parts.dreamer.objective.weights(1.5), [0.25, 3.0])
    assert settings.over_time_in("dream")["step_size"](1.5) == pytest.approx(0.015)
    assert parts.dreamer.channel_waves.amount(1.0) == 0.5
    start = measure(first_canvas(settings, tmp_path / "start.png"))
    wanted = parts.governor.wanted(start, 1.0)
    held = settings.over_time_in("governor")
    assert (wanted.contrast, held["amount"](1.0), held["noise"](1.5)) == (start.contrast, 0.5, 0.2)
    assert wanted.luma == pytest.approx(0.4 + 2**-0.5 * (start.luma - 0.4))
