"""Every setting of a film: its type, range, unit and default. Nothing here imports TensorFlow or OpenCV.

A setting is named by its group and field, as in `camera.zoom`. `build` turns such names with their values into
`Settings`; `flatten` goes back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.fields import FieldInfo

from renderer.errors import UsageError, nearest
from renderer.frame import Size
from renderer.jobs.values import Box, FrameSize, Number, Rate, Spec, Weights, Whole, Within, WithinOrAuto
from renderer.motion.schedule import Schedule, parse

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Ratio = Annotated[Spec, Within(0.001, 1000)]
Speed = Annotated[Spec, Within(-1000, 1000)]
Part = Annotated[Spec, Within(0, 1)]
Place = Annotated[Spec, Within(-10, 10)]
Turn = Annotated[Spec, Within(-36_000, 36_000)]
Target = Annotated[float | Literal["auto"], WithinOrAuto(0, 1)]


class Group(BaseModel):
    """A group of settings: frozen, without unknown names, infinities or NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class NetworkSettings(Group):
    """What looks at the frames."""

    name: Name = Field("dreamnet", description="network; `dreamreel networks list` shows them")
    weights: Path | None = Field(None, description="weights file to use in place of the network's own")
    precision: Literal["auto", "bfloat16", "float32"] = Field(
        "auto", description="what the network computes in; auto: bfloat16 where the processor has it"
    )


class FilmSettings(Group):
    """How large, how fast and how long."""

    size: FrameSize = Field(Size(640, 360), description="WIDTHxHEIGHT, pixels")
    fps: Rate = Field(Fraction(24), description="frames a second, above 0 and up to 240; 23.976 means 24000/1001")
    seconds: Number = Field(6.0, gt=0, le=86_400, description="length, seconds")
    frames: Whole | None = Field(None, ge=1, le=10_000_000, description="length, frames; in place of seconds")


class StartSettings(Group):
    """What the first frame is dreamed on."""

    noise: Literal["white", "pink", "perlin", "clouds"] = Field(
        "perlin", description="noise, where no picture is given"
    )
    fit: Literal["cover", "contain", "stretch"] = Field(
        "cover",
        description="how a picture of another shape fills the frame: cropped, with mirrored edges, or stretched",
    )


class DreamSettings(Group):
    """What is amplified, and how strongly."""

    layers: Weights = Field(
        {}, max_length=64, description="layer or layer:channel to weight; empty: the network's own mix"
    )
    objective: Literal["square", "mean"] = Field("mean", description="what of the activations is maximised")
    octaves: Whole = Field(4, ge=1, le=20, description="scales, from coarse to fine")
    octave_ratio: Number = Field(1.4, gt=1, le=4, description="from one scale to the next")
    steps: Whole = Field(1, ge=0, le=1000, description="gradient steps per octave and frame")
    first_steps: Whole = Field(12, ge=0, le=10_000, description="gradient steps per octave of the first frame")
    late_octaves: Whole | None = Field(
        None, ge=1, le=20, description="how many of the scales, the finest, later frames are dreamed on; empty: all"
    )
    step_size: Number = Field(
        0.02, ge=0, le=1, description="part of the full range that a step moves, at 24 frames a second"
    )
    strength: Annotated[Spec, Within(-10, 100)] = Field(1.0, description="multiplies step_size")
    jitter: Whole = Field(16, ge=0, le=1024, description="largest random shift of the picture before a step, pixels")
    normalise: Literal["laplacian", "std", "mean", "rms"] = Field(
        "laplacian", description="how gradients are brought to one scale; laplacian: band by band"
    )
    bands: Whole = Field(4, ge=1, le=10, description="bands of the laplacian normalisation")
    smoothing: Number = Field(0.0, ge=0, le=50, description="blur of the gradient, pixels (sigma)")
    variety: Number = Field(
        1.0, ge=0, le=2, description="how far channels come to the fore and step back over time; 0: all alike, always"
    )
    variety_period: Number = Field(8.0, ge=0.1, le=3600, description="seconds in which a channel comes and goes")


