"""The house: imports run one way, no folder is too full, and help comes before anything heavy is loaded."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import renderer

ROOT = Path(renderer.__file__).parent
FLOORS = (
    {"cli"},
    {"batch"},
    {"workers"},
    {"inspect"},
    {"measure"},
    {"films"},
    {"settings"},
    {"render"},
    {"dreaming", "motion", "media"},
    {"errors", "events", "files", "frame", "lazy", "records", "runtime", "setting_types", "time_value"},
)
"""Parts of the house, from the top floor down. A part imports itself and what lies below it."""


def modules() -> dict[str, Path]:
    """Every module by its dotted name."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(path: Path) -> set[str]:
    """The modules of `renderer` that a module imports anywhere, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name in MODULES and name != "renderer"}


def part(name: str) -> str:
    return name.split(".")[1]


def test_imports_run_one_way():
    floor = {name: level for level, names in enumerate(FLOORS) for name in names}
    parts = {part(name) for name in MODULES if "." in name}
    assert parts == floor.keys()
    ground = FLOORS[-1]
    wrong = [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        for other in imports(path)
        if name != "renderer"
        and part(name) != part(other)
        and not (floor[part(name)] < floor[part(other)] or {part(name), part(other)} <= ground)
    ]
    assert not wrong


def test_no_modules_import_each_other_in_a_circle():
    graph = {name: imports(path) - {name} for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_folder_is_too_full():
    counts = Counter(path.parent.relative_to(ROOT) for path in MODULES.values())
    assert max(counts.values()) <= 15, counts.most_common(3)


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT.parent,
    )
    return set(done.stdout.split())


def test_the_command_line_loads_nothing_heavy():
    loaded = loaded_by("import renderer.cli.main")
    assert "renderer.cli.films" in loaded
    assert not loaded & {"tensorflow", "keras", "cv2", "numpy", "pydantic", "PIL", "renderer.settings.schema"}


def test_settings_and_presets_load_neither_tensorflow_nor_opencv():
    assert not loaded_by("import renderer.settings.presets") & {"tensorflow", "keras", "cv2", "scipy"}
