"""The networks that can dream: what is known of each before it is opened. Nothing here imports TensorFlow.

A new network is one entry in `NETWORKS` at the foot. One that is not of `keras.applications` names the function that
opens it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from renderer.errors import UsageError, nearest

_HERE = __name__.rpartition(".")[0]


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """What the registry knows of a network.

    Attributes:
        summary: one line for people.
        preprocessing: see `preprocessing.preprocessing`; "" for a model file, which may show it.
        layers: layers that dream well, shallow to deep.
        mix: default mix, layer -> weight.
        smallest: shortest side, pixels, that every layer in `layers` can take.
        application: class in `keras.applications`; None for others.
        opener: what opens it, as "module:function"; see `loaders.open_application`.
        blank: what builds it with random weights, to see its layers where there are no weights, as "module:function";
            "" where `application` says it, or the weights are always there.
        bundled: whether its weights come with Dreamreel.
        classes: whether there are weights of it with a head, so that it can tell classes apart.
        taught: the three layers that a student learns from it, at strides of about 8, 16 and 16 pixels; the last
            three of `layers` where none are named.
        detail: the layer that adds texture to frames larger than a film is dreamed at, a shallow one: it costs little;
            "" for the deepest of the shallow ones.
    """

    summary: str
    preprocessing: str
    layers: tuple[str, ...]
    mix: Mapping[str, float]
    smallest: int
    application: str | None = None
    opener: str = f"{_HERE}.loaders:open_application"
    blank: str = ""
    bundled: bool = False
    taught: tuple[str, ...] = ()
    classes: bool = False
    detail: str = ""


FILE = "file"
"""Name of the network that is a Keras model file; its weights are the file."""

MODEL_ENDINGS = (".keras", ".h5", ".hdf5")


def is_model_file(name: str) -> bool:
    """Tell whether the name of a network is the path of a model file: by its ending, or because it has a slash."""
    return name.lower().endswith(MODEL_ENDINGS) or "/" in name or "\\" in name


def by_name(name: str, weights: Path | None) -> tuple[str, Path | None]:
    """Tell what a user means who names a network: a model file is the network `FILE` with the file for its weights.

    Raises:
        UsageError: a model file, and weights beside it.
    """
    if not is_model_file(name):
        return name, weights
    if weights is not None and weights != Path(name):
        raise UsageError(f"The network file {name} holds its weights; leave the weights {weights} out.")
    return FILE, Path(name)


def without_head(title: str) -> str:
    """Say that a network knows no classes, and which ones do."""
    mine = [name for name, spec in NETWORKS.items() if spec.classes and spec.application is None]
    others = sum(spec.classes for spec in NETWORKS.values()) - len(mine)
    return (
        f"Network {title!r} tells no classes apart: it has no head, or a head that was cut off. Those that do are "
        f"{', '.join(mine)} and {others} of keras.applications, like mobilenet and inception_v3; `dreamreel networks "
        "list` marks them with classes."
    )


def network_spec(name: str) -> NetworkSpec:
    """Look a network up.

    Raises:
        UsageError: a name that the registry lacks, with the nearest ones.
    """
    if name == FILE:
        return _MODEL_FILE
    if name not in NETWORKS:
        raise UsageError(
            f"There is no network {name!r} (a Keras model file is given by its path, like my.keras)"
            f"{nearest(name, NETWORKS)}"
        )
    return NETWORKS[name]


def _application(
    application: str,
    preprocessing: str,
    layers: str,
    best: int,
    *,
    smallest: int = 32,
    summary: str = "",
    taught: str = "",
) -> NetworkSpec:
    """Describe a network of `keras.applications`; `best` is the place among `layers` of the one it dreams with."""
    names = tuple(layers.split())
    return NetworkSpec(
        summary=summary or f"keras.applications.{application}",
        application=application,
        preprocessing=preprocessing,
        layers=names,
        mix={names[best]: 1.0},
        smallest=smallest,
        taught=tuple(taught.split()),
        classes=True,
        detail=names[0],
    )


def _resnet(*blocks: int) -> str:
    """Name the outputs of the last block in each of a ResNet's four stages."""
    return " ".join(f"conv{stage}_block{block}_out" for stage, block in enumerate(blocks, 2))


_EFFICIENT = "block3a_expand_activation block4a_expand_activation block6a_expand_activation top_activation"
_EFFICIENT_V2 = "block2b_add block4a_expand_activation block6a_expand_activation top_activation"

_MODEL_FILE = NetworkSpec(
    summary="a Keras model file",
    preprocessing="",
    layers=(),
    mix={},
    smallest=32,
    opener=f"{_HERE}.loaders:open_file",
)


