"""The recurrence: the one place that knows about time.

canvas[t] = scene.canvas(t, dream[t-1])
dream[t]  = scene.finish(governor(dreamer(canvas[t], t)))
store.append(dream[t])

Of a video that is not dreamed at each frame, t is the next frame that is, and those between are made of both dreams:

store.append(*scene.between(dream[t-k], dream[t]), dream[t])

A film that comes round is dreamed for a while before its frame 0; those frames have numbers below 0 and are not kept.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from renderer.dreaming.governor import Governor, Tone, measure
from renderer.errors import BadInput
from renderer.events import FrameDone
from renderer.frame import Frame, Size
from renderer.render.scenes import Scene

if TYPE_CHECKING:
    from renderer.dreaming.ascent.dreamer import Dreamer

_SCENE = "scene."

COMMIT_SECONDS = 20.0
"""Work, in seconds, that a stop may cost at most."""


class FrameStore(Protocol):
    """What keeps the frames, as a store does."""

    @property
    def size(self) -> Size:
        """Of the frames."""

    @property
    def next_frame(self) -> int:
        """The number of the frame that `append` takes next; at first, where to go on."""

    def state(self) -> Mapping[str, Any] | None:
        """Return what to go on from, None where nothing is there."""

    def append(self, frame: Frame) -> None:
        """Add one frame `(H, W, 3)`; it counts once committed."""

    def commit(self, state: Mapping[str, Any]) -> None:
        """Keep what was appended, and the state to go on from."""


def render(
    scene: Scene,
    dreamer: Dreamer,
    store: FrameStore,
    *,
    governor: Governor,
    frames: int,
    rate: Fraction,
    report: Callable[[FrameDone], None],
    should_stop: Callable[[], bool] = lambda: False,
    start: Tone | None = None,
) -> bool:
    """Render what is missing of a film into its store.

    Args:
        scene: gives each canvas.
        dreamer: dreams on it.
        store: keeps the frames, and knows where to go on.
        governor: steers the tone of what was dreamed.
        frames: where to end, the length of the film usually, unless the scene ends before.
        rate: frames a second.
        report: called after each frame.
        should_stop: asked after each dream from frame 0 on; True commits what is there and returns.
        start: tone of the film's first canvas, needed where rendering begins at a cut further on; else it is measured.

    Returns:
        True when the film is complete, False when it was stopped.
    """
    dream, start = _saved(store, scene, start)
    committed = time.monotonic()
    run_up = scene.loop.run_up if scene.loop is not None and dream is None else 0
    first = store.next_frame - run_up
    while first < frames:
        began, before = time.monotonic(), dream
        canvas = scene.canvas(first, before)
        if canvas is None:
            if dream is not None and start is not None:
                store.commit(_state(dream, start, scene))
            break
        index = first + canvas.passed
        start = start or measure(canvas.picture)
        number, age = (index, None) if scene.loop is None else (scene.loop.drawn(index), scene.loop.age(index))
        dream, strength = dreamer(
            canvas.picture,
            frame=number,
            seconds=float(number / rate),
            full=canvas.full,
            where=canvas.where,
            source=canvas.source,
        )
        dream = scene.finish(governor(dream, start, frame=number, age=age))
        made, first = range(first, index + 1), index + 1
        if index < 0:
            continue
        for frame in itertools.chain(scene.between(before, dream), [dream]):
            store.append(frame)
        now = time.monotonic()
        for each in made:
            report(FrameDone(index=each, total=frames, strength=strength, seconds=(now - began) / len(made)))
        stop = should_stop()
        # The first frame costs as much as many others: it is kept at once.
        if stop or index in (0, frames - 1) or now - committed > COMMIT_SECONDS:
            store.commit(_state(dream, start, scene))
            committed = now
        if stop and index + 1 < frames:
            return False
    return True


def _state(dream: Frame, start: Tone, scene: Scene) -> dict[str, Any]:
    """Put together what the next frame is made from."""
    return {"dream": dream, **asdict(start), **{f"{_SCENE}{name}": value for name, value in scene.state().items()}}


def _saved(store: FrameStore, scene: Scene, start: Tone | None) -> tuple[Frame | None, Tone | None]:
    """Return the last dream and the tone of the first canvas as they were committed; the scene gets its part back.

    Raises:
        BadInput: what was committed is not what this film needs.
    """
    state = store.state()
    if state is None:
        return None, start
    size = (store.size.height, store.size.width)
    try:
        tone = Tone(**{field.name: float(np.asarray(state[field.name])) for field in fields(Tone)})
        dream = np.asarray(state["dream"], np.float32)
        if dream.shape != (*size, 3) or any(value.shape[:2] != size for value in _pictures(state)):
            raise ValueError("its pictures have another size")
        scene.restore({name.removeprefix(_SCENE): value for name, value in state.items() if name.startswith(_SCENE)})
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise BadInput(
            f"What was kept to go on from frame {store.next_frame} is not of this film ({error}); give --restart to "
            "begin again."
        ) from error
    return dream, tone


def _pictures(state: Mapping[str, Any]) -> list[Any]:
    return [value for value in state.values() if isinstance(value, np.ndarray) and value.ndim >= 2]
