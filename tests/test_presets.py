from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from renderer.cli.main import app
from renderer.errors import BadInput, DreamreelError, UsageError
from renderer.events import ignore
from renderer.films.make import make_film
from renderer.films.new_film import new_film
from renderer.films.recipe import VERSION, parse_recipe
from renderer.films.video import VideoFilm
from renderer.frame import Size
from renderer.inspect.preset_files import check_preset, describe, look_of, new_preset
from renderer.media.ffmpeg.encode import encode
from renderer.settings import document as toml
from renderer.settings import presets
from renderer.settings.kinds import KINDS
from renderer.settings.presets import COMMANDS, builtin_folder, load_preset, preset_files, resolve
from renderer.settings.schema import FILES, flatten, pixel_key


@pytest.fixture(autouse=True)
def user_folder(tmp_path, monkeypatch):
    """A user without presets."""
    folder = tmp_path / "user"
    folder.mkdir()
    monkeypatch.setattr(presets, "user_folder", lambda: folder)
    return folder


def write(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return str(path)


def test_every_preset_of_ours_makes_sense_and_says_what_it_looks_like():
    for path in builtin_folder().glob("*.toml"):
        preset = load_preset(path.stem)
        resolve(presets=[preset])
        checked = check_preset(path.stem)
        assert (checked.problems, checked.notes) == ((), ())
        assert len(preset.about) > 20
        assert preset.values


def test_the_last_word_wins_and_its_origin_is_known(tmp_path):
    one = write(tmp_path, "one", "[camera]\nzoom = 2.0\nrotate = 3\nwander = 0.3\n[film]\nfps = 12\n")
    two = write(tmp_path, "two", "[camera]\nzoom = 3.0\nrotate = 4\n")
    made = resolve(presets=[one, two], sets=["camera.rotate=5", "film.fps=30"], flags={"film.fps": ("--fps", "25")})
    camera = made.settings.camera
    assert (camera.wander, camera.zoom, camera.rotate, made.settings.rate) == (0.3, 3.0, 5.0, 25)
    origins = {k: made.origins[k] for k in ("seed", "camera.wander", "camera.zoom", "camera.rotate", "film.fps")}
    assert origins == {
        "seed": "default",
        "camera.wander": "preset 'one'",
        "camera.zoom": "preset 'two'",
        "camera.rotate": "--set",
        "film.fps": "--fps",
    }


def test_seconds_and_frames_take_each_other_back(tmp_path):
    short = write(tmp_path, "short", "[film]\nframes = 10\n")
    assert resolve(presets=[short]).settings.frame_count == 10
    assert resolve(presets=[short], flags={"film.seconds": ("--seconds", "2")}).settings.frame_count == 48


def test_a_preset_extends_others_and_its_own_word_wins(tmp_path):
    write(tmp_path, "base", "[camera]\nzoom = 2.0\nrotate = 3\n")
    write(tmp_path, "other", "[camera]\nrotate = 7\n")
    top = write(tmp_path, "top", 'extends = ["./base.toml", "./other.toml"]\n[camera]\nzoom = 4\n')
    made = resolve(presets=[top])
    assert (made.settings.camera.zoom, made.settings.camera.rotate) == (4.0, 7.0)
    assert made.origins["camera.rotate"] == "preset 'other'"


def test_a_users_preset_may_build_on_ours_of_the_same_name(user_folder):
    write(user_folder, "menagerie", 'extends = "menagerie"\n[camera]\nrotate = 9\n')
    assert load_preset("menagerie").values["camera.rotate"] == 9
    assert set(load_preset("menagerie").values) > {"camera.rotate"}


def test_presets_that_extend_each_other_in_circles_are_refused(tmp_path):
    write(tmp_path, "a", 'extends = "./b.toml"\n')
    b = write(tmp_path, "b", 'extends = "./a.toml"\n')
    with pytest.raises(UsageError, match="circles"):
        load_preset(b)


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"no preset 'menagery'.*'menagerie'"):
        resolve(presets=["menagery"])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[camera\n", "bad.toml is not valid TOML.*line 1"),
        ("# x\n[camera]\nzom = 1\n", "bad.toml, line 3: There is no setting 'camera.zom'.*camera.zoom"),
        ("[nonsense]\na = 1\n", "line 1: There is no setting 'nonsense'"),
        ("camera = 3\n", "line 1: camera is a group of settings"),
        ("extends = 3\n", "line 1: extends must be"),
        ('for = "vidoe"\n', "line 1: for is 'vidoe'; did you mean 'video'"),
        ("\nfor = [1]\n", "line 2: for must be"),
        ("a = " + "[" * 5000 + "]" * 5000, "nested too deeply|no setting|not valid"),
        ("[camera]\nzoom = nan\n", "bad.toml, line 2: camera.zoom is nan"),
        ('[camera]\nzoom = { "0s" = 1, "4x" = 2 }\n', "bad.toml, line 2: camera.zoom: .*'4x'"),
        ('[dream.layers]\nparts = 1\nobjects = "1/t"\n', r"line 3: dream.layers \(objects\): .*no value at 0 s"),
        ("[dream]\nlayers = { parts = 1e9 }\n", r"line 2: dream.layers \(parts\) is 1000000000.0: must be"),
        ("[__class__]\na = 1\n", "no setting"),
    ],
)
def test_a_preset_with_a_mistake_is_refused_with_the_place(tmp_path, text, what):
    with pytest.raises(DreamreelError, match=what):
        resolve(presets=[write(tmp_path, "bad", text)])


