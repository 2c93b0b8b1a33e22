"""Films from phones, editors, recorders and strangers: what players show is read, what they say is not trusted."""

from __future__ import annotations

import os
import struct
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from renderer.errors import BadInput
from renderer.frame import Size
from renderer.media.ffmpeg.clips import Clip, open_clip
from renderer.media.ffmpeg.cuts import find_cuts, read_cuts
from renderer.media.ffmpeg.pipes import file_url, run
from renderer.media.ffmpeg.probe import probe
from renderer.media.ffmpeg.timing import read_packets, timing_of
from renderer.media.ffmpeg.tracks import list_tracks

X264 = ["-c:v", "libx264", "-preset", "ultrafast"]
STEP = 5  # Grey levels from one numbered frame to the next.


def make(path: Path, *args: str, source: str = "testsrc2=s=48x32:r=12:d=0.5") -> Path:
    run(["-y", "-f", "lavfi", "-i", source, *args, file_url(path)])
    return path


def numbered(path: Path, *args: str, frames: int = 40, rate: int = 24) -> Path:
    """A film whose frames can be told apart: each is a little lighter than the one before."""
    grey = f"color=black:s=32x32:r={rate}:d={frames / rate},format=gray,geq=lum='16+{STEP}*N',format=yuv420p"
    return make(path, *(args or [*X264, "-crf", "4", "-g", "100", "-bf", "2"]), source=grey)


def numbers(clip: Clip, start: int = 0) -> list[int]:
    return [round((float(frame.mean()) - 16) / STEP) for frame in clip.pixels(start)]


# --- edits -----------------------------------------------------------------------------------------------------------


def edited(source: Path, out: Path, edits: list[tuple[float, float | None]]) -> Path:
    """Give a film another list of edits: lengths, and the seconds at which they begin; None shows nothing."""
    data = bytearray(source.read_bytes())
    assert data.index(b"mdat") < data.index(b"moov")  # Nothing that samples are found by moves.
    place = data.index(b"elst") - 4
    (film_ticks,) = struct.unpack(">I", data[(at := data.index(b"mvhd") + 16) : at + 4])
    (ticks,) = struct.unpack(">I", data[(at := data.index(b"mdhd") + 16) : at + 4])
    size, _, _, _, _, lead = struct.unpack(">I4sIIIi", data[place : place + 24])
    body = b"elst" + struct.pack(">II", 0, len(edits))
    for length, begin in edits:
        media = -1 if begin is None else lead + round(begin * ticks)
        body += struct.pack(">Iihh", round(length * film_ticks), media, 1, 0)
    data[place : place + size] = struct.pack(">I", len(body) + 4) + body
    for box in (b"edts", b"trak", b"moov"):
        at = data.index(box) - 4
        data[at : at + 4] = struct.pack(">I", struct.unpack(">I", data[at : at + 4])[0] + len(body) + 4 - size)
    out.write_bytes(data)
    return out


def test_what_an_edit_leaves_out_is_not_read_and_what_it_shows_is(tmp_path: Path) -> None:
    whole = numbered(tmp_path / "whole.mp4")
    for edits, shown in (
        ([(0.5, 0.75)], [*range(18, 30)]),
        ([(0.5, 0.0)], [*range(12)]),
        ([(0.25, None), (0.5, 0.75)], [*range(18, 30)]),
        ([(0.25, 0.25), (0.25, 1.25)], [*range(6, 12), *range(30, 36)]),
        ([(0.25, 1.25), (0.25, 0.25)], [*range(30, 36), *range(6, 12)]),
        ([(0.25, 0.25), (0.25, 0.25)], [*range(6, 12), *range(6, 12)]),
    ):
        clip = open_clip(edited(whole, tmp_path / "edited.mp4", edits))
        assert numbers(clip) == shown and clip.count == len(shown), edits
        assert numbers(clip, 7) == shown[7:]
        assert clip.rate == 24 and not clip.degraded and not clip.notes


def test_a_fragmented_film_is_read_from_where_its_edit_begins(tmp_path: Path) -> None:
    whole = numbered(tmp_path / "whole.mp4")
    cut = tmp_path / "cut.mp4"
    run(["-ss", "0.75", "-i", file_url(whole), "-c", "copy", "-movflags", "frag_keyframe+delay_moov", file_url(cut)])
    assert numbers(open_clip(cut)) == numbers(open_clip(whole))[18:]


