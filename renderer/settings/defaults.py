"""Where a kind of film begins from other values than the settings' own defaults. Nothing is imported here."""

from __future__ import annotations

from typing import Any

ZOOM: dict[str, Any] = {
    # Every frame is dreamed on the last one: with larger steps everything ends in ribs.
    "dream.step_size": 0.008,
}
"""Of `dreamreel zoom`."""

VIDEO: dict[str, Any] = {
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
}
"""Of `dreamreel video`."""


def of_command(command: str) -> dict[str, Any]:
    """Return where a command begins from other values: "zoom", "video" or "still"."""
    return {"zoom": ZOOM, "video": VIDEO}.get(command, {})
