"""Cancelling: the whole pass, from a Graph full of transposes to one with as few as the search finds."""

from __future__ import annotations

from marram.core import operators as ops
from marram.core.graph import Graph
from marram.model.layout.assignment import Assignment
from marram.model.layout.flattening import fold_flattening
from marram.model.layout.rewriting import rewrite, tidy
from marram.model.shapes import infer


def cancel_transposes(graph: Graph) -> Graph:
    """The graph that computes the same with fewer transposes; inputs and outputs keep their names and order.

    Transposes meet and vanish through pointwise operators, broadcasting arithmetic, concat, split, slice, pad, reductions and
    reshapes of whole axes; one before a flatten that a Dense reads is folded into its weights. Those that move no element
    become reshapes.

    Raises:
        UserError: the graph's shapes do not fit.
    """
    return settle(graph, first=False)


def settle(graph: Graph, *, first: bool) -> Graph:
    """Search and rewrite; with ``first``, spatial operators and BatchNorm come out working on channels-first tensors."""
    sound = tidy(infer(graph))
    assignment = Assignment(sound, first=first)
    assignment.search()
    done = tidy(rewrite(sound, assignment.labels, assignment.forms))
    return done if first else tidy(fold_flattening(done))


def transposed_elements(graph: Graph) -> int:
    """Elements that the graph's transposes move."""
    return sum(graph.tensors[node.outputs[0]].size for node in graph.nodes if isinstance(node.op, ops.Transpose))
