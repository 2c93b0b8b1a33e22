"""What is maximised: the kinds of objective, and the penalties that are taken off.

A kind of objective is one function of a layer's activation, of the weights of its channels and of its reference (what
it is compared with), and one line in `OBJECTIVES` at the foot. Channels are weighed by one inner product throughout,
the mean over the channels of `weight * x * y`: so one channel, some of them, and all of them with weights that change
are the same thing to every kind.

Activations are float32 `(N, h, w, channels)`. Weights `(channels,)` have a mean of 1: a channel alone has the number of
channels, the others 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from renderer.errors import UsageError
from renderer.lazy import Lazy

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = Lazy("tensorflow")


TINY = 1e-20
"""Far below the energy of any activation of use; keeps what has none from dividing by 0."""

FLAT = 1e-8
"""Makes total variation smooth where a picture is flat; far below a step of 8 bits, squared."""

COSINE_POWER = 4
"""How much more `cosine` asks for the direction than for the length; p in `cosine`."""

GAIN = 1.0
"""By how much `target` wants its channels raised: 1 doubles them."""

WAKE = 1e-3
"""What the mean of all classes counts beside the one that `logit` raises."""

SHARPNESS = 0.3
"""How firmly `likeliest` decides: a class that is a standard deviation of all scores behind counts exp(-0.3). Of five
groups from noise, at 4 and at 1 whatever is easiest to feign wins at once: of things built, a confectioner's bowls."""

REGIONS = (2, 3)
"""Rows and columns of the regions that `diversity` compares."""

MATCHES_AT_ONCE = 1 << 22
"""Dot products that `guide` keeps at once, 16 MiB: a 4K frame has too many for any memory."""

TermFn = Callable[["tf.Tensor", "tf.Tensor", "tf.Tensor"], "tf.Tensor"]
"""From an activation `(N, h, w, channels)`, the weights `(channels,)` and a reference to a scalar."""


@dataclass(frozen=True)
class ObjectiveKind:
    """A kind of objective.

    Attributes:
        function: what is maximised of a layer.
        compares_with: the picture whose features are its reference: "guide", "style", or "canvas", the frame before it
            was dreamed on. None for no reference.
        features: what is kept of that picture's features, a key of `FEATURES`.
    """

    function: TermFn
    compares_with: str | None = None
    features: str = "map"


@dataclass(frozen=True)
class Features:
    """What is kept of the features of a picture: a function of a map `(1, h, w, channels)`, and the shape of it."""

    make: Callable[[tf.Tensor], tf.Tensor]
    shape: Callable[[int], tuple[int | None, ...]]


def kinds_that_compare_with(picture: str) -> tuple[str, ...]:
    """Name the kinds of objective whose reference is a picture: "guide", "style" or "canvas"."""
    return tuple(name for name, kind in OBJECTIVES.items() if kind.compares_with == picture)


def check_pictures(kinds: Collection[str], given: Collection[str]) -> None:
    """Refuse kinds of objective without the guide or style that they compare with, and one that nothing compares with.

    Args:
        kinds: those of all that is dreamed of.
        given: which of "guide" and "style" there are.

    Raises:
        UsageError: with what to do.
    """
    for name in ("guide", "style"):
        comparing = kinds_that_compare_with(name)
        used = [kind for kind in comparing if kind in kinds]
        if used and name not in given:
            needs = f"objectives {', '.join(used)} need" if len(used) > 1 else f"objective {used[0]} needs"
            raise UsageError(f"The {needs} a {name}, and none is given; give a picture or a video with --{name}.")
        if name in given and not used:
            raise UsageError(
                f"A {name} is given with --{name}, and nothing heeds it; choose what does with --objective "
                f"{comparing[0]}, or in the layer mix, like {comparing[0]}@LAYER (of {', '.join(comparing)})."
            )


