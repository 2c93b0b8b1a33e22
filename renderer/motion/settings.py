"""The settings that the camera takes. Nothing here loads TensorFlow or OpenCV."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, create_model

from renderer.motion.moves import MOVES
from renderer.motion.resample import EDGES, KERNELS
from renderer.setting_types import Group, OneOf, Part, Seconds, Spec, Unit, Within

_fields = {name: field for move in MOVES.values() for name, field in move.settings.items()}


class CameraSettings(create_model("_Moves", __base__=Group, **_fields)):  # type: ignore[misc, call-overload]
    """How the camera moves through the dream."""

    centre_x: Annotated[Spec, Within(-10, 10), Unit("frame widths")] = Field(
        0.5, description="point that zoom and rotation keep in place, from the left"
    )
    centre_y: Annotated[Spec, Within(-10, 10), Unit("frame heights")] = Field(0.5, description="the same, from the top")
    wander: Part = Field(0.1, description="how far the centre of the zoom drifts, part of the frame")
    wander_period: Seconds = Field(9.0, ge=0.1, le=3600, description="time that a drift takes")
    resample: Annotated[str, OneOf(KERNELS)] = Field(
        "catmull-rom", description="how a frame is read between its pixels; spline keeps it sharp, frame after frame"
    )
    edges: Annotated[str, OneOf(EDGES)] = Field("mirror", description="what lies beyond the frame's edges")
