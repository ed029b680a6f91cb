"""LSTM and GRU over time, float32, zero initial state. Integer graphs have them unrolled into other operators."""

from __future__ import annotations

import numpy as np

from marram.core.graph import Array
from marram.core.operators import Gru, Lstm
from marram.model.reference.activation import logistic_values
from marram.model.reference.site import Kernel, Site


def _steps(length: int, *, reverse: bool) -> range:
    return range(length - 1, -1, -1) if reverse else range(length)


def _rows_product(x: Array, weights: Array, bias: Array | None) -> Array:
    """Rows x (N,T,I) times weights (G,I), plus bias."""
    products = x.reshape(-1, x.shape[-1]) @ weights.T
    if bias is not None:
        products += bias
    return products.reshape(*x.shape[:-1], weights.shape[0])


def lstm_float(site: Site) -> Kernel:
    """LSTM, gates in order i, f, g, o."""
    op = site.op(Lstm)
    weights, recurrent, bias = site.constant(1), site.constant(2), site.optional_constant(3)

    def kernel(x: Array, *_: Array) -> tuple[Array, ...]:
        driven = _rows_product(x, weights, bias)
        hidden = np.zeros((len(x), op.hidden), np.float32)
        cell = np.zeros_like(hidden)
        outputs = np.empty((*x.shape[:2], op.hidden), np.float32)
        for step in _steps(x.shape[1], reverse=op.reverse):
            i, f, g, o = np.split(driven[:, step] + hidden @ recurrent.T, 4, axis=-1)
            cell = logistic_values(f) * cell + logistic_values(i) * np.tanh(g)
            hidden = logistic_values(o) * np.tanh(cell)
            outputs[:, step] = hidden
        return outputs, hidden, cell

    return kernel


def gru_float(site: Site) -> Kernel:
    """GRU, gates in order r, z, n; the reset gate multiplies after the recurrent product."""
    op = site.op(Gru)
    weights, recurrent = site.constant(1), site.constant(2)
    bias, recurrent_bias = site.optional_constant(3), site.optional_constant(4)
    offset = np.zeros(3 * op.hidden, np.float32) if recurrent_bias is None else recurrent_bias

    def kernel(x: Array, *_: Array) -> tuple[Array, ...]:
        driven = _rows_product(x, weights, bias)
        hidden = np.zeros((len(x), op.hidden), np.float32)
        outputs = np.empty((*x.shape[:2], op.hidden), np.float32)
        for step in _steps(x.shape[1], reverse=op.reverse):
            from_x = np.split(driven[:, step], 3, axis=-1)
            from_h = np.split(hidden @ recurrent.T + offset, 3, axis=-1)
            reset = logistic_values(from_x[0] + from_h[0])
            update = logistic_values(from_x[1] + from_h[1])
            new = np.tanh(from_x[2] + reset * from_h[2])
            hidden = (1 - update) * new + update * hidden
            outputs[:, step] = hidden
        return outputs, hidden

    return kernel
