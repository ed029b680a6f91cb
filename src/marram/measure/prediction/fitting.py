"""Counted samples in, the coefficients of a core out, with the errors that nets had which were held out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from marram.compile.c.families import Family
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.measure.prediction.cache import PriceCache
from marram.measure.prediction.coefficients import Coefficients, Errors, KernelFit, Part, nearest
from marram.measure.prediction.counting import Counted
from marram.measure.prediction.least_squares import Reals, design, fitted
from marram.measure.prediction.parts import BETWEEN, NetParts, parts_of

_FOLDS = 5
_COUNTED = {"instructions": "functions", "cycles": "function_cycles", "moves": "function_moves"}
"""Fields of ``Part``, and those of ``Counted`` that they are fitted to."""
_INSTRUCTIONS, _BYTES = 100.0, 200.0
"""Added to values, in whose relation errors count."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One net: its parts and what they were counted to cost."""

    parts: NetParts
    counted: Counted


def observed(samples: Iterable[tuple[Graph, Counted]], family: Family) -> list[Observation]:
    """The parts of counted integer graphs.

    Raises:
        UserError: a sample was counted with another plan than today's.
    """
    found = []
    for graph, counted in samples:
        parts = parts_of(graph, family, arena_limit_bytes=counted.arena_limit_bytes, cache=PriceCache())
        if parts.arena_bytes != counted.arena_bytes or {row.name for row in parts.layers} | {BETWEEN} != set(counted.functions):
            raise UserError("was counted with another plan", where=graph.name, hint="Count the samples anew: empty the folder.")
        found.append(Observation(parts=parts, counted=counted))
    return found


def fit(observations: Sequence[Observation], prior: Coefficients | None = None) -> Coefficients:
    """The coefficients of the core that the observations are of.

    ``prior`` are those of a core that runs the same kernels: what few observations leave open is as it is there.
    """
    model = _Model(observations, prior)
    held = [index % _FOLDS for index in range(len(observations))]
    errors: dict[str, list[float]] = defaultdict(list)
    for fold in range(_FOLDS):
        kept = [one for one, part in zip(observations, held, strict=True) if part != fold]
        out = [one for one, part in zip(observations, held, strict=True) if part == fold]
        trained = _Model(kept, prior)
        for one in out:
            for name, error in trained.errors(one).items():
                errors[name].append(error)
    first = observations[0].counted
    return Coefficients(
        core=first.core,
        compiler=first.compiler,
        kernels=first.kernels,
        nets=len(observations),
        parts={name: _part(costs) for name, costs in model.parts.items()},
        fits=_fits(observations, model),
        code={name: _short(value) for name, value in model.code.items()},
        stack=model.stack,
        instructions=_errors(errors["instructions"]),
        cycles=_errors(errors["cycles"]),
        flash=_errors(errors["flash"]),
        stack_error=_errors(errors["stack"]),
    )


def _part(costs: tuple[float, ...]) -> Part:
    instructions, cycles, moves = map(_short, costs)
    return Part(instructions=instructions, cycles=cycles, moves=moves)


def total(loops: dict[str, float], costs: dict[str, float]) -> float:
    """What loops cost together; those without a cost are left out."""
    return sum(count * (nearest(costs, name) or 0.0) for name, count in loops.items())