class CameraSettings(Group):
    """How the camera moves through the dream."""

    zoom: Ratio = Field(1.5, description="factor a second; below 1 moves out")
    rotate: Turn = Field(0.0, description="degrees a second; above 0 the picture turns anticlockwise")
    pan_x: Speed = Field(0.0, description="frame widths a second, to the right")
    pan_y: Speed = Field(0.0, description="frame heights a second, down")
    turn_x: Turn = Field(0.0, description="degrees a second by which the camera turns right, in perspective")
    turn_y: Turn = Field(0.0, description="degrees a second by which the camera turns down, in perspective")
    centre_x: Place = Field(0.5, description="point that zoom and rotation keep in place, part of the width")
    centre_y: Place = Field(0.5, description="the same, part of the height")
    wander: Part = Field(0.1, description="how far the centre of the zoom drifts, part of the frame")
    wander_period: Number = Field(9.0, ge=0.1, le=3600, description="seconds that a drift takes")
    edges: Literal["mirror", "reflect", "wrap", "clamp"] = Field(
        "mirror", description="what lies beyond the frame's edges"
    )


class CarrySettings(Group):
    """How a frame of a video gets the dream of the frame before it."""

    mode: Literal["flow", "none", "blend", "blend-loop", "blend-random"] = Field(
        "flow", description="moved as the film moves, not at all, or mixed with the frame"
    )
    half_life: Number = Field(
        1.0, ge=0.01, le=3600, description="seconds in which half of a carried dream fades, were it not dreamed anew"
    )
    level: Number = Field(
        1.0, ge=0, le=10, description="strength that the carried dream is held to, part of a full one's; 0: not held"
    )
    blend: Number = Field(0.5, ge=0, le=1, description="share of the frame in a blend")
    flow: Literal["rough", "fine", "finer", "judge"] = Field(
        "fine", description="how finely motion is found; judge is what steadiness is measured with"
    )


class VideoSettings(Group):
    """Which part of a video is dreamed over, and where."""

    start: Number = Field(0.0, ge=0, le=1e6, description="second of the video to begin at")
    end: Number | None = Field(None, gt=0, le=1e6, description="second of the video to end at; empty: its end")
    cuts: bool = Field(True, description="whether cuts are looked for; the dream begins anew at each")
    threshold: Number = Field(
        3.0, ge=0.5, le=100, description="how much more a cut changes than the frames around it; higher finds fewer"
    )
    box: Box | None = Field(
        None, description="where to dream: LEFT,TOP,WIDTH,HEIGHT as parts of the frame; empty: everywhere"
    )
    feather: Number = Field(0.03, ge=0, le=1, description="softness of the edges of box and mask, part of the height")
    keep_colour: bool = Field(False, description="whether only brightness is dreamed and colours stay the video's")


class GovernorSettings(Group):
    """What keeps a long zoom from drifting to glare, murk, grey or blur; "auto" keeps what the first canvas has."""

    amount: Number = Field(1.0, ge=0, le=10, description="how firmly the frame is held; 0 turns the governor off")
    half_life: Number = Field(0.07, ge=0.01, le=600, description="seconds in which half of a deviation is taken back")
    memory: Number = Field(
        2.0,
        ge=0.01,
        le=3600,
        description="seconds in which half of the first canvas's own tone gives way to the targets",
    )
    luma: Target = Field(0.45, description="mean brightness")
    contrast: Target = Field(0.2, description="standard deviation of brightness")
    saturation: Target = Field(0.45, description="mean saturation")
    sharpness: Target = Field(0.08, description="standard deviation of the Laplacian of brightness")
    noise: Number = Field(0.02, ge=0, le=1, description="fresh noise a second, so that patterns never freeze")
    knee: Number = Field(0.08, ge=0.001, le=0.5, description="distance from black and white where extremes are bent")


