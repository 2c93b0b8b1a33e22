"""A film to make: what all kinds have in common, and infinite zooms. `make` makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from renderer.events import Listener
from renderer.films.first_frame import first_canvas
from renderer.films.guides import guide_files, open_guides
from renderer.films.outputs import work_folder
from renderer.films.recipe import film_key
from renderer.films.render_setup import RenderSetup, camera_of, detail_dreamers, governor_of, open_dreamer
from renderer.frame import Frame, Size
from renderer.media.ffmpeg.clips import Clip
from renderer.settings.kinds import KINDS
from renderer.settings.presets import Resolved
from renderer.settings.schema import Kept, Settings
from renderer.settings.showing import Showing

if TYPE_CHECKING:
    from renderer.dreaming.networks.network import Network
    from renderer.motion.loops import Loop
    from renderer.render.detail import Detail
    from renderer.render.scenes import LoopScene, ZoomScene


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How films are made: nothing that their pixels depend on.

    Attributes:
        overwrite: whether files that are there may be replaced.
        keep_store: whether the lossless frames stay after a film is done.
        work_dir: where they lie meanwhile; beside the film if None.
        restart: throw away unfinished work of a film with other settings.
        allow_env_change: go on with work that another version or machine began; then the bytes may differ.
    """

    overwrite: bool = False
    keep_store: bool = False
    work_dir: Path | None = None
    restart: bool = False
    allow_env_change: bool = False


@dataclass(frozen=True, kw_only=True)
class Film(RunOptions):
    """One film to make; zooms, videos and stills derive from it.

    Attributes:
        settings: all of them.
        out: the finished file, or a folder for pictures.
        weights_sha256: what the network's weights must hash to; None for any.

    The files of `KINDS[kind].inputs` are attributes of the same names; None where there is none.
    """

    kind: ClassVar[str]
    has_store: ClassVar[bool] = True
    """Whether its frames are kept in a work folder until they are encoded."""

    settings: Settings
    out: Path
    weights_sha256: str | None = None

    @classmethod
    def settings_for(cls, resolved: Resolved, *, sized: bool, inputs: Mapping[str, Path]) -> Settings:
        """Return settings in which size, rate and length are those of the inputs where nobody chose them.

        Args:
            resolved: settings, and where each came from.
            sized: whether the user chose the size, and not a preset.
            inputs: name in `KINDS[kind].inputs` -> file.

        Raises:
            BadInput: an input cannot be read.
            UsageError: the settings do not fit it, or this kind of film.
        """
        del sized, inputs
        return resolved.settings

    @property
    def folder(self) -> Path:
        """The work folder."""
        return work_folder(self.out, self.work_dir)

    @property
    def key(self) -> str:
        """What names it apart from the machine; see `recipe.film_key`."""
        return film_key(self.settings, kind=self.kind, inputs=self.inputs)

    @property
    def inputs(self) -> dict[str, Path]:
        """The files that its pixels are made from, by what they are to it."""
        own = {name: getattr(self, name) for name in KINDS[self.kind].inputs}
        return {name: path for name, path in own.items() if path is not None} | guide_files(self.settings)

    @property
    def showing(self) -> Showing:
        """Rate, frames and size of the finished file."""
        return Showing(self.settings, kind=self.kind)

    @property
    def frames(self) -> int:
        """How many frames the finished file has."""
        return self.showing.frames

    @property
    def kept(self) -> Kept:
        """What its store keeps."""
        return self.settings.kept(self.kind)

    @property
    def kept_as(self) -> str:
        """What each picture that its store keeps is to it, in a word: a frame, or a dream that frames are made of."""
        return "frame" if self.kept.rate == self.settings.rate else "dream"

    @property
    def encoded_size(self) -> Size:
        """Size of the finished file's frames."""
        return self.showing.size

    def facts(self, known: Mapping[str, Any], listener: Listener) -> dict[str, Any]:
        """Find out what rendering needs to know of the inputs, to be written into the recipe before the first frame.

        Args:
            known: what work on the same film found out that was stopped; empty where there is none.
            listener: is told how it comes along.
        """
        del known, listener
        return {}

    def beginnings(self, facts: Mapping[str, Any]) -> list[int]:
        """Return the frames beside the first that need nothing of the frames before them, ascending.

        From each of them on the film can be rendered apart from what comes before.
        """
        del facts
        return []

    def render_setup(self, facts: Mapping[str, Any]) -> RenderSetup:
        """Build what renders it.

        Raises:
            BadInput: an input cannot be read.
            UsageError, EnvironmentProblem: the network, its layers or its weights.
        """
        raise NotImplementedError

    def footage(self) -> Clip | None:
        """Open what it is dreamed over; None for films that are not dreamed over a clip."""
        return None

    def warnings(self) -> tuple[str, ...]:
        """Say what the finished file will lack or have otherwise than its inputs, found before the first frame.

        Raises:
            DreamreelError: as `footage`, or a track of its inputs cannot be read because of ffmpeg.
        """
        return ()


