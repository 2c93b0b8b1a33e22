"""What the fuzzer damages that is no text: films, animations, pictures, sound, of 100 bytes to 100 KB."""

from __future__ import annotations

import contextlib
import functools
import html
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from blocks import LARGEST, damage_media
from fuzz_records import recipes
from fuzz_texts import SMALL
from fuzzing import Build, Case, Reading
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from renderer.films.first_frame import Masks, first_canvas
from renderer.films.guides import check_guides, open_guides
from renderer.media.ffmpeg.clips import open_clip
from renderer.media.ffmpeg.formats import FORMATS
from renderer.media.ffmpeg.pipes import file_url, run
from renderer.media.ffmpeg.sound import Sound, plan_sound
from renderer.media.images import image_size, is_picture, read_image
from renderer.media.recipe import read_recipe
from renderer.settings.presets import resolve
from renderer.settings.schema import Settings

SMALLEST = 100
"""Bytes of a whole file, which has `LARGEST` at most."""

CUES = "1\n00:00:00,000 --> 00:00:00,300\nA cloud.\n\n2\n00:00:00,200 --> 00:00:00,500\n{\\an8}<i>A flower.</i>\n"

FILMS: dict[str, list[tuple[str, str]]] = {
    "mp4": [
        ("plain.mp4", "-c:v libx264 -g 4 -bf 2 -c:a aac -b:a 32k"),
        ("fragments.mp4", "-c:v mpeg4 -c:a aac -movflags frag_keyframe+empty_moov -metadata title=a=b;c"),
        ("texts.mp4", "-c:v libx265 -x265-params log-level=none -c:s mov_text -map 2:s -movflags faststart -an"),
    ],
    "mov": [
        ("turned.mov", "-c:v mjpeg -c:a pcm_s16be -map_metadata -1"),
        ("deep.mov", "-c:v prores_ks -profile:v 0 -an"),
        ("planes.mov", "-c:v qtrle -pix_fmt argb -c:a alac"),
    ],
    "webm": [
        ("vp9.webm", "-c:v libvpx-vp9 -deadline realtime -c:a libopus"),
        ("vp8.webm", "-c:v libvpx -deadline realtime -c:a libvorbis"),
    ],
    "mkv": [
        ("srt.mkv", "-c:v libx264 -c:a ac3 -c:s srt -map 2:s"),
        ("ffv1.mkv", "-c:v ffv1 -c:a flac -c:s ass -map 2:s"),
        ("mpeg2.mkv", "-c:v mpeg2video -c:a mp2"),
    ],
    "gif": [("film.gif", "-an -filter:v split[a][b];[a]palettegen=max_colors=16[p];[b][p]paletteuse")],
    "wav": [
        ("sound.wav", "-vn -c:a pcm_s16le"),
        ("float.wav", "-vn -c:a pcm_f32le -ac 6 -ar 8000"),
        ("adpcm.wav", "-vn -c:a adpcm_ms"),
    ],
}
"""Kind -> whole files that ffmpeg makes, and how: from a picture that moves, a tone, two cues."""


def _picture(size: tuple[int, int] = (56, 56), mode: str = "RGB", number: int = 0) -> Image.Image:
    image = Image.new("RGB", size, (20 + 9 * number, 90, 160))
    draw = ImageDraw.Draw(image)
    draw.ellipse((number, 2, number + 14, 16), fill=(240, 200, 40))
    draw.line((0, size[1], size[0], 0), fill=(255, 0, 90), width=2)
    return image.convert(mode)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    held = io.BytesIO()
    image.save(held, kind, **options)
    return held.getvalue()


def _pictures() -> dict[str, list[bytes]]:
    """Return whole pictures and animations by their kind, as Pillow writes them."""
    frames = [_picture(number=number) for number in range(4)]
    shown: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "duration": [100, 40, 100, 500]}
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    deep = Image.fromarray(np.arange(56 * 56, dtype=np.uint16).reshape(56, 56) * 20)
    text = recipe_text()
    packet = f'<x dreamreel:recipe="{html.escape(text)}"/>'.encode()
    noted = PngInfo()
    noted.add_text("dreamreel", text)
    with_key = _picture(mode="P")
    with_key.info["transparency"] = 0
    return {
        "png": [
            _saved(_picture(), "PNG", exif=exif, dpi=(72, 72), pnginfo=noted),
            _saved(with_key, "PNG"),
            _saved(deep, "PNG"),
            _saved(_picture(mode="RGBA"), "PNG", **shown),
        ],
        "jpg": [
            _saved(_picture(), "JPEG", exif=exif, comment=text.encode()),
            _saved(_picture(), "JPEG", progressive=True, quality=40, icc_profile=b"x" * 300),
            _saved(_picture(mode="CMYK"), "JPEG"),
        ],
        "tiff": [
            _saved(_picture(), "TIFF", compression="tiff_lzw", description=text),
            _saved(_picture(), "TIFF", save_all=True, append_images=frames[1:]),
            _saved(deep, "TIFF", compression="tiff_adobe_deflate", exif=exif),
        ],
        "webp": [
            _saved(frames[0], "WEBP", lossless=True, xmp=packet, **shown),
            _saved(_picture(mode="RGBA"), "WEBP", quality=30, exif=exif),
            _saved(frames[0], "WEBP"),
        ],
        "gif": [_saved(frames[0], "GIF", comment=text.encode(), loop=0, **shown), _saved(_picture(mode="L"), "GIF")],
    }


