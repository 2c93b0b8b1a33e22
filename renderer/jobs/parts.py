"""What renders the frames of a film: network, scene, dreamer and governor, put together from settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from renderer.frame import Frame
from renderer.jobs import runtime
from renderer.jobs.settings import Settings

if TYPE_CHECKING:
    from renderer.dreaming.dreamer import Dreamer
    from renderer.dreaming.networks import Network
    from renderer.dreaming.tone import Governor, Tone
    from renderer.motion.camera import Camera
    from renderer.render.scenes import Scene


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What renders a film's frames.

    `notes` tells, when all frames are rendered, what the user should know of the sources. `start` is the tone of the
    film's first canvas; None where rendering never begins anywhere else.
    """

    network: Network
    scene: Scene
    dreamer: Dreamer
    governor: Governor
    notes: Callable[[], Iterable[str]] = tuple
    start: Tone | None = None


def open_dreamer(settings: Settings, *, still: bool = False, around: float | None = None) -> tuple[Network, Dreamer]:
    """Load TensorFlow, open the network and make the dreamer.

    Args:
        settings: of the film.
        still: whether it dreams a picture, whose steps have their stated size.
        around: seconds after which the film comes round; None for one that does not.

    Raises:
        UsageError, EnvironmentProblem: the network, its layers or its weights.
    """
    runtime.prepare()
    from renderer.dreaming.dreamer import Dreamer
    from renderer.dreaming.networks import shared_network

    dream = settings.dream
    network = shared_network(
        settings.network.name, weights=settings.network.weights, precision=settings.network.precision
    )
    dreamer = Dreamer(
        network,
        layers={name: w(0.0) if w.constant else w for name, w in settings.schedules("dream.layers").items()},
        objective=dream.objective,
        octaves=dream.octaves,
        octave_ratio=dream.octave_ratio,
        steps=dream.steps,
        first_steps=dream.first_steps,
        late_octaves=dream.late_octaves,
        step_size=settings.schedule("dream.step_size"),
        strength=settings.schedule("dream.strength"),
        jitter=dream.jitter,
        normalise=dream.normalise,
        bands=dream.bands,
        smoothing=dream.smoothing,
        variety=settings.schedule("dream.variety"),
        variety_period=dream.variety_period,
        rate=None if still else float(settings.rate),
        seed=settings.seed,
        around=around,
    )
    return network, dreamer


def assemble(settings: Settings, start: Frame, *, still: bool = False, from_noise: bool = False) -> Parts:
    """Build what renders a zoom or a still.

    Args:
        settings: of the film.
        start: the first canvas `(H, W, 3)`.
        still: a scene of one picture instead of a camera's journey.
        from_noise: the first canvas has no tone worth keeping.

    Raises:
        UsageError, EnvironmentProblem: the network, its layers or its weights.
    """
    ring = None if still else settings.ring(from_noise=from_noise)
    network, dreamer = open_dreamer(settings, still=still, around=None if ring is None else ring.seconds)
    from renderer.render.ring import RingScene
    from renderer.render.scenes import StillScene, ZoomScene

    scene: Scene
    if still:
        scene = StillScene(start)
    else:
        scene = zoom = ZoomScene(
            start=start, camera=camera_of(settings), edges=settings.camera.edges, rate=float(settings.rate)
        )
        if ring is not None:
            scene = RingScene(zoom, ring, seed=settings.seed)
    governor = governor_of(settings, start, from_noise=from_noise)
    return Parts(network=network, scene=scene, dreamer=dreamer, governor=governor)


def camera_of(settings: Settings) -> Camera:
    """Build the camera of a film."""
    from renderer.motion.camera import Camera

    moving = ("zoom", "rotate", "pan_x", "pan_y", "turn_x", "turn_y", "centre_x", "centre_y", "wander")
    moves = {name: settings.schedule(f"camera.{name}") for name in moving}
    around = settings.duration if settings.film.loop else None
    return Camera(**moves, wander_period=settings.camera.wander_period, seed=settings.seed, around=around)


def governor_of(settings: Settings, start: Frame, *, from_noise: bool = False) -> Governor:
    """Build the governor of a film that begins with a canvas `(H, W, 3)`."""
    from renderer.dreaming.tone import Governor, measure

    chosen, begin = settings.governor, measure(start)
    names = [name for name in asdict(begin) if getattr(chosen, name) != "auto"]
    aims = {name: settings.schedule(f"governor.{name}") for name in names}

    def target(seconds: float) -> Tone:
        return replace(begin, **{name: aim(seconds) for name, aim in aims.items()})

    return Governor(
        target=target,
        amount=settings.schedule("governor.amount"),
        half_life=chosen.half_life,
        memory=0.0 if from_noise else chosen.memory,
        noise=settings.schedule("governor.noise"),
        knee=chosen.knee,
        rate=float(settings.rate),
        seed=settings.seed,
    )
