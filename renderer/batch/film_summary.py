"""What the page of a batch shows of a finished film: a still, a few figures, its recipe. Found out once, and kept."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import pydantic

from renderer.batch.batch_journal import FilmStatus
from renderer.errors import BadInput, UsageError
from renderer.files import is_own_folder, read_own
from renderer.films.recipe import Recipe, parse_recipe
from renderer.frame import Pixels, Size, to_8bit
from renderer.measure.metrics import Figures, measure_briefly
from renderer.media.ffmpeg.clips import open_clip
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