class EncodeSettings(Group):
    """How the finished frames become a file; changes no pixel of the store."""

    codec: Name | None = Field(None, description="codec; without one, the best known for the ending of the file")
    quality: Number | None = Field(
        None, ge=0, le=100, description="on the codec's own scale, like CRF 17 for h264; without one, a good choice"
    )
    compare: bool = Field(False, description="whether the video is shown beside the dream, at its left")


class Settings(Group):
    """Every setting of a film."""

    seed: Whole = Field(7, ge=0, le=2**31 - 1, description="of all randomness")
    network: NetworkSettings = NetworkSettings()
    film: FilmSettings = FilmSettings()
    start: StartSettings = StartSettings()
    dream: DreamSettings = DreamSettings()
    camera: CameraSettings = CameraSettings()
    governor: GovernorSettings = GovernorSettings()
    carry: CarrySettings = CarrySettings()
    video: VideoSettings = VideoSettings()
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

    def schedule(self, key: str) -> Schedule:
        """Read a setting that may change over time, like `camera.zoom`, for this film's length and rate.

        Raises:
            UsageError: it cannot be read, or leaves its range during the film.
        """
        low, high = next((item.low, item.high) for item in dict(fields())[key].metadata if isinstance(item, Within))
        return parse(self.value(key), seconds=self.duration, rate=self.rate, low=low, high=high)

    def value(self, key: str) -> Any:
        """Return the value of a setting by its dotted name."""
        group, _, name = key.rpartition(".")
        return getattr(getattr(self, group) if group else self, name)


def fields() -> Iterator[tuple[str, FieldInfo]]:
    """List every setting: its dotted name and its field."""
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            for inner, inner_field in field.annotation.model_fields.items():
                yield f"{name}.{inner}", inner_field
        else:
            yield name, field


def keys() -> list[str]:
    """List the dotted names of every setting."""
    return [key for key, _ in fields()]


def flatten(settings: Settings) -> dict[str, Any]:
    """Turn settings into plain values that JSON and TOML can hold, by dotted name."""
    plain = settings.model_dump(mode="json")
    flat: dict[str, Any] = {}
    for key in keys():
        group, _, name = key.rpartition(".")
        flat[key] = plain[group][name] if group else plain[name]
    return flat


def build(values: Mapping[str, Any], *, origins: Mapping[str, str] | None = None) -> Settings:
    """Make settings from values by dotted name; what is not named keeps its default.

    Args:
        values: dotted name -> value, as text or as TOML and JSON have it.
        origins: where each value came from, for errors: "--zoom", "preset 'slow'".

    Raises:
        UsageError: an unknown setting or an impossible value; it names the setting, the value and what is allowed.
    """
    origins = origins or {}
    nested: dict[str, Any] = {}
    for key, value in values.items():
        check_key(key, origin=origins.get(key, ""))
        group, _, name = key.rpartition(".")
        (nested.setdefault(group, {}) if group else nested)[name] = value
    try:
        settings = Settings.model_validate(nested)
    except ValidationError as error:
        raise UsageError(_explain(error, origins)) from None
    _check_schedules(settings, origins)
    return settings


def check_key(key: str, *, origin: str = "") -> None:
    """Refuse a name that is no setting.

    Raises:
        UsageError: with the nearest names.
    """
    known = keys()
    if key in known:
        return
    by_last = [k for k in known if k.rpartition(".")[2] == key.rpartition(".")[2]]
    hint = f"; did you mean {by_last[0]!r}?" if by_last else nearest(key[:100], known)
    raise UsageError(f"{_from(origin)}There is no setting {_short(key)}{hint}")


