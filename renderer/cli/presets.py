"""`dreamreel presets`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from renderer.cli.options import FLAGS, Given, command
from renderer.cli.show.terminal import Terminal

Names = Annotated[list[str], typer.Argument(metavar="NAME|FILE...", help="Presets, or files that end in .toml.")]


def add(app: typer.Typer) -> None:
    """Register the group."""
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="List, show, check and make presets; explain every setting."
    )
    app.add_typer(group, name="presets")
    command(group, name="list")(list_)
    for function in (show, check, reference, schema):
        command(group)(function)
    command(group, flags=FLAGS, settings=True)(new)


def list_(
    terminal: Terminal,
    *,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="COMMAND", help="Those for zoom, video or still alone.")
    ] = None,
) -> None:
    """List the presets, each with the commands that it is meant for and what it looks like."""
    from renderer.inspect.preset_files import describe
    from renderer.settings.presets import check_command, preset_files

    wanted = None if for_ is None else check_command(for_)
    found = [entry for entry in describe(preset_files()) if wanted is None or wanted in (entry[2] or [wanted])]
    width = max((len(entry[0]) for entry in found), default=0)
    meant = max((len(",".join(entry[2])) for entry in found), default=0)
    for name, about, commands, path in found:
        told = ",".join(commands) or "any"
        terminal.result(
            f"{name:<{width}}  {told:<{max(3, meant)}}  {about}",
            event="preset",
            name=name,
            about=about,
            commands=list(commands),
            path=str(path),
        )


def show(
    terminal: Terminal,
    names: Names,
    *,
    for_: Annotated[
        str | None,
        typer.Option("--for", metavar="COMMAND", help="zoom, video or still. [what the presets are meant for]"),
    ] = None,
) -> None:
    """Show every setting that presets lead to, and where each value comes from."""
    from renderer.settings.kinds import KINDS
    from renderer.settings.presets import check_command, load_preset, resolve
    from renderer.settings.schema import flatten

    presets = [load_preset(name) for name in names]
    meant = [preset.commands[0] for preset in presets if preset.commands]
    wanted = check_command(for_) if for_ else meant[-1] if meant else "zoom"
    resolved = resolve(presets=presets, defaults=KINDS[wanted].defaults, command=wanted)
    for note in resolved.notes:
        terminal.note(note)
    flat, origins, places = flatten(resolved.settings), resolved.origins, resolved.places
    if terminal.json:
        terminal.result("", event="settings", settings=flat, origins=dict(origins), places=dict(places))
        return
    keys = max(map(len, flat))
    values = {key: "-" if value is None else str(value) for key, value in flat.items()}
    widest = min(40, max(map(len, values.values())))
    for key, value in values.items():
        terminal.result(f"{key:<{keys}}  {value:<{widest}}  {origins[key]}")


def check(terminal: Terminal, names: Names) -> None:
    """Check that presets can be read and make sense, and tell of every mistake; then the exit code is 4."""
    from renderer.inspect.preset_files import check_preset

    found = [check_preset(name) for name in names]
    for checked in found:
        good = f"{checked.name}: good, {checked.settings} settings"
        terminal.result(
            *(checked.problems or [good]),
            event="checked",
            name=checked.name,
            path=None if checked.path is None else str(checked.path),
            settings=checked.settings,
            problems=list(checked.problems),
            notes=list(checked.notes),
        )
        for note in checked.notes:
            terminal.note(note)
    if any(checked.problems for checked in found):
        raise typer.Exit(4)


def reference(terminal: Terminal) -> None:
    """Print what every setting means, its type, range, unit and default, as Markdown."""
    from renderer.settings.reference import entries, reference

    if not terminal.json:
        terminal.result(*reference().rstrip().splitlines())
        return
    for entry in entries():
        terminal.result("", event="setting", **entry.values())


def schema(
    terminal: Terminal, *, jobs: Annotated[bool, typer.Option("--jobs", help="That of jobs files.")] = False
) -> None:
    """Print a JSON Schema of preset files, with which editors complete and check them."""
    from renderer.batch.job_tables import job_schema
    from renderer.settings.reference import schema

    found = job_schema() if jobs else schema()
    terminal.result(*json.dumps(found, indent=2, ensure_ascii=False).splitlines(), **found)


def new(
    terminal: Terminal,
    given: Given,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, - and _.")],
    *,
    from_: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILM", help="Begin with the look of a film or picture made by Dreamreel."),
    ] = None,
    about: Annotated[str, typer.Option("--about", metavar="TEXT", help="What it looks like, in a line.")] = "",
) -> None:
    """Write a preset of your own from a film or from the flags given here; `--preset NAME` then uses it."""
    from renderer.inspect.preset_files import look_of, new_preset

    resolved = given.resolve(below=[] if from_ is None else [look_of(from_)])
    path = new_preset(name, resolved, about=about)
    terminal.result(f"{path}: written", event="preset", name=name, path=str(path))
