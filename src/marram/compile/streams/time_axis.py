"""The time axis of a model of windows, followed from its input: which rows of which tensors one window has as the next.

A window of T rows moves on by h rows. Row r of a tensor in the next window equals row r + h / stride of it in this one, where
neither row has seen the window's ends: padding makes rows at a window's beginning and end of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import msgspec

from marram.core.errors import UserError
from marram.core.graph import Graph, Node, Tensor
from marram.core.operators import (
    Add,
    AveragePool2D,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Gelu,
    HardSwish,
    LayerNorm,
    LeakyRelu,
    MaxPool2D,
    Mean,
    Mul,
    Operator,
    Pad,
    Quantise,
    Relu,
    Relu6,
    Reshape,
    Sigmoid,
    Slice,
    Softmax,
    Split,
    Sub,
    Sum,
    Tanh,
    Transpose,
    operator_name,
)


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor whose ``axis`` is time, with ``rows`` rows, each ``stride`` rows of the input after the one before.

    The first ``left`` and the last ``right`` rows depend on where the window begins and ends; ``new`` of the others are not
    in the window before.
    """

    axis: int
    rows: int
    stride: int = 1
    left: int = 0
    right: int = 0
    new: int

    @property
    def fresh(self) -> int:
        """From this row on, rows are made at each push."""
        return self.rows - self.right - self.new


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How an operator reads along time: output row i reads ``reach`` input rows from ``i * stride + offset`` on."""

    axis: int
    reach: int = 1
    stride: int = 1
    offset: int = 0

    def needed(self, begin: int, end: int, rows: int) -> tuple[int, int, int, int]:
        """For output rows ``[begin, end)``: input rows ``[first, past)`` of ``rows``, and the padding before and after."""
        first, past = begin * self.stride + self.offset, (end - 1) * self.stride + self.offset + self.reach
        return max(first, 0), min(past, rows), max(-first, 0), max(past - rows, 0)


def time_axis(tensor: Tensor) -> int:
    """The axis of an input along which it grows: the first after the batch that is not 1."""
    return next((axis for axis, size in enumerate(tensor.shape) if axis and size > 1), 1)


def follow(graph: Graph, hop: int) -> tuple[dict[str, Track], dict[str, str]]:
    """The tensors whose rows can be kept from window to window, and why each of the first nodes whose outputs cannot ends it.

    Args:
        graph: lowered, of one input.
        hop: by how many rows of the input a window moves on.

    Raises:
        UserError: a node makes a row out of several, and ``hop`` is no multiple of how many.
    """
    source = graph.input_tensors[0]
    axis = time_axis(source)
    tracks = {source.name: Track(axis=axis, rows=source.shape[axis], new=hop)}
    ends: dict[str, str] = {}
    for node in graph.nodes:
        inputs = [name for name in node.inputs if name and name not in graph.constants]
        if not any(name in tracks for name in inputs):
            continue
        reading = reading_of(graph, node, tracks)
        if isinstance(reading, str):
            ends[node.name] = reading
            continue
        found = _after(graph, node, reading, [tracks[name] for name in inputs], hop)
        if found is None:
            ends[node.name] = "no row of what it makes is in two windows"
        else:
            tracks |= dict.fromkeys(node.outputs, found)
    return tracks, ends


def _after(graph: Graph, node: Node, reading: Reading, before: list[Track], hop: int) -> Track | None:
    """The track of a node's outputs; None where no row is kept."""
    first = before[0]
    rows = graph.tensors[node.outputs[0]].shape[reading.axis]
    left = max(track.left for track in before)
    right = max(track.right for track in before)
    stride = first.stride * reading.stride
    begin = max(-((reading.offset - left) // reading.stride), 0)
    if begin:  # rows of nothing but padding are made with one that reads something
        begin = max(begin, -((reading.offset + reading.reach - 1) // reading.stride) + 1)
    past = (first.rows - right - reading.reach - reading.offset) // reading.stride + 1
    kept = min(past, rows) - begin
    if kept * stride <= hop:
        return None
    if hop % stride:
        raise UserError(
            f"a push of {hop} rows ends between two rows of what this layer makes, one out of {stride} rows of the input",
            where=f"graph {graph.name}, node {node.name} ({operator_name(node.op)})",
            hint=f"Push a multiple of {stride} rows at a time.",
        )
    return Track(axis=reading.axis, rows=rows, stride=stride, left=begin, right=rows - min(past, rows), new=hop // stride)


def reading_of(graph: Graph, node: Node, tracks: dict[str, Track]) -> Reading | str:
    """How a node with tracked inputs reads along time, or why its rows are not those of time."""
    rule = _RULES.get(type(node.op))
    if rule is None:
        return "it mixes all rows"
    if any(name and name not in tracks and name not in graph.constants for name in node.inputs):
        return "one of its inputs is of the whole window"
    return rule(graph, node, node.op, tracks[next(name for name in node.inputs if name in tracks)], tracks)


_Rule = Callable[[Graph, Node, Operator, Track, dict[str, Track]], "Reading | str"]


def _window(graph: Graph, node: Node, op: Operator, track: Track, _tracks: object) -> Reading | str:
    assert isinstance(op, Conv2D | DepthwiseConv2D | AveragePool2D | MaxPool2D)
    if track.axis not in {1, 2}:
        return "its channels are the rows"
    at = track.axis - 1
    if isinstance(op, AveragePool2D | MaxPool2D):
        reach = op.kernel[at]
    else:
        reach = (graph.tensors[node.inputs[1]].shape[track.axis] - 1) * op.dilation[at] + 1
    return Reading(axis=track.axis, reach=reach, stride=op.stride[at], offset=-op.padding[2 * at])


def _pointwise(_graph: Graph, _node: Node, _op: Operator, track: Track, _tracks: object) -> Reading | str:
    return Reading(axis=track.axis)


def _by_last_axis(graph: Graph, node: Node, _op: Operator, track: Track, _tracks: object) -> Reading | str:
    last = track.axis == len(graph.tensors[node.inputs[0]].shape) - 1
    return "it mixes all rows" if last else Reading(axis=track.axis)


def _together(graph: Graph, node: Node, op: Operator, track: Track, tracks: dict[str, Track]) -> Reading | str:
    """Element-wise with two inputs, or joined along another axis."""
    if isinstance(op, Concat) and op.axis == track.axis:
        return "it joins rows"
    rank = len(graph.tensors[node.outputs[0]].shape)
    for name in node.inputs:
        shape = (1,) * (rank - len(graph.tensors[name].shape)) + graph.tensors[name].shape
        if name in graph.constants:
            if shape[track.axis] != 1:
                return "its constant differs from row to row"
        elif len(graph.tensors[name].shape) != rank or _clock(tracks[name]) != _clock(track):
            return "its inputs have different rows"
    return Reading(axis=track.axis)


def _clock(track: Track) -> tuple[int, int, int]:
    return track.axis, track.rows, track.stride


def _split(_graph: Graph, _node: Node, op: Operator, track: Track, _tracks: object) -> Reading | str:
    assert isinstance(op, Split)
    return "it takes rows apart" if op.axis == track.axis else Reading(axis=track.axis)


def _slice(_graph: Graph, _node: Node, op: Operator, track: Track, _tracks: object) -> Reading | str:
    assert isinstance(op, Slice)
    return Reading(axis=track.axis, stride=op.strides[track.axis], offset=op.begin[track.axis])


def _pad(_graph: Graph, _node: Node, op: Operator, track: Track, _tracks: object) -> Reading | str:
    assert isinstance(op, Pad)
    return Reading(axis=track.axis, offset=-op.paddings[track.axis][0])


def _reshape(graph: Graph, node: Node, op: Operator, track: Track, _tracks: object) -> Reading | str:
    """Time stays an axis where as much stands before and behind it as before."""
    assert isinstance(op, Reshape)
    source = graph.tensors[node.inputs[0]].shape
    for axis, size in enumerate(op.shape):
        if size == track.rows and prod(op.shape[:axis]) == prod(source[: track.axis]):
            return Reading(axis=axis)
    return "it breaks the rows up"


def _transpose(_graph: Graph, _node: Node, op: Operator, track: Track, _tracks: object) -> Reading | str:
    assert isinstance(op, Transpose)
    return Reading(axis=op.permutation.index(track.axis))


def _reduction(_graph: Graph, _node: Node, op: Operator, track: Track, _tracks: object) -> Reading | str:
    assert isinstance(op, Mean | Sum)
    if track.axis in op.axes:
        return "it mixes all rows"
    return Reading(axis=track.axis - (0 if op.keep_dims else sum(axis < track.axis for axis in op.axes)))


_RULES: dict[type, _Rule] = {
    **dict.fromkeys((Conv2D, DepthwiseConv2D, AveragePool2D, MaxPool2D), _window),
    **dict.fromkeys((Relu, Relu6, LeakyRelu, HardSwish, Sigmoid, Tanh, Gelu, Quantise), _pointwise),
    **dict.fromkeys((Dense, Softmax, LayerNorm), _by_last_axis),
    **dict.fromkeys((Add, Sub, Mul, Concat), _together),
    **dict.fromkeys((Mean, Sum), _reduction),
    Split: _split,
    Slice: _slice,
    Pad: _pad,
    Reshape: _reshape,
    Transpose: _transpose,
}
