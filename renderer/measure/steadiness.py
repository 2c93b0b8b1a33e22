"""A dreamed video against the video it was made from: is it as steady, does its brightness flicker?"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from renderer.frame import Pixels, from_8bit
from renderer.measure.measuring import Look, Subject
from renderer.motion.flow import consistent, estimator, grey, read_at, steep

GAPS = (1, 5, 10)
"""Frames between two that are compared."""


def warping_error(earlier: Pixels, later: Pixels, flow: NDArray[np.float32], mask: NDArray[np.bool_]) -> float | None:
    """Compute the mean square difference of a frame and a later one, brought back by the motion between them.

    Args:
        earlier: uint8 `(H, W, 3)`.
        later: the same.
        flow: `(H, W, 2)` from the earlier to the later one, of the source.
        mask: `(H, W)`, where it counts.

    Returns:
        Per pixel and channel, of values in [0, 1]; None if nothing counts.

    Source: Lai et al. 2018, "Learning blind video temporal consistency", equation 6.
    """
    counted = int(np.count_nonzero(mask))
    if not counted:
        return None
    difference = read_at(from_8bit(later), flow) - from_8bit(earlier)
    return float(np.square(difference[mask], dtype=np.float64).sum() / (3 * counted))


class Steadiness:
    """Warping error of the film and of its source, at gaps of some frames; pairs across cuts do not count.

    Flow is found on the source, by another setting than films are rendered with by default. Gaps above 1 are measured
    at frames that far apart, not at all.
    """

    needs_source = True

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._flow_of = estimator("judge")
        self._held: deque[Look] = deque(maxlen=max(GAPS))
        self._found: dict[int, list[tuple[int, float, float]]] = {gap: [] for gap in GAPS}

    def add(self, look: Look) -> None:
        for gap in GAPS:
            if len(self._held) >= gap and look.index % gap == 0 and not self._crosses(look.index, gap):
                self._compare(self._held[-gap], look, gap)
        self._held.append(look)

    def _crosses(self, index: int, gap: int) -> bool:
        return any(index - gap < cut <= index for cut in self.subject.cuts)

    def _compare(self, earlier: Look, later: Look, gap: int) -> None:
        assert earlier.source is not None and later.source is not None
        before, after = grey(from_8bit(earlier.source)), grey(from_8bit(later.source))
        there, back = self._flow_of(before, after), self._flow_of(after, before)
        mask = consistent(there, back) & ~steep(there)
        film = warping_error(earlier.pixels, later.pixels, there, mask)
        source = warping_error(earlier.source, later.source, there, mask)
        if film is not None and source is not None:
            self._found[gap].append((later.index, film, source))

    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for gap, pairs in self._found.items():
            film = float(np.mean([pair[1] for pair in pairs])) if pairs else None
            source = float(np.mean([pair[2] for pair in pairs])) if pairs else None
            ratio = film / max(source, 1e-12) if film is not None and source is not None else None
            found[f"gap_{gap}"] = {"film": film, "source": source, "ratio": ratio}
        rate = self.subject.rate
        found["pairs"] = [[float(index / rate), film, source] for index, film, source in self._found[GAPS[0]]]
        return found

    @staticmethod
    def lines(result: Mapping[str, Any]) -> list[str]:
        written = []
        for gap in GAPS:
            found = result[f"gap_{gap}"]
            values = "too short to tell"
            if found["film"] is not None:
                values = f"{found['film']:.3e} film, {found['source']:.3e} source, {found['ratio']:.2f} times"
            name = "warping error" if gap == GAPS[0] else ""
            written.append(f"{name:<17}{values} ({gap} frame{'s' * (gap > 1)} apart)")
        return written


class Flicker:
    """How much the mean luma of a frame differs from the frame before, in the film and in its source, 0 to 1."""

    needs_source = True

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._luma = {"film": array("d"), "source": array("d")}

    def add(self, look: Look) -> None:
        assert look.source is not None
        self._luma["film"].append(float(look.luma.mean()))
        self._luma["source"].append(float(Look(look.index, look.source).luma.mean()))

    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, values in self._luma.items():
            steps = np.abs(np.diff(np.asarray(values)))
            kept = [step for index, step in enumerate(steps, 1) if index not in self.subject.cuts]
            found[name] = float(np.mean(kept)) if kept else None
        return {**found, "luma": {name: list(values) for name, values in self._luma.items()}}

    @staticmethod
    def lines(result: Mapping[str, Any]) -> list[str]:
        if result["film"] is None:
            return ["flicker          -  too short to tell"]
        levels = {name: f"{255 * result[name]:.2f}" for name in ("film", "source")}
        return [f"flicker          {levels['film']} levels of mean luma from frame to frame, source {levels['source']}"]


class Crispness:
    """Sharpness of the film and of its source: variance of the Laplacian of luma, mean over frames."""

    needs_source = True

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._values = {"film": array("d"), "source": array("d")}

    def add(self, look: Look) -> None:
        assert look.source is not None
        self._values["film"].append(sharpness(look))
        self._values["source"].append(sharpness(Look(look.index, look.source)))

    def result(self) -> dict[str, Any]:
        return {
            **{name: float(np.mean(values)) for name, values in self._values.items()},
            "frames": {name: list(values) for name, values in self._values.items()},
        }

    @staticmethod
    def lines(result: Mapping[str, Any]) -> list[str]:
        return [f"sharpness        {result['film']:.3e} film, {result['source']:.3e} source"]


def sharpness(look: Look) -> float:
    """Return the variance of the Laplacian (4 neighbours) of a frame's luma."""
    _, deviation = cv2.meanStdDev(cv2.Laplacian(look.luma, cv2.CV_32F))
    return float(deviation[0, 0] ** 2)
