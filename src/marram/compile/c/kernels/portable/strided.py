"""Nested loops over strided tensors: axes merged as far as they go, written as C around a kernel for the innermost ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """One loop: how often, and how many elements further each operand is after one turn."""

    size: int
    steps: tuple[int, ...]


def steps_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Elements from one index to the next along each axis of a dense tensor."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def broadcast_steps(shape: Sequence[int], onto: Sequence[int]) -> tuple[int, ...]:
    """The steps of a tensor that numpy broadcasting stretches over ``onto``: 0 where it stands still."""
    missing = len(onto) - len(shape)
    steps = steps_of(shape)
    return (0,) * missing + tuple(0 if size == 1 else step for size, step in zip(shape, steps, strict=True))


def axes_of(shape: Sequence[int], *operands: Sequence[int]) -> list[Axis]:
    """The loops over ``shape``, each operand given by its steps; loops of one turn left out, neighbours merged."""
    merged: list[Axis] = []
    for size, *steps in zip(shape, *operands, strict=True):
        if size == 1:
            continue
        before = merged[-1] if merged else None
        if before is not None and all(far == near * size for far, near in zip(before.steps, steps, strict=True)):
            merged[-1] = Axis(size=before.size * size, steps=tuple(steps))
        else:
            merged.append(Axis(size=size, steps=tuple(steps)))
    return merged


def loops(axes: Sequence[Axis], inner: Callable[[tuple[str, ...]], str], bases: Sequence[str], *, depth: int = 0) -> str:
    """C loops over ``axes`` around what ``inner`` makes of the operands' places, which begin at ``bases``."""
    if not axes:
        return inner(tuple(bases))
    first, *rest = axes
    name = f"i{depth}"
    places = [_further(base, name, step) for base, step in zip(bases, first.steps, strict=True)]
    body = loops(rest, inner, places, depth=depth + 1)
    return f"for (int {name} = 0; {name} < {first.size}; {name}++) {{\n{indented(body)}\n}}"


def _further(base: str, name: str, step: int) -> str:
    return base if step == 0 else f"{base} + {name}" if step == 1 else f"{base} + {name} * {step}"


def indented(text: str) -> str:
    """Every line four columns further in."""
    return "\n".join(f"    {line}" for line in text.splitlines())


MOVE = "portable/move.h"
"""The header of the kernel that ``move`` calls."""


def move(axes: Sequence[Axis], source: str, target: str, item_bytes: int) -> str:
    """C that copies elements of ``item_bytes``; the axes' operands are the source and the target."""
    outer = list(axes)
    run = item_bytes
    if outer and outer[-1].steps == (1, 1):
        run = outer.pop().size * item_bytes
    counted = outer.pop() if outer else Axis(size=1, steps=(0, 0))
    far, near = (step * item_bytes for step in counted.steps)

    def call(places: tuple[str, ...]) -> str:
        return f"marram_portable_move({places[0]}, {far}, {places[1]}, {near}, {counted.size}, {run});"

    return loops(outer, call, (source, target))


def block(text: str) -> str:
    """Statements in a scope of their own, so that their names do not meet others."""
    return f"{{\n{indented(text)}\n}}"
