"""The recipe inside a film or a picture: every setting that made it, as JSON, wherever the file has room for text.

| file | place |
| --- | --- |
| mp4, mov, webm | the comment of the container |
| png, apng | a `tEXt` chunk named `dreamreel` |
| gif, jpg | a comment block |
| webp | an attribute in an XMP packet |
| tiff | the image description |
| folder of pictures | a file `recipe.json` in it |

The JSON is ASCII, and inside a file it is `{"dreamreel": RECIPE}`, so that nobody else's comment is taken for one.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from PIL import GifImagePlugin, JpegImagePlugin, TiffImagePlugin

from renderer.errors import BadInput
from renderer.files import MeasuredFile, is_folder, open_input, read_input
from renderer.media.ffmpeg.pipes import FfmpegFailed, file_url, run
from renderer.media.ffmpeg.showinfo import INPUT
from renderer.records import read_json

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_KEY = b"dreamreel"
TIFF_DESCRIPTION = 270

# Of a PNG or WebP, Pillow would read and decode all to come to what stands at its end: of a film, that is much. These
# read the head alone, and know no limit of pixels: what we wrote may be larger than what others write.
_BY_PILLOW: dict[bytes, Callable[[Any], Any]] = {
    b"GIF8": GifImagePlugin.GifImageFile,
    b"\xff\xd8": JpegImagePlugin.JpegImageFile,
    b"II*\0": TiffImagePlugin.TiffImageFile,
    b"MM\0*": TiffImagePlugin.TiffImageFile,
}

_LARGEST = 4 << 20  # Bytes of text; more is not one of our recipes.
_MOST_PARTS = 1_000_000  # Chunks, blocks or segments of a file that are looked at; long animations have some 100,000.


def to_text(recipe: Mapping[str, Any]) -> str:
    """Write a recipe as one line of ASCII; its keys sorted, whatever order they came in."""
    return json.dumps({"dreamreel": recipe}, sort_keys=True, separators=(",", ":"), allow_nan=False)


def from_text(text: str) -> dict[str, Any] | None:
    """Read what `to_text` wrote; None if it is something else."""
    try:
        whole = read_json(text, limit=_LARGEST)
    except ValueError:
        return None
    recipe = whole.get("dreamreel") if isinstance(whole, dict) else None
    return recipe if isinstance(recipe, dict) else None


def read_recipe(path: Path) -> dict[str, Any]:
    """Read the recipe inside a film, a picture or a folder of pictures.

    Args:
        path: what Dreamreel made; its content decides how it is read, not its name.

    Raises:
        BadInput: there is no such file, it cannot be read, or no recipe is inside.
    """
    if is_folder(path):
        inside = path / "recipe.json"
        text = _read_json_file(inside) if os.path.lexists(inside) else None
    else:
        text = _read_file(path)
    recipe = from_text(text) if text else None
    if recipe is None:
        raise BadInput(f"{path} holds no Dreamreel recipe: another program made it, or its metadata were removed.")
    return recipe


def _read_file(path: Path) -> str | None:
    try:
        with open_input(path, expected="what Dreamreel made") as file:
            magic = file.read(12)
            file.seek(0)
            if magic.startswith(PNG_MAGIC):
                return _from_png(file)
            if magic[:4] == b"RIFF" and magic[8:] == b"WEBP":
                return _from_webp(file)
        for begins, opener in _BY_PILLOW.items():
            if magic.startswith(begins):
                return _from_pillow(path, opener)
        if magic.lstrip().startswith(b"{"):
            return _read_json_file(path)
    except BadInput:
        raise
    except OSError as error:
        if error.errno is None:  # Not of the system, but of a library.
            return None
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception:  # Cut off, or not what its first bytes say; a library may fail at that in any way.
        return None
    return _from_container(path)


def _read_json_file(path: Path) -> str:
    return read_input(path, expected="a recipe", limit=_LARGEST).decode("utf-8", "surrogateescape")


# --- films -----------------------------------------------------------------------------------------------------------


def ffmetadata(recipe: Mapping[str, Any]) -> str:
    """Write a recipe in the form that ffmpeg reads metadata from: no limit of length, unlike an argument."""
    return ";FFMETADATA1\ncomment=" + re.sub(r"([=;#\\\n])", r"\\\1", to_text(recipe)) + "\n"


def _from_container(path: Path) -> str | None:
    guard = [*INPUT, "-format_whitelist", "mov,matroska"]  # Of those two alone, whatever else may be an input.
    try:
        output = run(["-v", "error", *guard, "-i", file_url(path), "-f", "ffmetadata", "pipe:1"], timeout=60)
    except FfmpegFailed as error:
        if error.was_stopped:
            raise
        return None
    if len(output.stdout) > 2 * _LARGEST:  # Every second letter may be a backslash.
        return None
    text = output.stdout.decode("utf-8", "surrogateescape")
    # An entry ends at a line break that is not escaped; keys are case-insensitive (Matroska writes COMMENT). What is
    # taken is never given back, so that time and memory grow with the text alone.
    found = re.search(r"^comment=((?:[^\\\n]++|\\.)*+)$", text, re.MULTILINE | re.IGNORECASE | re.DOTALL)
    return found[1].replace("\\\\", "\0").replace("\\", "").replace("\0", "\\") if found else None


# --- pictures that ffmpeg writes without text: the recipe is added to the unfinished file ----------------------------


def add_to_png(path: Path, recipe: Mapping[str, Any]) -> None:
    """Add a recipe to a PNG or animated PNG, before its end chunk."""
    with path.open("rb+") as file:
        file.seek(-12, os.SEEK_END)
        end = file.read(12)
        if end[4:8] != b"IEND":
            raise ValueError(f"{path} does not end like a PNG")
        file.seek(-12, os.SEEK_END)
        body = b"tEXt" + PNG_KEY + b"\0" + to_text(recipe).encode()
        file.write(struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + end)


def _from_png(file: IO[bytes]) -> str | None:
    file.seek(len(PNG_MAGIC))
    for _ in range(_MOST_PARTS):
        head = file.read(8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        after = file.tell() + length + 4
        if kind == b"tEXt" and length <= _LARGEST and file.read(len(PNG_KEY) + 1) == PNG_KEY + b"\0":
            return file.read(length - len(PNG_KEY) - 1).decode("latin-1")
        file.seek(after)
    return None


def add_to_gif(path: Path, recipe: Mapping[str, Any]) -> None:
    """Add a recipe to a GIF, as a comment before its first picture: after the last, some players count one more."""
    text = to_text(recipe).encode()
    blocks = [text[i : i + 255] for i in range(0, len(text), 255)]
    old = path.with_suffix(".plain")
    path.replace(old)
    try:
        with old.open("rb") as plain, path.open("wb") as file:
            head = plain.read(13)
            file.write(head + plain.read(_table_bytes(head[10])))
            file.write(b"\x21\xfe" + b"".join(bytes([len(b)]) + b for b in blocks) + b"\0")
            shutil.copyfileobj(plain, file)
    finally:
        old.unlink()


def _table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def to_xmp(recipe: Mapping[str, Any]) -> bytes:
    """Write a recipe as an XMP packet, for WebP."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dreamreel="urn:dreamreel" '
        f'dreamreel:recipe="{html.escape(to_text(recipe))}"/></rdf:RDF></x:xmpmeta>'
    ).encode()


