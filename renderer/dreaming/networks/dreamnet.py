"""Dreamnet: the small network that Dreamreel carries.

A plain chain of 3x3 convolutions, because that is what processors with matrix units run fastest: at equal
arithmetic, bottlenecks and residual sums cost more time in their many small operations than in their products.
Shallow to deep its taps are `edges`, `textures`, `patterns`, `parts` and `objects`; the last three are heads that
imitate three layers of the teacher it was distilled from (see `distill`).

The picture is taken down to a quarter in one convolution: at stride 2 the maps are so large that moving them about
would take longer than all the arithmetic. The way down is unpadded and its kernels are odd, so a tap's map is centred
on the picture, and can lie exactly on the teacher's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

TAPS = ("edges", "textures", "patterns", "parts", "objects")
"""Tap names, shallow to deep, at strides 4, 8, 8, 16, 16."""

HEADS = {"patterns": 288, "parts": 768, "objects": 768}
"""Head -> channels, for a teacher cut at Inception v3's `mixed2`, `mixed4` and `mixed5`."""

CLASS_MAP, SCORES = "classes", "scores"
"""Names of the layers that hold the class map, and its average."""

AGAINST = 0.1
"""What a place that speaks against a class counts in the average, beside one that speaks for it. A classifier's own
average has 0 here, and gives no direction where the class is not seen at all."""

CLASS_BRANCH: tuple[tuple[str, int, int, Mapping[str, Any]], ...] = (
    ("edges", 64, 7, {"stride": 4}),
    ("fine", 128, 3, {"stride": 2}),
    ("textures", 128, 3, {"padding": "same", "residual": True}),
    ("coarse", 256, 3, {"stride": 2}),
    ("coarse_1", 256, 3, {"padding": "same", "residual": True}),
    ("coarse_2", 256, 3, {"padding": "same", "residual": True}),
)
"""Layers of the branch that tells classes apart: name, filters, size, options of the convolution."""

TRAINED_SCALE = 0.17
"""Standard deviation of a trained layer's raw weights. The layer's answer does not depend on it, but the step of the
training does: raw weights grow while they are trained, and the larger they are, the less a step turns them."""

ConvolutionFactory = Callable[..., layers.Layer]


def build_dreamnet(
    *,
    heads: Mapping[str, int] = HEADS,
    convolution: ConvolutionFactory | None = None,
    dtype: str = "float32",
    name: str = "dreamnet",
) -> keras.Model:
    """Build the network with fresh weights.

    Args:
        heads: channels of the heads `patterns`, `parts`, `objects`.
        convolution: makes a convolution from `(filters, size, stride=, padding=, residual=, name=)`;
            plain `Conv2D` by default. Training passes `StandardisedConvolution`.
        dtype: Keras dtype policy of its layers, like "float32" or "mixed_bfloat16".
        name: the model's name.

    Returns:
        A functional model from pictures `(N, H, W, 3)`, RGB in [0, 1], to a dict tap -> activations,
        each `(N, h, w, channels)` and never negative.
    """
    conv = convolution or plain_convolution

    def relu(x: keras.KerasTensor, label: str) -> keras.KerasTensor:
        return layers.Activation("relu", dtype=dtype, name=label)(x)

    def block(x: keras.KerasTensor, filters: int, size: int, label: str, **options: Any) -> keras.KerasTensor:
        return relu(conv(filters, size, dtype=dtype, name=f"{label}_conv", **options)(x), label)

    picture = keras.Input((None, None, 3), name="picture")
    x = layers.Rescaling(2.0, -1.0, dtype=dtype, name="signed")(picture)
    x = edges = block(x, 64, 7, "edges", stride=4)
    x = block(x, 128, 3, "fine", stride=2)
    x = textures = block(x, 128, 3, "textures", padding="same", residual=True)
    taps = {"edges": edges, "textures": textures, "patterns": block(x, heads["patterns"], 1, "patterns")}
    x = block(x, 256, 3, "coarse", stride=2)
    for label in ("coarse_1", "coarse_2", "coarse_3"):
        x = block(x, 256, 3, label, padding="same", residual=True)
    taps["parts"] = block(x, heads["parts"], 1, "parts")
    for label in ("coarse_4", "coarse_5"):
        x = block(x, 256, 3, label, padding="same", residual=True)
    taps["objects"] = block(x, heads["objects"], 1, "objects")
    return keras.Model(picture, taps, name=name)