def recipe_text() -> str:
    """Return a recipe as it stands in files."""
    return json.dumps({"dreamreel": recipes()[0]}, separators=(",", ":"))


@functools.cache
def whole() -> dict[str, list[bytes]]:
    """Return the whole files by their kind."""
    files = _pictures()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(2) as pool:
        folder = Path(name)
        (folder / "cues.srt").write_text(CUES)

        def make(file: str, how: str) -> bytes:
            source = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=12:d=0.5"]
            source += ["-f", "lavfi", "-i", "sine=440:r=16000:d=0.5", "-i", file_url(folder / "cues.srt")]
            maps = [] if "-vn" in how else ["-map", "0:v"]
            maps += [] if "-an" in how else ["-map", "1:a"]
            rate = ["-ar", "48000"] if "opus" in how or "ac3" in how else []
            told = ["-metadata", f"comment={recipe_text()}"]
            run([*source, *maps, *told, *how.split(), *rate, "-y", file_url(folder / file)])
            return (folder / file).read_bytes()

        made = {kind: [pool.submit(make, *one) for one in asked] for kind, asked in FILMS.items()}
        for kind, results in made.items():
            files.setdefault(kind, []).extend(result.result() for result in results)
    wrong = {
        f"{kind} {number}": len(data)
        for kind, held in files.items()
        for number, data in enumerate(held)
        if not SMALLEST <= len(data) <= LARGEST
    }
    assert not wrong, wrong
    return files


@functools.cache
def _settings() -> Settings:
    return resolve(sets=SMALL).settings


def _reads(*names: str) -> Callable[[Path, Path], dict[str, Callable[[], Any]]]:
    """Return what gives the readings of these names, of a file and a folder to work in."""

    def readings(path: Path, folder: Path) -> dict[str, Callable[[], Any]]:
        known = {
            "clip": lambda: _clip(path),
            "sound": lambda: _sound(path, folder),
            "recipe": lambda: read_recipe(path),
            "mask": lambda: Masks(_settings(), path).first(),
            "guide": lambda: _guide(path),
            "picture": lambda: (is_picture(path), image_size(path), read_image(path)),
            "first frame": lambda: first_canvas(_settings(), path),
            "folder": lambda: _folder(path, folder),
        }
        return {name: known[name] for name in names}

    return readings


def _clip(path: Path) -> None:
    """Open a clip, and read its first frames and some from its middle."""
    clip = open_clip(path)
    for start in {0, clip.count // 2}:
        with contextlib.closing(clip.scaled(_settings().film.size).frames(start)) as frames:  # type: ignore[type-var]
            for _ in islice(frames, 3):
                pass


def _sound(path: Path, folder: Path) -> None:
    sound = Sound(source=path, start=Fraction(1, 4), end=Fraction(2, 5))
    plan_sound(sound, FORMATS["mp4"], out=folder / "out.mp4").arguments(folder)


def _guide(path: Path) -> None:
    settings = resolve(sets=[*SMALL, "dream.objective=guide", f"guide.picture={path}"]).settings
    check_guides(settings)
    with contextlib.closing(open_guides(settings)) as guides:
        guides.pictures["guide"](0.25)


def _folder(path: Path, folder: Path) -> None:
    """Read a folder of pictures, with this one among whole ones."""
    place = folder / "pictures"
    place.mkdir()
    for name in ("1.png", "3.png"):
        (place / name).write_bytes(whole()["png"][0])
    (place / f"2{path.suffix}").write_bytes(path.read_bytes())
    _clip(place)


FILM = _reads("clip", "sound", "recipe", "mask", "guide")
PICTURE = _reads("picture", "recipe", "first frame", "mask", "guide", "folder", "clip")
ANIMATION = _reads("clip", "picture", "first frame", "recipe", "mask", "guide", "folder")
READINGS = {
    **dict.fromkeys(("mp4", "mov", "webm", "mkv"), FILM),
    **dict.fromkeys(("png", "jpg", "tiff"), PICTURE),
    **dict.fromkeys(("webp", "gif"), ANIMATION),
    "wav": _reads("sound", "recipe"),
}
"""Kind of file -> what reads such files."""


def _media(kind: str) -> Build:
    def build(case: Case, folder: Path) -> Sequence[Reading]:
        files = whole()[kind]
        data, other = files[case.base % len(files)], files[(case.base + 1) % len(files)]
        for rng in case.rngs():
            data = damage_media(data, rng, other=other)
        path = folder / f"a.{kind}"
        path.write_bytes(data[:LARGEST])
        readings = READINGS[kind](path, folder)
        # What begins with the same opening takes turns.
        chosen, more = [*readings][:2], [*readings][2:]
        chosen += [case.rng().choice(more)] if more and case.moves else more
        return [(name, readings[name]) for name in chosen]

    return build


KINDS: dict[str, Build] = {kind: _media(kind) for kind in READINGS}
"""What is damaged -> what writes a case of it and reads it."""

REFUSED = {"png": 1, "jpg": 1, "tiff": 1, "wav": 1}
"""Readings that rightly refuse the first whole file of a kind: a picture is no clip, and sound alone has no recipe."""