@dataclass(frozen=True, kw_only=True)
class ZoomFilm(Film):
    """An infinite zoom; `picture` is what it begins with, None for noise."""

    kind: ClassVar[str] = "zoom"

    picture: Path | None = None

    def render_setup(self, facts: Mapping[str, Any]) -> RenderSetup:
        """Build what renders it."""
        del facts
        settings, from_noise = self.settings, self.picture is None
        start = first_canvas(settings, self.picture, size=settings.dream_size)
        loop, guides = settings.loop(from_noise=from_noise), open_guides(settings)
        seconds = None if loop is None else loop.seconds
        network, dreamer = open_dreamer(settings, kind=self.kind, pictures=guides.pictures, loop_seconds=seconds)
        return RenderSetup(
            network=network,
            scene=_scene(settings, start, loop),
            dreamer=dreamer,
            governor=governor_of(settings, start, kind=self.kind, from_noise=from_noise),
            guides=guides,
            detail=self._detail(network, loop),
        )

    def _detail(self, network: Network, loop: Loop | None) -> Detail | None:
        """Build what makes frames larger than the film is dreamed at; None for others."""
        settings, size = self.settings, self.settings.film.size
        if min(size) <= min(settings.dream_size):
            return None
        from renderer.render.detail import Detail

        start = first_canvas(settings, self.picture, size=size, drawn_at=settings.dream_size)
        return Detail(
            _scene(settings, start, loop),
            detail_dreamers(settings, network, kind=self.kind, loop_seconds=None if loop is None else loop.seconds),
            reference=settings.dream_size,
            rate=float(settings.dream_rate),
            knee=settings.governor.knee,
        )


def _scene(settings: Settings, start: Frame, loop: Loop | None) -> ZoomScene | LoopScene:
    """Build the journey of a zoom that begins with a canvas `(H, W, 3)`, at its size."""
    from renderer.render.scenes import LoopScene, ZoomScene

    camera = settings.camera
    rate = float(settings.dream_rate)
    zoom = ZoomScene(start=start, camera=camera_of(settings), edges=camera.edges, resample=camera.resample, rate=rate)
    return zoom if loop is None else LoopScene(zoom, loop, seed=settings.seed)


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished film or picture.

    Attributes:
        kind: of film, in `KINDS`.
        path: the file, or the folder of pictures.
        size: of its frames, pixels.
        rate: frames a second.
        frames: how many it has.
        kept: how many pictures were kept to make it: its frames, of a zoom its dreams.
        resumed_at: how many of these were there already.
        bytes: that it takes on the disk.
        took: seconds.
        strength: the objective at the end of a still; None for films.
        evolution: the sheet of a still's steps; None where there is none.
    """

    kind: str
    path: Path
    size: Size
    rate: Fraction
    frames: int
    kept: int
    resumed_at: int
    bytes: int
    took: float
    strength: float | None = None
    evolution: Path | None = None

    @property
    def duration(self) -> float:
        """Length of the film, seconds."""
        return float(self.frames / self.rate)
