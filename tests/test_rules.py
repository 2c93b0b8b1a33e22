"""Settings that do nothing for what is asked say so; settings that make no sense together are refused."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import films
import numpy as np
import pytest
from looks import Kept
from typer.testing import CliRunner

from renderer.batch.batch_journal import BatchJournal, batch_folder
from renderer.batch.batch_plan import open_jobs, plan_batch
from renderer.cli.main import app
from renderer.errors import UsageError
from renderer.films.new_film import new_film
from renderer.films.render_setup import open_dreamer
from renderer.films.still import dream_here
from renderer.frame import Size
from renderer.media.images import write_image
from renderer.render.recurrence import render
from renderer.setting_types import scales_of
from renderer.settings.kinds import KINDS
from renderer.settings.presets import COMMANDS, builtin_folder, load_preset, resolve
from renderer.settings.schema import build, encode_key, keys

BASE = {
    "network.preprocess": "unit",
    "film.size": "64x48",
    "film.fps": 8,
    "film.frames": 2,
    "dream.layers": "parts",
    "dream.octaves": 2,
    "dream.first_steps": 4,
    "dream.reference": "frame",
    "camera.resample": "catmull-rom",
}
"""What every film here begins from, as if these were the defaults."""

VALUES = {
    "seed": 3,
    "network.precision": "bfloat16",
    "network.preprocess": "caffe",
    "film.size": "50x50",
    "film.fps": 12,
    "film.dreams": 4,
    "camera.resample": "spline",
    "film.seconds": 0.4,
    "film.frames": 3,
    "film.loop": True,
    "film.seam": 0.13,
    "film.run_up": 0.25,
    "start.noise": "pink",
    "start.fit": "stretch",
    "dream.layers": "objects",
    "dream.objective": "square",
    "dream.octave_layers": "edges; objects",
    "dream.cycle": "edges; objects",
    "dream.cycle_seconds": 0.1,
    "dream.cycle_fade": 1,
    "dream.variety": 0.5,
    "dream.variety_period": 1,
    "dream.variation": 1,
    "dream.grey": 1,
    "dream.octaves": 1,
    "dream.octave_ratio": 1.2,
    "dream.octave_sizes": "0.8, 1",
    "dream.smallest_side": 40,
    "dream.largest_side": 60,
    "dream.octave_carry": "picture",
    "dream.octave_blend": 0.5,
    "dream.resample": "linear",
    "dream.normalise": "std",
    "dream.bands": 2,
    "dream.smoothing": 1,
    "dream.smoother": "cascade",
    "dream.centre": "all",
    "dream.colours": "natural",
    "dream.optimiser": "adam",
    "dream.momentum": 0.5,
    "dream.parametrisation": "waves",
    "dream.clip": True,
    "dream.border": 1,
    "dream.steps": 2,
    "dream.first_steps": 5,
    "dream.late_octaves": 1,
    "dream.step_size": 0.1,
    "dream.strength": 2,
    "dream.jitter": 3,
    "dream.reference": 40,
    "dream.detail": 0.8,
    "dream.rotate": 20,
    "dream.scale": 0.2,
    "dream.flip": 1,
    "dream.blur": 2,
    "dream.blur_every": 2,
    "dream.stop_at": -1000,
    "camera.zoom": 2,
    "camera.rotate": 90,
    "camera.pan_x": 1,
    "camera.pan_y": 1,
    "camera.turn_x": 30,
    "camera.turn_y": 30,
    "camera.centre_x": 0.2,
    "camera.centre_y": 0.2,
    "camera.wander": 0.5,
    "camera.wander_period": 2,
    "camera.edges": "wrap",
    "governor.amount": 2,
    "governor.half_life": 0.5,
    "governor.memory": 0.1,
    "governor.luma": 0.8,
    "governor.contrast": 0.4,
    "governor.saturation": 0.1,
    "governor.sharpness": 0.3,
    "governor.noise": 0.2,
    "governor.knee": 0.3,
    "carry.mode": "none",
    "carry.half_life": 0.1,
    "carry.level": 0.3,
    "carry.blend": 0.2,
    "carry.flow": "rough",
    "video.start": 0.05,
    "video.end": 0.05,
    "video.cuts": False,
    "video.threshold": 100,
    "area.box": "0,0,0.5,0.5",
    "area.feather": 0.3,
    "area.keep_colour": True,
    "guide.picture": "dark.png",
    "guide.second": "dark.png",
    "guide.mix": 0.8,
    "guide.style": "dark.png",
    "guide.side": 32,
    "encode.codec": "h265",
    "encode.quality": 30,
    "encode.fps": 24,
    "encode.speed": 0.5,
    "encode.shutter": 180,
    "encode.size": "32x32",
    "encode.fit": "contain",
    "encode.compare": True,
}
"""Setting -> another value than it has."""

GUIDED = {"dream.objective": "match", "guide.picture": "bright.png"}
STYLED = {"dream.objective": "style", "guide.style": "bright.png"}
ONE_SCALE = {"dream.octaves": 1}
LBFGS = {"dream.optimiser": "lbfgs"}
STANDING = {"camera.zoom": 1, "camera.wander": 0}
SLIDING = {"camera.zoom": 1, "camera.pan_x": 1}

BESIDE = {
    "film.seam": [{}, {"film.loop": True, "film.run_up": 0.01, "film.frames": 6}],
    "film.run_up": [{}, {"film.loop": True}],
    "dream.objective": [{}, {"dream.layers": "mean@parts"}],
    "dream.variety": [{}, {"dream.layers": "parts:3"}, {"dream.layers": "content@parts"}],
    "dream.variety_period": [{}, {"dream.variety": 0}],
    "dream.cycle_seconds": [{}, {"dream.cycle": "edges; objects"}],
    "dream.cycle_fade": [{}, {"dream.cycle": "edges; objects", "dream.cycle_seconds": 0.2}],
    "dream.octave_ratio": [{}, ONE_SCALE],
    "dream.smallest_side": [{}, ONE_SCALE],
    "dream.detail": [{}, {"dream.reference": 32}],
    "dream.octave_blend": [{}, ONE_SCALE, {"dream.octave_sizes": "0.8"}],
    "dream.octave_carry": [{}, ONE_SCALE, {"dream.octave_sizes": "0.8"}],
    "dream.resample": [{}, ONE_SCALE, {"dream.octave_sizes": "0.8"}],
    "dream.late_octaves": [{}, ONE_SCALE, {"carry.mode": "blend"}],
    "dream.steps": [{}, {"carry.mode": "none"}, {"carry.mode": "blend"}],
    "dream.bands": [{}, {"dream.normalise": "std"}, LBFGS],
    "dream.momentum": [{}, {"dream.optimiser": "momentum"}, {"dream.optimiser": "adam"}, LBFGS],
    **{f"dream.{name}": [{}, LBFGS] for name in ("normalise", "jitter", "rotate", "scale", "flip")},
    "dream.clip": [{"dream.step_size": 0.5}],
    "dream.blur_every": [{}, {"dream.blur": 2}],
    "camera.centre_x": [{}, {"camera.zoom": 2}, SLIDING],
    "camera.centre_y": [{}, {"camera.rotate": 20}, SLIDING],
    "camera.wander": [{}, {"camera.zoom": 2}, SLIDING],
    "camera.wander_period": [{}, {"camera.zoom": 2, "camera.wander": 0.5}, {"camera.zoom": 2, "camera.wander": 0}],
    "camera.edges": [{"camera.zoom": 0.3}, SLIDING, STANDING],
    **{
        f"governor.{name}": [{}, {"governor.amount": 1}, {"governor.amount": 0}]
        for name in ("half_life", "memory", "luma", "contrast", "saturation", "sharpness", "noise", "knee")
    },
    **{
        f"carry.{name}": [{}, {"carry.mode": "blend"}, {"carry.mode": "none"}, {"carry.mode": "blend-loop"}]
        for name in ("half_life", "level", "flow", "blend")
    },
    "area.feather": [{}, {"area.box": "0,0,0.5,0.5"}],
    "guide.picture": [{}, GUIDED],
    "guide.second": [{**GUIDED, "guide.mix": 0.5}],
    "guide.mix": [{}, {**GUIDED, "guide.second": "dark.png"}],
    "guide.style": [{}, STYLED],
    "guide.side": [{}, GUIDED, STYLED],
}
"""Setting -> what else is said when it is tried: each time it must change the frames, or be refused."""

ELSEWHERE = {
    "network.name": "another network brings other weights: tests/test_networks.py",
    "network.weights": "they count by their content: tests/test_model_files.py",
    "dream.of": "they need a network with a head: tests/test_classes.py",
    "dream.memory": "it says how a picture is looked at, not what comes of it: tests/test_tiles.py",
    "encode.sound": "it changes the file and no frame: tests/test_sound.py",
}
"""Settings that are not tried here, and why."""

SLOW = ("network.precision", "network.preprocess")
"""What opens the network anew, which takes seconds: tried on zooms alone."""


@dataclass(frozen=True)
class World:
    """A kind of film and what it is made from, by the names of `rules.Asked`."""

    kind: str
    folder: Path
    inputs: dict[str, Path] = field(default_factory=dict)

    def resolved(self, chosen, *, checked, presets=()):
        """Settings with what a user chose; where they are `checked`, what does nothing is refused or noted."""
        files = {key: str(self.folder / value) for key, value in chosen.items() if str(value).endswith(".png")}
        return resolve(
            presets=presets,
            flags={key: (f"--{key}", value) for key, value in {**chosen, **files}.items()},
            defaults={**KINDS[self.kind].defaults, **BASE, "network.name": str(self.folder / "tiny.keras")},
            command=self.kind,
            inputs=self.inputs if checked else None,
        )

    def refusal(self, chosen):
        """In which words it is refused that something of this does nothing; "" if it is not."""
        try:
            self.resolved(chosen, checked=True)
        except UsageError as error:
            return str(error)
        return ""

    def frames(self, chosen):
        """The frames of a film with what a user chose."""
        resolved = self.resolved(chosen, checked=False)
        sized = "film.size" in chosen
        film = new_film(self.kind, resolved, self.folder / "film.mp4", self.inputs, sized=sized)
        if self.kind == "still":
            return [dream_here(film, films.Listening()).picture]
        setup, kept = film.render_setup(film.facts({}, films.Listening())), Frames(film.settings.film.size)
        with contextlib.closing(setup):
            render(
                setup.scene,
                setup.dreamer,
                kept,
                governor=setup.governor,
                frames=film.kept.total,
                rate=film.kept.rate,
                report=lambda _: None,
                size=film.settings.dreamed_at(film.kind),
                detail=setup.detail,
            )
        return kept.all


class Frames(Kept):
    """Keeps all frames."""

    def __init__(self, size):
        self.size, self.all = size, []

    def append(self, frame):
        self.all.append(frame.copy())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A network, a clip of two shots, a longer one, pictures, a mask and a list of cuts."""
    place = tmp_path_factory.mktemp("rules")
    films.save_tiny_network(place / "tiny.keras")
    rng = np.random.default_rng(0)
    wide, other = (
        cv2.resize(rng.uniform(0.2, 0.8, (8, 16, 3)).astype(np.float32), (90, 48), interpolation=cv2.INTER_CUBIC)
        for _ in range(2)
    )
    for name, shown in (("clip", [wide] * 2), ("shots", [wide] * 6 + [wide[::-1] * 0.3] * 6)):
        (place / name).mkdir()
        for index, strip in enumerate(shown):
            write_image(strip[:, 2 * index : 2 * index + 64], place / name / f"{index}.png")
    write_image(np.clip(wide[:, :40] * 1.2, 0, 1), place / "bright.png")
    write_image(other[:, :40] * 0.4, place / "dark.png")
    mask = np.zeros((48, 64, 3), np.float32)
    mask[:, 20:] = 1
    write_image(mask, place / "mask.png")
    (place / "cuts.txt").write_text("5\n")
    return place


