"""When the frames of a film are shown, by its packets: the exact rate, and whether all frames are equally long.

The muxer `framecrc` lists the packets of a track without decoding them: of what banners say, rates are rounded and
numbers of frames are guessed.
"""

from __future__ import annotations

import bisect
import re
import statistics
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

STANDARD_RATES = tuple(
    Fraction(rate)
    for rate in (
        *("24000/1001", 24, 25, "30000/1001", 30, 48, 50, "60000/1001", 60),
        *(10, 12, 15, 90, 100, "120000/1001", 120, "240000/1001", 240),
    )
)
"""Rates that cameras and programs use."""

ABOUT_RATE = Fraction(3, 100)
"""How far a measured rate may be from a standard one to be taken for it, as a share. Films whose frames are all equally
long must fit the standard rate besides, frame by frame; for others any rate does, since picture and sound both go by
the clock."""

_TICK = Fraction(1, 1000)  # Matroska rounds times to it.
_MOST = Fraction(240)  # Frames a second; more are an error of the clock.
_UNSET = -(1 << 62)  # Below this lies the number that stands for no time.
_KEY, _DISCARD = 1, 4  # Flags of packets.


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
    """

    tick: Fraction
    times: tuple[int, ...]
    length: int
    keys: tuple[int, ...]
    exact: bool
    size: tuple[int, int]
    codec: str


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The clock of a film.

    Attributes:
        rate: frames a second; where `constant` is false, the one that fits most of the frames.
        constant: whether all frames are equally long, as far as the clock of the container can tell.
        frames: of the film, once each.
        seconds: from the first frame to the end of the last.
    """

    rate: Fraction
    constant: bool
    frames: int
    seconds: Fraction


def read_packets(text: str) -> Packets | None:
    """Read a list of `framecrc` with one track; None if it holds no packets."""
    tick = Fraction(_field(text, "tb") or "0")
    rows = []
    for line in text.splitlines():
        if line.startswith("0,"):
            cells = line.split(",")
            flags = next(
                (int(cell.strip().removeprefix("F="), base=0) for cell in cells[6:] if cell.strip().startswith("F=")),
                _KEY,
            )
            rows.append((int(cells[1]), int(cells[2]), int(cells[3]), flags))
    rows = [row for row in rows if not row[3] & _DISCARD]
    if tick <= 0 or not rows:
        return None
    exact = all(row[1] > _UNSET for row in rows)
    by = 1 if exact else 0
    rows.sort(key=lambda row: row[by])
    width, _, height = (_field(text, "dimensions") or "0x0").partition("x")
    return Packets(
        tick=tick,
        times=tuple(row[by] for row in rows),
        length=max(1, rows[-1][2]),
        keys=tuple(row[by] for row in rows if row[3] & _KEY),
        exact=exact,
        size=(int(width), int(height)),
        codec=_field(text, "codec_id") or "unknown",
    )


def _field(text: str, name: str) -> str | None:
    found = re.search(rf"^#{name} 0: (\S+)", text, re.MULTILINE)
    return found[1] if found else None


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
    start = times[0]
    seconds = (times[-1] + packets.length - start) * tick
    rates = _candidates(times, tick, nominal, packets.length)
    slack = max(_TICK, tick)
    for rate in rates:
        if all(abs((at - start) * tick - k / rate) <= slack for k, at in enumerate(times)):
            # The last frame is as long as the others, whatever a clock of whole ticks makes of it.
            return Timing(rate=rate, constant=True, frames=len(times), seconds=len(times) / rate)
    return Timing(rate=_usual(times, tick), constant=False, frames=len(times), seconds=seconds)


def _candidates(times: tuple[int, ...], tick: Fraction, nominal: Fraction | None, length: int) -> list[Fraction]:
    """Return the rates that the film may have, the likeliest first."""
    found = [nominal] if nominal and nominal <= _MOST else []
    mean = len(times) / ((times[-1] + length - times[0]) * tick)
    near = [rate for rate in STANDARD_RATES if abs(rate - mean) <= ABOUT_RATE * rate]
    found += sorted(near, key=lambda rate: abs(rate - mean))
    if len(times) > 1 and times[-1] > times[0]:
        found.append(Fraction(len(times) - 1) / ((times[-1] - times[0]) * tick))
    return [rate for rate in [*found, min(mean, _MOST)] if rate <= _MOST]


def _usual(times: tuple[int, ...], tick: Fraction) -> Fraction:
    """Return the rate of most frames, as a standard one where it is near."""
    steps = [after - before for before, after in pairwise(times) if after > before]
    if not steps:
        return Fraction(25)
    usual = 1 / (Fraction(statistics.median_low(steps)) * tick)
    near = min(STANDARD_RATES, key=lambda standard: abs(standard - usual))
    return near if abs(near - usual) <= ABOUT_RATE * near else min(usual.limit_denominator(1001), _MOST)
