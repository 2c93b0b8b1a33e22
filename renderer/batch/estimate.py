"""What a batch would take, before it is made: hours, gigabytes, measured with a frame or two of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from renderer.batch.batch_journal import FilmStatus
from renderer.batch.batch_plan import PlannedJob
from renderer.errors import DreamreelError
from renderer.events import Listener, Note, Stage
from renderer.films.film import Film, ZoomFilm
from renderer.films.make import STORE_BYTES_A_PIXEL
from renderer.films.outputs import size_text, span
from renderer.films.plan import FILE_BYTES_A_PIXEL, measure_frame
from renderer.settings.schema import Settings

MOST_MEASURED = 4
"""Films that a frame is measured of; others are estimated from these by their size and steps."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What is left of a batch.

    Attributes:
        films: that are still to be made.
        dreams: that are still to be dreamed, the run-up of loops included.
        seconds: for dreaming them, one after another; None where nothing could be measured.
        bytes: of the finished films, with their frames where those are kept.
        peak: bytes on the disk at most while the largest film is made.
        measured: on how many films the time rests.
    """

    films: int
    dreams: int
    seconds: float | None
    bytes: int
    peak: int
    measured: int

    def text(self) -> str:
        """Write it for people, on a line."""
        if not self.films:
            return "Everything is made."
        time_left = "an unknown time" if self.seconds is None else f"about {span(self.seconds)}"
        how = f" (measured here on {self.measured} of them; one after another, encoding apart)" if self.measured else ""
        room = f"{size_text(self.bytes)} in the end, {size_text(self.peak)} while the largest is made"
        return f"{self.films} films to make, {self.dreams} dreams: {time_left}{how}, {room}."


def estimate(planned: Sequence[PlannedJob], *, listener: Listener) -> Estimate:
    """Estimate what is left to do; nothing is written.

    Args:
        planned: the films of a batch.
        listener: is told what is measured.
    """
    left = [one for one in planned if one.film is not None and one.error is None and one.status.state != "done"]
    films = [(one.film, _dreams(one.film, one.status)) for one in left if one.film is not None]
    known = _measured([film for film, _ in films], listener)
    seconds = [_seconds(film, dreams, known) for film, dreams in films]
    kept = [film.keep_store and film.has_store for film, _ in films]
    stores = [_pixels(film, film.kept.total) * STORE_BYTES_A_PIXEL for film, _ in films]
    total = sum(_pixels(film, film.frames) * FILE_BYTES_A_PIXEL for film, _ in films)
    total += sum(size for size, stays in zip(stores, kept, strict=True) if stays)
    passing = max((size for size, stays in zip(stores, kept, strict=True) if not stays), default=0.0)
    timed = [value for value in seconds if value is not None]
    return Estimate(
        films=len(films),
        dreams=sum(dreams for _, dreams in films),
        seconds=sum(timed) if len(timed) == len(films) else None,
        bytes=int(total),
        peak=int(total + passing),
        measured=len(known),
    )


def _dreams(film: Film, status: FilmStatus) -> int:
    """Count the dreams that are still missing, those of a run-up included, which nobody keeps."""
    loop = None
    if isinstance(film, ZoomFilm) and not status.frames_done:
        loop = film.settings.loop(from_noise=film.picture is None)
    return max(0, status.pictures - status.frames_done) + (0 if loop is None else loop.run_up)


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """What was measured on a film: seconds a frame, how much work that frame is, seconds of loading."""

    kind: type
    network: str
    seconds: float
    work: float
    loading: float


def _measured(films: Sequence[Film], listener: Listener) -> list[_Measured]:
    """Measure a frame of the films that differ most in what a frame takes: each network, kind and size once."""
    groups: dict[tuple[object, ...], tuple[Film, float]] = {}
    for film in films:
        chosen = film.settings
        group = (type(film), chosen.network.name, chosen.film.size, chosen.dream.octaves, chosen.dream.steps)
        first, work = groups.get(group, (film, 0.0))
        groups[group] = (first, work + _work(chosen) * film.kept.total)
    order = sorted(groups.items(), key=lambda item: -item[1][1])
    firsts = {group[:2]: group for group, _ in reversed(order)}.values()
    order.sort(key=lambda item: item[0] not in firsts)  # one of each kind and network before a second of any
    found = []
    for _, (film, _) in order[:MOST_MEASURED]:
        listener(Stage(f"measuring {film.out.name}"))
        try:
            found.append(_measure(film))
        except DreamreelError as error:  # It will fail like this when it is made; the others can still be told.
            listener(Note(f"{film.out.name} cannot be measured: {error}"))
    return found


def _measure(film: Film) -> _Measured:
    began = time.monotonic()
    seconds, loading = measure_frame(film.render_setup({"cuts": []}), began)
    settings = film.settings
    return _Measured(
        kind=type(film), network=settings.network.name, seconds=seconds, work=_work(settings), loading=loading
    )


def _seconds(film: Film, dreams: int, known: Sequence[_Measured]) -> float | None:
    """Scale what was measured on the most similar film."""
    dream, work = film.settings.dream, _work(film.settings)
    alike = [one for one in known if one.network == film.settings.network.name]
    if not alike:
        return None
    best = min(alike, key=lambda one: (one.kind is not type(film), abs(one.work - work)))
    a_dream = best.seconds * work / best.work
    first = a_dream * dream.first_steps / max(1, dream.steps)
    return best.loading + first + a_dream * max(0, dreams - 1)


def _work(settings: Settings) -> float:
    """Say how much work a frame is: pixels on all its scales, once a step."""
    scales = [settings.dream.octave_ratio ** (-2 * octave) for octave in range(settings.dream.octaves)]
    size = settings.film.size
    return size.width * size.height * sum(scales) * max(1, settings.dream.steps)


def _pixels(film: Film, pictures: int) -> int:
    size = film.settings.film.size
    return size.width * size.height * pictures
