"""What a carried dream reaches, against frames of the same video dreamed alone with the same settings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from renderer.errors import DreamreelError
from renderer.films.render_setup import open_dreamer
from renderer.frame import from_8bit, to_8bit
from renderer.measure.measuring import Look, Subject
from renderer.measure.steadiness import sharpness


class Alone:
    """Activation and sharpness of some frames of the film, and of the same frames of its source dreamed alone, in full.

    Steadiness by itself rewards blur and empty dreams; these two tell whether it was bought with them.
    """

    needs_source = True

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        count = min(subject.alone, subject.frames) if subject.settings is not None else 0
        # Not the first frame, which is dreamed alone anyhow: the middles of equal parts.
        self._chosen = {int((k + 0.5) * subject.frames / count) for k in range(count)}
        self._looks: list[Look] = []

    def add(self, look: Look) -> None:
        if look.index in self._chosen:
            self._looks.append(Look(look.index, look.pixels.copy(), source=look.source))

    def result(self) -> dict[str, Any]:
        if not self._looks or self.subject.settings is None:
            why = "the film holds no recipe" if self.subject.settings is None else "not asked for"
            return {"activation": None, "sharpness": None, "why": why, "frames": []}
        try:
            found = [self._measure(look) for look in self._looks]
        except DreamreelError as error:  # the network of the film is not on this machine
            return {"activation": None, "sharpness": None, "why": str(error), "frames": []}
        return {"activation": _share(found, "activation"), "sharpness": _share(found, "sharpness"), "frames": found}

    def _measure(self, look: Look) -> dict[str, Any]:
        from renderer.render.dream_layer import stay_visible

        assert look.source is not None and self.subject.settings is not None
        if not hasattr(self, "_dreamer"):
            _, self._dreamer = open_dreamer(self.subject.settings)
        source = from_8bit(look.source)
        seconds = float(look.index / self.subject.rate)
        dream, _ = self._dreamer(source, frame=look.index, seconds=seconds, full=True)
        alone = Look(look.index, to_8bit(stay_visible(dream, source)))
        value = partial(self._dreamer.value, seconds=seconds, source=source)
        return {
            "seconds": seconds,
            "activation": {"film": value(from_8bit(look.pixels)), "alone": value(from_8bit(alone.pixels))},
            "sharpness": {"film": sharpness(look), "alone": sharpness(alone)},
        }

    @staticmethod
    def lines(result: Mapping[str, Any]) -> list[str]:
        if result["activation"] is None:
            return [f"against alone    -  {result['why']}"]
        activation, sharp = result["activation"], result["sharpness"]
        frames = len(result["frames"])
        return [f"against alone    {activation:.1%} of the activation, {sharp:.1%} of the sharpness ({frames} frames)"]


def _share(found: list[dict[str, Any]], name: str) -> float:
    film, alone = (float(np.mean([frame[name][which] for frame in found])) for which in ("film", "alone"))
    return film / alone if alone else float("nan")
