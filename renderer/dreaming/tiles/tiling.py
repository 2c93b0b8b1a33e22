"""How a picture that is too large to be looked at in one go is cut: into stages of the network, and tiles of each.

A network is cut where a single tensor carries all that it has found so far. Between two such waists lies a stage,
which is worked through tile by tile; only the tensors at the waists are kept whole. So a tile needs no more context
than the layers of its stage see, however deep the network is. A stage that sees its whole input at once, as a global
pool does, is one tile.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from renderer.dreaming.tiles.receptive_field import (
    Node,
    Reach,
    Seen,
    Span,
    is_pointwise,
    kept_elements,
    nodes_between,
    walk,
    work_of,
)
from renderer.frame import Size

T = TypeVar("T")

IDLE = 1.3
"""What TensorFlow holds, times what it uses: pieces of other sizes lie idle between those in use."""

KEPT, PASSING = 0.8 * IDLE, 1.8 * IDLE
"""What the gradient of a tile takes: so much of the activations that a tape may keep, and so much of what the largest
operation reads and makes, for gradients on their way and copies in other layouts. Measured with stages of Inception v3,
VGG16, ResNet50 and dreamnet, in float32 and bfloat16: within a fifth of it, or well below."""

MOST_WAISTS = 24
"""Places that a network may be cut at, spread over all that there are."""


@dataclass(frozen=True)
class Cut:
    """Where a tile lies along one axis.

    Attributes:
        begin, end: positions of the stage's input that it is given.
        first, last: units that are its own, from and up to; None as the last one: up to the end.
    """

    begin: int
    end: int
    first: int
    last: int | None


@dataclass(frozen=True)
class Margins:
    """How far tiles must reach along one axis.

    Attributes:
        before: positions before the first that is a tile's own.
        sound: up to where all is right if the input ends with the side.
    """

    before: int
    sound: int


@dataclass(frozen=True)
class Side:
    """One axis of a stage's input.

    Attributes:
        size: positions.
        unit: tiles begin at multiples of it, and end as far from the end of the side, so that every layer comes to lie
            on the same pixels as it does in the whole picture, and pads alike. A multiple of all strides of the stage.
        units: how many can be shared out; what is left over goes with the last one.
        forward: margins with which what a tile owns of the outputs is right.
        back: margins with which the gradient in what it owns of the input is right.
    """

    size: int
    unit: int
    units: int
    forward: Margins
    back: Margins

    @classmethod
    def of(cls, size: int, spans: Sequence[Span], unit: int) -> Side:
        """Sum up what is needed for some outputs.

        A gradient needs every output that sees a position, and these must be right: it needs about twice the context.
        """
        before = max((span.before * span.stride for span in spans), default=0)
        sound = min(((span.size - span.after) * span.stride for span in spans), default=size)
        further = max((span.before * span.stride + span.high for span in spans), default=0)
        nearer = min(((span.size - span.after) * span.stride + span.low for span in spans), default=size)
        units = max(1, min((span.size * span.stride for span in spans), default=1) // unit)
        return cls(size, unit, units, forward=Margins(before, sound), back=Margins(further, nearer))

    def cuts(self, count: int, margins: Margins) -> list[Cut]:
        """Cut into tiles of about equal length; into fewer than `count` if there are not as many units."""
        count = min(count, self.units)
        marks = [round(number * self.units / count) for number in range(count + 1)]
        made = []
        for first, last in itertools.pairwise(marks):
            begin = max(0, (first * self.unit - margins.before) // self.unit * self.unit)
            spare = 0 if last == self.units else max(0, (margins.sound - last * self.unit) // self.unit * self.unit)
            made.append(Cut(begin, self.size - spare, first, None if last == self.units else last))
        return made

    def lengths(self, count: int) -> tuple[int, int, int]:
        """Return the longest of `count` tiles, and all of them together: forward, and for the gradient."""
        return _lengths(self, count)

    def own(self, cut: Cut) -> slice:
        """Return which positions of the input are a tile's own."""
        return slice(cut.first * self.unit, self.size if cut.last is None else cut.last * self.unit)


@functools.lru_cache(maxsize=1 << 16)
def _lengths(side: Side, count: int) -> tuple[int, int, int]:
    forward, back = ([cut.end - cut.begin for cut in side.cuts(count, kind)] for kind in (side.forward, side.back))
    return max(back), sum(forward), sum(back)


