"""What a film can be written as: the registry `FORMATS`, and the choice from it by the ending of a name.

The settings aim at dreams: fine, busy pictures, where a usual quality would wash the detail out. All are chosen so that
the same frames give the same bytes for a fixed number of threads.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from renderer.errors import UsageError, nearest
from renderer.frame import Size

BT709 = (
    "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int,"
    "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
)
"""Converts RGB to Y'CbCr by BT.709 and says so: ffmpeg alone would take BT.601 and say nothing."""


@dataclass(frozen=True)
class Quality:
    """The number that trades size for quality, on the codec's own scale from `low` to `high`.

    `preview` is what does for a film that is small and soon thrown away.
    """

    name: str
    default: float
    low: float
    high: float
    preview: float


@dataclass(frozen=True)
class Codec:
    """How frames are compressed.

    encoder: ffmpeg's name; "" where ffmpeg has no part in it.
    options: for the encoder, with `{quality}` and `{threads}` to be filled in.
    filters: the chain from rgb24 to what the encoder takes.
    quality: its scale; None where there is nothing to choose.
    even: sides must be even; a pixel is repeated at the right and the bottom.
    tagged: colours are written as BT.709, and the file says so.
    smallest: shortest side that the encoder takes, pixels.
    most_rate: frames a second above which players go wrong; more are thinned out to this.
    """

    encoder: str
    options: str = ""
    filters: str = "format=rgb24"
    quality: Quality | None = None
    even: bool = False
    tagged: bool = True
    smallest: int = 1
    most_rate: Fraction | None = None


@dataclass(frozen=True)
class Format:
    """A kind of file.

    title: with its article, for the middle of a sentence.
    suffixes: endings of names that mean it; none for a folder of pictures.
    muxer: ffmpeg's name of it; "" where ffmpeg has no part in it.
    codecs: names in `CODECS`; the first is the default.
    recipe: how the recipe gets inside.
    options: for ffmpeg, of the muxer.
    sounds: codecs of sound that are copied into it; none where it holds no sound.
    sound_encoder: ffmpeg's name of the encoder for all other sound.
    sound_options: for that, with `{kbits}` to be filled in.
    subtitles: codec of subtitles; those in it are copied, other texts are turned into it.
    """

    title: str
    suffixes: tuple[str, ...]
    muxer: str
    codecs: tuple[str, ...]
    recipe: Literal["metadata", "png", "gif", "webp", "file"]
    options: tuple[str, ...] = ()
    sounds: frozenset[str] = frozenset()
    sound_encoder: str = ""
    sound_options: str = ""
    subtitles: str = ""


def choose_format(out: str | Path, codec: str | None = None) -> tuple[Format, str]:
    """Choose how to write a film, by the ending of its name.

    Args:
        out: the name; without an ending (or with a slash at the end) it is a folder of PNGs.
        codec: a name in `CODECS` that the format takes; None for its default.

    Raises:
        UsageError: the ending or the codec means nothing, or they do not go together.
    """
    found = _format_of(out)
    if codec is None:
        return found, found.codecs[0]
    wanted = ALIASES.get(codec.lower(), codec.lower())
    if wanted in found.codecs:
        return found, wanted
    if wanted not in CODECS:
        raise UsageError(f"Codec {codec!r} is unknown{nearest(codec, CODECS)}")
    takes = ", ".join(found.codecs)
    homes = ", ".join(f.suffixes[0] for f in FORMATS.values() if wanted in f.codecs and f.suffixes) or "a folder"
    raise UsageError(f"{out} is {found.title}, which takes {takes} and not {wanted}; {wanted} goes into {homes}.")


def _format_of(out: str | Path) -> Format:
    path = Path(out)
    if not path.name or path.name == "..":
        raise UsageError(f"{str(out)!r} is not a name for a film; give one like film.mp4.")
    suffix = path.suffix.lower()
    if path.name.startswith(".") and path.name.lower() in _by_suffix():
        raise UsageError(f"{out} is an ending without a name; give one like film{path.name}.")
    if suffix in _by_suffix():
        return _by_suffix()[suffix]
    if not suffix or str(out).endswith("/") or path.is_dir():
        return FORMATS["folder"]
    known = ", ".join(sorted(_by_suffix()))
    if suffix == ".png":
        raise UsageError(
            f"{out} is the name of one picture, and a film was asked for: end it in .apng for an animated PNG, "
            f"or in no ending at all for a folder of PNGs."
        )
    raise UsageError(f"{out}: the ending {suffix} means no kind of film; known: {known}, or none for a folder of PNGs.")


@functools.cache
def _by_suffix() -> dict[str, Format]:
    return {suffix: found for found in FORMATS.values() for suffix in found.suffixes}


def check_quality(codec: str, quality: float | None) -> float:
    """Return the quality to use, on the codec's own scale.

    Raises:
        UsageError: it is outside the scale, or the codec has none.
    """
    scale = CODECS[codec].quality
    if scale is None:
        if quality is not None:
            raise UsageError(f"Codec {codec} has no quality to choose; leave it out.")
        return 0.0
    if quality is None:
        return scale.default
    if not scale.low <= quality <= scale.high:  # NaN fails this as well.
        allowed = f"{scale.name} {scale.low:g} to {scale.high:g}"
        raise UsageError(f"Quality {quality:g} is out of range: {codec} takes {allowed}.")
    return quality


def check_size(codec: str, size: Size) -> None:
    """Raise UsageError if the codec cannot write films of this size."""
    smallest = CODECS[codec].smallest
    if min(size) < smallest:
        raise UsageError(f"Size {size} is too small: {codec} needs {smallest} pixels on each side.")


