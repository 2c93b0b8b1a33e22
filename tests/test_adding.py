"""What `docs/adding.md` says about adding something, carried out as it stands in a copy of the program."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")

USE = """
import json, shlex, sys
from keras import Model, layers
from typer.testing import CliRunner
from renderer import runtime
runtime.prepare()
from renderer.cli.main import app
from renderer.dreaming.networks.pebble import build

plain = build()
plain.save_weights("pebble.weights.h5")
x = plain.input
for layer in (layers.Rescaling(1.0), *plain.layers[1:]):
    x = layer(x)
Model(plain.input, x).save("pebble.keras")
for line in sys.stdin.read().splitlines():
    done = CliRunner().invoke(app, shlex.split(line)[1:])
    print(json.dumps({"line": line, "code": done.exit_code, "said": done.output}))
"""


def examples():
    """Each block of the page: the file that its first line names, whether that is new, and the rest."""
    for first, rest in re.findall(r"```(?:python|toml)\n# ([^\n]*)\n(.*?)```", PAGE, re.DOTALL):
        where, name = re.fullmatch(r"(at the end of|in the new file) (\S+)", first).groups()
        yield name, where == "in the new file", rest


@pytest.mark.minutes
def test_every_example_works_as_it_stands(tmp_path):
    for folder in ("renderer", "presets"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    assert len(list(examples())) == PAGE.count("```") // 2
    for name, new, code in examples():
        assert (tmp_path / name).exists() != new, name
        with (tmp_path / name).open("a", encoding="utf-8") as file:
            file.write(f"\n\n{code}" if not new else code)
    lines = [line.strip() for line in PAGE.splitlines() if line.startswith("    dreamreel ")]
    asked = [
        *lines,
        "dreamreel presets schema",
        "dreamreel presets reference",
        "dreamreel still -o none.png --network pebble.keras --layers echo@two --size 64x48",
        "dreamreel still -o none.png --network pebble.keras --objective peek",
        "dreamreel zoom -o none.mp4 --set camera.shear=5000",
    ]
    done = subprocess.run(
        [sys.executable, "-c", USE],
        input="\n".join(asked),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "KERAS_HOME": str(tmp_path / "keras")},
        capture_output=True,
        text=True,
        check=False,
    )
    results = (json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"line"'))
    said = {entry["line"]: entry for entry in results}
    assert len(said) == len(asked), done.stderr[-2000:]
    failed = [entry for line in lines if (entry := said[line])["code"]]
    assert not failed, failed
    for line in lines:
        if out := re.search(r" -o (\S+)", line):
            assert (tmp_path / out[1]).stat().st_size > 0, line
    *_, schema, reference, lacking, mistyped, too_fast = (said[line]["said"] for line in asked)
    for name in ("peak", "echo", "largest", "sign", "shear"):
        assert f'"{name}"' in schema
        assert name in reference
    assert "echo" in lacking
    assert "needs a guide" in lacking
    assert "did you mean 'peak'" in mistyped
    assert "camera.shear" in too_fast
    assert "-1000 to 1000" in too_fast
