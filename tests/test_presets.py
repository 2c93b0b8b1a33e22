from __future__ import annotations

from pathlib import Path

import pytest

from renderer.errors import BadInput, DreamreelError, UsageError
from renderer.jobs import presets
from renderer.jobs.presets import builtin_folder, describe, load_preset, new_preset, preset_files, resolve


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


@pytest.mark.parametrize("path", sorted(builtin_folder().glob("*.toml")), ids=lambda path: path.stem)
def test_every_preset_of_ours_makes_sense_and_says_what_it_looks_like(path):
    preset = load_preset(path.stem)
    resolve(presets=[path.stem])
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
        ("[camera\n", "not valid TOML"),
        ("[camera]\nzom = 1\n", "no setting 'camera.zom'.*camera.zoom"),
        ("[nonsense]\na = 1\n", "no setting"),
        ("camera = 3\n", "group of settings"),
        ("extends = 3\n", "extends must be"),
        ("a = " + "[" * 5000 + "]" * 5000, "nested too deeply|no setting|not valid"),
        ("[camera]\nzoom = nan\n", "preset 'bad': camera.zoom is nan"),
        ("[__class__]\na = 1\n", "no setting"),
    ],
)
def test_a_preset_with_a_mistake_is_refused_with_the_place(tmp_path, text, what):
    with pytest.raises(DreamreelError, match=what):
        resolve(presets=[write(tmp_path, "bad", text)])


def test_a_file_that_is_no_text_or_too_large_is_no_preset(tmp_path):
    binary, large = tmp_path / "binary.toml", tmp_path / "large.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    large.write_bytes(b"#" * (presets.MAX_BYTES + 1))
    for path in (binary, large):
        with pytest.raises(BadInput, match="no preset"):
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
    assert [name for name, about, _ in describe(preset_files()) if about] == list(preset_files())
    with pytest.raises(UsageError, match="already"):
        new_preset("mine", made)


@pytest.mark.parametrize("wrong", ["", "a/b", "..", "a b", "x" * 100])
def test_a_preset_has_a_plain_name(wrong):
    with pytest.raises(UsageError, match="named with letters"):
        new_preset(wrong, resolve())
