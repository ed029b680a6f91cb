"""Layer normalisation, for which TFLite has no operator: one node <-> nine float operators in a fixed order.

mean, squared difference, mean, plus epsilon, reciprocal square root, minus mean, times, times gamma, plus beta; all over the
last axis. Reading finds exactly this sequence and gives the node back; another one is read operator by operator, and refused
at RSQRT.
"""

from __future__ import annotations

import msgspec
import numpy as np

from marram.core.graph import Graph, Node, Tensor
from marram.core.operators import LayerNorm
from marram.model.tflite.contents import Contents, FileOperator
from marram.model.tflite.importing import Site
from marram.model.tflite.records import Parameter, Record, integers, shape, unwritable

SEQUENCE = ("MEAN", "SQUARED_DIFFERENCE", "MEAN", "ADD", "RSQRT", "SUB", "MUL", "MUL", "ADD")

_PLAIN = {"fused_activation_function": 0}


def records(node: Node, graph: Graph) -> list[tuple[Record, tuple[Tensor, ...]]]:
    """The nine operators of a layer norm and the tensors they write.

    Raises:
        UserError: the node computes on integers.
    """
    assert isinstance(node.op, LayerNorm)
    y = graph.tensors[node.outputs[0]]
    if y.dtype != "float32":
        raise unwritable(node, "a layer norm on integers", hint="Keep it in float: name it in keep_float of Quantise.")
    x, gamma, beta = node.inputs
    full = shape(node, graph)
    column = (*full[:-1], 1)
    parts = {
        part: msgspec.structs.replace(y, name=f"{y.name}/{part}", shape=size)
        for part, size in {"mean": column, "square": full, "variance": column, "sum": column, "factor": column}.items()
        | {"centred": full, "normal": full, "scaled": full}.items()
    }
    axes = integers("axes", len(full) - 1)
    epsilon = Parameter(label="epsilon", value=np.array(node.op.epsilon, np.float32))
    keep = ("ReducerOptions", {"keep_dims": True})
    add, sub, mul = ((table, _PLAIN) for table in ("AddOptions", "SubOptions", "MulOptions"))
    mean, square, variance, total, factor, centred, normal, scaled = (f"{y.name}/{part}" for part in _PARTS)
    steps = [
        (Record(operator="MEAN", inputs=(x, axes), options=keep), parts["mean"]),
        (Record(operator="SQUARED_DIFFERENCE", inputs=(x, mean)), parts["square"]),
        (Record(operator="MEAN", inputs=(square, axes), options=keep), parts["variance"]),
        (Record(operator="ADD", inputs=(variance, epsilon), options=add), parts["sum"]),
        (Record(operator="RSQRT", inputs=(total,)), parts["factor"]),
        (Record(operator="SUB", inputs=(x, mean), options=sub), parts["centred"]),
        (Record(operator="MUL", inputs=(centred, factor), options=mul), parts["normal"]),
        (Record(operator="MUL", inputs=(normal, gamma), options=mul), parts["scaled"]),
        (Record(operator="ADD", inputs=(scaled, beta), options=add), y),
    ]
    return [(record, (tensor,)) for record, tensor in steps]


_PARTS = ("mean", "square", "variance", "sum", "factor", "centred", "normal", "scaled")


def found(contents: Contents) -> dict[int, tuple[FileOperator, ...]]:
    """The layer norms of a file that are written in this module's form: the nine operators by the index of the first."""
    readers: dict[int, set[int]] = {index: {-1} for index in contents.outputs}
    for operator in contents.operators:
        for index in operator.inputs:
            readers.setdefault(index, set()).add(operator.index)
    matches: dict[int, tuple[FileOperator, ...]] = {}
    for start, operator in enumerate(contents.operators):
        if operator.name == SEQUENCE[0]:
            nine = contents.operators[start : start + len(SEQUENCE)]
            if tuple(each.name for each in nine) == SEQUENCE and _is_wired(nine, readers):
                matches[start] = nine
    return matches


def _is_wired(nine: tuple[FileOperator, ...], readers: dict[int, set[int]]) -> bool:
    """Whether nine operators of the right names pass their results on as a layer norm does, and to nobody else."""
    if any(len(operator.outputs) != 1 for operator in nine) or [len(operator.inputs) for operator in nine] != _ARITIES:
        return False
    mean, square, variance, total, factor, centred, normal, scaled, _ = (operator.outputs[0] for operator in nine)
    x = nine[0].inputs[0]
    firsts = [operator.inputs[0] for operator in nine] == [x, x, square, variance, total, x, centred, normal, scaled]
    seconds = nine[1].inputs[1] == nine[5].inputs[1] == mean and nine[6].inputs[1] == factor
    inside = {operator.index for operator in nine}
    inner = (mean, square, variance, total, factor, centred, normal, scaled)
    return firsts and seconds and all(readers.get(index, set()) <= inside for index in inner)


_ARITIES = [2, 2, 2, 2, 1, 2, 2, 2, 2]


def read(site: Site, nine: tuple[FileOperator, ...]) -> bool:
    """Emit a layer norm that ``found`` saw, ``site`` being its last operator; False if its numbers are of another kind."""
    state = site.state
    if not site.is_real:
        return False
    first = Site(state, nine[0])
    x = first.shape(0)
    axes = [set(Site(state, nine[place]).integers(1)) for place in (0, 2)]
    keeps = [Site(state, nine[place]).options("ReducerOptions")["keep_dims"] for place in (0, 2)]
    plain = all(Site(state, nine[place]).activation(table) == "none" for place, table in _ACTIVATED.items())
    epsilon = Site(state, nine[3]).value(1)
    gamma, beta = Site(state, nine[7]).value(1), site.value(1)
    vectors = all(value is not None and value.shape == x[-1:] for value in (gamma, beta))
    over_last = x and all(axis in ({-1}, {len(x) - 1}) for axis in axes)
    if not (over_last and all(keeps) and plain and vectors) or epsilon is None or epsilon.size != 1:
        return False
    op = LayerNorm(epsilon=float(epsilon.reshape(()).item()))
    site.emit(op, [first.operand(0), Site(state, nine[7]).operand(1), site.operand(1)])
    return True


_ACTIVATED = {3: "AddOptions", 5: "SubOptions", 6: "MulOptions", 7: "MulOptions", 8: "AddOptions"}
