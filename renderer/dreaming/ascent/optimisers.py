"""What becomes of a gradient: how far, and which way, each step goes.

A point is what is climbed on: the picture, or what stands for it (see `parametrisation`). Every optimiser but L-BFGS
turns a gradient of unit scale into a move of about unit scale, so that the size of a step means the same for all. A new
one is one function and one line in `OPTIMISERS` at the foot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from renderer.lazy import Lazy

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = Lazy("tensorflow")


State = tuple["tf.Tensor", ...]
"""What an optimiser remembers within an octave."""

Array = NDArray[np.float32]

ADAM_SECOND = 0.999
ADAM_TINY = 1e-8
"""Adam's second decay and its epsilon, as its paper has them."""


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """A way to climb.

    Attributes:
        slots: how many arrays of the point's shape its state holds; beside them it counts the steps, if there are any.
        step: gradient, state, momentum -> move, state; None for one that looks ahead and cannot go step by step.
        kept: how many arrays of the point's shape it keeps outside of its state.
    """

    slots: int = 0
    step: Callable[[tf.Tensor, State, float], tuple[tf.Tensor, State]] | None
    kept: int = 0

    @property
    def remembered(self) -> int:
        """How many arrays of the point's shape it remembers."""
        return self.slots + self.kept

    def start(self, point: tf.Tensor) -> State:
        """Return what is remembered before the first step from a point."""
        if not self.slots:
            return ()
        return (tf.zeros(()), *(tf.zeros_like(point) for _ in range(self.slots)))

    def specs(self, point: tf.TensorSpec) -> tuple[tf.TensorSpec, ...]:
        """Return what the state looks like in a graph, for points that look so."""
        return (tf.TensorSpec((), tf.float32), *[point] * self.slots) if self.slots else ()


def plain(gradient: tf.Tensor, state: State, momentum: float) -> tuple[tf.Tensor, State]:
    """Go along the gradient."""
    del momentum
    return gradient, state


def with_momentum(gradient: tf.Tensor, state: State, momentum: float) -> tuple[tf.Tensor, State]:
    """Go along the running mean of the gradients.

    Polyak's heavy ball, but a mean and not a sum, and one that the empty past does not pull down: where gradients agree
    the move is as long as each of them.
    """
    count, mean = state
    count, mean = count + 1, momentum * mean + (1 - momentum) * gradient
    return mean / (1 - momentum**count), (count, mean)


def adam(gradient: tf.Tensor, state: State, momentum: float) -> tuple[tf.Tensor, State]:
    """Go along the running mean, each value measured by its own size so far (Kingma & Ba 2015, algorithm 1)."""
    count, mean, square = state
    count = count + 1
    mean = momentum * mean + (1 - momentum) * gradient
    square = ADAM_SECOND * square + (1 - ADAM_SECOND) * tf.square(gradient)
    scale = tf.sqrt(square / (1 - ADAM_SECOND**count)) + ADAM_TINY
    return mean / (1 - momentum**count) / scale, (count, mean, square)


def lbfgs(
    slope: Callable[[Array], tuple[float, Array]],
    start: Array,
    *,
    steps: int,
    size: float,
    where: Array,
    watch: Callable[[int, Array, float], None],
) -> tuple[Array, list[float]]:
    """Climb with L-BFGS (scipy's, Byrd, Lu, Nocedal & Zhu 1995), which learns the hill's curvature on the way.

    It chooses its own lengths. What the size of a step means here: the first trial has it (root mean square), and no
    value ends further from where it began than `steps` such steps would take it. For this it climbs on u, where the
    point is start + reach * tanh(u): hard bounds would cost scipy more time than the network takes.

    Args:
        slope: point -> value to be maximised, and its gradient.
        start: the point `(...)`.
        steps: iterations at most, at least 1; each may look several times.
        size: of a step; below 0 it climbs down.
        where: multiplies how far each value may go; it must fit the point.
        watch: called after each iteration with its number from 1, the point, and the value before it.

    Returns:
        The point, and the value before each iteration.
    """
    import scipy.optimize

    reach = (abs(size) * steps * np.broadcast_to(where, start.shape)).astype(np.float64)
    stretch = np.sqrt(start.size) / steps  # scipy's first trial has the length 1
    values: list[float] = []

    def bent(flat: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.tanh(stretch * flat.reshape(start.shape))

    def fall(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        part = bent(flat)
        value, rise = slope((start + reach * part).astype(np.float32))
        if not values:
            values.append(value)
        return -np.sign(size) * value, -np.sign(size) * stretch * (rise * reach * (1 - part**2)).ravel()

    def tell(intermediate_result: Any) -> None:
        point = (start + reach * bent(intermediate_result.x)).astype(np.float32)
        watch(len(values), point, values[-1])
        values.append(-np.sign(size) * float(intermediate_result.fun))

    found = scipy.optimize.minimize(
        fall,
        np.zeros(start.size),
        jac=True,
        method="L-BFGS-B",
        callback=tell,
        options={"maxiter": steps, "maxfun": 20 * steps, "ftol": 0.0, "gtol": 0.0, "maxcor": 10},
    )
    return (start + reach * bent(found.x)).astype(np.float32), values[:steps]


OPTIMISERS: dict[str, Optimiser] = {
    "ascent": Optimiser(step=plain),
    "momentum": Optimiser(slots=1, step=with_momentum),
    "adam": Optimiser(slots=2, step=adam),
    "lbfgs": Optimiser(step=None, kept=22),  # ten pairs, and what it is at
}
