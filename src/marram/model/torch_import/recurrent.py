"""LSTM and GRU: layers and directions of one ATen call as one operator each."""
# ruff: noqa: FBT001, PLR0917 -- parameters stand as in the ATen signatures

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marram.core.operators import Concat, Gru, Lstm
from marram.model.torch_import.page import Activation, Constant, Page, Value
from marram.model.torch_import.shaping import Stacked, whole


def lstm(
    page: Page,
    x: Activation,
    states: Sequence[Value],
    parameters: Sequence[Constant],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Value, Stacked, Stacked]:
    """``aten::lstm.input`` with zero initial states, without projections."""
    del dropout, train
    directions = 2 if bidirectional else 1
    if len(parameters) != num_layers * directions * (4 if has_biases else 2):
        page.refuse("with projections")
    _check_zero(page, states)

    def cell(sequence: Value, weights: Sequence[Constant], reverse: bool) -> tuple[Activation, ...]:
        hidden = weights[1].shape[1]
        bias = None if not has_biases else Constant(name=weights[2].name, value=weights[2].value + weights[3].value)
        return page.add_many(Lstm(hidden=hidden, reverse=reverse), sequence, weights[0], weights[1], bias)

    return _layers(page, x, parameters, num_layers, directions, batch_first=batch_first, cell=cell)  # type: ignore[return-value]  # y, h, c


def gru(
    page: Page,
    x: Activation,
    state: Value,
    parameters: Sequence[Constant],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Value, Stacked]:
    """``aten::gru.input`` with a zero initial state."""
    del dropout, train
    _check_zero(page, [state])

    def cell(sequence: Value, weights: Sequence[Constant], reverse: bool) -> tuple[Activation, ...]:
        biases = (weights[2], weights[3]) if has_biases else (None, None)
        return page.add_many(Gru(hidden=weights[1].shape[1], reverse=reverse), sequence, weights[0], weights[1], *biases)

    directions = 2 if bidirectional else 1
    return _layers(page, x, parameters, num_layers, directions, batch_first=batch_first, cell=cell)  # type: ignore[return-value]  # y, h


def _layers(
    page: Page,
    x: Activation,
    parameters: Sequence[Constant],
    num_layers: int,
    directions: int,
    *,
    batch_first: bool,
    cell: Any,
) -> tuple[Value | Stacked, ...]:
    """The output sequence of the last layer, then each kind of last state, stacked over layers and directions."""
    if len(x.shape) != 3:
        page.refuse("without a batch axis")
    sequence: Value = x if batch_first else page.transposed(x, (1, 0, 2), suffix="batch_first")
    each = len(parameters) // (num_layers * directions)
    ends: list[tuple[Activation, ...]] = []
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            start = (layer * directions + direction) * each
            output, *last = cell(sequence, parameters[start : start + each], direction == 1)
            outputs.append(output)
            ends.append(tuple(last))
        sequence = outputs[0] if directions == 1 else page.add(Concat(axis=2), *outputs, suffix="both")
    result = sequence if batch_first else page.transposed(sequence, (1, 0, 2), suffix="time_first")
    return (result, *(Stacked(kind) for kind in zip(*ends, strict=True)))


def _check_zero(page: Page, states: Sequence[Any]) -> None:
    for state in states:
        value = whole(page, state)
        if not isinstance(value, Constant) or bool(value.value.any()):
            page.refuse("with an initial state that is not zero")
