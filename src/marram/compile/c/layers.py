"""A lowered Graph as layers and values: what becomes a routine, and which tensors are only views of others.

A Reshape moves nothing: its output is its input. A Concat along the outermost axis that is not 1 writes its inputs beside
each other; where nothing stands against it they are made in place, and so are such Splits and Slices.
"""

from __future__ import annotations

import math
from collections import Counter

import msgspec
import numpy as np

from marram.compile.c.geometry import rows_of
from marram.compile.c.weight_bits import fewest_weight_bits
from marram.compile.memory.plan import Value
from marram.core.graph import Graph, Node, Tensor
from marram.core.operators import Concat, Reshape, Slice, Split, operator_name
from marram.model.reference.site import Site, site_of


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A node that becomes a routine. ``inputs`` are its activation inputs, ``""`` left out; names are of values.

    ``weight_bits`` is how many bits a weight shall take in flash. ``at_column``: a Concat's copy of one input, as
    ``compile.c.place.Place`` has it. ``banded``: it makes columns of what other layers make others of.
    """

    name: str
    node: Node
    site: Site
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weight_bits: int = 8
    at_column: int | None = None
    banded: bool = False


class Layers(msgspec.Struct, frozen=True, kw_only=True):
    """All layers in order, the values they work on, and the values of the model's inputs and outputs.

    ``holders`` has the value of every tensor that is no constant.
    """

    layers: tuple[Layer, ...]
    values: dict[str, Value]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    holders: dict[str, str]


def layers_of(graph: Graph, *, pack_weights: bool = False, joined: str = "") -> Layers:
    """The layers of a lowered Graph.

    Args:
        graph: lowered.
        pack_weights: layers whose weights fit 4 or 2 bits are to have them so.
        joined: name of a Concat along columns whose inputs are copied each as soon as it is made; they and what they are
            made from are bands.
    """
    views = _views(graph)
    values = {}
    for name, tensor in graph.tensors.items():
        if name in graph.constants:
            continue
        parent, offset = _root(views, name)
        if parent == name:
            values[name] = _value(tensor)
        elif offset or tensor.size != graph.tensors[parent].size:
            values[name] = msgspec.structs.replace(_value(tensor), inside=parent, inside_offset=offset)

    def value_of(name: str) -> str:
        return name if name in values else _root(views, name)[0]

    layers: list[Layer] = []

    def add(node: Node, *, banded: bool, at_column: int | None = None) -> None:
        site = site_of(graph, node, graph.constants)
        layers.append(
            Layer(
                name=f"l{len(layers):02d}_{operator_name(node.op)}",
                node=node,
                site=site,
                inputs=tuple(value_of(name) for name in node.inputs if name and name not in graph.constants),
                outputs=tuple(value_of(name) for name in node.outputs if name),
                weight_bits=fewest_weight_bits(site) if pack_weights else 8,
                at_column=at_column,
                banded=banded,
            )
        )

    join, begin = next((node for node in graph.nodes if node.name == joined), None), 0
    for node in graph.nodes:
        if node is join:
            join = None
        elif not _is_view(node, views):
            add(node, banded=join is not None)
            if join is not None and node.outputs[0] in join.inputs:
                part = node.outputs[0]
                add(msgspec.structs.replace(join, inputs=(part,)), banded=True, at_column=begin)
                begin += graph.tensors[part].shape[2]
    return Layers(
        layers=tuple(layers),
        values=values,
        inputs=tuple(value_of(name) for name in graph.inputs),
        outputs=tuple(value_of(name) for name in graph.outputs),
        holders={name: value_of(name) for name in graph.tensors if name not in graph.constants},
    )


def _value(tensor: Tensor) -> Value:
    rows, width, pixel = rows_of(tensor.shape)
    return Value(name=tensor.name, rows=rows, width=width, pixel_bytes=pixel * np.dtype(tensor.dtype).itemsize)


def _views(graph: Graph) -> dict[str, tuple[str, int]]:
    """For each tensor that is a part of another: which, and at which byte.

    A model's inputs and outputs keep buffers of their own, so only tensors between may become parts, and each once.
    """
    views: dict[str, tuple[str, int]] = {}
    own = {*graph.inputs, *graph.outputs, *graph.constants}
    for node in graph.nodes:
        if isinstance(node.op, Reshape):
            source, output = node.inputs[0], node.outputs[0]
            if source in graph.constants:
                continue
            if output not in own:
                views[output] = (source, 0)
            elif source not in own and source not in views:
                views[source] = (output, 0)
        elif isinstance(node.op, Concat):
            _concat_views(graph, node, node.op, views, own)
        elif isinstance(node.op, Split | Slice):
            _part_views(graph, node, views, own)
    return views


def _outermost(tensor: Tensor, axis: int) -> bool:
    return math.prod(tensor.shape[:axis]) == 1


def _concat_views(graph: Graph, node: Node, op: Concat, views: dict[str, tuple[str, int]], own: set[str]) -> None:
    output = graph.tensors[node.outputs[0]]
    sources = list(node.inputs)
    if not _outermost(output, op.axis) or len(set(sources)) != len(sources):
        return
    turned = _turned(graph, node, views, own)
    others = {name: view for name, view in views.items() if name not in turned}
    if any(name in own or name in others for name in sources) or any(parent in sources for parent, _ in others.values()):
        return
    offset = 0
    for name in sources:
        views[name] = (output.name, offset)
        offset += graph.tensors[name].size_bytes
    views.update({source: (name, 0) for name, source in turned.items()})


def _turned(graph: Graph, node: Node, views: dict[str, tuple[str, int]], own: set[str]) -> dict[str, str]:
    """Inputs of a Concat that are a computed tensor in another shape, for the Concat alone; that tensor may be their view."""
    found = {}
    parents = Counter(parent for parent, _ in views.values())
    for name in node.inputs:
        source, offset = views.get(name, (name, 0))
        same = source != name and not offset and graph.tensors[source].size == graph.tensors[name].size
        free = parents[source] == 1 and source not in own and source not in views
        if same and free and [other for other in graph.nodes if name in other.inputs] == [node]:
            found[name] = source
    return found


def _part_views(graph: Graph, node: Node, views: dict[str, tuple[str, int]], own: set[str]) -> None:
    source = graph.tensors[node.inputs[0]]
    if source.name in graph.constants or any(name in own for name in node.outputs):
        return
    op = node.op
    item = np.dtype(source.dtype).itemsize
    if isinstance(op, Split):
        if not _outermost(source, op.axis):
            return
        inner = math.prod(source.shape[op.axis + 1 :]) * item
        offset = 0
        for name, size in zip(node.outputs, op.sizes, strict=True):
            views[name] = (source.name, offset)
            offset += size * inner
    elif isinstance(op, Slice):
        cut = [axis for axis in range(len(source.shape)) if source.shape[axis] != graph.tensors[node.outputs[0]].shape[axis]]
        if len(cut) == 1 and _outermost(source, cut[0]) and op.strides[cut[0]] == 1:
            inner = math.prod(source.shape[cut[0] + 1 :]) * item
            views[node.outputs[0]] = (source.name, op.begin[cut[0]] * inner)


def _root(views: dict[str, tuple[str, int]], name: str) -> tuple[str, int]:
    offset = 0
    while name in views:
        name, more = views[name]
        offset += more
    return name, offset


def _is_view(node: Node, views: dict[str, tuple[str, int]]) -> bool:
    """Whether a node moves nothing because its outputs are its inputs, or its inputs parts of its output."""
    if isinstance(node.op, Reshape):
        return (
            views.get(node.outputs[0], ("", 0))[0] == node.inputs[0] or views.get(node.inputs[0], ("", 0))[0] == node.outputs[0]
        )
    if isinstance(node.op, Concat):
        return all(views.get(name, ("", 0))[0] == node.outputs[0] for name in node.inputs)
    if isinstance(node.op, Split | Slice):
        return all(views.get(name, ("", 0))[0] == node.inputs[0] for name in node.outputs)
    return False