def add_to_webp(path: Path, recipe: Mapping[str, Any], *, width: int, height: int) -> None:
    """Add a recipe to a WebP file, as an XMP chunk at its end; `width` and `height` are those of the picture."""
    packet = to_xmp(recipe)
    chunk = b"XMP " + struct.pack("<I", len(packet)) + packet + b"\0" * (len(packet) & 1)
    with path.open("rb+") as file:
        head = file.read(21)
        if head[12:16] != b"VP8X":  # One frame alone: a simple file, which has no room for metadata yet.
            file.seek(12)
            body = file.read()
            sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
            file.seek(12)
            file.write(b"VP8X" + struct.pack("<I", 10) + bytes(4) + sides + body)
            head = head[:20] + b"\0"
        file.seek(20)
        file.write(bytes([head[20] | 0x04]))
        file.seek(0, os.SEEK_END)
        file.write(chunk)
        total = file.tell()
        file.seek(4)
        file.write(struct.pack("<I", total - 8))


def _from_webp(file: IO[bytes]) -> str | None:
    for kind, length in riff_chunks(file):
        if kind == b"XMP " and length <= _LARGEST:
            found = re.search(r'dreamreel:recipe="([^"]*)"', file.read(length).decode("utf-8", "replace"))
            return html.unescape(found[1]) if found else None
    return None


def riff_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Go through the chunks of a WebP: the kind of each and the bytes in it, which may be read then."""
    file.seek(12)
    for _ in range(_MOST_PARTS):
        head = file.read(8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        after = file.tell() + length + (length & 1)
        yield kind, length
        file.seek(after)


def add_to_jpeg(data: bytes, recipe: Mapping[str, Any]) -> bytes:
    """Return a JPEG file with a recipe in it, in as many comments as it takes (64 KB each)."""
    text = to_text(recipe).encode()
    parts = [text[i : i + 65_000] for i in range(0, len(text), 65_000)]
    return data[:2] + b"".join(b"\xff\xfe" + struct.pack(">H", len(p) + 2) + p for p in parts) + data[2:]


def _from_pillow(path: Path, opener: Callable[[Any], Any]) -> str | None:
    """Read what Pillow finds at the head of a picture, which is where `add_to_gif` and the others put a recipe."""
    with (
        warnings.catch_warnings(action="ignore"),
        MeasuredFile(path, expected="a picture") as file,
        opener(file) as image,
    ):
        if image.format == "TIFF":
            text = image.getexif().get(TIFF_DESCRIPTION)
            return text if isinstance(text, str) else None
        if image.format == "JPEG":
            comments = [body for name, body in image.applist if name == "COM"]  # A long recipe takes several.
            return b"".join(comments).decode("latin-1")
        comments = image.info.get("comment", b"").split(b"\n")  # Of which another program may have added some.
        return next((text.decode("latin-1") for text in comments if text.startswith(b'{"dreamreel"')), None)
