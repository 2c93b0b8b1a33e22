"""Decode a film: upright RGB frames with square pixels, on an exact grid of time, from any frame of it on.

Frame `n` of the grid is shown `n / rate` seconds after the film's first frame. The grid hangs on the film's own clock,
so that reading from frame `n` on gives just the frames that reading from the start gives there.
"""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from renderer.errors import BadInput
from renderer.frame import Size
from renderer.media.ffmpeg.pipes import FfmpegFailed, PipeReader, file_url
from renderer.media.ffmpeg.probe import INPUT, TRACK, ClipInfo, clock_args, filters_here
from renderer.media.ffmpeg.showinfo import MAX_PIXELS, decoder_args, readable

SCALE = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"

# 203 cd/m2 is where white lies in programmes of high dynamic range (ITU-R BT.2408). Mobius leaves what is darker than a
# third of it alone and bends only what is brighter.
_LINEAR_WHITE = 203
_WHITEN = "clip(val*65535/65283,0,65535)"
_ZSCALE_MATRICES = {
    "bt601": "smpte170m",
    "smpte170m": "smpte170m",
    "bt470bg": "bt470bg",
    "bt709": "bt709",
    "bt2020": "bt2020nc",
}
SLOWEST = Fraction(1, 60)
"""Frames a second below which a film has no rate of its own."""

MAX_FRAMES = 10_000_000
"""Frames of the longest film: more than four days."""

_RGB_ALPHA = ("rgba", "bgra", "argb", "abgr", "gbrap")
_OTHER_ALPHA = ("ya8", "ya16", "yaf", "ayuv", "vuya", "uyva")
_ALPHA = "split[picture][whole];[whole]shuffleplanes=3:3:3:3[alpha]"
_OVERLAID = {8: "{}", 10: "{}p10"}  # ffmpeg's names for what is overlaid, by its depth.
_TONE_CURVE = "tonemap=mobius:param=0.35:desat=0"


