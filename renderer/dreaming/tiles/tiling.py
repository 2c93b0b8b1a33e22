"""How a picture that is too large to be evaluated in one go is cut: into stages of the network, and tiles of each.

A network is cut where a single tensor carries all that it has found so far. Between two such cut points lies a stage,
which is worked through tile by tile; only the tensors at the cut points are kept whole. So a tile needs no more context
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
    FieldAxis,
    Node,
    ReceptiveField,
    TensorInfo,
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

MOST_CUT_POINTS = 24
"""Places that a network may be cut at, spread over all that there are."""


@dataclass(frozen=True)
class TileSpan:
    """Where a tile lies along one axis.

    Attributes:
        begin, end: positions of the stage's input that it is given.
        first, last: units that are its own, from and up to; None as the last one: up to the end.
    """

    begin: int
    end: int
    first: int
    last: int | None


Margins = tuple[int, int]
"""How far tiles must reach along one axis: positions before the first that is a tile's own, and up to where all is
right if the input ends with the side."""


@dataclass(frozen=True)
class InputAxis:
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
    def of(cls, size: int, axes: Sequence[FieldAxis], unit: int) -> InputAxis:
        """Sum up what is needed for some outputs.

        A gradient needs every output that sees a position, and these must be right: it needs about twice the context.
        """
        before = max((axis.before * axis.stride for axis in axes), default=0)
        sound = min(((axis.size - axis.after) * axis.stride for axis in axes), default=size)
        further = max((axis.before * axis.stride + axis.high for axis in axes), default=0)
        nearer = min(((axis.size - axis.after) * axis.stride + axis.low for axis in axes), default=size)
        units = max(1, min((axis.size * axis.stride for axis in axes), default=1) // unit)
        return cls(size, unit, units, forward=(before, sound), back=(further, nearer))

    def spans(self, count: int, margins: Margins) -> list[TileSpan]:
        """Cut into tiles of about equal length; into fewer than `count` if there are not as many units."""
        count, (before, sound) = min(count, self.units), margins
        marks = [round(number * self.units / count) for number in range(count + 1)]
        made = []
        for first, last in itertools.pairwise(marks):
            begin = max(0, (first * self.unit - before) // self.unit * self.unit)
            spare = 0 if last == self.units else max(0, (sound - last * self.unit) // self.unit * self.unit)
            made.append(TileSpan(begin, self.size - spare, first, None if last == self.units else last))
        return made

    def lengths(self, count: int) -> tuple[int, int, int]:
        """Return the longest of `count` tiles, and all of them together: forward, and for the gradient."""
        return _lengths(self, count)

    def own(self, span: TileSpan) -> slice:
        """Return which positions of the input are a tile's own."""
        return slice(span.first * self.unit, self.size if span.last is None else span.last * self.unit)


@functools.lru_cache(maxsize=1 << 16)
def _lengths(side: InputAxis, count: int) -> tuple[int, int, int]:
    forward, back = ([span.end - span.begin for span in side.spans(count, kind)] for kind in (side.forward, side.back))
    return max(back), sum(forward), sum(back)


