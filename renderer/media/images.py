"""Read and write single pictures: whatever camera or program they come from, they become a frame.

Frames are `float32 (H, W, 3)`, RGB, sRGB-encoded, in [0, 1] (see `renderer.frame`).

Pictures are written with imageio and read with Pillow itself. imageio cannot be told to try a few formats only (a text
that begins like PostScript would start another program), and its arrays no longer say what their channels are: ink,
grey with transparency, a colour of the palette that stands for nothing.
"""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import imageio.v3 as iio
import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, TiffImagePlugin

from renderer.errors import BadInput, UsageError, nearest
from renderer.files import MeasuredFile, check_input, open_input
from renderer.frame import Frame, Pixels, Size, from_8bit, to_8bit
from renderer.media import recipe as recipes
from renderer.media.files import check_output, replacing, writing

MAX_PIXELS = 100_000_000
"""Largest picture that is read: 100 megapixels, 1.2 GB as a frame."""

# Only formats that hold nothing but a picture: no EPS, which would start another program.
_READABLE = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF", "JPEG2000", "TGA", "ICO")
_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")  # Of the others some have pages, or a small picture beside the large one.
_ORIENTATION = 0x0112  # EXIF: which way up; from 5 on it lies on its side.
_KNOWN = "PNG, JPEG, WebP, TIFF, GIF, BMP, AVIF and some others"
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_FILMS = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".flv"),
    *(".ogv", ".mxf", ".y4m", ".dv", ".3gp", ".h264", ".ivf"),
)
_SCANS, _SCANNED_PIXELS = 30, 2_000_000_000  # A usual JPEG has 10 scans; each more goes through all of the picture.


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> Frame:
    """Read a picture.

    The rotation that a camera noted is applied, an embedded colour profile is converted to sRGB, transparency is laid
    over black, so that hidden colours never show, and of an animation the first frame is taken.

    Args:
        path: a picture of any usual kind; its content decides, not its name.
        max_pixels: pictures with more are refused, by their header, before any of it is decoded.

    Returns:
        A frame `(H, W, 3)` in [0, 1].

    Raises:
        BadInput: the file is missing, no picture, damaged or too large.
    """
    with _opening(path, max_pixels) as image:
        image.load()
        return _to_frame(image)


def image_size(path: Path, *, max_pixels: int = MAX_PIXELS) -> Size:
    """Return the size that `read_image` would give, by the header alone.

    Raises:
        BadInput: as `read_image`, as far as the header shows it.
    """
    with _opening(path, max_pixels) as image:
        stored, turned = Size(image.width, image.height), 0
        if isinstance(image, TiffImagePlugin.TiffImageFile):  # Pillow may have turned its size already.
            stored = Size(int(image.tag_v2[TiffImagePlugin.IMAGEWIDTH]), int(image.tag_v2[TiffImagePlugin.IMAGELENGTH]))
        with contextlib.suppress(Exception):
            turned = int(image.getexif().get(_ORIENTATION, 0))
        return Size(stored.height, stored.width) if 5 <= turned <= 8 else stored


def is_picture(path: Path) -> bool:
    """Say whether a file is a single picture, for `read_image`, and not an animation or a film."""
    try:
        with _opening(path, MAX_PIXELS) as image:
            return image.format not in _ANIMATED or not getattr(image, "is_animated", False)
    except BadInput:  # By its name, then, and whoever reads it says what is wrong.
        return path.suffix.lower() in WRITERS and not path.is_dir()


