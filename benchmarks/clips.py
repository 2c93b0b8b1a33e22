"""Clips whose motion, sound or colours are known, made for the benchmarks of `dreamreel video`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from renderer.frame import Frame, Size
from renderer.media.ffmpeg.pipes import file_url, run
from renderer.media.images import read_image
from renderer.motion.flow import Motion, inside

BARS = [(191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191)]
BARS += [(16, 16, 16), (128, 128, 128), (235, 235, 235), (60, 120, 180), (200, 150, 100)]
"""Colours of the bars, 0 to 255."""

TAGGED = "setparams=colorspace={0}:color_primaries={0}:color_trc=bt709:range={1}"
COLOURS = {
    # name: matrix and range that it is made with, how it is tagged, rows of it
    "tagged 601": ("bt601", "tv", TAGGED.format("smpte170m", "tv"), 360),
    "tagged 709": ("bt709", "tv", TAGGED.format("bt709", "tv"), 360),
    "untagged SD": ("bt601", "tv", "setparams=colorspace=unknown:range=unknown", 360),
    "untagged HD": ("bt709", "tv", "setparams=colorspace=unknown:range=unknown", 720),
    "full range": ("bt709", "pc", TAGGED.format("bt709", "pc"), 360),
}


@dataclass(frozen=True)
class Crossing:
    """A textured thing that crosses a moving photograph, and how every pixel of it moves.

    Attributes:
        frames: `(H, W, 3)`.
        motions: from each frame to the one before; the first is of no use.
        uncovered: `(H, W)` of each frame, what the thing covered in the frame before and no longer covers.
        things: `(H, W)` of each frame, where the thing is.
    """

    frames: list[Frame]
    motions: list[Motion]
    uncovered: list[np.ndarray]
    things: list[np.ndarray]


def crossing(photos: Sequence[Path], *, size: Size, count: int) -> Crossing:
    """Make a photograph that pans while a round piece of another one crosses it the other way."""
    pan, speed, side = 1.37, max(4, size.width // 60), size.height // 3
    wide = _cover(read_image(photos[0]), Size(size.width + round(pan * count) + 8, size.height))
    thing = _cover(read_image(photos[1]), Size(side, side))
    round_ = np.hypot(*(np.mgrid[:side, :side] - (side - 1) / 2)) < side / 2
    frames, things, motions, uncovered = [], [], [], []
    top = size.height // 3
    for index in range(count):
        frame = _shifted(wide, pan * index)[:, : size.width].copy()
        left = size.width // 10 + speed * index
        mask = np.zeros((size.height, size.width), bool)
        shown = round_[:, : max(0, size.width - left)]
        mask[top : top + side, left : left + side] = shown
        frame[mask] = thing[:, : shown.shape[1]][shown]
        frames.append(frame)
        things.append(mask)
        before = things[index - 1] if index else mask
        flow = np.zeros((size.height, size.width, 2), np.float32)
        flow[..., 0] = np.where(mask, -speed, pan)
        # The place of the background that is seen here lay, one frame ago, a little to the right: was it covered there?
        gone = ~mask & (_shifted(before.astype(np.float32), pan) > 0.01)
        uncovered.append(gone)
        trust = (inside(flow) & ~gone).astype(np.float32)
        motions.append(Motion(flow=flow, trust=trust))
    return Crossing(frames, motions, uncovered, things)


def write_frames(frames: Sequence[Frame], out: Path, *, rate: int) -> Path:
    """Write frames as a lossless film."""
    from fractions import Fraction

    from renderer.frame import to_8bit
    from renderer.media.ffmpeg.pipes import PipeWriter

    options = ["-c:v", "ffv1", "-pix_fmt", "bgr0", "-f", "matroska", "-y", file_url(out)]
    with PipeWriter(options, size=Size.of(frames[0]), rate=Fraction(rate)) as writer:
        for frame in frames:
            writer.write(to_8bit(frame))
    return out


def with_sound(out: Path, *, seconds: float, rate: str = "24000/1001", variable: bool = False) -> Path:
    """Make a film with sound, of a constant rate or of one that changes as a phone's does."""
    picture = ["-f", "lavfi", "-i", f"testsrc2=s=160x96:r={'60' if variable else rate}:d={seconds}"]
    sound = ["-f", "lavfi", "-i", f"anoisesrc=d={seconds}:c=pink:seed=1"]
    # Frames come at 60 a second where the light is good and at 20 where it is not.
    uneven = ["-vf", "select='if(lt(mod(t,4),2),1,not(mod(n,3)))'", "-fps_mode", "passthrough"] if variable else []
    run([*picture, *sound, *uneven, "-c:v", "libx264", "-c:a", "aac", "-shortest", "-y", file_url(out)])
    return out


def bars(name: str, out: Path) -> Path:
    """Make a film of colour bars that is stored and tagged as `COLOURS` says."""
    matrix, spread, tags, rows = COLOURS[name]
    width = rows * 16 // 9 // 24 * 24
    frame = np.repeat(np.array(BARS, np.uint8), width // len(BARS), axis=0)[None].repeat(rows, axis=0)
    source = out.with_suffix(".raw")
    source.write_bytes(np.ascontiguousarray(frame).tobytes() * 3)
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{frame.shape[1]}x{rows}", "-r", "25", "-i", file_url(source)]
    scale = f"scale=out_color_matrix={matrix}:out_range={spread}:flags=accurate_rnd+full_chroma_int"
    coded = ["-vf", f"{scale},{tags},format=yuv420p", "-c:v", "libx264", "-crf", "1", "-y", file_url(out)]
    run([*raw, *coded])
    source.unlink()
    return out


def bar_errors(pixels: np.ndarray) -> np.ndarray:
    """Return how far the middles of the bars in `(H, W, 3)` are from what they should be: mean of each channel."""
    width = pixels.shape[1] // len(BARS)
    middles = [pixels[8:-8, k * width + 8 : (k + 1) * width - 8].reshape(-1, 3).mean(axis=0) for k in range(len(BARS))]
    return np.abs(np.array(middles) - np.array(BARS)).mean(axis=0)


def _shifted(picture: np.ndarray, right: float) -> np.ndarray:
    matrix = np.array([[1, 0, right], [0, 1, 0]], np.float32)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, matrix, picture.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _cover(picture: Frame, size: Size) -> Frame:
    scale = max(size.width / picture.shape[1], size.height / picture.shape[0])
    wide = Size(max(size.width, round(picture.shape[1] * scale)), max(size.height, round(picture.shape[0] * scale)))
    resized = cv2.resize(picture, tuple(wide), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.clip(resized[: size.height, : size.width], 0, 1).astype(np.float32)