def pixel_key(settings: Settings, *, inputs: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    """Name what a film's pixels depend on, as a sha256 in hex.

    Args:
        settings: all but `encode` and the place of the weights count.
        inputs: hashes of the weights and of the picture, and the kind of film.
        environment: versions of the libraries, device, threads; empty for the key of the film alone.
    """
    pixels = {k: v for k, v in flatten(settings).items() if not k.startswith("encode.") and k != "network.weights"}
    pixels["film.frames"], pixels["film.seconds"] = settings.frame_count, None  # 6 s and 144 frames are one film
    return _sha256({"settings": pixels, "inputs": dict(inputs), "environment": dict(environment)})


def encode_key(settings: Settings, *, pixels: str, suffix: str) -> str:
    """Name what a finished file depends on: its pixels' key, its ending and the `encode` settings."""
    return _sha256({"pixels": pixels, "suffix": suffix, "encode": settings.encode.model_dump(mode="json")})


def allowed(field: FieldInfo) -> str:
    """Say what a field takes: its range or its choices, "" if its description has to do."""
    choices = getattr(field.annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return "one of " + ", ".join(choices)
    for item in field.metadata:
        if isinstance(item, Within):
            return f"{item.low:g} to {item.high:g}" + (" or auto" if isinstance(item, WithinOrAuto) else "")
    limits = {
        name: getattr(item, name) for item in field.metadata for name in ("ge", "gt", "le") if hasattr(item, name)
    }
    if not limits:
        return ""
    if "ge" in limits:
        return f"{limits['ge']:.10g} to {limits['le']:.10g}"
    return f"above {limits['gt']:.10g} and up to {limits['le']:.10g}"


def _check_schedules(settings: Settings, origins: Mapping[str, str]) -> None:
    """Read every value that changes during the film, so that a mistake in it is found before the first frame."""
    for key, field in fields():
        value = settings.value(key)
        if isinstance(value, str | dict) and value != "auto" and any(isinstance(i, Within) for i in field.metadata):
            try:
                settings.schedule(key)
            except UsageError as error:
                raise UsageError(f"{_from(origins.get(key, ''))}{key}: {error}") from None


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    """Say in a sentence what the first mistake is, and how many there are beside it."""
    found = error.errors(include_url=False)
    first = found[0]
    known = dict(fields())
    parts = [str(part) for part in first["loc"]]
    key = next((".".join(parts[:n]) for n in (2, 1) if ".".join(parts[:n]) in known), ".".join(parts[:2]))
    field = known.get(key)
    inside = f" ({parts[2]})" if key == "dream.layers" and len(parts) > 2 else ""
    expected = _expected(first, field)
    others = {tuple(e["loc"][:2]) for e in found} - {tuple(first["loc"][:2])}
    more = f" ({len(others)} more of the settings are wrong too.)" if others else ""
    end = "" if expected.endswith("?") else "."
    return f"{_from(origins.get(key, ''))}{key}{inside} is {_short(first['input'])}: {expected}{end}{more}"


def _expected(mistake: Any, field: FieldInfo | None) -> str:
    """Say what a setting takes: choices with the nearest, a range, what it means."""
    if field is None:
        return str(mistake["msg"]).lower()
    meaning = f" ({field.description})"
    kind, given = mistake["type"], mistake["input"]
    if kind == "literal_error":
        hint = nearest(given[:100], getattr(field.annotation, "__args__", ())) if isinstance(given, str) else ""
        return f"must be {allowed(field)}{hint.partition('; known:')[0]}"
    if kind == "value_error":
        ranged = any(isinstance(item, Within) for item in field.metadata)
        return str(mistake["ctx"]["error"]) + (meaning if ranged else "")
    if kind == "path_type":
        return "must be the path of a file"
    what = "a whole number" if "int" in kind else "a number" if "float" in kind else "text" if "string" in kind else ""
    limits = allowed(field) or what
    if not limits:
        return str(mistake["msg"]).lower() + meaning
    whole = "a whole number, " if what == "a whole number" and limits != what else ""
    return f"must be {whole}{limits}{meaning}"


def _from(origin: str) -> str:
    return f"{origin}: " if origin and origin != "default" else ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
