"""What was measured of a film, drawn over time."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from renderer.errors import EnvironmentProblem
from renderer.measure.metrics import Report
from renderer.media.files import check_output, replacing, writing

Line = tuple[str, Sequence[float], Sequence[float]]
"""What it is, seconds, values."""


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

    panels = [
        (title, lines)
        for name, (title, find) in PANELS.items()
        if name in report.metrics and (lines := [line for line in find(report.metrics[name], report) if line[1]])
    ]
    figure = Figure(figsize=(10, 1 + 2.2 * max(1, len(panels))), layout="constrained")
    figure.suptitle(report.film.name)
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
    write_figure(figure, path, overwrite=overwrite)


def write_figure(figure: Any, path: Path, *, overwrite: bool) -> None:
    """Write a matplotlib figure as a PNG.

    Raises:
        UsageError: the name was taken meanwhile, and `overwrite` is not set.
        DiskProblem: it cannot be written.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    with replacing(path, overwrite=overwrite) as part, writing(path):
        part.write_bytes(drawn.getvalue())


def _steadiness(result: Mapping[str, Any], _report: Report) -> list[Line]:
    seconds = [pair[0] for pair in result["pairs"]]
    return [(name, seconds, [pair[place] for pair in result["pairs"]]) for place, name in ((1, "film"), (2, "source"))]


def _frames(key: str) -> Callable[[Mapping[str, Any], Report], list[Line]]:
    def find(result: Mapping[str, Any], report: Report) -> list[Line]:
        rate = float(report.subject.rate)
        return [(name, [k / rate for k in range(len(values))], values) for name, values in result[key].items()]

    return find


def _seconds(result: Mapping[str, Any], _report: Report) -> list[Line]:
    return [
        (name, [k + 0.5 for k in range(len(values))], values)
        for name, values in result["per_second"].items()
        if name != "sharpness"  # on a scale of its own
    ]


def _pairs(result: Mapping[str, Any], _report: Report) -> list[Line]:
    found = [pair for pair in result["pairs"] if pair[1] is not None]
    return [("similarity", [pair[0] for pair in found], [pair[1] for pair in found])]


PANELS: dict[str, tuple[str, Callable[[Mapping[str, Any], Report], list[Line]]]] = {
    "steadiness": ("warping error, one frame apart", _steadiness),
    "flicker": ("mean luma", _frames("luma")),
    "crispness": ("sharpness", _frames("frames")),
    "tone": ("tone, medians of seconds", _seconds),
    "self_similarity": ("similarity to itself some seconds before", _pairs),
}
"""Metric -> title of its panel, and what is drawn in it."""
