"""The groups of settings, which `settings` puts together: each with its type, range, unit and default.

Nothing here imports TensorFlow or OpenCV.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from renderer.dreaming.preprocessing import preprocessing
from renderer.dreaming.registry import FILE, is_model_file
from renderer.errors import UsageError
from renderer.frame import MAX_SIDE, Size
from renderer.jobs.values import (
    Box,
    FrameSize,
    Memory,
    Mixes,
    Number,
    Rate,
    Scales,
    Spec,
    Unit,
    Weights,
    Whole,
    Within,
    WithinOrAuto,
)

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Seconds = Annotated[Number, Unit("seconds")]
Pixels = Annotated[Number, Unit("pixels")]
Ratio = Annotated[Spec, Within(0.001, 1000), Unit("factor a second")]
Turn = Annotated[Spec, Within(-36_000, 36_000), Unit("degrees a second")]
Wide = Annotated[Spec, Within(-1000, 1000), Unit("frame widths a second")]
High = Annotated[Spec, Within(-1000, 1000), Unit("frame heights a second")]
Part = Annotated[Spec, Within(0, 1)]
Penalty = Annotated[Spec, Within(0, 1000)]
Target = Annotated[Spec, WithinOrAuto(0, 1)]


class Group(BaseModel):
    """A group of settings: frozen, without unknown names, infinities or NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class NetworkSettings(Group):
    """What looks at the frames."""

    name: Name = Field(
        "dreamnet", description="network; `dreamreel networks list` shows them; or the path of a Keras model file"
    )
    weights: Path | None = Field(None, description="weights file to use in place of the network's own")
    precision: Literal["auto", "bfloat16", "float32"] = Field(
        "auto", description="what the network computes in; auto: bfloat16 where the processor has it"
    )
    preprocess: Name | None = Field(
        None,
        description="how it wants its pictures: caffe, tf, torch, byte, unit, or black and white as numbers, like "
        "-1..1 or bgr:0..255; empty: as it is known to",
    )

    @model_validator(mode="before")
    @classmethod
    def _model_file(cls, values: Any) -> Any:
        """Take a path for the network `file` with that file for its weights, so that it counts by its content."""
        name = values.get("name") if isinstance(values, dict) else None
        if isinstance(name, str) and is_model_file(name) and str(values.get("weights") or name) == name:
            return {**values, "name": FILE, "weights": name}
        return values

    @field_validator("weights")
    @classmethod
    def _one_file(cls, weights: Path | None, known: ValidationInfo) -> Path | None:
        if is_model_file(name := known.data.get("name", "")):
            raise ValueError(f"the network file {name} holds its weights, so there can be no others beside it")
        return weights

    @field_validator("preprocess")
    @classmethod
    def _known_preprocessing(cls, how: str | None) -> str | None:
        if how is not None:
            try:
                preprocessing(how)
            except UsageError as error:
                raise ValueError(str(error).rstrip(".")) from error
        return how


class FilmSettings(Group):
    """How large, how fast and how long."""

    size: FrameSize = Field(Size(640, 360), description="WIDTHxHEIGHT")
    fps: Rate = Field(Fraction(24), description="0.01 to 240; 23.976 means 24000/1001")
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

    noise: Literal["white", "pink", "perlin", "clouds", "grey"] = Field(
        "perlin", description="noise, where no picture is given; grey: none at all"
    )
    fit: Literal["cover", "contain", "stretch"] = Field(
        "cover",
        description="how a picture of another shape fills the frame: cropped, with mirrored edges, or stretched",
    )


