"""How much memory a film may take, and what that leaves for looking at its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from renderer.dreaming.pyramid import Pyramid
from renderer.errors import EnvironmentProblem
from renderer.frame import Size
from renderer.jobs import runtime
from renderer.jobs.outputs import size_text
from renderer.jobs.settings import Settings
from renderer.setting_types import bytes_of

if TYPE_CHECKING:
    from renderer.dreaming.ascent import SightMaker

BASE = 1_150_000_000
"""Bytes that Python, TensorFlow and a network take before the first frame."""

PICTURES = {"still": 13, "zoom": 18, "video": 26}
"""Pictures of the frame's size, in float32, that are held around the network, by the kind of film: a zoom governs and
stores them, a video also finds motion and carries layers."""

UNIT = 4_000_000_000
"""The machine's memory is counted in this many bytes, so that it comes out alike from day to day."""


def beside(size: Size, *, kind: str) -> int:
    """Return the bytes that a film, of a kind in `PICTURES`, takes beside activations and their gradients."""
    return BASE + PICTURES[kind] * 12 * size.width * size.height


def check_memory(settings: Settings, *, kind: str) -> None:
    """Refuse a film whose pictures alone, at all its scales, are more than this machine holds; nothing is loaded.

    Args:
        settings: of the film.
        kind: of the film, in `PICTURES`.

    Raises:
        EnvironmentProblem: with the setting that asks for the most.
    """
    here, size, dream = runtime.memory_total(), settings.film.size, settings.dream
    if here is None:
        return
    scales = [size.width * size.height, *(one.width * one.height for one in Pyramid(dream).sizes(size))]
    # `beside` counts the frame, and the smaller scales of a usual pyramid.
    finest, kept = max(scales), 12 * max(0, sum(scales) - 3 * scales[0])
    # What the optimiser remembers has the size of the scale at work; L-BFGS keeps ten pairs.
    remembered = {"momentum": 1, "adam": 2, "lbfgs": 22}.get(dream.optimiser, 0)
    needed = beside(size, kind=kind) + kept + 12 * finest * (PICTURES["still"] + remembered)
    if finest == scales[0]:  # Those at the scale of the frame are counted among its own.
        needed -= 12 * finest * PICTURES["still"]
    if needed <= here:
        return
    if finest > scales[0]:
        asks = f"dream.octave_sizes is {dream.octave_sizes}"
    elif sum(scales) > 4 * scales[0]:
        asks = f"dream.octaves is {dream.octaves} at a dream.octave_ratio of {dream.octave_ratio:g}"
    else:
        asks = f"film.size is {size}"
    raise EnvironmentProblem(
        f"{asks}: that takes about {size_text(needed)} of memory, and there are {size_text(here)} here; choose less."
    )


def sight_of(settings: Settings, *, kind: str) -> SightMaker:
    """Say how the frames of a film are looked at: at once, or tile by tile where memory asks for it.

    A film that names no memory gets half of the machine's, and more if no tiles fit into that. On a GPU, whose memory
    is its own, it gets no limit.
    """
    import tensorflow as tf

    from renderer.dreaming.sight import WholeSight
    from renderer.dreaming.tiles import Tiles

    size, total = settings.film.size, runtime.memory_total()
    taken = beside(size, kind=kind)
    if settings.dream.memory is not None:
        tiles = Tiles(size=size, memory=bytes_of(settings.dream.memory), beside=taken)
    elif total is None or tf.config.list_physical_devices("GPU"):
        return WholeSight
    else:
        tiles = Tiles(size=size, memory=max(1, total // UNIT) * UNIT // 2, beside=taken, strict=False)
    return tiles if tiles.needed else WholeSight
