"""LSTM and GRU: gates reordered, directions taken apart, time on the second axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from marram.core import operators as ops
from marram.core.graph import Array
from marram.model.onnx.importing import Site


def _blocks(value: Array, order: Sequence[int], hidden: int) -> Array:
    """Gate blocks of ``hidden`` rows in another order."""
    return np.concatenate([value[gate * hidden : (gate + 1) * hidden] for gate in order])


def _checked(site: Site, gates: int, states: Sequence[int], sequence: int) -> tuple[int, tuple[bool, ...]]:
    """The hidden size and, for each direction, whether it runs backwards; other forms are refused."""
    hidden = site.attribute("hidden_size", 0)
    if len(site.shape(0)) != 3 or hidden < 1 or hidden > 2**20:
        site.damaged("takes a sequence and a hidden size")
    directions = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    direction = site.attribute("direction", "forward")
    if direction not in directions:
        site.damaged(f"direction {direction}")
    wanted = (len(directions[direction]), gates * hidden)
    if site.shape(1)[:2] != wanted or site.shape(2) != (*wanted, hidden) or site.shape(1)[2:] != site.shape(0)[2:]:
        site.damaged(f"weights of shapes {site.shape(1)} and {site.shape(2)}")
    if site.has(3) and site.shape(3) != (wanted[0], 2 * wanted[1]):
        site.damaged(f"bias of shape {site.shape(3)}")
    site.need("clip" not in site.node.attributes, "with clip")
    names = site.node.attributes.get("activations") or ()
    usual = ("Sigmoid", "Tanh", "Tanh") if gates == 4 else ("Sigmoid", "Tanh")
    site.need(not names or tuple(names) == usual * wanted[0], f"with activations {names}")
    if site.has(sequence):
        steps = site.shape(0)[1 if site.attribute("layout", 0) else 0]
        site.need(bool(np.all(site.array(sequence) == steps)), "with sequences of different lengths")
    for index in states:
        if site.has(index):
            site.need(site.is_constant(index) and not site.array(index).any(), "with an initial state")
    return hidden, directions[direction]


def lstm(site: Site) -> None:
    """LSTM without peepholes, from a zero state."""
    hidden, directions = _checked(site, 4, (5, 6), 4)
    site.need(not site.has(7) or not site.array(7).any(), "with peepholes")
    site.need(not site.attribute("input_forget", 0), "with coupled gates")
    order = (0, 2, 3, 1)  # ONNX has i, o, f, g; the Graph i, f, g, o
    results = []
    for d, reverse in enumerate(directions):
        weights = [site.constant(what, _blocks(site.array(i)[d], order, hidden)) for what, i in (("w", 1), ("r", 2))]
        bias = ""
        if site.has(3):
            both = site.array(3)[d]
            bias = site.constant("b", _blocks(both[: 4 * hidden] + both[4 * hidden :], order, hidden))
        names = [f"{site.node.outputs[0]}_{part}" for part in ("y", "h", "c")]
        op = ops.Lstm(hidden=hidden, reverse=reverse)
        results.append(site.steps(op, (_sequence(site), *weights, bias), names))
    _give(site, results)


def gru(site: Site) -> None:
    """GRU with the reset gate after the recurrent product, from a zero state."""
    hidden, directions = _checked(site, 3, (5,), 4)
    site.need(bool(site.attribute("linear_before_reset", 0)), "with the reset gate before the recurrent product")
    order = (1, 0, 2)  # ONNX has z, r, n; the Graph r, z, n
    results = []
    for d, reverse in enumerate(directions):
        weights = [site.constant(what, _blocks(site.array(i)[d], order, hidden)) for what, i in (("w", 1), ("r", 2))]
        biases = ["", ""]
        if site.has(3):
            halves = np.split(site.array(3)[d], 2)
            biases = [site.constant(f"b{i}", _blocks(half, order, hidden)) for i, half in enumerate(halves)]
        names = [f"{site.node.outputs[0]}_{part}" for part in ("y", "h")]
        op = ops.Gru(hidden=hidden, reverse=reverse)
        results.append(site.steps(op, (_sequence(site), *weights, *biases), names))
    _give(site, results)


def _sequence(site: Site) -> str:
    """The input as (N,T,I)."""
    x = site.tensor(0)
    return x if site.attribute("layout", 0) else site.transposed(x, (1, 0, 2))


def _give(site: Site, results: Sequence[Sequence[str]]) -> None:
    """The outputs with an axis of directions: (T,D,N,H) and (D,N,H), or (N,T,D,H) and (N,D,H) with layout 1."""
    batch_first = bool(site.attribute("layout", 0))
    for output, name in enumerate(site.node.outputs):
        if not name:
            continue
        parts = []
        for result in results:
            n, *rest = site.shape_of(result[output])
            if output == 0:
                wide = site.reshaped(result[0], (n, rest[0], 1, rest[1]))
                parts.append(wide if batch_first else site.transposed(wide, (1, 2, 0, 3)))
            else:
                parts.append(site.reshaped(result[output], (n, 1, *rest) if batch_first else (1, n, *rest)))
        axis = (2 if batch_first else 1) if output == 0 else (1 if batch_first else 0)
        if len(parts) == 1:
            site.bind(parts[0], output)
        else:
            site.result(ops.Concat(axis=axis), *parts, output=output)


READERS: dict[str, Callable[[Site], None]] = {"LSTM": lstm, "GRU": gru}
