"""Moving pictures of every kind are read upright, whole and in their own colours."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from renderer.errors import BadInput
from renderer.frame import Size, from_8bit
from renderer.jobs.metrics import measure_film
from renderer.media.clips import OPENERS, open_clip
from renderer.media.ffmpeg import file_url, run
from renderer.media.images import write_image
from renderer.media.probe import probe
from renderer.media.store import Store

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
    assert probe(path).assumed_matrix is not tagged
    assert np.abs(next(open_clip(path).pixels()).mean((0, 1)) - (0x20, 0xD0, 0x40)).max() < 3


def test_a_rotated_film_is_read_upright(tmp_path: Path) -> None:
    plain = make(tmp_path / "plain.mp4", "-c:v", "libx264")
    turned = tmp_path / "turned.mp4"
    run(["-display_rotation", "90", "-i", file_url(plain), "-c", "copy", file_url(turned)])
    clip = open_clip(turned)
    assert clip.size == Size(32, 48)
    assert next(clip.pixels()).shape == (48, 32, 3)


def test_pixels_that_are_not_square_are_made_square(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", "-vf", "setsar=64/45", "-c:v", "libx264", source="color=red:s=72x64:d=0.2")
    assert open_clip(path).size == Size(102, 64)
    assert next(open_clip(path).pixels()).shape == (64, 102, 3)


def test_odd_sizes_stay_as_they_are(tmp_path: Path) -> None:
    clip = open_clip(make(tmp_path / "a.mkv", "-c:v", "ffv1", source="color=red:s=33x17:d=0.2"))
    assert next(clip.pixels()).shape == (17, 33, 3)


def test_broadcast_rates_are_exact_and_another_rate_can_be_asked_for(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mkv", "-c:v", "ffv1", source="color=red:s=32x32:r=24000/1001:d=1")
    assert open_clip(path).rate == Fraction(24000, 1001)
    slower = open_clip(path, rate=Fraction(6))
    assert slower.rate == 6 and len(list(slower.pixels())) == slower.count == 6


@pytest.mark.parametrize("name", ["-x.mp4", "a:b.mp4", "%d.mp4", "http:x.mp4", "a b\n'é.mp4"])
def test_any_name_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    make(tmp_path / name, "-c:v", "libx264", "-f", "mp4")
    monkeypatch.chdir(tmp_path)
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
    assert report.subject.frames <= 24
    assert bool(report.notes) == (report.subject.frames < probe(whole).frames)


@pytest.mark.parametrize(
    "content", [b"", b"text", b"ffconcat version 1.0\nfile a.mkv\n", b"#EXTM3U\na.mkv\n", b"RIFF\0\0\0\0WEBPVP8 "]
)
def test_what_is_no_film_is_refused(tmp_path: Path, content: bytes) -> None:
    make(tmp_path / "a.mkv", "-c:v", "ffv1")
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"bad\.mp4"):
        list(open_clip(path).pixels())


def test_sound_alone_is_no_film(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", "-c:a", "aac", source="sine=d=0.2")
    with pytest.raises(BadInput, match=r"a\.mp4"):
        open_clip(path)


def test_every_way_of_opening_refuses_what_is_not_there(tmp_path: Path) -> None:
    assert not any(fits(tmp_path / "nothing") for fits, _ in OPENERS)
    with pytest.raises(BadInput, match="not there"):
        open_clip(tmp_path / "nothing")
