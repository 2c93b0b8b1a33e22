"""The networks that can dream: what is known of each before it is opened. Nothing here imports TensorFlow.

A new network is one line in `NETWORKS` at the foot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from renderer.errors import UsageError, nearest


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """What the registry knows of a network.

    Attributes:
        summary: one line for people.
        application: class in `keras.applications`; None for the bundled network.
        preprocessing: key of `networks.PREPROCESSING`.
        layers: layers that dream well, shallow to deep.
        mix: default mix, layer -> weight.
        smallest: shortest side, pixels, that every layer in `layers` can take.
        taught: the three layers that a student learns from it, at strides of about 8, 16 and 16 pixels; the last
            three of `layers` where none are named.
    """

    summary: str
    application: str | None
    preprocessing: str
    layers: tuple[str, ...]
    mix: Mapping[str, float]
    smallest: int
    taught: tuple[str, ...] = ()


def network_spec(name: str) -> NetworkSpec:
    """Look a network up.

    Raises:
        UsageError: a name that the registry lacks, with the nearest ones.
    """
    if name not in NETWORKS:
        raise UsageError(f"There is no network {name!r}{nearest(name, NETWORKS)}")
    return NETWORKS[name]


def _application(
    application: str,
    preprocessing: str,
    layers: str,
    *,
    mix: Mapping[str, float],
    smallest: int = 32,
    summary: str = "",
    taught: str = "",
) -> NetworkSpec:
    return NetworkSpec(
        summary=summary or f"keras.applications.{application}",
        application=application,
        preprocessing=preprocessing,
        layers=tuple(layers.split()),
        mix=mix,
        smallest=smallest,
        taught=tuple(taught.split()),
    )


NETWORKS: dict[str, NetworkSpec] = {
    "dreamnet": NetworkSpec(
        summary="the bundled network: small, fast, no download",
        application=None,
        preprocessing="unit",
        layers=("edges", "textures", "patterns", "parts", "objects"),
        mix={"objects": 1.0},
        smallest=48,
    ),
    "inception_v3": _application(
        "InceptionV3",
        "tf",
        "mixed0 mixed1 mixed2 mixed3 mixed4 mixed5 mixed6 mixed7 mixed8",
        mix={"mixed4": 1.0},
        smallest=80,
        summary="Inception v3, the classic dreamer: eyes, dogs, pagodas",
        taught="mixed2 mixed4 mixed5",
    ),
    "vgg16": _application("VGG16", "caffe", "block3_conv3 block4_conv3 block5_conv3", mix={"block4_conv3": 1.0}),
    "vgg19": _application("VGG19", "caffe", "block3_conv4 block4_conv4 block5_conv4", mix={"block4_conv4": 1.0}),
    "resnet50": _application(
        "ResNet50", "caffe", "conv2_block3_out conv3_block4_out conv4_block6_out", mix={"conv3_block4_out": 1.0}
    ),
    "xception": _application("Xception", "tf", "add add_2 add_6 add_10", mix={"add_2": 1.0}, smallest=72),
    "mobilenet_v2": _application(
        "MobileNetV2",
        "tf",
        "block_3_expand_relu block_6_expand_relu block_13_expand_relu",
        mix={"block_6_expand_relu": 1.0},
    ),
    "densenet121": _application("DenseNet121", "torch", "pool2_relu pool3_relu pool4_relu", mix={"pool3_relu": 1.0}),
}
