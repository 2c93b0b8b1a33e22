"""What a command will do, before it does it: frames, octaves, memory, disk, and the time that it takes here."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from renderer import runtime
from renderer.errors import shown
from renderer.events import Listener, Note, Stage
from renderer.films.film import Film
from renderer.films.make import STORE_BYTES_A_PIXEL, check
from renderer.films.outputs import size_text, span
from renderer.films.recipe import hashes_of
from renderer.films.render_setup import RenderSetup
from renderer.frame import Size
from renderer.media.files import free_bytes
from renderer.settings.schema import Kept

FILE_BYTES_A_PIXEL = 0.25
"""What a pixel takes in a finished mp4 or webm, bytes, roughly; pictures and gif take more."""


@dataclass(frozen=True, kw_only=True)
class PreviewPlan:
    """What making the preview of a film would take: its size, what is dreamed for it, and seconds for all of it."""

    size: Size
    kept: Kept
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What making a film would take.

    Attributes:
        kind: of film, in `KINDS`.
        inputs: what it is made from: by what it is to the film, path and sha256.
        frames, size, rate: of the film.
        kept: pictures that are dreamed for it: its frames, or its dreams, of which there may be fewer.
        octaves: sizes of its pyramid, coarse to fine.
        network: name and what it computes in.
        device: processor or GPU, and threads.
        memory: most bytes held while measuring; making the film takes about as much.
        disk: bytes that the work and the film take, about.
        disk_free: bytes free where the work would lie.
        frame_seconds: measured for a frame, or a dream.
        seconds: for the whole command, loading included, encoding not.
        preview: of the film; None where none was asked for.
    """

    kind: str
    inputs: Mapping[str, tuple[Path, str]]
    frames: int
    kept: Kept
    size: Size
    rate: Fraction
    octaves: tuple[Size, ...]
    network: str
    device: str
    memory: int
    disk: int
    disk_free: int
    frame_seconds: float
    seconds: float
    preview: PreviewPlan | None = None

    def text(self) -> str:
        """Write the plan for people."""
        length = f"{self.frames} frames, {self.size}, {self.rate} a second, {float(self.frames / self.rate):.4g} s"
        memory = f"{size_text(self.memory)}" if self.memory else "unknown"
        available = runtime.memory_available()
        free = f" ({size_text(available)} are free)" if available else ""
        made_from = ", ".join(f"{name} {shown(str(path))}" for name, (path, _) in self.inputs.items())
        what = "frame" if self.kept.rate == self.rate else "dream"
        rows = {
            **({"from": made_from} if made_from else {}),
            **({"picture": str(self.size)} if self.kind == "still" else {"film": length}),
            **({"dreams": f"{self.kept.total}, {self.kept.rate} a second"} if what == "dream" else {}),
            "octaves": ", ".join(map(str, self.octaves)),
            "network": self.network,
            "device": self.device,
            "memory": f"{memory}{free}",
            "disk": f"{size_text(self.disk)} while it is made ({size_text(self.disk_free)} are free)",
            "time": f"about {span(self.seconds)} ({self.frame_seconds:.3g} s a {what}, measured here)",
        }
        if (small := self.preview) is not None:
            rows["preview"] = f"about {span(small.seconds)} with --preview ({small.size}, {small.kept.total} {what}s)"
        return "\n".join(f"{name + ':':<9}{value}" for name, value in rows.items())

    def values(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "inputs": {name: {"path": str(path), "sha256": sha256} for name, (path, sha256) in self.inputs.items()},
            "frames": self.frames,
            "dreams": self.kept.total,
            "size": str(self.size),
            "fps": str(self.rate),
            "octaves": list(map(str, self.octaves)),
            "network": self.network,
            "device": self.device,
            "memory": self.memory,
            "disk": self.disk,
            "disk_free": self.disk_free,
            "frame_seconds": round(self.frame_seconds, 4),
            "seconds": round(self.seconds, 1),
            "preview_seconds": None if self.preview is None else round(self.preview.seconds, 1),
        }


