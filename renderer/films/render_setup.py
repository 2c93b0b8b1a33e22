"""What renders the frames of a film: network, scene, dreamer and governor, put together from settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from renderer import runtime
from renderer.dreaming.ascent.optimisers import OPTIMISERS
from renderer.dreaming.ascent.pyramid import Pyramid
from renderer.errors import EnvironmentProblem, UsageError
from renderer.films.guides import Guides, open_guides
from renderer.films.outputs import size_text
from renderer.frame import Frame, Size
from renderer.setting_types import bytes_of
from renderer.settings.kinds import KINDS
from renderer.settings.schema import Settings
from renderer.time_value import Timed

if TYPE_CHECKING:
    from renderer.dreaming.ascent.ascent import EvaluatorFactory
    from renderer.dreaming.ascent.dreamer import Dreamer
    from renderer.dreaming.governor import Governor, Tone
    from renderer.dreaming.networks.network import Network
    from renderer.dreaming.objectives.references import Pictures
    from renderer.motion.camera import Camera
    from renderer.render.detail import Detail, DetailDreamer
    from renderer.render.scenes import Scene


BASE = 1_150_000_000
"""Bytes that Python, TensorFlow and a network take before the first frame."""

PICTURES_BETWEEN = 9
"""Pictures that a frame of a video between two dreams takes: it and its motion both ways, in all that is read ahead."""

UNIT = 4_000_000_000
"""The machine's memory is counted in this many bytes, so that it comes out alike from day to day."""


@dataclass(frozen=True, kw_only=True)
class RenderSetup:
    """What renders a film's frames.

    `notes` tells, when all frames are rendered, what the user should know of the sources. `start` is the tone of the
    film's first canvas; None where rendering never begins anywhere else. `guides` are those that the dreamer reads.
    `detail` makes frames that are larger than the film is dreamed at.
    """

    network: Network
    scene: Scene
    dreamer: Dreamer
    governor: Governor
    notes: Callable[[], Iterable[str]] = tuple
    start: Tone | None = None
    guides: Guides = field(default_factory=Guides)
    detail: Detail | None = None

    def close(self) -> None:
        """Let go of files and threads."""
        self.scene.close()
        self.guides.close()


def open_dreamer(
    settings: Settings,
    *,
    kind: str = "video",
    pictures: Pictures | None = None,
    loop_seconds: float | None = None,
) -> tuple[Network, Dreamer]:
    """Load TensorFlow, open the network and make the dreamer.

    Args:
        settings: of the film.
        kind: of film, in `KINDS`: how much memory it takes beside the network. The steps of a still have their stated
            size.
        pictures: guide and style over time, by name; None to open what the settings name.
        loop_seconds: length of a loop; None for a film that is none.

    Raises:
        BadInput: a guide cannot be read.
        UsageError, EnvironmentProblem: the network, its layers or its weights.
    """
    still = kind == "still"
    if settings.dream.parametrisation != "pixels" and not still:
        raise UsageError(
            f"dream.parametrisation {settings.dream.parametrisation} is for stills: what a film carries from frame to "
            "frame are pixels. Leave it out, or use `dreamreel still`."
        )
    check_memory(settings, kind=kind)
    pictures = open_guides(settings).pictures if pictures is None else pictures
    runtime.prepare()
    from renderer.dreaming.ascent.dreamer import Dreamer

    network = _open_network(settings)
    dreamer = Dreamer(
        network,
        settings.dream,
        over_time=settings.over_time_in("dream"),
        pictures=pictures,
        evaluator=evaluator_for(settings, kind=kind, size=settings.dreamed_at(kind)),
        rate=None if still else float(settings.kept(kind).rate),
        seed=settings.seed,
        loop_seconds=loop_seconds,
    )
    return network, dreamer


def detail_dreamers(
    settings: Settings, network: Network, *, kind: str, loop_seconds: float | None = None
) -> Sequence[DetailDreamer]:
    """Make what dreams detail into frames larger than the film is dreamed at, one for each scale, coarse to fine.

    Args:
        settings: of the film.
        network: that it is dreamed by.
        kind: of film, in `KINDS`.
        loop_seconds: length of a loop; None for a film that is none.
    """
    from renderer.dreaming.ascent.dreamer import Dreamer
    from renderer.dreaming.settings import DreamSettings
    from renderer.render.detail import EVERY, detail_sizes

    dream, over_time = settings.dream, settings.over_time_in("dream")
    now = Timed(dream, over_time)
    sizes = detail_sizes(settings.film.size, settings.dream_size)
    share = min(1.0, math.log(min(settings.film.size) / min(settings.dream_size), dream.octave_ratio) / len(sizes))
    found = []
    for size in sizes:
        dreamer = Dreamer(
            network,
            DreamSettings(
                layers={network.detail_layer: 1.0},
                octave_sizes=str(size),
                variety=dream.variety,
                variety_period=dream.variety_period,
                step_size=dream.step_size,
            ),
            over_time={"strength": lambda t: EVERY * share * now.at("detail", t) * now.at("strength", t)},
            evaluator=evaluator_for(settings, kind=kind),
            rate=float(settings.kept(kind).rate),
            seed=settings.seed,
            loop_seconds=loop_seconds,
        )
        found.append(dreamer)
    return found


