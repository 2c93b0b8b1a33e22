"""Pictures in and out: whatever a user has on the disk ends as the right frame or as one clear sentence."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image, ImageCms

from renderer.errors import BadInput, DiskProblem, UsageError
from renderer.frame import Pixels
from renderer.media.ffmpeg.encode import read_recipe
from renderer.media.images import WRITERS, read_image, write_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners() -> Pixels:
    """A picture of 6x4 whose four quarters differ: rotation, mirroring and swapped channels all show."""
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:2, :3], pixels[:2, 3:], pixels[2:, :3], pixels[2:, 3:] = RED, GREEN, BLUE, WHITE
    return pixels


def names_in(folder: Path) -> list[str]:
    return sorted(inside.name for inside in folder.iterdir())


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def check(path: Path, expected: Pixels, *, within: float = 0.01) -> None:
    frame = read_image(path)
    assert frame.dtype == np.float32 and frame.shape == expected.shape
    np.testing.assert_allclose(frame, expected / 255.0, atol=within)


def photo() -> Pixels:
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    return np.stack([ramp, ramp[::-1], 128 - ramp // 2], axis=2)


# --- what is readable ------------------------------------------------------------------------------------------------


def test_usual_kinds_are_read_exactly_whatever_their_name(tmp_path: Path) -> None:
    kinds = {".webp": {"format": "WEBP", "lossless": True}, ".txt": {"format": "PNG"}}
    for name in ("a.png", "a.bmp", "a.tif", "a.gif", "a.webp", "wrong-ending.txt"):
        path = save(tmp_path / name, Image.fromarray(corners()), **kinds.get(Path(name).suffix, {}))
        check(path, corners())


@pytest.mark.parametrize("depth", [8, 16])
def test_grey_pictures_become_three_equal_channels_at_full_depth(tmp_path: Path, depth: int) -> None:
    grey = np.array([[0, 1000, 40000, 65535]], np.uint16)
    stored = grey if depth == 16 else (grey >> 8).astype(np.uint8)
    path = save(tmp_path / "grey.png", Image.fromarray(stored))
    expected = np.repeat((stored / (65535 if depth == 16 else 255))[..., None], 3, axis=2)
    np.testing.assert_allclose(read_image(path), expected, atol=1e-6)


def test_colour_of_16_bits_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    deep = corners()[..., ::-1].astype(np.uint16) * 257
    assert cv2.imwrite(str(path), deep)
    check(path, corners())


def test_transparency_is_laid_over_black(tmp_path: Path) -> None:
    pixels = np.dstack([corners(), np.full((4, 6), 255, np.uint8)])
    pixels[0, 0, 3], pixels[0, 1, 3] = 0, 51
    expected = corners()
    expected[0, 0], expected[0, 1] = 0, (51, 0, 0)
    check(save(tmp_path / "alpha.png", Image.fromarray(pixels)), expected)


def test_palettes_black_and_white_grey_with_alpha_and_cmyk_are_read(tmp_path: Path) -> None:
    check(save(tmp_path / "palette.png", Image.fromarray(corners()).quantize(8)), corners())
    see_through = Image.fromarray(corners()).quantize(8)
    index = see_through.getpixel((0, 0))
    expected = corners()
    expected[:2, :3] = 0
    check(save(tmp_path / "hole.png", see_through, transparency=index), expected)
    bits = np.array([[True, False]])
    check(save(tmp_path / "bits.png", Image.fromarray(bits)), np.array([[WHITE, (0, 0, 0)]], np.uint8))
    grey_alpha = Image.merge("LA", [Image.new("L", (1, 1), 200), Image.new("L", (1, 1), 255)])
    check(save(tmp_path / "la.png", grey_alpha), np.full((1, 1, 3), 200, np.uint8))
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    check(save(tmp_path / "ink.jpg", Image.fromarray(flat).convert("CMYK"), quality=95), flat, within=0.03)


def test_the_rotation_that_a_camera_noted_is_applied(tmp_path: Path) -> None:
    upright = Image.fromarray(corners())
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # The viewer turns it clockwise, so it is stored turned the other way.
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    for orientation in range(1, 9):
        stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
        exif = Image.Exif()
        exif[0x0112] = orientation
        check(save(tmp_path / "camera.png", stored, exif=exif), corners())


def test_an_embedded_colour_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    same = save(tmp_path / "srgb.png", Image.fromarray(photo()), icc_profile=srgb.tobytes())
    check(same, photo(), within=1e-6)
    broken = save(tmp_path / "broken.png", Image.fromarray(photo()), icc_profile=b"not a profile" * 20)
    check(broken, photo(), within=1e-6)
    swapped = save(tmp_path / "swapped.png", Image.fromarray(corners()), icc_profile=swapped_profile())
    frame = read_image(swapped)
    assert frame[0, 0].argmax() == 2 and frame[3, 0].argmax() == 0  # Its red is our blue.


def swapped_profile() -> bytes:
    """The sRGB profile with the tags of its red and blue primaries exchanged, under another name."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = data.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")
    return data.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    second = Image.new("RGB", (6, 4), (9, 9, 9))
    for name in ("a.gif", "a.png", "a.webp"):
        options = {"lossless": True} if name.endswith("webp") else {}
        first = Image.fromarray(corners())
        check(save(tmp_path / name, first, save_all=True, append_images=[second], **options), corners())


