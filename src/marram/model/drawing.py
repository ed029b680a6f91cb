"""Drawing: a Graph -> one self-contained SVG, boxes coloured by operator family, each with its details as a tooltip."""

from __future__ import annotations

from html import escape
from itertools import pairwise

from marram.core import operators as ops
from marram.core.graph import Graph, Node
from marram.core.operators import operator_name
from marram.model.counts import NodeCounts, counts
from marram.model.placement import Place, Placement, place
from marram.model.printing import attributes_text, tensor_text

_BOX, _HEIGHT, _GAP, _LANE, _MARGIN = 236, 40, 26, 26, 18

_WEIGHTED = "#2b6cb0"
_ARITHMETIC = "#b7791f"
_SHAPE = "#718096"
_POOL = "#2f855a"
_ACTIVATION = "#c05621"
_NORMAL = "#6b46c1"
_BORDER = "#c53030"
_INTERFACE = "#1a202c"

_COLOURS: dict[type, str] = {
    **dict.fromkeys((ops.Conv2D, ops.DepthwiseConv2D, ops.TransposeConv2D, ops.Dense, ops.MatMul), _WEIGHTED),
    **dict.fromkeys((ops.Lstm, ops.Gru), _WEIGHTED),
    **dict.fromkeys((ops.Add, ops.Sub, ops.Mul), _ARITHMETIC),
    **dict.fromkeys((ops.Concat, ops.Split, ops.Slice, ops.Pad, ops.Reshape, ops.Transpose), _SHAPE),
    **dict.fromkeys((ops.AveragePool2D, ops.MaxPool2D, ops.Mean, ops.Sum, ops.Resize), _POOL),
    **dict.fromkeys((ops.LayerNorm, ops.BatchNorm, ops.Softmax), _NORMAL),
    **dict.fromkeys((ops.Quantise, ops.Dequantise), _BORDER),
}


def draw(graph: Graph) -> str:
    """An SVG document of the graph, top to bottom; it refers to nothing outside itself and needs no script."""
    placed = place(graph, box=_BOX + _LANE, lane=_LANE)
    width = placed.width + 2 * _MARGIN
    height = placed.layers * (_HEIGHT + _GAP) - _GAP + 2 * _MARGIN
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" font-family="system-ui, sans-serif" font-size="12" role="img">'
        ),
        f"<title>{_text(graph.name)}</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    parts += [_edge(graph, tensor, points) for tensor, points in placed.edges]
    parts += _boxes(graph, placed)
    return "\n".join([*parts, "</svg>", ""])


def _boxes(graph: Graph, placed: Placement) -> list[str]:
    shares = counts(graph).per_node
    boxes = [_node_box(graph, node, shares[i], placed.places[str(i)]) for i, node in enumerate(graph.nodes)]
    for kind, word, names in (("in", "input", graph.inputs), ("out", "output", graph.outputs)):
        for name in dict.fromkeys(names):
            spot = placed.places.get(f"{kind}:{name}")
            if spot is not None:
                lines = (f"{word} {name}", tensor_text(graph.tensors[name]))
                boxes.append(_box(spot, lines, "\n".join(lines), _INTERFACE))
    return boxes


def _node_box(graph: Graph, node: Node, share: NodeCounts, spot: Place) -> str:
    made = [tensor_text(graph.tensors[name]) for name in node.outputs]
    details = [
        f"{node.name}: {operator_name(node.op)}",
        attributes_text(node.op),
        *(f"{name}: {text}" for name, text in zip(node.outputs, made, strict=True)),
        f"{share.macs:,} MACs, {share.parameters:,} parameters, {share.live_bytes:,} bytes live",
    ]
    activation = getattr(node.op, "activation", "none")
    headline = operator_name(node.op) + (f" + {activation}" if activation != "none" else "")
    colour = _COLOURS.get(type(node.op), _ACTIVATION)
    return _box(spot, (headline, made[0]), "\n".join(filter(None, details)), colour)


def _box(spot: Place, lines: tuple[str, str], details: str, colour: str) -> str:
    x, y = _MARGIN + spot.x - _BOX / 2, _top(spot)
    rows = "".join(
        f'<text x="{x + _BOX / 2:.1f}" y="{y + offset}" text-anchor="middle" fill="#ffffff"{style}>{_text(_short(line))}</text>'
        for line, offset, style in ((lines[0], 17, ' font-weight="600"'), (lines[1], 32, ' font-size="11"'))
    )
    return (
        f'<g><title>{_text(details)}</title><rect x="{x:.1f}" y="{y}" width="{_BOX}" height="{_HEIGHT}" rx="5" '
        f'fill="{colour}"/>{rows}</g>'
    )


def _edge(graph: Graph, tensor: str, points: list[Place]) -> str:
    """A smooth line from the bottom of the first place to the top of the last, through its bends."""
    x, y = _MARGIN + points[0].x, _top(points[0]) + _HEIGHT
    path = [f"M{x:.1f} {y}"]
    for before, after in pairwise(points):
        x0, x1, y0, y1 = _MARGIN + before.x, _MARGIN + after.x, _top(before) + _HEIGHT, _top(after)
        middle = (y0 + y1) / 2
        path.append(f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1}")
        if after is not points[-1]:
            path.append(f"V{y1 + _HEIGHT}")
    title = _text(f"{tensor}: {tensor_text(graph.tensors[tensor])}")
    end_x, end_y = _MARGIN + points[-1].x, _top(points[-1])
    head = f"M{end_x - 4:.1f} {end_y - 6} L{end_x:.1f} {end_y} L{end_x + 4:.1f} {end_y - 6}"
    return f'<path d="{" ".join(path)} {head}" fill="none" stroke="#4a5568" stroke-width="1.4"><title>{title}</title></path>'


def _top(spot: Place) -> int:
    return _MARGIN + spot.layer * (_HEIGHT + _GAP)


def _short(text: str) -> str:
    return text if len(text) <= 34 else text[:31] + "..."


def _text(text: str) -> str:
    """Text made safe for SVG: escaped, and without the control characters that XML forbids."""
    allowed = "".join(
        c if c >= " " or c == "\n" else " " for c in text if c not in "\ufffe\uffff" and not "\ud800" <= c <= "\udfff"
    )
    return escape(allowed, quote=True)
