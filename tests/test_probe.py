"""What a film holds is found whatever it says of itself, and what is no film is refused with a reason."""

from __future__ import annotations

import itertools
import struct
import time
import zlib
from fractions import Fraction
from pathlib import Path

import pytest

from renderer.errors import BadInput
from renderer.frame import Size
from renderer.media.ffmpeg.clips import open_clip
from renderer.media.ffmpeg.pipes import file_url, run
from renderer.media.ffmpeg.probe import ClipInfo, filters_here, probe
from renderer.media.ffmpeg.showinfo import ask, depth_of
from renderer.media.ffmpeg.timing import STANDARD_RATES, read_packets, timing_of
from renderer.media.ffmpeg.tracks import Track, read_tracks

X264 = ["-c:v", "libx264", "-preset", "ultrafast"]


def make(path: Path, *args: str, source: str = "testsrc2=s=48x32:r=12:d=0.5") -> Path:
    run(["-y", "-f", "lavfi", "-i", source, *args, file_url(path)])
    return path


def refused(path: Path, told: str) -> None:
    """Opening ends soon, with one sentence that names the file and the reason, and changes nothing."""
    before = sorted(path.parent.iterdir())
    began = time.monotonic()
    with pytest.raises(BadInput, match=told) as caught:
        next(open_clip(path).frames())
    assert str(path) in str(caught.value) and "\n" not in str(caught.value).replace(str(path), "")
    assert time.monotonic() - began < 60 and sorted(path.parent.iterdir()) == before


# --- what is no film -------------------------------------------------------------------------------------------------


def test_empty_files_text_and_wrong_beginnings_are_no_films(tmp_path: Path) -> None:
    contents = [
        b"",
        b"hello, world\n" * 50,
        b"\0" * 5000,
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 2000,
        b"PK\3\4" + b"\1" * 2000,
        b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\7" * 2000,
        b"\x1aE\xdf\xa3" + b"\x42" * 2000,
        b"RIFF\x10\0\0\0AVI LIST" + b"\3" * 2000,
        b"GIF89a",
    ]
    names = ("a.mp4", "a.mkv", "a.gif", "a.webp", "a")  # None of them decides.
    for content, name in [
        *zip(contents, itertools.cycle(names), strict=False),
        *((contents[1], name) for name in names),
    ]:
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "a")


def test_an_mp4_without_its_index_is_refused_with_that_reason(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole.mp4", *X264).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: whole.index(b"moov") - 4])
    refused(cut, "moov atom not found")


def test_films_without_frames_sound_alone_and_covers_alone_are_refused(tmp_path: Path) -> None:
    empty = make(tmp_path / "empty.mp4", *X264, "-frames:v", "0")
    assert empty.stat().st_size > 0
    refused(empty, "holds no")
    sound = make(tmp_path / "sound.mp4", "-c:a", "aac", source="sine=d=0.2")
    refused(sound, "no moving pictures")
    picture = make(tmp_path / "cover.png", "-frames:v", "1")
    cover = tmp_path / "cover.mp4"
    added = ["-map", "0", "-map", "1", "-c", "copy", "-c:v", "copy", "-disposition:v:0", "attached_pic"]
    run(["-i", file_url(sound), "-i", file_url(picture), *added, file_url(cover)])
    refused(cover, "no moving pictures")


def test_a_cover_beside_the_film_is_not_taken_for_it(tmp_path: Path) -> None:
    film = make(tmp_path / "film.mp4", *X264)
    picture = make(tmp_path / "cover.png", "-frames:v", "1", source="color=red:s=20x20:d=0.1")
    both = tmp_path / "both.mp4"
    maps = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic", "-disposition:v:1", "0"]
    run(["-i", file_url(picture), "-i", file_url(film), *maps, file_url(both)])
    assert probe(both).size == Size(48, 32) and probe(both).frames == 6


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile {other}\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><BaseURL>{other}</BaseURL></Period></MPD>',
    ],
    ids=["ffconcat", "hls", "hls-http", "dash"],
)
def test_lists_of_other_files_in_disguise_are_not_followed(tmp_path: Path, text: str) -> None:
    other = make(tmp_path / "other.mkv", *X264)
    for name in ("list.mp4", "list.m3u8", "list.ffconcat"):
        (tmp_path / name).write_text(text.format(other=other.name))
        refused(tmp_path / name, "cannot be read")