def _open_network(settings: Settings) -> Network:
    from renderer.dreaming.networks.network import shared_network

    chosen = settings.network
    return shared_network(
        chosen.name,
        weights=chosen.weights,
        precision=chosen.precision,
        head=bool(settings.dream.of),
        preprocess=chosen.preprocess,
    )


def camera_of(settings: Settings) -> Camera:
    """Build the camera of a film."""
    from renderer.motion.camera import Camera

    return Camera(
        settings.camera,
        over_time=settings.over_time_in("camera"),
        seed=settings.seed,
        loop_seconds=settings.duration if settings.film.loop else None,
    )


def governor_of(settings: Settings, start: Frame, *, kind: str, from_noise: bool = False) -> Governor:
    """Build the governor of a film of a kind in `KINDS` that begins with a canvas `(H, W, 3)`.

    The tone of noise is not worth keeping.
    """
    from renderer.dreaming.governor import Governor, measure

    chosen = settings.governor
    return Governor(
        chosen.model_copy(update={"memory": 0.0}) if from_noise else chosen,
        own=measure(start),
        over_time=settings.over_time_in("governor"),
        rate=float(settings.kept(kind).rate),
        every=settings.frames_a_dream(kind),
        seed=settings.seed,
    )


def beside(settings: Settings, *, kind: str) -> int:
    """Return the bytes that a film, of a kind in `KINDS`, takes beside activations and their gradients."""
    size = settings.film.size
    pictures = KINDS[kind].pictures + PICTURES_BETWEEN * (settings.frames_a_dream(kind) - 1)
    return BASE + pictures * 12 * size.width * size.height


def check_memory(settings: Settings, *, kind: str) -> None:
    """Refuse a film whose pictures alone, at all its scales, are more than this machine holds; nothing is loaded.

    Args:
        settings: of the film.
        kind: of the film, in `KINDS`.

    Raises:
        EnvironmentProblem: with the setting that asks for the most.
    """
    here, size, dream = runtime.memory_total(), settings.film.size, settings.dream
    if here is None:
        return
    scales = [
        size.width * size.height,
        *(one.width * one.height for one in Pyramid(dream).sizes(settings.dreamed_at(kind))),
    ]
    # `beside` counts the frame, and the smaller scales of a usual pyramid.
    finest, kept = max(scales), 12 * max(0, sum(scales) - 3 * scales[0])
    # What the optimiser remembers has the size of the scale at work.
    remembered = OPTIMISERS[dream.optimiser].remembered
    needed = beside(settings, kind=kind) + kept + 12 * finest * (KINDS["still"].pictures + remembered)
    if finest == scales[0]:  # Those at the scale of the frame are counted among its own.
        needed -= 12 * finest * KINDS["still"].pictures
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


def evaluator_for(settings: Settings, *, kind: str, size: Size | None = None) -> EvaluatorFactory:
    """Choose how pictures of a film are evaluated: at once, or tile by tile where memory asks for it.

    Args:
        settings: of the film.
        kind: of film, in `KINDS`.
        size: of the largest pictures that are evaluated; None for that of the frames.

    A film that names no memory gets half of the machine's, and more if no tiles fit into that. On a GPU, whose memory
    is its own, it gets no limit.
    """
    import tensorflow as tf

    from renderer.dreaming.evaluator import Evaluator
    from renderer.dreaming.tiles.tiled_evaluator import TiledEvaluatorFactory

    size = size or settings.film.size
    total, taken = runtime.memory_total(), beside(settings, kind=kind)
    if settings.dream.memory is not None:
        tiles = TiledEvaluatorFactory(size=size, memory=bytes_of(settings.dream.memory), beside=taken)
    elif total is None or tf.config.list_physical_devices("GPU"):
        return Evaluator
    else:
        tiles = TiledEvaluatorFactory(size=size, memory=max(1, total // UNIT) * UNIT // 2, beside=taken, strict=False)
    return tiles if tiles.needed else Evaluator
