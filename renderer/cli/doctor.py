"""`dreamreel doctor`."""

from __future__ import annotations

import typer

from renderer.cli.options import command
from renderer.cli.show.terminal import Terminal


def add(app: typer.Typer) -> None:
    """Register the command."""

    @command(app)
    def doctor(terminal: Terminal) -> None:
        """Show what this machine has: versions, device, ffmpeg and its codecs, caches, room."""
        from renderer.inspect.doctor import examine

        terminal.stage("looking around")
        findings = examine()
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            mark = "ok " if finding.good else "BAD"
            terminal.result(
                f"{mark} {finding.name:<{width}}  {finding.text}",
                event="finding",
                name=finding.name,
                good=finding.good,
                found=finding.text,
            )
        if not all(finding.good for finding in findings):
            raise typer.Exit(5)
