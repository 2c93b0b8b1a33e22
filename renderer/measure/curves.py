"""What changes over a film, drawn over time before it is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from renderer.errors import UsageError
from renderer.films.film import Film
from renderer.films.outputs import check_not_input
from renderer.measure.plot import check_plot, write_figure
from renderer.motion.schedule import Schedule
from renderer.settings.messages import each_within, unit
from renderer.settings.schema import Settings, fields

MOST_POINTS = 2000
"""How many frames, evenly spread, a curve is drawn through at most."""


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
    write_figure(figure, path, overwrite=film.overwrite)