def test_a_single_pixel_is_a_picture(tmp_path: Path) -> None:
    check(save(tmp_path / "one.png", Image.new("RGB", (1, 1), RED)), np.array([[RED]], np.uint8))


# --- what is not -----------------------------------------------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        read_image(path)
    message = str(caught.value)
    assert path.name in message and "\n" not in message and message.endswith(".")
    return message


def test_missing_empty_text_and_folder_are_named(tmp_path: Path) -> None:
    assert "is not there" in refused(tmp_path / "none.png")
    assert "folder" in refused(tmp_path)
    (tmp_path / "empty.png").touch()
    assert "empty" in refused(tmp_path / "empty.png")
    (tmp_path / "text.jpg").write_text("not a picture at all")
    assert "not a picture" in refused(tmp_path / "text.jpg")
    (tmp_path / "draw.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert "not a picture" in refused(tmp_path / "draw.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "is a pipe" in refused(tmp_path / "pipe.png")


def test_a_picture_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    static = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for kind in ("png", "jpg", "webp", "gif", "tif", "bmp"):
        whole = save(tmp_path / f"whole.{kind}", Image.fromarray(static)).read_bytes()
        cut = tmp_path / f"cut.{kind}"
        for part in (0.1, 0.5, 0.9):
            cut.write_bytes(whole[: int(len(whole) * part)])
            refused(cut)


def test_a_scrambled_picture_is_refused_or_read_but_never_a_crash(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for kind in ("png", "jpg", "webp", "gif", "tif", "bmp"):
        whole = np.frombuffer(save(tmp_path / f"w.{kind}", Image.fromarray(photo())).read_bytes(), np.uint8)
        for turn in range(12):
            data = whole.copy()
            places = random.integers(4 if turn % 2 else 20, len(data), 12)
            data[places] = random.integers(0, 256, 12)
            path = tmp_path / f"scrambled.{kind}"
            path.write_bytes(data.tobytes())
            try:
                assert read_image(path).ndim == 3
            except BadInput as error:
                assert path.name in str(error)


@pytest.mark.parametrize("side", [30_000, 12_000])
def test_a_header_that_promises_a_huge_picture_is_refused_before_decoding(tmp_path: Path, side: int) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + data)
    assert "too large" in refused(path)


def test_the_pixel_cap_can_be_chosen(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(corners()))
    assert read_image(path, max_pixels=24).shape == (4, 6, 3)
    with pytest.raises(BadInput, match="6x4"):
        read_image(path, max_pixels=23)


# --- writing ---------------------------------------------------------------------------------------------------------

RECIPE = {"seed": 3, "text": "a=b;#\\\"'<&>\n\0ü🎈", "nested": {"list": [1, 2.5, None, True]}, "long": "x" * 200_000}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_every_kind_is_written_with_its_recipe_and_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"dream{suffix}"
    write_image(photo() / np.float32(255), path, recipe=RECIPE)
    assert read_recipe(path) == RECIPE
    check(path, photo(), within=0.001 if suffix in (".png", ".tif", ".tiff") else 0.04)
    first = path.read_bytes()
    write_image(photo(), path, recipe=RECIPE)  # 8 bits or floats, the same file.
    assert path.read_bytes() == first
    assert names_in(tmp_path) == [path.name]
    plain = tmp_path / f"plain{suffix}"
    write_image(photo(), plain)
    with pytest.raises(BadInput, match="no Dreamreel recipe"):
        read_recipe(plain)


def test_a_picture_goes_under_no_name_that_is_wrong_taken_or_out_of_reach(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.png"):
        write_image(corners(), tmp_path / "a.pgn")
    (tmp_path / "taken.png").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        write_image(corners(), tmp_path / "taken.png", overwrite=False)
    assert (tmp_path / "taken.png").read_text() == "mine"
    with pytest.raises(DiskProblem, match="does not exist"):
        write_image(corners(), tmp_path / "nowhere" / "a.png")
    with pytest.raises(UsageError, match="cannot hold"):
        write_image(np.zeros((1, 17_000, 3), np.uint8), tmp_path / "long.webp")
    assert names_in(tmp_path) == ["taken.png"]


def test_a_written_picture_can_be_opened_by_other_programs(tmp_path: Path) -> None:
    for suffix in WRITERS:
        path = tmp_path / f"a{suffix}"
        write_image(photo(), path, recipe=RECIPE)
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            assert image.size == (64, 64)
        assert cv2.imread(str(path)).shape == (64, 64, 3)
        assert iio.imread(path).shape == (64, 64, 3)
