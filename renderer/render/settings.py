"""The settings that say how a frame of a video gets the dream of the one before. Nothing here loads TensorFlow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from renderer.setting_types import Group, Part, Spec, Unit, Within


class CarrySettings(Group):
    """How a frame of a video gets the dream of the frame before it."""

    mode: Literal["flow", "none", "blend", "blend-loop", "blend-random"] = Field(
        "flow", description="moved as the film moves, not at all, or mixed with the frame"
    )
    half_life: Annotated[Spec, Within(0.01, 3600), Unit("seconds")] = Field(
        1.0, description="time in which half of a carried dream fades, were it not dreamed anew"
    )
    level: Annotated[Spec, Within(0, 10)] = Field(
        1.0, description="strength that the carried dream is held to, part of a full one's; 0: not held"
    )
    blend: Part = Field(0.5, description="share of the frame in a blend")
    flow: Literal["rough", "fine", "finer", "judge"] = Field(
        "fine", description="how finely motion is found; judge is what steadiness is measured with"
    )
