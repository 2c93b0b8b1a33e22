from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from renderer import runtime
from renderer.batch import patterns
from renderer.batch.jobfile import read_jobs
from renderer.errors import BadInput, DiskProblem, DreamreelError, EnvironmentProblem, UsageError
from renderer.films import render_setup as parts
from renderer.inspect.preset_files import check_preset, new_preset
from renderer.settings import document as toml
from renderer.settings import presets
from renderer.settings.kinds import KINDS
from renderer.settings.presets import load_preset, resolve
from renderer.settings.schema import build

GOOD = '[[job]]\noutput = "{name}.mp4"\n'

EXCESSIVE = {
    "a number of 6002 digits; at most 100 (at line 2)": "\nseed = 0x" + "f" * 6000,
    "a number of 5000 digits": "seed = -" + "9" * 4999,
    "a name of too many parts": "a" + ".a" * 100_000 + " = 1",
    "too many parts; at most 50 (at line 1)": "[a" + ".a" * 100_000 + "]",
    "nested too deeply": "a = " + "[" * 100_000,
    "nested too deeply; at most 50": "a = " + "{a=" * 60 + "1" + "}" * 60,
    "Unterminated": 'a = """' + '\\"""' * 20_000,
}


def test_toml_that_would_take_for_ever_is_refused_at_once_with_its_line(tmp_path):
    path = tmp_path / "x.toml"
    for words, text in EXCESSIVE.items():
        path.write_text(text, encoding="utf-8")
        began = time.process_time()
        with pytest.raises(BadInput) as refusal:
            load_preset(str(path))
        assert words in str(refusal.value)
        assert time.process_time() - began < 2, words
        with pytest.raises(BadInput):
            read_jobs(path)


def test_a_name_as_long_as_a_file_does_not_fill_memory():
    text = "[" + "k" * 100_000 + "]\n" + "\n".join(f"a{i} = 1" for i in range(2000))
    assert sum(map(len, toml.lines(text))) < 1_000_000


def test_what_is_no_plain_file_is_no_preset_and_no_jobs_file(tmp_path):
    fifo, loop = tmp_path / "fifo.toml", tmp_path / "loop.toml"
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    for path in (fifo, loop, tmp_path, Path("/dev/zero"), Path("/proc/self/environ")):
        with pytest.raises(BadInput, match="expected a|cannot be read"):  # noqa: RUF043
            read_jobs(path)
        with pytest.raises(BadInput, match="expected a|cannot be read"):  # noqa: RUF043
            load_preset(f"{path.parent}/{path.name}")


def test_presets_that_extend_each_other_without_end_are_refused(tmp_path):
    for number in range(12):
        (tmp_path / f"{number}.toml").write_text(f'extends = ["{number + 1}.toml", "{number + 1}.toml"]')
    (tmp_path / "12.toml").write_text("seed = 1")
    with pytest.raises(UsageError, match="extends more than 100 presets"):
        load_preset(str(tmp_path / "0.toml"))
    with pytest.raises(UsageError, match="10000 presets are stacked; 100"):
        resolve(presets=["loom"] * 10_000)
    jobs = tmp_path / "jobs.toml"
    jobs.write_text(GOOD + f"preset = {['loom'] * 101}")
    with pytest.raises(UsageError, match="up to 100 presets"):
        read_jobs(jobs)


def test_thousands_of_unknown_names_are_told_in_a_few_lines(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("[camera]\n" + "\n".join(f"zoo{i} = 1" for i in range(2000)))
    problems = check_preset(str(path)).problems
    assert len(problems) == presets.MAX_WRONG + 1
    assert "1980 more" in problems[-1]


def test_a_glob_looks_at_so_many_files_and_no_more(tmp_path, monkeypatch):
    for number in range(30):
        (tmp_path / f"{number}.png").touch()
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "up").symlink_to(tmp_path)  # What `**` must not go round and round in.
    (tmp_path / "inside" / "deep.png").touch()
    found = patterns.InputSearch().find(["**/*.png"], tmp_path)
    assert len(found) == 31
    monkeypatch.setattr(patterns, "MOST_LOOKED", 100)
    jobs = tmp_path / "jobs.toml"
    jobs.write_text("".join(f'[[job]]\ninput = "**/*.{n}"\noutput = "{{name}}.mp4"\n' for n in range(9)))
    with pytest.raises(UsageError, match="more than 100 files"):
        read_jobs(jobs)


