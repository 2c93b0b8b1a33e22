"""When the frames of a film are shown, by its packets: the exact rate, and whether all frames are equally long.

The muxer `framecrc` lists the packets of a track without decoding them: of what banners say, rates are rounded and
numbers of frames are guessed.
"""

from __future__ import annotations

import bisect
import io
import math
import re
import statistics
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

STANDARD_RATES = tuple(
    Fraction(rate)
    for rate in (
        *("24000/1001", 24, 25, "30000/1001", 30, 48, 50, "60000/1001", 60),
        *(10, 12, 15, 90, 100, "120000/1001", 120, "240000/1001", 240, 480),
    )
)
"""Rates that cameras and programs use."""

ABOUT_RATE = Fraction(3, 100)
"""How far a measured rate may be from a standard one to be taken for it, as a share. Films whose frames are all equally
long must fit the standard rate besides, frame by frame; for others any rate does, since picture and sound both go by
the clock."""

_TICK = Fraction(1, 1000)  # Matroska rounds times to it.
_MOST = Fraction(1000)  # Frames a second; more are an error of the clock.
_ON_GRID = Fraction(9, 10)  # Of the frames must fit a rate where some are missing.
_HELD = Fraction(3, 2)  # Frames; a last picture that is shown for longer is one that is held.
_UNSET = -(1 << 62)  # Below this lies the number that stands for no time.
_KEY, _CORRUPT, _DISCARD = 1, 2, 4  # Flags of packets.
_HEAD = re.compile(
    rb"^#(tb|dimensions|codec_id) 0: (?:([0-9]{1,10})[/x]([0-9]{1,10})|([a-z0-9_]{1,40}))\s*$", re.MULTILINE
)
_HEAD_BYTES = 4096
_NEAR = Fraction(2, 5)  # Of a frame: what is further from its place is in another's.


