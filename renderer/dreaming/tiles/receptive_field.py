"""What each layer of a network sees of its input: how far it reaches, where its positions lie, what it costs.

A piece of a picture, cut out and looked at alone, gives the activations of the whole picture except near its cut
edges, where a layer would have seen more. `walk` follows a Keras graph and counts, for every tensor, how many
positions at each end are spoilt by a cut. It knows convolutions, pools, paddings and whatever works position by
position; of anything else it says that it sees everything.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras


@dataclass(frozen=True)
class Window:
    """What a layer reads along one axis for one position: `kernel` inputs, `dilation` apart.

    Attributes:
        kernel, dilation: see above.
        stride: from one position to the next, in positions of its input.
        same: whether it pads as TensorFlow's SAME does, which depends on the size; else by `before` and `after`.
        before, after: positions added at the ends; negative ones are cut off.
    """

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    same: bool = False
    before: int = 0
    after: int = 0


@dataclass(frozen=True)
class FieldAxis:
    """One axis of a tensor, seen from the input of the walk.

    Attributes:
        size: positions.
        stride: positions of the input from one of its positions to the next.
        before, after: positions at either end that change if the input is cut there.
        low, high: the first and the last position of the input that its position 0 sees, were there any.
    """

    size: int
    stride: int = 1
    before: int = 0
    after: int = 0
    low: int = 0
    high: int = 0

    def through(self, window: Window) -> FieldAxis:
        """Return this axis of what a layer makes."""
        width = (window.kernel - 1) * window.dilation + 1
        before, after = window.before, window.after
        if window.same:
            positions = -(-self.size // window.stride)
            missing = max(0, (positions - 1) * window.stride + width - self.size)
            before, after = missing // 2, missing - missing // 2
        room = self.size + before + after - width
        left_over = room % window.stride
        return FieldAxis(
            size=room // window.stride + 1,
            stride=self.stride * window.stride,
            before=max(0, math.ceil((self.before + before) / window.stride)),
            after=max(0, math.ceil((self.after + after - left_over) / window.stride)),
            low=self.low - before * self.stride,
            high=self.high + (width - 1 - before) * self.stride,
        )


@dataclass(frozen=True)
class ReceptiveField:
    """What a tensor `(N, h, w, channels)` sees of the input of the walk, along both axes.

    Attributes:
        local: whether a position sees no more than its surroundings; else its tensor cannot be made tile by tile.
    """

    rows: FieldAxis
    columns: FieldAxis
    local: bool = True

    def meet(self, other: ReceptiveField) -> ReceptiveField:
        """Return the field of a position-by-position union of two tensors; one may be stretched to the other's size."""
        alike = _alike(self.rows, other.rows) and _alike(self.columns, other.columns)
        rows, columns = _worse(self.rows, other.rows), _worse(self.columns, other.columns)
        return ReceptiveField(rows, columns, local=self.local and other.local and alike)


Node = Any
"""A node of a Keras graph: an `operation`, with its `input_tensors` and `output_tensors`."""


@dataclass(frozen=True)
class TensorInfo:
    """What a walk found of a tensor.

    Attributes:
        field: None where it has no places at all, as scores have none.
        elements: numbers that it holds.
    """

    field: ReceptiveField | None
    elements: int = 0


def nodes_between(inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Node]:
    """List the operations from some Keras tensors to others, each after what it reads.

    Outputs that need fewer operations come first, so that side branches are done with before the trunk goes on.
    """
    begun = {id(tensor) for tensor in inputs}
    counted = sorted(outputs, key=lambda tensor: len(_before([tensor], begun)))
    return _before(counted, begun)


def walk(nodes: Iterable[Node], begin: Mapping[int, TensorInfo]) -> dict[int, TensorInfo]:
    """Follow a graph from what is known of its inputs.

    Args:
        nodes: as `nodes_between` lists them.
        begin: what is known of the inputs, by `id` of the Keras tensor.

    Returns:
        What was found, by `id` of the tensor; the inputs are in it too.
    """
    tensors = dict(begin)
    for node in nodes:
        field = _field_of(node, [tensors[id(tensor)].field for tensor in node.input_tensors])
        for tensor in node.output_tensors:
            tensors[id(tensor)] = TensorInfo(field, _elements(field, tensor))
    return tensors


