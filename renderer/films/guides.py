"""Guides and styles: the pictures and videos that lead a dream, each read at the film's time.

What an objective does with them is its own matter; here they come from files, and go over from one into the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from renderer.dreaming.networks.registry import network_spec
from renderer.dreaming.objectives.objective_terms import check_pictures
from renderer.errors import BadInput, UsageError
from renderer.files import check_input
from renderer.films.first_frame import fit, shrunk
from renderer.frame import Frame, Size
from renderer.media.ffmpeg.clips import Clip, open_clip
from renderer.media.images import image_size, is_picture, read_image
from renderer.settings.schema import FILES, Settings, files_of

PictureAt = Callable[[float], Frame]
"""Seconds since the start of the film -> a picture `(H, W, 3)`, RGB in [0, 1]."""

ROLES = ("guide", "second guide", "style")
"""What a file can be to the dream, of `settings.FILES`."""

_SKIP = 48
"""Frames that are read and left out rather than begin reading anew."""


def guide_files(settings: Settings) -> dict[str, Path]:
    """List the files that lead the dream, by what they are to it."""
    return {name: path for name, path in files_of(settings).items() if name in ROLES}


class GuideVideo:
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
        """Return the picture `(H, W, 3)` at a frame of the film, from 0; frames may be asked for in any order.

        Raises:
            BadInput: it cannot be read.
        """
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
        """Let go of the file; `at` opens it again."""
        frames, self._frames, self._at = self._frames, None, -1
        if frames is not None:
            frames.close()  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Guides:
    """What leads a dream: `pictures` as functions of the film's seconds, by name, and the `videos` that they read."""

    pictures: Mapping[str, PictureAt] = field(default_factory=dict)
    videos: Sequence[GuideVideo] = ()

    def close(self) -> None:
        """Let go of files."""
        for video in self.videos:
            video.close()


def open_guides(settings: Settings) -> Guides:
    """Open what the settings name.

    Raises:
        BadInput: it cannot be read.
    """
    chosen, rate = settings.guide, float(settings.rate)
    videos: list[GuideVideo] = []

    def opened(path: Path) -> PictureAt:
        if is_picture(path):
            picture = read_image(path)
            shown = fit(picture, shrunk(Size.of(picture), chosen.side), how="stretch")
            return lambda _seconds: shown
        clip = open_clip(path, rate=settings.rate)
        video = GuideVideo(clip.scaled(shrunk(clip.size, chosen.side)))
        videos.append(video)
        return lambda seconds: video.at(round(seconds * rate))

    pictures: dict[str, PictureAt] = {}
    if chosen.picture is not None:
        pictures["guide"] = opened(chosen.picture)
        if chosen.second is not None:
            pictures["guide"] = crossfade(pictures["guide"], opened(chosen.second), settings.schedule("guide.mix"))
    if chosen.style is not None:
        pictures["style"] = opened(chosen.style)
    return Guides(pictures, videos)


def crossfade(first: PictureAt, second: PictureAt, mix: Callable[[float], float]) -> PictureAt:
    """Return what goes over from the first pictures into the second.

    On the way, the second lies over the first, cut to its shape. The pictures are blended and not their features:
    an objective is given one picture, and may look at it in any network.

    Args:
        first: what is shown at 0.
        second: what is shown at 1.
        mix: seconds -> how far it has gone over, 0 to 1.
    """
    key: tuple[Frame, Frame, float] | None = None
    blended = np.zeros((0, 0, 3), np.float32)

    def at(seconds: float) -> Frame:
        nonlocal key, blended
        share = mix(seconds)
        if share <= 0:
            return first(seconds)
        if share >= 1:
            return second(seconds)
        one, other = first(seconds), second(seconds)
        # The same again is the same array, by which objectives know it.
        if key is None or key[0] is not one or key[1] is not other or key[2] != share:
            over = fit(other, Size.of(one), how="cover")
            key, blended = (one, other, share), np.asarray(one + np.float32(share) * (over - one), np.float32)
        return blended

    return at


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
    check_pictures(_kinds(settings), files_of(settings))


def _kinds(settings: Settings) -> set[str]:
    """List the kinds of objective that the settings ask for, of the whole film."""
    dream = settings.dream
    kinds = {entry.partition("@")[0] if "@" in entry else dream.objective for entry in dream.entries()}
    return kinds if kinds or dream.of else {dream.objective}


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
