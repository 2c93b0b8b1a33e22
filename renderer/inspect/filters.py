"""The first filters of a network as pictures: what it looks for before it knows anything else."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from renderer.dreaming.networks.network import Network
from renderer.dreaming.networks.preprocessing import preprocessing
from renderer.errors import UsageError
from renderer.frame import Frame, Pixels, Size
from renderer.media.sheets import Section, contact_sheet

TILE = 96
"""A filter is enlarged, pixel by pixel, to about this side."""

MOST = 1024
"""How many filters are drawn at most."""


def first_filters(network: Network) -> tuple[str, NDArray[np.float32]]:
    """Find the first layer that looks at places of the picture, and its kernels as pictures.

    Returns:
        The layer's name, and its filters `(channels, h, w, 3)`, as colours of the picture, RGB, signed. A layer that
        reads something else than the three colours has grey ones: of each kernel the pattern that explains most of it.

    Raises:
        UsageError: the network has no convolution.
    """
    for layer in network.model.layers:
        if isinstance(layer, keras.layers.SeparableConv2D):
            kernel = np.asarray(layer.depthwise_kernel, np.float32)
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            kernel = np.asarray(layer.kernel, np.float32)
        else:
            continue
        if kernel.shape[0] * kernel.shape[1] == 1:
            continue  # it mixes channels, and looks at one place alone
        if isinstance(layer, keras.layers.Conv2D) and kernel.shape[2] == 3:
            return layer.name, _as_colours(kernel, network)
        return layer.name, _as_greys(kernel, one_each=not isinstance(layer, keras.layers.Conv2D))
    raise UsageError(f"Network {network.title!r} has no convolution whose filters could be drawn.")


def filter_sheet(network: Network) -> Pixels:
    """Draw the first filters of a network, enlarged without smoothing.

    Each is scaled by its own largest value, so that grey is nothing, and bright and dark are for and against.

    Returns:
        uint8 `(H, W, 3)`, captioned as the layer mix names channels (`LAYER:CHANNEL`).

    Raises:
        UsageError: as `first_filters`.
    """
    layer, filters = first_filters(network)
    drawn = filters[:MOST]
    height, width = drawn.shape[1:3]
    scale = max(1, round(TILE / max(height, width)))
    tiles = [(enlarged(one, scale), f"{layer}:{number}") for number, one in enumerate(drawn)]
    columns = int(np.ceil(np.sqrt(1.6 * len(drawn))))
    left_out = f", the first {MOST} of {len(filters)}" if len(filters) > MOST else ""
    return contact_sheet(
        [Section(tiles=tiles)],
        columns=columns,
        cell=Size(width * scale, height * scale),
        title=network.title,
        note=f"{len(drawn)} filters of {width}x{height} pixels, layer {layer}{left_out}",
    )


def enlarged(kernel: NDArray[np.float32], scale: int) -> Frame:
    """Return a filter `(h, w, 3)` as a frame: 0 becomes middle grey, its largest value black or white."""
    shown = 0.5 + kernel / (2 * max(float(np.abs(kernel).max()), 1e-12))
    return np.asarray(np.repeat(np.repeat(shown, scale, 0), scale, 1), np.float32)


def _as_colours(kernel: NDArray[np.float32], network: Network) -> NDArray[np.float32]:
    """Turn `(h, w, 3, channels)` into filters on red, green, blue in [0, 1], whatever the network's own order."""
    colours = preprocessing(network.spec.preprocessing)
    gains = [np.asarray(colours(one) - colours(np.zeros(3, np.float32))) for one in np.eye(3, dtype=np.float32)]
    filters = np.einsum("hwik,ci->khwc", kernel, np.array(gains, np.float32))
    return np.asarray(filters, np.float32)


def _as_greys(kernel: NDArray[np.float32], *, one_each: bool) -> NDArray[np.float32]:
    height, width, inputs, outputs = kernel.shape
    if one_each:
        planes = kernel.transpose(2, 3, 0, 1).reshape(inputs * outputs, height, width)
    else:
        flat = kernel.transpose(3, 2, 0, 1).reshape(outputs, inputs, height * width)
        planes = np.linalg.svd(flat, full_matrices=False)[2][:, 0].reshape(outputs, height, width)
    return np.asarray(np.repeat(planes[..., None], 3, -1), np.float32)
