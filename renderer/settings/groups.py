"""The groups of settings of a film as a whole and, at the end, which settings contradict each other.

The groups of a film's parts stand beside the parts. `schema` puts all of them together. Nothing here
imports TensorFlow or OpenCV.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from renderer.dreaming.settings import DreamSettings
from renderer.frame import Size
from renderer.media.ffmpeg.formats import codecs_text
from renderer.media.noise import NOISES
from renderer.setting_types import (
    Box,
    DreamRate,
    FrameSize,
    Group,
    Name,
    Number,
    OneOf,
    Part,
    Rate,
    Seconds,
    Unit,
    Whole,
)


class FilmSettings(Group):
    """How large, how fast and how long."""

    size: FrameSize = Field(Size(640, 360), description="width and height, as WIDTHxHEIGHT")
    fps: Rate = Field(Fraction(24), description="rate, 0.01 to 240; 23.976 means 24000/1001")
    dreams: DreamRate = Field(
        "frame",
        description="how often is dreamed, at most once a frame; the frames between are made of the dreams around them",
    )
    seconds: Seconds = Field(6.0, gt=0, le=86_400, description="length")
    frames: Annotated[Whole, Unit("frames")] | None = Field(
        None, ge=1, le=10_000_000, description="length, in place of seconds"
    )
    loop: bool = Field(False, description="whether a zoom's last frame leads into its first")
    seam: Seconds = Field(
        2.0, gt=0, le=3600, description="time at the end of a loop in which it turns into its beginning; at most half"
    )
    run_up: Seconds | None = Field(
        None, ge=0, le=3600, description="time dreamed before a loop begins; empty: 2 from noise, 0 from a picture"
    )


class StartSettings(Group):
    """What the first frame is dreamed on."""

    noise: Annotated[str, OneOf(NOISES)] = Field(
        "perlin", description="noise, where no picture is given; grey: none at all"
    )
    fit: Literal["cover", "contain", "stretch"] = Field(
        "cover",
        description="how a picture of another shape fills the frame: cropped, with mirrored edges, or stretched",
    )


class VideoSettings(Group):
    """Which part of a video is dreamed over."""

    start: Seconds = Field(0.0, ge=0, le=1e6, description="time of the video to begin at")
    end: Seconds | None = Field(None, gt=0, le=1e6, description="time of the video to end at; empty: its end")
    cuts: bool = Field(True, description="whether cuts are looked for; the dream begins anew at each")
    threshold: Number = Field(
        3.0, ge=0.5, le=100, description="how much more a cut changes than the frames around it; higher finds fewer"
    )


class AreaSettings(Group):
    """Where a video or a single picture is dreamed on, and what of it stays; nothing to a zoom."""

    box: Box | None = Field(None, description="where to dream: LEFT,TOP,WIDTH,HEIGHT; empty: everywhere")
    feather: Annotated[Number, Unit("frame heights")] = Field(
        0.03, ge=0, le=1, description="softness of the edges of box and mask"
    )
    keep_colour: bool = Field(
        False, description="whether only brightness is dreamed, and colours stay those of the video or picture"
    )


class GuideSettings(Group):
    """Pictures that lead the dream, for objectives that heed them."""

    picture: Path | None = Field(
        None, description="picture or video whose features the dream takes up; a video that is too short begins again"
    )
    second: Path | None = Field(None, description="the same, which the film goes over to")
    mix: Part = Field(
        0.0,
        description="how far it has gone over: 0 is the first alone, 1 the second; between, one shows through",
    )
    style: Path | None = Field(None, description="picture or video whose style the dream takes up")
    side: Annotated[Whole, Unit("pixels")] = Field(
        512, ge=32, le=8192, description="longest side that they are brought to; smaller ones stay as they are"
    )


class EncodeSettings(Group):
    """How the finished frames become a file; changes no pixel of the store."""

    codec: Name | None = Field(
        None, description=f"codec, which the ending of the file leaves open: {codecs_text()}; without one, the first"
    )
    quality: Number | None = Field(
        None, ge=0, le=100, description="on the codec's own scale, like CRF 17 for h264; without one, a good choice"
    )
    fps: Rate | None = Field(None, description="rate of the file; empty: film.fps")
    speed: Number = Field(
        1.0, ge=0.05, le=20, description="how fast the film goes by; 0.5 is slow motion, and the file twice as long"
    )
    shutter: Annotated[Number, Unit("degrees")] = Field(
        0.0, ge=0, le=360, description="how long the shutter is open, for motion blur; 180 is half of a frame's time"
    )
    size: FrameSize | None = Field(None, description="width and height of the file, as WIDTHxHEIGHT; empty: film.size")
    fit: Literal["cover", "contain", "stretch"] = Field(
        "cover", description="how frames fill another size: cropped, with mirrored edges, or stretched"
    )
    compare: bool = Field(False, description="whether the video is shown beside the dream, at its left")
    sound: bool = Field(True, description="whether the video's sound and subtitles are kept")


def contradictions(dream: DreamSettings, area: AreaSettings) -> Iterator[str]:
    """Say of each pair of settings that contradict each other what to do, in a sentence."""
    usual = type(dream)()
    if dream.octave_sizes is not None:
        for name in ("octaves", "octave_ratio"):
            if getattr(dream, name) != getattr(usual, name):
                yield (
                    f"dream.octave_sizes names every scale, and dream.{name} is {getattr(dream, name)}; leave one of "
                    "them out."
                )
    if dream.largest_side is not None and dream.smallest_side > dream.largest_side:
        yield (
            f"dream.smallest_side is {dream.smallest_side} and dream.largest_side {dream.largest_side}: no scale is "
            "left; make the second larger."
        )
    yield from _of_waves(dream, area)
    yield from _of_lbfgs(dream, usual)


def _of_waves(dream: DreamSettings, area: AreaSettings) -> Iterator[str]:
    if dream.parametrisation != "waves":
        return
    if dream.clip:
        yield "dream.clip holds pixels, and dream.parametrisation is waves, which need no holding; drop one of them."
    if area.box is not None:
        yield (
            "area.box is a place in the picture, and dream.parametrisation waves has none: every wave runs through the "
            "whole picture; dream in pixels, or drop the box."
        )


def _of_lbfgs(dream: DreamSettings, usual: DreamSettings) -> Iterator[str]:
    """L-BFGS needs the true gradient of one and the same thing at every step."""
    if dream.optimiser != "lbfgs":
        return
    for name in ("smoothing", "smoother", "centre", "colours", "blur", "clip", "stop_at"):
        if getattr(dream, name) != getattr(usual, name):
            yield (
                f"dream.optimiser lbfgs takes gradients as they are, step after step, and dream.{name} is "
                f"{getattr(dream, name)}; leave one of them out."
            )
