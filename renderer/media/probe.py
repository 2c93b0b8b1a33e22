"""What a film holds: size, exact rate, number of frames, colour, sound. Found by listing packets and decoding little.

There is no ffprobe where ffmpeg comes from a wheel: the filter `showinfo` tells of the decoded picture, which is what
counts (already turned upright), and the muxer `framecrc` lists packets and tracks on standard output, where nothing
that the film says of itself can push them out of sight.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from renderer.errors import BadInput
from renderer.files import open_input
from renderer.frame import MAX_SIDE, Size
from renderer.media.ffmpeg import FfmpegFailed, Output, file_url, run
from renderer.media.timing import Packets, read_packets, timing_of

MAX_PIXELS = 100_000_000
"""Pixels of the largest frame that is decoded: three times 8K."""

INPUT = [
    *("-protocol_whitelist", "file,pipe"),
    *("-format_whitelist", "mov,matroska,avi,mpegts,mpeg,flv,asf,gif,apng"),
    *("-max_pixels", str(MAX_PIXELS)),
]
"""What an input may be: a list of files or an address in disguise would be opened otherwise."""

TRACK = ["-map", "0:V:0", "-an", "-sn", "-dn"]
"""The first track of moving pictures, cover art left out, and nothing else."""

HDR_CURVES = ("smpte2084", "arib-std-b67")
"""Transfer curves of high dynamic range: PQ and HLG."""

_MATRICES = {
    "bt709": "bt709",
    "smpte170m": "smpte170m",
    "bt470bg": "bt470bg",
    "fcc": "fcc",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}
_RGB = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "x2rgb", "x2bgr", "pal8", "mono")
_HD_ROWS, _HD_COLUMNS = 720, 1280
_KNOWN = "MP4, QuickTime, Matroska, WebM, AVI, MPEG, FLV, WMV, GIF, animated PNG and WebP"
_LISTING_SECONDS = 1800.0  # A film of hours on a slow disk is read once from end to end.
_LOOKED_AT = 5  # Frames decoded: the first of an interlaced film may not be.
_CUT_OFF = re.compile(r"partial file|ended prematurely|[Tt]runcated|corrupt input packet|Packet corrupt")


@dataclass(frozen=True, kw_only=True)
class Track:
    """A track of sound or subtitles: ffmpeg's name of the codec, and the number of channels (0 for subtitles)."""

    codec: str
    channels: int = 0


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """What a film holds.

    Attributes:
        size: of the picture as it is to be seen, upright and with square pixels.
        stored: size of the decoded picture, before pixels are made square.
        rate: frames a second, exact; the one that fits most of them where `constant` is false.
        constant: whether all frames are equally long, as far as the container can tell.
        frames: packets of the track: the frames that an undamaged film has.
        seconds: from the first frame to the end of the last.
        first: when the first frame is shown by the film's own clock, seconds.
        offset: how long after the start of the film (of its earliest track) the first frame is shown, seconds.
        keys: when frames are shown at which decoding can begin, by the same clock; empty where seeking is not exact.
        codec: of the pictures, ffmpeg's name.
        form: of the decoded pixels, ffmpeg's name.
        depth: bits of each channel.
        sar: width of a stored pixel over its height.
        interlaced: whether its rows belong to two moments.
        matrix: colour matrix by its name in ffmpeg's scale filter; None for RGB.
        assumed_matrix: whether the film does not say its matrix, so that it was guessed from the height.
        full_range: whether luma goes from 0 to 255.
        primaries, transfer: as the film says, ffmpeg's names; "unknown" where it does not.
        sounds, subtitles: the tracks beside the picture.
        damaged: whether a part of the film is missing, as far as that shows without decoding.
        notes: what was decided about it and what the user should know, as sentences.
    """

    size: Size
    stored: Size
    rate: Fraction
    constant: bool
    frames: int
    seconds: Fraction
    first: Fraction
    offset: Fraction
    keys: tuple[Fraction, ...]
    codec: str
    form: str
    depth: int
    sar: Fraction
    interlaced: bool
    matrix: str | None
    assumed_matrix: bool
    full_range: bool
    primaries: str
    transfer: str
    sounds: tuple[Track, ...]
    subtitles: tuple[Track, ...]
    damaged: bool
    notes: tuple[str, ...]

    @property
    def hdr(self) -> bool:
        """Whether it is of high dynamic range."""
        return self.transfer in HDR_CURVES

    @property
    def seekable(self) -> bool:
        """Whether its own clock is used, by which any frame can be found again."""
        return bool(self.keys)


