"""The page and the schema that explain every setting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from renderer.cli.main import app
from renderer.errors import UsageError
from renderer.media.ffmpeg.formats import FORMATS
from renderer.settings.document import Document
from renderer.settings.presets import builtin_folder, load_preset, resolve
from renderer.settings.reference import entries, reference, schema
from renderer.settings.schema import Settings, build, flatten, keys

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
VALIDATOR = Draft202012Validator(schema())


def test_the_page_in_the_documentation_is_what_the_program_says():
    assert PAGE.read_text(encoding="utf-8") == reference(), "run: dreamreel presets reference > docs/settings.md"
    assert CliRunner().invoke(app, ["presets", "reference"]).stdout == reference()


def test_the_readme_names_the_codecs_of_every_ending():
    readme = (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in row.split("|")[1:3]] for row in readme.splitlines() if row.startswith("| `.")]
    said = {ending.strip(" `"): codecs for endings, codecs in rows for ending in endings.split(",")}
    for form in FORMATS.values():
        usual, *others = form.codecs
        codecs = ", ".join([f"{usual} (usual)", *others]) if others else "themselves"
        for suffix in form.suffixes:
            assert said.pop(suffix) == codecs
    assert not said


def test_every_setting_is_on_the_page_with_type_default_and_meaning():
    listed = {entry.key: entry for entry in entries()}
    assert list(listed) == keys()
    for entry in listed.values():
        assert entry.type and entry.about
        assert entry.default == flatten(Settings())[entry.key]
        assert "seconds" not in entry.about.split() or entry.unit != "seconds", f"{entry.key} tells its unit twice"
    zoom = listed["camera.zoom"]
    assert (zoom.type, zoom.range, zoom.unit) == ("number over time", "0.001 to 1000", "factor a second")
    assert listed["camera.edges"].range == "mirror, reflect, wrap, clamp"
    assert "| `zoom` | number over time | 0.001 to 1000 | factor a second | `1.5`, `1.0` for videos |" in reference()


def test_the_reference_is_there_for_programs_too():
    lines = CliRunner().invoke(app, ["presets", "reference", "--json"]).stdout.splitlines()
    assert [json.loads(line)["key"] for line in lines] == keys()


def test_the_schema_is_one():
    Draft202012Validator.check_schema(schema())
    assert json.loads(CliRunner().invoke(app, ["presets", "schema"]).stdout) == schema()


def test_every_preset_of_ours_is_one_to_the_schema():
    for path in builtin_folder().glob("*.toml"):
        VALIDATOR.validate(Document.read(path, what="preset").table)


def test_what_the_defaults_are_passes_the_schema():
    tables: dict = {}
    for key, value in flatten(Settings()).items():
        head, _, name = key.rpartition(".")
        if value is not None:
            (tables.setdefault(head, {}) if head else tables)[name] = value
    VALIDATOR.validate(tables)


GOOD = [
    'extends = "meadow"\nfor = ["zoom", "still"]\nseed = 3',
    '[camera]\nzoom = { "0s" = 1.2, "4.5min" = 2, "50%" = 1, ease = "smooth" }\nrotate = "sin(t)"\npan_x = -2',
    '[dream]\nlayers = { parts = "1 - t/T", "objects:3" = { "0s" = 0, "4s" = 1 } }',
    '[dream]\nlayers = "parts:1,objects:0.5"\nstrength = "0:(1.0), 30:(1+0.02*sin(t/5))"',
    '[dream]\nlayers = ["parts", "objects:2"]',
    '[film]\nfps = 23.976\nsize = "64x48"\nseconds = 3',
    '[film]\nfps = "24000/1001"\nframes = 3',
    '[governor]\nluma = "auto"\ncontrast = "0.2 + 0.1*t/T"\nsaturation = 0.5',
    "[area]\nbox = [0.1, 0.1, 0.5, 0.5]\n[video]\ncuts = false\nend = 3",
    '[guide]\npicture = "a.png"\nmix = "t/T"',
    '[area]\nbox = "0.1,0.1,0.5,0.5"',
]


def test_what_is_good_to_the_program_is_good_to_the_schema(tmp_path):
    path = tmp_path / "p.toml"
    for text in GOOD:
        path.write_text(text)
        resolve(presets=[str(path)])
        VALIDATOR.validate(Document.read(path, what="preset").table)


BAD = [
    'for = "cinema"',
    "sead = 3",
    "seed = 1.5",
    "[camera]\nzom = 1",
    "[camera]\nzoom = 0",
    "[camera]\nzoom = true",
    '[camera]\nzoom = { "0x" = 1 }',
    '[camera]\nzoom = { "0s" = 1, ease = "smoth" }',
    "[camera]\nzoom = {}",
    '[camera]\nedges = "miror"',
    "[dream]\nlayers = 3",
    "[dream]\nlayers = { parts = true }",
    "[dream]\nlayers = { parts = 1e9 }",
    "[dream]\noctaves = 0",
    "[dream]\noctave_ratio = 1",
    '[film]\nsize = "big"',
    "[film]\nfps = 0",
    "[film]\nseconds = 0",
    "[area]\nbox = [1, 2]",
    "[video]\ncuts = 1",
    "camera = 3",
]


def test_what_is_bad_to_the_schema_is_bad_to_the_program(tmp_path):
    path = tmp_path / "p.toml"
    for text in BAD:
        path.write_text(text)
        assert not VALIDATOR.is_valid(Document.read(path, what="preset").table), text
        if "cuts = 1" not in text:  # taken for true
            with pytest.raises(UsageError):
                build(load_preset(str(path)).values)