def same(one, other):
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def wrong_of(worlds, tried):
    """Say of which settings it is not true that another value is refused, and else changes the frames.

    What is refused must truly change nothing.
    """
    wrong, known = [], {}
    for key, beside in tried:
        given = {**beside, key: VALUES[key]}
        for world in worlds:  # One after another with the same settings: they share what TensorFlow has traced.
            refused = world.refusal(given)
            if refused and not refused.startswith(f"--{key}: {key} would do nothing: "):
                continue  # What is said beside it is not for this kind.
            place = world.kind, str(beside)
            try:
                known[place] = known[place] if place in known else world.frames(beside)
                changed = not same(world.frames(given), known[place])
            except UsageError:  # Refused by what takes it.
                continue
            if changed == bool(refused):
                wrong.append(f"{world.kind}: {key} beside {beside} changes {'' if changed else 'no '}frames; {refused}")
    return wrong


def tried_with(names):
    return [(key, beside) for key in names for beside in BESIDE.get(key, [{}])]


def test_every_setting_is_tried_here_or_elsewhere():
    assert {*VALUES, *ELSEWHERE} == set(keys())


@pytest.mark.minutes
def test_another_value_of_any_setting_changes_the_frames_or_is_refused(folder):
    zoom, still = World("zoom", folder), World("still", folder)
    video = World("video", folder, {"clip": folder / "clip"})
    frames = [key for key in VALUES if not key.startswith("encode.") and key not in SLOW]
    shots = ("film.dreams", "video.cuts", "video.threshold")
    assert wrong_of([zoom], tried_with(SLOW)) == []
    assert wrong_of([zoom, video, still], tried_with([key for key in frames if key not in shots])) == []


