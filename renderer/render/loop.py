"""The recurrence: the one place that knows about time.

canvas[t] = scene.canvas(t, dream[t-1])
dream[t]  = governor(dreamer(canvas[t], t))
store.append(dream[t])
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from fractions import Fraction

import numpy as np

from renderer.dreaming.dreamer import Dreamer
from renderer.dreaming.tone import Governor, Tone, measure
from renderer.frame import Frame
from renderer.media.store import Store
from renderer.render.scenes import Scene

COMMIT_SECONDS = 20.0
"""Work, in seconds, that a stop may cost at most."""


@dataclass(frozen=True, kw_only=True)
class FrameReport:
    """A frame is done.

    Attributes:
        index: its number, from 0.
        total: frames of the film.
        strength: the objective reached, in the network's own units.
        seconds: how long the frame took.
    """

    index: int
    total: int
    strength: float
    seconds: float


def render(
    scene: Scene,
    dreamer: Dreamer,
    store: Store,
    *,
    governor: Governor,
    frames: int,
    rate: Fraction,
    report: Callable[[FrameReport], None],
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Render what is missing of a film into its store.

    Args:
        scene: gives each canvas.
        dreamer: dreams on it.
        store: keeps the frames, and knows where to go on.
        governor: steers the tone of what was dreamed.
        frames: length of the film.
        rate: frames a second.
        report: called after each frame.
        should_stop: asked after each frame; True commits what is there and returns.

    Returns:
        True when the film is complete, False when it was stopped.
    """
    dream, start = _saved(store)
    committed = time.monotonic()
    for index in range(store.next_frame, frames):
        began = time.monotonic()
        canvas = scene.canvas(index, dream)
        start = start or measure(canvas)
        dream, strength = dreamer(canvas, frame=index, seconds=float(index / rate))
        dream = governor(dream, start, frame=index)
        store.append(dream)
        now = time.monotonic()
        report(FrameReport(index=index, total=frames, strength=strength, seconds=now - began))
        stop = should_stop()
        # The first frame costs as much as many others: it is kept at once.
        if stop or index in (0, frames - 1) or now - committed > COMMIT_SECONDS:
            store.commit({"dream": dream, **asdict(start)})
            committed = now
        if stop and index + 1 < frames:
            return False
    return True


def _saved(store: Store) -> tuple[Frame | None, Tone | None]:
    """Return the last dream and the tone of the first canvas, as they were committed."""
    state = store.state()
    if state is None:
        return None, None
    tone = {field.name: float(np.asarray(state[field.name])) for field in fields(Tone)}
    return np.asarray(state["dream"], np.float32), Tone(**tone)
