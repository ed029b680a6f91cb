"""How far a runtime is from the reference: the same vectors through both, every output element compared.

Integer models are compared as integers. A Program may carry them in another costume (uint8 for int8, or reals that stand on
the output's grid); they are brought back to the Graph's dtype before they are compared, which loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marram.core.codec import digest
from marram.core.errors import UserError
from marram.core.evidence import Parity
from marram.core.graph import Array, Graph, Tensor
from marram.core.ports import Session
from marram.core.program import Program
from marram.sense import quantise
from marram.sense.feeding import reals


def compare(
    reference: Sequence[Array],
    outputs: Sequence[Array],
    *,
    vectors: Sequence[Array],
    runtime: str,
    reference_name: str,
    metric_change: float | None = None,
) -> Parity:
    """Count and size of the differences between two sets of outputs.

    Args:
        reference: what should have come out, one array (N, ...) for each output.
        outputs: what came out, alike in shape and dtype.
        vectors: what went in, one array (N, ...) for each input.
        runtime: what made ``outputs``.
        reference_name: what made ``reference``.
        metric_change: the task's metric with ``outputs`` less that with ``reference``.

    Raises:
        UserError: shapes or dtypes differ, or there are no vectors.
    """
    shapes = [(array.shape, array.dtype) for array in reference]
    if shapes != [(array.shape, array.dtype) for array in outputs] or not vectors or not len(vectors[0]):
        raise UserError(
            f"outputs of {runtime} cannot be compared with those of {reference_name}: they differ in shape or dtype"
        )
    differing, largest = 0, 0.0
    for expected, found in zip(reference, outputs, strict=True):
        if expected.dtype.kind == "f":
            different = (expected != found) & ~(np.isnan(expected) & np.isnan(found))
        else:
            different = expected != found
        if different.any():
            differing += int(different.sum())
            gap = np.abs(expected[different].astype(np.float64) - found[different].astype(np.float64))
            largest = max(largest, float(np.where(np.isnan(gap), np.inf, gap).max()))
    return Parity(
        runtime=runtime,
        reference=reference_name,
        vectors=len(vectors[0]),
        elements=sum(array.size for array in reference),
        differing=differing,
        largest=largest,
        metric_change=metric_change,
        vectors_digest=digest(list(vectors)),
        outputs_digest=digest(list(outputs)),
    )


def session_outputs(session: Session, program: Program, graph: Graph, vectors: Sequence[Array]) -> tuple[Array, ...]:
    """What a Program answers to a Graph's own inputs, in the Graph's own dtypes: one array (N, ...) for each output.

    Raises:
        UserError: the Program is not one of this Graph: its tensors cannot be matched.
    """
    if len(program.inputs) != len(graph.inputs) or len(program.outputs) != len(graph.outputs):
        raise UserError("the program's inputs or outputs are not those of the graph", where=program.target)
    fed = [
        _as_tensor(array, source, goal)
        for array, source, goal in zip(vectors, graph.input_tensors, program.inputs, strict=True)
    ]
    rows = [session.run([array[index : index + 1] for array in fed]) for index in range(len(fed[0]))]
    return tuple(
        _as_tensor(np.concatenate(parts), source, goal)
        for parts, source, goal in zip(zip(*rows, strict=True), program.outputs, graph.output_tensors, strict=True)
    )


def against_reference(
    session: Session, program: Program, graph: Graph, vectors: Sequence[Array], *, targets: Array | None = None
) -> Parity:
    """A loaded Program held against the reference interpreter on the same vectors.

    Args:
        session: the Program, loaded.
        program: what it is.
        graph: what it was made from.
        vectors: one array (N, ...) for each input, in the Graph's dtypes.
        targets: class of each vector, -1 where unknown; with it the effect on accuracy is taken.

    Raises:
        UserError: the Program is not one of this Graph.
    """
    from marram.model.reference import interpret

    expected = interpret(graph, list(vectors))
    found = session_outputs(session, program, graph, vectors)
    return compare(
        expected,
        found,
        vectors=vectors,
        runtime=f"{program.runtime} {program.runtime_version}",
        reference_name="integer reference" if program.precision == "int8" else "float reference",
        metric_change=None if targets is None else _accuracy_change(expected[0], found[0], targets),
    )


def _accuracy_change(expected: Array, found: Array, targets: Array) -> float | None:
    known = targets >= 0
    if not known.any():
        return None
    before, after = (scores.reshape(len(scores), -1).argmax(axis=1)[known] == targets[known] for scores in (expected, found))
    return float(after.mean() - before.mean())


def _as_tensor(values: Array, source: Tensor, goal: Tensor) -> Array:
    """The same values in another tensor's dtype, on the same grid of reals."""
    if source.dtype == goal.dtype:
        return values
    if {source.dtype, goal.dtype} == {"int8", "uint8"}:
        return np.asarray(values.view(np.uint8) ^ np.uint8(128)).view(goal.dtype)
    if goal.dtype == "float32":
        return reals(values, source)
    if source.dtype == "float32" and goal.dtype == "int8" and goal.quantisation is not None:
        return quantise(values, goal.quantisation)
    raise UserError(f"{source.dtype} cannot stand for {goal.dtype}", where=f"tensor {goal.name}")