@dataclass(frozen=True)
class Stage:
    """A part of a network, and how its input is cut.

    Attributes:
        begin, end: what it reads, and what it hands on (None for the last one): numbers of waists.
        rows, columns: how many tiles.
    """

    begin: int
    end: int | None
    rows: int = 1
    columns: int = 1

    @property
    def whole(self) -> bool:
        """Whether it is one tile."""
        return self.rows == self.columns == 1


@dataclass(frozen=True)
class Tiling:
    """Stages from the picture to the last layer, and the bytes that working through them takes at most."""

    stages: tuple[Stage, ...]
    bytes: int
    cost: float


Slices = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True)
class Place:
    """A part of a tensor that a tile is about: where it is in the tile's, and where in the whole one."""

    inside: Slices
    whole: Slices


@dataclass(frozen=True)
class Tile:
    """A tile of a stage.

    Attributes:
        given: what it reads.
        own: forward, what it owns of each tensor that the stage makes; back, what of these is right, and so counts.
        read: back, what it owns of what it reads.
    """

    given: Slices
    own: tuple[Place, ...]
    read: Place


@dataclass(frozen=True)
class Layout:
    """How a stage is cut: its tiles forward and back, and the whole size `(h, w)` of each tensor that it makes."""

    forward: tuple[Tile, ...]
    back: tuple[Tile, ...]
    shapes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Segment:
    """A stage that could be, on a picture of a given size.

    Attributes:
        local: whether it can be cut into tiles.
        rows, columns: the sides of its input.
        live: numbers that are held at once for its gradient.
        work: its arithmetic.
    """

    local: bool
    rows: Side
    columns: Side
    live: float
    work: float

    @property
    def area(self) -> int:
        """Positions of its input."""
        return self.rows.size * self.columns.size


class Anatomy:
    """A network's waists, and what lies between them.

    Args:
        model: a functional Keras model of one input `(N, h, w, channels)`.
        itemsize: bytes of a number in it.
    """

    def __init__(self, model: Any, *, itemsize: int) -> None:
        self.model, self.itemsize = model, itemsize
        self.taps = {id(tensor) for tensor in model.outputs}
        self.nodes = nodes_between(model.inputs, model.outputs)
        self.waists = spread(list(_waists(self.nodes, model)), MOST_WAISTS)

    def tapped(self, begin: int, end: int | None) -> list[Any]:
        """List the outputs of the model that are made between two waists."""
        made = [tensor for node in self._between(begin, end) for tensor in node.outputs]
        return [tensor for tensor in made if id(tensor) in self.taps]

    def handed_on(self, begin: int, end: int | None) -> list[Any]:
        """List what a stage makes that is needed outside it: the outputs of the model, and the next waist."""
        wanted = self.tapped(begin, end)
        waist = [] if end is None else [self.waists[end][1]]
        return wanted + [tensor for tensor in waist if id(tensor) not in self.taps]

    def sizes(self, size: Size) -> dict[int, Seen]:
        """Return how large each tensor is for an input of some size, by its `id`."""
        return walk(self.nodes, _beginning(self.model.inputs[0], size))

    def segments(self, size: Size) -> dict[tuple[int, int | None], Segment]:
        """Measure every stage that there could be, for an input of some size."""
        whole = self.sizes(size)
        found: dict[tuple[int, int | None], Segment] = {}
        for begin, (_, waist) in enumerate(self.waists):
            reach = whole[id(waist)].reach
            assert reach is not None  # a waist has places
            given = Size(reach.columns.size, reach.rows.size)
            seen = self.seen(begin, given)
            for end in [*range(begin + 1, len(self.waists)), None]:
                found[begin, end] = self._segment(begin, end, given, seen)
        return found

    def seen(self, begin: int, given: Size) -> dict[int, Seen]:
        """Walk on from a waist whose tensor has the size `given`."""
        return walk(self._between(begin, None), _beginning(self.waists[begin][1], given))

    def layout(self, stage: Stage, given: Size) -> Layout:
        """Say what each tile of a stage is given and owns, where what it reads has the size `given`."""
        seen = self.seen(stage.begin, given)
        segment = self._segment(stage.begin, stage.end, given, seen)
        found = [seen[id(tensor)].reach for tensor in self.handed_on(stage.begin, stage.end)]
        reaches = [reach for reach in found if reach is not None]
        sides = (segment.rows, segment.columns)
        forward = [
            _tile(reaches, sides, (row, column), back=False)
            for row in segment.rows.cuts(stage.rows, segment.rows.forward)
            for column in segment.columns.cuts(stage.columns, segment.columns.forward)
        ]
        back = [
            _tile(reaches, sides, (row, column), back=True)
            for row in segment.rows.cuts(stage.rows, segment.rows.back)
            for column in segment.columns.cuts(stage.columns, segment.columns.back)
        ]
        shapes = tuple((reach.rows.size, reach.columns.size) for reach in reaches)
        return Layout(tuple(forward), tuple(back), shapes)

    def _segment(self, begin: int, end: int | None, given: Size, seen: dict[int, Seen]) -> Segment:
        nodes, outputs = self._between(begin, end), self.handed_on(begin, end)
        reaches = [seen[id(tensor)].reach for node in nodes for tensor in node.outputs]
        known = [reach for reach in reaches if reach is not None]
        local = len(known) == len(reaches) and all(reach.local for reach in known)
        made = [reach for tensor in outputs if (reach := seen[id(tensor)].reach) is not None]
        unit = math.lcm(*(span.stride for reach in known for span in (reach.rows, reach.columns)))
        largest = max(sum(seen[id(tensor)].elements for tensor in (*node.inputs, *node.outputs)) for node in nodes)
        return Segment(
            local=local,
            rows=Side.of(given.height, [reach.rows for reach in made], unit),
            columns=Side.of(given.width, [reach.columns for reach in made], unit),
            live=KEPT * kept_elements(nodes, seen, kept=outputs) + PASSING * largest,
            work=sum(work_of(node, seen) for node in nodes),
        )

    def _between(self, begin: int, end: int | None) -> Sequence[Node]:
        stop = len(self.nodes) if end is None else self.waists[end][0]
        return self.nodes[self.waists[begin][0] : stop]


