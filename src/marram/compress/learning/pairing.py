"""Pairing: which tensors of a student are compared with which of its teacher, and whether they can be."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Literal

from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Graph, producers

_NO_FEATURES = (ops.Pad, ops.Slice, ops.Reshape, ops.Transpose, ops.MatMul, ops.Softmax, ops.Split)
"""What only moves values, or mixes places: no ends of stages."""


def pairs_of(student: Graph, teacher: Graph) -> dict[str, str]:
    """Tensors at the ends of stages, the student's to the teacher's.

    A stage is what works at one spatial size; its end is the last tensor of that size. Stages are paired by size; where the
    teacher has a tensor of the same name and size, that one is taken.
    """
    ends, wanted = _ends(student), _ends(teacher)
    return {name: _named_alike(teacher, name, size) or wanted[size] for size, name in ends.items() if size in wanted}


def _ends(graph: Graph) -> dict[tuple[int, ...], str]:
    """The last tensor of each spatial size of more than one place."""
    ends: dict[tuple[int, ...], str] = {}
    for node in graph.nodes:
        size = _size(graph, node.outputs[0])
        if size is not None and not isinstance(node.op, _NO_FEATURES):
            ends.pop(size, None)  # so that stages stand in the order of their ends
            ends[size] = node.outputs[0]
    return ends


def _size(graph: Graph, name: str) -> tuple[int, ...] | None:
    """Places of a tensor ``(1, ..., C)``; None where there is one or none."""
    shape = graph.tensors[name].shape
    return shape[1:-1] if len(shape) > 2 and max(shape[1:-1]) > 1 else None


def _named_alike(teacher: Graph, name: str, size: tuple[int, ...]) -> str | None:
    return name if name in producers(teacher) and _size(teacher, name) == size else None


def check_pairs(student: Graph, teacher: Graph, pairs: Mapping[str, str], compare: Literal["features", "attention"]) -> None:
    """Refuse pairs that cannot be compared.

    Raises:
        UserError: no pairs, a tensor that is not computed, pairs of different rank, or attention over a single place.
    """
    if not pairs:
        raise UserError(
            "student and teacher have no stage of one spatial size in common",
            hint="Name tensors in pairs, or set features to 0.",
        )
    for mine, theirs in pairs.items():
        for graph, name, role in ((student, mine, "student"), (teacher, theirs, "teacher")):
            _check_computed(graph, name, role)
        shapes = student.tensors[mine].shape, teacher.tensors[theirs].shape
        if len(shapes[0]) != len(shapes[1]) or len(shapes[0]) < 2:
            raise UserError(f"{mine} {shapes[0]} and {theirs} {shapes[1]} cannot be compared: other axes", where="distillation")
        if compare == "attention" and min(len(shape) for shape in shapes) < 3:
            raise UserError(
                f"{mine} {shapes[0]} has no places to attend to", where="distillation", hint="Compare it by features."
            )


def _check_computed(graph: Graph, name: str, role: str) -> None:
    known = producers(graph)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        guess = f"Did you mean {' or '.join(near)}?" if near else None
        raise UserError(f"the {role} computes no tensor {name!r}", where=f"graph {graph.name}", hint=guess)
