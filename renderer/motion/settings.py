"""The settings that the camera takes. Nothing here loads TensorFlow or OpenCV."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from renderer.motion.resample import EDGES
from renderer.setting_types import Group, OneOf, Part, Seconds, Spec, Unit, Within

Ratio = Annotated[Spec, Within(0.001, 1000), Unit("factor a second")]
Turn = Annotated[Spec, Within(-36_000, 36_000), Unit("degrees a second")]
Wide = Annotated[Spec, Within(-1000, 1000), Unit("frame widths a second")]
High = Annotated[Spec, Within(-1000, 1000), Unit("frame heights a second")]


class CameraSettings(Group):
    """How the camera moves through the dream."""

    zoom: Ratio = Field(1.5, description="how fast it comes nearer; below 1 it moves out")
    rotate: Turn = Field(0.0, description="above 0 the picture turns anticlockwise")
    pan_x: Wide = Field(0.0, description="how fast the camera goes to the right")
    pan_y: High = Field(0.0, description="how fast the camera goes down")
    turn_x: Turn = Field(0.0, description="how fast the camera turns right, in perspective")
    turn_y: Turn = Field(0.0, description="how fast the camera turns down, in perspective")
    centre_x: Annotated[Spec, Within(-10, 10), Unit("frame widths")] = Field(
        0.5, description="point that zoom and rotation keep in place, from the left"
    )
    centre_y: Annotated[Spec, Within(-10, 10), Unit("frame heights")] = Field(0.5, description="the same, from the top")
    wander: Part = Field(0.1, description="how far the centre of the zoom drifts, part of the frame")
    wander_period: Seconds = Field(9.0, ge=0.1, le=3600, description="time that a drift takes")
    edges: Annotated[str, OneOf(EDGES)] = Field("mirror", description="what lies beyond the frame's edges")
