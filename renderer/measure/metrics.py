"""Films as numbers: does the tone hold, do colours clip, does the film keep changing?

`measure_film` measures with care, at full size, what is in `METRICS` at the foot: it decodes any film, folder of
pictures or work folder as a stream. `measure_briefly` reads a film once, small, for a few figures. A new metric is a
function (see `measured.Metric`) and an entry there.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from renderer.errors import BadInput, DreamreelError, Interrupted
from renderer.films.first_frame import shrunk
from renderer.films.recipe import Recipe, find_input, parse_recipe
from renderer.films.render_setup import camera_of
from renderer.frame import Size
from renderer.measure import against_source, similarity, tone
from renderer.measure.measured import MeasuredFilm, MeasuredFrame, Metric, measure
from renderer.media.ffmpeg.clips import Clip, open_clip
from renderer.media.ffmpeg.cuts import find_cuts
from renderer.media.recipe import read_recipe

BRIEF_SIDE = 256
"""Longest side of the frames that `measure_briefly` looks at, pixels."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was measured of a film.

    Attributes:
        film: size, rate and number of frames that were really there.
        notes: what should be known, as sentences.
        metrics: name in `METRICS` -> its result, as JSON values.
    """

    film: MeasuredFilm
    notes: tuple[str, ...]
    metrics: Mapping[str, Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "film": str(self.film.path),
            "size": str(self.film.size),
            "rate": str(self.film.rate),
            "frames": self.film.frames,
            "seconds": self.film.seconds,
            "notes": list(self.notes),
            "metrics": {name: dict(result) for name, result in self.metrics.items()},
        }

    def lines(self) -> list[str]:
        """Write everything for people."""
        film = self.film
        what = f"{film.size}, {float(film.rate):g} fps, {film.frames} frames, {film.seconds:.3g} s"
        found = [line for name, result in self.metrics.items() for line in METRICS[name].text(result)]
        return [f"{film.path}  {what}", *found]


def measure_film(
    path: Path,
    *,
    source: Path | None = None,
    alone: int = 0,
    names: Iterable[str] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Report:
    """Measure a film, frame by frame.

    Args:
        path: a film, an animated picture, a folder of pictures or a work folder.
        source: the video that it was made from; None leaves out what compares them.
        alone: how many frames of the source are dreamed alone, to compare the film with; needs its network.
        names: which of `METRICS`; None for all.
        progress: told how many frames of how many are done.

    Raises:
        BadInput: it cannot be read, or holds no frames.
        EnvironmentProblem: no usable ffmpeg.
    """
    clip = open_clip(path)
    recipe = _recipe(path, clip.meta)
    film, shown, original = replace(_describe(clip, recipe), alone=alone), clip, None
    if source is not None:
        film, original = _with_source(film, source, recipe)
    chosen = {name: METRICS[name] for name in (METRICS if names is None else names)}
    functions = {name: metric.measure for name, metric in chosen.items() if original or not metric.needs_source}
    count = 0

    def told(done: int) -> None:
        nonlocal count
        count = done
        progress(done, clip.count)

    found = measure(functions, film, _frames(shown, original, size=film.size, progress=told))
    damage = f"{path} is damaged: {count} of its {clip.count} frames could be decoded."
    return Report(film=replace(film, frames=count), notes=(damage,) if count < clip.count else (), metrics=found)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A few figures of a film; None where that cannot be known.

    Attributes:
        drift: how far its tone strays from its usual one once it has settled, as a share of it; the tone of a video is
            taken against that of its source.
        drifting: which measure of tone strays that far: "luma", "contrast", "saturation" or "sharpness".
        unrest: how far a pixel differs from the one that the motion brings there in the next frame: root mean square,
            levels of 255. 0 is a film in which nothing changes but by the motion.
        source_unrest: the same of the video that it was dreamed over.
    """

    drift: float | None = None
    drifting: str = ""
    unrest: float | None = None
    source_unrest: float | None = None


def measure_briefly(
    path: Path, recipe: Recipe, *, source: Path | None = None, should_stop: Callable[[], bool] = lambda: False
) -> Figures:
    """Measure a zoom or a video at a small size.

    Args:
        path: the film.
        recipe: that it was made by.
        source: the video that it was dreamed over; left out if its content is another by now.
        should_stop: asked after each frame.

    Raises:
        BadInput: it cannot be read.
        Interrupted: it was stopped.
    """
    clip = open_clip(path)
    film, original = _describe(clip, recipe), None
    beside = film.size != clip.size
    film = replace(film, size=shrunk(film.size, BRIEF_SIDE))
    if recipe.kind == "video" and source is not None:
        with contextlib.suppress(DreamreelError):
            find_input(source, recorded=source, sha256=recipe.hashes.get("clip"), film=path, what="clip")
            film, original = _with_source(film, source, recipe)
    shown = clip.scaled(Size(2 * film.size.width, film.size.height) if beside else film.size)

    def told(_done: int) -> None:
        if should_stop():
            raise Interrupted("Stopped while measuring.")

    functions = {"tone": tone.drift, "motion": similarity.unrest}
    found = measure(functions, film, _frames(shown, original, size=film.size, progress=told))
    # What happens in a video is no drift: without its source nothing can be said.
    drift = {} if recipe.kind == "video" and original is None else found["tone"]
    return Figures(**drift, **found["motion"])


