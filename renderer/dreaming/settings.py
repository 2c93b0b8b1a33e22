"""The settings that the dreamer, its network and the governor take. Nothing here loads TensorFlow or OpenCV."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from renderer.dreaming.ascent.gradients import CENTRES, COLOURS, NORMALISERS, SMOOTHERS
from renderer.dreaming.ascent.octaves import CARRIES, RESAMPLERS
from renderer.dreaming.ascent.optimisers import OPTIMISERS
from renderer.dreaming.ascent.parametrisation import PARAMETRISATIONS
from renderer.dreaming.networks.classes import check_word
from renderer.dreaming.networks.preprocessing import preprocessing
from renderer.dreaming.networks.registry import FILE, is_model_file
from renderer.dreaming.objectives.objective_terms import OBJECTIVES
from renderer.errors import UsageError
from renderer.frame import MAX_SIDE
from renderer.setting_types import (
    Group,
    Memory,
    Mixes,
    Name,
    Number,
    OneOf,
    Part,
    Pixels,
    Reference,
    Scales,
    Seconds,
    Spec,
    Unit,
    Weights,
    Whole,
    Within,
    WithinOrAuto,
    WordWeights,
    mixes_of,
)

Penalty = Annotated[Spec, Within(0, 1000)]
Target = Annotated[Spec, WithinOrAuto(0, 1)]


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


class ObjectiveSettings(Group):
    """What is amplified."""

    layers: Weights = Field(
        {},
        max_length=64,
        description="layer, layer:channel or kind@layer to weight, each may change over time; empty: the network's own "
        "mix, if nothing else says what to dream",
    )
    objective: Annotated[str, OneOf(OBJECTIVES)] = Field(
        "mean", description="what is maximised of layers that name no kind of their own"
    )
    of: WordWeights = Field(
        {},
        max_length=64,
        description="word to weight: what to dream of, by the names, groups and numbers of `dreamreel words`, on a "
        "network with a head; each may change over time, and pushes away below 0",
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
    variety: Annotated[Spec, Within(0, 2)] = Field(
        1.0, description="how far channels come to the fore and step back over time; 0: all alike, always"
    )
    variety_period: Seconds = Field(8.0, ge=0.1, le=3600, description="time in which a channel comes and goes")
    variation: Penalty = Field(0.0, description="weight of the total variation, which is taken off the objective")
    grey: Penalty = Field(0.0, description="weight of the mean square distance from grey, taken off likewise")

    @field_validator("of")
    @classmethod
    def _known_words(cls, of: dict[str, Any]) -> dict[str, Any]:
        try:
            for word in of:
                check_word(word)
        except UsageError as error:
            raise ValueError(str(error).rstrip(".")) from error
        return of

    def entries(self) -> list[str]:
        """List the layers that are named anywhere, as they are written: `parts:12`, `style@parts`; words apart."""
        mixes = [mix for text in (self.octave_layers, self.cycle) if text for mix in mixes_of(text)]
        return [*self.layers, *(entry for mix in mixes for entry in mix)]


class OctaveSettings(Group):
    """The scales that a dream is made on."""

    octaves: Whole = Field(4, ge=1, le=20, description="scales, from coarse to fine")
    octave_ratio: Number = Field(1.4, gt=1, le=4, description="from one scale to the next")
    octave_sizes: Scales | None = Field(
        None,
        description="the scales one by one in place of their number and ratio, coarse to fine: sizes, or parts of the "
        "frame, like `0.5, 0.71, 1`",
    )
    reference: Reference = Field(
        "frame",
        description="lines of the frame's shorter side at which the film is dreamed, so that it is the same at every "
        "size: a larger frame gets finer detail on top, a smaller one is shrunk; frame: dreamed at the frame's own",
    )
    smallest_side: Annotated[Whole, Unit("pixels")] = Field(
        1, ge=1, le=MAX_SIDE, description="scales with a shorter side than this are left out, but for the finest"
    )
    largest_side: Annotated[Whole, Unit("pixels")] | None = Field(
        None, ge=16, le=MAX_SIDE, description="scales with a longer side than this are left out; empty: none"
    )
    octave_carry: Annotated[str, OneOf(CARRIES)] = Field(
        "detail",
        description="what goes from scale to scale: what was dreamed, the picture itself, or the picture and, after "
        "the steps, what shrinking took of the source",
    )
    octave_blend: Part = Field(0.0, description="share of the source itself that each scale but the first begins with")
    resample: Annotated[str, OneOf(RESAMPLERS)] = Field(
        "smooth",
        description="how pictures go from scale to scale: averaged and cubic, bilinear, or bilinear with the corners "
        "in their places",
    )


class AscentSettings(Group):
    """How a picture is climbed: what is a part of the graph of a step."""

    normalise: Annotated[str, OneOf(NORMALISERS)] = Field(
        "laplacian", description="how gradients are brought to one scale; laplacian: band by band; none: not at all"
    )
    bands: Whole = Field(4, ge=1, le=10, description="bands of the laplacian normalisation")
    smoothing: Pixels = Field(0.0, ge=0, le=50, description="blur of the gradient, its sigma")
    smoother: Annotated[str, OneOf(SMOOTHERS)] = Field(
        "gauss", description="one blur, or the mean of three that grow by 2 pixels over the steps"
    )
    centre: Annotated[str, OneOf(CENTRES)] = Field(
        "none", description="what mean is taken off a gradient, so that steps change no brightness, or no colour"
    )
    colours: Annotated[str, OneOf(COLOURS)] = Field(
        "rgb", description="colours in which a step is made: screen's, those of photographs, or by their usual spread"
    )
    optimiser: Annotated[str, OneOf(OPTIMISERS)] = Field(
        "ascent", description="how steps follow from gradients; lbfgs takes them as they are, unnormalised"
    )
    momentum: Number = Field(0.9, ge=0, le=0.999, description="share of the steps before in a step, where they count")
    parametrisation: Annotated[str, OneOf(PARAMETRISATIONS)] = Field(
        "pixels", description="what is changed: pixels, or waves in natural colours (stills only)"
    )
    clip: bool = Field(False, description="whether the picture is held within black and white at each step")
    border: Whole = Field(0, ge=0, le=100, description="places at the edges of each layer that do not count")


class DreamSettings(AscentSettings, OctaveSettings, ObjectiveSettings):
    """What is amplified, and how strongly."""

    steps: Whole = Field(1, ge=0, le=1000, description="gradient steps per octave and frame")
    first_steps: Whole = Field(12, ge=0, le=10_000, description="gradient steps per octave of the first frame")
    late_octaves: Whole | None = Field(
        None, ge=1, le=20, description="how many of the scales, the finest, later frames are dreamed on; empty: all"
    )
    step_size: Part = Field(0.02, description="part of the full range that a step moves, at 24 frames a second")
    strength: Annotated[Spec, Within(-10, 100)] = Field(1.0, description="multiplies step_size")
    detail: Part = Field(0.15, description="how strongly detail finer than the reference is dreamed, part of a step")
    jitter: Annotated[Whole, Unit("pixels")] = Field(
        16, ge=0, le=1024, description="largest random shift of the picture before a step"
    )
    rotate: Annotated[Spec, Within(0, 180), Unit("degrees")] = Field(
        0.0, description="largest random turn of the picture before a step"
    )
    scale: Part = Field(0.0, description="largest random change of its size, as 0.1 for a tenth more or less")
    flip: Part = Field(0.0, description="how often it is mirrored, left and right; 1: half of the time")
    blur: Annotated[Spec, Within(0, 50), Unit("pixels")] = Field(
        0.0, description="blur of the picture itself between steps, its sigma"
    )
    blur_every: Annotated[Whole, Unit("steps")] = Field(4, ge=1, le=10_000, description="how often it is blurred so")
    stop_at: Number | None = Field(
        None, description="strength at which a scale has enough; empty: it takes all its steps"
    )
    memory: Memory | None = Field(
        None,
        description="what the program may take, like 2GB; larger pictures are dreamed tile by tile, and look the same. "
        "Empty: half of the machine's, where a picture is so large that it matters",
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
