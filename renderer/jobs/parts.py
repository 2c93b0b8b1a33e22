"""What renders the frames of a film: network, scene, dreamer and governor, put together from settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from renderer.errors import UsageError
from renderer.frame import Frame
from renderer.jobs import runtime
from renderer.jobs.guides import Guides, open_guides
from renderer.jobs.memory import check_memory, sight_of
from renderer.jobs.settings import Settings

if TYPE_CHECKING:
    from renderer.dreaming.dreamer import Dreamer
    from renderer.dreaming.networks import Network
    from renderer.dreaming.tone import Governor, Tone
    from renderer.jobs.masks import Plane
    from renderer.motion.camera import Camera
    from renderer.render.scenes import Scene


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What renders a film's frames.

    `notes` tells, when all frames are rendered, what the user should know of the sources. `start` is the tone of the
    film's first canvas; None where rendering never begins anywhere else. `guides` are those that the dreamer reads.
    """

    network: Network
    scene: Scene
    dreamer: Dreamer
    governor: Governor
    notes: Callable[[], Iterable[str]] = tuple
    start: Tone | None = None
    guides: Guides = field(default_factory=Guides)

    def close(self) -> None:
        """Let go of files and threads."""
        self.scene.close()
        self.guides.close()


def open_dreamer(
    settings: Settings,
    *,
    guides: Guides | None = None,
    still: bool = False,
    kind: str = "video",
    around: float | None = None,
) -> tuple[Network, Dreamer]:
    """Load TensorFlow, open the network and make the dreamer.

    Args:
        settings: of the film.
        guides: what leads the dream; None to open what the settings name.
        still: whether it dreams a picture, whose steps have their stated size.
        kind: of another film, in `memory.PICTURES`: how much memory it takes beside the network.
        around: seconds after which the film comes round; None for one that does not.

    Raises:
        BadInput: a guide cannot be read.
        UsageError, EnvironmentProblem: the network, its layers or its weights.
    """
    if settings.dream.parametrisation != "pixels" and not still:
        raise UsageError(
            f"dream.parametrisation {settings.dream.parametrisation} is for stills: what a film carries from frame to "
            "frame are pixels. Leave it out, or use `dreamreel still`."
        )
    check_memory(settings, kind="still" if still else kind)
    guides = open_guides(settings) if guides is None else guides
    runtime.prepare()
    from renderer.dreaming.dreamer import Dreamer
    from renderer.dreaming.references import Leaders

    network = _open_network(settings)
    dreamer = Dreamer(
        network,
        settings.dream,
        over_time=settings.over_time_in("dream"),
        leaders=Leaders(guide=guides.guide, style=guides.style),
        sight=sight_of(settings, kind="still" if still else kind),
        rate=None if still else float(settings.rate),
        seed=settings.seed,
        around=around,
    )
    return network, dreamer


def _open_network(settings: Settings) -> Network:
    from renderer.dreaming.networks import shared_network

    chosen = settings.network
    return shared_network(
        chosen.name,
        weights=chosen.weights,
        precision=chosen.precision,
        head=bool(settings.dream.classes),
        preprocess=chosen.preprocess,
    )


def assemble(
    settings: Settings, start: Frame, *, still: bool = False, where: Plane | None = None, from_noise: bool = False
) -> Parts:
    """Build what renders a zoom or a still.

    Args:
        settings: of the film.
        start: the first canvas `(H, W, 3)`.
        still: a scene of one picture instead of a camera's journey.
        where: `(H, W)`, how strongly to dream on a still; None for 1 everywhere.
        from_noise: the first canvas has no tone worth keeping.

    Raises:
        UsageError, EnvironmentProblem: the network, its layers or its weights.
    """
    ring = None if still else settings.ring(from_noise=from_noise)
    guides = open_guides(settings)
    around = None if ring is None else ring.seconds
    network, dreamer = open_dreamer(settings, guides=guides, still=still, kind="zoom", around=around)
    from renderer.render.ring import RingScene
    from renderer.render.scenes import StillScene, ZoomScene

    scene: Scene
    if still:
        scene = StillScene(start, where=where, keep_colour=settings.area.keep_colour)
    else:
        scene = zoom = ZoomScene(
            start=start, camera=camera_of(settings), edges=settings.camera.edges, rate=float(settings.rate)
        )
        if ring is not None:
            scene = RingScene(zoom, ring, seed=settings.seed)
    governor = governor_of(settings, start, from_noise=from_noise)
    return Parts(network=network, scene=scene, dreamer=dreamer, governor=governor, guides=guides)


def camera_of(settings: Settings) -> Camera:
    """Build the camera of a film."""
    from renderer.motion.camera import Camera

    around = settings.duration if settings.film.loop else None
    return Camera(settings.camera, over_time=settings.over_time_in("camera"), seed=settings.seed, around=around)


def governor_of(settings: Settings, start: Frame, *, from_noise: bool = False) -> Governor:
    """Build the governor of a film that begins with a canvas `(H, W, 3)`; the tone of noise is not worth keeping."""
    from renderer.dreaming.tone import Governor, measure

    chosen = settings.governor
    return Governor(
        chosen.model_copy(update={"memory": 0.0}) if from_noise else chosen,
        own=measure(start),
        over_time=settings.over_time_in("governor"),
        rate=float(settings.rate),
        seed=settings.seed,
    )
