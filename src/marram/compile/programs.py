"""Graph and Target -> Program: which runtime, which file format, which precision. One module for each runtime does the work."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Literal

from marram.compile import for_c, for_litert, for_onnxruntime, for_openvino
from marram.compile.making import Maker, graph_precision
from marram.core.errors import UnsupportedOperator, UserError
from marram.core.graph import Array, Graph, OpaqueModel
from marram.core.program import Program
from marram.core.target import Runtime, Target

Precision = Literal["float32", "int8"]

_MAKERS: dict[Runtime, Maker] = {
    "c": for_c.MAKER,
    "litert": for_litert.MAKER,
    "onnxruntime": for_onnxruntime.MAKER,
    "openvino": for_openvino.MAKER,
}


def build(
    model: Graph | OpaqueModel,
    target: Target,
    *,
    runtime: Runtime | None = None,
    precision: Precision | None = None,
    calibration: Sequence[Array] | None = None,
) -> Program:
    """A Program of the model for the target.

    Args:
        model: a Graph, float or integer, or a file that is carried as it came.
        target: the device profile.
        runtime: one that the target takes; None takes the first that takes the model.
        precision: what is expected of the Program. A Graph has the precision that it has; an opaque model becomes ``int8`` by
            the runtime's own tool. None takes the model as it is.
        calibration: for that tool, samples (N, ...) of each of the model's inputs, in order.

    Raises:
        UnsupportedOperator: the target takes no operators outside the Graph, and the model has some.
        UserError: the runtime is not the target's or does not take the model's format, or the precision cannot be had.
        MissingExtra: the runtime's own tool is needed and not installed.
    """
    makers = _fitting(model, target, runtime)
    _check_precision(model, precision)
    return makers[0].make(model, target, precision, calibration)


def candidates(
    model: Graph | OpaqueModel,
    target: Target,
    *,
    precision: Precision | None = None,
    calibration: Sequence[Array] | None = None,
) -> tuple[Program, ...]:
    """A Program for each runtime that the target takes and this machine has, in the target's order of preference.

    Raises:
        UserError: as ``build``, or none of the target's runtimes is installed.
    """
    makers = _fitting(model, target, None)
    _check_precision(model, precision)
    here = [maker for maker in makers if find_spec(maker.package) is not None]
    if not here:
        names = ", ".join(maker.package for maker in makers)
        raise UserError(f"none of the runtimes of {target.name} is installed: {names}", hint="pip install 'marram[build]'")
    return tuple(maker.make(model, target, precision, calibration) for maker in here)


def _fitting(model: Graph | OpaqueModel, target: Target, runtime: Runtime | None) -> list[Maker]:
    """The makers that can serve, at least one."""
    if runtime is not None and runtime not in target.runtimes:
        known = ", ".join(target.runtimes)
        raise UserError(f"{target.name} does not take runtime {runtime}", where="runtime", hint=f"It takes: {known}.")
    wanted = target.runtimes if runtime is None else (runtime,)
    makers = [_MAKERS[name] for name in wanted if name in _MAKERS]
    if isinstance(model, Graph):
        return makers
    fitting = [maker for maker in makers if maker.format == model.format]
    if not fitting and wanted == ("c",):
        raise UnsupportedOperator(model.unsupported[0], node=f"(of {model.name}, for {target.name})")
    if not fitting:
        takers = ", ".join(f"{maker.runtime} ({maker.format})" for maker in makers)
        raise UserError(
            f"the model is an {model.format} file with operators outside the Graph ({', '.join(model.unsupported)}), "
            f"and {target.name} takes it in no runtime",
            where=model.name,
            hint=f"{target.name} takes: {takers}. Export the model in one of these formats, or without these operators.",
        )
    return fitting


def _check_precision(model: Graph | OpaqueModel, precision: Precision | None) -> None:
    if not isinstance(model, Graph) or precision in {None, graph_precision(model)}:
        return
    hint = "Quantise the graph first: marram.compress.quantise(graph, ...)." if precision == "int8" else "Give the float graph."
    raise UserError(
        f"the graph computes in {graph_precision(model)}, not in {precision}", where=f"graph {model.name}", hint=hint
    )
