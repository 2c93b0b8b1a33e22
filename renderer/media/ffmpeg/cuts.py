"""Cuts: the frames at which a film changes from one shot to the next; found, or read.

A file of cuts is text, one cut a line: a time (`12.5s`, `12.5`, `1:02.5`, `1:00:02.5`) or a whole number, which is a
frame. Both count from the first frame of the whole film, so that the file stays true when another part of the film is
taken; a frame is one at the rate at which the film is read. What follows a `#` is a remark.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from renderer.errors import BadInput, UsageError
from renderer.files import read_input
from renderer.frame import Size
from renderer.media.ffmpeg.clips import Clip

THRESHOLD = 3.0
"""How many times as much as its neighbours a frame must differ from the one before it to begin a new shot."""

SHORTEST_SHOT = Fraction(1, 4)
"""Seconds; of two cuts that are nearer to each other the second is none, but a flash."""

_LOOKED_AT = 256  # Pixels of the longer side: cuts show in small pictures as well.
_WINDOW = 2  # Frames before and after the one that is judged.
_LONGEST_FILE = 10_000_000  # Bytes; more is no list of cuts.


def find_cuts(
    clip: Clip, *, threshold: float = THRESHOLD, progress: Callable[[int, int], None] | None = None
) -> list[int]:
    """Find the cuts of a clip with PySceneDetect's adaptive detector, on small copies of the frames.

    Args:
        clip: what to look through; its size does not matter.
        threshold: see `THRESHOLD`; a higher one finds fewer.
        progress: told how many frames of how many are done.

    Returns:
        The first frame of each shot but the first, ascending.

    Raises:
        BadInput: the clip cannot be read.
        UsageError: the threshold is not a number above 0.
    """
    import cv2
    from scenedetect import FrameTimecode
    from scenedetect.detectors import AdaptiveDetector

    if not (math.isfinite(threshold) and threshold > 0):
        raise UsageError(f"The threshold for cuts must be a number above 0, not {threshold}.")
    shortest = max(2, math.ceil(SHORTEST_SHOT * clip.rate))
    detector = AdaptiveDetector(adaptive_threshold=threshold, min_scene_len=shortest, window_width=_WINDOW)
    rate = float(clip.rate)
    found: list[int] = []
    number, last = -1, None
    for number, pixels in enumerate(clip.scaled(_small(clip.size)).pixels()):
        last = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        found += [cut.frame_num for cut in detector.process_frame(FrameTimecode(number, rate), last)]
        if progress is not None:
            progress(number + 1, clip.count)
    for extra in range(_WINDOW if last is not None else 0):  # The last frames are judged by what follows them.
        found += [cut.frame_num for cut in detector.process_frame(FrameTimecode(number + 1 + extra, rate), last)]
    return sorted({cut for cut in found if 0 < cut <= number})


def _small(size: Size) -> Size:
    scale = min(1.0, _LOOKED_AT / max(size))
    return Size(max(1, round(size.width * scale)), max(1, round(size.height * scale)))


def read_cuts(path: Path, *, clip: Clip) -> list[int]:
    """Read cuts that somebody has written down.

    Args:
        path: of the text.
        clip: whose cuts they are; those that lie outside of it are left out.

    Returns:
        Frames of the clip, ascending.

    Raises:
        BadInput: no such file, or a line that is neither a time nor a frame.
    """
    cuts = set()
    for number, line in enumerate(_text(path).splitlines(), start=1):
        written = line.partition("#")[0].strip()
        if written:
            cuts.add(_frame(written, clip.rate, where=f"{path}, line {number}") - clip.first)
    return sorted(cut for cut in cuts if 0 < cut < clip.count)


def _text(path: Path) -> str:
    try:
        return read_input(path, expected="a list of cuts", limit=_LONGEST_FILE).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not text; expected one time or frame a line.") from error


def _frame(written: str, rate: Fraction, *, where: str) -> int:
    if re.fullmatch(r"[0-9]{1,12}", written):
        return int(written)
    if found := re.fullmatch(r"(?:(?:([0-9]{1,6}):)?([0-9]{1,6}):)?([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*s?", written):
        hours, minutes, seconds = (Fraction(part or 0) for part in found.groups())
        return round((hours * 3600 + minutes * 60 + seconds) * rate)
    raise BadInput(f"{where}: {written!r} is neither a time (12.5s, 1:02.5) nor the number of a frame.")