def test_what_depends_on_the_files_given_changes_the_frames_or_is_refused(folder):
    picture = {"picture": folder / "bright.png"}
    zoom, still = World("zoom", folder, picture), World("still", folder, {**picture, "mask": folder / "mask.png"})
    assert wrong_of([zoom, still], [("film.dreams", {})]) == []
    names = ["start.noise", "start.fit", "film.size", "area.feather", "governor.memory"]
    assert wrong_of([zoom], tried_with(names)) == []
    sized = {"film.size": "64x48"}
    assert wrong_of([still], [*tried_with(names), ("start.fit", sized), ("start.noise", sized)]) == []
    shots = World("video", folder, {"clip": folder / "shots"})
    modes = [{}, {"carry.mode": "none"}, {"carry.mode": "blend"}, {"video.cuts": False}]
    assert (
        wrong_of([shots], [("film.dreams", {}), ("video.cuts", {}), *(("video.threshold", mode) for mode in modes)])
        == []
    )
    known = World("video", folder, {**shots.inputs, "cuts": folder / "cuts.txt"})
    assert wrong_of([known], [("video.threshold", {})]) == []


def test_encoding_counts_for_films_and_not_for_stills(folder):
    for key in ("codec", "quality", "fps", "speed", "shutter", "size", "fit"):
        key = f"encode.{key}"
        assert encode_key(build({key: VALUES[key]}), pixels="", suffix="") != encode_key(
            build({}), pixels="", suffix=""
        )
    sized = {"encode.size": "32x32"}
    for keys_, beside, kinds in (
        ("codec quality size", {}, "still"),
        ("compare", {}, "zoom still"),
        ("fps speed shutter", {}, "video still"),
        ("fit", {}, "zoom video still"),
        ("fit", sized, "still"),
    ):
        for key in keys_.split():
            chosen = {**beside, f"encode.{key}": VALUES[f"encode.{key}"]}
            assert [kind for kind in COMMANDS if World(kind, folder).refusal(chosen)] == kinds.split(), key


