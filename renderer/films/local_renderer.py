"""Who renders the frames of a film: this process. `workers.distributed_renderer` has them rendered elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from renderer import runtime
from renderer.errors import BadInput, Interrupted
from renderer.events import Listener, Note, RenderingStarted, Stage
from renderer.media.store.store import Store

if TYPE_CHECKING:
    from renderer.films.film import Film
    from renderer.films.render_setup import RenderSetup


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What renders a film, as far as its pixels depend on it; plain data.

    Attributes:
        network: name in the registry.
        weights_sha256: of its weights.
        details: versions, device, threads, the precision that the network computes in, and, where frames are looked at
            in tiles, the memory that these are made for.
    """

    network: str
    weights_sha256: str
    details: Mapping[str, Any]

    @classmethod
    def of(cls, setup: RenderSetup) -> Environment:
        """Describe this process with what is opened to render a film."""
        network, memory = setup.network, setup.dreamer.memory
        details = {**runtime.environment(), "precision": network.precision}
        if memory is not None:  # tiles change the order of sums, and so the last bits
            details["memory"] = memory
        return cls(network=network.name, weights_sha256=network.weights_sha256, details=details)


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """A film about to be rendered.

    Attributes:
        environment: what renders it.
        render: renders what is missing of the film into its store. It is given the store, who is told how it comes
            along, and what is asked after each frame whether to stop. It raises `BadInput` if there was not one frame
            to dream on, `Interrupted` if it was stopped (what is done is kept), or whatever else a user can mend.
    """

    environment: Environment
    render: Callable[[Store, Listener, Callable[[], bool]], None]


FilmRenderer = Callable[["Film", Mapping[str, Any], Listener], Rendering]
"""Makes everything ready to render a film, from what was found out about its inputs."""


def render_here(film: Film, facts: Mapping[str, Any], listener: Listener) -> Rendering:
    """Make a film ready to be rendered in this process, one frame after another.

    Raises:
        DreamreelError: as `Film.render_setup`.
    """
    listener(Stage("loading TensorFlow and the network"))
    setup = film.render_setup(facts)
    return Rendering(environment=Environment.of(setup), render=partial(_render, film, setup))


def _render(film: Film, setup: RenderSetup, store: Store, listener: Listener, should_stop: Callable[[], bool]) -> None:
    total = film.kept.total
    join_lanes(store)
    listener(RenderingStarted(store.count, total, film.kept_as))
    if (loop := setup.scene.loop) and loop.run_up and not store.count:
        note = f"The first {film.kept_as} comes after {loop.run_up} that are not kept: a loop begins in full swing."
        listener(Note(note))
    with contextlib.closing(setup):
        complete = True
        # What was rendered apart, further on, before the film was stopped: up to there, and join it.
        for stop in [*(first for first, _ in store.lanes()), total]:
            if complete and store.count < stop:
                complete = _render_to(stop, film, setup, store, listener, should_stop)
            join_lanes(store)
    if not complete:
        raise interrupted(film, store.count)
    for note in setup.notes():
        listener(Note(note))
    finish_store(store)


def _render_to(
    stop: int, film: Film, setup: RenderSetup, store: Store, listener: Listener, should_stop: Callable[[], bool]
) -> bool:
    from renderer.render.recurrence import render

    return render(
        setup.scene,
        setup.dreamer,
        store,
        governor=setup.governor,
        frames=stop,
        rate=film.kept.rate,
        report=lambda frame: listener(replace(frame, total=film.kept.total)),
        should_stop=should_stop,
        start=setup.start,
        size=film.settings.dreamed_at(film.kind),
        detail=setup.detail,
    )


def join_lanes(store: Store) -> None:
    """Take in what was rendered apart and now follows on what is there."""
    for first, _ in store.lanes():
        if first > store.count:
            return
        with open_lane(store, first) as lane:
            store.join(lane, first=first)


def open_lane(store: Store, first: int) -> Store:
    """Open the store for what is rendered apart from frame `first` on; what is there of another film is thrown away.

    Raises:
        UsageError, DiskProblem: as `Store.open`.
    """
    return Store.open(
        store.lane(first), size=store.size, rate=store.rate, pixel_key=store.pixel_key, meta={}, restart=True
    )


def frames_there(store: Store) -> int:
    """Count the frames that are kept, those rendered apart too."""
    apart = [Store.find(folder) for first, folder in store.lanes() if first >= store.count]
    return store.count + sum(lane.count for lane in apart if lane is not None)  # What is damaged is rendered anew.


def finish_store(store: Store) -> None:
    """Note that a film is rendered to its end.

    Raises:
        BadInput: there is not one frame.
    """
    if not store.count:
        raise BadInput("There was not one frame to dream on.")
    store.remove_lanes()  # Behind the end of a film that turned out shorter.
    store.mark_done()


def interrupted(film: Film, done: int) -> Interrupted:
    """Return the error of a film that was asked to stop while it was rendered, given how much of it is kept."""
    return Interrupted(f"Stopped after {film.kept_as} {done} of {film.kept.total}; the same command goes on from here.")
