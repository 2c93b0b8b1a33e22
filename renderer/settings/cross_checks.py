"""Settings that are right alone and make no sense together."""

from __future__ import annotations

from collections.abc import Iterator

from renderer.dreaming.settings import DreamSettings
from renderer.settings.groups import AreaSettings


def contradictions(dream: DreamSettings, area: AreaSettings) -> Iterator[str]:
    """Say of each pair of settings that contradict each other what to do, in a sentence."""
    usual = type(dream)()
    if dream.octave_sizes is not None:
        for name in ("octaves", "octave_ratio"):
            if getattr(dream, name) != getattr(usual, name):
                yield (
                    f"dream.octave_sizes names every scale, and dream.{name} is {getattr(dream, name)}; leave one of "
                    "them out."
                )
    if dream.largest_side is not None and dream.smallest_side > dream.largest_side:
        yield (
            f"dream.smallest_side is {dream.smallest_side} and dream.largest_side {dream.largest_side}: no scale is "
            "left; make the second larger."
        )
    yield from _of_waves(dream, area)
    yield from _of_lbfgs(dream, usual)


def _of_waves(dream: DreamSettings, area: AreaSettings) -> Iterator[str]:
    if dream.parametrisation != "waves":
        return
    if dream.clip:
        yield "dream.clip holds pixels, and dream.parametrisation is waves, which need no holding; drop one of them."
    if area.box is not None:
        yield (
            "area.box is a place in the picture, and dream.parametrisation waves has none: every wave runs through the "
            "whole picture; dream in pixels, or drop the box."
        )


def _of_lbfgs(dream: DreamSettings, usual: DreamSettings) -> Iterator[str]:
    """L-BFGS needs the true gradient of one and the same thing at every step."""
    if dream.optimiser != "lbfgs":
        return
    for name in ("smoothing", "smoother", "centre", "colours", "blur", "clip", "stop_at"):
        if getattr(dream, name) != getattr(usual, name):
            yield (
                f"dream.optimiser lbfgs takes gradients as they are, step after step, and dream.{name} is "
                f"{getattr(dream, name)}; leave one of them out."
            )
