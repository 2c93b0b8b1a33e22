"""What all trainings share: time, checkpoints, a slow average of the weights, and the network that is written."""

from __future__ import annotations

import time
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from renderer.dreaming.networks.dreamnet import StandardisedConvolution
from renderer.dreaming.networks.model_rewrite import rebuild
from renderer.dreaming.networks.weight_files import check_weights
from renderer.errors import UsageError

LONGEST_STEP = 60.0
"""Seconds that a step counts for at most: what took longer was a pause of the machine's, or of the process'."""

Progress = TypeVar("Progress")


class Training(ABC, Generic[Progress]):
    """A training that can be stopped anywhere and goes on from its last checkpoint.

    Args:
        minutes: length of the training, by the clock; a run that goes on after a stop counts what it has done.
        seed: of the pictures and the first weights.
        checkpoint: file that holds the state of the training.
        key: what the training is of; a checkpoint must have the same.
    """

    def __init__(self, *, minutes: float, seed: int, checkpoint: Path, key: str) -> None:
        self.checkpoint, self._minutes, self._seed, self._key = checkpoint, minutes, seed, key
        self.rng = np.random.default_rng(seed)
        keras.utils.set_random_seed(seed)
        self.step, self.elapsed = 0, 0.0

    def _train_weights(self, student: keras.Model, learning_rate: float) -> None:
        """Say whose weights are trained."""
        self.student = student
        self.weights = list(student.trainable_variables)
        self.averages = [tf.Variable(w, trainable=False) for w in self.weights]
        self.optimizer = keras.optimizers.Adam(learning_rate, beta_2=0.99, global_clipnorm=1.0)
        self.optimizer.build(self.weights)

    def run(
        self,
        *,
        report: Callable[[Progress], None],
        should_stop: Callable[[], bool] = lambda: False,
        save_every: float = 120.0,
    ) -> bool:
        """Train for what is left of the time.

        Args:
            report: called every 20 steps.
            should_stop: asked after each step; True saves the state and returns.
            save_every: seconds between checkpoints.

        Returns:
            True when the time is over, False when it was stopped.
        """
        budget = self._minutes * 60
        last = saved = time.monotonic()
        while self.elapsed < budget:
            share = self.elapsed / budget
            self._advance(share)
            self.step += 1
            now = time.monotonic()
            self.elapsed, last = self.elapsed + min(now - last, LONGEST_STEP), now
            if self.step % 20 == 0:
                report(self._progress(share))
            if now - saved > save_every:
                self.save()
                saved = now
            if should_stop():
                break
        self.save()
        return self.elapsed >= budget

    @abstractmethod
    def _advance(self, share: float) -> None:
        """Take a step of the training, when `share` of its time is over."""

    @abstractmethod
    def _progress(self, share: float) -> Progress:
        """Tell how far it is."""

    def save(self) -> None:
        """Write the state of the training, whole or not at all."""
        state = {f"weight_{i}": w.numpy() for i, w in enumerate(self.weights)}
        state |= {f"average_{i}": a.numpy() for i, a in enumerate(self.averages)}
        state |= {f"optimizer_{i}": np.asarray(v) for i, v in enumerate(self.optimizer.variables)}
        temporary = self.checkpoint.with_name(self.checkpoint.name + ".part.npz")
        temporary.unlink(missing_ok=True)  # A link that lay there would lead what is written somewhere else.
        np.savez(temporary, key=self._key, step=self.step, elapsed=self.elapsed, **state, **self._more_state())
        temporary.replace(self.checkpoint)

    def _more_state(self) -> dict[str, Any]:
        """Return what a checkpoint holds beside weights and time."""
        return {}

    def _restore(self) -> dict[str, NDArray[Any]]:
        """Go on from the checkpoint, if there is one, and return what else it holds."""
        kept = {"weight": self.weights, "average": self.averages, "optimizer": self.optimizer.variables}
        if state := restore(self.checkpoint, self._key, kept):
            self.step, self.elapsed = int(state["step"]), float(state["elapsed"])
            self.rng = np.random.default_rng([self._seed, self.step])
        return state

    def _decay(self, slowest: float) -> np.float32:
        """Return the decay of the average of the weights, which is fast at first."""
        return np.float32(min(slowest, (1 + self.step) / (10 + self.step)))

    def _apply(self, gradients: Sequence[tf.Tensor], decay: tf.Tensor) -> None:
        """Change the weights, and let their average follow; a part of the graph of a step."""
        self.optimizer.apply_gradients(zip(gradients, self.weights, strict=True))
        for average, weight in zip(self.averages, self.weights, strict=True):
            average.assign_add((1 - decay) * (weight - average))

    def _fold_into(self, plain: keras.Model, *, units: Mapping[str, float]) -> None:
        """Fold the averaged weights into the plain network; `units` multiply what some of its layers answer."""
        average = {w.path: a for w, a in zip(self.weights, self.averages, strict=True)}
        for layer in self.student.layers:
            if isinstance(layer, StandardisedConvolution):  # weights are averaged, then folded: folding is not linear
                unit = units.get(layer.name, 1.0)
                kernel = layer.plain_kernel(average[layer.raw.path], average[layer.gain.path])
                plain_layer = plain.get_layer(layer.name)
                plain_layer.kernel.assign(unit * kernel)
                plain_layer.bias.assign(unit * average[layer.bias.path])


