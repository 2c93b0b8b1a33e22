"""Every setting of a film, put together from its groups. Nothing here imports TensorFlow or OpenCV.

A setting is named by its group and field, as in `camera.zoom`. `build` turns such names with their values into
`Settings`; `flatten` goes back.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import (
    Field,
    ValidationError,
)
from pydantic.fields import FieldInfo

from renderer.dreaming.settings import DreamSettings, GovernorSettings, NetworkSettings
from renderer.errors import UsageError, nearest
from renderer.frame import Size, at_reference
from renderer.motion.loops import Loop
from renderer.motion.schedule import Schedule, parse
from renderer.motion.settings import CameraSettings
from renderer.render.settings import CarrySettings
from renderer.setting_types import (
    Group,
    Spec,
    Whole,
    Within,
)
from renderer.settings.groups import (
    AreaSettings,
    EncodeSettings,
    FilmSettings,
    GuideSettings,
    StartSettings,
    VideoSettings,
    contradictions,
)
from renderer.settings.kinds import KINDS
from renderer.settings.messages import each_within, mistakes, short, within

MAX_WRITTEN = 200_000
"""Characters of all values of a film together: what changes over time is read letter by letter."""


class Kept(NamedTuple):
    """What is kept of a film while it is made: how many pictures a second, exact, and how many of them in all."""

    rate: Fraction
    total: int


class Settings(Group):
    """Every setting of a film."""

    seed: Whole = Field(8, ge=0, le=2**31 - 1, description="of all randomness")
    network: NetworkSettings = NetworkSettings()
    film: FilmSettings = FilmSettings()
    start: StartSettings = StartSettings()
    dream: DreamSettings = DreamSettings()
    camera: CameraSettings = CameraSettings()
    governor: GovernorSettings = GovernorSettings()
    carry: CarrySettings = CarrySettings()
    video: VideoSettings = VideoSettings()
    area: AreaSettings = AreaSettings()
    guide: GuideSettings = GuideSettings()
    encode: EncodeSettings = EncodeSettings()

    @property
    def rate(self) -> Fraction:
        """Frames a second, exact."""
        return self.film.fps

    @property
    def frame_count(self) -> int:
        """How many frames the film has, at least one."""
        return self.film.frames or max(1, round(Fraction(self.film.seconds) * self.rate))

    @property
    def duration(self) -> float:
        """Length of the film, seconds."""
        return float(self.frame_count / self.rate)

    @property
    def dream_size(self) -> Size:
        """Size at which the film is dreamed; its frames are made of that."""
        return at_reference(self.film.size, self.dream.reference)

    @property
    def dream_rate(self) -> Fraction:
        """Dreams a second, exact: at most one a frame, and in a loop a whole number of them a round."""
        asked = self.film.dreams
        if asked == "frame" or asked >= self.rate:
            return self.rate
        length = self.frame_count / self.rate
        return max(1, round(length * asked)) / length if self.film.loop else asked

    @property
    def dream_count(self) -> int:
        """How many dreams the film is made of. The last frame of one that is no loop has a dream at or after it."""
        if self.film.loop:
            return int(self.dream_rate * self.frame_count / self.rate)
        return math.ceil((self.frame_count - 1) / self.rate * self.dream_rate) + 1

    def dreamed_at(self, kind: str) -> Size:
        """Return the size at which a film of a kind in `KINDS` is dreamed."""
        return self.dream_size if KINDS[kind].keeps == "dreams" else self.film.size

    def kept(self, kind: str) -> Kept:
        """Say what is kept of a film of a kind in `KINDS` while it is made: its dreams, or all its frames."""
        if KINDS[kind].keeps == "dreams":
            return Kept(self.dream_rate, self.dream_count)
        return Kept(self.rate, self.frame_count)

    def frames_a_dream(self, kind: str) -> int:
        """Return how many of the pictures that are kept go from one dream to the next: 1 but for videos."""
        return max(1, round(self.kept(kind).rate / self.dream_rate))

    def loop(self, *, from_noise: bool) -> Loop | None:
        """Say how the film comes round; None for one that does not.

        Args:
            from_noise: whether it begins with noise. A picture is kept as the first frame if nothing else is asked for.
        """
        if not self.film.loop:
            return None
        chosen, count, rate = self.film.run_up, self.dream_count, self.dream_rate
        run_up = (2.0 if from_noise else 0.0) if chosen is None else chosen
        seam = min(count // 2, max(1, round(self.film.seam * rate)))
        return Loop(frames=count, seam=seam, run_up=round(run_up * rate), rate=rate)

    def schedule(self, key: str) -> Schedule:
        """Read a setting that may change over time, like `camera.zoom`, for this film's length and rate.

        Raises:
            UsageError: it cannot be read, or leaves its range during the film.
        """
        span = within(fields()[key])
        assert span is not None, f"{key} does not change over time"
        return self._read(self.value(key), span)

    def over_time_in(self, group: str) -> dict[str, Any]:
        """Read what may change over time of a group: its values by name, those of a table by name within it.

        What stays is a number, what changes a `Schedule`. The code that takes the group reads these before its fields.

        Raises:
            UsageError: one cannot be read, or leaves its range during the film.
        """
        found: dict[str, Any] = {}
        for key, field in fields().items():
            head, _, name = key.rpartition(".")
            if head != group:
                continue
            if each_within(field):
                found[name] = {entry: _settled(value) for entry, value in self.schedules(key).items()}
            elif within(field):
                found[name] = self.settled(key)
        return {name: value for name, value in found.items() if value != "auto"}

    def schedules(self, key: str) -> dict[str, Schedule]:
        """Read a table of values that may change over time, like `dream.layers`.

        Raises:
            UsageError: one cannot be read, or leaves its range during the film.
        """
        span = each_within(fields()[key])
        assert span is not None, f"{key} is no table of values that change over time"
        return {name: self._read(spec, span) for name, spec in self.value(key).items()}

    def over_time(self) -> dict[str, Schedule]:
        """Read all that changes during this film, by dotted name: `camera.zoom`, `dream.layers.parts`."""
        found: dict[str, Schedule] = {}
        for key, field in fields().items():
            if within(field) and self.value(key) != "auto":
                found[key] = self.schedule(key)
            elif each_within(field):
                found |= {f"{key}.{name}": schedule for name, schedule in self.schedules(key).items()}
        return {key: schedule for key, schedule in found.items() if not schedule.constant}

    def _read(self, spec: Spec, span: Within) -> Schedule:
        schedule = parse(spec, seconds=self.duration, rate=self.rate, low=span.low, high=span.high, seed=self.seed)
        if (loop := self.loop(from_noise=True)) is not None:
            return loop.lead_back(schedule)
        last = (self.frame_count - 1) / self.rate
        return schedule.held_from(float(last)) if (self.dream_count - 1) / self.dream_rate > last else schedule

    def value(self, key: str) -> Any:
        """Return the value of a setting by its dotted name."""
        group, _, name = key.rpartition(".")
        return getattr(getattr(self, group) if group else self, name)

    def settled(self, key: str) -> Any:
        """Return the value of a setting; of what may change over time the number that it always is, or a `Schedule`.

        Raises:
            UsageError: it cannot be read, or leaves its range during the film.
        """
        value = self.value(key)
        return value if value == "auto" or not within(fields()[key]) else _settled(self.schedule(key))


@cache
def fields() -> Mapping[str, FieldInfo]:
    """List every setting: its field by its dotted name."""
    found: dict[str, FieldInfo] = {}
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            found |= {f"{name}.{inner}": inner_field for inner, inner_field in field.annotation.model_fields.items()}
        else:
            found[name] = field
    return MappingProxyType(found)


def keys() -> list[str]:
    """List the dotted names of every setting."""
    return list(fields())


def flatten(settings: Settings) -> dict[str, Any]:
    """Turn settings into plain values that JSON and TOML can hold, by dotted name."""
    plain = settings.model_dump(mode="json")
    flat: dict[str, Any] = {}
    for key in keys():
        group, _, name = key.rpartition(".")
        flat[key] = plain[group][name] if group else plain[name]
    return flat


def files_of(settings: Settings) -> dict[str, Path]:
    """List the files that settings name: what each is to the film -> where it is."""
    found = {name: settings.value(key) for name, key in FILES.items()}
    return {name: path for name, path in found.items() if path is not None}


def with_files(settings: Settings, places: Mapping[str, Path]) -> Settings:
    """Return the same settings with their files elsewhere; those that `places` does not have, they name no more."""
    moved = {key: None if (path := places.get(name)) is None else str(path) for name, key in FILES.items()}
    return build({**flatten(settings), **moved})


def build(values: Mapping[str, Any], *, origins: Mapping[str, str] | None = None) -> Settings:
    """Make settings from values by dotted name; what is not named keeps its default.

    Args:
        values: dotted name -> value, as text or as TOML and JSON have it.
        origins: where each value came from, for errors: "--zoom", "looks.toml, line 7".

    Raises:
        UsageError: an unknown setting or an impossible value; it names the setting, the value and what is allowed, and
            says how many more there are.
    """
    settings, found = examine(values, origins=origins)
    if settings is None or found:
        more = f" ({len(found) - 1} more of the settings are wrong too.)" if len(found) > 1 else ""
        raise UsageError(found[0] + more)
    return settings


def examine(
    values: Mapping[str, Any], *, origins: Mapping[str, str] | None = None
) -> tuple[Settings | None, list[str]]:
    """Find every mistake in values by dotted name, one sentence each; without any, also make the settings.

    Args:
        values: see `build`.
        origins: see `build`.
    """
    origins = origins or {}
    found = [unknown(key, origin=origins.get(key, "")) for key in values if key not in fields()]
    good = {key: value for key, value in values.items() if key in fields()}
    found += [
        f"{_from(origins.get(key, ''))}{key} is {short(good.pop(key))}: no file has such a name."
        for key in (*FILES.values(), "network.name")
        if "\0" in str(good.get(key, ""))
    ]
    if (written := _length(good)) > MAX_WRITTEN:
        found.append(f"The values of the settings have {written:,} characters together; at most {MAX_WRITTEN:,}.")
        return None, found
    try:
        settings = Settings.model_validate(_nested(good))
    except ValidationError as error:
        for key, inner, sentence in mistakes(error, fields()):
            good.pop(key, None)
            found.append(f"{_from(origins.get(inner) or origins.get(key, ''))}{sentence}")
        # What is right so far may still be wrong over time.
        settings = Settings.model_validate(_nested(good))
    found += _wrong_over_time(settings, origins)
    found += contradictions(settings.dream, settings.area)
    return None if found else settings, found


def _length(value: Any) -> int:
    """Count the characters of all texts in a value."""
    if isinstance(value, Mapping):
        return sum(map(_length, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_length, value))
    return len(value) if isinstance(value, str) else 0


def is_setting(key: str) -> bool:
    """Tell whether a dotted name is that of a setting, or was one."""
    return key in fields() or key in OLD_NAMES


def current_name(key: str) -> str:
    """Return the name that a setting has now."""
    return OLD_NAMES.get(key, key)


def check_key(key: str, *, origin: str = "") -> None:
    """Refuse a name that is no setting, and was none.

    Raises:
        UsageError: with the nearest names.
    """
    if not is_setting(key):
        raise UsageError(unknown(key, origin=origin))


def unknown(key: str, *, origin: str = "") -> str:
    """Say that there is no such setting, with the nearest names."""
    known = keys()
    by_last = [k for k in known if k.rpartition(".")[2] == key.rpartition(".")[2]]
    hint = f"; did you mean {by_last[0]!r}?" if by_last else nearest(key[:100], known)
    return f"{_from(origin)}There is no setting {short(key)}{hint}"


def pixel_key(settings: Settings, *, inputs: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    """Name what a film's pixels depend on, as a sha256 in hex.

    Args:
        settings: all but `encode` and the places of files count.
        inputs: hashes of the weights and of all other files, and the kind of film.
        environment: versions of the libraries, device, threads; empty for the key of the film alone.
    """
    places = FILES.values()
    pixels = {k: v for k, v in flatten(settings).items() if not k.startswith("encode.") and k not in places}
    pixels["film.frames"], pixels["film.seconds"] = settings.frame_count, None  # 6 s and 144 frames are one film
    if settings.dream_rate == settings.rate:  # However that was said; and as films were before it could be said.
        del pixels["film.dreams"]
    if min(settings.film.size) <= min(settings.dream_size):
        del pixels["dream.detail"]
    if settings.film.size == settings.dream_size:
        del pixels["dream.reference"]
    if settings.camera.resample == CameraSettings().resample:
        del pixels["camera.resample"]
    for old, new in OLD_NAMES.items():  # A film has the key that it had under the old name.
        pixels[old] = pixels.pop(new)
    return _sha256({"settings": pixels, "inputs": dict(inputs), "environment": dict(environment)})


def encode_key(settings: Settings, *, pixels: str, suffix: str) -> str:
    """Name what a finished file depends on: its pixels' key, its ending and the `encode` settings."""
    # Films made before these could be chosen are those that have what is usual.
    usual, later = EncodeSettings(), {"sound", "fps", "speed", "shutter", "size", "fit"}
    unsaid = {name for name in later if getattr(settings.encode, name) == getattr(usual, name)}
    chosen = settings.encode.model_dump(mode="json", exclude=unsaid)
    return _sha256({"pixels": pixels, "suffix": suffix, "encode": chosen})


