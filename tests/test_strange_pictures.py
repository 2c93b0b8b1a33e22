"""Pictures as cameras, editors and enemies leave them: transparent, on their side, among clutter, or without end."""

from __future__ import annotations

import io
import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from renderer.batch.patterns import InputSearch
from renderer.errors import BadInput
from renderer.files import file_sha256
from renderer.frame import Size
from renderer.media.ffmpeg.clips import open_clip
from renderer.media.ffmpeg.pipes import file_url, run
from renderer.media.images import image_size, is_picture, read_image
from renderer.media.recipe import read_recipe
from renderer.media.sheets import Section, contact_sheet

RED, GREEN = (255, 0, 0), (0, 255, 0)


def square() -> np.ndarray:
    """A red square in the middle, half transparent at its right; around it green that is hidden. 64x48 RGBA."""
    pixels = np.zeros((48, 64, 4), np.uint8)
    pixels[..., 1] = 255
    pixels[16:32, 16:48] = (*RED, 255)
    pixels[16:32, 32:48, 3] = 128
    return pixels


def check_on_black(frame: np.ndarray, what: object, *, within: float = 0.03, half: float = 0.5) -> None:
    height, width = frame.shape[:2]
    places = {(0.1, 0.1): (0, 0, 0), (0.9, 0.9): (0, 0, 0), (0.5, 0.375): (1, 0, 0), (0.5, 0.625): (half, 0, 0)}
    for (down, across), colour in places.items():
        found = frame[int(down * height), int(across * width)]
        assert np.allclose(found, colour, atol=within), f"{what} at {down}, {across}: {found}"
    # Where colours are stored at half the size, some of the hidden ones lie in the pixels at the edge.
    assert frame[..., 1].max() < 4 * within, f"{what} shows hidden colours at its edges"


FILMS = {
    "a.apng": "-c:v apng",
    "a.mov": "-c:v qtrle -pix_fmt argb",
    "b.mov": "-c:v png -pix_fmt rgba",
    "c.mov": "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le",
    "d.mov": "-c:v png -pix_fmt rgba64be",
    "a.webm": "-c:v libvpx-vp9 -pix_fmt yuva420p -crf 10 -b:v 0",
    "b.webm": "-c:v libvpx -auto-alt-ref 0 -pix_fmt yuva420p -crf 4 -b:v 1M",
    "a.mkv": "-c:v ffv1 -pix_fmt yuva422p10le",
    "b.mkv": "-c:v ffv1 -pix_fmt yuva444p12le",
    "c.mkv": "-c:v ffv1 -pix_fmt gbrap12le",
}


def test_what_is_transparent_lies_on_black_in_every_kind_of_film_and_picture(tmp_path: Path) -> None:
    picture = Image.fromarray(square())
    picture.save(tmp_path / "source.png")
    for name, options in FILMS.items():
        args = ["-framerate", "5", "-loop", "1", "-i", file_url(tmp_path / "source.png"), "-frames:v", "3"]
        run([*args, *options.split(), "-y", file_url(tmp_path / name)])
        clip = open_clip(tmp_path / name)
        for size in (clip.size, Size(32, 24)):  # Made smaller, hidden colours would be mixed in.
            for frame in clip.scaled(size).frames():
                check_on_black(frame, (name, size), within=0.06)
    pictures = [picture, picture.copy()]
    picture.save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], lossless=True, exact=True)
    for frame in open_clip(tmp_path / "a.webp"):
        check_on_black(frame, "webp")
    picture.save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:])
    for frame in open_clip(tmp_path / "a.gif"):
        check_on_black(frame, "gif", half=float(frame[24, 40, 0]))
    for ending in ("png", "webp", "tif", "tga", "jp2"):
        path = tmp_path / f"still.{ending}"
        picture.save(path, **({"lossless": True, "exact": True} if ending == "webp" else {}))
        check_on_black(read_image(path), ending)


