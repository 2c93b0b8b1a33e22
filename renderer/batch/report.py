"""The page that shows a batch: `report.html` beside its films, whole in itself but for the films it plays.

Stills are inside the page, so that it still shows everything when it is sent away alone; films are named from where the
page lies, so that all of it may be moved together.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import html
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jinja2
from markupsafe import Markup

import renderer
from renderer.batch import film_summary
from renderer.batch.batch_journal import FilmStatus
from renderer.batch.film_summary import card_of
from renderer.batch.status import BatchState, read_state
from renderer.errors import BadInput, DreamreelError, Interrupted, UsageError, bug, shown
from renderer.files import open_own
from renderer.films.outputs import size_text, span
from renderer.frame import Size
from renderer.media.files import replacing, writing

NAME = "report.html"
"""Of the page, where no other file has it."""

PAGE = Path(__file__).parent / "page"
"""The page's own files: its frame, its looks, what it does."""

FIRST_SCREEN = 6
"""Films whose first bytes are read at once; those of the others when they come into view."""

PATIENCE = 20
"""The page is written again when this many times as long has passed as writing it took."""

SECTIONS = (
    ("failed", "Failed", ("failed",)),
    ("made", "Films", ("done",)),
    ("left", "Still to make", ("running", "stopped", "waiting")),
)
"""Parts of the page, top to bottom: identity, heading, states."""


class BatchReport:
    """Keeps the page of a batch up to date while its films are made. A context manager; at its end it writes the page.

    Whatever goes wrong with the page is told and stops nothing: the films are what matters.

    Args:
        folder: of the batch, with its journal.
        tell: is told what went wrong.
        should_stop: True leaves out what takes time.
    """

    def __init__(
        self, folder: Path, *, tell: Callable[[str], None], should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        self.path: Path | None = None
        self._folder, self._tell, self._should_stop = folder, tell, should_stop
        self._due = 0.0
        self._trouble = ""

    def film(self, status: FilmStatus) -> None:
        """Look at a film that has ended, and bring the page up to date unless that was done just now."""
        with self._telling():
            if status.state == "done" and not self._should_stop():
                film_summary.show(status, self._folder, should_stop=self._should_stop)
        if time.monotonic() >= self._due:
            self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._write()

    def _write(self) -> None:
        with self._telling():
            began = time.monotonic()
            self.path = write_report(read_state(self._folder))
            ended = time.monotonic()
            self._due = ended + PATIENCE * (ended - began)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except Interrupted:
            pass
        except Exception as error:
            known = error if isinstance(error, DreamreelError) else bug(error)
            if self._trouble != str(known):  # Once is enough.
                self._trouble = str(known)
                self._tell(f"The page of the batch is not up to date: {known}")


def write_report(state: BatchState, *, now: datetime | None = None) -> Path:
    """Write the page of a batch, with what is known of its films.

    Args:
        state: how it stands.
        now: what the page gives as its time; None for the present.

    Returns:
        Where the page is.

    Raises:
        UsageError: other files have its names.
        DiskProblem: it cannot be written.
    """
    path = report_path(state)
    text = render_report(state, now=now)
    with film_summary.turn(state.folder), replacing(path, overwrite=True) as part, writing(path):
        part.write_text(text, encoding="utf-8", errors="replace", newline="\n")  # A name may be no text at all.
    if not state.running:
        film_summary.forget_others(state.films, state.folder)
    return path


def report_path(state: BatchState) -> Path:
    """Choose the page's name: `report.html`, or `report-JOBS.html` where that is another batch's or somebody's own.

    Raises:
        UsageError: both are.
    """
    names = (NAME, f"report-{state.file.stem}.html")
    for name in names:
        path = state.base / name
        if not os.path.lexists(path) or _is_of(path, state):
            return path
    raise UsageError(f"{names[0]} and {names[1]} in {state.base} are not this batch's; move one of them away.")


def _is_of(path: Path, state: BatchState) -> bool:
    try:
        with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
            return _mark(state).encode("utf-8", "replace") in file.read(2048)
    except (OSError, BadInput):
        return False


def _mark(state: BatchState) -> str:
    """Return the tag by which a page is known as this batch's."""
    return f'<meta name="dreamreel-batch" content="{html.escape(state.folder.name)}">'


def render_report(state: BatchState, *, now: datetime | None = None) -> str:
    """Return the page of a batch as HTML; see `write_report`."""
    cards = [card_of(status, state, place) for place, status in enumerate(state.films)]
    script = _part("report.js")
    return _template().render(
        mark=Markup(_mark(state)),
        style=Markup(_part("report.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=renderer.__version__,
        title=state.file.stem,
        lead=_lead(state),
        history=_history(state, now or datetime.now().astimezone()),
        totals=_totals(state),
        shape=_shape(state),
        sections=[
            (name, heading, [card for card in cards if card.status.state in states])
            for name, heading, states in SECTIONS
        ],
        choices=_choices(state),
        first_screen=FIRST_SCREEN,
        count=len(cards),
    )


def _visible(value: Any) -> Any:
    """Write names and titles so that they read as they are; what is no text, or our own, stays."""
    return shown(value, keep="\n") if type(value) is str else value


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE),
        autoescape=True,
        finalize=_visible,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _part(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


# --- the batch -------------------------------------------------------------------------------------------------------


def _lead(state: BatchState) -> str:
    counts = state.counts()
    total = len(state.films)
    films = "film is" if total == 1 else "films are"
    parts = [f"{counts['done']} of {total} {films} made"]
    if counts["failed"]:
        parts.append(f"{counts['failed']} failed")
    if counts["running"]:
        parts.append(f"{counts['running']} at work")
    if counts["stopped"] + counts["waiting"]:
        parts.append(f"{counts['stopped'] + counts['waiting']} still to make")
    return ", ".join(parts) + "."


def _history(state: BatchState, now: datetime) -> str:
    told = f"Begun {_when(state.began)}" if state.began else "Not begun"
    if state.running:
        return f"{told}, running; as of {_when(now.isoformat())}. Load the page again to see more."
    if state.ended:
        return f"{told}, ended {_when(state.ended)}."
    return f"{told}, and cut short. The same command goes on."


def _when(at: str) -> str:
    try:
        time = datetime.fromisoformat(at)
    except ValueError:
        return at
    return f"{time.day} {time:%B} {time.year}, {time:%H:%M}"


def _totals(state: BatchState) -> list[tuple[str, str]]:
    made = [status for status in state.films if status.state == "done"]
    took, length, size = (sum(getattr(status, name) or 0 for status in made) for name in ("took", "seconds", "bytes"))
    found = [("of film", span(length) if length else ""), ("on disk", size_text(size) if made else "")]
    return [*((name, text) for name, text in found if text), *([("of making", span(took))] if took else [])]


def _choices(state: BatchState) -> dict[str, list[str]]:
    """Return what the films can be told apart by: what all of them share is no choice."""
    found = {name: sorted({getattr(status, name) for status in state.films}) for name in ("state", "kind", "preset")}
    return {name: values for name, values in found.items() if len(values) > 1}


def _shape(state: BatchState) -> str:
    """Return the shape of most films, for the places that all of them get: nothing moves when they are loaded."""
    shapes: Counter[float] = Counter()
    for status in state.films:
        with contextlib.suppress(UsageError):
            size = Size.parse(status.size)
            shapes[round(size.width / size.height, 3)] += 1
    usual = shapes.most_common(1)[0][0] if shapes else 16 / 9
    return f"{min(max(usual, 1.0), 2.4):.3f}"
