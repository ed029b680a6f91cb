"""Pools, means and sums. TFLite operator <-> Graph node."""

from __future__ import annotations

from collections.abc import Callable

from marram.core.graph import Graph, Node
from marram.core.operators import AveragePool2D, MaxPool2D, Mean, Sum
from marram.model.tflite import padding
from marram.model.tflite.importing import Site
from marram.model.tflite.layers import scheme_of, stride_of
from marram.model.tflite.records import Record, Write, area, fused, integers, version


def _read_pool(kind: type[AveragePool2D | MaxPool2D]) -> Callable[[Site], None]:
    def read(site: Site) -> None:
        options, x = site.options("Pool2DOptions"), site.shape(0)
        stride, kernel = stride_of(site, options), (options["filter_height"], options["filter_width"])
        if len(x) != 4 or min(kernel) < 1:
            site.damaged(f"pools {x} by a window of {kernel}")
        window = padding.explicit(scheme_of(site, options), x[1:3], kernel, stride=stride)
        activation = site.activation("Pool2DOptions")
        site.emit(kind(kernel=kernel, stride=stride, padding=window, activation=activation), [site.operand(0)])

    return read


def _read_reduce(kind: type[Mean | Sum]) -> Callable[[Site], None]:
    def read(site: Site) -> None:
        rank = len(site.shape(0))
        axes = tuple(sorted({site.axis(axis, rank) for axis in site.integers(1)}))
        site.emit(kind(axes=axes, keep_dims=bool(site.options("ReducerOptions")["keep_dims"])), [site.operand(0)])

    return read


READERS = {
    "AVERAGE_POOL_2D": _read_pool(AveragePool2D),
    "MAX_POOL_2D": _read_pool(MaxPool2D),
    "MEAN": _read_reduce(Mean),
    "SUM": _read_reduce(Sum),
}


def _write_pool(node: Node, graph: Graph, op: AveragePool2D | MaxPool2D) -> Record:
    code = padding.scheme(op.padding, area(node, graph), op.kernel, stride=op.stride)
    assert code is not None, "lowering leaves paddings that have a scheme"
    options = {
        "padding": code,
        "stride_h": op.stride[0],
        "stride_w": op.stride[1],
        "filter_height": op.kernel[0],
        "filter_width": op.kernel[1],
        "fused_activation_function": fused(op.activation),
    }
    operator = "MAX_POOL_2D" if isinstance(op, MaxPool2D) else "AVERAGE_POOL_2D"
    return Record(operator=operator, inputs=node.inputs, version=version(node, graph), options=("Pool2DOptions", options))


def _write_reduce(node: Node, graph: Graph, op: Mean | Sum) -> Record:
    return Record(
        operator="MEAN" if isinstance(op, Mean) else "SUM",
        inputs=(*node.inputs, integers("axes", *op.axes)),
        version=version(node, graph),
        options=("ReducerOptions", {"keep_dims": op.keep_dims}),
    )


WRITERS: dict[type, Write] = {AveragePool2D: _write_pool, MaxPool2D: _write_pool, Mean: _write_reduce, Sum: _write_reduce}
