"""Plots over time: what was measured of a film, and, before it is made, which of its settings change."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renderer.errors import EnvironmentProblem, UsageError
from renderer.films.film import Film
from renderer.films.outputs import check_not_input
from renderer.media.files import check_output, replacing, writing
from renderer.motion.schedule import Schedule
from renderer.settings.messages import each_within, unit
from renderer.settings.schema import Settings, fields

if TYPE_CHECKING:
    from renderer.measure.metrics import Report

MOST_POINTS = 2000
"""How many frames, evenly spread, a curve is drawn through at most."""


def check_plot(path: Path, *, overwrite: bool = False) -> None:
    """Make sure that a plot can be drawn, before anything is measured for it.

    Raises:
        EnvironmentProblem: matplotlib is not installed.
        UsageError, DiskProblem: the file is there already, or cannot be written.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise EnvironmentProblem("A plot needs matplotlib: pip install 'dreamreel[plot]'.") from error
    check_output(path, overwrite=overwrite)


def draw_plot(report: Report, path: Path, *, overwrite: bool = False) -> None:
    """Draw what changes over time as a PNG, one panel for each metric that has anything to show.

    Raises:
        UsageError: the name was taken meanwhile, and `overwrite` is not set.
        DiskProblem: it cannot be written.
    """
    from matplotlib.figure import Figure

    from renderer.measure.metrics import METRICS

    rate, panels = float(report.film.rate), []
    for name, result in report.metrics.items():
        lines = [line for line in METRICS[name].plot(result, rate) if line[1]]
        if lines:
            panels.append((METRICS[name].title, lines))
    figure = Figure(figsize=(10, 1 + 2.2 * max(1, len(panels))), layout="constrained")
    figure.suptitle("" if report.film.path is None else report.film.path.name)
    for place, (title, lines) in enumerate(panels, start=1):
        axes = figure.add_subplot(len(panels), 1, place)
        for label, seconds, values in lines:
            axes.plot(seconds, values, label=label, linewidth=1)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_ylim(bottom=0)
        axes.margins(x=0)
        axes.legend(fontsize=7, loc="upper right")
    if panels:
        axes.set_xlabel("seconds")
    _write(figure, path, overwrite=overwrite)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """How a setting changes over a film.

    Attributes:
        key: its dotted name.
        unit: what it is counted in, "" for nothing.
        seconds: times of frames.
        lines: name -> values at these times; one line without a name, or one for each layer.
    """

    key: str
    unit: str
    seconds: tuple[float, ...]
    lines: dict[str, tuple[float, ...]]


def curves(settings: Settings) -> Iterator[Curve]:
    """Give a curve for every setting that changes over a film; with a layer's weight come those of the others.

    Raises:
        UsageError: a setting has no good value at some time.
    """
    changing = settings.over_time()
    count = settings.frame_count
    points = min(count, MOST_POINTS)
    seconds = tuple(float(k * (count - 1) // max(1, points - 1) / settings.rate) for k in range(points))
    for key, field in fields().items():
        schedules: dict[str, Schedule] = {}
        if key in changing:
            schedules = {"": changing[key]}
        elif each_within(field) and any(name.startswith(f"{key}.") for name in changing):
            schedules = settings.schedules(key)
        if schedules:
            lines = {name: tuple(map(schedule, seconds)) for name, schedule in schedules.items()}
            per_frame = key.startswith("camera.") and any(schedule.per_frame for schedule in schedules.values())
            counted = unit(field).replace("a second", "a frame") if per_frame else unit(field)
            yield Curve(key=key, unit=counted, seconds=seconds, lines=lines)


def draw_curves(film: Film, path: Path) -> None:
    """Draw everything that changes over a film as a PNG, one panel a setting.

    Raises:
        EnvironmentProblem: matplotlib is not installed.
        UsageError: nothing changes, or the file is there already.
        DiskProblem: it cannot be written.
    """
    check_not_input(path, film.out, *film.inputs.values())
    check_plot(path, overwrite=film.overwrite)
    found = list(curves(film.settings))
    if not found:
        raise UsageError(
            "No setting of this film changes over time, so there is nothing to plot; try --zoom '1.5 + 0.5*sin(t)'."
        )
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1 + 1.8 * len(found)), layout="constrained")
    figure.suptitle(film.out.name)
    for place, curve in enumerate(found, start=1):
        axes = figure.add_subplot(len(found), 1, place)
        for name, values in curve.lines.items():
            axes.plot(curve.seconds, values, label=name, linewidth=1.2)
        axes.set_title(f"{curve.key}{f', {curve.unit}' if curve.unit else ''}", fontsize=9, loc="left")
        axes.set_xlim(0, max(film.settings.duration, 1e-3))
        axes.grid(alpha=0.3)
        if any(curve.lines):
            axes.legend(fontsize=7, loc="upper right")
    axes.set_xlabel("seconds")
    _write(figure, path, overwrite=film.overwrite)


def _write(figure: Any, path: Path, *, overwrite: bool) -> None:
    """Write a matplotlib figure as a PNG."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    with replacing(path, overwrite=overwrite) as part, writing(path):
        part.write_bytes(drawn.getvalue())
