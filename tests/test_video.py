"""Dreaming over clips that ffmpeg makes here, with the real commands, tiny, with the bundled network."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from films import Listening
from typer.testing import CliRunner

from renderer.cli.main import app
from renderer.errors import BadInput, Interrupted, UsageError
from renderer.films.first_frame import Masks, shrunk
from renderer.films.make import make_film
from renderer.films.new_film import new_film
from renderer.films.recipe import parse_recipe
from renderer.films.replay import film_from_recipe
from renderer.films.video import pictures
from renderer.frame import Size
from renderer.media.ffmpeg import process
from renderer.media.ffmpeg.clips import open_clip
from renderer.media.ffmpeg.encode import read_recipe
from renderer.media.ffmpeg.pipes import FfmpegFailed, ffmpeg_exe, file_url, run
from renderer.media.images import write_image
from renderer.settings.kinds import KINDS
from renderer.settings.presets import resolve

FRAMES = 6
RATE = 12
SETS = ["dream.octaves=2", "dream.first_steps=2", "dream.steps=1"]
FLAGS = [part for text in SETS for part in ("--set", text)]


def make_clip(path, *, source=f"testsrc2=s=96x64:r={RATE}:d=0.5", sound=True, options=()):
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=0.5"] if sound else []
    coded = ["-c:v", "libx264", "-pix_fmt", "yuv420p", *options, *(["-c:a", "aac"] if sound else [])]
    run(["-f", "lavfi", "-i", source, *tone, *coded, "-y", file_url(path)])
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Six frames of 96x64 with sound."""
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


def film(clip, out, *sets, mask=None, cuts=None, **options):
    resolved = resolve(sets=[*SETS, *sets], defaults=KINDS["video"].defaults)
    return new_film("video", resolved, out, {"clip": clip, "mask": mask, "cuts": cuts}, **options)


def make(made, *, stop_after=10**9):
    listening = Listening(stop_after=stop_after)
    return make_film(made, listener=listening, should_stop=listening.should_stop), listening


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def frames_of(path):
    return np.stack(list(open_clip(path).pixels())).astype(int)


@pytest.fixture(scope="module")
def whole(clip, tmp_path_factory):
    """The clip, dreamed over without a stop."""
    out = tmp_path_factory.mktemp("whole") / "dream.mp4"
    make(film(clip, out))
    return out


def test_the_command_dreams_over_a_clip_and_keeps_its_size_rate_length_and_sound(clip, tmp_path):
    out = tmp_path / "dream.mp4"
    done = CliRunner().invoke(app, ["video", str(clip), "-o", str(out), "--json", "-q", *FLAGS])
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["width"], told["height"], told["fps"], told["frames"]) == (96, 64, str(RATE), FRAMES)
    dreamed, source = frames_of(out), frames_of(clip)
    assert dreamed.shape == source.shape
    assert np.abs(dreamed - source).mean() > 2
    sounds = [run(["-i", file_url(p), "-map", "0:a", "-c", "copy", "-f", "framecrc", "-"]).stdout for p in (clip, out)]
    crcs = [[line.split(b",")[-1] for line in text.splitlines() if line.startswith(b"0,")] for text in sounds]
    assert crcs[0] == crcs[1] != []
    assert [path.name for path in tmp_path.iterdir()] == ["dream.mp4"]


def test_a_film_that_was_stopped_goes_on_to_the_same_bytes(clip, tmp_path, whole):
    out = tmp_path / "dream.mp4"
    for stop in (2, 1):
        with pytest.raises(Interrupted):
            make(film(clip, out), stop_after=stop)
    result, listening = make(film(clip, out))
    assert (result.resumed_at, listening.frames) == (3, [3, 4, 5])
    assert "looking for cuts" not in listening.stages
    assert sha256(out) == sha256(whole)