@dataclass(frozen=True, kw_only=True)
class FilmDecoder:
    """A film and how it is read.

    Attributes:
        path: of the film.
        info: what `probe` found.
        rate: of the grid, frames a second.
        total: frames on the grid, as far as the packets tell.
    """

    path: Path
    info: ClipInfo
    rate: Fraction
    total: int

    @property
    def last(self) -> int:
        """Frame of the grid at which the last frame of the film is shown."""
        return min(math.floor(self.info.last * self.rate + Fraction(1, 2)), self.total - 1)

    @property
    def depth(self) -> int:
        """Bits of each channel of its frames: 8, or 16 for films with more than 8."""
        return 16 if self.info.depth > 8 else 8

    def read(self, begin: int, end: int | None, size: Size, tell: Callable[[str], None]) -> Iterator[NDArray[Any]]:
        """Decode frames, uint8 or uint16 `(H, W, 3)`.

        Args:
            begin: first frame of the grid.
            end: the frame after the last one; None for all that there are.
            size: of the frames; the middle is cut out where it has another shape than the film.
            tell: is told, at the end, what was missing or damaged.

        Raises:
            BadInput: nothing of it can be decoded.
        """
        stop = self.total if end is None else min(end, self.total)
        number = min(begin, max(0, self.last - 1))  # What comes after the last frame shows it still.
        jump = self.jump_before(number)
        args = [*INPUT, *self._clock(jump), *decoder_args(self.path), "-i", file_url(self.path), *TRACK]
        args += ["-filter_threads", "1", "-vf", ",".join(self.filters(number, stop, size)), "-fps_mode", "passthrough"]
        # All that is decoded before the first frame takes its time.
        patience = 120.0 + 0.25 * (number if jump is None else 0)
        try:
            with PipeReader(args, size=size, depth=self.depth, stall_seconds=patience) as reader:
                for frame in reader:
                    if number >= begin:
                        yield frame
                    number += 1
                whole = self._judge(reader, number, stop, tell)
        except FfmpegFailed as error:
            if error.was_stopped:
                raise
            raise BadInput(f"{self.path} cannot be decoded to its end: {error}") from error
        for _ in range(max(number, begin), stop if whole else 0):
            yield frame.copy()

    def filters(self, begin: int, end: int, size: Size) -> list[str]:
        """Return the filters from what is stored to RGB.

        All that becomes part of them is a number or a name from a list of ours.
        """
        info = self.info
        covered = cover(info.size, size)
        steps = ["bwdif=mode=send_frame:deint=interlaced"] if info.interlaced and min(info.stored) >= 4 else []
        if self.total == 1:  # On a coarse grid a short film would fall between two frames.
            steps.append("trim=end_frame=1")
        else:
            steps += [
                f"setpts='floor(PTS-({info.first})/TB+0.5)'",
                f"fps={self.rate}:eof_action=pass",  # However short the last frame is.
                f"trim=start_pts={begin}:end_pts={end}",
            ]
        steps += _over_black(info)
        if covered.width * covered.height > MAX_PIXELS:  # A line stretched to a picture: most of it would be cut off.
            middle = (f"max(1,iw*{size.width}/{covered.width})", f"max(1,ih*{size.height}/{covered.height})")
            steps.append("crop='{}':'{}'".format(*middle))
            covered = size
        steps += _colours(info, covered, deep=self.depth == 16)
        if covered != size:
            steps.append(f"crop={size.width}:{size.height}")
        return [*steps, "setsar=1"]

    def jump_before(self, begin: int) -> Fraction | None:
        """Return where to begin to decode for a frame of the grid, by the film's clock; None for the film's start.

        One more key frame back than seems needed: what hangs over from before a key frame is over by then.
        """
        keys = self.info.keys
        place = bisect.bisect_right(keys, self.info.first + begin / self.rate) - 2
        return keys[place] if place > 0 else None

    def _clock(self, jump: Fraction | None) -> list[str]:
        # A film whose size changes on the way would make ffmpeg start its filters anew, and lose a frame each time.
        steady = [] if self.info.interlaced else ["-reinit_filter", "0"]
        to = [] if jump is None else ["-noaccurate_seek", "-seek_timestamp", "1", "-ss", f"{float(jump):.6f}"]
        return [*steady, *clock_args(self.path), *to]

    def _judge(self, reader: PipeReader, number: int, stop: int, tell: Callable[[str], None]) -> bool:
        """Tell of damage, if there is some up to frame `number`; return whether the film was decoded to its end."""
        if reader.frames == 0:
            raise BadInput(f"{self.path} holds no frame that can be decoded.")
        begin = number - reader.frames
        expected = min(stop, self.last + 1) - begin
        if reader.frames < expected - (0 if self.info.constant else 1):
            tell(f"{self.path} is damaged: {reader.frames} of its {stop - begin} frames could be decoded.")
            return False
        # After a jump a decoder may miss what lay before it, and say so; that is no damage.
        wrong = self._complaint(reader.log()) if self.jump_before(begin) is None else None
        if wrong:
            tell(f"{self.path} is damaged in places ({wrong}): frames around them are wrong or repeated.")
        return True

    def _complaint(self, log: str) -> str | None:
        """Return the first error told of, but for sound. To imitate one makes a film look damaged, no more."""
        for who, what in re.findall(r"^\[([^\]\n]*) @ .*\[error\] (.+)", log, re.MULTILINE):
            if not any(track.codec in who for track in self.info.sounds):
                return readable(what)[:200]
        return None


def open_film(path: Path, info: ClipInfo, *, rate: Fraction | None) -> FilmDecoder:
    """Decide how a film is read.

    Raises:
        BadInput: of high dynamic range, and this ffmpeg cannot map it; or too long, or too slow.
    """
    if info.hdr and not {"zscale", "tonemap"} <= filters_here():
        raise BadInput(
            f"{path} is of high dynamic range, and this ffmpeg cannot map it to the usual one (it lacks zscale or "
            "tonemap): its colours would look washed out. Convert it first, or unset IMAGEIO_FFMPEG_EXE."
        )
    chosen = rate or info.rate
    if chosen < SLOWEST:
        raise BadInput(f"{path} has a frame every {float(1 / chosen):.3g} s; say how many there should be in a second.")
    total = max(1, round(info.seconds * chosen))
    if total > MAX_FRAMES:
        raise BadInput(
            f"{path} lasts {float(info.seconds) / 3600:.3g} hours by its own clock, {total:,} frames; up to "
            f"{MAX_FRAMES:,} are read. Cut it, or choose fewer frames a second."
        )
    return FilmDecoder(path=path, info=info, rate=chosen, total=total)


