"""What an objective is given on each octave; above all its references: features of a guide, a style, the canvas itself.

A guide keeps its own size on the finest octave and shrinks with the others, so that a form in it stays as large beside
the forms of the frame as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import tensorflow as tf

from renderer.dreaming.ascent.octaves import pad_to, resize
from renderer.dreaming.evaluator import Evaluator
from renderer.dreaming.objectives.channel_weights import ChannelWaves
from renderer.dreaming.objectives.objective import Objective, ObjectiveInputs, as_map
from renderer.dreaming.objectives.objective_terms import FEATURES, OBJECTIVES, ObjectiveKind
from renderer.errors import BadInput, UsageError
from renderer.frame import Frame, Size

PictureAt = Callable[[float], Frame | None]
"""Seconds since the start of the film -> the picture `(H, W, 3)` that is guide or style then; None for none."""

Pictures = Mapping[str, PictureAt]
"""The pictures that an objective is given beside the canvas, by name: "guide", "style"."""


class InputsBuilder:
    """Builds the inputs of an objective on an octave: its weights, those of its channels, and its references.

    The features of a guide or style are kept per octave until the picture changes.

    Args:
        objective: whose.
        evaluator: gives the activations of pictures.
        channel_waves: how the channels' weights change over time.
        pictures: guide and style over time, as far as the objective needs them.
        smallest: shortest side, pixels, that the network can take.
    """

    def __init__(
        self,
        objective: Objective,
        evaluator: Evaluator,
        *,
        channel_waves: ChannelWaves | None = None,
        pictures: Pictures = MappingProxyType({}),
        smallest: int = 1,
    ) -> None:
        self._objective, self._evaluator, self._smallest = objective, evaluator, smallest
        self._channel_waves, self._pictures = channel_waves or ChannelWaves(), pictures
        self._references: dict[str, tuple[ObjectiveKind, str]] = {
            term.reference: (OBJECTIVES[term.kind], term.layer)
            for term in objective.terms
            if term.reference is not None
        }
        self._reads_canvas = "canvas" in objective.pictures or objective.chooses_channels
        self._activations = evaluator.activations
        if evaluator.in_graph:
            signature = [tf.TensorSpec((None, None, 3), tf.float32)]
            self._activations = tf.function(evaluator.activations, input_signature=signature, autograph=False)
        self._kept: dict[tuple[str, Size], tuple[Frame, dict[str, tf.Tensor]]] = {}

    def __call__(self, canvas: Frame, *, seconds: float = 0.0, scale: float = 1.0) -> ObjectiveInputs:
        """Build the inputs.

        Args:
            canvas: `(H, W, 3)` of this octave, before it is dreamed on.
            seconds: since the start of the film.
            scale: side of this octave as a part of the frame's.

        Raises:
            BadInput: a guide or style is too small for the network.
            UsageError: there is none at this time.
        """
        channels = self._evaluator.channels
        weights = {
            layer: self._channel_waves.weights(layer, channels[layer], seconds) for layer in self._objective.layers
        }
        references: dict[str, tf.Tensor] = {}
        activity = None
        if self._reads_canvas:
            maps = self._maps(canvas)
            references |= self._features("canvas", maps)
            if self._objective.chooses_channels:
                activity = {layer: tf.reduce_mean(features, (0, 1, 2)).numpy() for layer, features in maps.items()}
        for name in sorted(self._objective.pictures - {"canvas"}):
            references |= self._features_at(name, Size.of(canvas), seconds, scale)
        return self._objective.inputs(
            channels, seconds=seconds, channel_weights=weights, activity=activity, references=references
        )

    def _features_at(self, name: str, size: Size, seconds: float, scale: float) -> dict[str, tf.Tensor]:
        """Return the references that a guide or style gives at a time, on a canvas of some size."""
        picture = self._pictures[name](seconds) if name in self._pictures else None
        if picture is None:
            raise UsageError(f"There is no {name} picture at {seconds:g} s; give one with --{name}.")
        held, kept = self._kept.get((name, size), (None, {}))
        if held is not picture:
            kept = self._features_of(name, picture, size, scale)
            self._kept[name, size] = picture, kept
        return kept

    def _features_of(self, name: str, picture: Frame, size: Size, scale: float) -> dict[str, tf.Tensor]:
        """Evaluate a picture, scaled, or, for what compares place by place, brought to the canvas's size."""
        own = Size.of(picture)
        if min(own) < self._smallest:
            raise BadInput(
                f"The {name} picture is {own}: too small for this network, which needs {self._smallest} pixels on the "
                "shorter side."
            )
        found: dict[str, tf.Tensor] = {}
        place_by_place = {kind.features == "map" for kind, _ in self._references.values() if kind.compares_with == name}
        for placed in place_by_place:
            shown = covering(picture, size) if placed else _scaled(picture, scale, self._smallest)
            features = self._features(name, self._maps(pad_to(shown, self._smallest)))
            found |= {
                key: value for key, value in features.items() if (self._references[key][0].features == "map") == placed
            }
        return found

    def _maps(self, picture: Frame) -> dict[str, tf.Tensor]:
        activations = self._activations(tf.constant(np.ascontiguousarray(picture)))
        return {layer: as_map(features) for layer, features in activations.items()}

    def _features(self, name: str, maps: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return the references that a picture gives, from its maps of activations by layer."""
        return {
            key: FEATURES[kind.features].make(maps[layer])
            for key, (kind, layer) in self._references.items()
            if kind.compares_with == name
        }


def covering(picture: Frame, size: Size) -> Frame:
    """Bring a picture to a size: scaled until it covers it, and cropped in the middle."""
    own = Size.of(picture)
    scale = max(size.width / own.width, size.height / own.height)
    shown = Size(max(size.width, round(own.width * scale)), max(size.height, round(own.height * scale)))
    left, top = (shown.width - size.width) // 2, (shown.height - size.height) // 2
    return resize(picture, shown)[top : top + size.height, left : left + size.width]


def _scaled(picture: Frame, scale: float, smallest: int) -> Frame:
    """Scale a picture, not below what the network can take."""
    own = Size.of(picture)
    scale = min(1.0, max(scale, smallest / min(own)))
    return resize(picture, Size(max(1, round(own.width * scale)), max(1, round(own.height * scale))))
