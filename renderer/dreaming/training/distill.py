"""Distil a network: teach the small student to answer as the first blocks of a big one do.

Two things make the student dream well, not only answer well.

- On-policy chains. A pool of pictures that the student itself keeps dreaming is part of every batch, labelled by
  the teacher with what is really in them; without it the student falls into stripes wherever it has never been.
- No batch norm (see `StandardisedConvolution`), and a slow average of the weights, which is also what dreams in the
  chains, so that the network that explores is the one that will be used.

If asked, the student also learns the direction in which the teacher would change a picture: the cosine between the two
networks' input gradients of a dream objective (compare Czarnecki et al. 2017, "Sobolev training").
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from renderer.dreaming.networks.dreamnet import StandardisedConvolution, build_dreamnet
from renderer.dreaming.networks.fold_batch_norm import rebuild
from renderer.dreaming.networks.network import Network
from renderer.dreaming.networks.weight_files import check_weights
from renderer.dreaming.objectives.channel_weights import SPREAD
from renderer.dreaming.training.pictures import training_picture
from renderer.errors import UsageError

HEAD_ORDER = ("patterns", "parts", "objects")


@dataclass(frozen=True, kw_only=True)
class DistillSettings:
    """How to train.

    Attributes:
        minutes: length of the training, by the clock; a run that goes on after a stop counts what it has done.
        size: side of a training picture, pixels. With 171 the maps of Inception v3 lie exactly on the student's.
        fresh, chained: pictures of a batch drawn anew, and taken from the chains.
        chains: pictures in the pool that the student keeps dreaming.
        visits: after how many visits of two steps a chain begins again from a new picture.
        learning_rate: peak of the cosine.
        average: decay of the slow average of the weights, per step.
        match_from: part of the time after which gradients are matched too; 1 for never. Matched gradients raise what
            the teacher sees in the student's dreams, and draw the dreams towards stripes and meshes.
        match_weight: weight of the gradient loss; the feature loss is about 1 at the beginning.
        head_weights: weights of the feature loss at `patterns`, `parts`, `objects`.
        seed: of the pictures and the first weights.
    """

    minutes: float = 120.0
    size: int = 171
    fresh: int = 10
    chained: int = 6
    chains: int = 256
    visits: int = 24
    learning_rate: float = 3e-3
    average: float = 0.998
    match_from: float = 1.0
    match_weight: float = 0.5
    head_weights: tuple[float, float, float] = (0.6, 1.0, 1.0)
    seed: int = 0


@dataclass(frozen=True)
class DistillProgress:
    """One report of a training under way: losses are running means, `share` is the part of the time that is over.

    `gradient_cosine` is not a number before gradients are matched.
    """

    step: int
    share: float
    feature_loss: float
    gradient_cosine: float

    @property
    def reading(self) -> str:
        """What it says, for people."""
        matched = "" if np.isnan(self.gradient_cosine) else f", gradient cosine {self.gradient_cosine:.3f}"
        return f"step {self.step}, loss {self.feature_loss:.3f}{matched}"


class Wish(NamedTuple):
    """What a picture is dreamed towards.

    Attributes:
        weights: of the channels of each head, `(channels,)`.
        linear: 1 for the mean of the activations, 0 for that of their squares.
    """

    weights: list[NDArray[np.float32]]
    linear: np.float32


class Distillation:
    """A training that can be stopped anywhere and goes on from its last checkpoint.

    Args:
        teacher: the network to learn from.
        layers: three of its layers, shallow to deep, with strides of about 8, 16 and 16 pixels.
        photos: uint8 `(H, W, 3)` RGB photographs.
        settings: how to train.
        checkpoint: file that holds the state of the training.
        start: a network whose weights the student begins with, wherever it has a layer of the same name and shape;
            None for random ones.

    Raises:
        UsageError: the checkpoint is of a training with another teacher, other pictures or settings.
    """

    def __init__(
        self,
        teacher: Network,
        layers: Sequence[str],
        photos: Sequence[NDArray[np.uint8]],
        settings: DistillSettings,
        *,
        checkpoint: Path,
        start: Network | None = None,
    ) -> None:
        self.photos, self.settings, self.checkpoint = photos, settings, checkpoint
        self._teacher = teacher.activations(layers)
        self._layers = tuple(layers)
        parts = [
            teacher.name,
            teacher.weights_sha256,
            *layers,
            len(photos),
            start and start.weights_sha256,
            replace(settings, minutes=0.0, match_from=0.0),
        ]
        self._key = repr(parts)
        self.rng = np.random.default_rng(settings.seed)
        keras.utils.set_random_seed(settings.seed)
        self.step, self.elapsed = 0, 0.0
        sample = np.stack([training_picture(photos, settings.size, self.rng) for _ in range(48)])
        activations = [tf.cast(a, tf.float32) for a in self._teacher_heads(sample)]
        self.means = [tf.reduce_mean(a, (0, 1, 2)) for a in activations]
        self.scales = [tf.math.reduce_std(a, (0, 1, 2)) + 0.02 * tf.math.reduce_std(a) for a in activations]
        heads = {name: a.shape[-1] for name, a in zip(HEAD_ORDER, activations, strict=True)}
        dtype = "mixed_bfloat16" if teacher.precision == "bfloat16" else "float32"
        self.student = build_dreamnet(heads=heads, convolution=StandardisedConvolution, dtype=dtype)
        self.plain = build_dreamnet(heads=heads, dtype=dtype)
        self.margin = _margin(settings.size, activations, self.plain)
        for head, mean, scale in zip(HEAD_ORDER, self.means, self.scales, strict=True):
            layer = self.student.get_layer(f"{head}_conv")
            layer.bias.assign(mean)
            layer.gain.assign(0.3 * scale)
        if start is not None:
            self._begin_from(start.model)
        self.weights = list(self.student.trainable_variables)
        self.averages = [tf.Variable(w, trainable=False) for w in self.weights]
        self.optimizer = keras.optimizers.Adam(settings.learning_rate, beta_2=0.99, global_clipnorm=1.0)
        self.optimizer.build(self.weights)
        self._train = {match: self._training_step(match) for match in (False, True)}
        self._dream = self._chain_step()
        self._restore()
        self.publish()
        self.pool = np.stack([self._fresh_picture() for _ in range(settings.chains)])
        self.visits = self.rng.integers(settings.visits, size=settings.chains)

    def run(
        self,
        *,
        report: Callable[[DistillProgress], None],
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
        budget = self.settings.minutes * 60
        last = saved = time.monotonic()
        loss = cosine = float("nan")
        while self.elapsed < budget:
            share = self.elapsed / budget
            match = share >= self.settings.match_from
            new_loss, new_cosine = self._one_step(share, match)
            loss, cosine = running_mean(loss, new_loss), running_mean(cosine, new_cosine if match else np.nan)
            self.step += 1
            if self.step % 8 == 0:
                self.publish()
            now = time.monotonic()
            self.elapsed, last = self.elapsed + now - last, now
            if self.step % 20 == 0:
                report(DistillProgress(self.step, share, loss, cosine))
            if now - saved > save_every:
                self.save()
                saved = now
            if should_stop():
                break
        self.save()
        return self.elapsed >= budget

    def publish(self) -> None:
        """Fold the averaged weights into the plain network, which is the one that dreams."""
        average = {w.path: a for w, a in zip(self.weights, self.averages, strict=True)}
        for layer in self.student.layers:
            if isinstance(layer, StandardisedConvolution):  # weights are averaged, then folded: folding is not linear
                kernel = layer.plain_kernel(average[layer.raw.path], average[layer.gain.path])
                plain = self.plain.get_layer(layer.name)
                plain.kernel.assign(kernel)
                plain.bias.assign(average[layer.bias.path])

    def write(self, path: Path) -> None:
        """Write the network in use to `path` (.keras), in half precision, whole or not at all."""
        self.publish()
        temporary = path.with_name(f".{path.stem}.part.keras")
        temporary.unlink(missing_ok=True)
        rebuild(self.plain, dtype="float16").save(temporary)
        temporary.replace(path)

    def save(self) -> None:
        """Write the state of the training, whole or not at all."""
        state = {f"weight_{i}": w.numpy() for i, w in enumerate(self.weights)}
        state |= {f"average_{i}": a.numpy() for i, a in enumerate(self.averages)}
        state |= {f"optimizer_{i}": np.asarray(v) for i, v in enumerate(self.optimizer.variables)}
        temporary = self.checkpoint.with_name(self.checkpoint.name + ".part.npz")
        temporary.unlink(missing_ok=True)  # A link that lay there would lead what is written somewhere else.
        np.savez(temporary, key=self._key, step=self.step, elapsed=self.elapsed, **state)
        temporary.replace(self.checkpoint)

    def _begin_from(self, model: keras.Model) -> None:
        known = {layer.name: layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}
        for layer in self.student.layers:
            found = known.get(layer.name)
            if found is not None and found.kernel.shape == layer.raw.shape:
                layer.begin_from(*(np.asarray(w, np.float32) for w in found.get_weights()))

    def _restore(self) -> None:
        kept = {"weight": self.weights, "average": self.averages, "optimizer": self.optimizer.variables}
        if state := restore(self.checkpoint, self._key, kept):
            self.step, self.elapsed = int(state["step"]), float(state["elapsed"])
            self.rng = np.random.default_rng([self.settings.seed, self.step])

    def _one_step(self, share: float, match: bool) -> tuple[float, float]:
        settings = self.settings
        self.optimizer.learning_rate.assign(settings.learning_rate * cosine_schedule(share))
        chosen = self.rng.choice(settings.chains, settings.chained, replace=False)
        fresh = [self._fresh_picture() for _ in range(settings.fresh)]
        batch = np.concatenate([self.pool[chosen], fresh]).astype(np.float32)
        decay = np.float32(min(settings.average, (1 + self.step) / (10 + self.step)))
        loss, cosine = self._train[match](batch, self._random_objective(), decay)
        self._visit(chosen)
        return float(loss), float(cosine)

    def _visit(self, chosen: NDArray[np.int64]) -> None:
        """Let the student dream the chosen chains two steps on; now and then move in, as a zoom does."""
        size = self.settings.size
        shift = self.rng.integers(-16, 17, 2)
        self.pool[chosen] = self._dream(
            self.pool[chosen],
            self._random_objective(),
            shift.astype(np.int32),
            np.float32(np.exp(self.rng.uniform(np.log(0.005), np.log(0.025)))),
            np.float32(self.rng.choice([0.0, 1.0, 4.0])),
        )
        self.visits[chosen] += 1
        for i in chosen:
            if self.visits[i] >= self.settings.visits:
                self.pool[i], self.visits[i] = self._fresh_picture(), 0
            elif self.rng.random() < 0.25:
                side = int(size / self.rng.uniform(1.05, 1.5))
                top, left = self.rng.integers(size - side + 1, size=2)
                window = self.pool[i, top : top + side, left : left + side]
                self.pool[i] = np.clip(cv2.resize(window, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)

    def _fresh_picture(self) -> NDArray[np.float32]:
        return training_picture(self.photos, self.settings.size, self.rng)

    def _random_objective(self) -> Wish:
        """Wish for one head: all its channels alike, all at random as a film does, or a random group of them."""
        head = self.rng.choice(3, p=[0.2, 0.4, 0.4])
        weights = [np.zeros(mean.shape[0], np.float32) for mean in self.means]
        row, kind = weights[head], self.rng.random()
        if kind < 0.35:
            row[:] = 1
        elif kind < 0.65:
            row[:] = np.exp(SPREAD * self.rng.standard_normal(len(row)))
            row /= row.mean()
        else:
            group = min(2 ** int(self.rng.integers(0, 7)), len(row))
            row[self.rng.choice(len(row), group, replace=False)] = len(row) / group
        return Wish(weights, np.float32(self.rng.random() < 0.5))

    def _training_step(self, match: bool) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
        settings = self.settings

        @tf.function
        def step(batch: tf.Tensor, wish: Wish, decay: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            batch = tf.ensure_shape(batch, (None, settings.size, settings.size, 3))
            targets, wanted = self._answer(self._teacher_heads, batch, wish, match)
            targets = [tf.stop_gradient(t) for t in targets]
            with tf.GradientTape() as tape:
                answers, found = self._answer(self._student_heads, batch, wish, match)
                loss = self._feature_loss(answers, targets)
                cosine = _mean_cosine(found, wanted) if match else tf.zeros(())
                total = loss + settings.match_weight * (1 - cosine) if match else loss
            gradients = tape.gradient(total, self.weights)
            self.optimizer.apply_gradients(zip(gradients, self.weights, strict=True))
            for average, weight in zip(self.averages, self.weights, strict=True):
                average.assign_add((1 - decay) * (weight - average))
            return loss, cosine

        return step

    def _answer(
        self, network: Callable[[tf.Tensor], Sequence[tf.Tensor]], batch: tf.Tensor, wish: Wish, match: bool
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return the network's activations and, to match them, the input gradients of the masked objective."""
        if not match:
            return [tf.cast(a, tf.float32) for a in network(batch)], tf.zeros(())
        with tf.GradientTape() as tape:
            tape.watch(batch)
            activations = [tf.cast(a, tf.float32) for a in network(batch)]
            objective = _dream_objective(activations, wish)
        return activations, tape.gradient(objective, batch)

    def _teacher_heads(self, batch: tf.Tensor) -> list[tf.Tensor]:
        activations = self._teacher(batch)
        return [activations[layer] for layer in self._layers]

    def _student_heads(self, batch: tf.Tensor) -> list[tf.Tensor]:
        m = self.margin
        taps = self.student(batch[:, m : batch.shape[1] - m, m : batch.shape[2] - m], training=True)
        return [taps[name] for name in HEAD_ORDER]

    def _feature_loss(self, answers: list[tf.Tensor], targets: list[tf.Tensor]) -> tf.Tensor:
        loss = tf.zeros(())
        weights = self.settings.head_weights
        for answer, target, scale, weight in zip(answers, targets, self.scales, weights, strict=True):
            if target.shape[1:3] != answer.shape[1:3]:
                target = tf.image.resize(target, answer.shape[1:3])
            loss += weight * tf.reduce_mean(tf.square((answer - target) / scale))
        return loss / sum(weights)

    def _chain_step(self) -> Callable[..., tf.Tensor]:
        @tf.function
        def dream(pictures: tf.Tensor, wish: Wish, shift: tf.Tensor, size: tf.Tensor, smooth: tf.Tensor) -> tf.Tensor:
            pictures = tf.roll(pictures, shift, (1, 2))
            for _ in range(2):
                with tf.GradientTape() as tape:
                    tape.watch(pictures)
                    taps = self.plain(pictures)
                    objective = _dream_objective([taps[name] for name in HEAD_ORDER], wish)
                gradient = tape.gradient(objective, pictures)
                broad = tf.nn.avg_pool2d(tf.nn.avg_pool2d(gradient, 5, 1, "SAME"), 5, 1, "SAME")
                gradient += smooth * broad
                gradient /= tf.math.reduce_std(gradient, (1, 2, 3), keepdims=True) + 1e-12
                pictures = tf.clip_by_value(pictures + size * gradient, 0.0, 1.0)
            return tf.roll(pictures, -shift, (1, 2))

        return lambda *arguments: dream(*arguments).numpy()


