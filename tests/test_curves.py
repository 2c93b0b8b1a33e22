"""What changes over a film, drawn before it is made."""

from __future__ import annotations

import sys

import pytest
from typer.testing import CliRunner

from renderer.cli.main import app
from renderer.errors import EnvironmentProblem, UsageError
from renderer.films.film import ZoomFilm
from renderer.measure.plot import MOST_POINTS, curves, draw_curves
from renderer.settings.schema import build


def film(out, **values):
    return ZoomFilm(
        settings=build({"film.seconds": 2, **{k.replace("__", "."): v for k, v in values.items()}}), out=out
    )


def test_every_setting_that_changes_has_a_curve_of_its_own_and_no_other_has():
    mix = {"parts": "1 - t/T", "objects": 0.5}
    changing = {
        "camera.zoom": "1 + t",
        "camera.rotate": "0:(2), 10:(3)",
        "governor.luma": {"0s": 0.2, "2s": 0.4},
        "dream.layers": mix,
    }
    found = {curve.key: curve for curve in curves(build({"film.seconds": 2, "governor.contrast": "auto", **changing}))}
    assert found.keys() == changing.keys()
    zoom, luma, layers = found["camera.zoom"], found["governor.luma"], found["dream.layers"]
    assert (len(zoom.seconds), zoom.seconds[0], zoom.seconds[-1]) == (48, 0.0, pytest.approx(47 / 24))
    assert zoom.lines[""] == pytest.approx([1 + t for t in zoom.seconds])
    assert luma.lines[""][24] == pytest.approx(0.3)
    assert layers.lines["objects"] == (0.5,) * 48
    assert layers.lines["parts"][24] == pytest.approx(0.5)
    assert (zoom.unit, found["camera.rotate"].unit) == ("factor a second", "degrees a frame")


def test_a_long_film_is_drawn_through_some_of_its_frames_and_its_last():
    (curve,) = curves(build({"film.seconds": 3600, "dream.strength": "t/T"}))
    assert len(curve.seconds) == MOST_POINTS
    assert curve.seconds[-1] == pytest.approx(3600 - 1 / 24)


def test_the_plot_is_written_before_anything_heavy_and_only_with_a_dry_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def plan(film, **_):
        assert (tmp_path / "curves.png").exists()
        raise UsageError("planning begins")

    monkeypatch.setattr("renderer.films.plan.make_plan", plan)
    args = ["zoom", "-o", "x.mp4", "--zoom", "1+t/T", "--plot", "curves.png"]
    alone = CliRunner().invoke(app, args)
    assert (alone.exit_code, "--dry-run" in alone.stderr, list(tmp_path.iterdir())) == (2, True, [])
    assert "planning begins" in CliRunner().invoke(app, [*args, "--dry-run"]).stderr
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    again = CliRunner().invoke(app, [*args, "--dry-run"])
    assert (again.exit_code, "exists" in again.stderr) == (2, True)
    (tmp_path / "curves.png").unlink()
    assert "planning begins" in CliRunner().invoke(app, ["plan", *args]).stderr
    assert (tmp_path / "curves.png").exists()


def test_plan_says_what_a_dry_run_says_and_takes_what_the_command_takes(tmp_path, monkeypatch):
    asked = []

    def plan(film, **_):
        asked.append(film)
        raise UsageError("This is enough.")

    monkeypatch.setattr("renderer.films.plan.make_plan", plan)
    args = ["zoom", "-o", str(tmp_path / "x.mp4"), "--preset", "meadow", "--zoom", "2"]
    for command in ([*args, "--dry-run"], ["plan", *args]):
        assert "enough" in CliRunner().invoke(app, command).stderr
    assert asked[0] == asked[1]
    assert CliRunner().invoke(app, ["plan", *args, "--dry-run"]).exit_code == 2


def test_a_film_in_which_nothing_changes_is_not_drawn(tmp_path):
    with pytest.raises(UsageError, match="nothing to plot"):
        draw_curves(film(tmp_path / "x.mp4", camera__zoom="2*pi/3"), tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(EnvironmentProblem, match=r"dreamreel\[plot\]"):
        draw_curves(film(tmp_path / "x.mp4", camera__zoom="1+t"), tmp_path / "curves.png")
