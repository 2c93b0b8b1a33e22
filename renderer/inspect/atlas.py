"""The atlas of a network: what each layer, and each of its strongest channels, dreams from the same soft noise."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from renderer.dreaming.ascent.channel_dreamer import Batch, ChannelDreamer, single, whole
from renderer.dreaming.networks.network import LayerInfo, Network
from renderer.dreaming.settings import AscentSettings
from renderer.errors import UsageError, nearest
from renderer.frame import Frame, Pixels, Size
from renderer.media.noise import noise
from renderer.media.sheets import Section, Tile, contact_sheet

BATCH_PIXELS = 400_000
"""How many pixels are dreamed at once: enough to keep the processors busy, little enough for any machine."""

SMOOTHING = 1.0
"""Blur of the gradient, pixels: takes the grain out of dreams from noise and leaves their forms."""

BOLDER = (1.0, 2.0)
"""Contrasts of the noise that a channel begins from where it sees nothing in the soft one."""


def atlas(
    network: Network,
    *,
    layers: Sequence[str] | None = None,
    of: Sequence[str] | None = None,
    channels_per_layer: int = 8,
    choose: str = "strongest",
    size: int = 192,
    steps: int = 20,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> Pixels:
    """Draw a contact sheet of a network's dreams, captioned as the layer mix names them (`LAYER:CHANNEL`).

    Args:
        network: any network.
        layers: `LAYER`, or `LAYER:CHANNEL` for channels of one's own choice; without it, the layers the registry holds
            to dream well, and classes where the network has a head.
        of: words whose dreams are drawn too; without them, and without layers, classes evenly spread.
        channels_per_layer: how many channels of each layer are drawn, beside the layer as a whole.
        choose: key of `CHOICES`: which channels.
        size: side of a dream, pixels.
        steps: gradient steps per octave.
        seed: keys the noise and the jitter.
        report: told how many tiles of how many are done.

    Returns:
        uint8 `(H, W, 3)`: a row of tiles for each layer, shallow to deep, and one of classes.

    Raises:
        UsageError: a layer, channel or class that the network lacks, an unknown choice, or numbers out of range.
    """
    if choose not in CHOICES:
        raise UsageError(f"There is no way {choose!r} to choose channels{nearest(choose, CHOICES)}")
    if channels_per_layer < 0 or steps < 1 or not 32 <= size <= 2048:
        raise UsageError(
            "An atlas needs 0 or more channels of a layer, 1 or more steps, and a size of 32 to 2048 pixels."
        )
    wanted = _wanted(network, layers)
    classes = _classes(network, of, count=0 if layers else channels_per_layer)
    counts = [len(channels) or min(channels_per_layer, layer.channels) for layer, channels in wanted]
    total = len(wanted) + sum(counts) + len(classes)
    done = itertools.count(1)

    def counted(tiles: Iterator[Tile]) -> Iterator[Tile]:
        for tile in tiles:
            report(next(done), total)
            yield tile

    def dreamer_of(layer: str) -> ChannelDreamer:
        return ChannelDreamer(network, [layer], steps=steps, settings=AscentSettings(smoothing=SMOOTHING), seed=seed)

    start = soft_noise(Size(size, size), seed=seed)[None]
    sections = [
        Section(
            heading=layer.name,
            note=_describe(layer),
            tiles=counted(
                _tiles(
                    dreamer_of(layer.name), start, layer, channels, count=channels_per_layer, choose=choose, seed=seed
                )
            ),
        )
        for layer, channels in wanted
    ]
    if classes:
        tiles = counted(_class_tiles(dreamer_of(str(network.head)), start, classes, seed=seed))
        sections.append(Section(heading="classes", note=f"of {network.class_count}, by name", tiles=tiles))
    columns = 1 + min(max([*counts, len(classes) - 1]), 12)  # longer rows go on below
    return contact_sheet(
        sections, columns=columns, cell=Size(size, size), title=network.title, note="what its layers and channels dream"
    )


def strongest(activity: np.ndarray, count: int) -> tuple[int, ...]:
    """Choose the channels with the highest mean activation on the layer's own dream, strongest first."""
    return tuple(int(c) for c in np.argsort(-activity, kind="stable")[:count])


def spaced(activity: np.ndarray, count: int) -> tuple[int, ...]:
    """Choose channels evenly over the layer, whatever they do: neighbours of every kind."""
    return tuple(int(c) for c in np.unique(np.linspace(0, len(activity) - 1, count).round()))


def soft_noise(size: Size, *, seed: int, contrast: float = 0.35) -> Frame:
    """Make the picture `(H, W, 3)` that the dreams of an atlas begin from: pink noise, nearly grey."""
    return np.float32(0.5) + np.float32(contrast) * (noise("pink", size=size, seed=seed) - np.float32(0.5))