def test_values_that_are_too_much_alone_or_together_are_refused_quickly():
    expression = ",".join(f"{frame}:(sin(t))" for frame in range(1000))
    cases = [
        ({"dream.layers": {f"a{n}": expression for n in range(40)}}, "characters together"),
        ({"camera.zoom": "9**9**9**9"}, "no value"),
        ({"camera.zoom": "t+" * 5_000_000 + "t"}, "characters together"),
        ({"camera.zoom": {str(n): 1 for n in range(20_000)}}, "keyframes"),
        ({"film.fps": "1/1000000"}, "from 0.01 to 240"),
        ({"film.fps": 1e300}, "from 0.01 to 240"),
        ({"film.fps": float("nan")}, "from 0.01 to 240"),
        ({"film.seconds": float("inf")}, "film.seconds"),
        ({"dream.steps": 10**9}, "0 to 1000"),
        ({"dream.steps": 1e400}, "0 to 1000"),
        ({"dream.octaves": True}, "not true or false"),
        ({"seed": 10**5000}, "0 to 2147483647"),
        ({"camera.__class__": 1}, "There is no setting"),
        ({"network.weights": "a\0b"}, "no file has such a name"),
    ]
    for values, words in cases:
        began = time.process_time()
        with pytest.raises(UsageError) as refusal:
            build(values)
        assert words in str(refusal.value), values.keys()
        assert len(str(refusal.value)) < 1000
        assert time.process_time() - began < 2


def test_a_home_that_nobody_has_is_a_name_like_any_other(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text('[guide]\npicture = "~nobody-of-that-name/x.png"\n')
    assert load_preset(str(path)).values["guide.picture"] == str(tmp_path / "~nobody-of-that-name" / "x.png")
    with pytest.raises(UsageError, match="no preset file"):
        load_preset("~nobody-of-that-name/x.toml")
    path.write_text(GOOD + 'input = "~nobody-of-that-name/*.png"\n')
    assert "No file matches" in str(read_jobs(path).specs[0].error)


def test_pictures_larger_than_memory_are_refused_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(runtime, "memory_total", lambda: 8_000_000_000)
    for values, words in [
        ({"film.size": "16384x16384"}, "film.size is 16384x16384"),
        ({"film.size": "64x64", "dream.octave_sizes": "16000x16000"}, "dream.octave_sizes is"),
        ({"film.size": "4000x4000", "dream.octaves": 20, "dream.octave_ratio": 1.0001}, "dream.octaves is 20"),
    ]:
        with pytest.raises(EnvironmentProblem) as refusal:
            parts.check_memory(build(values), kind="zoom")
        assert words in str(refusal.value)
    for kind in KINDS:
        parts.check_memory(build({"film.size": "3840x2160"}), kind=kind)


def test_too_few_addresses_are_told_before_a_library_ends_the_program(monkeypatch):
    monkeypatch.setattr(runtime, "_address_space", lambda: 10**9)
    with pytest.raises(EnvironmentProblem, match="ulimit -v"):
        runtime.prepare.__wrapped__()


def test_libraries_load_without_a_folder_for_temporary_files(monkeypatch, capfd):
    def nowhere():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(runtime.tempfile, "TemporaryFile", nowhere)
    with runtime._stderr_away():
        os.write(2, b"seen by nobody")
    os.write(2, b"seen again")
    assert capfd.readouterr().err == "seen again"


def test_a_new_preset_names_no_network_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="inception_v0"):
        new_preset("mine", resolve(sets=["network.name=inception_v0"]), folder=tmp_path)
    assert not [*tmp_path.iterdir()]


def test_a_new_preset_is_good_whatever_it_is_told(tmp_path):
    about = 'x\x00\x1b[31m\n"""\u202e\udcff'
    settings = resolve(flags={"guide.picture": ("--guide", "a\"b\n'c.png"), "dream.layers": ("--layers", {'a"\n': 1})})
    for name in ("é夢", "con", "a" * 60, "__class__", "0"):
        checked = check_preset(str(new_preset(name, settings, about=about, folder=tmp_path)))
        assert not checked.problems
        assert checked.settings == 2
    for name in ("", ".", "..", "a/b", 'a"b', "a\nb", "a.b", "a" * 61, "\udcff", "\0"):
        with pytest.raises(UsageError, match="named with letters"):
            new_preset(name, settings, folder=tmp_path)


def test_a_preset_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="500"):
        new_preset("a", resolve(), about="x" * 501, folder=tmp_path)
    strange = resolve(flags={"guide.picture": ("--guide", "\udcff.png")})
    with pytest.raises(UsageError, match="UTF-8"):
        new_preset("a", strange, folder=tmp_path)

    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskProblem, match="No space left"):
        new_preset("a", resolve(), folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_set_and_presets_refuse_anything_with_their_own_errors():
    for text in (
        "=",
        "a",
        "seed=" + "[" * 50_000,
        "seed={" + "a." * 50_000,
        "seed=" + "9" * 5000,
        "\udcff=1",
        "seed=\0",
    ):
        with pytest.raises(DreamreelError):
            resolve(sets=[text])
