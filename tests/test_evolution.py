"""`still --evolution`: the sheet shows pictures on the way and the objective at every step, and changes no pixel."""

from __future__ import annotations

import numpy as np
import pytest

from renderer.errors import UsageError
from renderer.events import ignore
from renderer.films.still import Snapshot, StepRecorder, StillFilm, draw_evolution, dream_here
from renderer.frame import Size
from renderer.media.sheets import BRIGHT_LINE, FAINT_LINE, chart
from renderer.settings.presets import resolve


def dream(tmp_path, monkeypatch, network, *sets, evolution=True):
    monkeypatch.setattr("renderer.dreaming.networks.network.shared_network", lambda *_, **__: network)
    sets = ["film.size=48x32", "dream.octaves=2", "dream.octave_ratio=1.4", "dream.layers=deep", *sets]
    still = StillFilm(
        settings=resolve(sets=sets).settings,
        out=tmp_path / "a.png",
        evolution=tmp_path / "b.png" if evolution else None,
    )
    return dream_here(still, ignore)


@pytest.mark.parametrize("optimiser", ["ascent", "momentum", "adam", "lbfgs"])
def test_watching_changes_no_pixel_and_shows_every_octave(tmp_path, monkeypatch, tiny_network, optimiser):
    sets = ["dream.first_steps=8", f"dream.optimiser={optimiser}"]
    seen = dream(tmp_path, monkeypatch, tiny_network, *sets)
    unseen = dream(tmp_path, monkeypatch, tiny_network, *sets, evolution=False)
    np.testing.assert_array_equal(seen.picture, unseen.picture)
    assert [len(run) for run in seen.values] == [8, 8]
    assert [(shot.octave, shot.step) for shot in seen.snapshots] == [(o, s) for o in (0, 1) for s in (2, 4, 5, 6, 7, 8)]
    assert [shot.value for shot in seen.snapshots[:6]] == [seen.values[0][step - 1] for step in (2, 4, 5, 6, 7, 8)]
    np.testing.assert_array_equal(seen.snapshots[-1].picture, seen.picture)
    assert unseen.snapshots == ()
    assert draw_evolution(seen.snapshots, seen.values, title="deep").shape[2] == 3


def test_a_dream_without_steps_has_nothing_to_show(tmp_path, monkeypatch, tiny_network):
    still = dream(tmp_path, monkeypatch, tiny_network, "dream.first_steps=0")
    with pytest.raises(UsageError, match="--steps"):
        draw_evolution(still.snapshots, still.values, title="deep")


def test_fewer_steps_than_pictures_in_a_row_are_all_shown():
    recorder = StepRecorder(columns=6)
    from renderer.dreaming.ascent.dreamer import StepReport

    for step in (1, 2, 3):
        recorder(StepReport(octave=1, step=step, steps=3, picture=np.zeros((4, 4, 3), np.float32), value=step))
    assert [shot.step for shot in recorder.snapshots] == [1, 2, 3]
    assert recorder.values == [[], [1, 2, 3]]


def test_the_sheet_has_a_line_for_every_octave():
    snapshots = [
        Snapshot(octave=o, step=s, value=float(s), picture=np.full((90, 120, 3), 0.2, np.float32))
        for o in (0, 1)
        for s in (1, 2)
    ]
    sheet = draw_evolution(snapshots, [[1.0, 2.0], [2.0, 1.0]], title="x")
    bright = (np.abs(sheet.astype(int) - BRIGHT_LINE) < 30).all(-1)
    rows = np.flatnonzero(bright.any(1))
    assert (np.diff(rows) > 30).sum() == 1


def test_a_chart_rises_where_the_numbers_do_and_marks_one_run():
    drawn = chart([[0.0, 1.0], [1.0, 0.0]], bright=0, size=Size(480, 320))
    bright, faint = ((drawn == colour).all(-1) for colour in (BRIGHT_LINE, FAINT_LINE))
    rows, columns = np.nonzero(bright)
    assert np.corrcoef(rows, columns)[0, 1] < -0.9
    assert columns.max() < np.nonzero(faint)[1].min() + 9
    rows, columns = np.nonzero(faint)
    assert np.corrcoef(rows, columns)[0, 1] > 0.9


def test_a_chart_takes_any_numbers():
    for runs in ([], [[]], [[0.3]], [[float("nan")]], [[1.0, float("inf"), 2.0]], [[5.0] * 9]):
        assert chart(runs, bright=0, size=Size(40, 30)).shape == (30, 40, 3)