def test_a_file_that_is_no_text_or_too_large_is_no_preset(tmp_path):
    binary, large = tmp_path / "binary.toml", tmp_path / "large.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    large.write_bytes(b"#" * (toml.MAX_BYTES + 1))
    for path in (binary, large):
        with pytest.raises(BadInput, match=r"no preset|too large for a preset"):
            load_preset(str(path))


@pytest.mark.parametrize("wrong", ["camera.zoom", "=3", "", "camera.zom=3", "dream.layers.a=x"])
def test_a_wrong_set_is_refused(wrong):
    with pytest.raises(UsageError):
        resolve(sets=[wrong])


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("camera.zoom=2", "camera.zoom", 2.0),
        ("camera.zoom = 1 + 0.1*t", "camera.zoom", "1 + 0.1*t"),
        ('camera.zoom={"0s"=1.5, "4s"=2}', "camera.zoom", {"0s": 1.5, "4s": 2}),
        ("dream.layers.parts=0.5", "dream.layers", {"parts": 0.5}),
        ("film.size=0x0", None, None),
        ("start.noise=pink", "start.noise", "pink"),
        ("network.weights=/a b/c=d.h5", "network.weights", Path("/a b/c=d.h5")),
    ],
)
def test_set_takes_values_as_toml_has_them_or_plain_text(text, key, value):
    if key is None:
        with pytest.raises(UsageError, match="'0x0'"):
            resolve(sets=[text])
    else:
        assert resolve(sets=[text]).settings.value(key) == value


def test_a_path_in_a_preset_is_meant_from_where_it_lies(tmp_path):
    name = write(tmp_path, "p", '[network]\nweights = "w.h5"\n')
    assert resolve(presets=[name]).settings.network.weights == tmp_path / "w.h5"


def test_a_new_preset_gives_the_settings_it_was_made_from(user_folder):
    made = resolve(
        sets=['camera.zoom={"0s"=1.5, "4s"=2}', "camera.rotate=sin(t)", 'dream.layers={"a b"=0.5}', "film.fps=23.976"],
        flags={"film.frames": ("--frames", "10")},
    )
    new_preset("mine", made)
    assert resolve(presets=["mine"]).settings == made.settings
    assert "mine" in preset_files()
    assert [name for name, about, _, _ in describe(preset_files()) if about] == list(preset_files())
    with pytest.raises(UsageError, match="already"):
        new_preset("mine", made)


@pytest.mark.parametrize("wrong", ["", "a/b", "..", "a b", "x" * 100])
def test_a_preset_has_a_plain_name(wrong):
    with pytest.raises(UsageError, match="named with letters"):
        new_preset(wrong, resolve())


def test_check_tells_every_mistake_of_a_file_with_its_line(tmp_path):
    name = write(
        tmp_path,
        "bad",
        'for = "cinema"\nextends = "./base.toml"\n[camera]\nzom = 1\nrotate = "sin("\n[film]\nfps = 0\nseconds = -1\n'
        '[network]\nname = "dreamet"\n',
    )
    write(tmp_path, "base", "[governor]\nluma = 7\n")
    checked = check_preset(name)
    found = sorted(problem.partition(": ")[0].rpartition("/")[2] for problem in checked.problems)
    lines = [f"bad.toml, line {line}" for line in (1, 4, 5, 7, 8, 10)]
    assert found == sorted([*lines, "base.toml, line 2"])
    assert "did you mean 'dreamnet'" in "".join(checked.problems)


def test_check_goes_on_after_a_bad_preset_and_ends_with_4(tmp_path):
    bad = write(tmp_path, "bad", "[camera]\nzoom = -1\nrotate = true\n")
    done = CliRunner().invoke(app, ["presets", "check", bad, "meadow", str(tmp_path / "none.toml")])
    assert done.exit_code == 4
    first, second, good, missing = done.stdout.splitlines()
    assert ("line 2: camera.zoom" in first, "line 3: camera.rotate" in second) == (True, True)
    assert good.startswith("meadow: good") and "no preset file" in missing
    assert CliRunner().invoke(app, ["presets", "check", "meadow"]).exit_code == 0


