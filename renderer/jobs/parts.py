"""What renders the frames of a film: network, scene, dreamer and governor, put together from settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from renderer.frame import Frame
from renderer.jobs import runtime
from renderer.jobs.settings import Settings

if TYPE_CHECKING:
    from renderer.dreaming.dreamer import Dreamer
    from renderer.dreaming.networks import Network
    from renderer.dreaming.tone import Governor
    from renderer.motion.camera import Camera
    from renderer.render.scenes import Scene


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What renders a film's frames.

    `notes` tells, when all frames are rendered, what the user should know of the sources.
    """

    network: Network
    scene: Scene
    dreamer: Dreamer
    governor: Governor
    notes: Callable[[], Iterable[str]] = tuple


def open_dreamer(settings: Settings, *, still: bool = False) -> tuple[Network, Dreamer]:
    """Load TensorFlow, open the network and make the dreamer.

    Args:
        settings: of the film.
        still: whether it dreams a picture, whose steps have their stated size.

    Raises:
        UsageError, EnvironmentProblem: the network, its layers or its weights.
    """
    runtime.prepare()
    from renderer.dreaming.dreamer import Dreamer
    from renderer.dreaming.networks import load_network

    dream = settings.dream
    network = load_network(
        settings.network.name, weights=settings.network.weights, precision=settings.network.precision
    )
    dreamer = Dreamer(
        network,
        layers=dream.layers,
        objective=dream.objective,
        octaves=dream.octaves,
        octave_ratio=dream.octave_ratio,
        steps=dream.steps,
        first_steps=dream.first_steps,
        late_octaves=dream.late_octaves,
        step_size=dream.step_size,
        strength=settings.schedule("dream.strength"),
        jitter=dream.jitter,
        normalise=dream.normalise,
        bands=dream.bands,
        smoothing=dream.smoothing,
        variety=dream.variety,
        variety_period=dream.variety_period,
        rate=None if still else float(settings.rate),
        seed=settings.seed,
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
    network, dreamer = open_dreamer(settings, still=still)
    from renderer.render.scenes import StillScene, ZoomScene

    scene: Scene
    if still:
        scene = StillScene(start)
    else:
        scene = ZoomScene(
            start=start, camera=camera_of(settings), edges=settings.camera.edges, rate=float(settings.rate)
        )
    governor = governor_of(settings, start, from_noise=from_noise)
    return Parts(network=network, scene=scene, dreamer=dreamer, governor=governor)


def camera_of(settings: Settings) -> Camera:
    """Build the camera of a film."""
    from renderer.motion.camera import Camera

    moving = ("zoom", "rotate", "pan_x", "pan_y", "turn_x", "turn_y", "centre_x", "centre_y", "wander")
    moves = {name: settings.schedule(f"camera.{name}") for name in moving}
    return Camera(**moves, wander_period=settings.camera.wander_period, seed=settings.seed)


def governor_of(settings: Settings, start: Frame, *, from_noise: bool = False) -> Governor:
    """Build the governor of a film that begins with a canvas `(H, W, 3)`."""
    from renderer.dreaming.tone import Governor, Tone, measure

    chosen, begin = settings.governor, measure(start)
    values = {name: getattr(chosen, name) for name in ("luma", "contrast", "saturation", "sharpness")}
    target = Tone(**{name: getattr(begin, name) if v == "auto" else v for name, v in values.items()})
    return Governor(
        target=target if chosen.amount > 0 else None,
        half_life=chosen.half_life / max(chosen.amount, 1e-6),
        memory=0.0 if from_noise else chosen.memory,
        noise=chosen.noise,
        knee=chosen.knee,
        rate=float(settings.rate),
        seed=settings.seed,
    )
