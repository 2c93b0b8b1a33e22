"""What the commands that make films share: how a film is made, and that it may be planned instead."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from renderer.cli.options import AllowEnvChange, DryRun, KeepStore, Overwrite, Restart, WorkDir
from renderer.cli.show.terminal import Terminal
from renderer.errors import UsageError

if TYPE_CHECKING:
    from renderer.films.film import Film


@dataclass(frozen=True, kw_only=True)
class Making:
    """How a film is made: the flags of `films.film.RunOptions`."""

    overwrite: Overwrite = False
    keep_store: KeepStore = False
    work_dir: WorkDir = None
    restart: Restart = False
    allow_env_change: AllowEnvChange = False

    def options(self) -> dict[str, Any]:
        """Return them as attributes of a `Film`."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Planning:
    """Whether a film is planned and not made."""

    dry_run: DryRun = False
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="PNG", help="When planning: draw the settings that change over the film."),
    ] = None


def make_or_plan(film: Film, planning: Planning, *, terminal: Terminal) -> None:
    """Make a film, or say what it would take, and print the line that ends it.

    Raises:
        DreamreelError: as making or planning it does.
    """
    if planning.plot is not None:
        if not planning.dry_run:
            raise UsageError("--plot draws what a film would be; give it together with --dry-run.")
        from renderer.measure.plot import draw_curves

        draw_curves(film, planning.plot)
        terminal.note(f"{planning.plot}: what changes over the film.")
    if planning.dry_run:
        from renderer.films.plan import make_plan

        plan = make_plan(film, listener=terminal)
        terminal.result(*plan.text().splitlines(), event="plan", **plan.values())
        return
    from renderer.films.make import make_film

    terminal.film(make_film(film, listener=terminal, should_stop=terminal.stopper))