def write_network(network: keras.Model, path: Path) -> None:
    """Write a network to `path` (.keras), in half precision, whole or not at all."""
    temporary = path.with_name(f".{path.stem}.part.keras")
    temporary.unlink(missing_ok=True)
    rebuild(network, dtype="float16").save(temporary)
    temporary.replace(path)


def mean_cosine(a: tf.Tensor, b: tf.Tensor, *, scales: Sequence[int]) -> tf.Tensor:
    """Mean cosine of gradients `(N, H, W, 3)`, averaged over squares of so many pixels, at each of the scales."""
    cosines = []
    for pool in scales:
        x, y = (tf.nn.avg_pool2d(g, pool, pool, "VALID") if pool > 1 else g for g in (a, b))
        dot = tf.reduce_sum(x * y, (1, 2, 3))
        squares = tf.reduce_sum(x * x, (1, 2, 3)) * tf.reduce_sum(y * y, (1, 2, 3))
        cosines.append(tf.reduce_mean(dot * tf.math.rsqrt(squares + 1e-20)))
    return tf.add_n(cosines) / len(cosines)


def restore(checkpoint: Path, key: str, kept: Mapping[str, Sequence[Any]]) -> dict[str, NDArray[Any]]:
    """Read the state of a training.

    Args:
        checkpoint: .npz file; none there yet is no fault.
        key: what the training is of; the file must have the same.
        kept: variables, which are given the values that the file holds as `NAME_0`, `NAME_1` and so on.

    Returns:
        What else the file holds; empty where there is none.

    Raises:
        UsageError: a file that is damaged, or of another training.
    """
    if not checkpoint.exists():
        return {}
    broken = UsageError(f"{checkpoint} is damaged, or not the state of a training; delete it to begin anew.")
    if checkpoint.is_symlink() or not zipfile.is_zipfile(checkpoint):
        raise broken
    check_weights(checkpoint)
    try:
        with np.load(checkpoint) as state:
            if str(state["key"]) != key:
                raise UsageError(
                    f"{checkpoint} is of a training with another teacher, other pictures or settings; give those "
                    "again, or delete it to begin anew."
                )
            for name, variables in kept.items():
                for i, variable in enumerate(variables):
                    variable.assign(state[f"{name}_{i}"])
            return {name: state[name] for name in state.files if name.rpartition("_")[0] not in kept}
    except UsageError:
        raise
    except Exception as error:  # An archive that is cut off, or holds something else, fails in any way.
        raise broken from error


def running_mean(mean: float, new: float, keep: float = 0.98) -> float:
    """Return the running mean of a loss, of which `keep` is the old; not a number until there is one."""
    return new if np.isnan(mean) else keep * mean + (1 - keep) * new


def cosine_schedule(share: float, *, warm_up: float = 0.01, floor: float = 0.003) -> float:
    """Return the part of the learning rate's peak that is due after a part of the time: a cosine, after a warm-up."""
    if share < warm_up:
        return max(share / warm_up, 0.02)
    return floor + (1 - floor) * 0.5 * (1 + float(np.cos(np.pi * (share - warm_up) / (1 - warm_up))))