def test_grey_of_16_bits_and_colours_that_a_png_names_transparent_lie_on_black(tmp_path: Path) -> None:
    def png(name: str, kind: int, row: bytes, transparent: bytes) -> np.ndarray:
        def chunk(kind: bytes, body: bytes) -> bytes:
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16 if kind == 0 else 8, kind, 0, 0, 0))
        data = chunk(b"tRNS", transparent) + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n" + head + data)
        return read_image(tmp_path / name)

    grey = png("grey.png", 0, struct.pack(">HH", 50_000, 65_535), struct.pack(">H", 50_000))
    np.testing.assert_allclose(grey[0, :, 0], [0, 1], atol=1e-4)
    colour = png("colour.png", 2, bytes([*GREEN, *RED]), struct.pack(">HHH", *GREEN))
    np.testing.assert_allclose(colour[0], [(0, 0, 0), (1, 0, 0)])


@pytest.mark.parametrize("name", ["o.apng", "p.mov", "q.mkv", "r.mkv"])
def test_an_opaque_film_with_room_for_transparency_has_the_frames_of_one_without(tmp_path: Path, name: str) -> None:
    source = ["-f", "lavfi", "-i", "testsrc2=s=66x38:r=5:d=0.6"]
    with_alpha, without = {
        "o.apng": ("rgba", "rgb24"),
        "p.mov": ("argb", "rgb24"),
        "q.mkv": ("yuva444p12le", "yuv444p12le"),
        "r.mkv": ("yuva420p", "yuv420p"),
    }[name]
    codec = {"o.apng": "apng", "p.mov": "qtrle", "q.mkv": "ffv1", "r.mkv": "ffv1"}[name]
    found = []
    for form in (with_alpha, without):
        path = tmp_path / f"{form}{name}"
        run([*source, "-vf", "format=rgb24", "-c:v", codec, "-pix_fmt", form, "-y", file_url(path)])
        found.append(np.stack(list(open_clip(path).frames())))
    np.testing.assert_array_equal(*found)


def test_a_tiff_on_its_side_is_turned_once_everywhere(tmp_path: Path) -> None:
    stored = Image.fromarray(np.zeros((4, 9, 3), np.uint8))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for ending in ("tif", "jpg", "png", "webp"):
            path = tmp_path / f"{orientation}.{ending}"
            stored.save(path, exif=exif)
            assert image_size(path) == Size.of(read_image(path)) == ((4, 9) if orientation > 4 else (9, 4)), path.name
    (tmp_path / "side").mkdir()
    (tmp_path / "6.tif").rename(tmp_path / "side" / "1.tif")
    assert open_clip(tmp_path / "side").size == (4, 9)


def test_a_photograph_with_a_small_picture_beside_it_is_one_picture(tmp_path: Path) -> None:
    large, small = Image.new("RGB", (32, 24), RED), Image.new("RGB", (8, 6), GREEN)
    large.save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[small])
    assert is_picture(tmp_path / "phone.jpg")
    assert image_size(tmp_path / "phone.jpg") == (32, 24)


CLUTTER = ("._1.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.png")


def test_what_a_system_leaves_in_a_folder_of_pictures_is_passed_over(tmp_path: Path) -> None:
    for number in (1, 2):
        Image.new("RGB", (8, 6), RED).save(tmp_path / f"{number}.png")
    before = file_sha256(tmp_path)
    for name in CLUTTER:
        (tmp_path / name).write_bytes(b"\0\5\x16\7 not a picture")
    assert open_clip(tmp_path).count == 2
    assert file_sha256(tmp_path) == before
    for pattern in ("*", "*.png", "**/*"):
        assert [found.path.name for found in InputSearch().find([pattern], tmp_path)] == ["1.png", "2.png"], pattern


def test_cases_of_cameras_and_systems_are_read_as_they_are_meant(shared: Path) -> None:
    for path in sorted((shared / "cases" / "alpha").iterdir()):
        for frame in open_clip(path):
            # In halved colours some of the hidden ones lie in the pixels at the edge.
            assert (frame[..., 1] > 0.1).mean() < 0.02, path.name
    assert open_clip(shared / "cases" / "dots").count == 6
    for path in (shared / "cases" / "rot").iterdir():
        assert image_size(path) == Size.of(read_image(path))


