"""What the page of a batch shows of a finished film: a still, a few figures, its recipe. Found out once, and kept."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import numpy as np
import pydantic

from renderer.batch.batch_journal import FilmStatus
from renderer.batch.status import BatchState
from renderer.errors import BadInput, UsageError
from renderer.files import is_own_folder, read_own
from renderer.films.outputs import size_text, span
from renderer.films.recipe import Recipe, parse_recipe
from renderer.frame import Pixels, Size, to_8bit
from renderer.measure.metrics import Figures, measure_briefly
from renderer.media.ffmpeg.clips import open_clip
from renderer.media.ffmpeg.formats import FORMATS
from renderer.media.files import replacing, writing
from renderer.media.frame_sequence import fitted
from renderer.media.images import read_image, to_jpeg
from renderer.media.recipe import read_recipe
from renderer.media.store.work_folder import lock_of
from renderer.records import Text, read_json
from renderer.settings.document import to_value
from renderer.settings.kinds import KINDS
from renderer.settings.schema import build, flatten

LONGEST_SIDE = 448
"""Of a still, pixels."""

QUALITY = 74
"""Of a still. At this size and quality a dream takes about 30 KB."""

FOLDER = "page"
"""Where all this is kept, in the folder of the batch."""

LOCK = "page.lock"
"""Held, in the folder of the batch, by whoever writes the page or what belongs to it: a batch at work and `status`."""

_VERSION = 2
_LARGEST = 4 << 20  # Bytes of what is kept of a film.


@dataclass(frozen=True, kw_only=True)
class FilmSummary:
    """What is shown of a film.

    Attributes:
        still: its middle frame as a JPEG in base64; "" if it cannot be read.
        figures: what was measured.
        settings: those that are not the defaults of its kind, as lines of TOML.
        made_by: Dreamreel's version and the device.
        trouble: why something is missing, in a sentence.
    """

    still: Annotated[str, pydantic.StringConstraints(pattern=r"\A[A-Za-z0-9+/]*=*\z")] = ""
    figures: Figures = field(default_factory=Figures)
    settings: Text = ""
    made_by: Text = ""
    trouble: Text = ""


_SUMMARY = pydantic.TypeAdapter(FilmSummary)


def show(status: FilmStatus, folder: Path, *, should_stop: Callable[[], bool] = lambda: False) -> FilmSummary:
    """Find out what is to be shown of a finished film, unless that is known.

    Args:
        status: the film.
        folder: of its batch; what is found is kept there.
        should_stop: asked while it is read.

    Raises:
        DiskProblem: it cannot be kept.
        Interrupted: it was stopped.
    """
    if (kept := known(status, folder)) is not None:
        return kept
    assert status.out is not None
    found = _look_at(status, status.out, should_stop)
    path = _place(status, folder)
    with writing(path):
        path.parent.mkdir(exist_ok=True)
    if not is_own_folder(path.parent):
        raise BadInput(f"{path.parent} is a link, and what a page shows is only kept in a folder itself; remove it.")
    with turn(folder), replacing(path, overwrite=True) as part, writing(path):
        part.write_text(json.dumps({"version": _VERSION, **asdict(found)}), encoding="utf-8")
    return found


@contextlib.contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Wait until no other process writes the page of a batch: all of them take the same way there.

    Raises:
        BadInput: what is there under its name is not a lock.
        DiskProblem: there can be no lock.
    """
    with writing(folder / LOCK):
        lock = lock_of(folder, LOCK)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def known(status: FilmStatus, folder: Path) -> FilmSummary | None:
    """Return what was found out about a finished film; None if nothing was."""
    if status.state != "done" or not status.sha256:
        return None
    try:
        held = read_json(read_own(_place(status, folder), expected="what a page shows", limit=_LARGEST), limit=_LARGEST)
        return _SUMMARY.validate_python(held) if held["version"] == _VERSION else None
    except (OSError, BadInput, ValueError, KeyError, TypeError):
        return None


