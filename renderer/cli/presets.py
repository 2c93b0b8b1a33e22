"""`dreamreel presets`."""

from __future__ import annotations

from typing import Annotated

import typer

from renderer.cli.options import ALL_FLAGS, Given, command
from renderer.cli.terminal import Terminal

Names = Annotated[list[str], typer.Argument(metavar="NAME|FILE...", help="Presets, or files that end in .toml.")]


def add(app: typer.Typer) -> None:
    """Register the group."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, show, check and make presets.")
    app.add_typer(group, name="presets")

    @command(group, name="list")
    def list_(terminal: Terminal) -> None:
        """List the presets, each with what it looks like."""
        from renderer.jobs.presets import describe, preset_files

        found = describe(preset_files())
        width = max((len(name) for name, _, _ in found), default=0)
        for name, about, path in found:
            terminal.result(f"{name:<{width}}  {about}", event="preset", name=name, about=about, path=str(path))

    @command(group)
    def show(terminal: Terminal, names: Names) -> None:
        """Show every setting that presets lead to, and where each value comes from."""
        from renderer.jobs.presets import resolve
        from renderer.jobs.settings import flatten

        resolved = resolve(presets=names)
        flat = flatten(resolved.settings)
        if terminal.json:
            terminal.result("", event="settings", settings=flat, origins=dict(resolved.origins))
            return
        keys = max(map(len, flat))
        values = {key: "-" if value is None else str(value) for key, value in flat.items()}
        widest = min(40, max(map(len, values.values())))
        for key, value in values.items():
            terminal.result(f"{key:<{keys}}  {value:<{widest}}  {resolved.origins[key]}")

    @command(group)
    def check(terminal: Terminal, names: Names) -> None:
        """Check that presets can be read and make sense; the first mistake is named."""
        from renderer.jobs.presets import load_preset, resolve

        for name in names:
            preset = load_preset(name)
            resolve(presets=[name])
            terminal.result(
                f"{name}: good", event="checked", name=name, path=str(preset.path), settings=len(preset.values)
            )

    @command(group, flags=ALL_FLAGS, settings=True)
    def new(
        terminal: Terminal,
        given: Given,
        name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, - and _.")],
    ) -> None:
        """Write a preset of your own from the flags given here; `--preset NAME` then uses it."""
        from renderer.jobs.presets import new_preset

        path = new_preset(name, given.resolve())
        terminal.result(f"{path}: written", event="preset", name=name, path=str(path))
