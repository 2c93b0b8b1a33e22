"""The kinds of film: what each is called, what it is made from, and where its settings begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

REFERENCE = 360
"""Lines at which films are meant, so that they are the same at every size."""


@dataclass(frozen=True, kw_only=True)
class FilmKind:
    """A kind of film.

    Attributes:
        inputs: what a film of it may be made from, beside the files that its settings name; the first is its picture or
            clip.
        needs: those of them that it cannot be made without.
        defaults: dotted name of a setting -> the value it has in place of the setting's own default.
        keeps: what is kept of it while it is made: its frames, or the dreams that its frames are made of.
        pictures: pictures of the frame's size, in float32, that are held around the network.
    """

    inputs: tuple[str, ...]
    needs: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    keeps: Literal["frames", "dreams"] = "frames"
    pictures: int


KINDS: dict[str, FilmKind] = {
    "zoom": FilmKind(
        inputs=("picture",),
        # Every frame is dreamed on the last one: with larger steps everything ends in ribs.
        defaults={
            "dream.step_size": 0.008,
            "film.dreams": "12",
            "dream.reference": REFERENCE,
            "camera.resample": "spline",
        },
        keeps="dreams",
        pictures=18,  # those of a still, and it governs and stores them
    ),
    "video": FilmKind(
        inputs=("clip", "mask", "cuts"),
        needs=("clip",),
        defaults={
            # A camera moves only if it is asked to, and the tone is the film's own.
            "camera.zoom": 1.0,
            "camera.wander": 0.0,
            "governor.amount": 0.0,
            # The dream is carried, so that little is needed on top; the fine scales are enough to keep its lines alive.
            "dream.first_steps": 8,
            "dream.steps": 1,
            "dream.late_octaves": 2,
            # A film brings variety of its own.
            "dream.variety": 0.0,
        },
        pictures=26,  # it also finds motion and carries layers
    ),
    "still": FilmKind(inputs=("picture", "mask"), pictures=13),
}
"""Name, as commands, jobs files and recipes have it -> the kind of film."""