def test_what_is_asked_to_be_off_needs_nothing_to_be_off_for(folder):
    off = {"governor.amount": 0, "area.keep_colour": False, "camera.rotate": "1 - 1", "encode.sound": False}
    assert World("still", folder).refusal(off) == ""


def look(tmp_path, text, name="look"):
    path = tmp_path / f"{name}.toml"
    path.write_text(text)
    return str(path)


def notes(presets, kind="zoom", **given):
    return resolve(presets=presets, command=kind, inputs=given.pop("inputs", ()), **given).notes


def test_what_does_nothing_in_a_preset_is_noted_in_one_sentence(tmp_path):
    path = look(tmp_path, "[dream]\nmomentum = 0.5\nblur_every = 2\n[area]\nkeep_colour = true\nfeather = 0.1\n")
    (note,) = notes([path])
    for words in (path, "dream.momentum (dream.optimiser is ascent", "dream.blur_every (dream.blur is 0)", "feather"):
        assert words in note
    on_top = look(tmp_path, f'extends = "{path}"\n[camera]\nzoom = 2\n', "top")
    assert notes([on_top]) == ()  # What it is built on is not its own word.


def test_a_look_for_several_kinds_of_film_is_not_told_what_is_for_the_others(tmp_path):
    text = '[camera]\nzoom = 2\n[start]\nnoise = "pink"\n'
    assert notes([look(tmp_path, f'for = ["zoom", "still"]\n{text}')], "still", inputs=["picture"]) == ()
    assert "no camera" in notes([look(tmp_path, f'for = "still"\n{text}')], "still")[0]
    assert "no camera" in notes([look(tmp_path, text)], "still")[0]


