"""Imports run one way, and the command line answers before anything heavy is loaded."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import renderer

ROOT = Path(renderer.__file__).parent
LEVELS = {"cli": 4, "jobs": 3, "render": 2, "dreaming": 1, "motion": 1, "media": 1}
LEVELS |= dict.fromkeys(("files", "records", "setting_types", "lazy", "frame", "errors"), 0)
MODULES = sorted(ROOT.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Names of the parts of `renderer` that a module imports anywhere, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "renderer" else [f"renderer.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("renderer.")}
    return found & set(LEVELS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_its_own_part_and_those_below(path):
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if part == "__init__":
        assert imported(path) == set()
        return
    allowed = {name for name, level in LEVELS.items() if level < LEVELS[part]} | {part}
    if part in ("frame", "files", "setting_types"):
        allowed |= {"errors", "frame"} - {part}
    assert imported(path) <= allowed


def test_the_command_line_loads_nothing_heavy():
    code = "import sys, renderer.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    loaded = set(done.stdout.split())
    assert "renderer.cli.zoom" in loaded
    assert not loaded & {"tensorflow", "keras", "cv2", "numpy", "pydantic", "PIL", "renderer.jobs.settings"}


def test_settings_and_presets_load_neither_tensorflow_nor_opencv():
    code = "import sys, renderer.jobs.presets; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert not set(done.stdout.split()) & {"tensorflow", "keras", "cv2"}
