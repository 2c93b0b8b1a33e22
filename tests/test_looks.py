"""Every built-in preset still looks as it did, roughly."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from looks import BOUNDS, NUMBERS, PRESETS, distance, look_of, render_look

LOOKS = json.loads(NUMBERS.read_text())


def test_the_numbers_are_those_of_the_presets_that_there_are():
    assert LOOKS.keys() == PRESETS.keys(), "run: python -m tests.looks"


def test_two_presets_with_each_others_files_would_be_noticed():
    for first, second in itertools.combinations(sorted(LOOKS), 2):
        assert distance(LOOKS[first], LOOKS[second]) > 1.2, (first, second)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_looks_as_it_did_and_as_no_other(name):
    found = look_of(render_look(PRESETS[name]))
    apart = {other: distance(found, look) for other, look in LOOKS.items()}
    own = apart.pop(name)
    assert own < 1, f"{name} has changed; if that is meant, run: python -m tests.looks"
    assert min(apart.values(), default=9) > 1


def test_a_look_survives_what_another_machine_does_to_it_and_not_another_colour_or_direction():
    rng = np.random.default_rng(0)
    frame = np.repeat(rng.uniform(0.2, 0.8, (12, 1, 3)), 8, axis=0).repeat(144, axis=1).astype(np.float32)
    frame += rng.normal(0, 0.05, frame.shape).astype(np.float32)
    own = look_of(frame)
    rough = frame + rng.normal(0, 0.01, frame.shape).astype(np.float32)
    assert own.keys() == BOUNDS.keys()
    assert distance(own, look_of(rough)) < 0.5
    for other in (frame[..., ::-1], np.rot90(frame)[:96], 0.5 + 0.5 * (frame - 0.5)):
        assert distance(own, look_of(np.ascontiguousarray(other))) > 1
