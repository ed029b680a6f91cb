"""Stretches of calls that do the same again and again, as the steps of an unrolled recurrent layer do: a loop in C.

Layers are equal where the text of their functions would be: the same arguments, statements and constants. Equal layers keep
functions of their own, so that their costs can be told apart, unless a loop calls them, which has one for all of its turns, or
they make bands of columns of one image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from marram.compile.c.layers import Layer, Layers
from marram.compile.c.place import Routine
from marram.compile.c.text.constant_sharing import constant_names
from marram.compile.memory.plan import MemoryPlan
from marram.core.graph import Array, Tensor

_CONSTANT = re.compile(r"@(\w+)@")
_FEWEST_TURNS = 3
_FEWEST_CALLS_SAVED = 8
_LONGEST_PERIOD = 256


class Repetition(msgspec.Struct, frozen=True, kw_only=True):
    """``turns`` times the same ``period`` calls, from call ``first`` on; calls are counted over ``MemoryPlan.calls``."""

    first: int
    period: int
    turns: int

    @property
    def past(self) -> int:
        """One past the last call."""
        return self.first + self.period * self.turns


def c_type(tensor: Tensor) -> str:
    """The C type of a tensor's elements."""
    return f"{tensor.dtype}_t"


def sources_of(layer: Layer) -> list[Tensor]:
    """The tensors of a layer's activation inputs, in order."""
    pairs = zip(layer.site.inputs, layer.site.constants, strict=True)
    return [tensor for tensor, constant in pairs if tensor is not None and constant is None]


class Functions(msgspec.Struct, frozen=True, kw_only=True):
    """The functions of layers.

    ``definitions`` are the parameters and statements of each layer's own, ``of`` says for each layer which layer's function
    it calls, by index, and ``repeated`` which calls are loops, in order and apart from each other.
    """

    definitions: tuple[tuple[str, str], ...]
    of: tuple[int, ...]
    repeated: tuple[Repetition, ...]


def functions_of(prefix: str, found: Layers, routines: Sequence[Routine], plan: MemoryPlan) -> Functions:
    """Which functions a plan's layers have and share; ``prefix`` stands before the names of constants."""
    named = constant_names(found.layers, routines)
    definitions = tuple(_definition(prefix, *each) for each in zip(found.layers, routines, named, strict=True))
    repeated = repetitions(definitions, plan)
    looped = {definitions[call.task] for one in repeated for call in plan.calls[one.first : one.past]}
    looped |= {text for layer, text in zip(found.layers, definitions, strict=True) if layer.banded}
    first: dict[tuple[str, str], int] = {}
    of = (first.setdefault(text, index) if text in looped else index for index, text in enumerate(definitions))
    return Functions(definitions=definitions, of=tuple(of), repeated=repeated)


def _definition(prefix: str, layer: Layer, answer: Routine, names: dict[str, str]) -> tuple[str, str]:
    parameters = [f"const {c_type(tensor)} *x{index}" for index, tensor in enumerate(sources_of(layer))]
    parameters += [f"{c_type(tensor)} *y{index}" for index, tensor in enumerate(layer.site.outputs)]
    if answer.windows is not None:
        parameters += ["int row_begin", "int row_end"]
    if answer.scratch_bytes:
        parameters.append("void *scratch")
    return ", ".join(parameters), _CONSTANT.sub(lambda match: f"{prefix}_{names[match.group(1)]}", answer.body)


def repetitions(definitions: Sequence[tuple[str, str]], plan: MemoryPlan) -> tuple[Repetition, ...]:
    """The stretches of calls that repeat; calls that are rolled are in none of them."""
    kinds: dict[tuple[object, ...], int] = {}
    line = [kinds.setdefault((*definitions[call.task], call.row_begin, call.row_end), len(kinds)) for call in plan.calls]
    for first, past in plan.rolled:
        line[first:past] = range(-1 - first, -1 - past, -1)  # equal to nothing
    return tuple(_repeated(np.asarray(line, np.int64), 0))


def longest_repetition(line: Array) -> Repetition | None:
    """The repetition that leaves most out of a line of numbers, of these the one with the shortest period."""
    best: tuple[int, int, Repetition | None] = (0, 0, None)
    for period in range(1, min(len(line) // 2, _LONGEST_PERIOD) + 1):
        unequal = np.flatnonzero(line[period:] != line[:-period])
        edges = np.concatenate([[-1], unequal, [len(line) - period]])
        runs = np.diff(edges) - 1
        longest = int(runs.argmax())
        more = int(runs[longest]) // period
        if (more * period, -period) > best[:2] and more:
            best = (more * period, -period, Repetition(first=int(edges[longest]) + 1, period=period, turns=more + 1))
    return best[2]


def _repeated(line: Array, start: int) -> Iterator[Repetition]:
    """The longest repetition of a stretch, and those before and after it."""
    best = longest_repetition(line)
    if best is None or best.turns < _FEWEST_TURNS or best.period * (best.turns - 1) < _FEWEST_CALLS_SAVED:
        return
    yield from _repeated(line[: best.first], start)
    yield msgspec.structs.replace(best, first=start + best.first)
    yield from _repeated(line[best.past :], start + best.past)
