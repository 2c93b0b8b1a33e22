"""What a film holds: size, exact rate, number of frames, colour, sound. Found by listing packets and decoding little.

Nothing is taken from a channel that the texts of a film can reach: the muxer `framecrc` lists packets and tracks on
standard output, and `showinfo` asks what the decoded pictures are like (already turned upright).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from renderer.errors import BadInput
from renderer.files import check_input, once_a_file, open_input
from renderer.frame import Size
from renderer.media.ffmpeg.pipes import ffmpeg_exe, file_url, run
from renderer.media.ffmpeg.showinfo import (
    HDR_CURVES,
    INPUT,
    RGB,
    TRACK,
    FirstFrames,
    ask,
    because,
    check_size,
    decoder_args,
    look,
)
from renderer.media.ffmpeg.timing import Packets, read_packets, timing_of
from renderer.media.ffmpeg.tracks import ALL_TRACKS, SOUND_INPUT, Track, one_by_one, read_tracks

__all__ = ["INPUT", "TRACK", "ClipInfo", "filters_here", "picture_offset", "probe"]

MAX_SECONDS = 1_000_000
"""Longest film: eleven days. Beyond it a clock is broken."""

_MATRICES = {
    "bt709": "bt709",
    "smpte170m": "smpte170m",
    "bt470bg": "bt470bg",
    "fcc": "fcc",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}
_HD_ROWS, _HD_COLUMNS = 720, 1280
_LISTING_SECONDS = 1800.0  # A film of hours on a slow disk is read once from end to end.
_TRACK_SECONDS = 60.0
_LEAD = Fraction(1, 100)  # Seconds; clocks are rounded.
_EARLY = 4_000_000_000  # Ticks: before anything is shown.
# A film can imitate these lines. All it gains is to be called damaged.
_CUT_OFF = re.compile(
    r"^\[[^\]\n]* @ [^\]\n]*\] \[(?:warning|error)\] .*"
    r"(?:partial file|ended prematurely|[Tt]runcated)",
    re.MULTILINE,
)


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
        last: when the last frame is shown, seconds after the first; it can be held for longer than the others.
        first: when the first frame is shown by the film's own clock, seconds.
        offset: how long after the start of the film (of its earliest track) the first frame is shown, seconds.
        keys: when frames are shown at which decoding can begin, by the same clock; empty where seeking is not exact.
        codec: of the pictures, ffmpeg's name.
        form: of the decoded pixels, ffmpeg's name.
        depth: bits of each channel.
        sar: width of a stored pixel over its height.
        interlaced: whether its rows belong to two moments.
        matrix: colour matrix by its name in ffmpeg's scale filter; None for RGB.
        full_range: whether luma goes from 0 to 255.
        primaries: as the film says, ffmpeg's names; "unknown" where it does not.
        transfer: its curve where that is one of high dynamic range, ffmpeg's name; "other" for all others.
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
    last: Fraction
    first: Fraction
    offset: Fraction
    keys: tuple[Fraction, ...]
    codec: str
    form: str
    depth: int
    sar: Fraction
    interlaced: bool
    matrix: str | None
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


def probe(path: Path) -> ClipInfo:
    """Look into a film.

    Raises:
        BadInput: not there, not a film, without frames, too large, or in a container that is not taken.
        EnvironmentProblem: no usable ffmpeg.
    """
    check_input(path, expected="a film")
    return _probed(path, ffmpeg_exe())


@once_a_file
def _probed(path: Path, exe: str) -> ClipInfo:
    """Look into a film with one ffmpeg; another may see other things."""
    del exe
    clock = clock_args(path)
    source = [*INPUT, *clock, *decoder_args(path), "-i", file_url(path)]
    seen, sounds, subtitles = _look(path, source)
    packets, damaged = _packets(path, source, ordered=bool(clock))
    check_size(path, *packets.size)
    shown = seen.first * seen.tick
    if clock:
        first = _first_shown(packets, shown)
        offset = first - (packets.begin - _begin(path)) * packets.tick
    else:  # ffmpeg counts from the start of the tracks that are read.
        alone = look(path, source, beside=[])
        first, offset = alone.first * alone.tick, shown
    timing = timing_of(packets, first=first, nominal=seen.nominal)
    _check_clock(path, timing.seconds)
    size = seen.size if seen.sar == 1 else Size(max(2, round(seen.size.width * seen.sar / 2) * 2), seen.size.height)
    check_size(path, *size)
    matrix, assumed = _matrix(seen, packets)
    notes = [
        *([f"{path} is damaged or cut off: {timing.frames} frames could be found."] if damaged else []),
        *_colour_notes(path, seen, matrix, assumed),
        *([f"{path} is interlaced: its fields are made whole frames."] if seen.interlaced else []),
        *_track_notes(path, sounds, "sound"),
        *_track_notes(path, subtitles, "subtitles"),
    ]
    if not timing.constant:
        notes.append(
            f"{path} has frames of different lengths: it is read at {rate_text(timing.rate)} frames a second, "
            "so that picture and sound stay together."
        )
    return ClipInfo(
        size=size,
        stored=seen.size,
        rate=timing.rate,
        constant=timing.constant,
        frames=timing.frames,
        seconds=timing.seconds,
        last=timing.last,
        first=first,
        offset=offset,
        keys=tuple(key * packets.tick for key in packets.keys) if clock and packets.exact else (),
        codec=packets.codec,
        form=seen.form,
        depth=seen.depth,
        sar=seen.sar,
        interlaced=seen.interlaced,
        matrix=matrix,
        full_range=matrix is None or seen.range == "pc",
        primaries=seen.primaries,
        transfer=seen.transfer,
        sounds=sounds,
        subtitles=subtitles,
        damaged=damaged,
        notes=tuple(notes),
    )


def clock_args(path: Path) -> list[str]:
    """Return what makes ffmpeg keep the clock of a film, by which a frame can be found again after a jump.

    Only where its index is exact and its clock runs on without jumps: MPEG streams are read from the start.
    """
    with open_input(path, expected="a film") as file:
        head = file.read(12)
    exact = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip") or head[:4] == b"\x1aE\xdf\xa3"
    return ["-copyts"] if exact else []


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


def _packets(path: Path, source: list[str], *, ordered: bool) -> tuple[Packets, bool]:
    """List the packets of the picture, and tell whether some are missing.

    Where an edit shows a part again, or a later one earlier, the muxer would change when it is shown, to keep packets
    in the order in which they are decoded: with `ordered` that order is a plain count.
    """
    count = ["-bsf:v", f"setts=pts=PTS:dts=N-{_EARLY}"] if ordered else []
    listed = ask(path, [*source, *TRACK, "-c", "copy", *count, "-f", "framecrc", "-"], timeout=_LISTING_SECONDS)
    packets = read_packets(listed.stdout)
    if packets is None:
        raise BadInput(f"{path} holds no frames{because(listed.log)}.")
    if ordered and not packets.exact:  # Only when they are decoded is known.
        return _packets(path, source, ordered=False)
    return packets, packets.corrupt or _CUT_OFF.search(listed.log) is not None


def _begin(path: Path) -> int:
    """Return when the packet that is read first is shown, in ticks from the start of the film's earliest track."""
    one = [*INPUT, "-i", file_url(path), *TRACK, "-c", "copy", "-frames:v", "1", "-f", "framecrc", "-"]
    packets = read_packets(ask(path, one, timeout=_TRACK_SECONDS).stdout, hidden=True)
    return packets.begin if packets else 0


