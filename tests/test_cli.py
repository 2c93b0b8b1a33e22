from __future__ import annotations

import json
import os
import sys

import pytest
import typer
from typer.testing import CliRunner

from renderer.cli.main import app
from renderer.cli.options import FLAGS

ROOT = typer.main.get_command(app)


def walk(command, path=()):
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, (*path, name))


COMMANDS = list(walk(ROOT))


def run(*args: str):
    return CliRunner().invoke(app, list(args))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "command"), COMMANDS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_has_help_and_so_has_every_option(path, command):
    assert run(*path, "--help").exit_code == 0
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{' '.join(path)} {parameter.name}"


def test_the_commands_of_the_design_are_there():
    found = {" ".join(path) for path, _ in COMMANDS}
    assert found >= {"zoom", "still", "encode", "replay", "doctor", "metrics"}
    assert found >= {"presets list", "presets show", "presets check", "presets new", "networks list", "networks layers"}


def test_help_tells_of_every_flag_what_its_setting_says_with_the_default_of_the_command():
    from renderer.settings.messages import choices
    from renderer.settings.schema import fields

    for name, own in (("zoom", "[0.008]"), ("video", "[1]"), ("still", "[0.02]")):
        told = " ".join(run(name, "--help").stdout.split())
        lines = {flag: told.partition(f"{flag} {FLAGS[flag].metavar} ")[2] for flag in FLAGS}
        for flag, line in lines.items():
            if line and flag not in ("--size", "--fps", "--steps"):  # Of these some commands have words of their own.
                field = fields()[FLAGS[flag].key]
                assert line.casefold().startswith(str(field.description).casefold()[:20])
                assert all(choice in line for choice in choices(field))
        assert own in (lines["--step-size"] if name != "video" else lines["--zoom"]).partition(" --")[0]


BAD = [
    (["zoom", "-o", "x.foo"], 2, "ending .foo"),
    (["zoom", "-o", "there.mp4"], 2, "exists"),
    (["zoom", "-o", "nowhere/x.mp4"], 6, "does not exist"),
    (["zoom", "-o", "x" * 300 + ".mp4"], 6, "too long"),
    (["zoom", "-o", "x.mp4", "--size", "0x0"], 2, "film.size"),
    (["zoom", "-o", "x.mp4", "--size", "99999x99999"], 2, "16384"),
    (["zoom", "-o", "x.mp4", "--fps", "nan"], 2, "film.fps"),
    (["zoom", "-o", "x.mp4", "--fps", "inf"], 2, "film.fps"),
    (["zoom", "-o", "x.mp4", "--zoom", "nan"], 2, "camera.zoom"),
    (["zoom", "-o", "x.mp4", "--noise", "perlni"], 2, "'perlin'"),
    (["zoom", "-o", "x.mp4", "--preset", "menagery"], 2, "'menagerie'"),
    (["zoom", "-o", "x.mp4", "--set", "camera.zom=1"], 2, "'camera.zoom'"),
    (["zoom", "-o", "x.mp4", "--codec", "h266"], 2, "h265"),
    (["zoom", "-o", "x.mp4", "--seconds", "1", "--frames", "2"], 2, "one of them"),
    (["zoom", "-o", "x.mp4", "--seconds", "80000", "--size", "16000x16000"], 6, "on the disk"),
    (["zoom", "-o", "x.mp4", "--weights", "none.h5"], 5, "none.h5"),
    (["zoom", "none.png", "-o", "x.mp4"], 4, "is not there"),
    (["zoom", "empty.png", "-o", "x.mp4"], 4, "empty"),
    (["zoom", "text.jpg", "-o", "x.mp4"], 4, "not a picture"),
    (["zoom", "text.jpg", "-o", "text.jpg", "--overwrite"], 2, "is an input"),
    (["still", "-o", "x.mp4"], 2, "like a picture"),
    (["still", "none.png", "-o", "x.png"], 4, "is not there"),
    (["still", "-o", "x.png", "--evolution", "x.png"], 2, "both"),
    (["encode", "none", "-o", "x.mp4"], 4, "does not exist"),
    (["encode", "there.mp4", "-o", "x.mp4"], 4, "--keep-store"),
    (["replay", "text.jpg", "-o", "x.mp4"], 4, "recipe"),
    (["presets", "show", "menagery"], 2, "'menagerie'"),
    (["zoom", "--oot", "x.mp4"], 2, "--out"),
    (["zom"], 2, "zoom"),
]


@pytest.mark.parametrize(
    ("args", "code", "words"), BAD, ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else ""
)
def test_bad_input_ends_with_a_sentence_and_its_exit_code_and_leaves_nothing(folder, args, code, words):
    (folder / "there.mp4").write_bytes(b"x")
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("hello")
    done = run(*args)
    assert done.exit_code == code, done.output
    assert words in done.stderr
    assert "Traceback" not in done.output
    assert done.stdout == ""
    assert sorted(path.name for path in folder.iterdir()) == ["empty.png", "text.jpg", "there.mp4"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a user whom permissions hold back")
def test_a_read_only_folder_is_refused_before_anything_is_rendered(folder):
    (folder / "locked").mkdir(mode=0o500)
    done = run("zoom", "-o", "locked/x.mp4")
    assert done.exit_code == 6
    assert "locked" in done.stderr


def test_with_json_an_error_is_a_line_on_stdout_too():
    done = run("zoom", "-o", "x.mp4", "--fps", "0", "--json")
    assert json.loads(done.stdout)["exit_code"] == 2
    assert "film.fps" in done.stderr


def test_a_bug_is_called_one_and_shows_its_traceback_only_with_v(monkeypatch):
    def broken():
        raise KeyError("oops")

    monkeypatch.setattr("renderer.settings.presets.preset_files", broken)
    quiet, loud = run("presets", "list"), run("presets", "list", "-v")
    assert (quiet.exit_code, loud.exit_code) == (1, 1)
    assert "bug" in quiet.stderr
    assert "-v" in quiet.stderr
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr


def test_presets_show_where_every_value_comes_from():
    done = run("presets", "show", "menagerie")
    assert done.exit_code == 0
    assert any(line.split()[0] == "seed" and line.endswith("default") for line in done.stdout.splitlines())
    assert "preset 'menagerie'" in done.stdout
    as_json = json.loads(run("presets", "show", "menagerie", "--json").stdout)
    assert as_json["settings"].keys() == as_json["origins"].keys()


def test_presets_list_tells_what_each_looks_like():
    lines = run("presets", "list").stdout.splitlines()
    assert any(line.startswith("menagerie") and len(line) > 30 for line in lines)