def test_addresses_are_names_of_files_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "other.mkv", *X264)
    monkeypatch.chdir(tmp_path)
    for name in ("http://127.0.0.1:9/a.mp4", "concat:other.mkv|other.mkv", "pipe:0", "lavfi:color"):
        with pytest.raises(BadInput, match="not there"):
            open_clip(Path(name))


def png_header(width: int, height: int, *, kind: bytes = b"IHDR") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(kind, struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    moving = chunk(b"acTL", struct.pack(">II", 1, 0))
    moving += chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, width, height, 0, 0, 1, 12, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + moving + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def test_headers_of_enormous_frames_and_bombs_are_refused_before_anything_is_decoded(tmp_path: Path) -> None:
    gif = b"GIF89a" + struct.pack("<HHBBB", 30_000, 30_000, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff\x21\xf9\4\0\x0a\0\0\0,"
    gif += struct.pack("<HHHHB", 0, 0, 30_000, 30_000, 0) + b"\2\2\x44\1\0;"
    (tmp_path / "big.gif").write_bytes(gif)
    (tmp_path / "big.apng").write_bytes(png_header(30_000, 30_000))
    webp = b"VP8X" + struct.pack("<II", 10, 2) + (29_999).to_bytes(3, "little") * 2
    (tmp_path / "big.webp").write_bytes(b"RIFF" + struct.pack("<I", len(webp) + 4) + b"WEBP" + webp)
    mkv = make(tmp_path / "flat.mkv", "-c:v", "png", source="color=red:s=300x200:d=0.1").read_bytes()
    patched = mkv.replace(struct.pack(">II", 300, 200), struct.pack(">II", 30_000, 30_000))
    wide, high = b"\xb0\x82" + struct.pack(">H", 300), b"\xba\x81" + bytes([200])
    assert wide in patched and high in patched
    (tmp_path / "big.mkv").write_bytes(patched)
    (tmp_path / "flat.mkv").unlink()
    for path in sorted(tmp_path.iterdir()):
        refused(path, "too large|cannot be read as|30000x30000")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "1.png").write_bytes(png_header(30_000, 30_000))
    with pytest.raises(BadInput, match=r"1\.png is too large"):
        open_clip(folder)


def test_a_film_that_asks_for_too_much_memory_is_refused_with_that_reason(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mkv", "-c:v", "png", source="color=red:s=320x240:r=12:d=0.5")
    with pytest.raises(BadInput, match="asks for more memory than there is"):
        ask(path, ["-max_alloc", "100000", "-i", file_url(path), "-f", "null", "-"], timeout=60)


# --- what a film holds -----------------------------------------------------------------------------------------------


def test_a_film_is_described_with_all_its_tracks(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,100 --> 00:00:00,400\nhello\n")
    lavfi = ["-f", "lavfi", "-i"]
    run(
        [
            *(*lavfi, "testsrc2=s=64x48:r=30000/1001:d=1", *lavfi, "sine=d=1", *lavfi, "anullsrc=cl=5.1:d=1"),
            *("-i", file_url(words), "-map", "0", "-map", "1", "-map", "2", "-map", "3"),
            *("-c:v", "ffv1", "-pix_fmt", "yuv422p10le", "-c:a:0", "flac", "-c:a:1", "ac3", "-c:s", "subrip"),
            file_url(path),
        ]
    )
    info = probe(path)
    assert isinstance(info, ClipInfo)
    assert (info.size, info.rate, info.constant, info.frames) == (Size(64, 48), Fraction(30000, 1001), True, 30)
    assert info.seconds == Fraction(1001, 1000) and info.depth == 10 and info.codec == "ffv1"
    assert [(track.codec, track.channels) for track in info.sounds] == [("flac", 1), ("ac3", 6)]
    assert [track.codec for track in info.subtitles] == ["subrip"]
    assert not info.damaged and not info.interlaced and not info.hdr and info.sar == 1 and info.notes == ()


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.mov"])
def test_rates_are_exact_in_every_container(tmp_path: Path, name: str) -> None:
    for rate in ("24000/1001", "60", "7/2"):
        path = make(tmp_path / name, "-c:v", "mjpeg", source=f"color=red:s=32x32:r={rate}:d=4")
        info = probe(path)
        assert info.constant and info.rate == Fraction(rate)
        assert info.frames == round(4 * Fraction(rate))


def packets(times: list[int], *, tick: str, length: int) -> bytes:
    head = f"#tb 0: {tick}\n#codec_id 0: h264\n#dimensions 0: 64x48\n"
    return (head + "".join(f"0, {at}, {at}, {length}, 9, 0x0\n" for at in times)).encode()


@pytest.mark.parametrize("tick", [1000, 90_000, 600])
def test_a_long_film_counted_in_coarse_ticks_still_has_its_exact_rate(tick: int) -> None:
    count = 5_000
    for rate in STANDARD_RATES:
        times = [round(number * tick / rate) for number in range(count)]
        found = read_packets(packets(times, tick=f"1/{tick}", length=round(tick / rate)))
        assert found is not None
        timing = timing_of(found, first=Fraction(0), nominal=None)
        assert timing.constant and timing.rate == rate
        assert abs(timing.seconds - count / rate) < Fraction(1, 1000)


def test_frames_of_different_lengths_are_noticed_and_get_the_rate_of_most(tmp_path: Path) -> None:
    steps = itertools.cycle([3000, 3000, 3003, 2997, 6000, 3000])
    times = list(itertools.accumulate(itertools.islice(steps, 200), initial=0))
    found = read_packets(packets(times, tick="1/90000", length=3000))
    assert found is not None
    timing = timing_of(found, first=Fraction(0), nominal=Fraction(90_000))
    assert not timing.constant and timing.rate == 30 and timing.frames == 201
    assert timing.seconds == Fraction(times[-1] + 3000, 90_000)


def test_a_rate_that_the_container_only_claims_is_not_believed() -> None:
    found = read_packets(packets([number * 40 for number in range(50)], tick="1/1000", length=40))
    assert found is not None
    assert timing_of(found, first=Fraction(0), nominal=Fraction(1000)).rate == 25
    assert timing_of(found, first=Fraction(0), nominal=Fraction(50)).rate == 25


def test_a_list_without_packets_is_no_film() -> None:
    assert read_packets(b"#tb 0: 1/25\n#codec_id 0: h264\n") is None
    assert read_packets(b"") is None


def test_depths_are_read_off_pixel_formats() -> None:
    for form, depth in (
        *(("yuv420p", 8), ("yuvj420p", 8), ("nv12", 8), ("gray", 8), ("bgra", 8), ("rgb24", 8), ("pal8", 8)),
        *(("yuv420p10le", 10), ("yuv422p12be", 12), ("gbrp10le", 10), ("p010le", 10), ("gray16le", 16)),
        *(("rgb48be", 16), ("yuva444p16le", 16), ("x2rgb10le", 10), ("gbrpf32le", 16), ("yuv410p", 8), ("yuv440p", 8)),
    ):
        assert depth_of(form) == depth


def test_channels_are_counted() -> None:
    layouts = {"mono": 1, "stereo": 2, "5.1(side)": 6, "7.1": 8, "quad": 4, "11 channels (FL+FR)": 11, "2.1": 3}
    assert {layout: Track(layout=layout).channels for layout in layouts} == layouts


def test_tracks_are_read_from_a_list_and_unknown_ones_named_so() -> None:
    text = b"#tb 0: 1/25\n#media_type 0: video\n#codec_id 0: h264\n#media_type 1: audio\n#codec_id 1: unknown\n"
    sounds, subtitles = read_tracks(text + b"#channel_layout_name 1: mono\n")
    assert [(track.codec, track.channels) for track in sounds] == [("unknown", 1)] and subtitles == ()


def test_the_filters_of_ffmpeg_are_known() -> None:
    assert {"scale", "fps", "bwdif", "setparams", "trim"} <= filters_here()
    assert "no_such_filter" not in filters_here()


@pytest.mark.parametrize("part", [0.5, 0.9])
@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv"])
def test_a_film_that_was_cut_off_is_degraded_and_says_so(tmp_path: Path, name: str, part: float) -> None:
    whole = make(tmp_path / f"whole{name}", *X264, "-movflags", "+faststart", source="testsrc2=s=96x64:r=24:d=2")
    data = whole.read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * part)])
    clip = open_clip(path)
    count = sum(1 for _ in clip.pixels())
    assert clip.degraded and any(str(path) in note and "cut off" in note for note in clip.notes)
    assert 0 < count < 48 and open_clip(whole).degraded is False


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", *X264)
    path.chmod(0)
    try:
        try:
            path.open("rb").close()
        except OSError:
            with pytest.raises(BadInput, match="cannot be read"):
                probe(path)
    finally:
        path.chmod(0o600)
    with pytest.raises(BadInput, match="is a folder"):
        probe(tmp_path)
    with pytest.raises(BadInput):
        open_clip(Path("a\0b.mp4"))
