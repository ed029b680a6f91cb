"""Batched matrix products of activations in plain C."""

from __future__ import annotations

from marram.compile.c.kernels.portable.operands import operands
from marram.compile.c.kernels.portable.strided import axes_of, broadcast_steps, loops, steps_of
from marram.compile.c.place import Place, Routine
from marram.compile.c.requantisation import INT32_MAX
from marram.core.graph import Tensor
from marram.core.operators import MatMul
from marram.model.reference.arithmetic import integer_range, multiplier


def matmul(place: Place) -> Routine:
    """int8 product of the last two axes, the others broadcast; one operand may be constant."""
    site = place.site
    op = site.op(MatMul)
    a, b, out = site.input(0), site.input(1), site.output
    if {a.dtype, b.dtype, out.dtype} != {"int8"}:
        raise site.error("matmul takes int8 only")
    rows, columns = out.shape[-2:]
    depth = a.shape[-2 if op.transpose_a else -1]
    if depth * _span(place, a) * _span(place, b) > INT32_MAX:
        raise site.error(
            f"sums of {depth} products can leave int32", "Split the product, or shift the zero points to the middle."
        )
    by = multiplier(float(site.scale(a)) * float(site.scale(b)) / float(site.scale(out)))
    if int(by.shifts) > 31:
        raise site.error("the factor is beyond 2**31")
    low, high = integer_range(out)
    a_steps = (1, rows) if op.transpose_a else (depth, 1)
    b_steps = (1, depth) if op.transpose_b else (columns, 1)
    sizes = f"{rows}, {depth}, {columns}, {site.zero_point(a)}, {site.zero_point(b)}"
    finish = f"{int(by.values)}, {int(by.shifts)}, {site.zero_point(out)}, {low}, {high}"

    def call(places: tuple[str, ...]) -> str:
        first = f"{places[0]}, {a_steps[0]}, {a_steps[1]}"
        second = f"{places[1]}, {b_steps[0]}, {b_steps[1]}"
        return f"marram_portable_matmul({first}, {second}, {places[2]}, {sizes}, {finish});"

    batch = out.shape[:-2]
    steps = [_batch_steps(tensor, batch) for tensor in (a, b)]
    own = tuple(step * rows * columns for step in steps_of(batch))
    given = operands(place)
    return Routine(
        includes=("portable/matmul.h",),
        body=loops(axes_of(batch, *steps, own), call, (*given.names, "y0")),
        constants=given.constants,
        instructions=8.0 * out.size * depth,
    )


def _span(place: Place, tensor: Tensor) -> int:
    zero_point = place.site.zero_point(tensor)
    return max(127 - zero_point, zero_point + 128)


def _batch_steps(tensor: Tensor, batch: tuple[int, ...]) -> tuple[int, ...]:
    matrix = tensor.shape[-2] * tensor.shape[-1]
    return tuple(step * matrix for step in broadcast_steps(tensor.shape[:-2], batch))