def _first_shown(packets: Packets, decoded: Fraction) -> Fraction:
    """Return when the first frame is shown: what lies before zero on the clock was cut away by an edit."""
    if decoded > -_LEAD:
        return decoded
    return next((at * packets.tick for at in packets.times if at * packets.tick > -_LEAD), decoded)


def _check_clock(path: Path, seconds: Fraction) -> None:
    if seconds > MAX_SECONDS:
        raise BadInput(
            f"{path} lasts {float(seconds) / 86400:.3g} days by its own clock; films of up to "
            f"{MAX_SECONDS // 86400} days are read. Write it anew with the right times."
        )


def _look(path: Path, source: list[str]) -> tuple[FirstFrames, tuple[Track, ...], tuple[Track, ...]]:
    """Look at the picture, and list the tracks beside it; those that cannot be read are of an unknown codec."""
    try:
        seen = look(path, source, beside=ALL_TRACKS)
        return seen, *read_tracks(seen.tracks)
    except BadInput as error:
        if getattr(error.__cause__, "returncode", 1) is None:  # It took too long, as it would again.
            raise
        look(path, source, beside=[])  # Raises if it is the picture that cannot be read.
    sounds, subtitles = (one_by_one(source, letter) for letter in "as")
    maps = [
        word
        for kind, tracks in (("a", sounds), ("s", subtitles))
        for number, track in enumerate(tracks)
        if track.codec != "unknown"
        for word in ("-map", f"0:{kind}:{number}")
    ]
    return look(path, source, beside=maps), sounds, subtitles


@once_a_file
def picture_offset(path: Path) -> Fraction:
    """Return how long after the start of a film, or a file of sound, its first frame is shown, seconds; 0 without one.

    Raises:
        BadInput: it takes too long to open.
    """
    try:
        seen, _, _ = _look(path, [*SOUND_INPUT, "-i", file_url(path)])
    except BadInput as error:
        if getattr(error.__cause__, "returncode", 1) is None:
            raise
        return Fraction(0)
    return seen.first * seen.tick


def _matrix(seen: FirstFrames, packets: Packets) -> tuple[str | None, bool]:
    """Return the colour matrix (None for RGB), and whether it was guessed from the size before any turning."""
    if seen.space == "gbr" or seen.form.startswith(RGB):
        return None, False
    if seen.space in _MATRICES:
        return _MATRICES[seen.space], False
    if seen.transfer in HDR_CURVES or seen.primaries == "bt2020":
        return "bt2020", False
    width, height = packets.size if all(packets.size) else seen.size
    return ("bt709" if height >= _HD_ROWS or width >= _HD_COLUMNS else "bt601"), True


def _colour_notes(path: Path, seen: FirstFrames, matrix: str | None, assumed: bool) -> list[str]:
    notes = []
    if assumed and matrix == "bt709":
        notes.append(f"{path} does not say how its colours are stored: BT.709 is assumed, as in high definition.")
    if seen.transfer in HDR_CURVES:
        curve = "PQ" if seen.transfer == "smpte2084" else "HLG"
        notes.append(f"{path} is of high dynamic range ({curve}): it is tone-mapped to the usual range.")
    elif seen.primaries == "bt2020":
        notes.append(f"{path} has the wide colours of BT.2020: they are brought into those of BT.709.")
    return notes


def _track_notes(path: Path, tracks: tuple[Track, ...], kind: str) -> list[str]:
    lost = [str(number + 1) for number, track in enumerate(tracks) if track.codec == "unknown"]
    if not lost:
        return []
    which = f"track {lost[0]} is" if len(lost) == 1 else f"tracks {' and '.join(lost)} are"
    return [f"{path}: of its {kind}, {which} empty or cannot be read, and left out."]
