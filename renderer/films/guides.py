"""Guides and styles: the pictures and videos that lead a dream, each read at the film's time.

What an objective does with them is its own matter; here they come from files, and go over from one into the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from renderer.dreaming.networks.registry import network_spec
from renderer.dreaming.objectives.objective_terms import kinds_that_compare_with
from renderer.errors import BadInput, UsageError
from renderer.files import check_input
from renderer.films.first_frame import fit, shrunk
from renderer.frame import Frame, Size
from renderer.media.ffmpeg.clips import Clip, open_clip
from renderer.media.images import image_size, is_picture, read_image
from renderer.motion.schedule import Schedule
from renderer.setting_types import mixes_of
from renderer.settings.schema import FILES, Settings, files_of

ROLES = ("guide", "second guide", "style")
"""What a file can be to the dream, of `settings.FILES`."""

_SKIP = 48
"""Frames that are read and left out rather than begin reading anew."""


def guide_files(settings: Settings) -> dict[str, Path]:
    """List the files that lead the dream, by what they are to it."""
    return {name: path for name, path in files_of(settings).items() if name in ROLES}


class Pictures(Protocol):
    """Pictures over time, which may be asked for in any order."""

    def at(self, frame: int) -> Frame:
        """Return the picture `(H, W, 3)` at a frame of the film, from 0.

        Raises:
            BadInput: it cannot be read.
        """

    def close(self) -> None:
        """Let go of files; `at` opens them again."""


@dataclass(frozen=True)
class OnePicture:
    """A picture `(H, W, 3)` that stays."""

    picture: Frame

    def at(self, frame: int) -> Frame:
        """Return it."""
        del frame
        return self.picture

    def close(self) -> None:
        """Do nothing."""


class Moving:
    """A clip, read as a stream, that begins again when it has ended.

    What it gives at a frame depends on the clip alone, not on where reading began: a film that was stopped goes on to
    the same bytes.

    Args:
        clip: at the rate of the film, at the size that is wanted.
    """

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._frames: Iterator[Frame] | None = None
        self._at, self._shown = -1, np.zeros((0, 0, 3), np.float32)

    def at(self, frame: int) -> Frame:
        """Return the picture `(H, W, 3)` at a frame of the film."""
        wanted = frame % max(1, self._clip.count)
        if self._frames is None or not 0 <= wanted - self._at <= _SKIP:
            self._open(wanted)
        while self._at < wanted:
            # A clip with one frame fewer than its packets told shows its last one twice.
            self._shown = next(self._frames, self._shown) if self._frames is not None else self._shown
            self._at += 1
        return self._shown

    def _open(self, frame: int) -> None:
        """Begin to read at a frame, or before it, where there is none so near to the end."""
        self.close()
        for back in (0, 1, 4, 16, frame):
            begin = max(0, frame - back)
            frames = self._clip.frames(begin)
            first = next(frames, None)
            if first is not None:
                self._frames, self._shown, self._at = frames, first, begin
                return
        raise BadInput(f"{self._clip.path} holds no frame that can be read.")

    def close(self) -> None:
        """Stop reading."""
        frames, self._frames, self._at = self._frames, None, -1
        if frames is not None:
            frames.close()  # type: ignore[attr-defined]


class Reference:
    """What an objective is given at each moment: a picture, or one on its way into another.

    Args:
        first: pictures.
        second: what the film goes over to; None for nothing.
        mix: how far it has gone over, 0 to 1.
        rate: frames a second of the film.
    """

    def __init__(self, first: Pictures, *, second: Pictures | None = None, mix: Schedule | None, rate: float) -> None:
        self._first, self._second, self._mix, self._rate = first, second, mix, rate
        self._blend: tuple[Frame, Frame, float, Frame] | None = None

    def __call__(self, seconds: float) -> Frame:
        """Return the picture `(H, W, 3)`, RGB in [0, 1], at a time of the film.

        On the way, the second lies over the first, cut to its shape. The pictures are blended and not their features:
        an objective is given one picture, and may look at it in any network.

        Raises:
            BadInput: it cannot be read.
        """
        frame = round(seconds * self._rate)
        share = 0.0 if self._second is None or self._mix is None else self._mix(seconds)
        if self._second is None or share <= 0:
            return self._first.at(frame)
        if share >= 1:
            return self._second.at(frame)
        return self._blended(self._first.at(frame), self._second.at(frame), share)

    def _blended(self, first: Frame, second: Frame, share: float) -> Frame:
        """Lay the second over the first; the same again is the same array, by which objectives know it."""
        held = self._blend
        if held is None or held[0] is not first or held[1] is not second or held[2] != share:
            over = fit(second, Size.of(first), how="cover")
            made = np.asarray(first + np.float32(share) * (over - first), np.float32)
            held = self._blend = first, second, share, made
        return held[3]

    def close(self) -> None:
        """Let go of files."""
        self._first.close()
        if self._second is not None:
            self._second.close()


@dataclass(frozen=True)
class Guides:
    """What leads a dream: functions of the film's seconds that give a picture; None where there is none."""

    guide: Reference | None = None
    style: Reference | None = None

    @property
    def pictures(self) -> dict[str, Reference]:
        """Those that there are, by name."""
        named = {"guide": self.guide, "style": self.style}
        return {name: reference for name, reference in named.items() if reference is not None}

    def close(self) -> None:
        """Let go of files."""
        for reference in self.pictures.values():
            reference.close()