def work_of(node: Node, tensors: Mapping[int, TensorInfo]) -> float:
    """Estimate the arithmetic of an operation, in products: weights times positions, and a few for each number made."""
    made = sum(tensors[id(tensor)].elements for tensor in node.output_tensors)
    weights = sum(math.prod(weight.shape) for weight in getattr(node.operation, "weights", ()))
    channels = max((int(tensor.shape[-1] or 1) for tensor in node.output_tensors), default=1)
    return made * (weights / channels + PASSING)


PASSING = 16.0
"""What moving a number through memory takes, in products."""


def kept_elements(nodes: Sequence[Node], tensors: Mapping[int, TensorInfo], *, kept: Iterable[Any] = ()) -> int:
    """Count the numbers that a gradient tape keeps of some operations.

    What only passes from one operation into the next is not kept: a convolution's sum on its way into a batch norm or
    an activation.

    Args:
        nodes: of the graph.
        tensors: by `walk`.
        kept: tensors that count in any case.
    """
    asked = {id(tensor) for tensor in kept}
    readers: dict[int, list[Node]] = {}
    for node in nodes:
        for tensor in node.input_tensors:
            readers.setdefault(id(tensor), []).append(node)
    total = 0
    for node in nodes:
        for tensor in node.output_tensors:
            following = readers.get(id(tensor), [])
            passing = len(following) == 1 and _name(following[0].operation) in _PASSED_INTO
            if id(tensor) in asked or not passing:
                total += tensors[id(tensor)].elements
        total += _inside(node, tensors)
    return total


def is_pointwise(operation: Any) -> bool:
    """Say whether an operation works position by position."""
    return WINDOWS.get(_name(operation)) is _pointwise


def _inside(node: Node, tensors: Mapping[int, TensorInfo]) -> int:
    """Count what is kept inside a model that is used as a layer."""
    model = node.operation
    if not isinstance(model, keras.Model) or not getattr(model, "outputs", None):
        return 0
    inner = nodes_between(model.inputs, model.outputs)
    begin = {id(mine): tensors[id(given)] for mine, given in zip(model.inputs, node.input_tensors, strict=True)}
    made = {id(tensor) for tensor in model.outputs}
    found = walk(inner, begin)
    return sum(found[id(t)].elements for one in inner for t in one.output_tensors if id(t) not in made)


def _before(outputs: Sequence[Any], begun: set[int]) -> list[Node]:
    """List what some tensors need, depth first, without recursion: deep networks have a thousand operations."""
    done, order = set(begun), []
    stack = [(tensor, False) for tensor in reversed(outputs)]
    while stack:
        tensor, ready = stack.pop()
        if id(tensor) in done:
            continue
        node = _maker(tensor)
        if ready or not node.input_tensors:
            done |= {id(made) for made in node.output_tensors}
            order.append(node)
        else:
            stack.append((tensor, True))
            stack += [(read, False) for read in reversed(node.input_tensors)]
    return order


def _maker(tensor: Any) -> Node:
    """Return the node that makes a tensor."""
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]


def _field_of(node: Node, read: Sequence[ReceptiveField | None]) -> ReceptiveField | None:
    made = node.output_tensors[0].shape
    if len(made) != 4:
        return None
    known = [field for field in read if field is not None]
    if not known:
        return ReceptiveField(FieldAxis(made[1] or 1), FieldAxis(made[2] or 1), local=False)
    field = functools.reduce(ReceptiveField.meet, known)
    field = replace(field, local=field.local and len(known) == len(read))
    if isinstance(node.operation, keras.Model):
        return _field_inside(node.operation, field)
    window = WINDOWS.get(_name(node.operation), _everything)(node.operation)
    if window is None:
        rows, columns = (
            FieldAxis(side or axis.size, axis.stride)
            for side, axis in zip(made[1:3], (field.rows, field.columns), strict=True)
        )
        return ReceptiveField(rows, columns, local=False)
    return ReceptiveField(field.rows.through(window[0]), field.columns.through(window[1]), local=field.local)


