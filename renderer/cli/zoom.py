"""`dreamreel zoom`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from renderer.cli.options import (
    ZOOM_FLAGS,
    AllowEnvChange,
    DryRun,
    Given,
    KeepStore,
    Out,
    Overwrite,
    Restart,
    WorkDir,
    command,
)
from renderer.cli.terminal import Terminal


def add(app: typer.Typer) -> None:
    """Register the command."""

    @command(app, flags=ZOOM_FLAGS, settings=True)
    def zoom(
        terminal: Terminal,
        given: Given,
        image: Annotated[Path | None, typer.Argument(metavar="IMAGE", help="A picture to begin from.")] = None,
        *,
        out: Out,
        overwrite: Overwrite = False,
        keep_store: KeepStore = False,
        work_dir: WorkDir = None,
        restart: Restart = False,
        allow_env_change: AllowEnvChange = False,
        dry_run: DryRun = False,
    ) -> None:
        """Make an infinite-zoom dream film, from noise or from IMAGE.

        Stop it whenever you like: the same command goes on where it stopped.
        """
        settings = given.resolve().settings
        from renderer.jobs.film import Film, make_film

        film = Film(
            settings=settings,
            out=out,
            picture=image,
            overwrite=overwrite,
            keep_store=keep_store,
            work_dir=work_dir,
            restart=restart,
            allow_env_change=allow_env_change,
        )
        if dry_run:
            from renderer.jobs.plan import make_plan

            plan = make_plan(film, listener=terminal)
            terminal.result(plan.text(), event="plan", **plan.values())
            return
        terminal.film(make_film(film, listener=terminal, should_stop=terminal.stopper))