NETWORKS: dict[str, NetworkSpec] = {
    "dreamnet": NetworkSpec(
        summary="the bundled network: small, fast, no download",
        opener=f"{_HERE}.loaders:open_bundled",
        bundled=True,
        preprocessing="unit",
        layers=("edges", "textures", "patterns", "parts", "objects"),
        mix={"objects": 1.0},
        detail="patterns",
        smallest=48,
    ),
    "inception_v3": _application(
        "InceptionV3",
        "tf",
        "mixed0 mixed1 mixed2 mixed3 mixed4 mixed5 mixed6 mixed7 mixed8",
        4,
        smallest=80,
        summary="Inception v3, the classic dreamer: eyes, dogs, pagodas",
        taught="mixed2 mixed4 mixed5",
    ),
    "squeezenet": NetworkSpec(
        summary="SqueezeNet v1.0: small, tells 1,000 classes apart; weights with --weights",
        opener=f"{_HERE}.loaders:open_squeezenet",
        blank=f"{_HERE}.squeezenet:build_squeezenet",
        preprocessing="squeezenet",
        layers=("fire3", "fire4", "fire6", "fire8", "fire9"),
        mix={"fire8": 1.0},
        detail="fire3",
        smallest=48,
        classes=True,
    ),
    "vgg16": _application("VGG16", "caffe", "block2_conv2 block3_conv3 block4_conv2 block4_conv3 block5_conv3", 3),
    "vgg19": _application("VGG19", "caffe", "block2_conv2 block3_conv4 block4_conv2 block4_conv4 block5_conv4", 3),
    "resnet50": _application("ResNet50", "caffe", _resnet(3, 4, 6, 3), 1),
    "resnet101": _application("ResNet101", "caffe", _resnet(3, 4, 23, 3), 1),
    "resnet152": _application("ResNet152", "caffe", _resnet(3, 8, 36, 3), 1),
    "resnet50_v2": _application("ResNet50V2", "tf", _resnet(2, 3, 5, 3), 1),
    "resnet101_v2": _application("ResNet101V2", "tf", _resnet(2, 3, 22, 3), 1),
    "resnet152_v2": _application("ResNet152V2", "tf", _resnet(2, 7, 35, 3), 1),
    "densenet121": _application("DenseNet121", "torch", "pool2_relu pool3_relu pool4_relu relu", 1),
    "densenet169": _application("DenseNet169", "torch", "pool2_relu pool3_relu pool4_relu relu", 1),
    "densenet201": _application("DenseNet201", "torch", "pool2_relu pool3_relu pool4_relu relu", 1),
    "mobilenet": _application("MobileNet", "tf", "conv_pw_3_relu conv_pw_5_relu conv_pw_11_relu conv_pw_13_relu", 1),
    "mobilenet_v2": _application(
        "MobileNetV2", "tf", "block_3_expand_relu block_6_expand_relu block_13_expand_relu out_relu", 1
    ),
    "mobilenet_v3_small": _application(
        "MobileNetV3Small", "byte", "re_lu_2 activation_1 activation_11 activation_17", 1
    ),
    "mobilenet_v3_large": _application(
        "MobileNetV3Large", "byte", "re_lu_5 activation_1 activation_13 activation_19", 1
    ),
    "xception": _application("Xception", "tf", "add add_1 add_2 add_6 add_10", 2, smallest=72),
    "inception_resnet_v2": _application(
        "InceptionResNetV2",
        "tf",
        "mixed_5b block35_10_ac mixed_6a block17_10_ac block17_20_ac conv_7b_ac",
        2,
        smallest=80,
    ),
    **{f"efficientnet_b{n}": _application(f"EfficientNetB{n}", "byte", _EFFICIENT, 1) for n in range(8)},
    **{f"efficientnet_v2_b{n}": _application(f"EfficientNetV2B{n}", "byte", _EFFICIENT_V2, 1) for n in range(4)},
    **{f"efficientnet_v2_{n.lower()}": _application(f"EfficientNetV2{n}", "byte", _EFFICIENT_V2, 1) for n in "SML"},
    "convnext_tiny": _application("ConvNeXtTiny", "byte", "add_2 add_5 add_14 add_17", 1),
    "convnext_small": _application("ConvNeXtSmall", "byte", "add_2 add_5 add_32 add_35", 1),
    "convnext_base": _application("ConvNeXtBase", "byte", "add_2 add_5 add_32 add_35", 1),
    "convnext_large": _application("ConvNeXtLarge", "byte", "add_2 add_5 add_32 add_35", 1),
}