def _field_inside(model: keras.Model, field: ReceptiveField) -> ReceptiveField | None:
    """Follow a model that is used as a layer."""
    if len(getattr(model, "outputs", None) or ()) != 1 or len(model.inputs) != 1:
        return replace(field, local=False)
    begin = {id(tensor): TensorInfo(field) for tensor in model.inputs}
    return walk(nodes_between(model.inputs, model.outputs), begin)[id(model.outputs[0])].field


def _elements(field: ReceptiveField | None, tensor: Any) -> int:
    channels = int(tensor.shape[-1] or 1) if len(tensor.shape) else 1
    return channels if field is None else field.rows.size * field.columns.size * channels


def _worse(one: FieldAxis, other: FieldAxis) -> FieldAxis:
    large = one if one.size >= other.size else other
    return replace(
        large,
        before=max(one.before, other.before),
        after=max(one.after, other.after),
        low=min(one.low, other.low),
        high=max(one.high, other.high),
    )


def _alike(one: FieldAxis, other: FieldAxis) -> bool:
    return (one.size, one.stride) == (other.size, other.stride)


def _name(operation: Any) -> str:
    return type(operation).__name__


Windows = tuple[Window, Window] | None
"""What a layer reads along rows and columns; None for everything."""


def _everything(layer: Any) -> Windows:
    del layer
    return None


def _pointwise(layer: Any) -> Windows:
    del layer
    return Window(), Window()


def _along_channels(layer: Any) -> Windows:
    """Read norms and the like, which work position by position along the last axis only."""
    axes = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
    return (Window(), Window()) if list(axes) in ([-1], [3]) else None


def _convolution(layer: Any) -> Windows:
    if layer.padding not in ("same", "valid") or layer.data_format != "channels_last":
        return None
    rows, columns = (
        Window(kernel, stride, dilation, same=layer.padding == "same")
        for kernel, stride, dilation in zip(layer.kernel_size, layer.strides, layer.dilation_rate, strict=True)
    )
    return rows, columns


def _pool(layer: Any) -> Windows:
    if layer.padding not in ("same", "valid") or layer.data_format != "channels_last":
        return None
    strides = layer.strides or layer.pool_size
    rows, columns = (
        Window(kernel, stride, same=layer.padding == "same")
        for kernel, stride in zip(_pair(layer.pool_size), _pair(strides), strict=True)
    )
    return rows, columns


def _padding(layer: Any) -> Windows:
    (top, bottom), (left, right) = layer.padding
    return Window(before=top, after=bottom), Window(before=left, after=right)


def _cropping(layer: Any) -> Windows:
    (top, bottom), (left, right) = layer.cropping
    return Window(before=-top, after=-bottom), Window(before=-left, after=-right)


def _pair(value: int | Sequence[int]) -> Sequence[int]:
    return (value, value) if isinstance(value, int) else value


_PASSED_INTO = {"Folded", "BatchNormalization", "Activation", "ReLU", "Dropout"}
"""Operations whose input nobody needs again for the gradient, if they alone read it."""

WINDOWS: dict[str, Callable[[Any], Windows]] = {
    **dict.fromkeys(("Conv2D", "DepthwiseConv2D", "SeparableConv2D"), _convolution),
    **dict.fromkeys(("MaxPooling2D", "AveragePooling2D"), _pool),
    "ZeroPadding2D": _padding,
    "Cropping2D": _cropping,
    **dict.fromkeys(("BatchNormalization", "LayerNormalization", "Normalization", "Softmax"), _along_channels),
    "Concatenate": _along_channels,
    **dict.fromkeys(
        (
            *("Activation", "ReLU", "LeakyReLU", "ELU", "Dropout", "SpatialDropout2D", "GaussianNoise", "Rescaling"),
            *("Dense", "Identity", "Folded", "InputLayer", "LayerScale", "StochasticDepth", "CustomScaleLayer"),
            *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"),
            # Operations on tensors, in place of layers:
            *("TrueDivide", "Divide", "Negative", "Absolute", "Square", "Sqrt", "Exp", "Cast", "Clip", "Relu"),
            *("Relu6", "Sigmoid", "HardSigmoid", "HardSilu", "Silu", "Gelu", "Tanh", "Elu"),
        ),
        _pointwise,
    ),
}
"""How the operations that a network may be made of read their input, by the name of their class."""
