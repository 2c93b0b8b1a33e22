"""Evaluating a picture that is too large to be evaluated in one go: the same objective and gradient, tile by tile.

Forward, each stage of the network is worked through tile by tile, and of what a tile makes, only what is its own goes
into the whole. The objective reads whole activations, as ever. Back, each tile is gone through once more for the
gradient in what it owns of its stage's input; it is given as much context as all that sees this needs. Nothing is
approximated and nothing is added up in another order, so no seam can show.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from renderer.dreaming.evaluator import PICTURE, Evaluator, ObjectiveFn
from renderer.dreaming.networks.network import Network
from renderer.dreaming.tiles.tile_search import choose_tiling, least_budget
from renderer.dreaming.tiles.tiling import GraphCuts, Stage, StageTiles, Tiling
from renderer.errors import UsageError
from renderer.frame import Size

Whole = dict[int, Any]
"""Tensors or arrays `(1, h, w, channels)`, by `id` of the Keras tensor that they are values of."""

MOST_BYTES_A_PIXEL = 2500
"""What the hungriest networks take: pictures that fit so are not measured at all."""


@dataclass(frozen=True, kw_only=True)
class TiledEvaluatorFactory:
    """Makes evaluators of pictures of one size, and smaller ones, in a given memory.

    Attributes:
        size: of the largest picture.
        memory: bytes that the process may take.
        beside: bytes that it takes for all but activations and their gradients.
        strict: whether a memory that no tiles fit into is refused; else it is raised as far as it must be.
    """

    size: Size
    memory: int
    beside: int = 0
    strict: bool = True

    @property
    def needed(self) -> bool:
        """Whether the memory matters at all for pictures of this size."""
        return self.beside + MOST_BYTES_A_PIXEL * self.size.width * self.size.height > self.memory

    def __call__(self, network: Network, layers: Sequence[str]) -> Evaluator:
        """Make an evaluator of these layers; one of whole pictures if they fit.

        Raises:
            UsageError: a layer that the network lacks; a memory that no tiles fit into.
        """
        tiled = TiledEvaluator(network, layers, budget=self.memory - self.beside)
        least = tiled.missing_budget(self.size)
        if least is not None:
            if self.strict:
                raise self._too_little(least)
            tiled = TiledEvaluator(network, layers, budget=least)
        stages = tiled.tiling(self.size).stages
        return tiled if len(stages) > 1 or not all(stage.whole for stage in stages) else Evaluator(network, layers)

    def _too_little(self, least: int) -> UsageError:
        enough = math.ceil((least + self.beside) / 1e8) / 10
        return UsageError(
            f"dream.memory is {self.memory / 1e9:g}GB: too little for {self.size} with these layers, however small the "
            f"tiles. Give at least --memory {enough:g}GB, or a smaller size."
        )


class TiledEvaluator(Evaluator):
    """Evaluates a picture in as many tiles as its budget asks for; small ones in one go.

    Args:
        network: gives the activations.
        layers: names of the layers that objectives read, `PICTURE` among them.
        budget: bytes that activations and their gradients may take.

    Raises:
        UsageError: a layer that the network lacks.
    """

    in_graph = False

    def __init__(self, network: Network, layers: Sequence[str], *, budget: int) -> None:
        self.network, self.budget = network, budget
        self._with_picture = PICTURE in layers
        inner = [layer for layer in layers if layer != PICTURE]
        model = network.cut(inner) if inner else None
        outputs = model.outputs if model else []
        self.channels = {layer: int(output.shape[-1]) for layer, output in zip(inner, outputs, strict=True)}
        if self._with_picture:
            self.channels[PICTURE] = 3
        self._names = {id(output): layer for layer, output in zip(inner, outputs, strict=True)}
        self._cuts = GraphCuts(model, itemsize=2 if network.precision == "bfloat16" else 4) if model else None
        self._tilings: dict[Size, Tiling] = {}
        self._tiles: dict[tuple[Stage, Size], StageTiles] = {}
        self._stage_models: dict[tuple[int, int | None], _StageModel] = {}

    def tiling(self, size: Size) -> Tiling:
        """Say how pictures of a size are cut.

        Raises:
            UsageError: no tiles of such a picture fit into the budget.
        """
        least = self.missing_budget(size)
        if least is not None:
            raise UsageError(
                f"Pictures of {size} take {least / 1e9:.2f} GB for activations, tiled; "
                f"{self.budget / 1e9:.2f} are there."
            )
        return self._tilings[size]

    def missing_budget(self, size: Size) -> int | None:
        """Return the bytes that tiles of pictures of a size would do with; None where they fit into the budget."""
        if size not in self._tilings:
            if self._cuts is None:
                self._tilings[size] = Tiling((), 0, 0.0)
            elif (found := choose_tiling(self._cuts, size, budget=self.budget)) is not None:
                self._tilings[size] = found
            else:
                return least_budget(self._cuts, size)
        return None

    def __call__(self, picture: tf.Tensor, objective: ObjectiveFn) -> tuple[tf.Tensor, tf.Tensor]:
        """Evaluate a picture; see `Evaluator`.

        Raises:
            UsageError: as `tiling`.
        """
        stages, whole = self._stages(picture), picture[None]
        inputs, taps = self._forward(whole, stages)
        activations = {name: tf.convert_to_tensor(tap) for name, tap in taps.items()}
        if self._with_picture:
            activations[PICTURE] = whole
        value, slopes = _value_and_slopes(activations, objective)
        del activations, taps
        own = slopes.pop(PICTURE, None)
        through = self._back(stages, inputs, slopes)
        found = [tf.convert_to_tensor(one[0]) for one in (own, through) if one is not None]
        return value, tf.add_n(found) if found else tf.zeros_like(picture)

    def activations(self, picture: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the activations of a picture; see `Evaluator`.

        Raises:
            UsageError: as `tiling`.
        """
        _, taps = self._forward(picture[None], self._stages(picture))
        inner = {name: tf.convert_to_tensor(tap) for name, tap in taps.items()}
        return {**inner, PICTURE: picture[None]} if self._with_picture else inner

    def _stages(self, picture: tf.Tensor) -> list[Stage]:
        height, width = picture.shape[:2]
        return list(self.tiling(Size(width, height)).stages)

    def _forward(self, picture: tf.Tensor, stages: Sequence[Stage]) -> tuple[list[Any], dict[str, Any]]:
        """Work through the stages; return what each reads, and the layers that the objective reads."""
        inputs: list[Any] = [picture]
        taps: dict[str, Any] = {}
        for stage in stages:
            made = self._made(stage, inputs[-1])
            taps |= self._named(made)
            if stage.end is not None:
                inputs.append(made[id(self._cut_point(stage.end))])
        return inputs, taps

    def _back(self, stages: Sequence[Stage], inputs: list[Any], slopes: dict[str, Any]) -> Any:
        """Carry gradients back through the stages, to the picture `(1, H, W, 3)`; None for 0.

        Args:
            stages: of the network.
            inputs: what each stage reads; emptied on the way.
            slopes: gradients in the layers that the objective reads, by name; None for 0.
        """
        slope: Any = None
        for stage in reversed(stages):
            outputs = self._stage_model(stage).outputs
            given: list[Any] = [slopes.pop(self._names.get(id(output), ""), None) for output in outputs]
            if stage.end is not None and slope is not None:
                given[[id(output) for output in outputs].index(id(self._cut_point(stage.end)))] = slope
            # A layer that the objective reads may be what the stage reads: then its gradient is added where it is used.
            own = slopes.pop(self._names.get(id(self._cut_point(stage.begin)), ""), None)
            slope = self._slope(stage, inputs.pop(), given, own)
        return slope

    def _made(self, stage: Stage, read: Any) -> Whole:
        """Return all that a stage makes of what it reads, by `id` of the Keras tensor."""
        model = self._stage_model(stage)
        if stage.whole:
            made = model.run(tf.convert_to_tensor(read))
            return {id(output): value for output, value in zip(model.outputs, made, strict=True)}
        tiles = self._tiles_of(stage, read)
        wholes: list[Any] = [None] * len(model.outputs)
        for tile in tiles.forward:
            made = model.run(tf.convert_to_tensor(read[:, *tile.given]))
            for number, (value, place) in enumerate(zip(made, tile.own, strict=True)):
                part = value[:, *place.inside].numpy()
                if wholes[number] is None:
                    wholes[number] = np.empty((1, *tiles.shapes[number], part.shape[-1]), part.dtype)
                wholes[number][:, *place.whole] = part
        return {id(output): value for output, value in zip(model.outputs, wholes, strict=True)}

    def _slope(self, stage: Stage, read: Any, given: Sequence[Any], own: Any) -> Any:
        """Return the gradient in what a stage reads, from those in what it makes, and in that itself (None for 0)."""
        model = self._stage_model(stage)
        if all(one is None for one in given):
            return own
        if stage.whole:
            return model.slope(tf.convert_to_tensor(read), given, [(0, 0)] * len(given), own)
        total: Any = None
        for tile in self._tiles_of(stage, read).back:
            parts = [None if one is None else one[:, *place.whole] for one, place in zip(given, tile.own, strict=True)]
            corners = [(place.inside[0].start, place.inside[1].start) for place in tile.own]
            extra = None if own is None else own[:, *tile.given]
            part = model.slope(tf.convert_to_tensor(read[:, *tile.given]), parts, corners, extra).numpy()
            if total is None:
                total = np.empty(read.shape, part.dtype)
            total[:, *tile.read.whole] = part[:, *tile.read.inside]
        return total

    def _named(self, made: Whole) -> dict[str, Any]:
        return {self._names[key]: value for key, value in made.items() if key in self._names}

    def _cut_point(self, number: int) -> Any:
        assert self._cuts is not None
        return self._cuts.cut_points[number][1]

    def _tiles_of(self, stage: Stage, read: Any) -> StageTiles:
        assert self._cuts is not None
        given = Size(read.shape[2], read.shape[1])
        if (stage, given) not in self._tiles:
            self._tiles[stage, given] = self._cuts.tiles(stage, given)
        return self._tiles[stage, given]

    def _stage_model(self, stage: Stage) -> _StageModel:
        """Return what computes a stage; stages that differ in nothing but their tiles share it."""
        assert self._cuts is not None
        key = (stage.begin, stage.end)
        if key not in self._stage_models:
            outputs = self._cuts.outputs_of(*key)
            model = keras.Model(self._cut_point(stage.begin), outputs)
            self._stage_models[key] = _StageModel(model, outputs, self.network if stage.begin == 0 else None)
        return self._stage_models[key]


