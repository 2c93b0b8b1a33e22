"""What is told while films, pictures, trainings and batches are made: each event is one small object.

Whoever makes something calls its listener with each event; whoever shows or counts them is such a function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """What is being done now, as in "loading the network"."""

    text: str


@dataclass(frozen=True)
class Note:
    """What the user should know, in a sentence."""

    text: str


@dataclass(frozen=True)
class StageProgress:
    """How many frames of the stage at work are done: read or encoded."""

    done: int
    total: int


@dataclass(frozen=True)
class RenderingStarted:
    """Pictures of a film will follow, `done` of them being there already. From here on a stop is graceful.

    `what` they are is "frame", or "dream" where the frames of the film are made of them later.
    """

    done: int
    total: int
    what: str = "frame"


@dataclass(frozen=True, kw_only=True)
class FrameDone:
    """A frame is dreamed, or a dream that frames are made of later.

    Attributes:
        index: its number, from 0.
        total: how many of them the film takes.
        strength: the objective reached, in the network's own units.
        seconds: how long the frame took.
    """

    index: int
    total: int
    strength: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """How far a training is: minutes of how many, and its readings in words."""

    minutes: float
    total: float
    reading: str


@dataclass(frozen=True)
class JobStarted:
    """A film or picture of a batch is begun."""


Event = Stage | Note | StageProgress | RenderingStarted | FrameDone | TrainingProgress | JobStarted

Listener = Callable[[Event], None]

BatchListener = Callable[[str | None, Event], None]
"""Given the name of the job that an event belongs to, None for none, and the event. Called in one thread only."""


def ignore(event: Event) -> None:
    """Be the listener where nobody listens."""
