"""Gradient ascent on a picture: turn it about, evaluate it, shape the gradient, step.

One graph serves every size: it is traced once, with unknown height and width. It holds a single step; a loop inside the
graph would keep TensorFlow from fusing the network's operations, and take nearly twice the time. An evaluator that
cannot be a part of it (`Evaluator.in_graph`) stands between two graphs: `_prepare` before it, `_move` after it.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from renderer.dreaming.ascent.gradients import CENTRES, COLOURS, NORMALISERS, SMOOTHERS
from renderer.dreaming.ascent.optimisers import OPTIMISERS, State, lbfgs
from renderer.dreaming.ascent.parametrisation import PARAMETRISATIONS
from renderer.dreaming.ascent.transforms import warp, warp_back
from renderer.dreaming.evaluator import Activations, Evaluator
from renderer.dreaming.networks.network import Network
from renderer.dreaming.objectives.objective import Objective, ObjectiveInputs
from renderer.dreaming.objectives.objective_terms import PENALTIES
from renderer.dreaming.settings import AscentSettings
from renderer.errors import UsageError
from renderer.frame import Frame

EVERYWHERE = np.ones((1, 1, 1), np.float32)
"""The map of steps that are alike in the whole picture."""

UNTURNED = np.eye(2, dtype=np.float32)

MOST_KEPT = 8
"""Ascents of a network whose graphs are kept: as many as octaves may have layers of their own."""

EvaluatorFactory = Callable[[Network, Sequence[str]], Evaluator]
"""Network, names of layers -> their evaluator. `Evaluator` itself is one."""

Watch = Callable[[int, int, Frame, float], None]
"""Is told after a step: its number from 1, steps in all, the picture, and the objective before the step."""


Ascended = tuple[Frame, NDArray[np.float32]]
"""The outcome of some steps: the picture, and the objective before each step `(steps,)`."""


class StepInputs(NamedTuple):
    """What differs from step to step.

    Attributes:
        shift: `(2,)` pixels by which the picture is rolled, down and right, while it is evaluated.
        turn: `(2, 2)`, how it is turned about then; see `transforms`.
        length: of the step, as a part of the range [0, 1].
        progress: part of the steps that are taken with this one.
        shape: `(H, W)` of the picture.
        weights: of the penalties.
    """

    shift: tf.Tensor
    turn: tf.Tensor
    length: tf.Tensor
    progress: tf.Tensor
    shape: tf.Tensor
    weights: tf.Tensor


class Ascent:
    """Steps uphill for one network and one objective.

    Args:
        network: whose activations the objective reads.
        objective: what is amplified.
        settings: how.
        penalties: keys of `objective_terms.PENALTIES`, taken off the objective; their weights come with each call.
        turned: whether the picture is turned about before a step by more than a shift; see `transforms`.
        evaluator: makes the evaluator of the objective's layers.

    Raises:
        UsageError: a layer or channel that the network lacks.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        *,
        settings: AscentSettings = AscentSettings(),
        penalties: tuple[str, ...] = (),
        turned: bool = False,
        evaluator: EvaluatorFactory = Evaluator,
    ) -> None:
        self.network, self.objective, self.settings = network, objective, settings
        self.penalties, self.turned = penalties, turned
        self.evaluator = evaluator(network, objective.layers)
        self.channels = self.evaluator.channels
        objective.check(self.channels, network=network.name)
        self._optimiser = OPTIMISERS[settings.optimiser]
        self._parametrisation = PARAMETRISATIONS[settings.parametrisation]
        self._trace()

    def _trace(self) -> None:
        """Make the graphs; each is traced when it is first used."""
        picture = tf.TensorSpec((None, None, 3), tf.float32)
        point = tf.TensorSpec(self._parametrisation.shape, tf.float32)
        step = StepInputs(
            shift=tf.TensorSpec((2,), tf.int32),
            turn=tf.TensorSpec((2, 2), tf.float32),
            length=tf.TensorSpec((), tf.float32),
            progress=tf.TensorSpec((), tf.float32),
            shape=tf.TensorSpec((2,), tf.int32),
            weights=tf.TensorSpec((len(self.penalties),), tf.float32),
        )
        state = self._optimiser.specs(point)
        where = tf.TensorSpec((None, None, 1), tf.float32)
        inputs = self.objective.input_spec(self.channels)
        graph, value = functools.partial(tf.function, autograph=False), tf.TensorSpec((), tf.float32)
        self._prepare = graph(self._evaluated, input_signature=[point, step])
        self._move = graph(self._moved, input_signature=[point, state, value, picture, step, where])
        self._pull = graph(self._gradient_in_point, input_signature=[point, value, picture, step])
        self._step = graph(self._one_step, input_signature=[point, state, step, where, inputs])
        self._rise = graph(self._one_rise, input_signature=[point, step, inputs])

    def ascend(
        self,
        picture: Frame,
        *,
        shifts: NDArray[np.int32],
        sizes: NDArray[np.float32],
        turns: NDArray[np.float32] | None = None,
        where: NDArray[np.float32] | None = None,
        inputs: ObjectiveInputs | None = None,
        weights: Sequence[float] = (),
        soften: Callable[[int, Frame], Frame] | None = None,
        stop_at: float = np.inf,
        watch: Watch | None = None,
    ) -> Ascended:
        """Take one step for each row of `shifts`; L-BFGS, which needs one hill, takes as many without shift and turn.

        Args:
            picture: `(H, W, 3)`, each side at least the network's smallest.
            shifts: `(steps, 2)` pixels by which the picture is rolled, down and right, while a step evaluates it.
            sizes: `(steps,)` length of each step, as a part of the range [0, 1], of the unit-scale gradient.
            turns: `(steps, 2, 2)` by which it is turned about then, see `transforms`; None for not at all.
            where: `(H, W)`, multiplies the steps pixel by pixel; None for 1 everywhere.
            inputs: of the objective; None for its weights at 0 seconds and channels that weigh alike.
            weights: of the penalties.
            soften: is given each step's number from 1 and the picture after it, and returns the picture to go on with.
            stop_at: the step before which the objective is above this is the last.
            watch: is told after each step.

        Raises:
            UsageError: a map of steps where a step is not made place by place.
        """
        if where is not None and not self._parametrisation.local:
            raise UsageError(
                "A mask or a box needs dream.parametrisation pixels: waves are of the whole picture, without places."
            )
        inputs = self.inputs() if inputs is None else inputs
        shape = tf.constant(picture.shape[:2], tf.int32)
        steps = list(self._steps_of(shifts, sizes, turns, shape, weights))
        map_ = tf.constant(EVERYWHERE if where is None else where[..., None])
        if self._optimiser.step is None:
            return self._search(picture, steps, map_, inputs, watch)
        point, values = self._parametrisation.encode(picture), []
        state = self._optimiser.start(point)
        for number, step in enumerate(steps, 1):
            point, state, value = self._stepped(point, state, step, map_, inputs)
            values.append(value)
            if soften is not None:
                point = self._softened(point, shape, soften, number)
            if watch is not None:
                watch(number, len(steps), self._parametrisation.decode(point, shape).numpy(), float(value))
            if stop_at < np.inf and float(value) > stop_at:
                break
        ended = self._parametrisation.decode(point, shape).numpy()
        return ended, np.array([value.numpy() for value in values], np.float32)

    def inputs(self, *, seconds: float = 0.0, **given: Any) -> ObjectiveInputs:
        """Return the inputs of the objective at a time in seconds; see `Objective.inputs`."""
        return self.objective.inputs(self.channels, seconds=seconds, **given)

    def value(self, picture: Frame, *, seconds: float = 0.0) -> float:
        """Compute the objective of a picture `(H, W, 3)`, with the weights of its terms at a time in seconds."""
        return float(self.objective(self.evaluator.activations(tf.constant(picture)), self.inputs(seconds=seconds)))

    def gradient(self, picture: tf.Tensor, inputs: ObjectiveInputs | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the objective and its gradient in the picture `(H, W, 3)`, untouched."""
        given = self.inputs() if inputs is None else inputs
        return self.evaluator(picture, lambda activations: self.objective(self._inner(activations), given))

    def _steps_of(
        self,
        shifts: NDArray[np.int32],
        sizes: NDArray[np.float32],
        turns: NDArray[np.float32] | None,
        shape: tf.Tensor,
        weights: Sequence[float],
    ) -> Iterator[StepInputs]:
        still, taken = tf.constant(UNTURNED), tf.constant(np.array(weights, np.float32))
        for i, (shift, size) in enumerate(zip(shifts, sizes, strict=True)):
            turn = still if turns is None else turns[i]
            yield StepInputs(shift, turn, size, np.float32((i + 1) / len(shifts)), shape, taken)

    def _stepped(
        self, point: tf.Tensor, state: State, step: StepInputs, where: tf.Tensor, inputs: ObjectiveInputs
    ) -> tuple[tf.Tensor, State, tf.Tensor]:
        """Take a step, in one graph if the evaluator can be a part of it."""
        if self.evaluator.in_graph:
            return self._step(point, state, step, where, inputs)
        value, gradient = self.gradient(self._prepare(point, step), self._turned_inputs(inputs, step))
        return self._move(point, state, value, gradient, step, where)

    def _one_step(
        self, point: tf.Tensor, state: State, step: StepInputs, where: tf.Tensor, inputs: ObjectiveInputs
    ) -> tuple[tf.Tensor, State, tf.Tensor]:
        value, gradient = self.gradient(self._evaluated(point, step), self._turned_inputs(inputs, step))
        return self._moved(point, state, value, gradient, step, where)

    def _evaluated(self, point: tf.Tensor, step: StepInputs) -> tf.Tensor:
        """Return what a step evaluates: the picture, rolled and turned."""
        rolled = tf.roll(self._parametrisation.decode(point, step.shape), step.shift, (0, 1))
        return warp(rolled, step.turn) if self.turned else rolled

    def _turned_inputs(self, inputs: ObjectiveInputs, step: StepInputs) -> ObjectiveInputs:
        """Return the inputs for the picture as a step evaluates it: what is meant for places moves along with them."""
        return inputs.rolled(step.shift, step.shape)

    def _moved(
        self,
        point: tf.Tensor,
        state: State,
        value: tf.Tensor,
        gradient: tf.Tensor,
        step: StepInputs,
        where: tf.Tensor,
    ) -> tuple[tf.Tensor, State, tf.Tensor]:
        """Make a step of the gradient in what was evaluated."""
        value, gradient = self._with_penalties(point, value, gradient, step)
        direction = tf.roll(shaped(gradient, self.settings, step.progress), -step.shift, (0, 1))
        direction = self._parametrisation.pull(direction, point, step.shape)
        if not self._parametrisation.local:  # of a scale of their own
            direction = NORMALISERS["rms"](direction, 1)
        assert self._optimiser.step is not None
        move, state = self._optimiser.step(direction, state, self.settings.momentum)
        moved = point + step.length * where * move if self._parametrisation.local else point + step.length * move
        return tf.clip_by_value(moved, 0.0, 1.0) if self.settings.clip else moved, state, value

    def _with_penalties(
        self, point: tf.Tensor, value: tf.Tensor, gradient: tf.Tensor, step: StepInputs
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Turn a gradient back, and take off the penalties; it stays that of the rolled picture."""
        gradient = warp_back(gradient, step.turn) if self.turned else gradient
        if not self.penalties:
            return value, gradient
        picture = self._parametrisation.decode(point, step.shape)
        with tf.GradientTape() as tape:
            tape.watch(picture)
            each = [PENALTIES[name](picture) for name in self.penalties]
            penalty = tf.tensordot(step.weights, tf.stack(each), 1)
        return value - penalty, gradient - tf.roll(tape.gradient(penalty, picture), step.shift, (0, 1))

    def _inner(self, activations: Activations) -> Activations:
        """Put out what lies at the edges of the layers, where the settings say so."""
        border = self.settings.border
        return {name: without_edges(a, border) for name, a in activations.items()} if border else activations

    def _softened(
        self, point: tf.Tensor, shape: tf.Tensor, soften: Callable[[int, Frame], Frame], number: int
    ) -> tf.Tensor:
        before = self._parametrisation.decode(point, shape).numpy()
        after = soften(number, before)
        return point if after is before else self._parametrisation.encode(after)

    def _search(
        self,
        picture: Frame,
        steps: Sequence[StepInputs],
        where: tf.Tensor,
        inputs: ObjectiveInputs,
        watch: Watch | None,
    ) -> Ascended:
        """Ascend with an optimiser that looks ahead."""
        start = self._parametrisation.encode(picture).numpy()
        if not steps:
            return picture, np.zeros(0, np.float32)
        first = steps[0]._replace(shift=np.zeros(2, np.int32), turn=UNTURNED)

        def slope(point: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
            value, gradient = self._rise_at(tf.constant(point), first, inputs)
            return float(value), gradient.numpy()

        def tell(number: int, point: NDArray[np.float32], value: float) -> None:
            if watch is not None:
                watch(number, len(steps), self._parametrisation.decode(tf.constant(point), first.shape).numpy(), value)

        point, values = lbfgs(
            slope,
            start,
            steps=len(steps),
            size=float(first.length),
            where=where.numpy(),
            watch=tell,
        )
        ended = self._parametrisation.decode(tf.constant(point), first.shape).numpy()
        return ended, np.array(values, np.float32)

    def _rise_at(self, point: tf.Tensor, step: StepInputs, inputs: ObjectiveInputs) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the objective less the penalties, and its true gradient in the point."""
        if self.evaluator.in_graph:
            return self._rise(point, step, inputs)
        value, gradient = self.gradient(self._prepare(point, step), self._turned_inputs(inputs, step))
        return self._pull(point, value, gradient, step)

    def _one_rise(self, point: tf.Tensor, step: StepInputs, inputs: ObjectiveInputs) -> tuple[tf.Tensor, tf.Tensor]:
        value, gradient = self.gradient(self._evaluated(point, step), self._turned_inputs(inputs, step))
        return self._gradient_in_point(point, value, gradient, step)

    def _gradient_in_point(
        self, point: tf.Tensor, value: tf.Tensor, gradient: tf.Tensor, step: StepInputs
    ) -> tuple[tf.Tensor, tf.Tensor]:
        value, gradient = self._with_penalties(point, value, gradient, step)
        return value, self._parametrisation.pull(tf.roll(gradient, -step.shift, (0, 1)), point, step.shape)


def shaped(gradient: tf.Tensor, settings: AscentSettings, progress: tf.Tensor) -> tf.Tensor:
    """Bring a gradient to the form and scale of a step: into its colours, smooth, centred, normalised, and back.

    Args:
        gradient: `(H, W, 3)`.
        settings: how.
        progress: part of the octave's steps that are taken with this one.
    """
    colours = COLOURS[settings.colours]
    if colours is not None:
        gradient = tf.tensordot(gradient, tf.constant(colours), 1)
    gradient = SMOOTHERS[settings.smoother](gradient, settings.smoothing, progress)
    gradient = NORMALISERS[settings.normalise](CENTRES[settings.centre](gradient), settings.bands)
    return gradient if colours is None else tf.tensordot(gradient, tf.constant(colours.T), 1)


def without_edges(activation: tf.Tensor, border: int) -> tf.Tensor:
    """Return activations `(N, h, w, channels)` with 0 in the places nearer to an edge than `border`."""
    if activation.shape.rank != 4:
        return activation
    rows, columns = tf.range(tf.shape(activation)[1]), tf.range(tf.shape(activation)[2])
    down, across = ((at >= border) & (at < tf.size(at) - border) for at in (rows, columns))
    return activation * tf.cast(down[:, None] & across, activation.dtype)[None, :, :, None]


def shared_ascent(
    network: Network,
    objective: Objective,
    *,
    settings: AscentSettings = AscentSettings(),
    penalties: tuple[str, ...] = (),
    turned: bool = False,
    evaluator: EvaluatorFactory = Evaluator,
) -> Ascent:
    """Make an `Ascent` with the graph of an earlier one, if it differs in nothing but what `ObjectiveInputs` hold.

    So the films of a batch trace it once. Those of one network are kept, the last few.

    Raises:
        UsageError: as `Ascent`.
    """
    kept = _ascents(network)
    # Of a dream's settings, only these shape the graph.
    shaping = AscentSettings(**{name: getattr(settings, name) for name in AscentSettings.model_fields})
    key = (Objective(tuple(term.bare for term in objective.terms)), shaping, penalties, turned, evaluator)
    if key not in kept:
        if len(kept) >= MOST_KEPT:
            del kept[next(iter(kept))]
        kept[key] = Ascent(network, key[0], settings=shaping, penalties=penalties, turned=turned, evaluator=evaluator)
    ascent = copy.copy(kept[key])
    objective.check(ascent.channels, network=network.name)
    ascent.objective = objective
    return ascent


@functools.lru_cache(maxsize=1)
def _ascents(network: Network) -> dict[Any, Ascent]:
    """Return the ascents that are kept of a network; those of another are let go."""
    del network
    return {}
