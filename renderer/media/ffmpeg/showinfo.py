"""What the decoded pictures of a film are like, as ffmpeg's filter `showinfo` tells of them.

There is no ffprobe where ffmpeg comes from a wheel, and ffmpeg's log also shows texts of the film, which can be written
to look like any line of it. So the filter gets a name that no film can know, and only lines that begin with it are
read; numbers are parsed as numbers, names looked up in closed lists.
"""

from __future__ import annotations

import functools
import re
import secrets
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from renderer.errors import BadInput
from renderer.files import open_input
from renderer.frame import MAX_SIDE, Size
from renderer.media.ffmpeg.pipes import FfmpegFailed, Output, run

MAX_PIXELS = 100_000_000
"""Pixels of the largest frame that is decoded: three times 8K."""

_MOST_BYTES = 4 * MAX_PIXELS  # Of one piece of memory: a file of a few bytes may speak of a text of 2 GB.

# No format that names other files or addresses: those lists would be followed.
_CONTAINERS = "mov,matroska,avi,mpegts,mpeg,flv,asf,gif,apng,ogg,mxf,ivf,yuv4mpegpipe,dv,h264,hevc,m4v,mpegvideo"

INPUT = [
    *("-protocol_whitelist", "file,pipe"),
    *("-format_whitelist", _CONTAINERS),
    *("-max_pixels", str(MAX_PIXELS)),
    *("-max_alloc", str(_MOST_BYTES)),
]
"""What an input may be: a list of files or an address in disguise would be opened otherwise."""

TRACK = ["-map", "0:V:0", "-an", "-sn", "-dn"]
"""The first track of moving pictures, cover art left out, and nothing else."""

HDR_CURVES = ("smpte2084", "arib-std-b67")
"""Transfer curves of high dynamic range: PQ and HLG."""

_PRIMARIES = tuple(
    "bt709 bt470m bt470bg smpte170m smpte240m film bt2020 smpte428 smpte431 smpte432 ebu3213".split()  # noqa: SIM905
)
_SPACES = ("gbr", "bt709", "fcc", "bt470bg", "smpte170m", "smpte240m", "bt2020nc", "bt2020c")
RGB = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "x2rgb", "x2bgr", "pal8", "mono")
"""How the names of pixel formats begin that have no colour matrix."""
_KNOWN = (
    "MP4, QuickTime, Matroska, WebM, AVI, MPEG, MXF, Ogg, FLV, WMV, DV, Y4M, IVF, raw H.264, GIF, animated PNG, WebP"
)
_OPENING_SECONDS = 60.0  # What takes longer was made to.
_LOOKED_AT = 5  # Frames decoded: the first of an interlaced film may not be.

_SAID = r"\[[^\]]*\] \[info\] "
_CLOCK = re.compile(
    _SAID + r"config in time_base: ([0-9]{1,10})/([0-9]{1,10}), frame_rate: ([0-9]{1,10})/([0-9]{1,10})\s*"
)
_FRAME = re.compile(
    _SAID + r"n: *[0-9]+ pts: *(-?[0-9]{1,19}|NOPTS) .*?fmt:([a-z0-9_]{1,30}) .*?"
    r"sar:([0-9]{1,10})/([0-9]{1,10}) s:([0-9]{1,9})x([0-9]{1,9}) i:([A-Z]) .*"
)
_COLOUR = re.compile(_SAID + r"color_range:(\S+) color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)\s*")


@dataclass(frozen=True, kw_only=True)
class FirstFrames:
    """What the first frames are like, and a list of `framecrc` with the other tracks that were asked for.

    Times are in ticks of `tick` seconds; `form` is ffmpeg's name of the pixels; see `probe.ClipInfo` for the others.
    """

    size: Size
    first: int
    tick: Fraction
    nominal: Fraction | None
    form: str
    depth: int
    sar: Fraction
    interlaced: bool
    range: str
    space: str
    primaries: str
    transfer: str
    tracks: bytes


def look(path: Path, source: list[str], *, beside: list[str]) -> FirstFrames:
    """Decode the first frames of a film.

    Args:
        path: the film, for messages.
        source: the film as an input of ffmpeg.
        beside: maps of tracks to be listed as well; none are read for an empty list.

    Raises:
        BadInput: no frame can be decoded.
    """
    name = f"showinfo@{secrets.token_hex(16)}"
    show = [*TRACK, "-vf", f"metadata=mode=delete,sidedata=mode=delete,{name}", "-frames:v", str(_LOOKED_AT)]
    listed = [*beside, "-c", "copy", "-t", "0", "-f", "framecrc", "pipe:1"] if beside else []
    args = ["-v", "level+info", "-nostats", *source, *show, "-f", "null", "-", *listed]
    out = ask(path, args, timeout=_OPENING_SECONDS, keep=f"[{name} @ ")
    clock = next(filter(None, map(_CLOCK.fullmatch, out.kept)), None)
    frames = list(filter(None, map(_FRAME.fullmatch, out.kept)))
    if clock is None or not frames:
        raise BadInput(f"{path} holds no frame that can be decoded{because(out.log)}.")
    pts, form, wide, high, width, height, _ = frames[0].groups()
    colour = next(filter(None, map(_COLOUR.fullmatch, out.kept)), None)
    spread, space, primaries, transfer = colour.groups() if colour else ("",) * 4
    up, down, count, seconds = map(int, clock.groups())
    return FirstFrames(
        size=Size(int(width), int(height)),
        first=0 if pts == "NOPTS" else int(pts),
        tick=Fraction(up, max(1, down)),
        nominal=Fraction(count, seconds) if count and seconds else None,
        form=form,
        depth=depth_of(form),
        sar=Fraction(int(wide), max(1, int(high))) or Fraction(1),
        interlaced=any(frame[7] in "TB" for frame in frames),
        range=spread if spread in ("tv", "pc") else "unknown",
        space=space if space in _SPACES else "unknown",
        primaries=primaries if primaries in _PRIMARIES else "unknown",
        transfer=transfer if transfer in HDR_CURVES else "other",
        tracks=out.stdout,
    )