def test_a_film_where_a_picture_is_meant_and_the_other_way_round_is_named(tmp_path: Path) -> None:
    run(["-f", "lavfi", "-i", "testsrc=s=32x24:r=5:d=0.4", "-y", file_url(tmp_path / "clip.mp4")])
    with pytest.raises(BadInput, match=r"is a film.*dreamreel video"):
        read_image(tmp_path / "clip.mp4")
    Image.new("RGB", (8, 6)).save(tmp_path / "one.png")
    with pytest.raises(BadInput, match=r"is one picture.*dreamreel still.*dreamreel zoom"):
        open_clip(tmp_path / "one.png")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60))
    with pytest.raises(BadInput, match=r"HEIC picture.*convert"):
        read_image(tmp_path / "phone.heic")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_devices_and_files_of_the_kernel_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero"), Path("/proc/self/environ")):
        for read in (read_image, image_size, file_sha256, read_recipe):
            with pytest.raises(BadInput, match=path.name):
                read(path)


# --- small files that would take for ever ----------------------------------------------------------------------------


def _plain(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.new("P" if kind == "GIF" else "RGB", (8, 8)).save(stream, kind)
    return stream.getvalue()


def _gif_comment() -> bytes:
    gif = _plain("GIF")
    table = 3 << ((gif[10] & 7) + 1) if gif[10] & 0x80 else 0
    return gif[: 13 + table] + b"\x21\xfe" + b"\x01a" * 300_000 + b"\0" + gif[13 + table :]


def _jpeg(segment: bytes, times: int) -> bytes:
    jpeg = _plain("JPEG")
    return jpeg[:2] + segment * times + jpeg[2:]


def _tiff_tags() -> bytes:
    """A table of 3,000 tags, each of which has the same megabyte for its value: 3 GB."""
    block = bytes(1 << 20)
    size = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    tags = [*size, (278, 3, 1, 8), (279, 4, 1, 64), *((1000 + n, 7, len(block), 8) for n in range(3_000))]
    table = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(block)) + block + table


ENDLESS = {
    "comment.gif": _gif_comment,
    "comments.jpg": lambda: _jpeg(b"\xff\xfe\0\3a", 300_000),
    "exif.jpg": lambda: _jpeg(b"\xff\xe1\0\x0aExif\0\0ab", 300_000),
    "short.jpg": lambda: _jpeg(b"\xff\xfe\0\0", 3),
    "tags.tif": _tiff_tags,
    "loop.webp": lambda: b"RIFF\x1c\0\0\0WEBPANMF\0\0\0\0" + bytes(16),
    "back.webp": lambda: b"RIFF\x1c\0\0\0WEBPANMF" + struct.pack("<I", 8) + bytes(16),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_small_files_that_would_take_for_ever_are_read_or_refused_in_seconds(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(ENDLESS[name]())
    for read in (read_image, image_size, is_picture, open_clip, read_recipe):
        began = time.thread_time()
        try:
            read(path)
        except BadInput as error:
            assert path.name in str(error) and "object at" not in str(error)
        assert time.thread_time() - began < 6, read.__name__


def test_a_jpeg_that_writes_its_picture_over_and_over_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("L", (5000, 5000)).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    last = data.rindex(b"\xff\xda")
    (tmp_path / "scans.jpg").write_bytes(data[:last] + data[last:-2] * 500 + data[-2:])
    with pytest.raises(BadInput, match="times over"):
        read_image(tmp_path / "scans.jpg")


def test_a_caption_of_any_name_is_drawn() -> None:
    tile = np.zeros((8, 8, 3), np.uint8)
    assert contact_sheet([Section(tiles=[(tile, "not utf-8 \udcff"), (tile, "long" * 5000)])], columns=2).ndim == 3
