"""Telling: a decision in a few words, and what leads from one recipe to another."""

from __future__ import annotations

import msgspec
import numpy as np

from marram.core.recipe import Decision, Quantise, Recipe


def describe(decision: Decision) -> str:
    """A decision in a few words, for instance ``quantise(calibration=percentile, percentile=99.9)``."""
    fields = {name: getattr(decision, name) for name in decision.__struct_fields__}
    shown = ", ".join(f"{name}={_told(value)}" for name, value in fields.items() if _is_told(decision, name, value))
    return f"{type(decision).__name__.lower()}({shown})" if shown else type(decision).__name__.lower()


def _told(value: object) -> str:
    """A field's value; of a struct the fields that are not as they are unless somebody says so."""
    if not isinstance(value, msgspec.Struct):
        return str(value)
    given = ((field.encode_name, getattr(value, field.name), field.default) for field in msgspec.structs.fields(value))
    shown = ", ".join(f"{name}={_told(one)}" for name, one, default in given if one not in (default, {}))
    return f"{type(value).__name__}({shown})"


def _is_told(decision: Decision, name: str, value: object) -> bool:
    """Whether a field says anything: a percentile does only where it is used, what is empty never."""
    if name == "percentile":
        return isinstance(decision, Quantise) and decision.calibration == "percentile"
    return value not in ((), {}, None)


def diff(a: Recipe, b: Recipe) -> tuple[str, ...]:
    """What leads from one recipe to another: ``- decision``, ``+ decision``, in order; empty for equal recipes."""
    first, second = a.decisions, b.decisions
    length = np.zeros((len(first) + 1, len(second) + 1), np.int64)  # of the longest common part, from each place on
    for i in reversed(range(len(first))):
        for j in reversed(range(len(second))):
            same = first[i] == second[j]
            length[i, j] = length[i + 1, j + 1] + 1 if same else max(length[i + 1, j], length[i, j + 1])
    lines, i, j = [], 0, 0
    while i < len(first) or j < len(second):
        if i < len(first) and j < len(second) and first[i] == second[j]:
            i, j = i + 1, j + 1
        elif j == len(second) or (i < len(first) and length[i + 1, j] >= length[i, j + 1]):
            lines.append(f"- {describe(first[i])}")
            i += 1
        else:
            lines.append(f"+ {describe(second[j])}")
            j += 1
    return tuple(lines)
