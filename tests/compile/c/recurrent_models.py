"""Recurrent layers, quantised, for generated C."""

from __future__ import annotations

from typing import Literal

import numpy as np

from marram.compress import quantise
from marram.core.graph import Graph, Node, Tensor
from marram.core.operators import Dense, Gru, Lstm

FEATURES = 3


def recurrent_graph(kind: Literal["lstm", "gru"], *, length: int, hidden: int = 8, every: bool = False) -> Graph:
    """A recurrent layer over ``length`` steps and a Dense on its last state, or, with ``every``, on all of its outputs."""
    random = np.random.default_rng(length)
    gates = 4 if kind == "lstm" else 3
    parts = {
        "w": random.standard_normal((gates * hidden, FEATURES)),
        "r": random.standard_normal((gates * hidden, hidden)) / hidden**0.5,
        "b": random.standard_normal(gates * hidden) / 4,
        "s": random.standard_normal(gates * hidden) / 4,
        "d": random.standard_normal((2, hidden)),
    }
    constants = {name: value.astype(np.float32) for name, value in parts.items() if kind == "gru" or name != "s"}
    shapes = {"x": (1, length, FEATURES), "all": (1, length, hidden), "h": (1, hidden), "c": (1, hidden)}
    shapes["y"] = (1, length, 2) if every else (1, 2)
    tensors = {name: Tensor(name=name, shape=shape) for name, shape in shapes.items()}
    tensors |= {name: Tensor(name=name, shape=value.shape) for name, value in constants.items()}
    op, weights = (Lstm(hidden=hidden), ("w", "r", "b")) if kind == "lstm" else (Gru(hidden=hidden), ("w", "r", "b", "s"))
    outputs = ("all", "h", "c") if kind == "lstm" else ("all", "h")
    nodes = (
        Node(name="rnn", op=op, inputs=("x", *weights), outputs=outputs),
        Node(name="fc", op=Dense(), inputs=("all" if every else "h", "d", ""), outputs=("y",)),
    )
    graph = Graph(name="net", inputs=("x",), outputs=("y",), tensors=tensors, constants=constants, nodes=nodes)
    return quantise(graph, random.standard_normal((32, length, FEATURES)).astype(np.float32))