def _wanted(network: Network, layers: Sequence[str] | None) -> list[tuple[LayerInfo, tuple[int, ...]]]:
    """List the layers to draw, and of each the channels where they are given."""
    known = {info.name: info for info in network.layers()}
    wanted: dict[str, list[int]] = {}
    for entry in layers or network.spec.layers:
        name, colon, channel = entry.partition(":")
        if name not in known:
            raise UsageError(f"Network {network.title!r} has no layer {name!r}{nearest(name, known)}")
        chosen = wanted.setdefault(name, [])
        if colon:
            if not channel.isdecimal() or int(channel) >= known[name].channels:
                raise UsageError(
                    f"{entry!r} should be LAYER:CHANNEL; layer {name!r} of {network.title!r} has channels 0 to "
                    f"{known[name].channels - 1}."
                )
            chosen.append(int(channel))
    return [(known[name], tuple(dict.fromkeys(channels))) for name, channels in wanted.items()]


def _classes(network: Network, of: Sequence[str] | None, *, count: int) -> list[tuple[str, tuple[int, ...]]]:
    """List the classes to draw, each with what stands below it: those of `of`, or `count` evenly spread."""
    if of:
        return [(word, network.class_numbers(word)) for word in of]
    if network.head is None or count < 1:
        return []
    names = network.class_names or [str(number) for number in range(network.class_count)]
    chosen = spaced(np.zeros(network.class_count), min(count, network.class_count))
    return [(f"{number} {names[number]}" if network.class_names else str(number), (number,)) for number in chosen]


def _class_tiles(
    dreamer: ChannelDreamer, start: Batch, classes: Sequence[tuple[str, tuple[int, ...]]], *, seed: int
) -> Iterator[Tile]:
    at_once = max(1, BATCH_PIXELS // start[0, ..., 0].size)
    for first in range(0, len(classes), at_once):
        group = classes[first : first + at_once]
        dreams = _awake(dreamer, start, [numbers for _, numbers in group], seed=seed)
        for (word, _), picture in zip(group, dreams, strict=True):
            yield shown(picture), word


def _tiles(
    dreamer: ChannelDreamer,
    start: Batch,
    layer: LayerInfo,
    channels: Sequence[int],
    *,
    count: int,
    choose: str,
    seed: int,
) -> Iterator[Tile]:
    """Dream a layer as a whole, then these channels of it, or `count` that are chosen."""
    name = layer.name
    dream = dreamer(start, {name: whole(layer.channels)})
    yield shown(dream[0]), name
    if not (channels or count):
        return
    chosen = channels or CHOICES[choose](dreamer.means(dream)[name][0], min(count, layer.channels))
    at_once = max(1, BATCH_PIXELS // start[0, ..., 0].size)
    for first in range(0, len(chosen), at_once):
        group = chosen[first : first + at_once]
        dreams = _awake(dreamer, start, [(channel,) for channel in group], seed=seed)
        for channel, picture in zip(group, dreams, strict=True):
            yield shown(picture), f"{name}:{channel}"


def _awake(dreamer: ChannelDreamer, start: Batch, group: Sequence[Sequence[int]], *, seed: int) -> Batch:
    """Dream one picture for each set of channels; those that stay asleep begin again from bolder noise."""
    name, channels = dreamer.layers[0], dreamer.channels[dreamer.layers[0]]
    weights = np.stack([np.mean([single(one, channels) for one in several], 0) for several in group])
    dreams = dreamer(np.repeat(start, len(group), 0), {name: weights})
    for contrast in BOLDER:
        squares = dreamer.squares(dreams)[name]
        own = np.array([squares[row, list(several)].mean() for row, several in enumerate(group)])
        asleep = own < squares.mean(1)
        if not asleep.any():
            break
        bold = soft_noise(Size.of(start[0]), seed=seed, contrast=contrast)
        dreams[asleep] = dreamer(np.repeat(bold[None], asleep.sum(), 0), {name: weights[asleep]})
    return dreams


def shown(dream: Frame) -> Frame:
    """Bring a dream from noise `(H, W, 3)` to the brightness and contrast that all tiles have, to be compared."""
    mean, deviation = dream.mean(), dream.std()
    return np.asarray(np.float32(0.48) + (dream - mean) * np.float32(0.2 / max(float(deviation), 1e-3)), np.float32)


def _describe(layer: LayerInfo) -> str:
    return f"{layer.channels} channels, one value for every {layer.stride} pixels"


CHOICES: dict[str, Callable[[np.ndarray, int], tuple[int, ...]]] = {"strongest": strongest, "spaced": spaced}
