"""Padding: a Pad becomes part of the convolution or the maximum pool behind it, where the numbers stay the same."""

from __future__ import annotations

import msgspec

from marram.compress.rewrites.activations import never_negative
from marram.compress.rewrites.rewriting import View, substitute
from marram.core import operators as ops
from marram.core.graph import Graph, Node
from marram.core.operators import Padding


def _spatial(node: Node | None) -> Padding | None:
    """The padding of height and width that a Pad with zeros does, if it does nothing else."""
    if node is None or not isinstance(node.op, ops.Pad) or node.op.value != 0.0 or len(node.op.paddings) != 4:
        return None
    batch, (top, bottom), (left, right), channels = node.op.paddings
    return (top, bottom, left, right) if batch == channels == (0, 0) else None


def _absorbed(seen: View, node: Node, pad: Node, more: Padding) -> Graph:
    assert isinstance(node.op, ops.Conv2D | ops.DepthwiseConv2D | ops.MaxPool2D)
    top, bottom, left, right = (a + b for a, b in zip(node.op.padding, more, strict=True))
    op = msgspec.structs.replace(node.op, padding=(top, bottom, left, right))
    changed = msgspec.structs.replace(node, op=op, inputs=(pad.inputs[0], *node.inputs[1:]))
    return substitute(seen.graph, {node.name: (changed,)})


def pad_into_convolution(seen: View, node: Node) -> Graph | None:
    """Convolution of a zero-padded image -> convolution with that padding. Other readers keep the Pad."""
    pad = seen.producers.get(node.inputs[0])
    more = _spatial(pad)
    return _absorbed(seen, node, pad, more) if pad is not None and more is not None else None


def pad_into_max_pool(seen: View, node: Node) -> Graph | None:
    """Maximum over a zero-padded image that is never negative -> maximum with padding, which it ignores.

    Legal only when every window touches the image. An average over padding would count the zeros, so it keeps its Pad.
    """
    pad, op = seen.producers.get(node.inputs[0]), node.op
    more = _spatial(pad)
    if pad is None or more is None or not isinstance(op, ops.MaxPool2D) or not never_negative(seen, pad.inputs[0]):
        return None
    total = [a + b for a, b in zip(op.padding, more, strict=True)]
    if max(total[:2]) >= op.kernel[0] or max(total[2:]) >= op.kernel[1]:
        return None
    return _absorbed(seen, node, pad, more)
