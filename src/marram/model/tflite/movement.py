"""Operators that move elements without computing: joins, cuts, padding, reshapes, resizes. TFLite operator <-> Graph node."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from marram.core.graph import Graph, Node
from marram.core.operators import Concat, Pad, Pair, Reshape, Resize, Slice, Split, Transpose
from marram.model.tflite.importing import Site
from marram.model.tflite.records import Parameter, Record, Write, integers, shape, version


def _read_concat(site: Site) -> None:
    if site.activation("ConcatenationOptions") != "none":
        site.refuse("with a fused activation, which runtimes ignore")
    axis = site.axis(site.options("ConcatenationOptions")["axis"], len(site.shape(0)))
    site.emit(Concat(axis=axis), [site.operand(place) for place in range(len(site.operator.inputs))])


def _read_split(site: Site) -> None:
    x = site.shape(1)
    parts = len(site.operator.outputs)
    axis = site.axis(_one(site, 0), len(x))
    if not parts or x[axis] % parts:
        site.damaged(f"cannot cut {x[axis]} places into {parts} equal parts")
    site.emit(Split(axis=axis, sizes=(x[axis] // parts,) * parts), [site.operand(1)])


def _read_split_v(site: Site) -> None:
    x = site.shape(0)
    sizes, axis = list(site.integers(1, limit=len(site.operator.outputs))), site.axis(_one(site, 2), len(x))
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = x[axis] - sum(sizes) - 1
    site.emit(Split(axis=axis, sizes=tuple(sizes)), [site.operand(0)])


def _one(site: Site, place: int) -> int:
    values = site.integers(place)
    if len(values) != 1:
        site.damaged(f"input {place} holds {len(values)} integers, not one")
    return values[0]


def _read_slice(site: Site) -> None:
    x, begin, size = site.shape(0), site.integers(1), site.integers(2)
    if not len(x) == len(begin) == len(size):
        site.damaged(f"begin {begin} and size {size} do not name every axis of {x}")
    end = tuple(n if count == -1 else first + count for n, first, count in zip(x, begin, size, strict=True))
    if any(not 0 <= first < last <= n for n, first, last in zip(x, begin, end, strict=True)):
        site.damaged(f"cuts {begin} to {end} out of {x}")
    site.emit(Slice(begin=begin, end=end, strides=(1,) * len(x)), [site.operand(0)])


def strided_cuts(site: Site) -> tuple[list[slice], set[int]]:
    """The cut along each axis of the input, begin and end within it, and the axes that vanish."""
    options = site.options("StridedSliceOptions")
    x, begins, ends, strides = site.shape(0), site.integers(1), site.integers(2), site.integers(3)
    if options["ellipsis_mask"] or options["new_axis_mask"] or options["offset"]:
        site.refuse("with an ellipsis, a new axis or an offset")
    if not len(begins) == len(ends) == len(strides) <= len(x):
        site.damaged(f"begin {begins}, end {ends} and strides {strides} do not fit {x}")
    cuts, gone = [slice(0, n, 1) for n in x], set()
    for axis, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        bit = 1 << axis
        if stride < 1:
            site.refuse("with a stride below 1")
        if options["shrink_axis_mask"] & bit:
            first = site.axis(begin, x[axis])
            cuts[axis] = slice(first, first + 1, 1)
            gone.add(axis)
        else:
            start = None if options["begin_mask"] & bit else begin
            stop = None if options["end_mask"] & bit else end
            cuts[axis] = slice(*slice(start, stop, stride).indices(x[axis]))
    return cuts, gone


def _read_strided_slice(site: Site) -> None:
    cuts, gone = strided_cuts(site)
    x = site.operand(0)
    op = Slice(
        begin=tuple(cut.start for cut in cuts), end=tuple(cut.stop for cut in cuts), strides=tuple(cut.step for cut in cuts)
    )
    if not gone:
        site.emit(op, [x])
        return
    part = site.temporary("part", like=x)
    site.emit(op, [x], [part], part="_part")
    kept = tuple(n for axis, n in enumerate(site.state.tensors[part].shape) if axis not in gone)
    site.emit(Reshape(shape=kept), [part])


def _paddings(site: Site) -> tuple[Pair, ...]:
    flat = site.integers(1)
    if len(flat) != 2 * len(site.shape(0)):
        site.damaged(f"has {len(flat)} paddings for {len(site.shape(0))} axes")
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def _read_pad(site: Site) -> None:
    site.emit(Pad(paddings=_paddings(site)), [site.operand(0)])


def _read_pad_v2(site: Site) -> None:
    fill = site.value(2)
    if fill is None or fill.size != 1:
        site.refuse("with a computed value")
    quantisation = site.described(2).quantisation or site.described(0).quantisation
    value = float(fill.reshape(()).item())
    if quantisation is not None and fill.dtype.kind in "iu":
        if quantisation.axis is not None:
            site.damaged("pads with a value that has a scale for each channel")
        value = quantisation.scale * (value - quantisation.zero_point)
    if not np.isfinite(value):
        site.refuse("with an infinite value")
    site.emit(Pad(paddings=_paddings(site), value=value), [site.operand(0)])


def _read_reshape(site: Site) -> None:
    site.emit(Reshape(shape=reshaped(site)), [site.operand(0)])


def reshaped(site: Site) -> tuple[int, ...]:
    """The shape that RESHAPE, SQUEEZE or EXPAND_DIMS gives: from its second input, its options or the output's description."""
    x = site.shape(0)
    wanted = _wanted(site)
    if wanted.count(-1) == 1:
        known = -prod(wanted)
        if known < 1 or prod(x) % known:
            site.damaged(f"cannot give {x} the shape {wanted}")
        wanted = tuple(prod(x) // known if n == -1 else n for n in wanted)
    return wanted


def _wanted(site: Site) -> tuple[int, ...]:
    if site.operator.name == "RESHAPE":
        if site.has(1) and site.value(1) is not None:
            return site.integers(1)
        given = site.options("ReshapeOptions")["new_shape"]
        if given is not None and given.size <= 8 and not site.has(1):
            return tuple(given.tolist())
    return site.output().shape


def _read_transpose(site: Site) -> None:
    rank = len(site.shape(0))
    site.emit(Transpose(permutation=tuple(site.axis(axis, rank) for axis in site.integers(1))), [site.operand(0)])


def _read_resize(table: str) -> Callable[[Site], None]:
    def read(site: Site) -> None:
        options, size = site.options(table), site.integers(1)
        if len(size) != 2:
            site.damaged(f"has the size {size}, not height and width")
        op = Resize(
            size=(size[0], size[1]),
            method="bilinear" if table == "ResizeBilinearOptions" else "nearest",
            align_corners=bool(options["align_corners"]),
            half_pixel_centers=bool(options["half_pixel_centers"]),
        )
        site.emit(op, [site.operand(0)])

    return read


READERS = {
    "CONCATENATION": _read_concat,
    "SPLIT": _read_split,
    "SPLIT_V": _read_split_v,
    "SLICE": _read_slice,
    "STRIDED_SLICE": _read_strided_slice,
    "PAD": _read_pad,
    "PADV2": _read_pad_v2,
    "RESHAPE": _read_reshape,
    "SQUEEZE": _read_reshape,
    "EXPAND_DIMS": _read_reshape,
    "TRANSPOSE": _read_transpose,
    "RESIZE_BILINEAR": _read_resize("ResizeBilinearOptions"),
    "RESIZE_NEAREST_NEIGHBOR": _read_resize("ResizeNearestNeighborOptions"),
}


def _write_concat(node: Node, graph: Graph, op: Concat) -> Record:
    options = ("ConcatenationOptions", {"axis": op.axis})
    return Record(operator="CONCATENATION", inputs=node.inputs, version=version(node, graph), options=options)


def _write_split(node: Node, graph: Graph, op: Split) -> Record:
    count = {"num_splits": len(op.sizes)}
    axis, (x,) = Parameter(label="axis", value=np.array(op.axis, np.int32)), node.inputs
    if len(set(op.sizes)) == 1:
        number = version(node, graph, int16=4)
        return Record(operator="SPLIT", inputs=(axis, x), version=number, options=("SplitOptions", count))
    inputs = (x, integers("sizes", *op.sizes), axis)
    return Record(operator="SPLIT_V", inputs=inputs, version=version(node, graph, int16=1), options=("SplitVOptions", count))


def _write_slice(node: Node, graph: Graph, op: Slice) -> Record:
    x = shape(node, graph)
    cuts = [slice(*cut).indices(n) for *cut, n in zip(op.begin, op.end, op.strides, x, strict=True)]
    begin, end, strides = zip(*cuts, strict=True)
    number = version(node, graph, float32=1 if len(x) <= 4 else 4, int8=2 if len(x) <= 4 else 4, int16=4)
    if set(op.strides) == {1}:
        size = integers("size", *(last - first for first, last in zip(begin, end, strict=True)))
        number += len(x) > 4
        cut: tuple[str | Parameter, ...] = (*node.inputs, integers("begin", *begin), size)
        return Record(operator="SLICE", inputs=cut, version=number, options=("SliceOptions", {}))
    inputs: tuple[str | Parameter, ...] = (
        *node.inputs,
        integers("begin", *begin),
        integers("end", *end),
        integers("strides", *strides),
    )
    return Record(operator="STRIDED_SLICE", inputs=inputs, version=number, options=("StridedSliceOptions", {}))


def _write_pad(node: Node, graph: Graph, op: Pad) -> Record:
    paddings = Parameter(label="paddings", value=np.array(op.paddings, np.int32).reshape(-1, 2))
    number = 4 if len(op.paddings) > 4 else version(node, graph)
    if op.value == 0:
        return Record(operator="PAD", inputs=(*node.inputs, paddings), version=number, options=("PadOptions", {}))
    inputs: tuple[str | Parameter, ...] = (*node.inputs, paddings, _fill(node, graph, op.value))
    return Record(operator="PADV2", inputs=inputs, version=number, options=("PadV2Options", {}))


def _fill(node: Node, graph: Graph, value: float) -> Parameter:
    """The padding value in the input's dtype and scale."""
    tensor = graph.tensors[node.inputs[0]]
    if tensor.quantisation is None:
        return Parameter(label="value", value=np.array(value, tensor.dtype))
    limits = np.iinfo(tensor.dtype)
    integer = round(value / tensor.quantisation.scale) + tensor.quantisation.zero_point
    clamped = np.array(min(max(integer, limits.min), limits.max), tensor.dtype)
    return Parameter(label="value", value=clamped, quantisation=tensor.quantisation)


def _write_reshape(node: Node, _graph: Graph, op: Reshape) -> Record:
    inputs: tuple[str | Parameter, ...] = (*node.inputs, integers("shape", *op.shape))
    return Record(operator="RESHAPE", inputs=inputs, options=("ReshapeOptions", {"new_shape": np.array(op.shape, np.int32)}))


def _write_transpose(node: Node, graph: Graph, op: Transpose) -> Record:
    rank = len(op.permutation)
    number = 6 if rank > 5 else version(node, graph, float32=4, int8=4, int16=5) if rank > 4 else version(node, graph, int16=5)
    inputs: tuple[str | Parameter, ...] = (*node.inputs, integers("permutation", *op.permutation))
    return Record(operator="TRANSPOSE", inputs=inputs, version=number, options=("TransposeOptions", {}))


def _write_resize(node: Node, graph: Graph, op: Resize) -> Record:
    bilinear = op.method == "bilinear"
    modern = op.half_pixel_centers or (op.align_corners and not bilinear)
    flags = {"align_corners": op.align_corners, "half_pixel_centers": op.half_pixel_centers}
    return Record(
        operator="RESIZE_BILINEAR" if bilinear else "RESIZE_NEAREST_NEIGHBOR",
        inputs=(*node.inputs, integers("size", *op.size)),
        version=version(node, graph, float32=3 if modern else 1, int8=3 if modern else 2, int16=4),
        options=("ResizeBilinearOptions" if bilinear else "ResizeNearestNeighborOptions", flags),
    )


WRITERS: dict[type, Write] = {
    Concat: _write_concat,
    Split: _write_split,
    Slice: _write_slice,
    Pad: _write_pad,
    Reshape: _write_reshape,
    Transpose: _write_transpose,
    Resize: _write_resize,
}