def cover(stored: Size, wanted: Size) -> Size:
    """Return the size, of the shape of `stored`, that covers `wanted` on all sides."""
    if stored.width * wanted.height == stored.height * wanted.width:
        return wanted
    scale = max(Fraction(wanted.width, stored.width), Fraction(wanted.height, stored.height))
    return Size(max(wanted.width, round(stored.width * scale)), max(wanted.height, round(stored.height * scale)))


def _over_black(info: ClipInfo) -> list[str]:
    """Return the filters that lay a picture with transparency over black, before its pixels are mixed with others.

    A picture of which nothing is transparent comes out as it went in, in the form in which it came.
    """
    form, most = info.form.replace("be", "le"), (1 << info.depth) - 1
    if form.startswith(_RGB_ALPHA) or (form == "pal8" and info.codec == "png"):
        planar = form if re.fullmatch(r"gbrap(\d+le)?", form) else "gbrap16le" if info.depth > 8 else "gbrap"
        times = f"all_expr=A*B/{most}" if info.depth > 12 else "all_mode=multiply"
        packed = "bgra" if form == "pal8" else form
        return [f"format={planar}", f"{_ALPHA};[picture][alpha]blend={times}", f"format={packed}"]
    if form.startswith(_OTHER_ALPHA):
        form = "yuva444p16le" if info.depth > 8 else "yuva444p"
    if not form.startswith("yuva"):
        return []
    if info.depth not in _OVERLAID:
        form = f"yuva444p{form[8:]}"
    spread = "full" if info.full_range else "limited"
    step, opaque = 1 << (info.depth - 8), form.replace("yuva", "yuv")
    black, grey = 0 if info.full_range else 16 * step, 128 * step
    given = [f"scale={SCALE}:in_range={spread}:out_range={spread}", f"format={form}"] if form != info.form else []
    if info.depth in _OVERLAID:
        below = f"split[below][above];[below]lutyuv=y={black}:u={grey}:v={grey},format={opaque}[black]"
        return [*given, f"{below};[black][above]overlay=format={_OVERLAID[info.depth].format(opaque[:6])}"]
    sums = (f"c{plane}_expr={zero}+(A-{zero})*B/{most}" for plane, zero in enumerate((black, grey, grey)))
    return [*given, f"{_ALPHA};[picture][alpha]blend={':'.join(sums)}", f"format={opaque}"]


def _colours(info: ClipInfo, size: Size, *, deep: bool) -> list[str]:
    """Return the filters from the film's colours to RGB of BT.709 at another size."""
    scale = f"scale={size.width}:{size.height}:{SCALE}"
    packed = "format=rgb48le" if deep else "format=rgb24"
    if info.matrix is None:
        return [scale, packed]
    spread = "full" if info.full_range else "limited"
    wide = info.primaries == "bt2020" or info.hdr
    if not (deep or wide) or info.matrix not in _ZSCALE_MATRICES or "zscale" not in filters_here():
        # To 16 bits swscale multiplies by 256 where it should by 257, so that white is grey.
        white = [f"lutrgb=r='{_WHITEN}':g='{_WHITEN}':b='{_WHITEN}'"] if deep else []
        return [f"{scale}:in_color_matrix={info.matrix}:in_range={spread}", packed, *white]
    # Made small first: what follows is done with more bits.
    same = f"in_color_matrix={info.matrix}:out_color_matrix={info.matrix}:in_range={spread}:out_range={spread}"
    given = f"zscale=min={_ZSCALE_MATRICES[info.matrix]}:rin={spread}:filter=bicubic"
    made_small = [f"{scale}:{same}"]
    if size.width % 2 or size.height % 2:  # Colours of half the resolution have no odd sides for zscale.
        made_small.append(f"format=yuv444p{info.depth if info.depth > 8 else ''}{'le' if info.depth > 8 else ''}")
    to_rgb = ["format=gbrp16le", packed]
    if not wide:
        return [*made_small, f"{given}:m=gbr:r=full", *to_rgb]
    given += f":pin={'bt2020' if info.primaries == 'unknown' else info.primaries}"
    if not info.hdr:
        return [*made_small, f"{given}:tin=bt709:p=bt709:t=bt709:m=gbr:r=full", *to_rgb]
    light = f"{given}:tin={info.transfer}:p=bt709:t=linear:m=gbr:npl={_LINEAR_WHITE}"
    return [*made_small, light, "format=gbrpf32le", _TONE_CURVE, "zscale=t=bt709:m=gbr:r=full", *to_rgb]
