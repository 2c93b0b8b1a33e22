"""Read and write single pictures: whatever camera or program they come from, they become a frame.

Frames are `float32 (H, W, 3)`, RGB, sRGB-encoded, in [0, 1] (see `renderer.frame`).
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, TiffImagePlugin

from renderer.errors import BadInput, UsageError, nearest
from renderer.frame import Frame, Pixels, Size, from_8bit, to_8bit
from renderer.media import recipe as recipes
from renderer.media.files import check_output, replacing, writing

MAX_PIXELS = 100_000_000
"""Largest picture that is read: 100 megapixels, 1.2 GB as a frame."""

# Only formats that hold nothing but a picture: no EPS, which would start another program.
_READABLE = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF", "JPEG2000", "TGA", "ICO")
_ORIENTATION = 0x0112  # EXIF: which way up; from 5 on it lies on its side.
_KNOWN = "PNG, JPEG, WebP, TIFF, GIF, BMP, AVIF and some others"


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> Frame:
    """Read a picture.

    The rotation that a camera noted is applied, an embedded colour profile is converted to sRGB, transparency is laid
    over black, and of an animation the first frame is taken.

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
        turned = 0
        with contextlib.suppress(Exception):
            turned = int(image.getexif().get(_ORIENTATION, 0))
        return Size(image.height, image.width) if 5 <= turned <= 8 else Size(image.width, image.height)


def is_picture(path: Path) -> bool:
    """Say whether a file is a single picture, for `read_image`, and not an animation or a film."""
    try:
        with _opening(path, MAX_PIXELS) as image:
            return image.format == "TIFF" or not getattr(image, "is_animated", False)  # A TIFF has pages, not frames.
    except BadInput:  # By its name, then, and whoever reads it says what is wrong.
        return path.suffix.lower() in WRITERS and not path.is_dir()


@contextlib.contextmanager
def _opening(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """Open a picture; whatever goes wrong in the block becomes an error that names it."""
    _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures and odd metadata: we judge ourselves.
            with Image.open(path, formats=_READABLE) as image:
                if image.width * image.height > max_pixels:
                    raise _too_large(path, f"{image.width}x{image.height} pixels", max_pixels)
                yield image
    except BadInput:
        raise
    except Image.DecompressionBombError as error:  # Raised while opening, by the header as well.
        raise _too_large(path, "far more pixels", max_pixels) from error
    except Image.UnidentifiedImageError as error:
        raise BadInput(f"{path} is not a picture that can be read; known are {_KNOWN}.") from error
    except MemoryError as error:
        raise BadInput(f"{path} is too large for the memory of this machine.") from error
    except OSError as error:
        if error.errno is not None:
            raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error
        raise BadInput(f"{path} is damaged or cut off: {_reason(error)}.") from error
    except Exception as error:  # A broken file can make a decoder fail in any way; none of them is our bug.
        raise BadInput(f"{path} is damaged: {_reason(error)}.") from error


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise BadInput(f"{path} is a folder; a picture is needed.")
        if not path.exists():
            raise BadInput(f"The picture {path} does not exist.")
        if not path.is_file():  # A pipe or a device could keep us waiting for ever.
            raise BadInput(f"{path} is not a regular file; a picture is needed.")
        if path.stat().st_size == 0:
            raise BadInput(f"The picture {path} is empty (0 bytes).")
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _too_large(path: Path, found: str, limit: int) -> BadInput:
    most = f"{limit / 1e6:g} million"
    return BadInput(f"{path} is too large: it has {found}, and {most} are the most. Make it smaller first.")


def _reason(error: Exception) -> str:
    return (str(error).strip().rstrip(".") or type(error).__name__)[:200]


def _to_frame(image: Image.Image) -> Frame:
    with contextlib.suppress(Exception):  # A broken note about rotation is no reason to refuse the picture.
        image = ImageOps.exif_transpose(image)
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        return _from_deep_grey(np.asarray(image))
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"), np.float32) / np.float32(255)
    frame = from_8bit(np.asarray(_to_srgb(image)))
    if alpha is not None:
        frame *= alpha[..., None]
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
    pixels = frame if frame.dtype == np.uint8 else to_8bit(cast(Frame, frame))
    try:
        data = writer(Image.fromarray(np.ascontiguousarray(pixels)), recipe)
    except (OSError, ValueError) as error:  # WebP, for one, ends at 16,383 pixels.
        raise UsageError(f"{path} cannot hold this picture: {_reason(error)}.") from error
    with replacing(path, overwrite=overwrite) as part, writing(path):
        part.write_bytes(data)


def to_jpeg(pixels: Pixels, *, quality: int) -> bytes:
    """Return a picture, uint8 `(H, W, 3)`, as a JPEG file of that quality, 1 to 95: small, for showing."""
    return _save(Image.fromarray(pixels), "JPEG", quality=quality, optimize=True, progressive=True)


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


def _png(image: Image.Image, recipe: Recipe) -> bytes:
    info = PngImagePlugin.PngInfo()
    if recipe is not None:
        info.add_text(recipes.PNG_KEY.decode(), recipes.to_text(recipe))
    return _save(image, "PNG", pnginfo=info, compress_level=6)


def _jpeg(image: Image.Image, recipe: Recipe) -> bytes:
    data = _save(image, "JPEG", quality=95, subsampling=0)
    return data if recipe is None else recipes.add_to_jpeg(data, recipe)


def _webp(image: Image.Image, recipe: Recipe) -> bytes:
    return _save(image, "WEBP", quality=95, method=4, **({} if recipe is None else {"xmp": recipes.to_xmp(recipe)}))


def _tiff(image: Image.Image, recipe: Recipe) -> bytes:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if recipe is not None:
        tags[recipes.TIFF_DESCRIPTION] = recipes.to_text(recipe)
    return _save(image, "TIFF", compression="tiff_adobe_deflate", tiffinfo=tags)


def _save(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[Image.Image, Recipe], bytes]] = {
    ".png": _png,
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".webp": _webp,
    ".tif": _tiff,
    ".tiff": _tiff,
}