def build_class_branch(
    *,
    classes: int = 1000,
    convolution: ConvolutionFactory | None = None,
    dtype: str = "float32",
    name: str = "class_branch",
) -> keras.Model:
    """Build the branch that tells classes apart, with fresh weights.

    It is dreamnet's way down once more, with weights of its own (`class_edges` for `edges` and so on) and fewer
    layers at stride 16, so that what dreamnet itself dreams does not depend on it.

    Args:
        classes: how many it tells apart.
        convolution: as for `build_dreamnet`.
        dtype: Keras dtype policy of its layers.
        name: the model's name.

    Returns:
        A functional model from pictures `(N, H, W, 3)`, RGB in [0, 1], to the class map `(N, h, w, classes)` at
        stride 16: for every place what speaks for each class there, and, negative, what speaks against it.
    """
    conv = convolution or plain_convolution
    picture = keras.Input((None, None, 3), name="picture")
    x = layers.Rescaling(2.0, -1.0, dtype=dtype, name="class_signed")(picture)
    for label, filters, size, options in CLASS_BRANCH:
        x = conv(filters, size, dtype=dtype, name=f"class_{label}_conv", **options)(x)
        x = layers.Activation("relu", dtype=dtype, name=f"class_{label}")(x)
    return keras.Model(picture, conv(classes, 1, dtype=dtype, name=CLASS_MAP)(x), name=name)


def with_class_branch(network: keras.Model, branch: keras.Model) -> keras.Model:
    """Join dreamnet and a branch into one network, of which each part is computed only where it is asked for.

    Args:
        network: as of `build_dreamnet`; what its taps answer stays the same. A branch that it has is replaced.
        branch: as of `build_class_branch`, of plain convolutions.

    Returns:
        `network`'s model with two taps more: `classes`, the class map `(N, h, w, classes)`, and `scores`, its
        average `(N, classes)`, see `AGAINST`.
    """
    x = network.input
    for layer in branch.layers[1:]:
        copy = layer.__class__.from_config(layer.get_config())
        x = copy(x)
        copy.set_weights(layer.get_weights())
    leaky = layers.LeakyReLU(AGAINST, name="class_evidence")(x)
    scores = layers.GlobalAveragePooling2D(name=SCORES)(leaky)
    return keras.Model(
        network.input, {**{tap: network.output[tap] for tap in TAPS}, CLASS_MAP: x, SCORES: scores}, name=network.name
    )


def plain_convolution(
    filters: int,
    size: int,
    *,
    name: str,
    dtype: str,
    stride: int = 1,
    padding: str = "valid",
    residual: bool = False,
) -> layers.Layer:
    """Make the convolution of the network in use; a residual's identity is inside its kernel already."""
    del residual
    return layers.Conv2D(filters, size, strides=stride, padding=padding, dtype=dtype, name=name)


class StandardisedConvolution(layers.Layer):
    """A convolution that trains well without batch norm, and folds into a plain one.

    The kernel in use is `gain * (w - mean w) / (std w * sqrt(fan in))` per output channel (scaled weight
    standardisation: Brock, De and Smith 2021), plus the identity where `residual` (the skip of a residual block, held
    in the kernel's centre: Ding et al. 2021, RepVGG). Batch norm is avoided because the training pictures mix
    photographs, noise and dreams: running averages over them fit none of them.
    """

    def __init__(
        self,
        filters: int,
        size: int,
        *,
        name: str,
        dtype: str = "float32",
        stride: int = 1,
        padding: str = "valid",
        residual: bool = False,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.filters, self.size, self.stride, self.padding, self.residual = filters, size, stride, padding, residual

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = input_shape[-1]
        shape = (self.size, self.size, channels, self.filters)
        self.raw = self.add_weight(shape=shape, initializer="random_normal", name="raw", autocast=False)
        gain = keras.initializers.Constant(0.7 if self.residual else 1.4)
        self.gain = self.add_weight(shape=(self.filters,), initializer=gain, name="gain", autocast=False)
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias", autocast=False)

    def begin_from(self, kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        """Take over a plain convolution: the inverse of `plain_kernel`, less each filter's mean, which it cannot have.

        Args:
            kernel: `(size, size, channels, filters)`.
            bias: `(filters,)`.
        """
        if self.residual:
            kernel = kernel - np.asarray(self._identity())
        scale = kernel.std(axis=(0, 1, 2)) + 1e-12
        self.raw.assign(TRAINED_SCALE * kernel / scale)
        self.gain.assign(scale * np.sqrt(np.prod(kernel.shape[:3])))
        self.bias.assign(bias)

    def plain_kernel(self, raw: keras.KerasTensor, gain: keras.KerasTensor) -> keras.KerasTensor:
        """Return the kernel `(size, size, channels, filters)` of the equal plain convolution."""
        fan_in = self.size * self.size * raw.shape[2]
        mean = ops.mean(raw, axis=(0, 1, 2), keepdims=True)
        variance = ops.var(raw, axis=(0, 1, 2), keepdims=True)
        kernel = (raw - mean) * (gain * ops.rsqrt(variance * fan_in + 1e-8))
        if self.residual:
            kernel = kernel + self._identity()
        return kernel

    def _identity(self) -> keras.KerasTensor:
        return ops.pad(ops.eye(self.filters)[None, None], [(self.size // 2,) * 2] * 2 + [(0, 0)] * 2)

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        kernel = ops.cast(self.plain_kernel(self.raw, self.gain), x.dtype)
        return ops.conv(x, kernel, strides=self.stride, padding=self.padding) + ops.cast(self.bias, x.dtype)