class DreamSettings(Group):
    """What is amplified, and how strongly."""

    layers: Weights = Field(
        {},
        max_length=64,
        description="layer, layer:channel or kind@layer to weight, each may change over time; empty: the network's own "
        "mix, if nothing else says what to dream",
    )
    objective: Literal[
        "square",
        "mean",
        "logit",
        "guide",
        "match",
        "direction",
        "cosine",
        "inversion",
        "style",
        "content",
        "target",
        "difference",
        "diversity",
    ] = Field("mean", description="what is maximised of layers that name no kind of their own")
    classes: Weights = Field(
        {},
        max_length=64,
        description="class to weight, by name or number, of a network with a head; each may change over time",
    )
    octave_layers: Mixes | None = Field(
        None,
        description="layers for each octave beside `layers`, coarse to fine, like `edges; patterns:2,parts; objects`; "
        "the last for the rest",
    )
    cycle: Mixes | None = Field(
        None, description="layers that take turns over time beside `layers`, like `patterns; parts; objects`"
    )
    cycle_seconds: Seconds = Field(3.0, gt=0, le=3600, description="time that each of them has")
    cycle_fade: Number = Field(
        0.5, ge=0, le=1, description="part of that time in which it goes over into the next; 0: changes at once"
    )
    octaves: Whole = Field(4, ge=1, le=20, description="scales, from coarse to fine")
    octave_ratio: Number = Field(1.4, gt=1, le=4, description="from one scale to the next")
    octave_sizes: Scales | None = Field(
        None,
        description="the scales one by one in place of their number and ratio, coarse to fine: sizes, or parts of the "
        "frame, like `0.5, 0.71, 1`",
    )
    smallest_side: Annotated[Whole, Unit("pixels")] = Field(
        1, ge=1, le=MAX_SIDE, description="scales with a shorter side than this are left out, but for the finest"
    )
    largest_side: Annotated[Whole, Unit("pixels")] | None = Field(
        None, ge=16, le=MAX_SIDE, description="scales with a longer side than this are left out; empty: none"
    )
    octave_carry: Literal["detail", "picture", "restored"] = Field(
        "detail",
        description="what goes from scale to scale: what was dreamed, the picture itself, or the picture and, after "
        "the steps, what shrinking took of the source",
    )
    octave_blend: Part = Field(0.0, description="share of the source itself that each scale but the first begins with")
    resample: Literal["smooth", "linear", "corners"] = Field(
        "smooth",
        description="how pictures go from scale to scale: averaged and cubic, bilinear, or bilinear with the corners "
        "in their places",
    )
    steps: Whole = Field(1, ge=0, le=1000, description="gradient steps per octave and frame")
    first_steps: Whole = Field(12, ge=0, le=10_000, description="gradient steps per octave of the first frame")
    late_octaves: Whole | None = Field(
        None, ge=1, le=20, description="how many of the scales, the finest, later frames are dreamed on; empty: all"
    )
    step_size: Part = Field(0.02, description="part of the full range that a step moves, at 24 frames a second")
    strength: Annotated[Spec, Within(-10, 100)] = Field(1.0, description="multiplies step_size")
    jitter: Annotated[Whole, Unit("pixels")] = Field(
        16, ge=0, le=1024, description="largest random shift of the picture before a step"
    )
    rotate: Annotated[Spec, Within(0, 180), Unit("degrees")] = Field(
        0.0, description="largest random turn of the picture before a step"
    )
    scale: Part = Field(0.0, description="largest random change of its size, as 0.1 for a tenth more or less")
    flip: Part = Field(0.0, description="how often it is mirrored, left and right; 1: half of the time")
    normalise: Literal["laplacian", "std", "mean", "rms", "none"] = Field(
        "laplacian", description="how gradients are brought to one scale; laplacian: band by band; none: not at all"
    )
    bands: Whole = Field(4, ge=1, le=10, description="bands of the laplacian normalisation")
    smoothing: Pixels = Field(0.0, ge=0, le=50, description="blur of the gradient, its sigma")
    smoother: Literal["gauss", "cascade"] = Field(
        "gauss", description="one blur, or the mean of three that grow by 2 pixels over the steps"
    )
    centre: Literal["none", "all", "colours"] = Field(
        "none", description="what mean is taken off a gradient, so that steps change no brightness, or no colour"
    )
    colours: Literal["rgb", "natural", "standard"] = Field(
        "rgb", description="colours in which a step is made: screen's, those of photographs, or by their usual spread"
    )
    optimiser: Literal["ascent", "momentum", "adam", "lbfgs"] = Field(
        "ascent", description="how steps follow from gradients; lbfgs takes them as they are, unnormalised"
    )
    momentum: Number = Field(0.9, ge=0, le=0.999, description="share of the steps before in a step, where they count")
    parametrisation: Literal["pixels", "waves"] = Field(
        "pixels", description="what is changed: pixels, or waves in natural colours (stills only)"
    )
    variation: Penalty = Field(0.0, description="weight of the total variation, which is taken off the objective")
    grey: Penalty = Field(0.0, description="weight of the mean square distance from grey, taken off likewise")
    blur: Annotated[Spec, Within(0, 50), Unit("pixels")] = Field(
        0.0, description="blur of the picture itself between steps, its sigma"
    )
    blur_every: Annotated[Whole, Unit("steps")] = Field(4, ge=1, le=10_000, description="how often it is blurred so")
    clip: bool = Field(False, description="whether the picture is held within black and white at each step")
    border: Whole = Field(0, ge=0, le=100, description="places at the edges of each layer that do not count")
    stop_at: Number | None = Field(
        None, description="strength at which a scale has enough; empty: it takes all its steps"
    )
    variety: Annotated[Spec, Within(0, 2)] = Field(
        1.0, description="how far channels come to the fore and step back over time; 0: all alike, always"
    )
    variety_period: Seconds = Field(8.0, ge=0.1, le=3600, description="time in which a channel comes and goes")
    memory: Memory | None = Field(
        None,
        description="what the program may take, like 2GB; larger pictures are dreamed tile by tile, and look the same. "
        "Empty: half of the machine's, where a picture is so large that it matters",
    )


