"""Operators that exporters write as many: erf-GELU, layer norm and hard swish, put together again before translation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import isclose, sqrt
from typing import NamedTuple

import numpy as np

from marram.core.graph import Array
from marram.model.onnx.contents import Contents, FileNode


class Match(NamedTuple):
    """What replaces a pattern: the new node and the names of the values that it makes needless."""

    node: FileNode
    consumed: frozenset[str]


class Web:
    """The nodes of a file by what they write, and how often each value is read."""

    def __init__(self, contents: Contents) -> None:
        self.writer = {name: node for node in contents.nodes for name in node.outputs if name}
        self.reads = Counter(name for node in contents.nodes for name in node.inputs)
        self.reads.update(value.name for value in contents.outputs)
        self.constants = dict(contents.constants)
        for node in contents.nodes:
            value = node.attributes.get("value")
            if node.operator == "Constant" and isinstance(value, np.ndarray) and node.outputs:
                self.constants[node.outputs[0]] = value
            elif node.operator == "Identity" and node.inputs and node.outputs and node.inputs[0] in self.constants:
                self.constants[node.outputs[0]] = self.constants[node.inputs[0]]  # exporters share equal vectors so

    def made_by(self, name: str, operator: str) -> FileNode | None:
        """The node of that operator that writes a value, if it is one."""
        node = self.writer.get(name)
        return node if node is not None and node.operator == operator and len(node.inputs) >= 1 else None

    def number(self, name: str) -> float | None:
        """The value of a constant that is one number."""
        value = self.constants.get(name)
        if value is None or value.size != 1 or value.dtype.kind not in "fiu":
            return None
        return float(value.reshape(()))

    def is_number(self, name: str, wanted: float, tolerance: float = 1e-4) -> bool:
        """Whether a value is the constant wanted."""
        found = self.number(name)
        return found is not None and isclose(found, wanted, rel_tol=tolerance)

    def vector(self, name: str) -> Array | None:
        """A constant with at most one axis that is not 1, the last."""
        value = self.constants.get(name)
        return value if value is not None and value.size == (value.shape[-1] if value.ndim else 1) else None

    def pair(self, node: FileNode | None, test: Callable[[str], bool]) -> tuple[str, str] | None:
        """Of a node's two inputs the one that passes the test and the other."""
        if node is None or len(node.inputs) != 2:
            return None
        a, b = node.inputs
        return (a, b) if test(a) else (b, a) if test(b) else None


def fused(contents: Contents) -> tuple[FileNode, ...]:
    """The file's nodes with the patterns replaced; a pattern whose inner values are read elsewhere stays."""
    web = Web(contents)
    replaced: dict[int, FileNode] = {}
    dropped: set[str] = set()
    for index, node in enumerate(contents.nodes):
        for rule in _RULES.get(node.operator, ()) if node.outputs and node.outputs[0] else ():
            match = rule(web, node)
            if match and _private(web, match, contents.nodes) and dropped.isdisjoint(match.consumed):
                replaced[index] = match.node
                dropped |= match.consumed
                break
    return tuple(
        replaced.get(index, node)
        for index, node in enumerate(contents.nodes)
        if index in replaced or not node.outputs or not dropped.issuperset(node.outputs)
    )


def _private(web: Web, match: Match, nodes: Sequence[FileNode]) -> bool:
    """Whether nothing outside the pattern reads the values inside it."""
    inner = Counter(
        name for name_of_node in match.consumed for name in web.writer[name_of_node].inputs if name in match.consumed
    )
    final = web.writer[match.node.outputs[0]]
    inner.update(name for name in final.inputs if name in match.consumed)
    return len(nodes) > 0 and all(web.reads[name] == inner[name] for name in match.consumed)


def _node(last: FileNode, operator: str, inputs: tuple[str, ...], **attributes: float | int | str) -> FileNode:
    return FileNode(last.name, operator, inputs, last.outputs, attributes)


def _gelu(web: Web, last: FileNode) -> Match | None:
    """0.5 * x * (1 + erf(x / sqrt 2)), its three factors in any order."""
    factors = _factors(web, last)
    if factors is None:
        return None
    names, inner = factors
    for position, name in enumerate(names):
        one = web.pair(web.made_by(name, "Add"), lambda n: web.is_number(n, 1.0))
        erf = web.made_by(one[1], "Erf") if one else None
        if erf is None:
            continue
        x = _over_root_two(web, erf.inputs[0])
        rest = names[:position] + names[position + 1 :]
        if x is not None and x[0] in rest and len(rest) == 2:
            half = next((n for n in rest if n != x[0]), x[0])
            if web.is_number(half, 0.5):
                consumed = frozenset({*inner, name, erf.outputs[0], erf.inputs[0]})
                return Match(_node(last, "Gelu", (x[0],)), consumed)
    return None