def codecs_text() -> str:
    """Return which codecs the endings take, for help and docs: those that leave a choice."""
    choices = [(form.suffixes[0], form.codecs) for form in FORMATS.values() if len(form.codecs) > 1]
    return "; ".join(f"{suffix} takes {', '.join(codecs[:-1])} or {codecs[-1]}" for suffix, codecs in choices)


# --- codecs ----------------------------------------------------------------------------------------------------------

GIF_RATE = Fraction(50)  # Delays are in 1/100 s, and browsers show one of 1/100 as 1/10.

# Each picture gets 256 colours of its own, so that nothing waits for the end of the film, chosen from a smaller
# copy: to count the colours of every pixel takes most of the time and changes little. Ordered dithering stays still
# where the picture does.
PALETTE = (
    "split[all][copy];[copy]scale='ceil(iw/max(1,sqrt(iw*ih/16000)))':'ceil(ih/max(1,sqrt(iw*ih/16000)))':flags=neighbor,"
    "palettegen=stats_mode=single:reserve_transparent=0[p];[all][p]paletteuse=new=1:dither=bayer:bayer_scale=3"
)

CODECS: dict[str, Codec] = {
    # With two threads x264 now and then decides otherwise on small frames when the machine is busy (seen: one film of
    # thirty at 64x48): the same frames, other bytes.
    "h264": Codec(
        encoder="libx264",
        options="-threads 1 -preset fast -crf {quality}",
        filters=f"{BT709},format=yuv420p",
        quality=Quality("CRF", 17, 0, 51, 23),
        even=True,
    ),
    # More frame threads would change the bytes. hev1, the other name for the same, does not play on Apple's machines.
    # x265 writes past the end of its memory in films about 40 pixels wide (seen: up to 48), so it gets none under 64.
    "h265": Codec(
        encoder="libx265",
        options="-preset veryfast -crf {quality} -tag:v hvc1 "
        "-x265-params log-level=error:pools={threads}:frame-threads=1",
        filters=f"{BT709},format=yuv420p10le",
        quality=Quality("CRF", 19, 0, 51, 25),
        even=True,
        smallest=64,
    ),
    "av1": Codec(
        encoder="libsvtav1",
        options="-preset 8 -crf {quality} -g 240 -svtav1-params lp={threads}",
        filters=f"{BT709},format=yuv420p10le",
        quality=Quality("CRF", 24, 1, 63, 34),
        even=True,
        smallest=16,
    ),
    # "realtime" only names the faster search: on dreams a tenth of the time for the same size and likeness.
    "vp9": Codec(
        encoder="libvpx-vp9",
        options="-threads {threads} -deadline realtime -cpu-used 6 -row-mt 1 -g 240 -crf {quality} -b:v 0",
        filters=f"{BT709},format=yuv420p",
        quality=Quality("CRF", 24, 0, 63, 34),
        even=True,
    ),
    "prores": Codec(
        encoder="prores_ks",
        options="-threads {threads} -profile:v 4444 -vendor apl0 -q:v {quality}",
        filters=f"{BT709},format=yuv444p10le",
        quality=Quality("quantiser", 6, 1, 31, 12),
    ),
    "gif": Codec(encoder="gif", filters=PALETTE, tagged=False, most_rate=GIF_RATE),
    "webp": Codec(
        encoder="libwebp_anim",
        options="-quality {quality} -compression_level 2 -loop 0",
        filters="format=bgra",
        quality=Quality("quality", 85, 0, 100, 70),
        tagged=False,
    ),
    # One thread: with more, ffmpeg writes pictures whole instead of only what changed.
    "apng": Codec(encoder="apng", options="-threads 1 -pred mixed", tagged=False),
    "png": Codec(encoder="", tagged=False),
}

ALIASES = {"avc": "h264", "x264": "h264", "hevc": "h265", "x265": "h265", "prores4444": "prores"}
"""Other names that people know."""

FORMATS: dict[str, Format] = {
    "mp4": Format(
        title="an MP4 film",
        suffixes=(".mp4", ".m4v"),
        muxer="mp4",
        codecs=("h264", "h265", "av1"),
        recipe="metadata",
        options=("-movflags", "+faststart"),
        sounds=frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "flac"}),
        sound_encoder="aac",
        sound_options="-b:a {kbits}k",
        subtitles="mov_text",
    ),
    "webm": Format(
        title="a WebM film",
        suffixes=(".webm",),
        muxer="webm",
        codecs=("vp9", "av1"),
        recipe="metadata",
        sounds=frozenset({"opus", "vorbis"}),
        sound_encoder="libopus",
        sound_options="-b:a {kbits}k",
        subtitles="webvtt",
    ),
    # A file to go on working with: nothing of the sound is lost.
    "mov": Format(
        title="a QuickTime film",
        suffixes=(".mov",),
        muxer="mov",
        codecs=("prores", "h264", "h265"),
        recipe="metadata",
        options=("-movflags", "+faststart+use_metadata_tags"),  # Without its own tags comments have 64 KB at most.
        sounds=frozenset(
            {"aac", "mp3", "ac3", "eac3", "alac"}
            | {f"pcm_{kind}" for kind in ("s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be")}
        ),
        sound_encoder="alac",
        subtitles="mov_text",
    ),
    "gif": Format(
        title="an animated GIF",
        suffixes=(".gif",),
        muxer="gif",
        codecs=("gif",),
        recipe="gif",
        options=("-loop", "0"),
    ),
    "webp": Format(title="an animated WebP", suffixes=(".webp",), muxer="webp", codecs=("webp",), recipe="webp"),
    "apng": Format(
        title="an animated PNG",
        suffixes=(".apng",),
        muxer="apng",
        codecs=("apng",),
        recipe="png",
        options=("-plays", "0"),
    ),
    "folder": Format(title="a folder of PNGs", suffixes=(), muxer="", codecs=("png",), recipe="file"),
}