class CameraSettings(Group):
    """How the camera moves through the dream."""

    zoom: Ratio = Field(1.5, description="how fast it comes nearer; below 1 it moves out")
    rotate: Turn = Field(0.0, description="above 0 the picture turns anticlockwise")
    pan_x: Wide = Field(0.0, description="how fast the camera goes to the right")
    pan_y: High = Field(0.0, description="how fast the camera goes down")
    turn_x: Turn = Field(0.0, description="how fast the camera turns right, in perspective")
    turn_y: Turn = Field(0.0, description="how fast the camera turns down, in perspective")
    centre_x: Annotated[Spec, Within(-10, 10), Unit("frame widths")] = Field(
        0.5, description="point that zoom and rotation keep in place, from the left"
    )
    centre_y: Annotated[Spec, Within(-10, 10), Unit("frame heights")] = Field(0.5, description="the same, from the top")
    wander: Part = Field(0.1, description="how far the centre of the zoom drifts, part of the frame")
    wander_period: Seconds = Field(9.0, ge=0.1, le=3600, description="time that a drift takes")
    edges: Literal["mirror", "reflect", "wrap", "clamp"] = Field(
        "mirror", description="what lies beyond the frame's edges"
    )


class CarrySettings(Group):
    """How a frame of a video gets the dream of the frame before it."""

    mode: Literal["flow", "none", "blend", "blend-loop", "blend-random"] = Field(
        "flow", description="moved as the film moves, not at all, or mixed with the frame"
    )
    half_life: Annotated[Spec, Within(0.01, 3600), Unit("seconds")] = Field(
        1.0, description="time in which half of a carried dream fades, were it not dreamed anew"
    )
    level: Annotated[Spec, Within(0, 10)] = Field(
        1.0, description="strength that the carried dream is held to, part of a full one's; 0: not held"
    )
    blend: Part = Field(0.5, description="share of the frame in a blend")
    flow: Literal["rough", "fine", "finer", "judge"] = Field(
        "fine", description="how finely motion is found; judge is what steadiness is measured with"
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


class GovernorSettings(Group):
    """What keeps a long zoom from drifting to glare, murk, grey or blur; "auto" keeps what the first canvas has."""

    amount: Annotated[Spec, Within(0, 10)] = Field(
        1.0, description="how firmly the frame is held; 0 turns the governor off"
    )
    half_life: Seconds = Field(0.07, ge=0.01, le=600, description="time in which half of a deviation is taken back")
    memory: Seconds = Field(
        2.0, ge=0.01, le=3600, description="time in which half of the first canvas's own tone gives way to the targets"
    )
    luma: Target = Field(0.45, description="mean brightness")
    contrast: Target = Field(0.2, description="standard deviation of brightness")
    saturation: Target = Field(0.45, description="mean saturation")
    sharpness: Target = Field(0.08, description="standard deviation of the Laplacian of brightness")
    noise: Part = Field(0.02, description="fresh noise a second, so that patterns never freeze")
    knee: Number = Field(0.08, ge=0.001, le=0.5, description="distance from black and white where extremes are bent")


class EncodeSettings(Group):
    """How the finished frames become a file; changes no pixel of the store."""

    codec: Name | None = Field(None, description="codec; without one, the best known for the ending of the file")
    quality: Number | None = Field(
        None, ge=0, le=100, description="on the codec's own scale, like CRF 17 for h264; without one, a good choice"
    )
    compare: bool = Field(False, description="whether the video is shown beside the dream, at its left")
    sound: bool = Field(True, description="whether the video's sound and subtitles are kept")