def probe(path: Path) -> ClipInfo:
    """Look into a film.

    Raises:
        BadInput: not there, not a film, without frames, too large, or in a container that is not taken.
        EnvironmentProblem: no usable ffmpeg.
    """
    _check_file(path)
    clock = clock_args(path)
    source = [*INPUT, *clock, *decoder_args(path), "-i", file_url(path)]
    listed = _ask(path, [*source, *TRACK, "-c", "copy", "-f", "framecrc", "-"], timeout=_LISTING_SECONDS)
    packets = read_packets(listed.stdout.decode("ascii", "replace"))
    if packets is None:
        raise BadInput(f"{path} holds no frames{_because(listed.log)}.")
    _check_size(path, *packets.size)
    look = _look(path, source)
    seen = look.first * look.tick
    # Where it does not keep the film's clock, ffmpeg counts from the start of the tracks that are read.
    first = seen if clock else (alone := _look(path, source, tracks=False)).first * alone.tick
    timing = timing_of(packets, first=first, nominal=look.nominal)
    size = look.size if look.sar == 1 else Size(max(2, round(look.size.width * look.sar / 2) * 2), look.size.height)
    _check_size(path, *size)
    matrix, assumed = _matrix(look, packets)
    damage = _CUT_OFF.search(listed.log)
    notes = [
        *([f"{path} is damaged or cut off: {timing.frames} frames could be found."] if damage else []),
        *_colour_notes(path, look, matrix, assumed),
        *([f"{path} is interlaced: its fields are made whole frames."] if look.interlaced else []),
    ]
    if not timing.constant:
        notes.append(
            f"{path} has frames of different lengths: it is read at {rate_text(timing.rate)} frames a second, "
            "so that picture and sound stay together."
        )
    return ClipInfo(
        size=size,
        stored=look.size,
        rate=timing.rate,
        constant=timing.constant,
        frames=timing.frames,
        seconds=timing.seconds,
        first=first,
        offset=seen - look.start if clock else seen,
        keys=tuple(key * packets.tick for key in packets.keys) if clock and packets.exact else (),
        codec=packets.codec,
        form=look.form,
        depth=look.depth,
        sar=look.sar,
        interlaced=look.interlaced,
        matrix=matrix,
        assumed_matrix=assumed,
        full_range=matrix is None or look.range == "pc",
        primaries=look.primaries,
        transfer=look.transfer,
        sounds=look.sounds,
        subtitles=look.subtitles,
        damaged=damage is not None,
        notes=tuple(notes),
    )


def clock_args(path: Path) -> list[str]:
    """Return what makes ffmpeg keep the clock of a film, by which a frame can be found again after a jump.

    Only where its index is exact and its clock runs on without jumps: MPEG streams are read from the start.
    """
    with path.open("rb") as file:
        head = file.read(12)
    exact = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip") or head[:4] == b"\x1aE\xdf\xa3"
    return ["-copyts"] if exact else []


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


def rate_text(rate: Fraction) -> str:
    """Write a rate for people: 25, 29.97, 23.976."""
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")


@functools.cache
def filters_here() -> frozenset[str]:
    """Return the names of the filters that the ffmpeg of this machine has.

    Raises:
        EnvironmentProblem: no usable ffmpeg.
    """
    text = run(["-filters"]).stdout.decode("utf-8", "replace")
    return frozenset(re.findall(r"^ [T.][S.][C.]? *(\S+) +\S+->\S+", text, re.MULTILINE))


