"""Moving pictures of every kind are read upright, whole and in their own colours."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from renderer.errors import BadInput, UsageError
from renderer.frame import Pixels, Size, from_8bit
from renderer.measure.metrics import measure_film
from renderer.media.ffmpeg import decode as film
from renderer.media.ffmpeg.clips import OPENERS, Clip, open_clip
from renderer.media.ffmpeg.encode import encode
from renderer.media.ffmpeg.pipes import file_url, run
from renderer.media.ffmpeg.probe import probe
from renderer.media.images import write_image
from renderer.media.store.store import Store

CODECS = {
    "a.mp4": ["-c:v", "libx264", "-crf", "8"],
    "a.mov": ["-c:v", "prores_ks"],
    "a.webm": ["-c:v", "libvpx-vp9", "-crf", "10", "-b:v", "0"],
    "a.mkv": ["-c:v", "ffv1"],
    "a.gif": [],
    "a.apng": ["-f", "apng"],
    "a.webp": ["-c:v", "libwebp", "-lossless", "1"],
}


def make(path: Path, *args: str, source: str = "color=0x306090:s=48x32:r=12:d=0.5") -> Path:
    run(["-y", "-f", "lavfi", "-i", source, *args, file_url(path)])
    return path


@pytest.mark.parametrize("name", CODECS)
def test_every_kind_of_film_gives_its_frames_and_colours(tmp_path: Path, name: str) -> None:
    clip = open_clip(make(tmp_path / name, *CODECS[name], source="testsrc2=s=48x32:r=12:d=0.5"))
    frames = list(clip.pixels())
    assert (clip.size, clip.count, len(frames)) == (Size(48, 32), 6, 6)
    assert float(clip.rate) == pytest.approx(12, rel=0.05)
    assert all(frame.shape == (32, 48, 3) and frame.dtype == np.uint8 for frame in frames)
    assert np.abs(next(iter(clip)) - from_8bit(frames[0])).max() <= 0.5001 / 255


@pytest.mark.parametrize(
    ("matrix", "size", "tagged"), [("bt601", "64x48", True), ("bt709", "64x48", True), ("bt709", "96x720", False)]
)
def test_colours_are_read_by_the_tags_and_untagged_high_definition_as_709(
    tmp_path: Path, matrix: str, size: str, tagged: bool
) -> None:
    scale = f"scale=out_color_matrix={matrix}:out_range=tv,format=yuv444p"
    name = {"bt601": "smpte170m", "bt709": "bt709"}[matrix]
    tags = f",setparams=colorspace={name}:range=tv" if tagged else ",setparams=colorspace=unknown"
    path = make(
        tmp_path / "a.mp4", "-vf", scale + tags, "-c:v", "libx264", "-crf", "4", source=f"color=0x20D040:s={size}:d=0.1"
    )
    assert bool(open_clip(path).notes) is not tagged  # BT.709 is assumed, and said.
    assert np.abs(next(open_clip(path).pixels()).mean((0, 1)) - (0x20, 0xD0, 0x40)).max() < 3


def test_pixels_that_are_not_square_are_made_square(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", "-vf", "setsar=64/45", "-c:v", "libx264", source="color=red:s=72x64:d=0.2")
    assert open_clip(path).size == Size(102, 64)
    assert next(open_clip(path).pixels()).shape == (64, 102, 3)


def test_broadcast_rates_are_exact_and_another_rate_can_be_asked_for(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mkv", "-c:v", "ffv1", source="color=red:s=32x32:r=24000/1001:d=1")
    assert open_clip(path).rate == Fraction(24000, 1001)
    slower = open_clip(path, rate=Fraction(6))
    assert slower.rate == 6 and len(list(slower.pixels())) == slower.count == 6


def test_any_name_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "plain.mp4", "-c:v", "libx264")
    monkeypatch.chdir(tmp_path)
    for name in ("-x.mp4", "a:b.mp4", "%d.mp4", "http:x.mp4", "a b\n'é.mp4", "🎈.mp4", "n" * 251 + ".mp4"):
        path = path.rename(tmp_path / name)
        assert len(list(open_clip(Path(name)).pixels())) == 6


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        write_image(np.full((4, 6, 3), number, np.uint8), tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("no frame")
    assert [int(frame[0, 0, 0]) for frame in open_clip(tmp_path).pixels()] == [1, 9, 10]
    write_image(np.zeros((5, 6, 3), np.uint8), tmp_path / "frame11.png")
    with pytest.raises(BadInput, match=r"frame11\.png is 6x5"):
        list(open_clip(tmp_path).pixels())


def test_a_work_folder_is_read_as_it_was_stored(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3)).astype(np.uint8)
    with Store.open(tmp_path, size=Size(24, 16), rate=Fraction(12), pixel_key="k", meta={"a": 1}) as store:
        store.append(from_8bit(pixels))
        with pytest.raises(BadInput, match="no frames yet"):
            open_clip(tmp_path)
        store.commit({})
    clip = open_clip(tmp_path)
    assert (clip.rate, clip.count, clip.meta) == (12, 1, {"a": 1})
    assert np.array_equal(next(clip.pixels()), pixels)


def test_a_film_that_was_cut_off_is_called_damaged(tmp_path: Path) -> None:
    whole = make(tmp_path / "a.mkv", "-c:v", "mjpeg", source="testsrc2=s=64x48:r=12:d=2")
    data = bytearray(whole.read_bytes())
    place = len(data) // 2
    data[place : place + 400] = bytes(400)
    whole.write_bytes(data)
    # ffmpeg repairs what it can: what matters is that nothing hangs, and what is missing is said.
    report = measure_film(whole)
    assert report.film.frames <= 24
    assert bool(report.notes) == (report.film.frames < probe(whole).frames)


def test_every_way_of_opening_refuses_what_is_not_there(tmp_path: Path) -> None:
    assert not any(fits(tmp_path / "nothing") for fits, _ in OPENERS)
    with pytest.raises(BadInput, match="not there"):
        open_clip(tmp_path / "nothing")


# --- which frames ----------------------------------------------------------------------------------------------------

# name -> how it is encoded: frames that depend on others in every way, clocks of every kind.
RESTARTS = {
    "b-frames.mp4": ["-c:v", "libx264", "-g", "10", "-bf", "3"],
    "open-gop.mkv": ["-c:v", "libx264", "-g", "10", "-x264-params", "open-gop=1:b-pyramid=normal:keyint-min=10"],
    "late.mp4": ["-c:v", "libx264", "-g", "10", "-output_ts_offset", "1.37"],
    "long-gop.mkv": ["-c:v", "libx264", "-g", "500"],
    "vp9.webm": ["-c:v", "libvpx-vp9", "-g", "12", "-deadline", "realtime", "-b:v", "200k"],
    "hevc.mp4": ["-c:v", "libx265", "-x265-params", "log-level=none:keyint=10:open-gop=1:pools=1:frame-threads=1"],
    "intra.mov": ["-c:v", "prores_ks"],
    "stream.ts": ["-c:v", "mpeg2video", "-g", "10", "-bf", "2"],
    "old.avi": ["-c:v", "mpeg4", "-g", "10", "-bf", "2"],
    "fields.mkv": ["-vf", "setfield=tff", "-c:v", "libx264", "-flags", "+ildct+ilme", "-g", "10"],
    "gaps.mkv": ["-vf", "select='gt(mod(n,7),2)'", "-fps_mode", "vfr", "-c:v", "libx264", "-g", "10"],
    "moving.gif": [],
}


def same(one: Clip, start: int, other: list[Pixels]) -> None:
    frames = list(one.pixels(start))
    assert len(frames) == len(other)
    assert all(np.array_equal(a, b) for a, b in zip(frames, other, strict=True))


@pytest.mark.parametrize("name", RESTARTS)
def test_reading_from_any_frame_gives_the_frames_that_skipping_gives(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / name, *RESTARTS[name], source="testsrc2=s=64x64:r=24000/1001:d=2.5")
    clip = open_clip(path)
    whole = list(clip.pixels())
    assert abs(len(whole) - clip.count) <= (0 if probe(path).constant else 1) and not clip.degraded
    for start in (1, 11, 23, 37, 49):
        same(clip, start, whole[start:])
    assert list(clip.pixels(clip.count)) == []
    part = open_clip(path, start=0.6, end=1.5)
    first, last = round(Fraction(3, 5) * clip.rate), round(Fraction(3, 2) * clip.rate)
    assert (part.first, part.count, part.start) == (first, last - first, first / clip.rate)
    same(part, 0, whole[first:last])
    same(part, 7, whole[first + 7 : last])


def test_a_long_film_is_not_decoded_from_its_start_for_its_end(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", "-c:v", "libx264", "-g", "10", source="testsrc2=s=32x32:r=25:d=8")
    found = open_clip(path).source
    assert isinstance(found, film.FilmDecoder)
    assert found.jump_before(0) is None and found.jump_before(15) is None
    assert found.jump_before(190) == Fraction(180, 25)


def test_another_rate_repeats_and_drops_frames_by_the_clock_and_can_be_restarted(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", "-c:v", "libx264", "-g", "10", source="testsrc2=s=64x48:r=24:d=2")
    source = list(open_clip(path).pixels())
    for rate in (Fraction(12), Fraction(30), Fraction(60000, 1001)):
        clip = open_clip(path, rate=rate)
        frames = list(clip.pixels())
        assert len(frames) == clip.count == round(2 * rate)
        for number, frame in enumerate(frames):  # Each is a frame of the film shown within half a frame of its time.
            near = [source[k] for k in range(48) if abs(k / 24 - number / rate) <= Fraction(1, 24)]
            assert any(np.array_equal(frame, one) for one in near)
        same(clip, 17, frames[17:])


def test_times_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mkv", "-c:v", "ffv1")
    for options, told in (
        ({"start": -1.0}, "start"),
        ({"start": float("nan")}, "start"),
        ({"end": float("inf")}, "end"),
        ({"end": 0}, "cannot end at 0"),
        ({"start": 0.4, "end": 0.2}, "cannot end at 0.2"),
        ({"rate": Fraction(0)}, "frames a second"),
    ):
        with pytest.raises(UsageError, match=told):
            open_clip(path, **options)
    with pytest.raises(BadInput, match=r"0\.5 s long"):
        open_clip(path, start=0.6)
    assert open_clip(path, start=0.1, end=100).count == 5
    assert open_clip(path, start=0.1, end=0.11).count == 1
    with pytest.raises(ValueError, match="-1"):
        open_clip(path).frames(-1)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.avi", "a.gif", "a.webp"])
def test_films_of_one_and_two_frames_work_at_every_rate(tmp_path: Path, name: str) -> None:
    for count in (1, 2):
        differ = ["-vf", "negate=enable=eq(n\\,1)", "-frames:v", str(count)]
        path = make(tmp_path / name, *differ, source="testsrc2=s=48x32:r=24")
        clip = open_clip(path)
        assert clip.count == count and len(list(clip.pixels())) == count and not clip.degraded
        slow = open_clip(path, rate=Fraction(5))
        assert slow.count == len(list(slow.pixels())) == 1


# --- which shape -----------------------------------------------------------------------------------------------------


def test_sizes_down_to_one_pixel_are_read_as_they_are(tmp_path: Path) -> None:
    for size in ("1x9", "9x1", "1x1", "33x17", "2x3"):
        clip = open_clip(make(tmp_path / "a.mkv", "-c:v", "png", source=f"color=red:s={size}:d=0.2"))
        assert str(clip.size) == size
        frame = next(clip.pixels())
        assert Size.of(frame) == clip.size and np.abs(frame.astype(int) - (255, 0, 0)).max() < 6


@pytest.mark.parametrize("kind", ["film", "folder"])
def test_another_size_is_filled_without_stretching(tmp_path: Path, kind: str) -> None:
    disc = "if(lt(hypot(X-24,Y-24),15),255,0)"
    source = f"color=black:s=48x48:d=0.2,format=gbrp,geq=r='{disc}':g='{disc}':b='{disc}'"
    path = make(tmp_path / "a.mkv", "-c:v", "ffv1", source=source)
    if kind == "folder":
        pixels = next(open_clip(path).pixels())
        path = tmp_path / "folder"
        path.mkdir()
        write_image(pixels, path / "1.png")
    for size in (Size(40, 20), Size(30, 60), Size(96, 64), Size(31, 17)):
        clip = open_clip(path, size=size)
        frame = next(clip.pixels())
        assert clip.size == Size.of(frame) == size
        white = frame[..., 0] > 127
        high, wide = white.any(axis=1).sum(), white.any(axis=0).sum()
        radius = 15 * max(size.width / 48, size.height / 48)
        assert abs(wide - min(size.width, 2 * radius)) <= 3 and abs(high - min(size.height, 2 * radius)) <= 3
        assert bool(clip.notes) == (size != Size(48, 48) and size.width != size.height)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_film_is_turned_as_its_camera_says(tmp_path: Path, turn: int) -> None:
    plain = make(tmp_path / "plain.mp4", "-c:v", "libx264", "-crf", "4", source="testsrc2=s=64x32:r=12:d=0.5")
    turned = tmp_path / "turned.mp4"
    run(["-display_rotation", str(turn), "-i", file_url(plain), "-c", "copy", file_url(turned)])
    upright = np.rot90(next(open_clip(plain).pixels()), turn // 90)
    assert open_clip(turned).size == Size.of(upright)
    assert np.abs(next(open_clip(turned).pixels()).astype(int) - upright).mean() < 3


def test_fields_are_made_whole_frames_at_the_rate_of_frames(tmp_path: Path) -> None:
    moving = "color=black:s=96x64:r=50:d=1,format=gray,geq=lum='if(lt(abs(X-8-N),4),255,0)'"
    fields = ["-vf", "tinterlace=interleave_top,setfield=tff"]
    path = make(tmp_path / "a.mkv", *fields, "-c:v", "libx264", "-flags", "+ildct+ilme", "-crf", "4", source=moving)
    clip = open_clip(path)
    assert probe(path).interlaced and clip.rate == 25 and any("interlaced" in note for note in clip.notes)
    frame = list(clip.pixels())[8][..., 0].astype(int)
    combed = np.abs(frame[1:-1] * 2 - frame[:-2] - frame[2:]).mean()
    raw = np.frombuffer(
        run(["-i", file_url(path), "-vf", "select=eq(n\\,8),format=gray", "-f", "rawvideo", "pipe:1"]).stdout[
            : 96 * 64
        ],
        np.uint8,
    )
    raw = raw.reshape(64, 96).astype(int)
    assert combed < 0.3 * np.abs(raw[1:-1] * 2 - raw[:-2] - raw[2:]).mean()


def test_a_film_that_changes_its_size_on_the_way_keeps_every_frame_in_its_place(tmp_path: Path) -> None:
    parts = [
        make(tmp_path / f"{s}.ts", "-c:v", "libx264", source=f"testsrc2=s={s}:r=25:d=1") for s in ("96x64", "64x48")
    ]
    second = tmp_path / "second.ts"
    run(["-i", file_url(parts[1]), "-c", "copy", "-output_ts_offset", "1", file_url(second)])
    both = tmp_path / "both.ts"
    both.write_bytes(parts[0].read_bytes() + second.read_bytes())
    frames = list(open_clip(both).pixels())
    assert 45 <= len(frames) <= 51 and {frame.shape for frame in frames} == {(64, 96, 3)}


# --- which colours ---------------------------------------------------------------------------------------------------

BARS = [(235, 235, 235), (220, 220, 20), (20, 220, 220), (20, 200, 30), (210, 30, 210), (200, 20, 20), (20, 30, 200)]
BARS += [(0, 0, 0), (255, 255, 255), (128, 128, 128), (60, 120, 180), (16, 16, 16)]
TAGS = {
    "tagged 601": (
        "bt601",
        "tv",
        "setparams=colorspace=smpte170m:color_primaries=smpte170m:color_trc=bt709:range=tv",
        64,
    ),
    "tagged 709": ("bt709", "tv", "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv", 64),
    "untagged SD": ("bt601", "tv", "setparams=colorspace=unknown:range=unknown", 64),
    "untagged HD": ("bt709", "tv", "setparams=colorspace=unknown:range=unknown", 720),
    "full range": ("bt709", "pc", "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=pc", 64),
    "full range 601": ("bt601", "pc", "setparams=colorspace=smpte170m:range=pc", 64),
}


def bars(height: int) -> Pixels:
    return np.repeat(np.array(BARS, np.uint8), 16, axis=0)[None].repeat(height, axis=0)


def inside(frame: np.ndarray) -> np.ndarray:
    """Mean colour of each bar, away from its edges, where half the colour resolution blends."""
    rows = frame[4:-4].astype(float)
    return np.array([rows[:, 16 * k + 5 : 16 * k + 11].mean((0, 1)) for k in range(len(BARS))])


def as_film(path: Path, pixels: Pixels, *args: str) -> Path:
    still = path.with_suffix(".png")
    write_image(pixels, still)
    run(["-y", "-loop", "1", "-r", "12", "-i", file_url(still), "-frames:v", "4", *args, file_url(path)])
    return path


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("name", TAGS)
def test_colour_bars_come_out_as_they_went_in(tmp_path: Path, name: str, depth: int) -> None:
    matrix, spread, tags, height = TAGS[name]
    form = "yuv420p" if depth == 8 else "yuv420p10le"
    scale = (
        f"scale=out_color_matrix={matrix}:out_range={spread}:flags=accurate_rnd+full_chroma_int,{tags},format={form}"
    )
    path = as_film(tmp_path / "in.mp4", bars(height), "-vf", scale, "-c:v", "libx264", "-crf", "1")
    clip = open_clip(path)
    info = probe(path)
    assert info.depth == depth
    assert any("BT.709" in note for note in clip.notes) == (name == "untagged HD")
    wrong = np.abs(inside(next(clip.pixels())) - BARS)
    assert wrong.mean() < 1 and wrong.max() < 3
    out = tmp_path / "out.mp4"
    encode(clip.pixels(), out, size=clip.size, rate=clip.rate, quality=4)
    assert probe(out).matrix == "bt709" and probe(out).notes == ()
    wrong = np.abs(inside(next(open_clip(out).pixels())) - BARS)
    assert wrong.mean() < 1.5 and wrong.max() < 4


def test_ten_bits_are_read_with_more_than_eight(tmp_path: Path) -> None:
    ramp = "format=yuv444p10le,geq=lum='64+X*876/511':cb=512:cr=512,setparams=colorspace=bt709:range=tv"
    path = make(tmp_path / "a.mkv", "-vf", ramp, "-c:v", "ffv1", source="color=s=512x4:d=0.1")
    row = next(open_clip(path).frames())[2, :, 0]
    assert len(np.unique(row)) > 400 and np.abs(row - np.arange(512) / 511).max() < 0.003
    assert len(np.unique(next(open_clip(path).pixels())[2, :, 0])) <= 256


@pytest.mark.parametrize("curve", ["smpte2084", "arib-std-b67"])
def test_high_dynamic_range_is_mapped_and_neither_washed_out_nor_dark(tmp_path: Path, curve: str) -> None:
    given = "zscale=tin=bt709:pin=bt709:min=gbr:rin=full:npl=203"
    to_hdr = f"format=gbrp,{given}:t={curve}:p=bt2020:m=bt2020nc:r=limited,format=yuv420p10le"
    x265 = ["-c:v", "libx265", "-x265-params", "log-level=none:crf=2:pools=1"]
    path = as_film(tmp_path / "a.mp4", bars(64), "-vf", to_hdr, *x265)
    info = probe(path)
    assert info.hdr and info.matrix == "bt2020" and info.depth == 10
    clip = open_clip(path)
    assert any("high dynamic range" in note for note in clip.notes)
    found = inside(next(clip.frames())) * 255
    assert np.abs(found - BARS).mean() < 12
    red, green, grey = found[5], found[3], found[9]
    assert red[0] > 3 * red[1] and green[1] > 3 * green[0] and np.ptp(grey) < 6


def test_high_dynamic_range_without_the_filters_for_it_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = "setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084:range=tv"
    path = make(tmp_path / "a.mkv", "-vf", f"format=yuv420p10le,{tags}", "-c:v", "ffv1")
    assert len(list(open_clip(path).pixels())) == 6
    monkeypatch.setattr(film, "filters_here", lambda: frozenset({"scale"}))
    with pytest.raises(BadInput, match="zscale"):
        open_clip(path)


def test_wide_colours_of_the_usual_range_are_brought_into_ours(tmp_path: Path) -> None:
    to_wide = "zscale=tin=bt709:pin=bt709:min=gbr:rin=full:p=bt2020:t=bt709:m=bt2020nc:r=limited,format=yuv444p10le"
    path = as_film(tmp_path / "a.mkv", bars(64), "-vf", f"format=gbrp,{to_wide}", "-c:v", "ffv1")
    clip = open_clip(path)
    assert any("BT.2020" in note for note in clip.notes)
    assert np.abs(inside(next(clip.pixels())) - BARS).mean() < 1.5


# --- folders and damage ----------------------------------------------------------------------------------------------


def test_a_folder_can_be_cut_restarted_and_given_a_rate_and_tells_of_gaps(tmp_path: Path) -> None:
    for number in (1, 2, 3, 5, 8):
        write_image(np.full((4, 6, 3), number, np.uint8), tmp_path / f"shot_{number:03}.png")
    clip = open_clip(tmp_path, rate=Fraction(10))
    assert (clip.rate, clip.count, clip.sound) == (10, 5, None)
    assert [int(frame[0, 0, 0]) for frame in clip.pixels(3)] == [5, 8]
    assert any("3 numbers are missing" in note for note in clip.notes)
    part = open_clip(tmp_path, rate=Fraction(10), start=0.1, end=0.4)
    assert [int(frame[0, 0, 0]) for frame in part.pixels()] == [2, 3, 5]
    assert [int(frame[0, 0, 0]) for frame in part.pixels(2)] == [5]


def test_a_picture_of_another_size_is_found_before_the_first_is_shown(tmp_path: Path) -> None:
    for number in (1, 2):
        write_image(np.zeros((4, 6 + number, 3), np.uint8), tmp_path / f"{number}.png")
    with pytest.raises(BadInput, match=r"2\.png is 8x4"):
        open_clip(tmp_path)


def test_a_work_folder_and_an_animated_webp_are_read_by_the_clock_too(tmp_path: Path) -> None:
    frames = [np.full((16, 24, 3), 9 * number, np.uint8) for number in range(12)]
    with Store.open(tmp_path / "work", size=Size(24, 16), rate=Fraction(24), pixel_key="k", meta={}) as store:
        for frame in frames:
            store.append(from_8bit(frame))
        store.commit({})
    encode(iter(frames), tmp_path / "a.webp", size=Size(24, 16), rate=Fraction(24), quality=100)
    for path in (tmp_path / "work", tmp_path / "a.webp"):
        assert open_clip(path).rate == 24
        half = open_clip(path, rate=Fraction(12), start=0.25)
        assert half.count == 3
        found = [float(frame.mean()) * 255 / 9 for frame in half.frames()]
        assert found == pytest.approx([6, 8, 10], abs=1.01)
        assert [float(frame.mean()) * 255 / 9 for frame in half.frames(1)] == found[1:]


def test_a_damaged_middle_is_bridged_and_time_goes_on(tmp_path: Path) -> None:
    whole = make(tmp_path / "a.mkv", "-c:v", "libx264", "-g", "12", source="testsrc2=s=96x64:r=24:d=4")
    good = list(open_clip(whole).pixels())
    data = bytearray(whole.read_bytes())
    place = len(data) // 2
    data[place : place + 3000] = bytes(3000)
    bad = tmp_path / "bad.mkv"
    bad.write_bytes(data)
    clip = open_clip(bad)
    frames = list(clip.pixels())
    assert clip.degraded and any("damaged" in note for note in clip.notes)
    assert len(frames) == len(good) and np.array_equal(frames[-1], good[-1]) and np.array_equal(frames[0], good[0])
