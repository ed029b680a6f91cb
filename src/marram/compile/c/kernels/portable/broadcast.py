"""Sum, difference and product of tensors that are stretched over each other, constants among them."""

from __future__ import annotations

from collections.abc import Callable

from marram.compile.c.geometry import rows_of
from marram.compile.c.kernels.portable import add as alike
from marram.compile.c.kernels.portable.movement import by_rows
from marram.compile.c.kernels.portable.operands import Operands, operands
from marram.compile.c.kernels.portable.strided import Axis, axes_of, broadcast_steps, loops, steps_of
from marram.compile.c.place import POINTWISE, Place, Routine
from marram.core.operators import Activation, Add, Mul, Sub
from marram.model.reference.arithmetic import activation_range, multiplier

Call = Callable[[str, str, str, Axis], str]


def add(place: Place) -> Routine:
    """Sum with broadcasting, int8 or int16."""
    return _sum(place, 1, place.site.op(Add).activation)


def sub(place: Place) -> Routine:
    """Difference with broadcasting, int8 or int16."""
    return _sum(place, -1, place.site.op(Sub).activation)


def _sum(place: Place, sign: int, activation: Activation) -> Routine:
    """Two activations of one shape go to the kernel without steps."""
    site = place.site
    dtype = _one_dtype(place, {"int8", "int16"})
    a, b = site.input(0), site.input(1)
    scale_a, scale_b = float(site.scale(a)), float(site.scale(b))
    twice = 2 * max(scale_a, scale_b)
    bits = 20 if dtype == "int8" else 15
    by_sum = multiplier(twice / (2**bits * float(site.scale(site.output))))
    if int(by_sum.shifts) > 0:
        raise site.error(f"the output scale is less than 2**-{bits} of twice the greater input scale")
    if dtype == "int8" and a.shape == b.shape and all(value is None for value in site.constants):
        return alike.add(place) if sign > 0 else alike.sub(place)
    low, high = activation_range(site, activation)
    factors = [multiplier(scale_a / twice), multiplier(scale_b / twice), by_sum]
    (va, sa), (vb, sb), (vo, so) = ((int(by.values), int(by.shifts)) for by in factors)
    zero_a, zero_b, zero_out = site.zero_point(a), site.zero_point(b), site.zero_point(site.output)

    def call(first: str, second: str, out: str, axis: Axis) -> str:
        steps = f"{first}, {axis.steps[0]}, {second}, {axis.steps[1]}"
        return (
            f"marram_portable_add_steps_{dtype[3:]}({steps}, {out}, {axis.size}, {sign}, "
            f"{zero_a}, {va}, {sa}, {zero_b}, {vb}, {sb}, {zero_out}, {vo}, {so}, {low}, {high});"
        )

    return _routine(place, "portable/add_steps.h", call)


def mul(place: Place) -> Routine:
    """int8 product with broadcasting."""
    site = place.site
    _one_dtype(place, {"int8"})
    a, b = site.input(0), site.input(1)
    by = multiplier(float(site.scale(a)) * float(site.scale(b)) / float(site.scale(site.output)))
    if int(by.shifts) > 31:
        raise site.error("the factor is beyond 2**31")
    low, high = activation_range(site, site.op(Mul).activation)
    zeros = f"{site.zero_point(a)}, {site.zero_point(b)}, {site.zero_point(site.output)}"
    factor = f"{int(by.values)}, {int(by.shifts)}"

    def call(first: str, second: str, out: str, axis: Axis) -> str:
        steps = f"{first}, {axis.steps[0]}, {second}, {axis.steps[1]}"
        return f"marram_portable_mul({steps}, {out}, {axis.size}, {zeros}, {factor}, {low}, {high});"

    return _routine(place, "portable/mul.h", call)


def _one_dtype(place: Place, served: set[str]) -> str:
    found = {tensor.dtype for tensor in (*place.site.inputs, *place.site.outputs) if tensor is not None}
    if len(found) != 1 or not found <= served:
        raise place.site.error(f"this operator takes {' or '.join(sorted(served))}, not {' and '.join(sorted(found))}")
    return found.pop()


def _routine(place: Place, header: str, call: Call) -> Routine:
    """The loops over the merged axes; row by row where one image is combined with constants or with its like."""
    site = place.site
    given = operands(place)
    shape = site.output.shape
    shapes = [tensor.shape for tensor in site.inputs if tensor is not None]
    activations = [tensor for tensor, value in zip(shapes, site.constants, strict=True) if value is None]
    if len(shape) == 4 and shape[0] == 1 and all(other == shape for other in activations):
        return _by_rows(place, header, call, given)
    axes = axes_of(shape, *(broadcast_steps(other, shape) for other in shapes), steps_of(shape))
    return Routine(
        includes=(header,),
        body=_nest(axes, call, (*given.names, "y0")),
        constants=given.constants,
        traversal="elements",
        instructions=30.0 * site.output.size,
    )


def _nest(axes: list[Axis], call: Call, bases: tuple[str, ...]) -> str:
    *outer, last = axes or [Axis(size=1, steps=(0, 0, 1))]
    return loops(outer, lambda places: call(places[0], places[1], places[2], last), bases)


def _by_rows(place: Place, header: str, call: Call, given: Operands) -> Routine:
    site = place.site
    shape = site.output.shape
    rows, width, channels = rows_of(shape)
    inner = (width, channels)
    sequence = shape[1] == 1
    bases, steps = [], []
    ranks = iter(place.in_rows)
    for index, name in enumerate(given.names):
        far, near, each = broadcast_steps(site.input(index).shape, shape)[1:]
        per_row = near if sequence else far
        if site.constants[index] is None:
            bases.append(f"{name} + marram_row(row, {next(ranks)}, {rows}, {width * channels})")
        else:
            bases.append(f"{name} + row * {per_row}" if per_row else name)
        steps.append((0 if sequence else near, each))
    axes = axes_of(inner, *steps, steps_of(inner))
    return Routine(
        includes=(header, "common/window.h"),
        body=by_rows(place, [_nest(axes, call, (*bases, "out"))]),
        constants=given.constants,
        windows=(POINTWISE,) * len(place.in_rows),
        columns=(POINTWISE,) * len(place.in_rows),
        traversal="elements",
        instructions=30.0 * site.output.size,
    )
