"""Distil a class head: teach a branch of dreamnet to see a classifier's classes where the classifier sees them.

The branch learns the teacher's class map, place by place, from bent photographs, noise and dreams. Answering alike is
not enough to dream alike: a picture that is climbed towards a class is soon where no photograph ever was, and there
two networks that agree on photographs disagree. Three things bring what the student dreams to the teacher's eyes.

- Chains: pictures that are being dreamed towards a random class, by the student itself, or by the teacher. They are
  part of every batch, and the teacher says what is really in them.
- The slope: on the chains, the student's input gradient of the very score that it climbs is turned towards the
  teacher's gradient of the same score, at the scales at which dreams are drawn (compare Czarnecki et al. 2017,
  "Sobolev training").
- Memory: where chains ended is kept, and shown again, so that what was unlearned stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from renderer.dreaming.networks.dreamnet import (
    AGAINST,
    CLASS_MAP,
    StandardisedConvolution,
    build_class_branch,
    with_class_branch,
)
from renderer.dreaming.networks.network import Network
from renderer.dreaming.training.chains import Chains
from renderer.dreaming.training.pictures import training_picture
from renderer.dreaming.training.training import Training, cosine_schedule, mean_cosine, running_mean, write_network
from renderer.errors import UsageError

RIVALS = 2.0
"""Temperature of the softmax over the other classes, whose scores are climbed down from: about the best few."""

SCALES = (2, 4, 8)
"""Pixels over which gradients are averaged before they are compared: what is finer is no drawing."""

OFFSET = 2
"""Pixels that the teacher's map lies further right and down than the student's; see `squeezenet`."""


@dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """How to train a class head.

    Attributes:
        minutes: length of the training, by the clock; a run that goes on after a stop counts what it has done.
        size: side of a training picture, pixels.
        fresh, remembered, chained: pictures of a batch that are drawn anew, that were dreamed before, and that are
            being dreamed.
        chains: pictures in the pool that are being dreamed.
        ending: chance that a chain ends at a visit.
        led: share of the chains that climb the teacher's gradient instead of the student's.
        memory: how many ends of chains are kept.
        learning_rate: peak of the cosine.
        average: decay of the slow average of the weights, per step.
        map_weight, place_weight, score_weight, slope_weight: of the losses, see `HeadDistillation`.
        place_softness: temperature at which the classes at one place are compared.
        seed: of the pictures and the first weights.
    """

    minutes: float = 120.0
    size: int = 139
    fresh: int = 6
    remembered: int = 2
    chained: int = 8
    chains: int = 32
    ending: float = 0.06
    led: float = 0.4
    memory: int = 2000
    learning_rate: float = 2e-3
    average: float = 0.998
    map_weight: float = 1.0
    place_weight: float = 0.3
    score_weight: float = 0.15
    slope_weight: float = 1.5
    place_softness: float = 8.0
    seed: int = 0


@dataclass(frozen=True)
class HeadProgress:
    """One report of a training under way: running means, `share` is the part of the time that is over.

    Attributes:
        map_loss, place_loss, score_loss: see `HeadDistillation`.
        slope: cosine of the student's and the teacher's gradients on the chains.
        agreement: how often the teacher's first class is among the student's five, on pictures that are no dreams.
        first, five: how often the teacher says first, or among five, the class that a chain of the student ended at.
    """

    step: int
    share: float
    map_loss: float
    place_loss: float
    score_loss: float
    slope: float
    agreement: float
    first: float
    five: float

    @property
    def reading(self) -> str:
        """What it says, for people."""
        return (
            f"step {self.step}, loss {self.map_loss:.3f}, gradient cosine {self.slope:.3f}, the teacher's class "
            f"among five {self.agreement:.2f}, dreams it knows {self.five:.2f}"
        )


def class_map(teacher: Network) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function from pictures `(N, H, W, 3)`, RGB in [0, 1], to the teacher's class map before its relu.

    Raises:
        UsageError: the teacher's head is no average of a map that a 1x1 convolution makes, as SqueezeNet's is.
    """
    last = next((layer for layer in teacher.model.layers if layer.name == "conv10"), None)
    if teacher.head is None or last is None:
        raise UsageError(f"Network {teacher.title!r} cannot teach a class head; the one that can is squeezenet.")
    kernel, bias = (tf.constant(np.asarray(w, np.float32)) for w in last.get_weights())
    below = str(last.input._keras_history.operation.name)
    features = teacher.activations((below,))

    def answer(pictures: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(tf.cast(features(pictures)[below], tf.float32), kernel, 1, "VALID") + bias

    return answer


def scores(classes: tf.Tensor, *, against: float = 0.0) -> tf.Tensor:
    """Average a class map `(N, h, w, K)` to class scores `(N, K)`, as the classifier does; see `AGAINST`."""
    return tf.reduce_mean(tf.nn.leaky_relu(classes, against), (1, 2))


def aim(student_scores: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
    """Say which scores to climb: the wanted class up, its rivals down, together nothing; `(N, K)`."""
    wanted = tf.one_hot(words, student_scores.shape[-1])
    return wanted - tf.nn.softmax((student_scores - 1e9 * wanted) / RIVALS)


class HeadDistillation(Training[HeadProgress]):
    """A training that can be stopped anywhere and goes on from its last checkpoint.

    The loss is a sum of four: the squared error of a picture's map over its variance; the divergence of the softmax
    over the classes at each place; that of the scores; and 1 less the cosine of the input gradients on the chains.

    Args:
        teacher: a classifier whose head averages a class map.
        photos: uint8 `(H, W, 3)` RGB photographs.
        settings: how to train.
        checkpoint: file that holds the state of the training.
        start: the dreamnet that the branch is for. The branch begins as the one it has, or as a copy of its layers.
        fitted: pictures that the last layer is fitted to at the beginning.

    Raises:
        UsageError: a teacher that cannot teach this, or a checkpoint of a training with another teacher, other
            pictures or settings.
    """

    def __init__(
        self,
        teacher: Network,
        photos: Sequence[NDArray[np.uint8]],
        settings: HeadSettings,
        *,
        checkpoint: Path,
        start: Network,
        fitted: int = 384,
    ) -> None:
        self.photos, self.settings, self.start = photos, settings, start
        self._teacher = class_map(teacher)
        same = [teacher.weights_sha256, len(photos), start.weights_sha256, replace(settings, minutes=0.0)]
        super().__init__(minutes=settings.minutes, seed=settings.seed, checkpoint=checkpoint, key=repr(same))
        sample = np.stack([training_picture(photos, settings.size, self.rng) for _ in range(48)])
        answers = self._teacher(sample)
        self.classes = int(answers.shape[-1])
        self.scale = float(tf.math.reduce_std(answers))
        self.student = build_class_branch(classes=self.classes, convolution=StandardisedConvolution)
        self.plain = build_class_branch(classes=self.classes)
        if not (self._begin_from(start.model) or checkpoint.exists()):
            self._fit_last_layer(fitted)
        self._train_weights(self.student, settings.learning_rate)
        self._train = self._training_step()
        self.means = np.full(7, np.nan)
        if state := self._restore():
            self.scale, self.means = float(state["scale"]), state["means"][: len(self.means)]
        self.chains = Chains(
            photos,
            classes=self.classes,
            size=settings.size,
            count=settings.chains,
            led=settings.led,
            ending=settings.ending,
            memory=list(state.get("memory", ())),
            memory_size=settings.memory,
            rng=self.rng,
        )

    def _advance(self, share: float) -> None:
        self._one_step(share)

    def _progress(self, share: float) -> HeadProgress:
        return HeadProgress(self.step, share, *(float(m) for m in self.means))

    def publish(self) -> keras.Model:
        """Fold the averaged weights into the plain branch, and return it; its map is in the teacher's unit."""
        self._fold_into(self.plain, units={CLASS_MAP: self.scale})
        return self.plain

    def write(self, path: Path) -> None:
        """Write the network it began from, with the class branch, to `path` (.keras), in half precision."""
        write_network(with_class_branch(self.start.model, self.publish()), path)

    def _more_state(self) -> dict[str, Any]:
        memory = {"memory": np.stack(self.chains.memory)} if self.chains.memory else {}
        return {"scale": self.scale, "means": self.means, **memory}

    def _begin_from(self, model: keras.Model) -> bool:
        """Take over convolutions of the same shape: of a class branch, or else of what it is a copy of.

        Returns:
            Whether the last layer was among them.
        """
        known = {layer.name: layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}
        taken = ""
        for layer in self.student.layers:
            found = known.get(layer.name) or known.get(layer.name.removeprefix("class_"))
            if found is not None and found.kernel.shape == layer.raw.shape:
                unit = self.scale if layer.name == CLASS_MAP else 1.0
                layer.begin_from(*(np.asarray(w, np.float32) / unit for w in found.get_weights()))
                taken = layer.name
        return taken == CLASS_MAP

    def _fit_last_layer(self, count: int, ridge: float = 1e-3) -> None:
        """Set the last layer by least squares, from what the layer below it shows already.

        Its filters have no mean (see `StandardisedConvolution`), hence neither have the features it is fitted to.
        """
        last = self.student.get_layer(CLASS_MAP)
        below = keras.Model(self.student.input, last.input)
        products: list[tf.Tensor] = []
        for _ in range(0, count, 16):
            pictures = np.stack([training_picture(self.photos, self.settings.size, self.rng) for _ in range(16)])
            features = below(pictures[:, OFFSET:, OFFSET:])
            wanted = tf.reshape(self._teacher(pictures), (-1, self.classes)) / self.scale
            flat = tf.reshape(features, (-1, features.shape[-1]))
            flat -= tf.reduce_mean(flat, -1, keepdims=True)
            flat = tf.concat([flat, tf.ones_like(flat[:, :1])], 1)
            new = [tf.matmul(flat, other, transpose_a=True) for other in (flat, wanted)]
            products = [a + b for a, b in zip(products, new, strict=True)] if products else new
        square, mixed = (np.asarray(product, np.float64) for product in products)
        square += ridge * np.trace(square) / len(square) * np.eye(len(square))
        solved = np.linalg.solve(square, mixed).astype(np.float32)
        last.begin_from((solved[:-1] - solved[:-1].mean(0))[None, None], solved[-1])

    def _one_step(self, share: float) -> None:
        settings = self.settings
        self.optimizer.learning_rate.assign(settings.learning_rate * cosine_schedule(share))
        chosen = self.chains.choose(settings.chained)
        fresh = [training_picture(self.photos, settings.size, self.rng) for _ in range(settings.fresh)]
        others = np.stack(fresh + self.chains.remembered(settings.remembered)).astype(np.float32)
        words, led = self.chains.words[chosen].astype(np.int32), self.chains.led[chosen]
        decay = self._decay(settings.average)
        losses, agreement, first, five, slopes = self._train(self.chains.pool[chosen], others, words, led, decay)
        self._keep(slice(5), [*losses.numpy(), float(agreement)])
        for place in self.chains.visit(chosen, slopes):
            self._keep(slice(5, 7), [float(first[place]), float(five[place])], 0.99)

    def _keep(self, which: slice, new: Sequence[float], keep: float = 0.98) -> None:
        self.means[which] = [
            running_mean(mean, value, keep) for mean, value in zip(self.means[which], new, strict=True)
        ]

    def _student(self, pictures: tf.Tensor) -> tf.Tensor:
        return self.scale * tf.cast(self.student(pictures[:, OFFSET:, OFFSET:], training=True), tf.float32)

    def _training_step(self) -> Callable[..., tuple[tf.Tensor, ...]]:
        settings = self.settings
        weights = (settings.map_weight, settings.place_weight, settings.score_weight, settings.slope_weight)

        @tf.function(autograph=False)
        def step(
            dreams: tf.Tensor, others: tf.Tensor, words: tf.Tensor, led: tf.Tensor, decay: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            dreams, others = (tf.ensure_shape(p, (None, settings.size, settings.size, 3)) for p in (dreams, others))
            with tf.GradientTape() as tape:
                with tf.GradientTape() as inner:
                    inner.watch(dreams)
                    found = self._student(dreams)
                    climbed = scores(found, against=AGAINST)
                    aims = tf.stop_gradient(aim(climbed, words))
                    value = tf.reduce_sum(aims * climbed)
                slope = inner.gradient(value, dreams)
                with tf.GradientTape() as above:
                    above.watch(dreams)
                    wanted = self._teacher(dreams)
                    value = tf.reduce_sum(aims * scores(wanted, against=AGAINST))
                wanted_slope = tf.stop_gradient(above.gradient(value, dreams))
                wanted_others, found_others = self._teacher(others), self._student(others)
                all_wanted = tf.stop_gradient(tf.concat([wanted, wanted_others], 0))
                losses = self._losses(tf.concat([found, found_others], 0), all_wanted)
                cosine = mean_cosine(slope, wanted_slope, scales=SCALES)
                losses.append(1 - cosine)
                total = tf.add_n([w * loss for w, loss in zip(weights, losses, strict=True)])
            gradients = tape.gradient(total, self.weights)
            self._apply(gradients, decay)
            best = tf.argmax(scores(wanted_others), -1)
            agreement = tf.reduce_mean(tf.cast(tf.math.in_top_k(best, scores(found_others), 5), tf.float32))
            seen = scores(wanted)
            first, five = (tf.math.in_top_k(words, seen, k) for k in (1, 5))
            return (
                tf.stack([*losses[:3], cosine]),
                agreement,
                first,
                five,
                tf.where(led[:, None, None, None], wanted_slope, slope),
            )

        return step

    def _losses(self, found: tf.Tensor, wanted: tf.Tensor) -> list[tf.Tensor]:
        soft = self.settings.place_softness
        spread = tf.math.reduce_variance(wanted, (1, 2, 3)) + 0.1 * self.scale**2  # a dream's map is many times as loud
        return [
            tf.reduce_mean(tf.reduce_mean(tf.square(found - wanted), (1, 2, 3)) / spread),
            tf.reduce_mean(_divergence(wanted / soft, found / soft)),
            tf.reduce_mean(_divergence(scores(wanted), scores(found))),
        ]


def _divergence(wanted: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
    """Kullback-Leibler divergence of two softmaxes over the last axis, given their logits."""
    log_wanted, log_found = tf.nn.log_softmax(wanted), tf.nn.log_softmax(found)
    return tf.reduce_sum(tf.exp(log_wanted) * (log_wanted - log_found), -1)
