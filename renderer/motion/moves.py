"""The moves of the camera, each with the settings that it reads. Nothing here loads TensorFlow or OpenCV.

A new move is a function and one entry in `MOVES` at the foot: its settings join `CameraSettings`, and so the presets,
the schema and the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from renderer.errors import UsageError
from renderer.setting_types import Spec, Unit, Within

Matrix = NDArray[np.float64]

Ratio = Annotated[Spec, Within(0.001, 1000), Unit("factor a second")]
Turn = Annotated[Spec, Within(-36_000, 36_000), Unit("degrees a second")]
Wide = Annotated[Spec, Within(-1000, 1000), Unit("frame widths a second")]
High = Annotated[Spec, Within(-1000, 1000), Unit("frame heights a second")]

_FOCAL = 0.5 / math.tan(math.radians(60) / 2)
"""Distance from the eye to the picture, in widths, for a horizontal field of view of 60 degrees."""


@dataclass(frozen=True)
class Move:
    """A motion of the picture.

    Attributes:
        settings: the fields of `CameraSettings` that it reads, by name: the type of each, and its default with a line.
        field: (speeds in the order of `settings`, height / width) -> generator `(3, 3)`: the velocity of `(x, y, 1)`.
        convert: what a field says -> speed, 0 for no motion.
        about_centre: true where the field is meant around the camera's (wandering) centre.
    """

    settings: Mapping[str, tuple[Any, Any]]
    field: Callable[[Sequence[float], float], Matrix]
    convert: Callable[[float], float] = float
    about_centre: bool = False


def _log_zoom(factor: float) -> float:
    if not factor > 0:
        raise UsageError(f"Camera: zoom is {factor:g}; it is a factor a second and must be above 0.")
    return math.log(factor)


def _zoom(speeds: Sequence[float], _aspect: float) -> Matrix:
    return np.diag([speeds[0], speeds[0], 0.0])


def _rotate(speeds: Sequence[float], _aspect: float) -> Matrix:
    # y points down, so this turns anticlockwise to the eye.
    return np.array([[0, speeds[0], 0], [-speeds[0], 0, 0], [0, 0, 0.0]])


def _pan(speeds: Sequence[float], aspect: float) -> Matrix:
    return np.array([[0, 0, -speeds[0]], [0, 0, -speeds[1] * aspect], [0, 0, 0.0]])


def _turn(speeds: Sequence[float], _aspect: float) -> Matrix:
    """An eye that turns about itself: K R K^-1, differentiated (Hartley and Zisserman, section 8.4.2)."""
    right, down = speeds
    return np.array([[0, 0, -right * _FOCAL], [0, 0, -down * _FOCAL], [right / _FOCAL, down / _FOCAL, 0]])


MOVES: dict[str, Move] = {
    "zoom": Move(
        {"zoom": (Ratio, Field(1.5, description="how fast it comes nearer; below 1 it moves out"))},
        _zoom,
        _log_zoom,
        about_centre=True,
    ),
    "rotate": Move(
        {"rotate": (Turn, Field(0.0, description="above 0 the picture turns anticlockwise"))},
        _rotate,
        math.radians,
        about_centre=True,
    ),
    "pan": Move(
        {
            "pan_x": (Wide, Field(0.0, description="how fast the camera goes to the right")),
            "pan_y": (High, Field(0.0, description="how fast the camera goes down")),
        },
        _pan,
    ),
    "turn": Move(
        {
            "turn_x": (Turn, Field(0.0, description="how fast the camera turns right, in perspective")),
            "turn_y": (Turn, Field(0.0, description="how fast the camera turns down, in perspective")),
        },
        _turn,
        math.radians,
    ),
}