def _recipe(path: Path, meta: Mapping[str, Any]) -> Recipe | None:
    """Read the recipe that a film was made by; None where it does not say."""
    try:
        return parse_recipe(meta or read_recipe(path), source=path)
    except DreamreelError:
        return None


def _describe(clip: Clip, recipe: Recipe | None) -> MeasuredFilm:
    """Say what is known of a film without its source."""
    size, rate, camera = clip.size, clip.rate, None
    if recipe is not None and recipe.kind in ("zoom", "video"):
        # Exact, where the times in a GIF are rounded and a folder has none; but a GIF of many frames is thinned out.
        # What lies in a work folder may be dreams.
        thinned = clip.path.suffix.lower() == ".gif" and recipe.settings.frame_count != clip.count
        rate = rate if thinned or clip.meta else recipe.settings.rate
        # Beside its source, a dream fills the right half, though not in its work folder.
        if recipe.kind == "video" and recipe.settings.encode.compare and not clip.meta:
            size = Size(size.width // 2, size.height)
        if recipe.kind == "zoom":
            with contextlib.suppress(DreamreelError):
                camera = camera_of(recipe.settings)
    return MeasuredFilm(size=size, rate=rate, frames=clip.count, camera=camera, path=clip.path)


def _with_source(film: MeasuredFilm, source: Path, recipe: Recipe | None) -> tuple[MeasuredFilm, Clip]:
    """Open the frames of the source that a film shows, and say what is known of both."""
    recipe = recipe if recipe is not None and recipe.kind == "video" else None
    part = recipe.settings.video if recipe else None
    start, end = (part.start or None, part.end) if part else (None, None)
    clip = open_clip(source, start=start, end=end, rate=film.rate, size=film.size)
    cuts = recipe.facts["cuts"] if recipe and "cuts" in recipe.facts else find_cuts(clip)
    film = replace(
        film,
        source=source,
        starts_at=clip.start,
        is_part=end is not None or film.frames < clip.count,
        cuts=frozenset(cuts),
        settings=recipe.settings if recipe else None,
    )
    return film, clip


def _frames(
    clip: Clip, source: Clip | None, *, size: Size, progress: Callable[[int], None]
) -> Generator[MeasuredFrame, None, None]:
    """Read the frames of a film and its source together, as long as both have any.

    Args:
        clip: the film; of each frame, the part of this size at the right is measured.
        source: the video that it was made from; None for none.
        size: pixels.
        progress: told how many frames are measured.

    Raises:
        BadInput: they cannot be read, or there is none.
    """
    shown = itertools.repeat(None) if source is None else source.pixels()
    index = -1
    for index, (pixels, behind) in enumerate(zip(clip.pixels(), shown, strict=False)):
        yield MeasuredFrame(index, np.ascontiguousarray(pixels[:, -size.width :]), source=behind)
        progress(index + 1)
    if index < 0:
        raise BadInput(f"{clip.path} holds no frames.")


METRICS: dict[str, Metric] = {
    "tone": Metric(measure=tone.tone, text=tone.tone_text, title="tone, medians of seconds", plot=tone.tone_plot),
    "clipped": Metric(measure=tone.clipped, text=tone.clipped_text),
    "hue_change": Metric(measure=tone.hue_change, text=tone.hue_change_text),
    "self_similarity": Metric(
        measure=similarity.self_similarity,
        text=similarity.self_similarity_text,
        title="similarity to itself some seconds before",
        plot=similarity.self_similarity_plot,
    ),
    "steadiness": Metric(
        measure=against_source.steadiness,
        text=against_source.steadiness_text,
        needs_source=True,
        title="warping error, one frame apart",
        plot=against_source.steadiness_plot,
    ),
    "flicker": Metric(
        measure=against_source.flicker,
        text=against_source.flicker_text,
        needs_source=True,
        title="mean luma",
        plot=against_source.flicker_plot,
    ),
    "crispness": Metric(
        measure=against_source.crispness,
        text=against_source.crispness_text,
        needs_source=True,
        title="sharpness",
        plot=against_source.crispness_plot,
    ),
    "alone": Metric(measure=against_source.alone, text=against_source.alone_text, needs_source=True),
    "lip_sync": Metric(measure=against_source.lip_sync, text=against_source.lip_sync_text, needs_source=True),
}
"""Name, as in JSON -> the metric; in the order in which they are printed."""