def square(activation: tf.Tensor, weights: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Return the mean square: what is strong grows strongest (google's `dream.ipynb`, there as half the sum)."""
    del reference
    return tf.reduce_mean(weights * tf.square(activation))


def mean(activation: tf.Tensor, weights: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Return the mean: everything grows alike (the TensorFlow tutorial)."""
    del reference
    return tf.reduce_mean(weights * activation)


def logit(activation: tf.Tensor, weights: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Return the score of a class, before any softmax.

    S_y of Simonyan et al. 2013, "Deep Inside Convolutional Networks", equation 1; their lambda ||x||^2 is a term of
    its own, `square` of the layer `picture`, or a penalty. The layer is the network's head, the channel the class.
    SqueezeNet's scores are never negative, and a class that it sees nothing of gives no direction: the mean of all
    classes, of which `WAKE` is added, moves the picture until the class wakes, and is nothing beside it afterwards.
    """
    del reference
    return tf.reduce_mean(weights * activation) + WAKE * tf.reduce_mean(activation)


def likeliest(activation: tf.Tensor, weights: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Return the score of whichever class of a group is ahead: a soft maximum, so that one thing comes of it.

    The mean of a group's scores asks for what all of them share, and stays between them. Here each class counts by its
    softmax within the group, so that all of them begin it and one of them ends it: T log sum exp(score / T), where T
    is the spread of all scores over `SHARPNESS`, so that it means the same for every head, and is held fixed.

    Args:
        activation: `(N, h, w, classes)`; scores have one position.
        weights: `(classes,)`; above 0 for those of the group.
        reference: nothing.
    """
    del reference
    softness = tf.stop_gradient(tf.math.reduce_std(activation) + TINY) / SHARPNESS
    inside = tf.where(weights > 0, activation / softness, -math.inf)
    return tf.reduce_mean(softness * tf.reduce_logsumexp(inside, -1)) + WAKE * tf.reduce_mean(activation)


def guide(activation: tf.Tensor, weights: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Return the mean dot product of every position with the guide's position that it has the largest with.

    Google's `dream.ipynb`: the gradient of a position is the guide's features there, held fixed. The mean in place of
    their sum, so that it has the scale of `square`.

    Args:
        activation: `(N, h, w, channels)`.
        weights: `(channels,)`.
        reference: `(positions, channels)`, features of the guide.
    """
    flat = tf.reshape(activation, (-1, tf.shape(activation)[-1]))
    matched = tf.gather(reference, _best_matches(tf.stop_gradient(flat * weights), reference))
    return tf.reduce_mean(weights * flat * tf.stop_gradient(matched))


def match(activation: tf.Tensor, weights: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Return the mean of dot * max(0.1, cos)^p with the guide's position where this is largest, for each position.

    Google's guide with lucid's measure: in the notebook a few positions of the guide that answer strongly win nearly
    everywhere, and the dream grows away from all of the guide; here each goes to what it resembles, and becomes like
    it. p is `COSINE_POWER`.

    Args:
        activation: `(N, h, w, channels)`.
        weights: `(channels,)`.
        reference: `(positions, channels)`, features of the guide.
    """
    flat = tf.reshape(activation, (-1, tf.shape(activation)[-1]))
    # dot * cos^p is (x . y / |y|^(p / (p + 1)))^(p + 1), but for the length of x, which is the same for every y.
    energies = tf.reduce_mean(weights * tf.square(reference), -1, keepdims=True) + TINY
    bent = reference * energies ** (-0.5 * COSINE_POWER / (COSINE_POWER + 1))
    likest = _best_matches(tf.stop_gradient(flat * weights), bent)
    return _aligned(flat, weights, tf.stop_gradient(tf.gather(reference, likest)))


def direction(activation: tf.Tensor, weights: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Return the mean dot product with one vector `(channels,)`, the guide's mean features (lucid's `direction`)."""
    return tf.reduce_mean(weights * activation * reference)


def cosine(activation: tf.Tensor, weights: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Return the mean of dot * max(0.1, cos)^p with one vector `(channels,)`, the guide's mean features.

    Lucid's `_dot_cossim`: long and in the right direction, where `direction` alone is content with long. p is
    `COSINE_POWER`.
    """
    return _aligned(activation, weights, reference)


def target(activation: tf.Tensor, weights: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Return minus the distance to the canvas's own features, raised: -||F(x) - enhanced||^2.

    `enhanced` is the canvas's map times 1 + `GAIN` * weight, the heaviest channel's weight being taken as 1: all
    channels raised alike, or some of them and the others held where they are. Unlike `square` it has an end: a dream of
    a measured strength. Taken as a part of the canvas's own ||F||^2, so that its weight means the same for all layers.

    Args:
        activation: `(N, h, w, channels)`.
        weights: `(channels,)`.
        reference: `(1, h, w, channels)`, features of the canvas.
    """
    enhanced = reference * (1 + GAIN * weights / (tf.reduce_max(weights) + TINY))
    return -_distance(activation, enhanced) / (_distance(reference, 0.0) + TINY)


def hold(activation: tf.Tensor, weights: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Return minus the distance to a map of features, as a part of ||reference||^2.

    Of the canvas it is the content term of Gatys et al. 2015, "A Neural Algorithm of Artistic Style", equation 1. Of
    the guide it is the inversion of Mahendran & Vedaldi 2014, "Understanding Deep Image Representations by Inverting
    Them", equation 4: a picture that the layer cannot tell from the guide. Both without the factor of the relative
    distance: with it a weight means the same for all layers.
    """
    return -_distance(activation, reference, weights) / (_distance(reference, 0.0, weights) + TINY)


def difference(activation: tf.Tensor, weights: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Return the mean square difference to the canvas's features: drives away from it (lucid's `input_diff`).

    Of the layer `picture` it compares the pixels. With a weight below 0 it keeps near.
    """
    return _distance(activation, reference, weights)


def style(activation: tf.Tensor, weights: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Return minus the distance of the Gram matrices, as a part of the style's: -||G - G_style||^2 / ||G_style||^2.

    Gatys et al. 2015, equations 3 and 4, with the mean over the positions in place of their sum, so that both pictures
    may have any size, and with ||G_style||^2 in place of (2N)^2, so that a weight means the same for all layers.

    Args:
        activation: `(N, h, w, channels)`.
        weights: `(channels,)`.
        reference: `(channels, channels)`, Gram matrix of the style.
    """
    root = tf.sqrt(weights)
    wanted = root * root[:, None] * reference
    return -_distance(gram(root * activation), wanted) / (_distance(wanted, 0.0) + TINY)


def diversity(activation: tf.Tensor, weights: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Return minus the mean cosine between the Gram matrices of regions of the picture: each another texture.

    Lucid's `diversity`, which compares the pictures of a batch; here it is the `REGIONS` of one.
    """
    del reference
    scaled = tf.sqrt(weights) * activation
    grams = tf.stack([tf.reshape(gram(region), (-1,)) for region in _regions(scaled)])
    units = grams * tf.math.rsqrt(tf.reduce_sum(tf.square(grams), -1, keepdims=True) + TINY)
    count = REGIONS[0] * REGIONS[1]
    # |sum of unit vectors|^2 holds each pair twice, and each vector with itself.
    pairs = tf.reduce_sum(tf.square(tf.reduce_sum(units, 0))) - tf.reduce_sum(tf.square(units))
    return -pairs / (count * (count - 1))


def gram(activation: tf.Tensor) -> tf.Tensor:
    """Return the Gram matrix `(channels, channels)`: which channels answer together, on the mean of the positions."""
    flat = tf.reshape(activation, (-1, tf.shape(activation)[-1]))
    matrix = tf.matmul(flat, flat, transpose_a=True) / tf.cast(tf.shape(flat)[0], tf.float32)
    channels = activation.shape[-1]
    return tf.ensure_shape(matrix, (channels, channels))


def _aligned(activation: tf.Tensor, weights: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Return the mean of dot * max(0.1, cos)^p."""
    dot = tf.reduce_mean(weights * activation * reference, -1)
    energy = tf.reduce_mean(weights * tf.square(activation), -1) * tf.reduce_mean(weights * tf.square(reference), -1)
    cos = dot * tf.math.rsqrt(energy + TINY)
    return tf.reduce_mean(dot * tf.maximum(0.1, cos) ** COSINE_POWER)


def _distance(one: tf.Tensor, other: tf.Tensor | float, weights: tf.Tensor | float = 1.0) -> tf.Tensor:
    return tf.reduce_mean(weights * tf.square(one - other))


def _regions(activation: tf.Tensor) -> list[tf.Tensor]:
    """Cut a map into `REGIONS`, each at least one position, of which some are then the same."""
    rows, columns = (_cuts(tf.shape(activation)[axis + 1], count) for axis, count in enumerate(REGIONS))
    return [activation[:, top:bottom, left:right] for top, bottom in rows for left, right in columns]


def _cuts(length: tf.Tensor, count: int) -> list[tuple[tf.Tensor, tf.Tensor]]:
    starts = [tf.minimum(length * k // count, length - 1) for k in range(count)]
    return [(start, tf.maximum(start + 1, length * (k + 1) // count)) for k, start in enumerate(starts)]


def _best_matches(rows: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Return for each row `(n, channels)` the number of the reference's row with the largest dot product, `(n,)`."""
    count, channels = tf.shape(rows)[0], tf.shape(rows)[1]
    block = tf.minimum(count, tf.maximum(1, MATCHES_AT_ONCE // tf.shape(reference)[0]))
    blocks = -(-count // block)
    padded = tf.pad(rows, [[0, blocks * block - count], [0, 0]])
    best = tf.map_fn(
        lambda part: tf.argmax(tf.matmul(part, reference, transpose_b=True), -1, tf.int32),
        tf.reshape(padded, (blocks, block, channels)),
        fn_output_signature=tf.TensorSpec((None,), tf.int32),
    )
    return tf.reshape(best, (-1,))[:count]


def total_variation(picture: tf.Tensor) -> tf.Tensor:
    """Return the mean length of the slope over places and colours (Rudin, Osher & Fatemi 1992, isotropic).

    The slope is taken forward, and as 0 across the last row and column.
    """
    down = tf.pad(picture[1:] - picture[:-1], [[0, 1], [0, 0], [0, 0]])
    across = tf.pad(picture[:, 1:] - picture[:, :-1], [[0, 0], [0, 1], [0, 0]])
    return tf.reduce_mean(tf.sqrt(tf.square(down) + tf.square(across) + FLAT))


def distance_from_grey(picture: tf.Tensor) -> tf.Tensor:
    """Return the mean square distance from middle grey, 0.5.

    The lambda * ||x||^2 of Simonyan, Vedaldi & Zisserman 2013, whose pictures have their mean taken off.
    """
    return tf.reduce_mean(tf.square(picture - 0.5))


FEATURES: dict[str, Features] = {
    "map": Features(lambda features: features, lambda channels: (1, None, None, channels)),
    "vectors": Features(
        lambda features: tf.reshape(features, (-1, features.shape[-1])), lambda channels: (None, channels)
    ),
    "mean": Features(lambda features: tf.reduce_mean(features, (0, 1, 2)), lambda channels: (channels,)),
    "gram": Features(gram, lambda channels: (channels, channels)),
}

OBJECTIVES: dict[str, ObjectiveKind] = {
    "square": ObjectiveKind(square),
    "mean": ObjectiveKind(mean),
    "logit": ObjectiveKind(logit),
    "likeliest": ObjectiveKind(likeliest),
    "guide": ObjectiveKind(guide, "guide", "vectors"),
    "match": ObjectiveKind(match, "guide", "vectors"),
    "direction": ObjectiveKind(direction, "guide", "mean"),
    "cosine": ObjectiveKind(cosine, "guide", "mean"),
    "inversion": ObjectiveKind(hold, "guide", "map"),
    "style": ObjectiveKind(style, "style", "gram"),
    "content": ObjectiveKind(hold, "canvas", "map"),
    "target": ObjectiveKind(target, "canvas", "map"),
    "difference": ObjectiveKind(difference, "canvas", "map"),
    "diversity": ObjectiveKind(diversity),
}
"""Every kind of objective by the name that users give it. Choices in settings, help and checks follow from it."""

PENALTIES: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "variation": total_variation,
    "grey": distance_from_grey,
}
"""What a picture is held back from, taken off the objective: a picture `(H, W, 3)` -> float32 scalar, a mean over the
places, so that a weight means the same at every size. The weight is the setting of the same name in `dream`."""