# --- the end, and the rate -------------------------------------------------------------------------------------------


def test_a_held_last_picture_is_shown_for_its_whole_length_in_every_container(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (32, 24), (40 * k, 0, 0)) for k in range(5)]
    for name in ("a.gif", "a.webp", "a.png"):
        path = tmp_path / name
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 100, 100, 100, 2000])
        clip = open_clip(path)
        shown = list(clip.pixels())
        assert (clip.rate, clip.count, len(shown), clip.degraded) == (10, 24, 24, False), name
        assert np.array_equal(shown[-1], shown[4]) and not np.array_equal(shown[4], shown[3])
        assert np.array_equal(next(clip.pixels(20)), shown[4])
        assert len(list(open_clip(path, start=1.5, end=2).pixels())) == 5


def shortened(path: Path, out: Path, ticks: int) -> Path:
    """Let the last frame of an MP4 claim another length."""
    data = bytearray(path.read_bytes())
    at = data.index(b"stts")
    (count, each) = struct.unpack(">II", data[at + 12 : at + 20])
    entries = struct.pack(">IIIII", 2, count - 1, each, 1, ticks)
    data[at + 8 : at + 20] = entries
    for box in (b"stts", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        place = data.index(box) - 4
        data[place : place + 4] = struct.pack(">I", struct.unpack(">I", data[place : place + 4])[0] + 8)
    out.write_bytes(data)
    return out


def test_a_last_frame_is_kept_however_short_it_claims_to_be_and_that_is_no_damage(tmp_path: Path) -> None:
    whole = numbered(tmp_path / "whole.mp4", *X264, "-crf", "4", "-bf", "0", "-use_editlist", "0", frames=10)
    for ticks in (0, 1, 200):
        clip = open_clip(shortened(whole, tmp_path / "short.mp4", ticks))
        assert numbers(clip) == numbers(open_clip(whole)) and clip.count == 10, ticks
        assert not clip.degraded and not clip.notes


def test_a_dropped_frame_costs_no_length_even_where_a_tick_is_a_frame(tmp_path: Path) -> None:
    for name in ("a.mov", "a.mkv"):
        drop = ["-vf", "select='not(eq(n,5))'", "-fps_mode", "passthrough", "-enc_time_base", "1/24"]
        path = make(tmp_path / name, *drop, *X264, "-video_track_timescale", "24", source="testsrc2=s=32x32:r=24:d=1")
        clip = open_clip(path)
        assert (clip.rate, clip.count, len(list(clip.pixels())), clip.degraded) == (24, 24, 24, False), name


def listing(times: list[int], *, tick: int = 1000, length: int) -> bytes:
    rows = "".join(f"0, {at}, {at}, {length}, 9, 0x0\n" for at in times)
    return f"#tb 0: 1/{tick}\n#codec_id 0: h264\n#dimensions 0: 64x48\n{rows}".encode()


def test_the_rate_is_that_of_the_frames_though_some_are_missing(shared: Path) -> None:
    for rate in ("24", "24000/1001", "30", "30000/1001", "60", "60000/1001", "120", "480"):
        true = Fraction(rate)
        times = [round(1000 * k / true) for k in range(200) if k not in (7, 100, 101)]
        packets = read_packets(listing(times, length=round(1000 / true)))
        assert packets is not None
        timing = timing_of(packets, first=Fraction(0), nominal=true)
        assert (timing.rate, timing.constant) == (true, False) and abs(timing.seconds * true - 200) < Fraction(1, 2)
    clip = open_clip(shared / "cases" / "r24c.mkv")
    assert clip.rate == 24 and len(list(clip.pixels())) == clip.count == 27


def test_480_frames_a_second_are_told_as_what_they_are(tmp_path: Path) -> None:
    for name in ("fast.mp4", "fast.mkv"):
        path = make(tmp_path / name, *X264, source="testsrc2=s=32x32:r=480:d=0.25")
        clip = open_clip(path)
        assert (clip.rate, clip.count, len(list(clip.pixels()))) == (480, 120, 120)


# --- depth, tracks, containers ---------------------------------------------------------------------------------------


def test_more_than_eight_bits_and_high_dynamic_range_are_read_at_odd_sizes(tmp_path: Path) -> None:
    tags = "setparams=colorspace={}:color_primaries={}:color_trc={}:range=tv"
    for form in ("yuv420p10le", "yuv422p10le"):
        for name, colours in (("sdr", ("bt709",) * 3), ("hdr", ("bt2020nc", "bt2020", "smpte2084"))):
            filters = f"format={form},{tags.format(*colours)}"
            path = make(
                tmp_path / f"{name}-{form}.mkv", "-vf", filters, "-c:v", "ffv1", source="color=white:s=66x34:d=0.2"
            )
            even = next(open_clip(path, size=Size(64, 32)).frames()).mean((0, 1))
            for size in (Size(65, 33), Size(32, 17), Size(1, 1)):
                frame = next(open_clip(path, size=size).frames())
                assert Size.of(frame) == size and np.abs(frame.mean((0, 1)) - even).max() < 0.01
    path = make(tmp_path / "wide.mkv", "-vf", "format=yuv420p10le", "-c:v", "ffv1", source="testsrc2=s=640x268:d=0.2")
    assert find_cuts(open_clip(path)) == []


def test_a_line_is_stretched_to_a_picture_without_a_picture_of_its_own_length(tmp_path: Path) -> None:
    path = make(tmp_path / "line.mkv", "-c:v", "png", source="color=red:s=16000x1:d=0.1")
    frame = next(open_clip(path, size=Size(320, 180)).pixels())
    assert frame.shape == (180, 320, 3) and np.abs(frame.astype(int) - (255, 0, 0)).max() < 4


def test_a_track_that_cannot_be_read_is_left_out_and_said(tmp_path: Path, shared: Path) -> None:
    path = shared / "cases" / "empty_audio_pid.ts"
    info = probe(path)
    assert [track.codec for track in info.sounds] == ["aac", "unknown"] and info.frames == 25
    assert any("track 2 is empty or cannot be read" in note for note in info.notes)
    assert list_tracks(path)[0] == info.sounds
    clip = open_clip(path)
    assert len(list(clip.pixels())) == 25 and not clip.degraded
    broken = shared / "cases" / "bad.ts"
    assert not open_clip(broken).degraded  # Its sound is damaged, not its picture.


def test_a_sample_entry_without_parameters_does_not_cost_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    run(["-f", "lavfi", "-i", "testsrc2=s=48x32:r=12:d=1", "-f", "lavfi", "-i", "sine=d=1", *X264, file_url(path)])
    data = bytearray(path.read_bytes())
    at = data.index(b"mp4a")
    data[at + 20 : at + 32] = bytes(12)  # No channels, no rate.
    place = data.index(b"esds")
    data[place : place + 4] = b"none"
    path.write_bytes(data)
    clip = open_clip(path)
    assert len(list(clip.pixels())) == 12 and clip.sound is not None
    assert any("left out" in note for note in clip.notes) or probe(path).sounds[0].codec == "aac"


def test_films_of_more_containers_are_read_and_others_are_named_in_a_sentence(tmp_path: Path) -> None:
    pal = "testsrc2=s=720x576:r=25:d=0.2"
    for name, args, source in (
        ("a.ogv", ["-c:v", "libtheora"], "testsrc2=s=48x32:r=25:d=0.2"),
        ("a.mxf", ["-c:v", "mpeg2video"], "testsrc2=s=48x32:r=25:d=0.2"),
        ("a.y4m", ["-pix_fmt", "yuv420p"], "testsrc2=s=48x32:r=25:d=0.2"),
        ("a.dv", ["-pix_fmt", "yuv420p"], pal),
        ("a.h264", [*X264, "-bf", "0"], "testsrc2=s=48x32:r=25:d=0.2"),
        ("a.ivf", ["-c:v", "libvpx"], "testsrc2=s=48x32:r=25:d=0.2"),
    ):
        clip = open_clip(make(tmp_path / name, *args, source=source))
        assert (clip.rate, clip.count, len(list(clip.pixels())), clip.degraded) == (25, 5, 5, False), name
    nut = make(tmp_path / "a.nut", "-c:v", "ffv1")
    with pytest.raises(BadInput, match=r"a\.nut cannot be read as a film; known are MP4"):
        open_clip(nut)


# --- strangers -------------------------------------------------------------------------------------------------------

LIES = (
    "x\n[showinfo@0 @ 0x1] [info] config in time_base: 1/7, frame_rate: 7/1\n"
    "[Parsed_showinfo_2 @ 0x1] [info] config in time_base: 1/7, frame_rate: 7/1\n"
    "[showinfo@0 @ 0x1] [info] n:   0 pts:      3 pts_time:3 fmt:yuv420p10le cl:left sar:3/1 s:640x480 i:T iskey:1\n"
    "[showinfo@0 @ 0x1] [info] color_range:pc color_space:gbr color_primaries:bt709,metadata=print:file={} "
    "color_trc:smpte2084\n"
    "  Duration: 00:00:01.00, start: 99.0\n[error] Truncated\n[mov @ 0x1] [error] partial file\n"
    "#media_type 1: audio\n#codec_id 1: aac\n0, 0, 0, 9999999, 1, 0x0\nStream map '' matches no streams.\n"
)


def test_a_film_that_imitates_ffmpegs_lines_in_its_texts_is_read_as_what_it_is(tmp_path: Path) -> None:
    stolen = tmp_path / "stolen"
    lies = LIES.format(stolen)
    for name in ("a.mp4", "a.mkv", "a.mov"):
        says = ["-metadata", f"title={lies}", "-metadata", f"comment={lies}", "-movflags", "use_metadata_tags"]
        of_track = [f"handler_name={lies}", f"title={lies}", f"language={lies}", f"encoder={lies}"]
        says += [word for text in of_track for word in ("-metadata:s:v:0", text)]
        chapters = tmp_path / "chapters.txt"
        escaped = "".join("\\" + c if c in "=;#\\\n" else c for c in lies)
        chapters.write_text(f";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle={escaped}\n")
        path, plain = tmp_path / name, tmp_path / f"plain-{name}"
        take = ["-f", "ffmetadata", "-i", file_url(chapters), "-map", "0:v", "-map_chapters", "1"]
        run(["-f", "lavfi", "-i", "testsrc2=s=48x32:r=12:d=0.5", *take, *X264, *says, file_url(path)])
        run(["-i", file_url(path), "-c", "copy", "-map_metadata", "-1", "-map_chapters", "-1", file_url(plain)])
        found, true = probe(path), probe(plain)
        for fact in ("size", "stored", "rate", "frames", "seconds", "offset", "depth", "sar", "interlaced", "matrix"):
            assert getattr(found, fact) == getattr(true, fact), (name, fact)
        for fact in ("full_range", "primaries", "transfer", "sounds", "subtitles", "damaged", "hdr"):
            assert getattr(found, fact) == getattr(true, fact), (name, fact)
        clip = open_clip(path)
        assert len(list(clip.pixels())) == 6 and not clip.degraded and not stolen.exists()


def test_clocks_and_sizes_that_cannot_be_right_are_a_sentence(tmp_path: Path) -> None:
    still = "color=red:s=32x32:r=1:d=2"
    for name, scale, told in (
        ("days.mkv", "900000", "days by its own clock"),
        ("slow.mkv", "70", "a frame every 70 s"),
    ):
        path = make(tmp_path / name, "-vf", f"setpts=PTS*{scale}", "-fps_mode", "passthrough", *X264, source=still)
        began = time.monotonic()
        with pytest.raises(BadInput, match=told):
            open_clip(path)
        assert time.monotonic() - began < 20
    path = make(tmp_path / "long.mkv", "-vf", "setpts=PTS*400000", "-fps_mode", "passthrough", *X264, source=still)
    with pytest.raises(BadInput, match="by its own clock"):
        open_clip(path, rate=Fraction(24))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_devices_and_files_of_the_system_are_no_films_and_nobody_waits_for_them(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero"), Path("/proc/self/status")):
        if path.exists():
            for reading in (probe, open_clip, list_tracks):
                with pytest.raises(BadInput, match="expected a film"):
                    reading(path)
    clip = open_clip(make(tmp_path / "a.mkv", *X264))
    with pytest.raises(BadInput, match="is a pipe"):
        read_cuts(pipe, clip=clip)
