"""What a machine has, and whether it is enough to make films."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from renderer import __version__, runtime
from renderer.dreaming.networks.download import cache_folder
from renderer.errors import DreamreelError
from renderer.films.outputs import size_text
from renderer.media.files import free_bytes
from renderer.settings.presets import preset_files, user_folder


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what, whether it will do, and what was found."""

    name: str
    good: bool
    text: str


def examine() -> list[Finding]:
    """Look at everything that a film needs; what is broken becomes a finding, never an error."""
    return [_look(name, look) for name, look in CHECKS.items()]


def _look(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except (DreamreelError, ImportError, OSError, RuntimeError) as error:
        return Finding(name, False, str(error) or type(error).__name__)


def _dreamreel() -> str:
    return f"{__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"


def _libraries() -> str:
    names = ("tensorflow", "keras", "numpy", "opencv-python", "opencv-python-headless", "imageio-ffmpeg", "pydantic")
    return ", ".join(f"{name} {version}" for name, version in runtime.versions(names).items())


def _opencv() -> str:
    import cv2

    return f"{cv2.__version__} loads"


def _device() -> str:
    runtime.prepare()
    found = runtime.environment()
    from renderer.dreaming.networks.network import best_precision

    return f"{found['device']}, {found['threads']} threads, {best_precision()}"


def _memory() -> str:
    available = runtime.memory_available()
    return f"{size_text(available)} free" if available else "unknown on this system"


def _disk() -> str:
    return f"{size_text(free_bytes(Path()))} free here"


def _ffmpeg() -> str:
    from renderer.media.ffmpeg.pipes import ffmpeg_exe

    return ffmpeg_exe()


def _codecs() -> str:
    from renderer.media.ffmpeg.encode import codecs_here

    found = codecs_here()
    missing = [name for name, here in found.items() if not here]
    return ", ".join(name for name, here in found.items() if here) + (
        f"; missing: {', '.join(missing)}" if missing else ""
    )


def _network() -> str:
    runtime.prepare()
    from renderer.dreaming.networks.network import load_network

    network = load_network("dreamnet")
    return f"dreamnet, {network.model.count_params() / 1e6:.2f} million weights, sha256 {network.weights_sha256[:16]}"


def _weights_cache() -> str:
    folder = cache_folder()
    files = sorted(folder.glob("*.h5")) if folder.is_dir() else []
    return f"{folder}: {len(files)} weights files" if files else f"{folder}: empty; dreamnet needs none"


def _presets() -> str:
    return f"{len(preset_files())}; your own go to {user_folder()}"


CHECKS: dict[str, Callable[[], str]] = {
    "dreamreel": _dreamreel,
    "libraries": _libraries,
    "opencv": _opencv,
    "device": _device,
    "memory": _memory,
    "disk": _disk,
    "ffmpeg": _ffmpeg,
    "codecs": _codecs,
    "bundled network": _network,
    "weights cache": _weights_cache,
    "presets": _presets,
}
"""What is looked at, in this order."""
