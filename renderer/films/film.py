"""A film to make: an infinite zoom. `make` makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from renderer.events import Listener
from renderer.films.first_frame import first_canvas
from renderer.films.guides import guide_files
from renderer.films.outputs import work_folder
from renderer.films.recipe import film_key
from renderer.films.render_setup import Parts, assemble
from renderer.frame import Size
from renderer.media.ffmpeg.clips import Clip
from renderer.media.ffmpeg.encode import Sound
from renderer.settings.schema import Settings


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What a finished file has beside its frames: the sound of a film, and a clip shown at the left of the frames."""

    sound: Sound | None = None
    beside: Clip | None = None


@dataclass(frozen=True, kw_only=True)
class Film:
    """One film to make: an infinite zoom. Other kinds of film derive from it.

    Attributes:
        settings: all of them.
        out: the finished file, or a folder for pictures.
        picture: what it begins with; None for noise.
        overwrite: whether `out` may be replaced.
        keep_store: whether the lossless frames stay after the film is done.
        work_dir: where they lie; beside `out` if None.
        restart: throw away unfinished work of a film with other settings.
        allow_env_change: go on with work that another version or machine began; then the bytes may differ.
        weights_sha256: what the network's weights must hash to; None for any.
    """

    kind: ClassVar[str] = "zoom"

    settings: Settings
    out: Path
    picture: Path | None = None
    overwrite: bool = False
    keep_store: bool = False
    work_dir: Path | None = None
    restart: bool = False
    allow_env_change: bool = False
    weights_sha256: str | None = None

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
        return ({} if self.picture is None else {"picture": self.picture}) | guide_files(self.settings)

    @property
    def encoded_size(self) -> Size:
        """Size of the finished file's frames."""
        return self.settings.film.size

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

    def parts(self, facts: Mapping[str, Any]) -> Parts:
        """Build what renders it.

        Raises:
            BadInput: an input cannot be read.
            UsageError, EnvironmentProblem: the network, its layers or its weights.
        """
        del facts
        start = first_canvas(self.settings, self.picture)
        return assemble(self.settings, start, from_noise=self.picture is None)

    def extras(self) -> Extras:
        """Return what the finished file has beside its frames."""
        return Extras()

    def warnings(self) -> tuple[str, ...]:
        """Say what the finished file will lack or have otherwise than its inputs, found before the first frame.

        Raises:
            DreamreelError: as `extras`, or a track of its inputs cannot be read because of ffmpeg.
        """
        return ()


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished film: where, its frames and bytes, how many frames were there already, and the seconds it took."""

    path: Path
    size: Size
    rate: Fraction
    frames: int
    resumed_at: int
    bytes: int
    took: float

    @property
    def duration(self) -> float:
        """Length of the film, seconds."""
        return float(self.frames / self.rate)