@contextlib.contextmanager
def _opening(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """Open a picture; whatever goes wrong in the block becomes an error that names it."""
    check_input(path, expected="a picture")
    try:
        with warnings.catch_warnings(), MeasuredFile(path, expected="a picture") as file:
            warnings.simplefilter("ignore")  # Pillow warns of large pictures and odd metadata: we judge ourselves.
            with Image.open(file, formats=_readable()) as image:
                if image.width * image.height > max_pixels:
                    raise _too_large(path, f"{image.width}x{image.height} pixels", max_pixels)
                if image.format in ("JPEG", "MPO"):
                    _check_scans(path, image)
                yield image
    except BadInput:
        raise
    except Image.DecompressionBombError as error:  # Raised while opening, by the header as well.
        raise _too_large(path, "far more pixels", max_pixels) from error
    except Image.UnidentifiedImageError as error:
        raise _no_picture(path) from error
    except MemoryError as error:
        raise BadInput(f"{path} is too large for the memory of this machine.") from error
    except OSError as error:
        if error.errno is not None:
            raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error
        raise BadInput(f"{path} is damaged or cut off: {_reason(error)}.") from error
    except Exception as error:  # A broken file can make a decoder fail in any way; none of them is our bug.
        raise BadInput(f"{path} is damaged: {_reason(error)}.") from error


@functools.cache
def _readable() -> list[str]:
    """Return the names of `_READABLE` that this Pillow has."""
    Image.init()
    return [kind for kind in _READABLE if kind in Image.OPEN]


def _check_scans(path: Path, image: Image.Image) -> None:
    """Refuse a JPEG whose picture is written over and over: each time takes as long as the first."""
    if not image.info.get("progressive"):
        return
    scans = path.read_bytes().count(b"\xff\xda")  # Within the picture itself these two bytes never follow each other.
    if scans > _SCANS and scans * image.width * image.height > _SCANNED_PIXELS:
        raise BadInput(f"{path} writes its picture {scans} times over, which takes too long to read. Save it anew.")


def _no_picture(path: Path) -> BadInput:
    """Say what a file is that cannot be read as a picture."""
    with open_input(path, expected="a picture") as file:
        head = file.read(16)
    box, brand = head[4:8] == b"ftyp", head[8:12]
    if box and brand in (*_HEIC, b"avif", b"avis"):
        kind = "an AVIF" if brand in (b"avif", b"avis") else "a HEIC"
        return BadInput(f"{path} is {kind} picture, which cannot be read here; convert it to JPEG or PNG.")
    if box or head.startswith(b"\x1aE\xdf\xa3") or path.suffix.lower() in _FILMS:
        return BadInput(f"{path} is a film, and a picture is needed; `dreamreel video` dreams over films.")
    return BadInput(f"{path} is not a picture that can be read; known are {_KNOWN}.")


def _too_large(path: Path, found: str, limit: int) -> BadInput:
    most = f"{limit / 1e6:g} million"
    return BadInput(f"{path} is too large: it has {found}, and {most} are the most. Make it smaller first.")


def _reason(error: Exception) -> str:
    return (str(error).strip().rstrip(".") or type(error).__name__)[:200]


def _to_frame(image: Image.Image) -> Frame:
    with contextlib.suppress(Exception):  # A broken note about rotation is no reason to refuse the picture.
        image = ImageOps.exif_transpose(image)
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        values = np.asarray(image)
        frame = _from_deep_grey(values)
        if isinstance(hidden := image.info.get("transparency"), int):
            frame[values == hidden] = 0
        return frame
    if not image.has_transparency_data:
        return from_8bit(np.asarray(_to_srgb(image)))
    image = image.convert("RGBA")
    return over_black(from_8bit(np.asarray(_to_srgb(image))), np.asarray(image.getchannel("A")))


def over_black(frame: Frame, alpha: Pixels) -> Frame:
    """Lay a frame `(H, W, 3)` over black by its transparency, uint8 `(H, W)`: 0 shows nothing of it."""
    frame *= (alpha.astype(np.float32) / np.float32(255))[..., None]
    return frame


def _from_deep_grey(values: np.ndarray[Any, Any]) -> Frame:
    """Scale grey of more than 8 bits by the depth it was made with, and repeat it in three channels."""
    grey = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    if values.dtype == np.uint16:
        most = 65535.0
    else:  # 32-bit integers or floats do not say how deep they are: take the smallest depth that holds them.
        most = next((m for m in (1.0, 255.0, 65535.0) if grey.max() <= m), float(grey.max()))
    frame: Frame = np.repeat(np.clip(grey / np.float32(most), 0, 1)[..., None], 3, axis=2)
    return frame


def _to_srgb(image: Image.Image) -> Image.Image:
    """Convert to RGB in sRGB, by the embedded colour profile where there is a usable one."""
    profile = image.info.get("icc_profile")
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    if not profile:
        return image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(source):
            return image  # Nothing to do, and so nothing to round.
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        return converted if converted is not None else image.convert("RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image.convert("RGB")  # A profile that is broken or for another kind of picture.


def write_image(
    frame: Frame | Pixels, path: Path, *, recipe: Mapping[str, Any] | None = None, overwrite: bool = True
) -> None:
    """Write one picture; its name appears only when it is whole.

    Args:
        frame: `(H, W, 3)`, a frame or uint8.
        path: the ending chooses the kind, see `WRITERS`.
        recipe: what made it, kept inside the file; None for none.
        overwrite: whether a file that is there already may be replaced.

    Raises:
        UsageError: the ending means nothing, or the name is taken.
        DiskProblem: the disk is full, or the folder is missing or cannot be written.
    """
    writer = WRITERS[image_suffix(path)]
    check_output(path, overwrite=overwrite)
    pixels = cast(Pixels, frame) if frame.dtype == np.uint8 else to_8bit(cast(Frame, frame))
    try:
        data = writer(pixels, recipe)
    except (OSError, ValueError) as error:  # WebP, for one, ends at 16,383 pixels.
        raise UsageError(f"{path} cannot hold this picture: {_reason(error)}.") from error
    with replacing(path, overwrite=overwrite) as part, writing(path):
        part.write_bytes(data)


def to_jpeg(pixels: Pixels, *, quality: int) -> bytes:
    """Return a picture, uint8 `(H, W, 3)`, as a JPEG file of that quality, 1 to 95: small, for showing."""
    return encode_image(pixels, ".jpg", quality=quality, optimize=True, progressive=True)


def encode_image(pixels: Pixels, suffix: str, **options: Any) -> bytes:
    """Return a picture, uint8 `(H, W, 3)`, as a file of the kind that has this ending; `options` are Pillow's.

    Raises:
        OSError, ValueError: that kind cannot hold it.
    """
    return bytes(iio.imwrite("<bytes>", np.ascontiguousarray(pixels), extension=suffix, plugin="pillow", **options))


def image_suffix(path: Path) -> str:
    """Return the ending of a picture's name, in lower case.

    Raises:
        UsageError: no picture can be written under such a name.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise UsageError(f"{path} does not end like a picture{nearest(suffix, WRITERS)}")
    return suffix


Recipe = Mapping[str, Any] | None


def _png(pixels: Pixels, recipe: Recipe) -> bytes:
    info = PngImagePlugin.PngInfo()
    if recipe is not None:
        info.add_text(recipes.PNG_KEY.decode(), recipes.to_text(recipe))
    return encode_image(pixels, ".png", pnginfo=info, compress_level=6)


def _jpeg(pixels: Pixels, recipe: Recipe) -> bytes:
    data = encode_image(pixels, ".jpg", quality=95, subsampling=0)
    return data if recipe is None else recipes.add_to_jpeg(data, recipe)


def _webp(pixels: Pixels, recipe: Recipe) -> bytes:
    inside = {} if recipe is None else {"xmp": recipes.to_xmp(recipe)}
    return encode_image(pixels, ".webp", quality=95, method=4, **inside)


def _tiff(pixels: Pixels, recipe: Recipe) -> bytes:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if recipe is not None:
        tags[recipes.TIFF_DESCRIPTION] = recipes.to_text(recipe)
    return encode_image(pixels, ".tiff", compression="tiff_adobe_deflate", tiffinfo=tags)


WRITERS: dict[str, Callable[[Pixels, Recipe], bytes]] = {
    ".png": _png,
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".webp": _webp,
    ".tif": _tiff,
    ".tiff": _tiff,
}
"""Endings of pictures that are written -> how, with a recipe inside."""