def test_what_something_later_puts_out_of_use_is_not_held_against_a_preset(tmp_path):
    path = look(tmp_path, "[governor]\nluma = 0.3\n")
    assert notes([path], sets=["governor.amount=0"]) == ()
    assert notes([path], sets=["governor.luma=0.4"]) == ()
    quiet = look(tmp_path, "[governor]\namount = 0\n", "quiet")
    assert notes([path, quiet]) == ()
    assert "governor.luma (governor.amount is 0)" in notes([quiet, path])[0]


def test_a_flag_that_does_nothing_ends_the_command_with_2(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for args in (
        ["zoom", "-o", "x.mp4", "--set", "area.box=0,0,1,1"],
        ["zoom", "-o", "x.mp4", "--set", "dream.momentum=0.5"],
        ["still", "-o", "x.png", "--set", "camera.zoom=2"],
        ["still", "-o", "x.png", "--fit", "stretch"],
        ["zoom", "-o", "x.mp4", "--seconds", "1", "--set", "film.frames=2"],
    ):
        done = CliRunner().invoke(app, args)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "would do nothing" in done.stderr or "say the same thing" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_jobs_file_is_told_once_of_a_setting_that_does_nothing(tmp_path):
    path = tmp_path / "jobs.toml"
    path.write_text(
        '[defaults]\noutput = "{name}.png"\nset = { camera.zoom = 2, film.seconds = 3 }\n'
        '[[sweep]]\nname = "a"\nkind = "still"\nset = { dream.momentum = 0.5 }\nover.seed = [1, 2, 3]\n'
    )
    jobs = open_jobs(path)
    planned = plan_batch(jobs, BatchJournal(batch_folder(path, tmp_path)))
    assert [len(one.notes) for one in planned] == [1, 0, 0]
    (note,) = planned[0].notes
    assert note.startswith(f"{path}, line 7, sweep 'a'")
    assert "dream.momentum would do nothing: dream.optimiser is ascent" in note


def test_presets_check_tells_what_does_nothing_by_itself(tmp_path):
    path = look(tmp_path, '# Looks.\nfor = ["zoom", "still"]\n[dream]\nmomentum = 0.5\n[camera]\nzoom = 2\n')
    done = CliRunner().invoke(app, ["presets", "check", path])
    assert done.exit_code == 0
    (note,) = done.stderr.splitlines()
    assert note.startswith(f"{path}, line 4: dream.momentum does nothing by itself")


def test_presets_of_ours_say_nothing_that_does_nothing():
    for path in builtin_folder().glob("*.toml"):
        preset = load_preset(path.stem)
        for kind in preset.commands or COMMANDS:
            asked = {"presets": [preset], "defaults": KINDS[kind].defaults, "command": kind}
            assert resolve(**asked, inputs=()).notes == resolve(**asked, inputs=["picture", "mask"]).notes == ()


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        ({"dream.octave_sizes": "0.8, 1", "dream.octaves": 3}, r"dream.octaves is 3; leave one of them out"),
        ({"dream.octave_sizes": "0.8, 1", "dream.octave_ratio": 1.5}, r"dream.octave_ratio is 1.5"),
        ({"dream.smallest_side": 200, "dream.largest_side": 100}, r"no scale is left"),
        ({"dream.parametrisation": "waves", "dream.clip": True}, r"dream.clip .* waves"),
        ({"dream.parametrisation": "waves", "area.box": "0,0,0.5,0.5"}, r"area.box .* waves"),
        ({"dream.optimiser": "lbfgs", "dream.smoothing": 2}, r"lbfgs .* dream.smoothing is 2"),
        ({"dream.optimiser": "lbfgs", "dream.colours": "natural"}, r"dream.colours is natural"),
        ({"dream.optimiser": "lbfgs", "dream.stop_at": 1.5}, r"dream.stop_at is 1.5"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_in_a_sentence(sets, told):
    with pytest.raises(UsageError, match=told):
        build(sets)
    for key, value in sets.items():
        if key != "dream.octave_ratio":
            build({key: value})


def test_scales_are_named_as_sizes_or_parts_of_the_frame():
    for text, found in [
        ("0.5, 0.71, 1", (0.5, 0.71, 1.0)),
        ("320x180,640x360", (Size(320, 180), Size(640, 360))),
        ([0.5, "64x48", 1], (0.5, Size(64, 48), 1.0)),
        (1, (1.0,)),
    ]:
        assert scales_of(build({"dream.octave_sizes": text}).dream.octave_sizes) == found
    for text in ("", "a", "0", "-1", "5", "nan", "1,,2", True, [True], {}, "1;2"):
        with pytest.raises(UsageError, match=r"dream.octave_sizes is .*: must be"):
            build({"dream.octave_sizes": text})


def test_waves_are_for_stills():
    settings = resolve(sets=["dream.parametrisation=waves"]).settings
    with pytest.raises(UsageError, match="dreamreel still"):
        open_dreamer(settings)


def test_a_recipe_with_a_setting_of_the_users_on_top_still_makes_sense():
    on_top = ["dream.variety=0.5", "dream.step_size=0.01", "dream.normalise=laplacian"]
    for preset in ("google", "tensorflow-tutorial", "pytorch-deepdream", "keras-io"):
        assert resolve(presets=[preset], sets=on_top).settings.dream.step_size == 0.01


def test_the_last_word_on_scales_takes_the_others_back():
    preset = "tensorflow-tutorial"
    few = resolve(presets=[preset], sets=["dream.octaves=2"])
    assert resolve(presets=[preset]).settings.dream.octave_sizes is not None
    assert (few.settings.dream.octaves, few.settings.dream.octave_sizes) == (2, None)
    named = resolve(presets=["loom"], sets=["dream.octave_sizes=0.5,1"]).settings.dream
    assert (named.octave_sizes, named.octaves, named.octave_ratio) == ("0.5, 1", 4, 1.4)
