"""Printing: a Graph -> a table that a person reads."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from marram.core.graph import Graph, Node, Tensor
from marram.core.operators import Operator, operator_name
from marram.model.counts import counts

_HEADINGS = ("node", "operator", "output", "params", "MACs")
_WIDEST = 48


def describe(graph: Graph) -> str:
    """One line for each node, the inputs before and the totals after them, columns aligned."""
    totals = counts(graph)
    rows = [(name, "input", tensor_text(graph.tensors[name]), "", "") for name in graph.inputs]
    for node, share in zip(graph.nodes, totals.per_node, strict=True):
        made = ", ".join(tensor_text(graph.tensors[name]) for name in node.outputs)
        rows.append((node.name, _operator_text(node), made, _number(share.parameters), _number(share.macs)))
    summary = (
        f"{graph.name}: {_number(totals.macs)} MACs, {_number(totals.parameters)} parameters in "
        f"{_number(totals.weight_bytes)} bytes, largest live set {_number(totals.peak_live_bytes)} bytes"
    )
    return "\n".join([*_aligned([_HEADINGS, *rows]), summary])


def tensor_text(tensor: Tensor) -> str:
    """A tensor in a few words, for instance ``1x32x32x3 int8 0.0078125*(q+128)``."""
    text = f"{'x'.join(map(str, tensor.shape)) or 'scalar'} {tensor.dtype}"
    quantised = tensor.quantisation
    if quantised is None:
        return text
    if len(quantised.scales) > 1:
        return f"{text} {len(quantised.scales)} scales"
    zero = quantised.zero_point
    return f"{text} {quantised.scale:.6g}*(q{-zero:+d})" if zero else f"{text} {quantised.scale:.6g}*q"


def attributes_text(op: Operator) -> str:
    """The attributes that differ from their defaults, for instance ``stride=2x2 activation=relu``."""
    shown = []
    for field in msgspec.structs.fields(op):
        value = getattr(op, field.name)
        if field.required or value != field.default:
            shown.append(f"{field.name}={_value_text(value)}")
    return " ".join(shown)


def _value_text(value: object) -> str:
    if isinstance(value, tuple):
        return "x".join(_value_text(part) if isinstance(part, int) else str(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _operator_text(node: Node) -> str:
    return f"{operator_name(node.op)} {attributes_text(node.op)}".rstrip()


def _number(value: int) -> str:
    return f"{value:,}" if value else ""


def _cut(text: str) -> str:
    clean = text.replace("\n", " ")
    return clean if len(clean) <= _WIDEST else clean[: _WIDEST - 3] + "..."


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines: text to the left, the last two columns to the right."""
    cells = [[_cut(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = []
    for row in cells:
        left = "  ".join(cell.ljust(width) for cell, width in zip(row[:-2], widths, strict=False))
        right = "  ".join(cell.rjust(width) for cell, width in zip(row[-2:], widths[-2:], strict=True))
        lines.append(f"{left}  {right}".rstrip())
    return lines