def forget_others(films: Iterable[FilmStatus], folder: Path) -> None:
    """Remove what is kept of films that are no longer there."""
    if not is_own_folder(folder / FOLDER):
        return
    wanted = {_place(status, folder).name for status in films if status.sha256}
    with contextlib.suppress(OSError):
        for path in (folder / FOLDER).glob("*.json"):
            if path.name not in wanted:
                path.unlink(missing_ok=True)


def _place(status: FilmStatus, folder: Path) -> Path:
    # Films of the same bytes may be dreamed over different sources.
    key = hashlib.sha256(f"{status.sha256}\0{status.source}".encode("utf-8", "surrogateescape")).hexdigest()
    return folder / FOLDER / f"{key[:32]}.json"


def _look_at(status: FilmStatus, out: Path, should_stop: Callable[[], bool]) -> FilmSummary:
    still, settings, made_by, figures, trouble = "", "", "", Figures(), ""
    try:
        recipe = parse_recipe(read_recipe(out), source=out)
        settings, made_by = _written(recipe), _maker(recipe)
        still = base64.b64encode(to_jpeg(middle(out, still=status.kind == "still"), quality=QUALITY)).decode("ascii")
        if status.kind != "still":
            source = Path(status.source) if status.source else None
            figures = measure_briefly(out, recipe, source=source, should_stop=should_stop)
    except (BadInput, UsageError) as error:
        trouble = str(error)
    return FilmSummary(still=still, figures=figures, settings=settings, made_by=made_by, trouble=trouble)


