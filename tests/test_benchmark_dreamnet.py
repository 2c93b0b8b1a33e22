from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def bench():
    root = str(Path(__file__).parents[1])
    sys.path.insert(0, root)
    try:
        yield importlib.import_module("benchmarks.dreamnet")
    finally:
        sys.path.remove(root)


def test_stripes_are_found_however_they_lie_and_nothing_else_is(bench):
    y, x = np.mgrid[:64, :64].astype(np.float32)
    for wave in (np.sin(2 * np.pi * x / 8), np.sin(2 * np.pi * (x + 2 * y) / 16), np.cos(np.pi * (x + y))):
        stripes = 0.5 + 0.3 * np.repeat(wave[..., None], 3, -1).astype(np.float32)
        assert bench.lone_frequency(stripes) > 0.95
    slow = 0.5 + 0.3 * np.repeat(np.sin(2 * np.pi * x / 64)[..., None], 3, -1)
    assert bench.lone_frequency(slow) < 0.01, "the lowest 1/16 is left out"
    grain = np.random.default_rng(0).uniform(0, 1, (64, 64, 3)).astype(np.float32)
    assert bench.lone_frequency(grain) < 0.01
    assert bench.lone_frequency(np.full((16, 16, 3), 0.5, np.float32)) == 0


def test_correlation_is_numpys_and_dead_channels_count_as_nothing(bench):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200, 4)), rng.normal(size=(200, 4))
    a[:, 1], a[:, 2], b[:, 3] = b[:, 1] * 3 + 1, 0.7, 0.2
    values, dead = bench._pearson(a.sum(0), b.sum(0), (a * a).sum(0), (b * b).sum(0), (a * b).sum(0), count=200)
    assert dead == 1
    np.testing.assert_allclose(values, [np.corrcoef(a[:, 0], b[:, 0])[0, 1], 1, 0], atol=1e-9)


def test_the_mean_distance_is_over_pairs(bench):
    assert bench._mean_distance(np.array([[0.0, 0], [3, 4], [6, 8]])) == pytest.approx((5 + 10 + 5) / 3)