def test_an_error_over_time_names_the_line_of_the_preset_that_it_came_from(tmp_path):
    base = write(tmp_path, "base", "\n[camera]\nzoom = '2 - t'\n")
    top = write(tmp_path, "top", 'extends = "./base.toml"\n[film]\nseconds = 9\n')
    with pytest.raises(UsageError, match=r"base\.toml, line 3: camera\.zoom: .* allowed is"):
        resolve(presets=[top])
    assert resolve(presets=[base], sets=["film.seconds=1"]).places["camera.zoom"].endswith("base.toml, line 3")
    with pytest.raises(UsageError, match=r"^--set: camera\.zoom: "):
        resolve(presets=[base], sets=["camera.zoom=1/t"])


def test_what_is_said_again_is_no_longer_blamed_on_the_preset(tmp_path):
    base = write(tmp_path, "base", "[dream.layers]\nparts = 1\nobjects = 2\n")
    with pytest.raises(UsageError, match=r"^--set: dream\.layers \(parts\)"):
        resolve(presets=[base], sets=['dream.layers={parts="1/t"}'])
    with pytest.raises(UsageError, match=r"base\.toml, line 2: dream\.layers \(parts\)"):
        resolve(presets=[write(tmp_path, "base", "[dream.layers]\nparts = '1/t'\nobjects = 2\n")])


def test_a_preset_for_another_command_is_used_with_a_note(tmp_path, user_folder):
    write(user_folder, "river", '# Flows.\nfor = "video"\n[dream]\nstrength = 0.5\n')
    write(user_folder, "brook", 'extends = "river"\n[dream]\nsteps = 2\n')
    assert load_preset("brook").commands == ("video",)
    made = resolve(presets=["brook"], command="zoom")
    assert made.settings.dream.strength == 0.5
    assert made.notes == ("The preset 'brook' is meant for video, not for zoom; it is used all the same.",)
    told = CliRunner().invoke(app, ["zoom", "-o", str(tmp_path / "x.foo"), "--preset", "brook"]).stderr
    assert told.startswith(made.notes[0])
    assert resolve(presets=["brook"], command="video").notes == ()
    assert resolve(presets=["menagerie"], command="video").notes == ()


def test_list_shows_the_presets_for_a_command(user_folder):
    write(user_folder, "river", '# Flows.\nfor = ["video"]\n')
    names = {
        name: [
            line.split()[0] for line in CliRunner().invoke(app, ["presets", "list", "--for", name]).stdout.splitlines()
        ]
        for name in COMMANDS
    }
    assert ("river" in names["video"], "river" in names["zoom"], "menagerie" in names["still"]) == (True, False, True)
    wrong = CliRunner().invoke(app, ["presets", "list", "--for", "vidoe"])
    assert (wrong.exit_code, "'video'" in wrong.stderr) == (2, True)


def test_show_begins_from_the_defaults_of_the_command_that_a_preset_is_for(user_folder):
    write(user_folder, "river", '# Flows.\nfor = ["video"]\n[dream]\nstrength = 0.5\n')

    def shown(*args):
        return json.loads(CliRunner().invoke(app, ["presets", "show", "--json", *args]).stdout)

    assert shown("river")["settings"]["camera.zoom"] == KINDS["video"].defaults["camera.zoom"]
    assert shown("river", "--for", "zoom")["settings"]["camera.zoom"] == 1.5
    told = shown("river")
    assert (told["origins"]["dream.strength"], told["origins"]["seed"]) == ("preset 'river'", "default")
    assert told["places"]["dream.strength"].endswith("river.toml, line 4")


def film_made_with(folder: Path, kind: str, *sets: str) -> tuple[Path, presets.Resolved]:
    """Write a file with the recipe of a film, without dreaming it."""
    import numpy as np

    from renderer.films.recipe import write_recipe

    made = resolve(sets=["film.size=32x16", *sets], defaults=KINDS[kind].defaults)
    inputs = {"clip": (folder / "clip.mp4", "0" * 64)} if kind == VideoFilm.kind else {}
    recipe = write_recipe(
        made.settings,
        kind=kind,
        inputs=inputs,
        facts={},
        weights_sha256="",
        environment={"dreamreel": "0"},
        pixel_key="",
        film_key="",
    )
    out = folder / "film.mp4"
    frames = iter([np.zeros((16, 32, 3), np.uint8)] * 3)
    encode(frames, out, size=Size(32, 16), rate=made.settings.rate, recipe=recipe, threads=1)
    return out, made