def _factors(web: Web, last: FileNode) -> tuple[list[str], set[str]] | None:
    """The three factors of a product of products, and the value between."""
    if len(last.inputs) != 2:
        return None
    for one, other in (last.inputs, last.inputs[::-1]):
        inner = web.made_by(one, "Mul")
        if inner is not None and len(inner.inputs) == 2:
            names = [*inner.inputs, other]
            if any(web.is_number(name, 0.5) for name in names):
                return names, {one}
    return None


def _over_root_two(web: Web, name: str) -> tuple[str] | None:
    divided = web.made_by(name, "Div")
    if divided is not None and len(divided.inputs) == 2 and web.is_number(divided.inputs[1], sqrt(2)):
        return (divided.inputs[0],)
    scaled = web.pair(web.made_by(name, "Mul"), lambda n: web.is_number(n, sqrt(0.5)))
    return (scaled[1],) if scaled else None


def _layer_norm(web: Web, last: FileNode) -> Match | None:
    """(x - mean) / sqrt(mean of squares + epsilon) * gamma + beta over the last axis."""
    shift = web.pair(last, lambda n: web.vector(n) is not None)
    scaled = web.pair(web.made_by(shift[1], "Mul"), lambda n: web.vector(n) is not None) if shift else None
    ratio = web.made_by(scaled[1], "Div") if scaled else None
    if shift is None or scaled is None or ratio is None or len(ratio.inputs) != 2:
        return None
    centred = web.made_by(ratio.inputs[0], "Sub")
    root = web.made_by(ratio.inputs[1], "Sqrt")
    raised = web.pair(web.made_by(root.inputs[0], "Add"), lambda n: web.number(n) is not None) if root else None
    variance = web.made_by(raised[1], "ReduceMean") if raised else None
    if centred is None or root is None or raised is None or variance is None or len(centred.inputs) != 2:
        return None
    square = web.writer.get(variance.inputs[0])
    mean = web.made_by(centred.inputs[1], "ReduceMean")
    if square is None or mean is None or mean.inputs[0] != centred.inputs[0] or not _squares(web, square, ratio.inputs[0]):
        return None
    if not (_over_last(web, mean) and _over_last(web, variance)):
        return None
    inner = (shift[1], scaled[1], *ratio.inputs, root.inputs[0], raised[1], square.outputs[0], mean.outputs[0])
    epsilon = web.number(raised[0])
    assert epsilon is not None
    node = _node(last, "LayerNormalization", (centred.inputs[0], scaled[0], shift[0]), axis=-1, epsilon=epsilon)
    return Match(node, frozenset(inner))


def _squares(web: Web, node: FileNode, of: str) -> bool:
    if node.operator == "Pow" and len(node.inputs) == 2:
        return node.inputs[0] == of and web.is_number(node.inputs[1], 2.0)
    return node.operator == "Mul" and node.inputs == (of, of)


def _over_last(web: Web, node: FileNode) -> bool:
    """Whether a reduction keeps its axes and names the last alone, counted from the end."""
    axes = node.attributes.get("axes")
    if len(node.inputs) > 1 and node.inputs[1] in web.constants:
        axes = tuple(int(n) for n in web.constants[node.inputs[1]].reshape(-1)[:9])
    return axes == (-1,) and node.attributes.get("keepdims", 1) == 1


def _hard_swish(web: Web, last: FileNode) -> Match | None:
    """X * HardSigmoid(x) with slope 1/6."""
    found = web.pair(last, lambda n: web.made_by(n, "HardSigmoid") is not None)
    gate = web.made_by(found[0], "HardSigmoid") if found else None
    if found is None or gate is None or gate.inputs[0] != found[1]:
        return None
    alpha, beta = gate.attributes.get("alpha", 0.2), gate.attributes.get("beta", 0.5)
    if not (isclose(alpha, 1 / 6, rel_tol=1e-4) and isclose(beta, 0.5, rel_tol=1e-6)):
        return None
    return Match(_node(last, "HardSwish", (found[1],)), frozenset({found[0]}))


def _hard_swish_by_clip(web: Web, last: FileNode) -> Match | None:
    """X * clip(x + 3, 0, 6) / 6, the division last."""
    by_six = last.operator == "Div" and web.is_number(last.inputs[1], 6.0) if len(last.inputs) == 2 else False
    if not by_six:
        return None
    found = web.pair(web.made_by(last.inputs[0], "Mul"), lambda n: web.made_by(n, "Clip") is not None)
    clip = web.made_by(found[0], "Clip") if found else None
    if found is None or clip is None or len(clip.inputs) != 3:
        return None
    limits = (web.number(clip.inputs[1]), web.number(clip.inputs[2]))
    lifted = web.pair(web.made_by(clip.inputs[0], "Add"), lambda n: web.is_number(n, 3.0))
    if limits != (0.0, 6.0) or lifted is None or lifted[1] != found[1]:
        return None
    return Match(_node(last, "HardSwish", (found[1],)), frozenset({last.inputs[0], found[0], clip.inputs[0]}))


_RULES: dict[str, tuple[Callable[[Web, FileNode], Match | None], ...]] = {
    "Mul": (_gelu, _hard_swish),
    "Add": (_layer_norm,),
    "Div": (_hard_swish_by_clip,),
}