def open_guides(settings: Settings) -> Guides:
    """Open what the settings name.

    Raises:
        BadInput: it cannot be read.
    """
    chosen, rate = settings.guide, float(settings.rate)
    guide = style = None
    if chosen.picture is not None:
        second = None if chosen.second is None else _open(chosen.second, settings)
        mix = settings.schedule("guide.mix")
        guide = Reference(_open(chosen.picture, settings), second=second, mix=mix, rate=rate)
    if chosen.style is not None:
        style = Reference(_open(chosen.style, settings), mix=None, rate=rate)
    return Guides(guide=guide, style=style)


def check_guides(settings: Settings) -> None:
    """Refuse guides that cannot lead anything, before anything heavy is loaded.

    Raises:
        BadInput: one is missing, cannot be read, or is too small for the network.
        UsageError: a second guide without a first, or one that is never seen; a guide that no objective heeds, or an
            objective without the guide that it needs.
    """
    chosen = settings.guide
    if chosen.second is not None and chosen.picture is None:
        raise UsageError(
            f"guide.second is {chosen.second}, and there is no guide.picture that it could take over from."
        )
    if chosen.second is not None and chosen.mix == 0.0:
        raise UsageError(
            f"guide.mix is 0 throughout, so that the second guide {chosen.second} is never seen; let it rise, like "
            "--guide-mix t/T."
        )
    for name, path in guide_files(settings).items():
        _check_file(path, name, settings)
    _check_objectives(settings)


def _check_objectives(settings: Settings) -> None:
    given, used = files_of(settings), _kinds(settings)
    for name in ("guide", "style"):
        kinds = kinds_that_compare_with(name)
        wanted = [kind for kind in kinds if kind in used]
        if wanted and name not in given:
            raise UsageError(
                f"The objective {wanted[0]} needs a {name}, and none is given; give a picture or a video with --{name}."
            )
        if name in given and not wanted:
            raise UsageError(
                f"The {name} {given[name]} is given, and nothing heeds it; choose what does with --objective "
                f"{kinds[0]}, or in the layer mix, like {kinds[0]}@LAYER (of {', '.join(kinds)})."
            )


def _kinds(settings: Settings) -> set[str]:
    """List the kinds of objective that the settings ask for, of the whole film."""
    dream = settings.dream
    entries = list(dream.layers)
    for text in (dream.octave_layers, dream.cycle):
        entries += [entry for mix in mixes_of(text) for entry in mix] if text else []
    kinds = {entry.partition("@")[0] if "@" in entry else dream.objective for entry in entries}
    return kinds if kinds or dream.classes else {dream.objective}


def _check_file(path: Path, name: str, settings: Settings) -> None:
    if not path.exists():
        raise BadInput(f"The {name} {path} does not exist; {FILES[name]} takes a picture or a video.")
    if not path.is_dir():
        check_input(path, expected="a picture or a video")
    if is_picture(path):
        found = image_size(path)
    else:
        clip = open_clip(path, rate=settings.rate)
        if clip.degraded:
            # Such a film may decode otherwise from its middle than from its start: no film could go on as it began.
            raise BadInput(f"The {name} {path} is damaged or cut off; convert it to a whole one first.")
        found = clip.size
    network, shown = settings.network.name, shrunk(found, settings.guide.side)
    needed = network_spec(network).smallest
    if min(shown) < needed:
        brought = "" if shown == found else f", brought to {shown} by guide.side"
        raise BadInput(
            f"The {name} {path} is {found}{brought}: too small for the network {network!r}, which needs {needed} "
            "pixels on the shorter side."
        )


def _open(path: Path, settings: Settings) -> Pictures:
    side = settings.guide.side
    if is_picture(path):
        picture = read_image(path)
        return OnePicture(fit(picture, shrunk(Size.of(picture), side), how="stretch"))
    clip = open_clip(path, rate=settings.rate)
    return Moving(clip.scaled(shrunk(clip.size, side)))
