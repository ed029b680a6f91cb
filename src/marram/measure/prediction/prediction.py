"""A Graph and a Target in, its costs out: no C is written, nothing is compiled, nothing runs."""

from __future__ import annotations

import msgspec

from marram.compile.c.families import family_of
from marram.core.errors import UserError
from marram.core.evidence import Figure
from marram.core.graph import Graph
from marram.core.target import Target
from marram.measure.estimation import estimates
from marram.measure.microcontroller import emulated_core
from marram.measure.prediction.cache import PriceCache
from marram.measure.prediction.coefficients import Coefficients, Errors, coefficients, nearest
from marram.measure.prediction.nominal import nominal
from marram.measure.prediction.parts import NetParts, parts_of

_SMALL = 0.05
"""Parts of no greater share of a layer are not worth a word."""
_ALIGNED = 8
_FAR = 20
"""So many times the largest layer of a kernel that was fitted is said to be outside."""


class LayerPrice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one layer's function is predicted to execute; ``name`` is that of generated C, ``kernel`` the one that it calls."""

    name: str
    node: str
    operator: str
    kernel: str
    instructions: float


class Prediction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a net is predicted to cost on a target.

    ``arena_bytes`` is the planner's own number; ``ram_bytes`` adds its padding, which is exact as nothing else is static in an
    image, and the bound of the stack, which is predicted; ``flash_bytes``
    is constants, which are exact, and code, which is predicted. ``instructions_by_layer`` ends with what calls the layers.
    ``latency`` and ``energy`` are estimates as ``measure`` makes them of counted instructions, on predicted ones; their
    intervals are those of the calibration. ``errors`` are those of held-out nets in instructions, cycles, flash and stack.
    ``outside`` names what no fitted sample was like: there the prediction is a guess.
    """

    target: str
    core: str
    instructions: float
    cycles: float
    instructions_by_layer: tuple[LayerPrice, ...]
    arena_bytes: int
    stack_bytes: int
    ram_bytes: int
    flash_bytes: int
    constant_bytes: int
    latency: Figure
    energy: Figure
    errors: dict[str, Errors]
    outside: tuple[str, ...]

    @property
    def latency_us(self) -> float | None:
        """The middle of the estimate."""
        return self.latency.value

    @property
    def energy_uj(self) -> float | None:
        """The middle of the estimate."""
        return self.energy.value

    @property
    def figures(self) -> dict[str, float]:
        """The costs by the names that Evidence has for them; estimates by their upper end, which budgets are held against."""
        found = {
            "instructions": self.instructions,
            "arena_bytes": float(self.arena_bytes),
            "ram_bytes": float(self.ram_bytes),
            "flash_bytes": float(self.flash_bytes),
        }
        for figure in (self.latency, self.energy):
            if figure.high is not None:
                found[figure.name] = figure.high
        return found


def predict(
    graph: Graph,
    target: Target,
    *,
    arena_limit_bytes: int | None = None,
    ram_limit_bytes: int | None = None,
    cache: PriceCache | None = None,
) -> Prediction:
    """The costs of a Graph on a target that takes generated C.

    Args:
        graph: integer, or float: then it is priced with made-up numbers (``nominal``).
        target: the device.
        arena_limit_bytes: as for ``compile.c.generation.generate``; None plans as it does without a limit.
        ram_limit_bytes: instead, of arena and stack together.
        cache: what earlier candidates have shown; the result is the same without it.

    Raises:
        UserError: both limits; the target takes no C, or its core's costs were not learned; the Graph cannot become C for it.
    """
    if arena_limit_bytes is not None and ram_limit_bytes is not None:
        raise UserError("one limit is to be given, for the arena or for all RAM", where="ram_limit_bytes")
    known = known_costs(target)
    cache = cache or PriceCache()
    integer = nominal(graph, cache)
    parts = parts_of(integer, family_of(target), arena_limit_bytes=_first(arena_limit_bytes, ram_limit_bytes), cache=cache)
    if ram_limit_bytes is not None:
        left = max(ram_limit_bytes - _stack(parts, known), 0)
        if parts.arena_bytes > left:
            parts = parts_of(integer, family_of(target), arena_limit_bytes=left, cache=cache)
    return _priced(parts, target, known)


def known_costs(target: Target) -> Coefficients:
    """What was learned of the core that stands for a target's.

    Raises:
        UserError: the target runs here, takes no generated C, or nothing was learned of its core.
    """
    if target.here or "c" not in target.runtimes:
        raise UserError("its costs are measured, not predicted", where=target.name)
    return coefficients(emulated_core(target))


def _first(arena: int | None, ram: int | None) -> int | None:
    return ram if arena is None else arena


def _priced(parts: NetParts, target: Target, known: Coefficients) -> Prediction:
    layers = [
        LayerPrice(
            name=row.name,
            node=row.node,
            operator=row.operator,
            kernel=row.kernel,
            instructions=_cost(row.loops, known, "instructions"),
        )
        for row in parts.layers
    ]
    between = _cost(parts.between, known, "instructions")
    layers.append(LayerPrice(name="between_layers", node="", operator="", kernel="", instructions=between))
    everything = [row.loops for row in parts.layers] + [parts.between]
    instructions = sum(row.instructions for row in layers)
    cycles = sum(_cost(loops, known, "cycles") for loops in everything)
    moved = sum(_cost(loops, known, "moves") for loops in everything)
    latency, energy = estimates(known.core, target, instructions=instructions, cycles=cycles, moved=moved)
    code = sum(count * known.code.get(name, 0.0) for name, count in parts.code.items())
    stack = _stack(parts, known)
    return Prediction(
        target=target.name,
        core=known.core,
        instructions=instructions,
        cycles=cycles,
        instructions_by_layer=tuple(layers),
        arena_bytes=parts.arena_bytes,
        stack_bytes=stack,
        ram_bytes=-(-parts.arena_bytes // _ALIGNED) * _ALIGNED + stack,
        flash_bytes=parts.constant_bytes + round(code),
        constant_bytes=parts.constant_bytes,
        latency=_predicted(latency),
        energy=_predicted(energy),
        errors={
            "instructions": known.instructions,
            "cycles": known.cycles,
            "flash_bytes": known.flash,
            "stack_bytes": known.stack_error,
        },
        outside=_outside(parts, layers, known),
    )


def _cost(loops: dict[str, float], known: Coefficients, what: str) -> float:
    """The costs of known parts; of a kernel that was never seen its own estimate, a cycle and a third for each instruction."""
    found = 0.0
    for name, count in loops.items():
        part = nearest(known.parts, name)
        if part is not None:
            found += count * getattr(part, what)
        elif name == "estimate":
            found += count * {"instructions": 1.0, "cycles": 1.3, "moves": 0.3}[what]
    return found


def _stack(parts: NetParts, known: Coefficients) -> int:
    return max((known.stack.get(kernel, 0) for kernel in parts.stacked), default=0) or max(known.stack.values())


def _predicted(figure: Figure) -> Figure:
    return msgspec.structs.replace(figure, method=figure.method.replace("counted instructions", "predicted instructions"))


def _share(loops: dict[str, float], names: list[str], known: Coefficients) -> float:
    """The share of a layer's cost that is guessed, all of it where nothing alike is known."""
    if any(nearest(known.parts, name) is None for name in names):
        return 1.0
    whole = _cost(loops, known, "instructions")
    return _cost({name: loops[name] for name in names}, known, "instructions") / whole if whole else 0.0


def _outside(parts: NetParts, layers: list[LayerPrice], known: Coefficients) -> tuple[str, ...]:
    found = []
    for row, price in zip(parts.layers, layers, strict=False):
        missing = sorted(name for name in row.loops if name not in known.parts)
        fit = known.fits.get(row.kernel)
        if "estimate" in missing or fit is None:
            found.append(f"{row.name} ({row.operator}): no sample had {row.kernel}")
        elif missing and _share(row.loops, missing, known) > _SMALL:
            found.append(f"{row.name} ({row.operator}): no sample had {', '.join(missing)}")
        elif price.instructions > _FAR * fit.most_instructions:
            found.append(f"{row.name} ({row.operator}): {_FAR} times the largest sample of {row.kernel}")
    return tuple(found)