def _beginning(tensor: Any, size: Size) -> dict[int, Seen]:
    reach = Reach(Span(size.height), Span(size.width))
    return {id(tensor): Seen(reach, size.width * size.height * int(tensor.shape[-1]))}


def _tile(reaches: Sequence[Reach], sides: tuple[Side, Side], cuts: tuple[Cut, Cut], *, back: bool) -> Tile:
    part = _right if back else _own
    places = [
        _place(
            [part(span, side, cut) for span, side, cut in zip((reach.rows, reach.columns), sides, cuts, strict=True)]
        )
        for reach in reaches
    ]
    own = [(side.own(cut), cut.begin) for side, cut in zip(sides, cuts, strict=True)]
    rows, columns = (slice(cut.begin, cut.end) for cut in cuts)
    return Tile(given=(rows, columns), own=tuple(places), read=_place(own))


def _place(parts: Sequence[tuple[slice, int]]) -> Place:
    """Put together parts of both axes: where each is in the whole, and where the tile begins there."""
    (rows, top), (columns, left) = parts
    inside = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    return Place(inside=inside, whole=(rows, columns))


def _own(span: Span, side: Side, cut: Cut) -> tuple[slice, int]:
    """Return what a tile owns of an output along one axis, and where it begins."""
    last = span.size if cut.last is None else cut.last * side.unit // span.stride
    return slice(cut.first * side.unit // span.stride, last), cut.begin // span.stride


def _right(span: Span, side: Side, cut: Cut) -> tuple[slice, int]:
    """Return what of a tile's output is as in the whole along one axis, and where it begins."""
    first = cut.begin // span.stride
    last = span.size - (side.size - cut.end) // span.stride
    spoilt = (span.before if cut.begin else 0, span.after if cut.end < side.size else 0)
    return slice(first + spoilt[0], last - spoilt[1]), first


def spread(items: list[T], most: int) -> list[T]:
    """Pick so many items at most, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[round(number * (len(items) - 1) / (most - 1))] for number in range(most)]


def _waists(nodes: Sequence[Node], model: Any) -> Iterator[tuple[int, Any]]:
    """List where the network can be cut: how many operations come before, and the one tensor that goes on."""
    last_read = {}
    for place, node in enumerate(nodes):
        for tensor in node.inputs:
            last_read[id(tensor)] = place
    live = {id(model.inputs[0]): model.inputs[0]}
    yield 0, model.inputs[0]
    for place, node in enumerate(nodes):
        live |= {id(tensor): tensor for tensor in node.outputs}
        live = {key: tensor for key, tensor in live.items() if last_read.get(key, -1) > place}
        following = nodes[place + 1] if place + 1 < len(nodes) else None
        if len(live) == 1 and following is not None and not is_pointwise(following.operation):
            (tensor,) = live.values()
            if len(tensor.shape) == 4:
                yield place + 1, tensor
