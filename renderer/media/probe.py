"""What a film holds: size, exact rate, number of frames, colour. Found by decoding one frame and listing packets.

There is no ffprobe where ffmpeg comes from a wheel: the filter `showinfo` tells of the decoded picture, which is what
counts (already turned upright), and the muxer `framecrc` lists the times of all packets without decoding them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from renderer.errors import BadInput
from renderer.frame import MAX_SIDE, Size
from renderer.media.ffmpeg import FfmpegFailed, file_url, run

INPUT = ["-protocol_whitelist", "file,pipe", "-format_whitelist", "mov,matroska,avi,mpegts,gif,apng"]
"""What an input may be: a list of files or an address in disguise would be opened otherwise."""

TRACK = ["-map", "0:V:0", "-an", "-sn", "-dn"]
"""The first track of moving pictures, cover art left out, and nothing else."""

_MATRICES = {
    "bt709": "bt709",
    "smpte170m": "smpte170m",
    "bt470bg": "bt470bg",
    "fcc": "fcc",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}
_HD_ROWS = 720
_TICK = Fraction(1, 1000)  # Matroska rounds times to it.


@dataclass(frozen=True, kw_only=True)
class FilmInfo:
    """What a film holds.

    Attributes:
        size: of the picture as it is to be seen, upright and with square pixels.
        rate: frames a second; the mean where `constant` is false.
        constant: whether all frames are equally long, as far as the container can tell.
        frames: packets of the track: the frames that an undamaged film has.
        seconds: from the first frame to the end of the last.
        matrix: colour matrix by its name in ffmpeg's scale filter; None for RGB.
        full_range: whether luma goes from 0 to 255.
        assumed_matrix: whether the film does not say its matrix, so that it was guessed from the height.
        sar: width of a stored pixel over its height.
        stored: size of the decoded picture, before pixels are made square.
        interlaced: whether its rows belong to two moments.
    """

    size: Size
    rate: Fraction
    constant: bool
    frames: int
    seconds: float
    matrix: str | None
    full_range: bool
    assumed_matrix: bool
    sar: Fraction
    stored: Size
    interlaced: bool


def probe(path: Path) -> FilmInfo:
    """Look into a film.

    Raises:
        BadInput: not there, not a film, without frames, too large, or in a container that is not taken.
        EnvironmentProblem: no usable ffmpeg.
    """
    if not path.is_file():
        raise BadInput(f"{path} is {'a folder' if path.is_dir() else 'not there'}; expected a film.")
    if path.stat().st_size == 0:
        raise BadInput(f"{path} is empty; expected a film.")
    source = [*INPUT, "-i", file_url(path), *TRACK]
    try:
        text = run(["-v", "level+info", *source, "-vf", "showinfo", "-frames:v", "1", "-f", "null", "-"]).log
        listed = run([*source, "-c", "copy", "-f", "framecrc", "-"], timeout=600).stdout.decode("ascii", "replace")
    except FfmpegFailed as error:
        raise BadInput(f"{path} cannot be read as a film ({_reason(error)}).") from error
    first = re.search(r"n:\s*0 .*?sar:(\d+)/(\d+) s:(\d+)x(\d+) i:(\w)", text)
    if first is None:
        raise BadInput(f"{path} holds no frame that can be decoded.")
    stored = Size(int(first[3]), int(first[4]))
    if max(stored) > MAX_SIDE:
        raise BadInput(f"{path} is {stored}; sides of up to {MAX_SIDE} pixels are taken.")
    sar = Fraction(int(first[1]), max(1, int(first[2]))) or Fraction(1)
    rate, constant, frames, seconds = _timing(listed, _nominal_rate(text), path)
    matrix, full_range, assumed = _colour(text, stored)
    return FilmInfo(
        size=stored if sar == 1 else Size(max(2, round(stored.width * sar / 2) * 2), stored.height),
        rate=rate,
        constant=constant,
        frames=frames,
        seconds=seconds,
        matrix=matrix,
        full_range=full_range,
        assumed_matrix=assumed,
        sar=sar,
        stored=stored,
        interlaced=first[5] in "TB",
    )


def _reason(error: FfmpegFailed) -> str:
    """Return the end of ffmpeg's text in brackets-free words, for the inside of a sentence."""
    lines = [re.sub(r"\[[^\]]*\]\s*", "", line).strip() for line in error.log.splitlines()]
    useful = [line for line in lines if line and not line.startswith(("Error opening", "Last message"))]
    return (useful[-1] if useful else str(error)).rstrip(".")[:300]


def _nominal_rate(text: str) -> Fraction | None:
    found = re.search(r"config in time_base: \S+, frame_rate: (\d+)/(\d+)", text)
    if found is None or int(found[1]) == 0 or int(found[2]) == 0:
        return None
    return Fraction(int(found[1]), int(found[2]))


def _timing(listed: str, nominal: Fraction | None, path: Path) -> tuple[Fraction, bool, int, float]:
    """Return rate, whether it is constant, number of frames and length in seconds from a list of packets."""
    base = re.search(r"#tb 0: (\d+)/(\d+)", listed)
    rows = [line.split(",") for line in listed.splitlines() if line.startswith("0,")]
    if base is None or not rows:
        raise BadInput(f"{path} holds no frames.")
    tick = Fraction(int(base[1]), int(base[2]))
    packets = sorted((int(row[2]), int(row[3])) for row in rows)
    start = packets[0][0]
    length = (packets[-1][0] + max(1, packets[-1][1]) - start) * tick
    mean = Fraction(len(packets)) / length
    rate = nominal or mean
    slack = max(_TICK, tick)
    constant = all(abs((at - start) * tick - k / rate) <= slack for k, (at, _) in enumerate(packets))
    return (rate if constant else mean), constant, len(packets), float(length)


def _colour(text: str, stored: Size) -> tuple[str | None, bool, bool]:
    """Return the colour matrix (None for RGB), whether the range is full, and whether the matrix was guessed."""
    found = re.search(r"color_range:(\w+) color_space:(\w+)", text)
    spread, space = (found[1], found[2]) if found else ("unknown", "unknown")
    if space == "gbr":
        return None, True, False
    known = _MATRICES.get(space)
    guess = "bt709" if stored.height >= _HD_ROWS else "bt601"
    return known or guess, spread == "pc", known is None