@dataclass(frozen=True, kw_only=True)
class Packets:
    """What is known of a track without decoding it.

    Attributes:
        tick: seconds; the unit of all times here.
        times: when each frame is shown, ascending.
        length: of the last frame.
        keys: the times among them where decoding can begin, ascending.
        exact: whether the times are those of frames; otherwise of packets, which lack the order of frames.
        size: width and height by the container, before any turning; zeros where it does not say.
        codec: ffmpeg's name.
        begin: time of the packet that is read first.
        corrupt: whether one of them is marked as damaged.
    """

    tick: Fraction
    times: tuple[int, ...]
    length: int
    keys: tuple[int, ...]
    exact: bool
    size: tuple[int, int]
    codec: str
    begin: int = 0
    corrupt: bool = False


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The clock of a film.

    Attributes:
        rate: frames a second; where `constant` is false, the one that fits most of the frames.
        constant: whether all frames are equally long, as far as the clock of the container can tell.
        frames: of the film, once each.
        seconds: from the first frame to the end of the last.
        last: when the last frame is shown, seconds after the first.
    """

    rate: Fraction
    constant: bool
    frames: int
    seconds: Fraction
    last: Fraction


def read_packets(text: bytes, *, hidden: bool = False) -> Packets | None:
    """Read a list of `framecrc` with one track; None if it holds no packets, shown ones unless `hidden`."""
    head = {name: values for name, *values in _HEAD.findall(text[:_HEAD_BYTES])}
    up, down, _ = head.get(b"tb", (b"0", b"1", b""))
    cells = (cell for line in io.BytesIO(text) if line.startswith(b"0,") for cell in _row(line))
    rows = np.fromiter(cells, np.int64).reshape(-1, 4)  # Films have millions of packets.
    shown = rows if hidden else rows[rows[:, 3] & _DISCARD == 0]
    if not int(up or 0) or not int(down) or not len(shown):
        return None
    exact = bool((shown[:, 1] > _UNSET).all())
    by = 1 if exact else 0
    begin = int(rows[0, by])
    shown = shown[np.argsort(shown[:, by], kind="stable")]
    width, height, _ = head.get(b"dimensions", (b"0", b"0", b""))
    return Packets(
        tick=Fraction(int(up), int(down)),
        times=tuple(shown[:, by].tolist()),
        length=max(1, int(shown[-1, 2])),
        keys=tuple(shown[shown[:, 3] & _KEY != 0, by].tolist()),
        exact=exact,
        size=(int(width or 0), int(height or 0)),
        codec=head.get(b"codec_id", (b"", b"", b"unknown"))[2].decode("ascii"),
        begin=begin,
        corrupt=bool((shown[:, 3] & _CORRUPT).any()),
    )


def _row(line: bytes) -> tuple[int, int, int, int]:
    """Return when a packet is decoded, when it is shown, its length and its flags."""
    cells = line.split(b",")
    flags = next((int(cell.strip()[2:], base=0) for cell in cells[6:] if cell.strip().startswith(b"F=")), _KEY)
    return int(cells[1]), int(cells[2]), int(cells[3]), flags


def timing_of(packets: Packets, *, first: Fraction, nominal: Fraction | None) -> Timing:
    """Decide on the clock of a film.

    Args:
        packets: of its track.
        first: when the first frame that can be decoded is shown, seconds.
        nominal: frames a second that the container names; None where it names none.
    """
    tick, times = packets.tick, packets.times
    if packets.exact:
        times = times[min(bisect.bisect_left(times, first / tick), len(times) - 1) :]
    start, count, length = times[0], len(times), packets.length * tick
    for rate in _candidates(times, tick, nominal, packets.length):
        if _fitting(times, tick, rate, steady=True) == count:
            # The last frame is as long as the others, whatever a clock of whole ticks makes of it, unless it is held.
            last = (count - 1) / rate
            held = length >= _HELD / rate
            return Timing(
                rate=rate, constant=True, frames=count, seconds=last + (length if held else 1 / rate), last=last
            )
    last = (times[-1] - start) * tick
    rate = _usual(times, tick, nominal)
    return Timing(rate=rate, constant=False, frames=count, seconds=last + length, last=last)


def _fitting(times: tuple[int, ...], tick: Fraction, rate: Fraction, *, steady: bool) -> int:
    """Count the frames that are shown when a rate has one; with `steady` frame `k` at `k`, and only up to a misfit."""
    slack = min(max(_TICK, tick), _NEAR / rate) * rate
    step = tick * rate
    up, down = step.numerator, step.denominator  # In whole numbers: films have millions of frames.
    most = math.floor(slack * down)
    start, fit = times[0], 0
    for number, at in enumerate(times):
        place = (at - start) * up
        nearest = number if steady else (place + down // 2) // down
        if abs(place - nearest * down) <= most:
            fit += 1
        elif steady:
            break
    return fit


def _candidates(times: tuple[int, ...], tick: Fraction, nominal: Fraction | None, length: int) -> list[Fraction]:
    """Return the rates that the film may have, the likeliest first."""
    found = [nominal] if nominal and nominal <= _MOST else []
    if len(times) == 1 and nominal and length * tick * nominal >= _HELD:
        found = []  # A picture alone is one frame, and its length says how long.
    mean = len(times) / ((times[-1] + length - times[0]) * tick)
    span = (times[-1] - times[0]) * tick
    measured = [(len(times) - 1) / span] if span else []
    for about in [mean, *measured]:  # They differ where the last picture is held.
        near = [rate for rate in STANDARD_RATES if abs(rate - about) <= ABOUT_RATE * rate]
        found += sorted(near, key=lambda rate: abs(rate - about))
    return list(dict.fromkeys(rate for rate in [*found, *measured, min(mean, _MOST)] if rate <= _MOST))


def _usual(times: tuple[int, ...], tick: Fraction, nominal: Fraction | None) -> Fraction:
    """Return the rate of most frames, as a standard one where it is near."""
    steps = [after - before for before, after in pairwise(times) if after > before]
    if not steps:
        return Fraction(25)
    median = statistics.median_low(steps)
    alike = [step for step in steps if abs(step - median) <= 1]  # A clock of whole ticks makes one of two of them.
    mean = 1 / (Fraction(sum(alike), len(alike)) * tick)
    likely = [rate for rate in [nominal, *STANDARD_RATES] if rate and abs(rate - mean) <= ABOUT_RATE * mean]
    if likely:  # Frames may be missing between others that all fit one rate.
        fits = [_fitting(times, tick, rate, steady=False) for rate in likely]
        if max(fits) >= _ON_GRID * len(times):
            return likely[fits.index(max(fits))]
    usual = 1 / (median * tick)
    near = min(STANDARD_RATES, key=lambda standard: abs(standard - usual))
    return near if abs(near - usual) <= ABOUT_RATE * near else min(usual.limit_denominator(1001), _MOST)
