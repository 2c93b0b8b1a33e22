"""A film made from another has its sound: whole, bit by bit where it can be, and at the right moment to the end."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from renderer.errors import BadInput, UsageError
from renderer.frame import Pixels, Size
from renderer.media.ffmpeg.clips import open_clip
from renderer.media.ffmpeg.encode import Encoder, choose_format, encode, read_recipe
from renderer.media.ffmpeg.pipes import file_url, run
from renderer.media.ffmpeg.probe import probe
from renderer.media.ffmpeg.sound import Sound, SoundPlan, plan_sound

X264 = ["-c:v", "libx264", "-preset", "ultrafast"]
SAMPLES = 48_000
LAVFI = ["-f", "lavfi", "-i"]


def make(path: Path, *inputs_and_options: str) -> Path:
    run(["-y", *inputs_and_options, file_url(path)])
    return path


def film(path: Path, *options: str, rate: str = "24", seconds: float = 2, sound: str = "sine=f=440") -> Path:
    """A small film with one track of sound."""
    pictures = [*LAVFI, f"testsrc2=s=48x32:r={rate}:d={seconds}"]
    return make(path, *pictures, *LAVFI, f"{sound}:d={seconds}", *X264, *(options or ("-c:a", "aac")))


def again(source: Path, out: Path, *, sound: Sound | None = None, **options) -> tuple[str, ...]:
    """Make a film of the frames and the sound of another."""
    clip = open_clip(source, **options)
    return encode(
        clip.pixels(), out, size=clip.size, rate=clip.rate, sound=sound or clip.sound, recipe={"a": 1}, overwrite=True
    )


def stored(path: Path, track: str) -> list[tuple[int, str]]:
    """Size and checksum of every packet of a track."""
    text = run(["-i", file_url(path), "-map", f"0:{track}", "-c", "copy", "-f", "framecrc", "pipe:1"]).stdout.decode()
    rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")]
    return [(int(row[4]), row[5].strip()) for row in rows]


def heard(path: Path, track: int = 0) -> np.ndarray:
    """Samples of a track, mono, from the moment that the first frame is shown (silence where there is none)."""
    begin = probe(path).offset
    mono = ["-map", f"0:a:{track}", "-af", "aresample=async=1:first_pts=0:min_hard_comp=0.01", "-ac", "1"]
    samples = [*mono, "-ar", str(SAMPLES), "-f", "f32le", "pipe:1"]
    # Read with the pictures: of MPEG streams ffmpeg would count the time from the first sound otherwise.
    raw = run(["-i", file_url(path), *samples, "-map", "0:V:0", "-frames:v", "1", "-f", "null", "-"]).stdout
    return np.frombuffer(raw, np.float32)[round(begin * SAMPLES) :]


def onset(path: Path, track: int = 0) -> float:
    """When the beep begins, seconds after the first frame: the middle of its rise over 10 ms."""
    loud = np.abs(heard(path, track))
    return float(np.argmax(loud > 0.3 * loud.max())) / SAMPLES


def flash(path: Path) -> float:
    """When the white frame is shown, seconds after the first."""
    clip = open_clip(path)
    bright = [float(frame.mean()) for frame in clip.frames()]
    return float(int(np.argmax(np.array(bright) > 0.5)) / clip.rate)


def flash_and_beep(path: Path, at: float, seconds: float, *options: str, rate: str = "30") -> Path:
    """A film that flashes and beeps at the same moment, once."""
    white = (
        f"color=black:s=32x32:r={rate}:d={seconds},drawbox=c=white:t=fill:enable='between(t,{at - 0.001},{at + 0.4})'"
    )
    beep = f"aevalsrc='0.8*sin(2*PI*880*t)*between(t,{at},{at + 0.4})':s={SAMPLES}:d={seconds}"
    return make(path, *LAVFI, white, *LAVFI, beep, *X264, "-c:a", "aac", "-b:a", "128k", *options)


# --- together to the end ---------------------------------------------------------------------------------------------

# Every third frame is dropped, then every second, and a whole stretch: what a phone does in the dark.
PHONE = "select='if(lt(t,2),mod(n,3),mod(n,2)+between(n,114,118))*not(between(n,70,85))'"


@pytest.mark.parametrize("out", ["out.mp4", "out.webm", "out.mov"])
def test_a_film_of_a_variable_rate_has_its_sound_within_a_frame_at_the_end(tmp_path: Path, out: str) -> None:
    phone = ["-vf", PHONE, "-fps_mode", "vfr", "-enc_time_base", "1/90000"]
    source = flash_and_beep(tmp_path / "phone.mp4", 3.8, 4.4, *phone)
    clip = open_clip(source)
    assert not probe(source).constant and any("different lengths" in note for note in clip.notes)
    again(source, tmp_path / out)
    apart = flash(tmp_path / out) - onset(tmp_path / out)
    assert abs(apart) < 1 / clip.rate
    assert abs(flash(tmp_path / out) - 3.8) < 1 / clip.rate


@pytest.mark.parametrize("name", ["in.mp4", "in.mkv", "in.ts"])
def test_at_24000_1001_neither_sound_nor_picture_drifts(tmp_path: Path, name: str) -> None:
    source = flash_and_beep(tmp_path / name, 28.9, 30, rate="24000/1001")
    clip = open_clip(source)
    assert clip.rate == Fraction(24000, 1001)
    again(source, tmp_path / "out.mp4")
    apart = flash(tmp_path / "out.mp4") - onset(tmp_path / "out.mp4")
    assert abs(apart) < 1 / clip.rate
    made = probe(tmp_path / "out.mp4")
    # Over an hour, 120 times as much must still be under a frame.
    assert made.constant and made.rate == clip.rate and abs(made.seconds - clip.seconds) * 120 < 1 / clip.rate


@pytest.mark.parametrize(("container", "out"), [("mp4", "out.webm"), ("mkv", "out.mp4"), ("ts", "out.mov")])
def test_a_part_keeps_picture_and_sound_together(tmp_path: Path, out: str, container: str) -> None:
    source = flash_and_beep(tmp_path / f"in.{container}", 2.5, 4, "-g", "15")
    again(source, tmp_path / out, start=1.3, end=3.4)
    assert flash(tmp_path / out) == pytest.approx(1.2, abs=0.001)
    assert onset(tmp_path / out) == pytest.approx(1.2, abs=0.02)
    assert len(heard(tmp_path / out)) / SAMPLES == pytest.approx(2.1, abs=0.06)
    assert open_clip(tmp_path / out).count == 63


@pytest.mark.parametrize(
    ("container", "out", "late"),
    [
        *(("mp4", "out.webm", 0.7), ("mkv", "out.mov", 0.7), ("ts", "out.mp4", 0.7)),
        *(("mp4", "out.mov", -0.4), ("mkv", "out.mp4", -0.4), ("ts", "out.webm", -0.4)),
    ],
)
def test_sound_that_starts_late_or_early_keeps_its_distance(
    tmp_path: Path, out: str, container: str, late: float
) -> None:
    """Late: the sound begins after the picture. Early: the picture begins after the sound."""
    pictures = [*LAVFI, "color=black:s=32x32:r=25:d=2,drawbox=c=white:t=fill:enable='gte(t,1)'"]
    beep = [*LAVFI, f"aevalsrc='0.8*sin(2*PI*880*t)*gte(t,0.5)':s={SAMPLES}:d=1.5"]
    shift = ["-itsoffset", f"{abs(late)}"]
    inputs = [*pictures, *shift, *beep] if late > 0 else [*shift, *pictures, *beep]
    source = make(tmp_path / f"in.{container}", *inputs, *X264, "-c:a", "aac")
    expected = 0.5 + late
    assert onset(source) == pytest.approx(expected, abs=0.01)
    again(source, tmp_path / out)
    assert flash(tmp_path / out) == pytest.approx(1, abs=0.001)
    assert onset(tmp_path / out) == pytest.approx(expected, abs=0.01)


def test_a_hole_in_the_sound_stays_a_hole_when_it_is_converted(tmp_path: Path) -> None:
    beep = f"aevalsrc='0.8*sin(2*PI*880*t)*gte(t,2)':s={SAMPLES}:d=3"
    hole = ["-af", "aselect='not(between(t,0.5,1.5))'"]
    pictures = [*LAVFI, "color=black:s=32x32:r=25:d=3"]
    source = make(tmp_path / "in.mkv", *pictures, *LAVFI, beep, *X264, *hole, "-c:a", "pcm_s16le")
    again(source, tmp_path / "out.mp4")
    assert onset(source) == pytest.approx(2, abs=0.03)
    assert onset(tmp_path / "out.mp4") == pytest.approx(2, abs=0.03)


# --- copied or converted ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "container", "out"),
    [
        *(
            ("aac", "mp4", "out.mp4"),
            ("aac", "mkv", "out.mp4"),
            ("libmp3lame", "mkv", "out.mp4"),
            ("ac3", "mkv", "out.mp4"),
        ),
        *(("libopus", "mkv", "out.mp4"), ("flac", "mkv", "out.mp4"), ("libopus", "webm", "out.webm")),
        *(
            ("libvorbis", "mkv", "out.webm"),
            ("pcm_s16le", "mov", "out.mov"),
            ("aac", "mp4", "out.mov"),
            ("alac", "mov", "out.mov"),
        ),
    ],
)
def test_a_track_that_the_file_takes_is_copied_bit_by_bit(tmp_path: Path, codec: str, container: str, out: str) -> None:
    video = ["-c:v", "libvpx-vp9", "-deadline", "realtime"] if container == "webm" else X264
    source = film(tmp_path / f"in.{container}", *video, "-c:a", codec)
    assert again(source, tmp_path / out) == ()
    packets = stored(tmp_path / out, "a:0")
    assert packets and packets == stored(source, "a:0")
    assert probe(tmp_path / out).sounds[0].codec == probe(source).sounds[0].codec
    assert read_recipe(tmp_path / out) == {"a": 1}


@pytest.mark.parametrize(
    ("codec", "out", "becomes"),
    [
        ("pcm_s16le", "out.mp4", "aac"),
        ("libvorbis", "out.mp4", "aac"),
        ("aac", "out.webm", "opus"),
        ("flac", "out.mov", "alac"),
    ],
)
def test_a_track_that_the_file_does_not_take_is_converted_and_sounds_the_same(
    tmp_path: Path, codec: str, out: str, becomes: str
) -> None:
    source = film(tmp_path / "in.mkv", "-c:a", codec)
    notes = again(source, tmp_path / out)
    assert len(notes) == 1 and "converted from" in notes[0] and out in notes[0]
    assert [track.codec for track in probe(tmp_path / out).sounds] == [becomes]
    one, two = heard(source), heard(tmp_path / out)
    assert abs(len(one) - len(two)) < 0.06 * SAMPLES
    middle = slice(SAMPLES // 4, SAMPLES)
    assert np.sqrt(np.mean((one[middle] - two[middle]) ** 2)) < 0.1 * np.sqrt(np.mean(one[middle] ** 2))


def test_five_channels_with_the_other_order_are_converted_too(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mkv", "-c:a", "ac3", sound="anoisesrc=a=0.1")
    side = tmp_path / "side.mkv"
    make(
        side,
        "-i",
        file_url(source),
        "-c:v",
        "copy",
        "-af",
        "pan=5.1(side)|FL=c0|FR=c0|FC=c0|LFE=c0|SL=c0|SR=c0",
        "-c:a",
        "ac3",
    )
    assert probe(side).sounds[0].channels == 6
    again(side, tmp_path / "out.webm")
    assert [(track.codec, track.channels) for track in probe(tmp_path / "out.webm").sounds] == [("opus", 6)]


def many(path: Path, *options: str) -> Path:
    """Two tracks of sound with languages, two of subtitles, and a cover."""
    words = path.with_suffix(".srt")
    words.write_text("1\n00:00:00,300 --> 00:00:00,900\nhello\n\n2\n00:00:01,200 --> 00:00:01,800\nworld\n")
    inputs = [*LAVFI, "testsrc2=s=48x32:r=24:d=2", *LAVFI, "sine=f=440:d=2", *LAVFI, "sine=f=880:d=2"]
    tags = ["-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu", "-metadata:s:s:0", "language=fra"]
    maps = ["-map", "0", "-map", "1", "-map", "2", "-map", "3", "-map", "3"]
    return make(path, *inputs, "-i", file_url(words), *maps, *X264, *tags, *options)


@pytest.mark.parametrize(
    ("name", "out"), [("in.mkv", "out.mp4"), ("in.mp4", "out.mp4"), ("in.mkv", "out.webm"), ("in.mkv", "out.mov")]
)
def test_all_tracks_of_sound_and_subtitles_are_kept_with_their_languages(tmp_path: Path, name: str, out: str) -> None:
    words = "mov_text" if name.endswith("mp4") else "subrip"
    source = many(tmp_path / name, "-c:a", "aac", "-c:s", words)
    again(source, tmp_path / out)
    info = probe(tmp_path / out)
    assert len(info.sounds) == 2 and len(info.subtitles) == 2
    log = run(["-v", "info", "-i", file_url(tmp_path / out), "-f", "null", "-"]).log
    assert re.search(r"\((eng)\): Audio", log)
    if out != "out.mov":  # QuickTime has no number for the modern abbreviation of this language.
        assert re.search(r"\((deu|ger)\): Audio", log)
    assert re.search(r"\((fra|fre)\): Subtitle", log)
    text = run(["-i", file_url(tmp_path / out), "-map", "0:s:0", "-f", "srt", "pipe:1"]).stdout.decode()
    assert "hello" in text and "00:00:00,300" in text and "00:00:01,200" in text
    pitch = [np.argmax(np.abs(np.fft.rfft(heard(tmp_path / out, track)[SAMPLES // 2 :][:SAMPLES]))) for track in (0, 1)]
    assert pitch == [440, 880]
    if out == "out.mp4":
        assert [stored(tmp_path / out, f"a:{k}") for k in (0, 1)] == [stored(source, f"a:{k}") for k in (0, 1)]


def test_subtitles_are_cut_with_the_film(tmp_path: Path) -> None:
    source = many(tmp_path / "in.mkv", "-c:a", "aac", "-c:s", "subrip")
    for out in ("out.mp4", "out.webm"):
        again(source, tmp_path / out, start=1.0, end=1.5)
        text = run(["-i", file_url(tmp_path / out), "-map", "0:s:1", "-f", "srt", "pipe:1"]).stdout.decode()
        assert "world" in text and "hello" not in text and "00:00:00,200 --> 00:00:00,500" in text
        log = run(["-v", "info", "-i", file_url(tmp_path / out), "-f", "null", "-"]).log
        assert re.search(r"\((fra|fre)\): Subtitle", log)
        again(source, tmp_path / out, end=0.2)  # None of them is shown so early.
        assert len(probe(tmp_path / out).sounds) == 2 and probe(tmp_path / out).subtitles == ()


def test_subtitles_that_are_pictures_are_left_out_with_a_note(tmp_path: Path) -> None:
    text = many(tmp_path / "in.mkv", "-c:a", "aac", "-c:s", "subrip").read_bytes()
    source = tmp_path / "pictures.mkv"
    source.write_bytes(text.replace(b"S_TEXT/UTF8", b"S_HDMV/PGS\0"))
    assert [track.codec for track in probe(source).subtitles] == ["hdmv_pgs_subtitle"] * 2
    notes = again(source, tmp_path / "out.mp4")
    assert len(notes) == 1 and "hdmv_pgs_subtitle" in notes[0] and "cannot hold" in notes[0]
    assert len(probe(tmp_path / "out.mp4").sounds) == 2 and probe(tmp_path / "out.mp4").subtitles == ()


def test_tracks_can_be_chosen_and_sound_can_come_from_another_file(tmp_path: Path) -> None:
    source = many(tmp_path / "in.mkv", "-c:a", "aac", "-c:s", "subrip")
    again(source, tmp_path / "one.mp4", sound=Sound(source=source, tracks=(1,), subtitles=False))
    info = probe(tmp_path / "one.mp4")
    assert len(info.sounds) == 1 and info.subtitles == ()
    assert stored(tmp_path / "one.mp4", "a:0") == stored(source, "a:1")
    with pytest.raises(UsageError, match="no track of sound number 2"):
        again(source, tmp_path / "none.mp4", sound=Sound(source=source, tracks=(2,)))
    for name in ("song.mp3", "song.wav", "song.flac", "song.ogg", "song.m4a"):
        song = make(tmp_path / name, *LAVFI, f"aevalsrc='0.8*sin(2*PI*880*t)*gte(t,1)':s={SAMPLES}:d=2")
        again(source, tmp_path / "with.mp4", sound=Sound(source=song))
        assert onset(tmp_path / "with.mp4") == pytest.approx(1, abs=0.01)
        if name in ("song.mp3", "song.ogg"):
            again(source, tmp_path / "with.mp4", sound=Sound(source=song, start=Fraction(1, 2), end=Fraction(3, 2)))
            assert onset(tmp_path / "with.mp4") == pytest.approx(0.5, abs=0.04)


def test_formats_without_sound_say_so(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4", seconds=0.5)
    for out in ("out.gif", "out.webp", "out.apng", "out"):
        notes = again(source, tmp_path / out)
        assert len(notes) == 1 and "no sound" in notes[0] and out in notes[0]
        assert open_clip(tmp_path / out).count == 12


def test_a_film_without_sound_stays_without(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", *LAVFI, "testsrc2=s=48x32:r=24:d=1", *X264)
    assert open_clip(source).sound is None
    assert again(source, tmp_path / "out.mp4", sound=Sound(source=source)) == ()
    assert probe(tmp_path / "out.mp4").sounds == ()


# --- sound that cannot be kept as it is ------------------------------------------------------------------------------


def spread(path: Path, layout: str, *options: str) -> Path:
    """A short film whose sound has these channels."""
    pictures = [*LAVFI, "testsrc2=s=48x32:r=24:d=0.3"]
    noise = [*LAVFI, f"anoisesrc=a=0.3:d=0.3,pan={layout}|c0=c0|c1=c0"]
    return make(path, *pictures, *noise, *X264, *(options or ("-c:a", "pcm_s16le")))


def planned(source: Path, out: Path) -> SoundPlan:
    return plan_sound(Sound(source=source), choose_format(out)[0], out=out)


def test_channels_that_an_encoder_does_not_take_are_mixed_down_and_said_before_the_film_is_made(tmp_path: Path) -> None:
    ambisonic = ("-c:a", "libopus", "-mapping_family", "2")
    cases = [
        *(("5.1.4", "in.mov", "out.mp4", 6), ("9.1.6", "in.mkv", "out.webm", 8)),
        *(("cube", "in.mov", "out.mp4", 4), ("4.0", "in.mov", "out.webm", 5)),
        *(("binaural", "in.mov", "out.mp4", 2), ("13C", "in.mkv", "out.mp4", 2), ("22.2", "in.mkv", "out.mp4", 8)),
        ("ambisonic 1", "in.mkv", "out.webm", 2),
    ]
    for layout, name, out, channels in cases:
        source = spread(tmp_path / name, layout, *(ambisonic if layout.startswith("ambi") else ()))
        if layout.startswith("ambi"):
            out = "out.mov"  # Its encoder, too, takes named places alone.
        notes = planned(source, tmp_path / out).notes
        assert any("mixed down from" in note for note in notes) == (layout not in ("4.0", "binaural")), (layout, notes)
        if layout in ("5.1.4", "22.2", "13C", "ambisonic 1"):
            assert again(source, tmp_path / out) == notes
            assert [track.channels for track in probe(tmp_path / out).sounds] == [channels]
            assert np.abs(heard(tmp_path / out)).max() > 0.01


def test_a_track_that_is_empty_or_that_nothing_here_can_decode_is_left_out_with_a_note(tmp_path: Path) -> None:
    good = many(tmp_path / "good.mkv", "-c:a", "flac", "-c:s", "subrip").read_bytes()
    for old, new in ((b"A_FLAC", b"A_XYZQ"), (b"A_FLAC", b"A_MLP\0")):
        source = tmp_path / "strange.mkv"
        source.write_bytes(good.replace(old, new, 1))
        notes = planned(source, tmp_path / "out.mp4").notes
        assert any("lacks sound of its source: track 1" in note for note in notes), notes
        assert again(source, tmp_path / "out.mp4", sound=Sound(source=source)) == notes
        assert len(probe(tmp_path / "out.mp4").sounds) == 1
        source.write_bytes(good.replace(old, new))
        assert any("has no sound" in note for note in planned(source, tmp_path / "out.mp4").notes)


def broken(path: Path) -> Path:
    """A stream of which some packets of the sound are lost and some damaged."""
    pictures = [*LAVFI, "testsrc2=s=160x96:r=25:d=2", *LAVFI, "anoisesrc=a=0.3:d=2:seed=1"]
    data = bytearray(make(path, *pictures, "-c:v", "mpeg2video", "-c:a", "aac", "-f", "mpegts").read_bytes())
    sound = [at for at in range(0, len(data), 188) if (data[at + 1] & 0x1F, data[at + 2]) == (1, 1)]
    for count, at in enumerate(sound[: len(sound) // 2]):
        if count % 7 == 3:
            data[at + 20 : at + 180] = b"\xff" * 160
        if count % 11 == 5:
            data[at + 3] ^= 5
    path.write_bytes(data)
    return path


def test_broken_packets_of_sound_are_left_out_and_cost_neither_the_film_nor_the_rest(tmp_path: Path) -> None:
    source = broken(tmp_path / "broken.ts")
    for out in ("out.mp4", "out.webm"):
        notes = planned(source, tmp_path / out).notes
        assert any(note.startswith(f"The sound of {source} is damaged in places") for note in notes), notes
        clip = open_clip(source)
        encode(noise(10, clip.size), tmp_path / out, size=clip.size, rate=clip.rate, sound=Sound(source=source))
        assert len(heard(tmp_path / out)) / SAMPLES == pytest.approx(2, abs=0.2)


def test_sound_of_cameras_and_recorders_that_cannot_be_kept_costs_no_film(shared: Path, tmp_path: Path) -> None:
    for name, out, told in (
        ("bad.ts", "out.mov", "damaged in places"),
        ("ch10.mov", "out.webm", "mixed down from 10 channels to 5.1"),
        ("empty_audio_pid.ts", "out.mp4", "lacks sound of its source: track 2"),
    ):
        source, size = shared / "cases" / name, Size(64, 48)
        assert any(told in note for note in planned(source, tmp_path / out).notes)
        encode(noise(5, size), tmp_path / out, size=size, rate=Fraction(25), sound=Sound(source=source))
        assert len(probe(tmp_path / out).sounds) == 1


# --- subtitles that are not plain ------------------------------------------------------------------------------------


def captions(path: Path) -> str:
    return run(["-i", file_url(path), "-map", "0:s:0", "-f", "srt", "pipe:1"]).stdout.decode()


def with_words(path: Path, words: Path, codec: str) -> Path:
    pictures = [*LAVFI, "testsrc2=s=48x32:r=24:d=2"]
    return make(path, *pictures, "-i", file_url(words), "-map", "0", "-map", "1", *X264, "-c:s", codec)


def test_subtitles_in_latin_letters_of_an_older_code_are_read_and_said(tmp_path: Path) -> None:
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,300 --> 00:00:00,900\nCafe#\n\n2\n00:00:01,200 --> 00:00:01,800\nplain é\n\nx\n")
    source = with_words(tmp_path / "in.mkv", words, "subrip")
    assert planned(source, tmp_path / "out.mp4").notes == ()
    source.write_bytes(source.read_bytes().replace(b"Cafe#", b"Caf\xe9!"))
    for out in ("out.mp4", "out.webm"):
        for part in ({}, {"end": 1.5}):
            notes = again(source, tmp_path / out, **part)
            assert len(notes) == 1 and "read as Windows-1252" in notes[0]
            text = captions(tmp_path / out)
            assert "Café!" in text and "plain é" in text


def test_the_commands_of_a_drawing_in_subtitles_are_not_shown_as_text(tmp_path: Path) -> None:
    words = tmp_path / "words.ass"
    lines = [r"{\an7\p1}m 0 0 l 100 0{\p0}", r"{\pos(1,2)\i1}Hello{\i0}, world{\p4}m 5 5{\p0} end", r"{\p2}b 9 9"]
    dialogue = [f"Dialogue: 0,0:00:00.{n}0,0:00:00.{n}9,Default,,0,0,0,,{line}" for n, line in enumerate(lines, 1)]
    words.write_text(
        "[Script Info]\nScriptType: v4.00+\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR,"
        " MarginV, Effect, Text\n" + "\n".join(dialogue)
    )
    source = with_words(tmp_path / "in.mkv", words, "ass")
    for out in ("out.mp4", "out.webm"):
        assert again(source, tmp_path / out) == ()
        text = captions(tmp_path / out)
        assert "Hello" in text and "world end" in text and not re.search(r"[mbl] \d", text), text


# --- whole or not at all ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", ["out.mp4", "out.webm", "out.mov"])
def test_the_same_film_and_sound_give_the_same_bytes(tmp_path: Path, out: str) -> None:
    source = many(tmp_path / "in.mkv", "-c:a", "flac", "-c:s", "subrip")
    made = []
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        again(source, tmp_path / name / out, start=0.5)
        made.append((tmp_path / name / out).read_bytes())
    assert made[0] == made[1] == made[2]


def noise(count: int, size: Size) -> Iterator[Pixels]:
    random = np.random.default_rng(0)
    for _ in range(count):
        yield random.integers(0, 256, (size.height, size.width, 3), np.uint8)


def test_sound_longer_or_shorter_than_the_picture_is_not_cut_and_cuts_nothing(tmp_path: Path) -> None:
    size = Size(64, 48)
    for seconds in (0.5, 6):
        source = film(tmp_path / "in.mp4", seconds=seconds)
        encode(
            noise(48, size),
            tmp_path / "out.mp4",
            size=size,
            rate=Fraction(24),
            sound=Sound(source=source),
            overwrite=True,
        )
        assert probe(tmp_path / "out.mp4").frames == 48
        assert stored(tmp_path / "out.mp4", "a:0") == stored(source, "a:0")


@pytest.mark.skipif(sys.platform != "linux", reason="needs the memory of a process as Linux counts it")
def test_a_small_file_that_speaks_of_a_text_of_2_gb_takes_no_such_memory(tmp_path: Path) -> None:
    sound = make(tmp_path / "a.wav", "-f", "lavfi", "-i", "sine", "-t", "0.1")
    whole = sound.read_bytes()
    at = whole.index(b"LIST") + 4
    words = struct.pack("<I4s4sI", 2**31 - 1, b"INFO", b"ICMT", 2**31 - 100)
    sound.write_bytes(whole[:at] + words + whole[at + len(words) :])
    script = [
        "import resource, sys; from pathlib import Path; from renderer.errors import BadInput",
        "from renderer.media.ffmpeg.tracks import list_tracks",
        "try: list_tracks(Path(sys.argv[1]))",
        "except BadInput: print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10)",
    ]
    command = [sys.executable, "-c", "\n".join(script), str(sound)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500_000_000


def test_a_source_that_is_gone_or_no_film_is_named_before_the_encoder_starts(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("hello")
    for path in (tmp_path / "none.mp4", text, tmp_path):
        with pytest.raises(BadInput, match=re.escape(str(path))):
            Encoder(tmp_path / "out.mp4", size=Size(64, 48), rate=Fraction(24), sound=Sound(source=path))
    with pytest.raises(UsageError, match="before it starts"):
        Sound(source=text, start=Fraction(2), end=Fraction(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.mp4"]


def test_any_name_can_hold_the_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = film(tmp_path / "plain.mp4", seconds=0.2)
    monkeypatch.chdir(tmp_path)
    for name in ("-x.mp4", "a:b.mp4", "%d.mp4", "http:x.mp4", "new\nline.mp4", "🎈 'q' [1].mp4"):
        plain = plain.rename(tmp_path / name)
        again(Path(name), Path("out.mp4"))
        assert stored(tmp_path / "out.mp4", "a:0") == stored(tmp_path / name, "a:0")