def decoder_args(path: Path) -> list[str]:
    """Return what makes ffmpeg decode the transparency of a WebM film, which its own decoders leave out.

    Raises:
        BadInput: it may be partly transparent, and this ffmpeg cannot tell where.
    """
    with open_input(path, expected="a film") as file:
        head = file.read(1 << 20)
    # A track's mark of transparency. Where it is no more than bytes that look like it, the other decoder does no harm.
    if head[:4] != b"\x1aE\xdf\xa3" or b"\x53\xc0\x81\x01" not in head:
        return []
    codec = next((name for name in ("vp9", "vp8") if f"V_{name.upper()}".encode() in head), None)
    if codec is None:
        return []
    decoder = {"vp8": "libvpx", "vp9": "libvpx-vp9"}[codec]
    if decoder not in _decoders_here():
        raise BadInput(
            f"{path} is partly transparent, and this ffmpeg cannot tell where (it lacks {decoder}); convert it first, "
            "or unset IMAGEIO_FFMPEG_EXE."
        )
    return ["-c:v", decoder]


@functools.cache
def _decoders_here() -> frozenset[str]:
    text = run(["-decoders"]).stdout.decode("utf-8", "replace")
    return frozenset(re.findall(r"^ V\S{5} (\S+)", text, re.MULTILINE))


def depth_of(form: str) -> int:
    """Return the bits of each channel of a pixel format, by its name: yuv420p10le has 10, rgb48be 16."""
    if form.startswith(("rgb48", "bgr48", "rgba64", "bgra64", "gbrpf", "gbrapf", "grayf", "ya16", "rgbf", "rgbaf")):
        return 16
    found = re.search(r"(?:p|gray|p0|p2|p4|y2)(9|10|12|14|16)(?:le|be|$)|x2(?:rgb|bgr)(10)", form)
    return int(found[1] or found[2]) if found else 8


def check_size(path: Path, width: int, height: int) -> None:
    """Make sure that frames are not too large.

    Raises:
        BadInput: they are.
    """
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise BadInput(
            f"{path} is {width}x{height}, which is too large: sides of up to {MAX_SIDE} pixels "
            f"and {MAX_PIXELS // 1_000_000} million pixels are taken."
        )


def ask(path: Path, args: list[str], *, timeout: float, keep: str = "") -> Output:
    """Run ffmpeg over a film.

    Raises:
        BadInput: it fails because of the film.
        FfmpegFailed: it fails because of itself.
    """
    try:
        return run(args, timeout=timeout, keep=keep)
    except FfmpegFailed as error:
        if error.was_stopped:
            raise
        if error.returncode is None:  # What it said till then is what the film says.
            raise BadInput(f"{path} cannot be read as a film: {str(error).partition(':')[0].rstrip('.')}.") from error
        if "matches no streams" in error.log or "does not contain any stream" in error.log:
            raise BadInput(f"{path} holds no moving pictures; expected a film.") from error
        if "Format not on whitelist" in error.log:
            raise BadInput(f"{path} cannot be read as a film; known are {_KNOWN}.") from error
        if too_large := re.search(
            r"Picture size ([0-9]{1,9})x([0-9]{1,9}) is invalid|([0-9]{1,9})x([0-9]{1,9})[^\n]*max_pixels", error.log
        ):
            check_size(path, *(int(side) for side in too_large.groups() if side))
        if "Cannot allocate memory" in error.log:
            raise BadInput(
                f"{path} asks for more memory than there is, or for more than the {_MOST_BYTES // 1_000_000} MB that a "
                "frame may take; expected smaller frames, or fewer bits in each pixel."
            ) from error
        raise BadInput(f"{path} cannot be read as a film{because(error.log) or ' (' + str(error) + ')'}.") from error


def because(log: str) -> str:
    """Return the first error that ffmpeg tells of, in brackets, for the end of a sentence. Shown, never trusted."""
    lines = [re.sub(r"\[[^\]]*\]\s*", "", line).strip() for line in log.splitlines() if re.search(r"\[(err|fat)", line)]
    known = ("Error opening", "Task finished", "Terminating thread", "Nothing was written", "Conversion failed")
    useful = [line for line in lines if line and not line.startswith(known)]
    return f" ({readable(useful[0])})" if useful else ""


def readable(text: str) -> str:
    """Return what ffmpeg said for the inside of a sentence: short, without the characters that steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text).strip().rstrip(".")[:300]