class _StageModel:
    """Computes one stage of a network, forward and back, for tiles of any size.

    Args:
        model: of the stage.
        outputs: the network's tensors that it makes, in order.
        network: prepares what the stage reads, where that is the picture.
    """

    def __init__(self, model: keras.Model, outputs: Sequence[Any], network: Network | None) -> None:
        self.outputs, self._model, self._network = outputs, model, network
        dtype = tf.float32 if network else model.inputs[0].dtype
        self._read = tf.TensorSpec((1, None, None, model.inputs[0].shape[-1]), dtype)
        self._made = [tf.TensorSpec((1, *output.shape[1:]), output.dtype) for output in outputs]
        corners = tf.TensorSpec((len(outputs), 2), tf.int32)
        graph = functools.partial(tf.function, autograph=False)
        self.run = graph(self._run, input_signature=[self._read])
        self._back = graph(self._slope, input_signature=[self._read, self._made, corners])
        self._back_with = graph(self._slope, input_signature=[self._read, self._made, corners, self._read])

    def slope(
        self, read: tf.Tensor, given: Sequence[Any], corners: Sequence[tuple[int, int]], own: Any = None
    ) -> tf.Tensor:
        """Return the gradient in what is read.

        Args:
            read: `(1, h, w, channels)`.
            given: gradients in parts of what is made of it; None for 0.
            corners: row and column at which each of these parts begins.
            own: a gradient in `read` itself, which is added; None for 0.
        """
        slopes = [_like(one, made) for one, made in zip(given, self._made, strict=True)]
        places = np.array(corners, np.int32)
        if own is None:
            return self._back(read, slopes, places)
        return self._back_with(read, slopes, places, _like(own, self._read))

    def _run(self, read: tf.Tensor) -> list[tf.Tensor]:
        prepared = read if self._network is None else self._network.prepared(read)
        return keras.tree.flatten(self._model(prepared))

    def _slope(
        self, read: tf.Tensor, given: Sequence[tf.Tensor], corners: tf.Tensor, own: tf.Tensor | None = None
    ) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(read)
            made = list(zip(self._run(read), given, strict=True))
            ends = [_part(one, corners[number], tf.shape(slope)) for number, (one, slope) in enumerate(made)]
        slopes = list(given)
        if own is not None:  # the tape adds it first, as it does where the whole network is on it
            ends, slopes = [*ends, read], [*slopes, own]
        return tape.gradient(ends, read, output_gradients=slopes, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def _like(slope: Any, made: tf.TensorSpec) -> tf.Tensor:
    """Bring a gradient to the type of what it is one in; None, which is 0, to as little as can be."""
    if slope is None:
        return tf.zeros([side or 0 for side in made.shape], made.dtype)
    return tf.cast(slope, made.dtype)


def _value_and_slopes(activations: dict[str, tf.Tensor], objective: ObjectiveFn) -> tuple[tf.Tensor, dict[str, Any]]:
    """Return an objective and its gradients in the activations, by layer; None where there is none.

    In a graph made for it: its operations let go of what they need as soon as they can, and run in place. Done one by
    one they would take half as much memory again, and more time than making the graph.
    """

    @tf.function(autograph=False)
    def compute(activations: dict[str, tf.Tensor]) -> tuple[tf.Tensor, dict[str, Any]]:
        with tf.GradientTape() as tape:
            tape.watch(activations)
            value = objective(activations)
        slopes = tape.gradient(value, activations)
        return value, {name: None if one is None else tf.convert_to_tensor(one) for name, one in slopes.items()}

    return compute(activations)


def _part(made: tf.Tensor, corner: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    if made.shape.rank != 4:
        return made
    return made[:, corner[0] : corner[0] + shape[1], corner[1] : corner[1] + shape[2]]
