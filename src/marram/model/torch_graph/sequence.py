"""Kernels of LSTM and GRU."""

from __future__ import annotations

import torch
from torch import Tensor

from marram.core.operators import Gru, Lstm
from marram.model.torch_graph.site import Site


def lstm(
    site: Site, x: Tensor, weights: Tensor, recurrent: Tensor, bias: Tensor | None = None, *, training: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """LSTM from a zero state; torch has the Graph's order of gates."""
    op = site.op(Lstm)
    zero = x.new_zeros(1, len(x), op.hidden)
    parameters = [weights, recurrent] if bias is None else [weights, recurrent, bias, torch.zeros_like(bias)]
    outputs, hidden, cell = torch.lstm(
        _ordered(x, reverse=op.reverse), [zero, zero], parameters, bias is not None, 1, 0.0, training, False, True
    )
    return _ordered(outputs, reverse=op.reverse), hidden[0], cell[0]


def gru(
    site: Site,
    x: Tensor,
    weights: Tensor,
    recurrent: Tensor,
    *biases: Tensor | None,
    training: bool,
) -> tuple[Tensor, Tensor]:
    """GRU from a zero state; torch has the Graph's order of gates and its reset gate after the product."""
    op = site.op(Gru)
    zero = x.new_zeros(1, len(x), op.hidden)
    has_biases = any(bias is not None for bias in biases)
    absent = weights.new_zeros(len(weights))
    both = [absent if bias is None else bias for bias in (*biases, None, None)[:2]]
    parameters = [weights, recurrent, *(both if has_biases else [])]
    outputs, hidden = torch.gru(_ordered(x, reverse=op.reverse), zero, parameters, has_biases, 1, 0.0, training, False, True)
    return _ordered(outputs, reverse=op.reverse), hidden[0]


def _ordered(x: Tensor, *, reverse: bool) -> Tensor:
    return x.flip(1) if reverse else x
