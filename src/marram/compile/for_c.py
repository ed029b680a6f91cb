"""Programs in C: source for one model, for the kernel family of the target's core. Only integer Graphs."""

from __future__ import annotations

from collections.abc import Sequence

import marram
from marram.compile.c.archive import pack, sources_of
from marram.compile.c.families import family_of
from marram.compile.c.generation import Generated, generate
from marram.compile.making import Maker, Precision, graph_precision
from marram.core.codec import digest
from marram.core.errors import UnsupportedOperator, UserError
from marram.core.graph import Array, Graph, OpaqueModel
from marram.core.program import Program
from marram.core.target import Target


def make(
    model: Graph | OpaqueModel, target: Target, precision: Precision | None, calibration: Sequence[Array] | None
) -> Program:
    """A Program in C; arguments and errors as ``programs.build``.

    Raises:
        UnsupportedOperator: the model has operators outside the Graph; C is made from a Graph.
        UserError: the graph computes in floats, or the family has no kernel for one of its operators.
    """
    del precision, calibration
    return make_within(model, target, arena_limit_bytes=None)


def make_within(model: Graph | OpaqueModel, target: Target, *, arena_limit_bytes: int | None) -> Program:
    """A Program in C whose arena stays within a limit where that can be done; errors as ``make``."""
    graph = _integer_graph(model, target)
    return program_of(generate(graph, family_of(target), arena_limit_bytes=arena_limit_bytes), graph, target)


def program_of(generated: Generated, graph: Graph, target: Target) -> Program:
    """The Program that carries generated C; ``graph`` is what it was generated from."""
    return Program(
        target=target.name,
        runtime="c",
        runtime_version=f"marram {marram.__version__}, kernel family {generated.family}",
        format="c",
        precision="int8",
        blob=pack(sources_of(generated)),
        inputs=generated.graph.input_tensors,
        outputs=generated.graph.output_tensors,
        graph_digest=digest(graph),
        quantised_by="marram",
    )


def _integer_graph(model: Graph | OpaqueModel, target: Target) -> Graph:
    if isinstance(model, OpaqueModel):
        raise UnsupportedOperator(model.unsupported[0], node=f"(of {model.name}, for {target.name})")
    if graph_precision(model) != "int8":
        raise UserError(
            "C for microcontrollers is made from integer graphs, and this one computes in float32",
            where=f"graph {model.name}",
            hint="Quantise it first: marram build does, or marram.compress.quantise(graph, ...).",
        )
    return model


MAKER = Maker(runtime="c", format="c", package="marram", distribution="marram", make=make)
