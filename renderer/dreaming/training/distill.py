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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from renderer.dreaming.networks.dreamnet import StandardisedConvolution, build_dreamnet
from renderer.dreaming.networks.network import Network
from renderer.dreaming.objectives.channel_weights import SPREAD
from renderer.dreaming.training.pictures import training_picture
from renderer.dreaming.training.training import Training, cosine_schedule, mean_cosine, running_mean, write_network

HEAD_ORDER = ("patterns", "parts", "objects")

SCALES = (1, 2)
"""Pixels over which gradients are averaged before they are compared: as they are, and where dreams gather."""


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


class Distillation(Training[DistillProgress]):
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
        self.photos, self.settings = photos, settings
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
        super().__init__(minutes=settings.minutes, seed=settings.seed, checkpoint=checkpoint, key=repr(parts))
        self._loss = self._cosine = float("nan")
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
        self._train_weights(self.student, settings.learning_rate)
        self._train = {match: self._training_step(match) for match in (False, True)}
        self._dream = self._chain_step()
        self._restore()
        self.publish()
        self.pool = np.stack([self._fresh_picture() for _ in range(settings.chains)])
        self.visits = self.rng.integers(settings.visits, size=settings.chains)

    def _advance(self, share: float) -> None:
        match = share >= self.settings.match_from
        loss, cosine = self._one_step(share, match)
        self._loss, self._cosine = (
            running_mean(self._loss, loss),
            running_mean(self._cosine, cosine if match else np.nan),
        )
        if (self.step + 1) % 8 == 0:
            self.publish()

    def _progress(self, share: float) -> DistillProgress:
        return DistillProgress(self.step, share, self._loss, self._cosine)

    def publish(self) -> None:
        """Fold the averaged weights into the plain network, which is the one that dreams."""
        self._fold_into(self.plain, units={})

    def write(self, path: Path) -> None:
        """Write the network in use to `path` (.keras), in half precision, whole or not at all."""
        self.publish()
        write_network(self.plain, path)

    def _begin_from(self, model: keras.Model) -> None:
        known = {layer.name: layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}
        for layer in self.student.layers:
            found = known.get(layer.name)
            if found is not None and found.kernel.shape == layer.raw.shape:
                layer.begin_from(*(np.asarray(w, np.float32) for w in found.get_weights()))

    def _one_step(self, share: float, match: bool) -> tuple[float, float]:
        settings = self.settings
        self.optimizer.learning_rate.assign(settings.learning_rate * cosine_schedule(share))
        chosen = self.rng.choice(settings.chains, settings.chained, replace=False)
        fresh = [self._fresh_picture() for _ in range(settings.fresh)]
        batch = np.concatenate([self.pool[chosen], fresh]).astype(np.float32)
        decay = self._decay(settings.average)
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

        @tf.function(autograph=False)
        def step(batch: tf.Tensor, wish: Wish, decay: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            batch = tf.ensure_shape(batch, (None, settings.size, settings.size, 3))
            targets, wanted = self._answer(self._teacher_heads, batch, wish, match)
            targets = [tf.stop_gradient(t) for t in targets]
            with tf.GradientTape() as tape:
                answers, found = self._answer(self._student_heads, batch, wish, match)
                loss = self._feature_loss(answers, targets)
                cosine = mean_cosine(found, wanted, scales=SCALES) if match else tf.zeros(())
                total = loss + settings.match_weight * (1 - cosine) if match else loss
            gradients = tape.gradient(total, self.weights)
            self._apply(gradients, decay)
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
        @tf.function(autograph=False)
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