def _check_file(path: Path) -> None:
    try:
        if not path.is_file():
            raise BadInput(f"{path} is {'a folder' if path.is_dir() else 'not there'}; expected a film.")
        if path.stat().st_size == 0:
            raise BadInput(f"{path} is empty; expected a film.")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _check_size(path: Path, width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise BadInput(
            f"{path} is {width}x{height}, which is too large: sides of up to {MAX_SIDE} pixels "
            f"and {MAX_PIXELS // 1_000_000} million pixels are taken."
        )


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What the first frames and the headers of all tracks say. Times are in ticks of `tick` seconds."""

    size: Size
    first: int
    tick: Fraction
    start: Fraction
    nominal: Fraction | None
    form: str
    depth: int
    sar: Fraction
    interlaced: bool
    range: str
    space: str
    primaries: str
    transfer: str
    sounds: tuple[Track, ...]
    subtitles: tuple[Track, ...]


def _look(path: Path, source: list[str], *, tracks: bool = True) -> _Look:
    # Side data go first: what some cameras write there would push the rest out of the text that is kept.
    show = [*TRACK, "-map_metadata", "-1", "-vf", "sidedata=mode=delete,showinfo", "-frames:v", str(_LOOKED_AT)]
    out = _ask(path, ["-v", "level+info", *source, *show, "-f", "null", "-", *(_TRACKS if tracks else [])])
    base = re.search(r"config in time_base: (\d+)/(\d+), frame_rate: (\d+)/(\d+)", out.log)
    frames = re.findall(
        r" n: *\d+ pts: *(-?\d+|NOPTS) .*?fmt:(\S+) .*?sar:(\d+)/(\d+) s:(\d+)x(\d+) i:(\w)", out.log, re.DOTALL
    )
    if base is None or not frames:
        raise BadInput(f"{path} holds no frame that can be decoded{_because(out.log)}.")
    pts, form, wide, high, width, height, _ = frames[0]
    colour = re.search(r"color_range:(\S+) color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)", out.log)
    spread, space, primaries, transfer = colour.groups() if colour else ("unknown",) * 4
    start = re.search(r"Duration: .*?start: (-?[\d.]+)", out.log)
    sounds, subtitles = read_tracks(out.stdout.decode("ascii", "replace"))
    return _Look(
        size=Size(int(width), int(height)),
        first=0 if pts == "NOPTS" else int(pts),
        tick=Fraction(int(base[1]), max(1, int(base[2]))),
        start=Fraction(start[1]) if start else Fraction(0),
        nominal=Fraction(int(base[3]), int(base[4])) if int(base[3]) and int(base[4]) else None,
        form=form,
        depth=_depth(form),
        sar=Fraction(int(wide), max(1, int(high))) or Fraction(1),
        interlaced=any(frame[6] in "TB" for frame in frames),
        range=spread,
        space=space,
        primaries=primaries,
        transfer=transfer,
        sounds=sounds,
        subtitles=subtitles,
    )


_TRACKS = [
    *("-map", "0:V:0?", "-map", "0:a?", "-map", "0:s?", "-map_metadata", "-1"),
    *("-c", "copy", "-t", "0", "-f", "framecrc", "pipe:1"),
]
"""An output that lists the tracks of a film and ends."""


def tracks_of(path: Path, options: list[str]) -> tuple[tuple[Track, ...], tuple[Track, ...], Fraction]:
    """List the tracks beside the picture of a film, or those of a file of sound.

    Args:
        path: the file.
        options: for it as an input, as `INPUT`.

    Returns:
        Tracks of sound, tracks of subtitles, and how long after the start of the file its first frame is shown,
        seconds; 0 where there is no picture.

    Raises:
        BadInput: it cannot be read.
    """
    _check_file(path)
    source = [*options, "-i", file_url(path)]
    try:
        look = _look(path, source)
    except BadInput:  # No picture, or none that can be decoded: its sound may be whole.
        return *read_tracks(_ask(path, [*source, *_TRACKS]).stdout.decode("ascii", "replace")), Fraction(0)
    return look.sounds, look.subtitles, look.first * look.tick


def read_tracks(text: str) -> tuple[tuple[Track, ...], tuple[Track, ...]]:
    """Return the tracks of sound and of subtitles in the head of a `framecrc` list."""
    fields = re.findall(r"^#(media_type|codec_id|channel_layout_name) (\d+): (.*)$", text, re.MULTILINE)
    tracks: dict[str, dict[str, str]] = {}
    for name, number, value in fields:
        tracks.setdefault(number, {})[name] = value.strip()
    found: dict[str, list[Track]] = {"audio": [], "subtitle": []}
    for track in tracks.values():
        kind = track.get("media_type", "")
        if kind in found:
            layout = track.get("channel_layout_name", "stereo")
            channels = _channels(layout) if kind == "audio" else 0
            found[kind].append(Track(codec=track.get("codec_id", "unknown"), channels=channels))
    return tuple(found["audio"]), tuple(found["subtitle"])


def _channels(layout: str) -> int:
    if number := re.match(r"(\d+) channels", layout):
        return int(number[1])
    if points := re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", layout):
        return sum(int(part) for part in points.groups() if part)
    return {"mono": 1, "quad": 4}.get(layout, 2)


def _depth(form: str) -> int:
    """Return the bits of each channel of a pixel format, by its name: yuv420p10le has 10, rgb48be 16."""
    if form.startswith(("rgb48", "bgr48", "rgba64", "bgra64", "gbrpf", "gbrapf", "grayf", "ya16", "rgbf", "rgbaf")):
        return 16
    found = re.search(r"(?:p|gray|p0|p2|p4|y2)(9|10|12|14|16)(?:le|be|$)|x2(?:rgb|bgr)(10)", form)
    return int(found[1] or found[2]) if found else 8


def _matrix(look: _Look, packets: Packets) -> tuple[str | None, bool]:
    """Return the colour matrix (None for RGB), and whether it was guessed from the size before any turning."""
    if look.space == "gbr" or look.form.startswith(_RGB):
        return None, False
    if look.space in _MATRICES:
        return _MATRICES[look.space], False
    if look.transfer in HDR_CURVES or look.primaries == "bt2020":
        return "bt2020", False
    width, height = packets.size if all(packets.size) else look.size
    return ("bt709" if height >= _HD_ROWS or width >= _HD_COLUMNS else "bt601"), True


def _colour_notes(path: Path, look: _Look, matrix: str | None, assumed: bool) -> list[str]:
    notes = []
    if assumed and matrix == "bt709":
        notes.append(f"{path} does not say how its colours are stored: BT.709 is assumed, as in high definition.")
    if look.transfer in HDR_CURVES:
        curve = "PQ" if look.transfer == "smpte2084" else "HLG"
        notes.append(f"{path} is of high dynamic range ({curve}): it is tone-mapped to the usual range.")
    elif look.primaries == "bt2020":
        notes.append(f"{path} has the wide colours of BT.2020: they are brought into those of BT.709.")
    return notes


def _ask(path: Path, args: list[str], *, timeout: float = 120.0) -> Output:
    try:
        return run(args, timeout=timeout)
    except FfmpegFailed as error:
        if "matches no streams" in error.log or "does not contain any stream" in error.log:
            raise BadInput(f"{path} holds no moving pictures; expected a film.") from error
        if "Format not on whitelist" in error.log:
            raise BadInput(f"{path} cannot be read as a film; known are {_KNOWN}.") from error
        if too_large := re.search(r"Picture size (\d+x\d+) is invalid|(\d+x\d+)[^\n]*max_pixels", error.log):
            _check_size(path, *map(int, (too_large[1] or too_large[2]).split("x")))
        raise BadInput(f"{path} cannot be read as a film{_because(error.log) or ' (' + str(error) + ')'}.") from error


def _because(log: str) -> str:
    """Return the last thing of weight that ffmpeg said, in brackets, for the end of a sentence."""
    lines = [re.sub(r"\[[^\]]*\]\s*", "", line).strip() for line in log.splitlines() if re.search(r"\[(err|fat)", line)]
    known = ("Error opening", "Task finished", "Terminating thread", "Nothing was written", "Conversion failed")
    useful = [line for line in lines if line and not line.startswith(known)]
    return f" ({useful[0].rstrip('.')[:300]})" if useful else ""