class _Model:
    """Costs by part, code bytes by what is there, stack by kernel, of some observations."""

    def __init__(self, observations: Sequence[Observation], prior: Coefficients | None) -> None:
        rows = [(loops, name, one) for one in observations for name, loops in _functions(one.parts).items()]
        names, matrix = design([dict.fromkeys(prior.parts, 0.0) if prior else {}, *(loops for loops, _, _ in rows)])
        columns = []
        for what, field in _COUNTED.items():
            values = np.array([0.0, *(getattr(one.counted, field)[name] for _, name, one in rows)])
            columns.append(fitted(matrix, values, _INSTRUCTIONS, expected=_expected(names, prior, what)))
        self.parts = {name: tuple(float(column[index]) for column in columns) for index, name in enumerate(names)}
        self.instructions = {name: costs[0] for name, costs in self.parts.items()}
        self.cycles = {name: costs[1] for name, costs in self.parts.items()}
        code_names, code = design([dict.fromkeys(prior.code, 0.0) if prior else {}, *(one.parts.code for one in observations)])
        sizes = np.array([0.0, *(one.counted.flash_bytes - one.parts.constant_bytes for one in observations)])
        known = np.array([prior.code.get(name, np.nan) for name in code_names]) if prior else None
        self.code = dict(zip(code_names, map(float, fitted(code, sizes, _BYTES, expected=known)), strict=True))
        self.stack = {**(prior.stack if prior else {}), **_stack(observations)}

    def errors(self, one: Observation) -> dict[str, float]:
        """Relative errors of one net: of instructions, cycles, flash and stack."""
        counted, functions = one.counted, _functions(one.parts)
        instructions = sum(total(loops, self.instructions) for loops in functions.values())
        cycles = sum(total(loops, self.cycles) for loops in functions.values())
        flash = one.parts.constant_bytes + total(one.parts.code, self.code)
        stack = max((self.stack.get(kernel, 0) for kernel in one.parts.stacked), default=0) or max(self.stack.values())
        return {
            "instructions": abs(instructions / counted.instructions - 1.0),
            "cycles": abs(cycles / counted.cycles - 1.0),
            "flash": abs(flash / counted.flash_bytes - 1.0),
            "stack": abs(stack / counted.stack_bound_bytes - 1.0),
        }


def _functions(parts: NetParts) -> dict[str, dict[str, float]]:
    return {**{row.name: row.loops for row in parts.layers}, BETWEEN: parts.between}


def _expected(names: list[str], prior: Coefficients | None, what: str) -> Reals | None:
    if prior is None:
        return None
    return np.array([getattr(prior.parts[name], what) if name in prior.parts else np.nan for name in names])


def _stack(observations: Sequence[Observation]) -> dict[str, int]:
    """For each kernel the usual bound of the nets in which it is the deepest.

    First the least bound of all nets that have it stands for each: no net with it can need less than its own.
    """
    least: dict[str, int] = {}
    for one in observations:
        for kernel in one.parts.stacked:
            least[kernel] = min(least.get(kernel, 1 << 30), one.counted.stack_bound_bytes)
    deepest: dict[str, list[int]] = defaultdict(list)
    for one in observations:
        kernel = max(sorted(one.parts.stacked), key=lambda each: least[each])
        deepest[kernel].append(one.counted.stack_bound_bytes)
    usual = {kernel: int(np.median(found)) // 4 * 4 for kernel, found in deepest.items()}
    return dict(sorted({**least, **usual}.items()))


def _fits(observations: Sequence[Observation], model: _Model) -> dict[str, KernelFit]:
    errors: dict[str, list[float]] = defaultdict(list)
    largest: dict[str, int] = defaultdict(int)
    for one in observations:
        for row in one.parts.layers:
            truth = one.counted.functions[row.name]
            errors[row.kernel].append(abs(total(row.loops, model.instructions) / truth - 1.0))
            largest[row.kernel] = max(largest[row.kernel], truth)
    return {
        kernel: KernelFit(
            layers=len(found),
            median_error=_short(float(np.median(found))),
            p95_error=_short(float(np.quantile(found, 0.95))),
            most_instructions=largest[kernel],
        )
        for kernel, found in sorted(errors.items())
    }


def _errors(found: list[float]) -> Errors:
    median, p95, p99 = (_short(float(np.quantile(found, share))) for share in (0.5, 0.95, 0.99))
    return Errors(median=median, p95=p95, p99=p99)


def _short(value: float) -> float:
    return float(f"{value:.5g}")