def _dream_objective(activations: Sequence[tf.Tensor], wish: Wish) -> tf.Tensor:
    """Return the weighted mean of the squares, or of the activations, summed over the heads, of each picture `(N,)`."""
    value = tf.zeros(())
    for activation, weights in zip(activations, wish.weights, strict=True):
        raised = tf.cast(activation, tf.float32)
        raised *= tf.where(wish.linear > 0, tf.ones_like(raised), raised)
        value += tf.reduce_mean(weights * raised, (1, 2, 3))
    return value


def _mean_cosine(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Mean cosine of gradients `(N, H, W, 3)`, as they are and at half size, where dreams gather."""
    cosines = []
    for pool in (1, 2):
        x, y = (tf.nn.avg_pool2d(g, pool, pool, "VALID") if pool > 1 else g for g in (a, b))
        dot = tf.reduce_sum(x * y, (1, 2, 3))
        squares = tf.reduce_sum(x * x, (1, 2, 3)) * tf.reduce_sum(y * y, (1, 2, 3))
        cosines.append(tf.reduce_mean(dot * tf.math.rsqrt(squares + 1e-20)))
    return tf.add_n(cosines) / len(cosines)


def _margin(size: int, targets: Sequence[tf.Tensor], student: keras.Model) -> int:
    """Find how much to crop the student's pictures so that its maps lie on the teacher's.

    The largest margin that leaves maps as large as the teacher's is the one that wastes no pixel of the student's
    border, hence centred as the teacher's are; 0 where no margin fits, and then the teacher's maps are resized.
    """

    def fits(margin: int) -> bool:
        side = size - 2 * margin
        taps = student.compute_output_shape((1, side, side, 3))
        return all(taps[name][1] == target.shape[1] for name, target in zip(HEAD_ORDER, targets, strict=True))

    return max((margin for margin in range(17) if fits(margin)), default=0)


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
