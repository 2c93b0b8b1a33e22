"""The recurrence: the one place that knows about time.

canvas[t] = scene.canvas(t, dream[t-1])
dream[t]  = scene.finish(governor(dreamer(canvas[t], t)))
store.append(frame of dream[t])

Of a video that is not dreamed at each frame, t is the next frame that is, and those between are made of both dreams:

store.append(*scene.between(dream[t-k], dream[t]), dream[t])

A film is dreamed at its reference size. A smaller frame is the dream, shrunk; a larger one follows it, see `detail`.
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

from renderer.dreaming.ascent.octaves import resize
from renderer.dreaming.governor import Governor, Tone, measure
from renderer.errors import BadInput
from renderer.events import FrameDone
from renderer.frame import Frame, Size
from renderer.render.scenes import Scene

if TYPE_CHECKING:
    from renderer.dreaming.ascent.dreamer import Dreamer
    from renderer.render.detail import Detail

_SCENE, _DETAIL = "scene.", "detail."

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
    size: Size | None = None,
    detail: Detail | None = None,
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
        size: of what is dreamed; None for that of the frames.
        detail: makes frames that are larger than what is dreamed; None where they are as large, or smaller.

    Returns:
        True when the film is complete, False when it was stopped.
    """
    dream, start = _saved(store, scene, detail, start, size)
    committed = time.monotonic()
    run_up = scene.loop.run_up if scene.loop is not None and dream is None else 0
    first = store.next_frame - run_up
    while first < frames:
        began, before = time.monotonic(), dream
        canvas = scene.canvas(first, before)
        if canvas is None:
            if dream is not None and start is not None:
                store.commit(_state(dream, start, scene, detail))
            break
        index = first + canvas.passed
        start = start or measure(canvas.picture)
        number, age = (index, None) if scene.loop is None else (scene.loop.drawn(index), scene.loop.age(index))
        seconds = float(number / rate)
        dream, strength = dreamer(
            canvas.picture,
            frame=number,
            seconds=seconds,
            full=canvas.full,
            where=canvas.where,
            source=canvas.source,
        )
        dream = scene.finish(governor(dream, start, frame=number, age=age))
        shown = dream
        if detail is not None:
            shown = detail(canvas.picture, dream, index=index, number=number, seconds=seconds)
        made, first = range(first, index + 1), index + 1
        if index < 0:
            continue
        for frame in itertools.chain(scene.between(before, dream), [shown]):
            store.append(frame if size is None else resize(frame, store.size))
        now = time.monotonic()
        for each in made:
            report(FrameDone(index=each, total=frames, strength=strength, seconds=(now - began) / len(made)))
        stop = should_stop()
        # The first frame costs as much as many others: it is kept at once.
        if stop or index in (0, frames - 1) or now - committed > COMMIT_SECONDS:
            store.commit(_state(dream, start, scene, detail))
            committed = now
        if stop and index + 1 < frames:
            return False
    return True


def _state(dream: Frame, start: Tone, scene: Scene, detail: Detail | None) -> dict[str, Any]:
    """Put together what the next frame is made from."""
    parts = {_SCENE: scene.state(), _DETAIL: {} if detail is None else detail.state()}
    held = {f"{part}{name}": value for part, state in parts.items() for name, value in state.items()}
    return {"dream": dream, **asdict(start), **held}


def _saved(
    store: FrameStore, scene: Scene, detail: Detail | None, start: Tone | None, size: Size | None
) -> tuple[Frame | None, Tone | None]:
    """Return the last dream and the tone of the first canvas as they were committed; the others get their part back.

    Raises:
        BadInput: what was committed is not what this film needs.
    """
    state = store.state()
    if state is None:
        return None, start
    size = size or store.size
    try:
        tone = Tone(**{field.name: float(np.asarray(state[field.name])) for field in fields(Tone)})
        dream = np.asarray(state["dream"], np.float32)
        frames = _part(state, _DETAIL)
        dreams = {name: value for name, value in state.items() if not name.startswith(_DETAIL)}
        if Size.of(dream) != size or not _all_of(dreams, size) or not _all_of(frames, store.size):
            raise ValueError("its pictures have another size")
        scene.restore(_part(state, _SCENE))
        if detail is not None:
            detail.restore(frames)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise BadInput(
            f"What was kept to go on from frame {store.next_frame} is not of this film ({error}); give --restart to "
            "begin again."
        ) from error
    return dream, tone


def _part(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _all_of(state: Mapping[str, Any], size: Size) -> bool:
    """Tell whether all pictures and planes in a state have a size."""
    pictures = [value for value in state.values() if isinstance(value, np.ndarray) and value.ndim >= 2]
    return all(value.shape[:2] == (size.height, size.width) for value in pictures)