def test_replay_gives_the_same_bytes_also_when_the_clip_has_moved(clip, tmp_path, whole):
    again = tmp_path / "again.mp4"
    done = CliRunner().invoke(app, ["replay", str(whole), "-o", str(again), "-q"])
    assert done.exit_code == 0, done.stderr
    assert sha256(again) == sha256(whole)
    moved = tmp_path / "moved.mp4"
    moved.write_bytes(clip.read_bytes())
    other = tmp_path / "other.mp4"
    done = CliRunner().invoke(app, ["replay", str(whole), "-o", str(other), "-q", "--clip", str(moved)])
    assert done.exit_code == 0, done.stderr
    make_clip(moved, source=f"testsrc=s=96x64:r={RATE}:d=0.5")
    done = CliRunner().invoke(app, ["replay", str(whole), "-o", str(tmp_path / "x.mp4"), "--clip", str(moved)])
    assert done.exit_code == 4
    assert "content is another" in done.stderr


def test_another_clip_under_the_same_name_is_noticed(tmp_path):
    path, out = tmp_path / "clip.mp4", tmp_path / "dream.mp4"
    make_clip(path)
    with pytest.raises(Interrupted):
        make(film(path, out), stop_after=1)
    make_clip(path, source=f"testsrc=s=96x64:r={RATE}:d=0.5")
    with pytest.raises(UsageError, match="another clip"):
        make(film(path, out))


def test_the_recipe_tells_of_the_clip_and_its_cuts(clip, whole):
    recipe = parse_recipe(read_recipe(whole), source=whole)
    assert recipe.kind == "video"
    assert recipe.inputs == {"clip": clip}
    assert recipe.facts == {"cuts": []}
    assert recipe.settings.frame_count == FRAMES
    assert recipe.settings.camera.zoom == 1.0


