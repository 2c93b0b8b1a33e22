from __future__ import annotations

import itertools

import numpy as np
import pytest

from renderer.films.first_frame import fit
from renderer.frame import Size


def test_a_picture_takes_any_size_and_stays_in_range(picture):
    sizes = (Size(64, 36), Size(36, 64), Size(1, 1), Size(7, 200), Size(48, 32))
    for how, size in itertools.product(("cover", "contain", "stretch"), sizes):
        fitted = fit(picture, size, how=how)
        assert fitted.shape == (size.height, size.width, 3), (how, size)
        assert fitted.dtype == np.float32
        assert 0 <= fitted.min() <= fitted.max() <= 1, (how, size)


def test_covering_crops_the_middle_and_containing_shows_all():
    striped = np.zeros((30, 90, 3), np.float32)
    striped[:, 30:60] = 1.0
    assert fit(striped, Size(30, 30), how="cover").mean() == pytest.approx(1.0, abs=0.02)
    shown = fit(striped, Size(30, 30), how="contain")
    assert shown[15].mean() == pytest.approx(1 / 3, abs=0.05)
    assert shown[0].mean() == pytest.approx(1 / 3, abs=0.05)  # mirrored, not black


def test_a_grey_picture_keeps_its_grey():
    grey = np.full((50, 40, 3), 0.3, np.float32)
    for how in ("cover", "contain", "stretch"):
        assert np.allclose(fit(grey, Size(33, 21), how=how), 0.3, atol=1e-4)