def middle(path: Path, *, still: bool = False) -> Pixels:
    """Return the frame in the middle of a film, or a single picture, at most `LONGEST_SIDE` long.

    Args:
        path: what Dreamreel made.
        still: whether it is a single picture.

    Returns:
        uint8 `(H, W, 3)`.

    Raises:
        BadInput: it cannot be read.
    """
    if still:
        frame = read_image(path)
        return to_8bit(fitted(frame, _small(Size.of(frame))))
    clip = open_clip(path)
    clip = clip.scaled(_small(clip.size))
    for start in (clip.count // 2, 0):  # One that ends too early still has a beginning.
        if (pixels := next(clip.pixels(start), None)) is not None:
            return np.ascontiguousarray(pixels)
    raise BadInput(f"{path} holds no frames.")


def _small(size: Size) -> Size:
    share = min(1.0, LONGEST_SIDE / max(size))
    return Size(max(1, round(size.width * share)), max(1, round(size.height * share)))


def _written(recipe: Recipe) -> str:
    usual = flatten(build(KINDS[recipe.kind].defaults))
    chosen = {name: value for name, value in flatten(recipe.settings).items() if value != usual.get(name)}
    return "\n".join(f"{name} = {to_value(value)}" for name, value in chosen.items() if value is not None)


def _maker(recipe: Recipe) -> str:
    told = [f"Dreamreel {recipe.environment['dreamreel']}"] if "dreamreel" in recipe.environment else []
    return ", ".join([*told, *filter(None, [str(recipe.environment.get("device", ""))])])


# --- its card on the page --------------------------------------------------------------------------------------------


PLAYED = {suffix for kind in ("mp4", "webm") for suffix in FORMATS[kind].suffixes}
"""Endings of films that browsers play."""

ANIMATED = {suffix for kind in ("gif", "webp", "apng") for suffix in FORMATS[kind].suffixes}
"""Endings of films that browsers show as pictures."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """A film on the page.

    Attributes:
        status: what the journal tells of it.
        seen: what was found out about it.
        href: of its file; "" where there is none.
        way: how it is shown: "video", "animation", "link" or "none".
        numbers: what it can be sorted by, as texts; "" for what is not known.
        facts: what it is, in a few words each: first what was asked for, then what came of it.
        figures: name, value and what to add to it of each.
        origin: where it is and what it comes from, name and value of each.
        text: everything that a search looks at, in lower case.
    """

    status: FilmStatus
    seen: FilmSummary
    href: str
    way: str
    numbers: dict[str, str]
    facts: tuple[tuple[str, ...], tuple[str, ...]]
    figures: tuple[tuple[str, str, str], ...]
    origin: tuple[tuple[str, str], ...]
    text: str


def card_of(status: FilmStatus, state: BatchState, place: int) -> Card:
    """Put a film of a batch on a card; `place` is its number in the jobs file, from 0."""
    seen = known(status, state.folder) or FilmSummary()
    numbers = {
        "order": place,
        "took": status.took,
        "speed": status.speed,
        "strength": status.strength,
        "drift": seen.figures.drift,
        "unrest": seen.figures.unrest,
        "seconds": status.seconds if status.fps else None,
        "bytes": status.bytes,
    }
    there = status.state == "done" and status.out is not None
    asked, came = tuple(_asked(status)), tuple(_came(status))
    origin = tuple(_origin(status, seen, state.base))
    words = (status.name, *asked, *came, *(value for _, value in origin), status.error)
    return Card(
        status=status,
        seen=seen,
        href=_href(status.out, state.base) if there and status.out is not None else "",
        way=_way(status) if there else "none",
        numbers={name: "" if value is None else f"{value:.6g}" for name, value in numbers.items()},
        facts=(asked, came),
        figures=tuple(_figures(status, seen)),
        origin=origin,
        text=" ".join(words).lower(),
    )


def _way(status: FilmStatus) -> str:
    assert status.out is not None
    suffix = status.out.suffix.lower()
    if status.kind != "still" and not status.out.is_dir():
        if suffix in PLAYED:
            return "video"
        if suffix in ANIMATED:
            return "animation"
    return "link"


def _href(path: Path, base: Path) -> str:
    """Return the address of a file from the page's folder, percent-encoded byte by byte."""
    try:
        way = Path(os.path.relpath(path, base))
    except ValueError:  # On another drive there is no way from here.
        return path.absolute().as_uri()
    # With "./" before it, a colon in a name does not make it another protocol.
    return "./" + "/".join(quote(os.fsencode(part), safe="") for part in way.parts)


def _asked(status: FilmStatus) -> Iterator[str]:
    yield status.kind
    if status.preset:
        yield status.preset
    if status.seed is not None:
        yield f"seed {status.seed}"


def _came(status: FilmStatus) -> Iterator[str]:
    if status.size:
        yield status.size.replace("x", " × ")
    if status.fps:
        yield span(status.seconds) if status.seconds >= 59.5 else f"{status.seconds:.3g} s"
        yield f"{float(Fraction(status.fps)):.4g} fps"
    if status.bytes is not None:
        yield size_text(status.bytes)


def _figures(status: FilmStatus, seen: FilmSummary) -> Iterator[tuple[str, str, str]]:
    figures = seen.figures
    if status.took:
        yield "Made in", span(status.took), ""
    if status.speed and status.kind != "still":
        yield f"{status.what.capitalize()}/s", f"{status.speed:.3g}", ""
    if status.strength is not None:
        yield "Activation", f"{status.strength:.3g}", ""
    if figures.drift is not None:
        yield "Drift", f"{figures.drift:.0%}", figures.drifting
    if figures.unrest is not None:
        source = "" if figures.source_unrest is None else f"source {figures.source_unrest:.2g}"
        yield "Steadiness", f"± {figures.unrest:.2g}", source


def _origin(status: FilmStatus, seen: FilmSummary, base: Path) -> Iterator[tuple[str, str]]:
    told = (
        ("File", _named(status.out, base)),
        (
            "Begun with" if status.kind == "zoom" else "Dreamed over",
            _named(Path(status.source), base) if status.source else "noise",
        ),
        ("Network", status.network),
        ("Made by", seen.made_by),
        ("SHA-256", status.sha256),
    )
    yield from ((name, value) for name, value in told if value)


def _named(path: Path | None, base: Path) -> str:
    """Name a file by its way from the page, where it lies in the same folder."""
    if path is None:
        return ""
    return str(path.relative_to(base) if path.is_relative_to(base) else path)