def test_a_preset_from_a_zoom_gives_its_settings_back(tmp_path):
    film, made = film_made_with(
        tmp_path, "zoom", "camera.zoom=1+t/T", 'dream.layers={parts="t", objects=0.5}', "seed=3"
    )
    new_preset("again", resolve(presets=[look_of(film)]), about="As it was.")
    assert (load_preset("again").commands, load_preset("again").about) == (("zoom",), "As it was.")
    assert resolve(presets=["again"], defaults=KINDS["zoom"].defaults).settings == made.settings


def test_a_preset_from_a_video_leaves_out_what_the_clip_decides(tmp_path):
    film, _ = film_made_with(
        tmp_path,
        VideoFilm.kind,
        "film.frames=3",
        "film.fps=7",
        "video.start=2",
        "carry.half_life=2",
        "encode.codec=h264",
    )
    done = CliRunner().invoke(app, ["presets", "new", "river", "--from", str(film), "--set", "dream.strength=0.5"])
    assert done.exit_code == 0, done.output
    found = load_preset("river")
    assert dict(found.values) == {"carry.half_life": 2.0, "dream.strength": 0.5}
    assert found.commands == ("video",)


def test_a_preset_from_a_file_without_a_recipe_is_refused(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"no film")
    done = CliRunner().invoke(app, ["presets", "new", "x", "--from", str(tmp_path / "x.mp4")])
    assert (done.exit_code, "recipe" in done.stderr) == (4, True)


def test_a_preset_from_a_picture_dreams_it_again(tmp_path):
    made = resolve(sets=["film.size=32x32", "dream.octaves=1", "dream.first_steps=1", "start.noise=pink"])
    make_film(new_film("still", made, tmp_path / "x.png", {}), listener=ignore)
    look = look_of(tmp_path / "x.png")
    assert dict(look.values) == {"dream.octaves": 1, "dream.first_steps": 1, "start.noise": "pink"}
    assert look.commands == ("still",)


def test_a_setting_is_read_by_the_name_that_it_had(tmp_path):
    path = tmp_path / "old.toml"
    path.write_text('[dream]\nclasses = { goldfish = "1 - t/T", dog = -0.5 }\n')
    resolved = resolve(presets=[str(path)], sets=["dream.of.castle=2"])
    assert resolved.settings.dream.of == {"goldfish": "1 - t/T", "dog": -0.5, "castle": 2.0}
    assert resolved.notes[0] == f"{path}, line 2: dream.classes is called dream.of now; it is taken for that."
    assert check_preset(str(path)).notes == resolved.notes
    assert resolve(flags={"dream.classes": ("--class", "dog")}).settings.dream.of == {"dog": 1.0}
    with pytest.raises(UsageError, match="--class and --of say the same"):
        resolve(flags={"dream.classes": ("--class", "dog"), "dream.of": ("--of", "cat")})
    path.write_text("[dream]\nclasses = { dog = 1 }\nof = { cat = 1 }\n")
    with pytest.raises(UsageError, match=r"line 2: dream.classes is called dream.of now, and both are given"):
        resolve(presets=[str(path)])


def test_a_word_that_means_nothing_is_told_with_its_place_and_the_nearest(tmp_path):
    path = tmp_path / "castel.toml"
    path.write_text("[dream]\nof = { castel = 1 }\n")
    with pytest.raises(UsageError, match=r"castel.toml, line 2: dream.of .*no class 'castel'; did you mean 'castle'"):
        resolve(presets=[str(path)])
    assert resolve(sets=["dream.of=483"]).settings.dream.of == {"483": 1.0}
    assert "517 ('crane')" in resolve(sets=["dream.of=crane"]).notes[0]


def test_the_recipe_of_an_earlier_film_is_read_and_its_film_has_the_same_key(tmp_path):
    recipe = {"dreamreel": "1", "recipe": VERSION, "kind": "still", "inputs": {}, "facts": {}, "weights_sha256": ""}
    held = {"settings": {"dream.classes": {"goldfish": 1.0}}, "environment": {}, "seams": []}
    settings = parse_recipe({**recipe, **held}, source=tmp_path).settings
    assert settings.dream.of == {"goldfish": 1.0}
    pixels = {k: v for k, v in flatten(settings).items() if not k.startswith("encode.") and k not in FILES.values()}
    for younger in ("film.dreams", "dream.reference", "dream.detail", "camera.resample"):
        pixels.pop(younger, None)
    pixels |= {"film.frames": 144, "film.seconds": None, "dream.classes": pixels.pop("dream.of")}
    text = json.dumps({"settings": pixels, "inputs": {}, "environment": {}}, sort_keys=True, separators=(",", ":"))
    assert pixel_key(settings, inputs={}, environment={}) == hashlib.sha256(text.encode()).hexdigest()