@dataclass(frozen=True)
class Stage:
    """A part of a network, and how its input is cut.

    Attributes:
        begin, end: what it reads, and what it hands on (None for the last one): numbers of cut points.
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
class Region:
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
    own: tuple[Region, ...]
    read: Region


@dataclass(frozen=True)
class StageTiles:
    """How a stage is cut: its tiles forward and back, and the whole size `(h, w)` of each tensor that it makes."""

    forward: tuple[Tile, ...]
    back: tuple[Tile, ...]
    shapes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class CandidateStage:
    """A stage that could be, on a picture of a given size.

    Attributes:
        local: whether it can be cut into tiles.
        rows, columns: the sides of its input.
        live: numbers that are held at once for its gradient.
        work: its arithmetic.
    """

    local: bool
    rows: InputAxis
    columns: InputAxis
    live: float
    work: float

    @property
    def area(self) -> int:
        """Positions of its input."""
        return self.rows.size * self.columns.size


class GraphCuts:
    """Where a network can be cut, and what lies between: the stages.

    Args:
        model: a functional Keras model of one input `(N, h, w, channels)`.
        itemsize: bytes of a number in it.
    """

    def __init__(self, model: Any, *, itemsize: int) -> None:
        self.model, self.itemsize = model, itemsize
        self.taps = {id(tensor) for tensor in model.outputs}
        self.nodes = nodes_between(model.inputs, model.outputs)
        self.cut_points = spread(list(_cut_points(self.nodes, model)), MOST_CUT_POINTS)

    def tapped(self, begin: int, end: int | None) -> list[Any]:
        """List the outputs of the model that are made between two cut points."""
        made = [tensor for node in self._between(begin, end) for tensor in node.output_tensors]
        return [tensor for tensor in made if id(tensor) in self.taps]

    def outputs_of(self, begin: int, end: int | None) -> list[Any]:
        """List what a stage makes that is needed outside it: the outputs of the model, and the next cut point."""
        wanted = self.tapped(begin, end)
        cut_point = [] if end is None else [self.cut_points[end][1]]
        return wanted + [tensor for tensor in cut_point if id(tensor) not in self.taps]

    def tensors(self, size: Size) -> dict[int, TensorInfo]:
        """Describe each tensor for an input of some size, by its `id`."""
        return walk(self.nodes, _beginning(self.model.inputs[0], size))

    def candidates(self, size: Size) -> dict[tuple[int, int | None], CandidateStage]:
        """Measure every stage that there could be, for an input of some size."""
        whole = self.tensors(size)
        found: dict[tuple[int, int | None], CandidateStage] = {}
        for begin, (_, cut_point) in enumerate(self.cut_points):
            field = whole[id(cut_point)].field
            assert field is not None  # a cut point has places
            given = Size(field.columns.size, field.rows.size)
            tensors = self.tensors_from(begin, given)
            for end in [*range(begin + 1, len(self.cut_points)), None]:
                found[begin, end] = self._candidate(begin, end, given, tensors)
        return found

    def tensors_from(self, begin: int, given: Size) -> dict[int, TensorInfo]:
        """Walk on from a cut point whose tensor has the size `given`."""
        return walk(self._between(begin, None), _beginning(self.cut_points[begin][1], given))

    def tiles(self, stage: Stage, given: Size) -> StageTiles:
        """Say what each tile of a stage is given and owns, where what it reads has the size `given`."""
        tensors = self.tensors_from(stage.begin, given)
        candidate = self._candidate(stage.begin, stage.end, given, tensors)
        found = [tensors[id(tensor)].field for tensor in self.outputs_of(stage.begin, stage.end)]
        fields = [field for field in found if field is not None]
        sides = (candidate.rows, candidate.columns)
        forward = [
            _tile(fields, sides, (row, column), back=False)
            for row in candidate.rows.spans(stage.rows, candidate.rows.forward)
            for column in candidate.columns.spans(stage.columns, candidate.columns.forward)
        ]
        back = [
            _tile(fields, sides, (row, column), back=True)
            for row in candidate.rows.spans(stage.rows, candidate.rows.back)
            for column in candidate.columns.spans(stage.columns, candidate.columns.back)
        ]
        shapes = tuple((field.rows.size, field.columns.size) for field in fields)
        return StageTiles(tuple(forward), tuple(back), shapes)

    def _candidate(self, begin: int, end: int | None, given: Size, tensors: dict[int, TensorInfo]) -> CandidateStage:
        nodes, outputs = self._between(begin, end), self.outputs_of(begin, end)
        fields = [tensors[id(tensor)].field for node in nodes for tensor in node.output_tensors]
        known = [field for field in fields if field is not None]
        local = len(known) == len(fields) and all(field.local for field in known)
        made = [field for tensor in outputs if (field := tensors[id(tensor)].field) is not None]
        unit = math.lcm(*(axis.stride for field in known for axis in (field.rows, field.columns)))
        largest = max(
            sum(tensors[id(tensor)].elements for tensor in (*node.input_tensors, *node.output_tensors))
            for node in nodes
        )
        return CandidateStage(
            local=local,
            rows=InputAxis.of(given.height, [field.rows for field in made], unit),
            columns=InputAxis.of(given.width, [field.columns for field in made], unit),
            live=KEPT * kept_elements(nodes, tensors, kept=outputs) + PASSING * largest,
            work=sum(work_of(node, tensors) for node in nodes),
        )

    def _between(self, begin: int, end: int | None) -> Sequence[Node]:
        stop = len(self.nodes) if end is None else self.cut_points[end][0]
        return self.nodes[self.cut_points[begin][0] : stop]


def _beginning(tensor: Any, size: Size) -> dict[int, TensorInfo]:
    field = ReceptiveField(FieldAxis(size.height), FieldAxis(size.width))
    return {id(tensor): TensorInfo(field, size.width * size.height * int(tensor.shape[-1]))}


def _tile(
    fields: Sequence[ReceptiveField],
    sides: tuple[InputAxis, InputAxis],
    spans: tuple[TileSpan, TileSpan],
    *,
    back: bool,
) -> Tile:
    part = _right if back else _own
    regions = [
        _region(
            [part(axis, side, span) for axis, side, span in zip((field.rows, field.columns), sides, spans, strict=True)]
        )
        for field in fields
    ]
    own = [(side.own(span), span.begin) for side, span in zip(sides, spans, strict=True)]
    rows, columns = (slice(span.begin, span.end) for span in spans)
    return Tile(given=(rows, columns), own=tuple(regions), read=_region(own))


def _region(parts: Sequence[tuple[slice, int]]) -> Region:
    """Put together parts of both axes: where each is in the whole, and where the tile begins there."""
    (rows, top), (columns, left) = parts
    inside = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    return Region(inside=inside, whole=(rows, columns))


def _own(axis: FieldAxis, side: InputAxis, span: TileSpan) -> tuple[slice, int]:
    """Return what a tile owns of an output along one axis, and where it begins."""
    last = axis.size if span.last is None else span.last * side.unit // axis.stride
    return slice(span.first * side.unit // axis.stride, last), span.begin // axis.stride


def _right(axis: FieldAxis, side: InputAxis, span: TileSpan) -> tuple[slice, int]:
    """Return what of a tile's output is as in the whole along one axis, and where it begins."""
    first = span.begin // axis.stride
    last = axis.size - (side.size - span.end) // axis.stride
    spoilt = (axis.before if span.begin else 0, axis.after if span.end < side.size else 0)
    return slice(first + spoilt[0], last - spoilt[1]), first


def spread(items: list[T], most: int) -> list[T]:
    """Pick so many items at most, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[round(number * (len(items) - 1) / (most - 1))] for number in range(most)]


def _cut_points(nodes: Sequence[Node], model: Any) -> Iterator[tuple[int, Any]]:
    """List where the network can be cut: how many operations come before, and the one tensor that goes on."""
    last_read = {}
    for place, node in enumerate(nodes):
        for tensor in node.input_tensors:
            last_read[id(tensor)] = place
    live = {id(model.inputs[0]): model.inputs[0]}
    yield 0, model.inputs[0]
    for place, node in enumerate(nodes):
        live |= {id(tensor): tensor for tensor in node.output_tensors}
        live = {key: tensor for key, tensor in live.items() if last_read.get(key, -1) > place}
        following = nodes[place + 1] if place + 1 < len(nodes) else None
        if len(live) == 1 and following is not None and not is_pointwise(following.operation):
            (tensor,) = live.values()
            if len(tensor.shape) == 4:
                yield place + 1, tensor
