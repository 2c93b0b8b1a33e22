"""Dreamers and settings with little in them, for the tests of the engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from renderer.dreaming.ascent.dreamer import Dreamer
from renderer.dreaming.governor import Governor, Tone
from renderer.dreaming.objectives.objective import Objective, Term
from renderer.dreaming.settings import DreamSettings, GovernorSettings
from renderer.motion.camera import Camera
from renderer.motion.settings import CameraSettings
from renderer.render.carry import Carry, make_carry
from renderer.render.settings import CarrySettings

PLAIN = {"objective": "square", "steps": 2, "step_size": 0.012, "variety": 0.0}
OWN = ("pictures", "evaluator", "rate", "seed", "loop_seconds")


def dreamer_of(network: Any, **options: Any) -> Dreamer:
    """Make a dreamer from settings of `dream`, given as numbers or as functions of seconds, and its own options."""
    own = {name: options.pop(name) for name in OWN if name in options}
    over_time = {k: v for k, v in options.items() if callable(v) or (k == "layers" and any(map(callable, v.values())))}
    fixed = {name: value for name, value in options.items() if name not in over_time}
    return Dreamer(network, DreamSettings(**{**PLAIN, **fixed}), over_time=over_time, **own)


def moving_camera(*, seed: int = 0, loop_seconds: float | None = None, **moves: Any) -> Camera:
    """Make a camera that stands still but for some moves."""
    still = {name: moves.pop(name) for name in ("wander_period",) if name in moves}
    settings = CameraSettings(zoom=1, wander=0, **still)
    return Camera(settings, over_time=moves, seed=seed, loop_seconds=loop_seconds)


def governor_of(target: Tone, *, rate: float = 24.0, seed: int = 0, **settings: Any) -> Governor:
    """Make a governor that holds a tone; values of its settings may be functions of seconds."""
    changing = {name: value for name, value in settings.items() if callable(value)}
    memory = settings.pop("memory", None)
    fixed = {name: value for name, value in settings.items() if name not in changing}
    group = GovernorSettings(**asdict(target), **fixed)
    if memory is not None:
        group = group.model_copy(update={"memory": memory})
    return Governor(group, own=target, over_time=changing, rate=rate, seed=seed)


def carry_of(mode: str, *, rate: float = 24.0, seed: int = 0, **settings: Any) -> Carry:
    """Make a way to carry; values of its settings may be functions of seconds."""
    changing = {name: value for name, value in settings.items() if callable(value)}
    fixed = {name: value for name, value in settings.items() if name not in changing}
    return make_carry(CarrySettings(mode=mode, **fixed), over_time=changing, rate=rate, seed=seed)


def square(layer: str, channel: int | None = None) -> Objective:
    """The mean square of a layer's activations."""
    return Objective((Term("square", layer, channel),))


@contextlib.contextmanager
def untraced() -> Iterator[None]:
    """Compute graphs operation by operation: tracing a training step takes ten times as long as the step itself."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
