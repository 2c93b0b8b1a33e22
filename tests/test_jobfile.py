"""What a jobs file asks for, and what it is told where it makes no sense."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from renderer.batch.batch_plan import open_jobs
from renderer.batch.job_tables import SweepTable, job_schema
from renderer.batch.jobfile import read_jobs
from renderer.batch.patterns import fill, plain
from renderer.errors import BadInput, UsageError
from renderer.settings.presets import preset_files

LOOK = min(preset_files())


@pytest.fixture
def read(tmp_path):
    """Write a jobs file and read it; without any settings that TOML does not name."""

    def write_and_read(text, **options):
        path = tmp_path / "jobs.toml"
        path.write_text(text, encoding="utf-8")
        return read_jobs(path, **options).specs

    return write_and_read


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_a_job_gets_the_defaults_and_what_it_says_itself_goes_over_them(read, tmp_path):
    (one,) = read(
        f"""
        [defaults]
        preset = "{LOOK}"
        output = "films/{{name}}.webm"
        keep_store = true
        priority = 2
        set = {{ film.size = "64x48", film.frames = 5, camera.zoom = 2 }}
        [[job]]
        name = "dive"
        priority = 7
        seed = 11000000
        set.camera.zoom = {{ "0s" = 1.0, "1s" = 1.5 }}
        set.film.seconds = 2
        """
    )
    settings = one.resolved.settings
    assert (one.name, one.kind, one.presets, one.priority, one.keep_store) == ("dive", "zoom", (LOOK,), 7, True)
    assert one.output == tmp_path / "films/dive.webm"
    assert (settings.seed, str(settings.film.size)) == (11000000, "64x48")
    assert settings.camera.zoom == {"0s": 1.0, "1s": 1.5}
    assert (settings.film.seconds, settings.film.frames) == (2.0, None)


def test_settings_may_be_written_dotted_nested_or_quoted(read):
    found = read(
        """
        [defaults]
        output = "{name}.mp4"
        [[job]]
        name = "a"
        set = { camera.zoom = 2 }
        [[job]]
        name = "b"
        [job.set.camera]
        zoom = 2
        [[job]]
        name = "c"
        set = { "camera.zoom" = 2 }
        """
    )
    assert [one.resolved.settings.camera.zoom for one in found] == [2.0, 2.0, 2.0]


def test_a_glob_makes_one_job_a_file_and_a_name_with_odd_characters_is_a_file(read, tmp_path):
    touch(tmp_path, "in/b.png", "in/a.png", "in/deep/c.png", "in/note.txt", "odd[1].png")
    found = read(
        """
        [[job]]
        input = ["in/**/*.png", "odd[1].png"]
        output = "out/{stem}-{seed}.mp4"
        """
    )
    assert [one.name for one in found] == ["a", "b", "c", "odd[1]"]
    assert [one.output.name for one in found] == ["a-8.mp4", "b-8.mp4", "c-8.mp4", "odd[1]-8.mp4"]
    assert found[3].input == tmp_path / "odd[1].png"


def test_a_glob_without_a_match_is_that_jobs_error_and_not_the_batchs(read):
    one, other = read(
        """
        [defaults]
        output = "{name}.mp4"
        [[job]]
        name = "none"
        input = "*.png"
        [[job]]
        name = "fine"
        """
    )
    assert isinstance(one.error, BadInput)
    assert "'*.png'" in str(one.error)
    assert other.error is None


def test_a_glob_does_not_take_what_the_batch_itself_wrote(read, tmp_path):
    jobs = '[[job]]\nkind = "video"\ninput = "*.mp4"\noutput = "{stem}-dream.mp4"'
    touch(tmp_path, "a.mp4", "b.mp4")
    first = [one.output for one in read(jobs)]
    touch(tmp_path, "a-dream.mp4", "b-dream.mp4")
    assert [one.output for one in read(jobs)] == first


def test_a_sweep_is_the_grid_of_its_values_with_a_name_for_each(read):
    found = read(
        f"""
        [[sweep]]
        name = "grid"
        output = "{{name}}.mp4"
        set = {{ film.frames = 2 }}
        over.preset = ["{LOOK}", ["{LOOK}", "{LOOK}"]]
        over.camera.zoom = [1.5, "2 + t"]
        over.seed = [1, 2]
        """
    )
    assert len(found) == len({one.output for one in found}) == 8
    assert found[0].name == f"grid-{LOOK}-1.5-1"
    assert found[-1].name == f"grid-{LOOK}+{LOOK}-2_+_t-2"
    assert (found[-1].resolved.settings.camera.zoom, found[-1].resolved.settings.seed) == ("2 + t", 2)
    assert {one.resolved.settings.frame_count for one in found} == {2}


def test_a_sweep_over_files_is_all_of_it_for_each_file(read, tmp_path):
    touch(tmp_path, "a.png", "b.png")
    found = read('[[sweep]]\ninput = "*.png"\noutput = "{stem}-{seed}-{index:02}.mp4"\nover.seed = [1, 2]')
    assert [one.output.name for one in found] == ["a-1-01.mp4", "a-2-02.mp4", "b-1-03.mp4", "b-2-04.mp4"]
    assert [one.name for one in found] == ["a-1", "a-2", "b-1", "b-2"]


def test_names_that_come_out_the_same_are_numbered(read, tmp_path):
    touch(tmp_path, "x/a.png", "y/a.png")
    found = read('[[job]]\ninput = "?/a.png"\noutput = "{index}.mp4"')
    assert [one.name for one in found] == ["a", "a-2"]


def test_values_that_look_alike_in_names_give_files_of_their_own(read):
    found = read('[[sweep]]\nname = "a"\noutput = "{name}.mp4"\nover.camera.zoom = ["t*1+1", "t/1+1"]')
    assert [one.output.name for one in found] == ["a-t_1+1.mp4", "a-t_1+1-2.mp4"]


def test_braces_in_the_name_of_a_file_are_no_places(read, tmp_path):
    touch(tmp_path, "{seed}{.png")
    (one,) = read('[[job]]\ninput = "*.png"\noutput = "{name}-{stem}.mp4"')
    assert one.output.name == "{seed}{-{seed}{.mp4"


def test_a_count_that_would_change_once_films_are_there_is_refused(read, tmp_path):
    jobs = '[[job]]\nkind = "still"\ninput = "*.png"\noutput = "0{index}.png"'
    touch(tmp_path, "a.png")
    (one,) = read(jobs)
    touch(tmp_path, one.output.name)
    with pytest.raises(UsageError, match="another folder"):
        read(jobs)


def test_outputs_go_to_another_folder_on_demand_and_all_other_paths_stay(read, tmp_path):
    touch(tmp_path, "a.png")
    (one,) = read('[[job]]\ninput = "a.png"\noutput = "f/{stem}.mp4"', output_dir=tmp_path / "else")
    assert (one.output, one.input) == (tmp_path / "else/f/a.mp4", tmp_path / "a.png")


def test_presets_and_weights_are_meant_from_where_the_file_lies(read, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    touch(tmp_path, "w.keras")
    (tmp_path / "own.toml").write_text("[camera]\nzoom = 3\n")
    (one,) = read('[[job]]\noutput = "a.mp4"\npreset = "own.toml"\nset.network.weights = "w.keras"')
    assert one.resolved.settings.camera.zoom == 3
    assert one.resolved.settings.network.weights == tmp_path / "w.keras"
    assert one.preset == "own"


MANUAL = (Path(__file__).resolve().parents[1] / "docs" / "batch.md").read_text(encoding="utf-8")
EXAMPLE = MANUAL.partition("```toml\n")[2].partition("```")[0]


def test_the_example_of_the_manual_can_be_read_as_it_stands(read, tmp_path):
    touch(tmp_path, "pictures/a.jpg", "pictures/b.jpg", "street.mov", "sky.png", "portrait.jpg", "still/x/y.png")
    (tmp_path / "looks").mkdir()
    (tmp_path / "looks" / "slower.toml").write_text("[camera]\nzoom = 1.1\n")
    found = read(EXAMPLE)
    assert [str(one.error) for one in found if one.error] == []
    assert len(found) == 1 + 2 + 1 + 2 + 12
    assert set(SweepTable.model_fields) == {
        name
        for line in MANUAL.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }


def test_an_editor_can_check_a_jobs_file_with_the_schema():
    schema = job_schema()
    Draft202012Validator.check_schema(schema)
    check = Draft202012Validator(schema)
    assert [error.message for error in check.iter_errors(tomllib.loads(EXAMPLE))] == []
    for wrong in ({"jobs": []}, {"job": [{"prset": "x"}]}, {"job": [{"kind": "loop"}]}, {"sweep": [{"output": "x"}]}):
        assert not check.is_valid(wrong)
    assert not check.is_valid({"defaults": {"set": {"camera": {"zom": 1}}}})
    assert check.is_valid({"defaults": {"set": {"camera.zoom": 1, "seed": 2}, "preset": ["a", "b"], "input": "x"}})


WRONG_ALONE = [
    ('preset = "no-such-look"', "no preset"),
    ("set.camera.zoom = -3", "camera.zoom is -3"),
    ("set.camera.zoom = nan", "camera.zoom is nan"),
    ('set.camera.zoom = "__import__(1)"', "camera.zoom"),
    ('set.film.size = "huge"', "film.size is 'huge'"),
    ("set.dream.steps = 1000000000", "dream.steps is 1000000000"),
    ("seed = -1", "seed is -1"),
]


def test_a_value_that_makes_no_sense_is_that_jobs_error_with_file_line_and_job(read):
    for line, words in WRONG_ALONE:
        text = f'[[job]]\nname = "bad"\noutput = "a.mp4"\n{line}\n\n[[job]]\nname = "good"\noutput = "b.mp4"\n'
        bad, good = read(text)
        assert good.error is None, line
        place = "line 1" if "preset" in line else "line 4"
        for word in (words, f"jobs.toml, {place}", "'bad'"):
            assert word in str(bad.error), line


WRONG_FILE = [
    ("", "asks for no film"),
    ("[[job]\n", "not valid TOML"),
    ('[[jobs]]\noutput = "a.mp4"', "'job'"),
    ('[job]\noutput = "a.mp4"', "[[job]]"),
    ('[[defaults]]\nseed = 1\n[[job]]\noutput = "a.mp4"', "[defaults]"),
    ("[[job]]\n", "output is missing"),
    ('[[job]]\noutput = "a.mp4"\nprioritty = 1', "'priority'"),
    ('[[job]]\noutput = "a.mp4"\nzoom = 1', "camera.zoom belong into its `set`"),
    ('[[job]]\noutput = "a.mp4"\nkind = "loop"', "zoom, video, still"),
    ('[[job]]\noutput = "a.mp4"\nkind = ["zoom"]', "zoom, video, still"),
    ('[[job]]\noutput = "a.mp4"\npriority = "high"', "priority is 'high'"),
    ('[[job]]\noutput = "a.mp4"\nkeep_store = 1', "true or false"),
    ("[[job]]\noutput = 3", "output is 3"),
    ('[[job]]\noutput = "a.mp4"\npreset = []', "preset is []"),
    ('[[job]]\noutput = "a.mp4"\nset.camera.zom = 1', "'camera.zoom'"),
    ('[[job]]\noutput = "a.mp4"\nset.camera = 1', "[camera]"),
    ('[[job]]\noutput = "a.mp4"\nset.__class__ = 1', "__class__"),
    ('[[job]]\noutput = "a.mp4"\nseed = 1\nset.seed = 2', "seed is given twice"),
    ('[[job]]\noutput = "a.mp4"\nset.film.frames = 1\nset.film.seconds = 2', "same thing"),
    ('[[job]]\noutput = "a.mp4"\nmask = "m.png"', "kind video and still"),
    ('[[job]]\noutput = "{sead}.mp4"', "'seed'"),
    ('[[job]]\noutput = "{zoom}.mp4"', "{camera.zoom}"),
    ('[[job]]\noutput = "{name.mp4"', "braces"),
    ('[[job]]\noutput = "{name!r}.mp4"', "width"),
    ('[[job]]\noutput = "{seed:>9999999}.mp4"', "width"),
    ('[[job]]\noutput = "{name.__class__}.mp4"', "no place"),
    ('[[job]]\nname = "{name}"\noutput = "a.mp4"', "no place {name}"),
    ('[[sweep]]\noutput = "a.mp4"', "over is missing"),
    ('[[sweep]]\noutput = "a.mp4"\nover.seed = 3', "list of values"),
    ('[[sweep]]\noutput = "a.mp4"\nover.seed = []', "list of values"),
    ('[[sweep]]\noutput = "a.mp4"\nover.sead = [1]', "'seed'"),
    ('[[sweep]]\noutput = "a.mp4"\nover.preset = [1]', "list of presets"),
    ('[[job]]\noutput = "a.mp4"\nover.seed = [1]', "no key 'over'"),
    (f'[[sweep]]\noutput = "a.mp4"\nover.seed = {[*range(200)]}\nover.dream.steps = {[*range(200)]}', "40000 points"),
    ('[[job]]\nname = "x"\noutput = "a.mp4"\n[[job]]\nname = "x"\noutput = "b.mp4"', "taken already"),
    ("a = " + "[" * 5000, "not valid TOML"),
]


def test_a_mistake_in_how_the_file_is_written_refuses_it_and_is_named(read):
    for text, words in WRONG_FILE:
        with pytest.raises((UsageError, BadInput)) as caught:
            read(text)
        assert words in str(caught.value), text[:200]
        assert "jobs.toml" in str(caught.value), text[:200]


def test_a_mistake_is_told_with_its_line(read):
    with pytest.raises(UsageError, match=r"line 6, job 'two': there is no key 'prset'"):
        read('[[job]]\noutput = "a.mp4"\n\n[[job]]\nname = "two"\nprset = "x"\noutput = "b.mp4"\n')


def test_what_is_no_jobs_file_is_bad_input(tmp_path):
    path = tmp_path / "jobs.toml"
    for data in (None, b"\xff\xfe\0", b"#" * (2 << 20)):
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(BadInput, match=r"jobs\.toml"):
            read_jobs(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(BadInput, match=r"jobs\.toml"):
        read_jobs(path)


CLASHES = [
    ('[[job]]\nname = "a"\noutput = "x.mp4"\n[[job]]\nname = "b"\noutput = "./sub/../x.mp4"', "both"),
    ('[[job]]\nname = "a"\noutput = "x.mp4"\n[[job]]\nname = "b"\ninput = "x.mp4"\noutput = "y.mp4"', "reads"),
    ('[[job]]\nname = "a"\noutput = "f"\n[[job]]\nname = "b"\noutput = "f/x.mp4"', "inside"),
    ('[[job]]\nname = "a"\noutput = "f"\n[[job]]\nname = "b"\ninput = "f/000001.png"\noutput = "y.mp4"', "reads"),
    ('[[job]]\nname = "a"\ninput = "here"\noutput = "x.mp4"\n[[job]]\nname = "b"\noutput = "here/x.mp4"', "into"),
    ('[[job]]\nname = "a"\ninput = "here"\noutput = "here/b.mp4"', "folder that it reads"),
    (
        '[[job]]\nname = "a"\noutput = "b.mp4"\nset.network.weights = "w"\n[[job]]\nname = "b"\noutput = "w"',
        "reads",
    ),
    ('[[job]]\nname = "a b"\noutput = "jobs.toml"', "jobs file itself"),
]


def test_films_that_would_spoil_each_other_are_refused_with_both_names(tmp_path):
    (tmp_path / "here").mkdir()
    path = tmp_path / "jobs.toml"
    for text, words in CLASHES:
        path.write_text(text)
        with pytest.raises(UsageError) as caught:
            open_jobs(path)
        for word in (words, "'a", "b"):
            assert word in str(caught.value), text


def test_any_setting_can_be_part_of_a_name():
    for value, text in (
        (None, "none"),
        (True, "yes"),
        (1.50, "1.5"),
        ("640x360", "640x360"),
        ("a/../b:c", "a_.._b_c"),
        ({"parts": 1.0, "objects:7": 0.5}, "parts-1+objects_7-0.5"),
        ([0.1, 0.2], "0.1,0.2"),
        ("x" * 500, "x" * 60),
        ("///", "_"),
    ):
        assert plain(value) == text
        assert "/" not in fill("{camera.zoom}", {"camera.zoom": value})