def _settled(schedule: Schedule) -> Schedule | float:
    """Return a schedule, or the number that it always is; what is meant for each frame says so only as a schedule."""
    return schedule(0.0) if schedule.constant and schedule.per_frame is None else schedule


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        (nested.setdefault(group, {}) if group else nested)[name] = value
    return nested


def _wrong_over_time(settings: Settings, origins: Mapping[str, str]) -> Iterator[str]:
    """Read every value that changes during the film, so that a mistake in it is found before the first frame."""
    for key, field in fields().items():
        span, held = within(field) or each_within(field), settings.value(key)
        if span is None or held == "auto":
            continue
        for name, spec in held.items() if each_within(field) else (("", held),):
            if isinstance(spec, float):
                continue
            try:
                settings._read(spec, span)
            except UsageError as error:
                origin = origins.get(f"{key}.{name}") or origins.get(key, "")
                yield f"{_from(origin)}{key}{f' ({name})' if name else ''}: {error}"


def _from(origin: str) -> str:
    return f"{origin}: " if origin and origin != "default" else ""


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


OLD_NAMES: Mapping[str, str] = {"dream.classes": "dream.of"}
"""Dotted name that a setting had -> the one that it has. Presets, jobs files, `--set` and recipes may have either."""

FILES: dict[str, str] = {
    "weights": "network.weights",
    "guide": "guide.picture",
    "second guide": "guide.second",
    "style": "guide.style",
}
"""What a file that a setting names is to the film -> that setting. Such a file counts by its content, not its place."""
