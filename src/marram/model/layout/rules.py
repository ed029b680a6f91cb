"""What each operator becomes when its tensors are stored permuted: a ``Form``, or None where it cannot take that order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from marram.core import operators as ops
from marram.core.operators import Operator
from marram.model.layout.permutations import Label, Shape, channels_first, identity, invert, permute

SPATIAL = (ops.Conv2D, ops.DepthwiseConv2D, ops.TransposeConv2D, ops.AveragePool2D, ops.MaxPool2D, ops.Resize)
LAST_AXIS = (ops.Dense, ops.Softmax, ops.LayerNorm, ops.BatchNorm)
REDUCTIONS = (ops.Mean, ops.Sum)
BROADCASTING = (ops.Add, ops.Sub, ops.Mul)
POINTWISE = (
    ops.Relu,
    ops.Relu6,
    ops.LeakyRelu,
    ops.HardSwish,
    ops.Sigmoid,
    ops.Tanh,
    ops.Gelu,
    ops.Quantise,
    ops.Dequantise,
)
REMAPPED = (*BROADCASTING, *POINTWISE, ops.Concat, ops.Split, ops.Slice, ops.Pad)


class Form(NamedTuple):
    """An operator for tensors stored by labels; an input of label None is read as it is (weights, vectors of parameters)."""

    op: Operator
    inputs: tuple[Label | None, ...]
    outputs: tuple[Label, ...]


class Sides(NamedTuple):
    """The logical shapes on both sides of a node; those of absent inputs are ``()``."""

    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]


def bound_form(op: Operator, sides: Sides, *, first: bool) -> Form:
    """The form that an operator always has: logical order; with ``first``, spatial operators work channels first."""
    if first and isinstance(op, (*SPATIAL, ops.BatchNorm)):
        label = channels_first(len(sides.outputs[0]))
        return Form(op, (label, *(None,) * (len(sides.inputs) - 1)), (label,))
    return Form(op, tuple(identity(len(shape)) for shape in sides.inputs), tuple(identity(len(s)) for s in sides.outputs))


def form_from_output(op: Operator, sides: Sides, label: Label, *, first: bool) -> Form | None:
    """The form that gives its (first) output stored by ``label``, without a transpose of its own."""
    if isinstance(op, ops.Reshape):
        source = regrouped(sides.outputs[0], sides.inputs[0], label)
        return None if source is None else Form(_reshaped(sides.outputs[0], label), (source,), (label,))
    if isinstance(op, ops.Transpose):
        return Form(op, (permute(op.permutation, label),), (label,))
    if isinstance(op, REDUCTIONS) and not op.keep_dims:
        return None
    return _uniform(op, sides, label, first=first)


def form_from_input(op: Operator, sides: Sides, label: Label, *, first: bool) -> Form | None:
    """The form that reads its first input stored by ``label``, without a transpose of its own."""
    if isinstance(op, ops.Reshape):
        target = regrouped(sides.inputs[0], sides.outputs[0], label)
        return None if target is None else Form(_reshaped(sides.outputs[0], target), (label,), (target,))
    if isinstance(op, ops.Transpose):
        return Form(op, (label,), (permute(invert(op.permutation), label),))
    if isinstance(op, REDUCTIONS) and not op.keep_dims:
        kept = [axis for axis in range(len(label)) if axis not in op.axes]
        target = tuple(kept.index(axis) for axis in label if axis not in op.axes)
        return Form(_remapped(op, label), (label,), (target,))
    return _uniform(op, sides, label, first=first)


def _uniform(op: Operator, sides: Sides, label: Label, *, first: bool) -> Form | None:
    """Inputs and outputs stored alike, where the operator allows that."""
    rank = len(label)
    if isinstance(op, (*REMAPPED, *REDUCTIONS)):
        return Form(_remapped(op, label), (label,) * len(sides.inputs), (label,) * len(sides.outputs))
    if isinstance(op, LAST_AXIS):
        fits = label == channels_first(rank) if first and isinstance(op, ops.BatchNorm) else label[-1] == rank - 1
        return Form(op, (label, *(None,) * (len(sides.inputs) - 1)), (label,)) if fits else None
    if isinstance(op, ops.MatMul):
        fits = label[-2:] == (rank - 2, rank - 1) and all(len(shape) == rank for shape in sides.inputs)
        return Form(op, (label, label), (label,)) if fits else None
    return None


def _remapped(op: Any, label: Label) -> Operator:
    """The operator with the axes that it names counted in the stored order."""
    changes: dict[str, Any] = {}
    if isinstance(op, ops.Concat | ops.Split):
        changes = {"axis": label.index(op.axis)}
    elif isinstance(op, REDUCTIONS):
        changes = {"axes": tuple(sorted(label.index(axis) for axis in op.axes))}
    elif isinstance(op, ops.Slice):
        changes = {field: permute(getattr(op, field), label) for field in ("begin", "end", "strides")}
    elif isinstance(op, ops.Pad):
        changes = {"paddings": tuple(op.paddings[axis] for axis in label)}
    return replace(op, **changes)  # type: ignore[no-any-return]


def _reshaped(shape: Shape, label: Label) -> ops.Reshape:
    return ops.Reshape(shape=permute(shape, label))


def regrouped(source: Shape, target: Shape, label: Label) -> Label | None:
    """How a reshape's other side is stored when one side is stored by ``label``, so that it still moves no element.

    Both shapes fall into groups of axes of equal product. A label that moves whole groups carries over; None otherwise.
    """
    groups = _groups(source, target)
    if groups is None:
        return None
    order = [axis for axis in label if source[axis] != 1]
    result: list[int] = []
    position = 0
    while position < len(order):
        group = next(g for g in groups if order[position] in g[0])
        if order[position : position + len(group[0])] != list(group[0]):
            return None
        result.extend(group[1])
        position += len(group[0])
    return _place_unit_axes(target, result, channels_after_spatial=_moves_last(source, label))


def _moves_last(shape: Shape, label: Label) -> bool:
    """Whether axis 1 is stored last: the mark of a channels-first tensor stored channels last."""
    return len(shape) > 2 and label[-1] == 1


def _place_unit_axes(shape: Shape, order: Sequence[int], *, channels_after_spatial: bool) -> Label:
    """A full label from the order of the axes that are not 1; unit axes stand where they disturb a known layout least."""
    last = (0, *range(2, len(shape)), 1)
    candidates = [identity(len(shape)), last] if not channels_after_spatial or len(shape) < 3 else [last]
    for candidate in [*candidates, identity(len(shape)), channels_first(len(shape))]:
        if [axis for axis in candidate if shape[axis] != 1] == list(order):
            return candidate
    units = [axis for axis in range(len(shape)) if shape[axis] == 1]
    return (*[axis for axis in units if axis == 0], *order, *[axis for axis in units if axis != 0])


def _groups(source: Shape, target: Shape) -> list[tuple[tuple[int, ...], tuple[int, ...]]] | None:
    """The finest pairs of runs of axes, unit axes left out, that hold the same elements on both sides."""
    left = [axis for axis, n in enumerate(source) if n != 1]
    right = [axis for axis, n in enumerate(target) if n != 1]
    groups = []
    i = j = 0
    while i < len(left) and j < len(right):
        start_i, start_j = i, j
        here, there = source[left[i]], target[right[j]]
        i, j = i + 1, j + 1
        while here != there:
            if here < there and i < len(left):
                here, i = here * source[left[i]], i + 1
            elif there < here and j < len(right):
                there, j = there * target[right[j]], j + 1
            else:
                return None
        groups.append((tuple(left[start_i:i]), tuple(right[start_j:j])))
    return groups if i == len(left) and j == len(right) else None