def test_cuts_are_found_or_given_and_the_dream_begins_anew_there(tmp_path):
    half = f"s=96x64:r={RATE}:d=1"
    path = tmp_path / "cut.mp4"
    both = ["-f", "lavfi", "-i", f"testsrc={half}", "-f", "lavfi", "-i", f"mandelbrot=s=96x64:r={RATE}", "-t", "2"]
    run([*both, "-filter_complex", "[1]trim=end=1[b];[0][b]concat=n=2", "-c:v", "libx264", "-y", file_url(path)])
    made = film(path, tmp_path / "a.mp4", "film.size=48x32")
    assert made.facts({}, Listening()) == {"cuts": [RATE]}
    written = tmp_path / "cuts.txt"
    written.write_text("0.5s\n")
    given = film(path, tmp_path / "b.mp4", "video.end=1", cuts=written)
    assert given.facts({}, Listening()) == {"cuts": [RATE // 2]}
    none = film(path, tmp_path / "c.mp4", "video.cuts=false")
    assert none.facts({}, Listening()) == {"cuts": []}


def test_a_part_of_a_clip_can_be_taken_at_another_rate_and_size(clip, tmp_path):
    out = tmp_path / "part.mp4"
    args = ["--start", "0.25", "--end", "0.5", "--fps", "24", "--size", "64x48"]
    done = CliRunner().invoke(app, ["video", str(clip), "-o", str(out), "--json", "-q", *FLAGS, *args])
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["frames"], told["fps"], told["width"], told["height"]) == (6, "24", 64, 48)


def test_compare_shows_the_clip_at_the_left_and_renders_nothing_again(clip, tmp_path):
    out = tmp_path / "both.mp4"
    make(film(clip, out, keep_store=True))
    result, listening = make(film(clip, out, "encode.compare=true", keep_store=True, overwrite=True))
    assert listening.frames == []
    assert result.size == Size(192, 64)
    shown = frames_of(out)
    assert np.abs(shown[:, :, :96] - frames_of(clip)).mean() < 6
    assert np.abs(shown[:, :, 96:] - shown[:, :, :96]).mean() > 2


def test_frames_of_a_kept_store_are_encoded_again_with_the_sound(clip, tmp_path):
    out, other = tmp_path / "dream.mp4", tmp_path / "other.webm"
    make(film(clip, out, keep_store=True))
    done = CliRunner().invoke(app, ["encode", str(out), "-o", str(other), "-q"])
    assert done.exit_code == 0, done.stderr
    assert open_clip(other).sound is not None


def invoke(*args):
    return CliRunner().invoke(app, list(map(str, args)))


def sounds(path):
    return [track.codec for track in open_clip(path).source.info.sounds]


def test_the_sound_of_a_kept_film_is_found_from_any_folder_and_never_lost_in_silence(clip, tmp_path, monkeypatch):
    """By the path as it was given, meant from where the film was made; another file under that name is passed over."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (project / "clips", project / "out", elsewhere / "clips"):
        folder.mkdir(parents=True)
    (project / "clips" / "one.mp4").write_bytes(clip.read_bytes())
    make_clip(elsewhere / "clips" / "one.mp4", source=f"testsrc=s=96x64:r={RATE}:d=0.5")
    monkeypatch.chdir(project)
    make(film(Path("clips/one.mp4"), Path("out/dream.mp4"), keep_store=True))
    monkeypatch.chdir(elsewhere)
    made, work = project / "out" / "dream.mp4", project / "out" / ".dream.mp4.dreamreel"
    assert invoke("encode", work, "-o", "again.mp4").exit_code == 0 and sounds(elsewhere / "again.mp4") == ["aac"]
    assert invoke("encode", made, "-o", "none.mp4", "--no-sound").exit_code == 0 and not sounds(elsewhere / "none.mp4")
    assert film_from_recipe(made, Path("x.mp4"))[0].clip == project / "clips" / "one.mp4"
    moved = (project / "clips" / "one.mp4").rename(tmp_path / "moved.mp4")
    lost = invoke("encode", made, "-o", "lost.mp4")
    assert lost.exit_code == 4 and not (elsewhere / "lost.mp4").exists()
    assert "--clip" in lost.output and "--no-sound" in lost.output
    assert invoke("encode", made, "-o", "lost.mp4", "--clip", moved).exit_code == 0
    assert sounds(elsewhere / "lost.mp4") == ["aac"]


def test_sound_that_cannot_be_kept_is_said_when_the_film_is_planned(tmp_path):
    clip, spread = make_clip(tmp_path / "in.mov"), ["-af", "pan=5.1.4|c0=c0|c9=c0", "-c:a", "pcm_s16le"]
    run(["-i", file_url(clip), "-c:v", "copy", *spread, file_url(tmp_path / "ten.mov")])
    out, jobs = tmp_path / "out.mp4", tmp_path / "jobs.toml"
    jobs.write_text('[[job]]\nname = "one"\nkind = "video"\ninput = "ten.mov"\noutput = "out.mp4"\n')
    told = "the sound is mixed down from 10 channels to 5.1"
    for command in (
        ["video", tmp_path / "ten.mov", "-o", out, "--dry-run"],
        ["plan", "video", tmp_path / "ten.mov", "-o", out],
    ):
        shown = invoke(*command, *FLAGS)
        assert shown.exit_code == 0 and told in shown.output, shown.output
    shown = invoke("batch", jobs, "--dry-run")
    assert told in shown.output, shown.output
    shown = invoke("video", tmp_path / "ten.mov", "-o", out, *FLAGS)
    assert shown.exit_code == 0 and shown.output.count(told) == 1
    assert "mixed" not in invoke("video", tmp_path / "ten.mov", "-o", out, "--overwrite", "--no-sound", *FLAGS).output
    assert sounds(out) == []


@pytest.mark.parametrize("meant", ["*framecrc*", "*showinfo*", "*rgb24*pipe:1*"])
def test_a_clip_is_not_blamed_for_an_ffmpeg_that_stalls_or_is_killed(tmp_path, monkeypatch, clip, meant):
    real = ffmpeg_exe()
    monkeypatch.setattr(process, "IDLE_SECONDS", 0.3)
    for trouble, told in (("sleep 100 & wait", "was stopped"), ("kill -9 $$", "SIGKILL")):
        script = tmp_path / "ffmpeg"
        script.write_text(f'#!/bin/sh\ncase "$*" in {meant}) {trouble};; esac\nexec {real} "$@"\n')
        script.chmod(0o755)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(script))
        with pytest.raises(FfmpegFailed, match=told):
            list(open_clip(clip).frames())


@pytest.mark.parametrize("stage", ["encode", "read", "dream"])
def test_an_ffmpeg_that_dies_once_costs_no_film_and_one_that_always_does_is_named(tmp_path, monkeypatch, clip, stage):
    """While frames are encoded, while the store is read for it, and while dreams are written into the store."""
    real = ffmpeg_exe()
    meant = {"encode": "*rawvideo*libx264*", "read": "*segment-*rawvideo*", "dream": "*rawvideo*magicyuv*"}[stage]
    script = tmp_path / "ffmpeg"
    mark = tmp_path / "died"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in {meant}) if [ ! -e {mark} ]; then touch {mark}; kill -9 $$; fi;; esac\n'
        f'exec {real} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(script))
    out = tmp_path / "dream.mp4"
    result, listening = make(film(clip, out))
    assert result.frames == FRAMES and mark.exists()
    assert stage == "read" or any("SIGKILL" in note and "Once more" in note for note in listening.notes)
    script.write_text(script.read_text().replace(f"touch {mark}; ", ""))
    mark.unlink()
    shown = invoke("video", clip, "-o", tmp_path / "never.mp4", *FLAGS)
    assert shown.exit_code == 5 and "ffmpeg was killed by signal SIGKILL" in shown.output
    assert not (tmp_path / "never.mp4").exists()


def test_every_other_way_to_carry_makes_a_film_of_its_own(clip, tmp_path):
    shown = {}
    for mode in ("none", "blend", "blend-loop", "blend-random"):
        out = tmp_path / mode
        make(film(clip, out, f"carry.mode={mode}", "film.size=48x32", "video.end=0.25"))
        shown[mode] = frames_of(out)
        assert len(shown[mode]) == FRAMES // 2
    assert (shown["none"] != shown["blend"]).any()


def test_a_box_and_a_mask_leave_the_rest_as_it_is(clip, tmp_path):
    mask = tmp_path / "mask.png"
    drawn = np.zeros((64, 96, 3), np.float32)
    drawn[:, :48] = 1
    write_image(drawn, mask)
    out = tmp_path / "dream"
    make(film(clip, out, "area.box=0,0,1,0.5", "area.feather=0", mask=mask))
    changed = np.abs(frames_of(out) - frames_of(clip)).max(axis=(0, 3))
    assert changed[32:].max() == 0
    assert changed[:, 48:].max() == 0
    assert changed[:32, :48].mean() > 5


def test_frames_between_dreams_keep_to_the_mask_and_to_the_colours_and_hold_a_dream(clip, tmp_path):
    out = tmp_path / "dream"
    make(film(clip, out, f"film.dreams={RATE // 3}", "area.box=0,0,1,0.5", "area.feather=0", "area.keep_colour=true"))
    source, dream = frames_of(clip), frames_of(out)
    changed = np.abs(dream - source).max(axis=3).reshape(FRAMES, 2, 32, 96).mean(axis=(2, 3))
    assert (changed[:, 1] == 0).all()
    between, dreamed = changed[[1, 2, 4], 0], changed[[0, 3, 5], 0]
    assert between.min() > 0.6 * dreamed.min() > 1
    colour = dream[..., 0] - dream[..., 2] - (source[..., 0] - source[..., 2])
    strays = np.abs(colour).mean(axis=(1, 2))  # by rounding, and where a colour does not fit any more
    assert strays[[1, 2, 4]].max() < 1.2 * strays[[0, 3, 5]].max() < 2


def test_a_video_is_dreamed_often_enough_for_motion_to_be_followed(clip, tmp_path):
    with pytest.raises(UsageError, match=r"film.dreams is 1/2, .* give 1 or more: "):
        film(clip, tmp_path / "a.mp4", "film.dreams=0.5")


def test_a_mask_that_moves_keeps_its_last_picture_when_it_ends(clip, tmp_path):
    short = make_clip(tmp_path / "mask.mp4", source=f"color=white:s=96x64:r={RATE}:d=0.2", sound=False)
    masks = Masks(film(clip, tmp_path / "a.mp4", "area.feather=0").settings, short)
    planes = masks.planes(0)
    assert all(next(planes).mean() > 0.98 for _ in range(20))
    assert next(masks.planes(15)).mean() > 0.98


def test_the_edges_of_a_box_are_soft(clip, tmp_path):
    masks = Masks(film(clip, tmp_path / "a.mp4", "area.box=0.25,0.25,0.5,0.5", "area.feather=0.2").settings, None)
    plane = next(masks.planes(0))
    assert plane.max() > 0.95
    assert 0.3 < plane[32, 24] < 0.7


def test_keeping_colour_leaves_the_colours_of_the_clip(clip, tmp_path):
    out = tmp_path / "dream"
    make(film(clip, out, "area.keep_colour=true"))
    dreamed, source = frames_of(out), frames_of(clip)
    inside = ((dreamed > 0) & (dreamed < 255)).all(axis=-1)
    drift = np.abs((dreamed - source) - (dreamed - source).mean(axis=-1, keepdims=True))[inside]
    assert np.abs(dreamed - source).mean() > 2
    assert drift.max() <= 1


def test_without_steps_a_clip_comes_out_as_it_went_in(clip, tmp_path):
    out = tmp_path / "same"
    make(film(clip, out, "dream.first_steps=0", "dream.steps=0"))
    assert np.abs(frames_of(out) - frames_of(clip)).max() <= 1


def test_a_camera_on_top_moves_only_if_it_is_asked_to(clip, tmp_path):
    made = film(clip, tmp_path / "a.mp4")
    there = open_clip(clip)
    plain = [frame for frame, _ in pictures(made.footage(), Masks(made.settings, None), made.settings, 0)]
    np.testing.assert_array_equal(np.stack(plain), np.stack(list(there)))
    moving = film(clip, tmp_path / "b.mp4", "camera.zoom=4")
    zoomed = [frame for frame, _ in pictures(moving.footage(), Masks(moving.settings, None), moving.settings, 0)]
    np.testing.assert_array_equal(zoomed[0], plain[0])
    assert np.abs(zoomed[-1] - plain[-1]).mean() > 0.05


def test_a_clip_that_ends_before_its_time_is_dreamed_as_far_as_it_goes_and_said_to_be_damaged(tmp_path):
    options = ("-g", "1", "-bf", "0", "-movflags", "+faststart", "-x264-params", "bframes=0")
    path = make_clip(tmp_path / "clip.mp4", source=f"testsrc2=s=96x64:r={RATE}:d=2", sound=False, options=options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    out = tmp_path / "dream.mp4"
    result, listening = make(film(path, out, "film.size=48x32"))
    assert 1 < result.frames < 2 * RATE
    assert any("damaged" in note or "cut off" in note for note in listening.notes)
    assert len(frames_of(out)) == result.frames


BAD = [
    (["none.mp4", "-o", "x.mp4"], 4, "none.mp4"),
    (["text.mp4", "-o", "x.mp4"], 4, "text.mp4"),
    (["clip.mp4", "-o", "clip.mp4", "--overwrite"], 2, "is an input"),
    (["clip.mp4", "-o", "x.mp4", "--start", "2", "--end", "1"], 2, "later"),
    (["clip.mp4", "-o", "x.mp4", "--start", "60"], 4, "60"),
    (["clip.mp4", "-o", "x.mp4", "--carry", "flwo"], 2, "'flow'"),
    (["clip.mp4", "-o", "x.mp4", "--half-life", "0"], 2, "carry.half_life"),
    (["clip.mp4", "-o", "x.mp4", "--box", "0.5,0,0.9,1"], 2, "area.box"),
    (["clip.mp4", "-o", "x.mp4", "--cuts", "none.txt"], 4, "none.txt"),
    (["clip.mp4", "-o", "x.mp4", "--mask", "none.png"], 4, "none.png"),
    (["clip.mp4", "-o", "x.foo"], 2, "ending .foo"),
]


def test_bad_input_ends_with_a_sentence_and_leaves_nothing(tmp_path, monkeypatch, clip):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "text.mp4").write_text("hello")
    for args, code, words in BAD:
        done = CliRunner().invoke(app, ["video", *args])
        assert (done.exit_code, words in done.stderr) == (code, True), (args, done.output)
        assert "Traceback" not in done.output
        assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "text.mp4"]


def test_a_large_clip_is_brought_to_a_size_that_can_be_dreamed():
    assert shrunk(Size(640, 360)) == Size(640, 360)
    assert shrunk(Size(3840, 2160)) == Size(1920, 1080)
    assert shrunk(Size(1080, 7680)) == Size(270, 1920)


def test_a_video_film_needs_a_clip_that_is_there(tmp_path):
    with pytest.raises(BadInput, match=r"nothing\.mp4"):
        film(tmp_path / "nothing.mp4", tmp_path / "a.mp4")
