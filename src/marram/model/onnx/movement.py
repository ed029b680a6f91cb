"""Operators that move values without changing them: reshapes, transposes, concat, split, slice, pad."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from marram.core import operators as ops
from marram.model.onnx.importing import Site, normalised


def _to(site: Site, shape: tuple[int, ...]) -> None:
    if any(n < 1 for n in shape) or prod(shape) != prod(site.shape(0)):
        site.damaged(f"{site.shape(0)} cannot have the shape {shape}")
    site.result(ops.Reshape(shape=shape), site.tensor(0))


def reshape(site: Site) -> None:
    """Reshape with 0 for a size that stays and -1 for one that follows."""
    source, shape = site.shape(0), list(site.sizes(1) if site.has(1) else site.integers("shape"))
    if not site.attribute("allowzero", 0):
        if any(n == 0 and axis >= len(source) for axis, n in enumerate(shape)):
            site.damaged(f"keeps an axis that {source} does not have")
        shape = [source[axis] if n == 0 else n for axis, n in enumerate(shape)]
    if shape.count(-1) > 1 or len(shape) > 8:
        site.damaged(f"shape {tuple(shape)}")
    if -1 in shape:
        rest = -prod(shape)
        if rest == 0 or prod(source) % rest:
            site.damaged(f"{source} cannot have the shape {tuple(shape)}")
        shape[shape.index(-1)] = prod(source) // rest
    _to(site, tuple(shape))


def flatten(site: Site) -> None:
    """Flatten into a matrix."""
    shape = site.shape(0)
    axis = site.attribute("axis", 1)
    cut = len(shape) if axis == len(shape) else normalised(site, axis, len(shape))
    _to(site, (prod(shape[:cut]), prod(shape[cut:])))


def squeeze(site: Site) -> None:
    """Squeeze of the axes named, or of all that are 1."""
    shape = site.shape(0)
    named = site.sizes(1) if site.has(1) else site.integers("axes")
    axes = {normalised(site, axis, len(shape)) for axis in named} or {axis for axis, n in enumerate(shape) if n == 1}
    _to(site, tuple(n for axis, n in enumerate(shape) if axis not in axes))


def unsqueeze(site: Site) -> None:
    """Unsqueeze: an axis of one at each of the places named."""
    shape = site.shape(0)
    named = site.sizes(1) if site.has(1) else site.integers("axes")
    rank = len(shape) + len(named)
    if rank > 8:
        site.damaged(f"gives {rank} axes")
    axes = {normalised(site, axis, rank) for axis in named}
    if len(axes) != len(named):
        site.damaged(f"names an axis twice in {named}")
    rest = iter(shape)
    _to(site, tuple(1 if axis in axes else next(rest) for axis in range(rank)))


def expand(site: Site) -> None:
    """Expand where it changes nothing, or only adds axes of one."""
    shape = site.shape(0)
    wanted = np.broadcast_shapes(shape, site.sizes(1)) if _broadcasts(shape, site.sizes(1)) else ()
    site.need(prod(wanted) == prod(shape) and bool(wanted), f"of {shape} to {site.sizes(1)}")
    _to(site, wanted)


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    pairs = list(zip(reversed(a), reversed(b), strict=False))
    return all(m == n or 1 in {m, n} for m, n in pairs)


def transpose(site: Site) -> None:
    """Transpose; without ``perm`` the axes are reversed."""
    permutation = site.integers("perm") or tuple(range(len(site.shape(0))))[::-1]
    site.result(ops.Transpose(permutation=permutation), site.tensor(0))


def concat(site: Site) -> None:
    """Concat of activations and constants."""
    axis = normalised(site, site.attribute("axis", 0), len(site.shape(0)))
    site.result(ops.Concat(axis=axis), *(site.tensor(index) for index in range(len(site.node.inputs))))


def split(site: Site) -> None:
    """Split into parts of given sizes, or as equal as ONNX makes them."""
    shape = site.shape(0)
    axis = normalised(site, site.attribute("axis", 0), len(shape))
    sizes = site.sizes(1) if site.has(1) else site.integers("split")
    if not sizes:
        parts = len(site.node.outputs)
        each = -(-shape[axis] // parts)
        sizes = (*(each,) * (parts - 1), shape[axis] - each * (parts - 1))
    if len(sizes) != len(site.node.outputs) or min(sizes) < 1:
        site.damaged(f"sizes {sizes} for {len(site.node.outputs)} outputs of {shape}")
    site.results(ops.Split(axis=axis, sizes=sizes), site.tensor(0))


def slice_(site: Site) -> None:
    """Slice with positive steps."""
    shape = site.shape(0)
    if site.opset < 10:
        starts, ends, axes = site.integers("starts"), site.integers("ends"), site.integers("axes")
        steps: tuple[int, ...] = ()
    else:
        starts, ends = site.sizes(1), site.sizes(2)
        axes = site.sizes(3) if site.has(3) else ()
        steps = site.sizes(4) if site.has(4) else ()
    axes = axes or tuple(range(len(starts)))
    steps = steps or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        site.damaged("has lists of different lengths")
    site.need(all(step > 0 for step in steps), "with negative steps")
    begin, end, strides = [0] * len(shape), list(shape), [1] * len(shape)
    for start, stop, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = normalised(site, axis, len(shape))
        begin[place], end[place], strides[place] = *slice(start, stop).indices(shape[place])[:2], step
    site.result(ops.Slice(begin=tuple(begin), end=tuple(end), strides=tuple(strides)), site.tensor(0))


def gather(site: Site) -> None:
    """Gather of one place or of neighbours in order, as a slice."""
    shape = site.shape(0)
    axis = normalised(site, site.attribute("axis", 0), len(shape))
    indices = site.array(1)
    places = [normalised(site, int(n), shape[axis]) for n in indices.reshape(-1)[:65537]]
    near = bool(places) and places == list(range(places[0], places[0] + len(places)))
    site.need(near and indices.ndim <= 1, "of places that are not neighbours")
    begin, end = [0] * len(shape), list(shape)
    begin[axis], end[axis] = places[0], places[-1] + 1
    op = ops.Slice(begin=tuple(begin), end=tuple(end), strides=(1,) * len(shape))
    if indices.ndim:
        site.result(op, site.tensor(0))
    else:
        site.result(ops.Reshape(shape=shape[:axis] + shape[axis + 1 :]), site.step(op, site.tensor(0)))


def _pad_value(site: Site) -> float:
    """The value as a real number: of integers it is given in the file's own, uint8 before it became int8."""
    value, constant = site.real(2), site.array(2)
    quantised = site.state.tensors[site.tensor(0)].quantisation
    if constant.dtype.kind == "f" or quantised is None:
        return value
    return (value - (128 if constant.dtype == np.uint8 else 0) - quantised.zero_point) * quantised.scale


def pad(site: Site) -> None:
    """Pad with a constant."""
    shape = site.shape(0)
    mode = site.attribute("mode", "constant")
    site.need(mode == "constant", f"in mode {mode}")
    if site.opset < 11:
        pads, value = site.integers("pads"), site.attribute("value", 0.0)
        axes = tuple(range(len(shape)))
    else:
        pads, value = site.sizes(1), _pad_value(site) if site.has(2) else 0.0
        axes = tuple(normalised(site, n, len(shape)) for n in site.sizes(3)) if site.has(3) else tuple(range(len(shape)))
    if len(pads) != 2 * len(axes):
        site.damaged(f"pads {pads} for {len(axes)} axes")
    site.need(min(pads, default=0) >= 0, "with negative padding")
    paddings = [(0, 0)] * len(shape)
    for position, axis in enumerate(axes):
        paddings[axis] = (pads[position], pads[position + len(axes)])
    site.result(ops.Pad(paddings=tuple(paddings), value=value), site.tensor(0))


READERS: dict[str, Callable[[Site], None]] = {
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Expand": expand,
    "Transpose": transpose,
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Gather": gather,
    "Pad": pad,
}
