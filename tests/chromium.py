"""Headless Chromium for the tests: driven by its DevTools protocol over a pipe, without any library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import time
from pathlib import Path
from typing import Any

PATIENCE = 60.0
"""Seconds that an answer may take, on a busy machine."""

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # Root, as in a container, may not have one; it shows only what the test made.
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--mute-audio",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)


def find() -> str | None:
    """Return the program, or None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """A browser with one page. A context manager.

    Args:
        program: to start.
        profile: an empty folder.
    """

    def __init__(self, program: str, profile: Path) -> None:
        hears, self._write = os.pipe()
        self._read, speaks = os.pipe()
        quiet = os.open(os.devnull, os.O_WRONLY)
        to_child = [(os.POSIX_SPAWN_DUP2, hears, 3), (os.POSIX_SPAWN_DUP2, speaks, 4)]
        silent = [(os.POSIX_SPAWN_DUP2, quiet, 1), (os.POSIX_SPAWN_DUP2, quiet, 2)]
        command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        # Pipes are given as 3 and 4: none of ours may be there already, or it would be overwritten.
        self._pid = os.posix_spawn(program, command, os.environ, file_actions=[*silent, *_lifted(to_child)])
        for descriptor in (hears, speaks, quiet):
            os.close(descriptor)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Chromium:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self._session = None
        try:
            self.call("Browser.close")
        finally:
            os.close(self._write)
            os.waitpid(self._pid, 0)
            os.close(self._read)

    def call(self, method: str, /, **params: Any) -> dict[str, Any]:
        """Ask for something, and return the answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        answer = self._until(lambda told: told.get("id") == self._number)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def open(self, url: str) -> None:
        """Load a page, and forget what happened on the one before."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self._until(lambda told: told.get("method") == "Page.loadEventFired")

    def run(self, script: str) -> Any:
        """Return what an expression gives, awaited if it is a promise."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def screen(
        self, width: int, height: int = 900, *, scale: float = 1, dark: bool = False, phone: bool = False
    ) -> None:
        """Choose the size of the window, and whether its owner likes it dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )
        liked = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=liked)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Write what the page looks like as a PNG."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for."""
        told = (event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent")
        return [params["request"]["url"] for params in told]

    def errors(self) -> list[str]:
        """Return what the console shows in red."""
        found = []
        for event in self.events:
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(params["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert", "warning"):
                found.append(json.dumps(params["args"]))
        return found

    def _until(self, wanted: Any) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while True:
            told = self._next(deadline)
            if "method" in told:
                self.events.append(told)
            if wanted(told):
                return told

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self._read, 1 << 20) if ready else b""
            if not data:
                raise AssertionError("Chromium has gone." if ready else f"Chromium was silent for {PATIENCE:.0f} s.")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))


def _lifted(actions: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Move descriptors out of the way of the numbers that they are to get."""
    lifted = [(kind, own, 1000 + place) for place, (kind, own, _) in enumerate(actions)]
    return [*lifted, *((kind, 1000 + place, wanted) for place, (kind, _, wanted) in enumerate(actions))]