def make_plan(film: Film, *, preview: Film | None = None, listener: Listener) -> Plan:
    """Say what a film would take, measured by dreaming a frame of it here; nothing is written.

    Args:
        film: to be made.
        preview: of it, which is measured too; None for none.
        listener: is told what is done.

    Raises:
        DreamreelError: as making the film would.
    """
    from renderer.render.detail import detail_sizes

    began = time.monotonic()
    check(film)
    for note in film.warnings():
        listener(Note(note))
    settings, hashes = film.settings, hashes_of(film.inputs)
    facts = film.facts({}, listener)
    listener(Stage("loading TensorFlow and the network"))
    setup = film.render_setup(facts)
    listener(Stage("measuring"))
    frame_seconds, loading = measure_frame(setup, began)
    size, frames, kept = settings.film.size, film.frames, film.kept
    pixels = size.width * size.height
    disk = 3 * pixels  # of a picture
    if film.has_store:
        disk = int(pixels * (kept.total * STORE_BYTES_A_PIXEL + frames * FILE_BYTES_A_PIXEL)) + 72 * pixels
    octaves = setup.dreamer.pyramid.sizes(settings.dreamed_at(film.kind), smallest=setup.dreamer.smallest)
    if setup.detail is not None:
        octaves += detail_sizes(size, settings.dream_size)
    environment = runtime.environment()
    return Plan(
        kind=film.kind,
        inputs={name: (path, hashes[name]) for name, path in film.inputs.items()},
        frames=frames,
        kept=kept,
        size=size,
        rate=film.showing.rate,
        octaves=tuple(octaves),
        network=f"{setup.network.name}, {setup.network.precision}",
        device=f"{environment['device']}, {environment['threads']} threads",
        memory=runtime.peak_memory(),
        disk=disk,
        disk_free=free_bytes(next(p for p in (film.folder, *film.folder.absolute().parents) if p.is_dir())),
        frame_seconds=_first(film, frame_seconds) if kept.total == 1 else frame_seconds,
        seconds=loading + _dreaming(film, setup, frame_seconds),
        preview=None if preview is None else _preview(preview, facts, loading=loading),
    )


def _first(film: Film, frame_seconds: float) -> float:
    """Return the seconds of a first frame, given those of any other."""
    dream = film.settings.dream
    between = film.settings.frames_a_dream(film.kind)
    return frame_seconds * between * dream.first_steps / max(1, dream.steps)


def _dreaming(film: Film, setup: RenderSetup, frame_seconds: float) -> float:
    """Return the seconds of all frames, or dreams, of a film."""
    run_up = setup.scene.loop.run_up if setup.scene.loop else 0
    return _first(film, frame_seconds) + frame_seconds * (film.kept.total - 1 + run_up)


def _preview(film: Film, facts: Mapping[str, Any], *, loading: float) -> PreviewPlan:
    """Measure a preview, given the seconds that loading takes."""
    setup = film.render_setup(facts)
    frame_seconds, _ = measure_frame(setup, time.monotonic())
    seconds = loading + _dreaming(film, setup, frame_seconds)
    return PreviewPlan(size=film.settings.film.size, kept=film.kept, seconds=seconds)


def measure_frame(setup: RenderSetup, began: float) -> tuple[float, float]:
    """Dream a frame three times, the first to warm up; return seconds a frame, and seconds from `began` until then."""
    from renderer.dreaming.governor import measure

    first = setup.scene.canvas(0, None)
    assert first is not None
    tone, dream = measure(first.picture), setup.scene.finish(first.picture)

    index = 1

    def once() -> int:
        """Dream the next frame that is dreamed, and return how many frames it stands for."""
        nonlocal dream, index
        canvas = setup.scene.canvas(index, dream)
        if canvas is None:
            return 1
        at = index + canvas.passed
        found, _ = setup.dreamer(canvas.picture, frame=at, seconds=0.0, full=canvas.full, where=canvas.where)
        before, dream = dream, setup.scene.finish(setup.governor(found, tone, frame=at))
        for _ in setup.scene.between(before, dream):
            pass
        if setup.detail is not None:
            setup.detail(canvas.picture, dream, index=at, number=at, seconds=0.0)
        index = at + 1
        return canvas.passed + 1

    with contextlib.closing(setup):
        once()
        loading = time.monotonic() - began
        seconds = min(_timed(once) for _ in range(2))
    return seconds, max(0.0, loading - seconds)


def _timed(run: Callable[[], int]) -> float:
    """Return the seconds that each frame takes of those that a call makes."""
    began = time.monotonic()
    frames = run()
    return (time.monotonic() - began) / frames
