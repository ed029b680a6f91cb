"""A Graph on a core as what can be priced: layers with the loops of their kernels, what stands in flash, what is stacked."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial

import msgspec

from marram.compile.c.families import Family
from marram.compile.c.generation import Assembled, assembled
from marram.compile.c.layers import layers_of
from marram.compile.c.lowering import lower
from marram.compile.c.place import Routine
from marram.compile.c.text.constant_sharing import constant_names
from marram.core.graph import Graph
from marram.core.operators import operator_name
from marram.measure.prediction.cache import PriceCache
from marram.measure.prediction.loops.counting import Loops
from marram.measure.prediction.work import calls_of, in_place, kernel_of, loops_between, loops_of, only_callers

BETWEEN = "between_layers"
_SYMBOL = re.compile(r"\bmarram_(?!row\b|window\b|rows\b)[a-z]\w*")
_PASSED = re.compile(r"marram_(?:dsp_tile|dsp_quads|armv)\w+")
_SIZES = re.compile(r"_\d+x\d+x\d+_[0-9a-f]{8}")


class LayerParts(msgspec.Struct, frozen=True, kw_only=True):
    """One function of the C: the layer that it is named after, the node, the kernel, and its loops in all calls."""

    name: str
    node: str
    operator: str
    kernel: str
    loops: Loops


class NetParts(msgspec.Struct, frozen=True, kw_only=True):
    """All of a net: its functions, what is between them, its arena, bytes of its constants, what its code has in it.

    ``stacked`` has what may decide how deep the stack goes.
    """

    layers: tuple[LayerParts, ...]
    between: Loops
    arena_bytes: int
    constant_bytes: int
    code: Loops
    stacked: frozenset[str]


def parts_of(graph: Graph, family: Family, *, arena_limit_bytes: int | None, cache: PriceCache) -> NetParts:
    """The parts of an integer Graph; errors as ``compile.c.generation.generate`` has them."""
    lowered = cache.with_known_constants(lower(graph))
    made = assembled(
        layers_of(lowered),
        family,
        "net",
        arena_limit_bytes=arena_limit_bytes,
        graph=lowered,
        answers=cache.answers(family),
    )
    return parts_of_plan(made, cache)


def parts_of_plan(made: Assembled, cache: PriceCache) -> NetParts:
    """The same of layers that are planned already."""
    kernels = [_kernel(routine) for routine in made.routines]
    return NetParts(
        layers=_layers(made, kernels, cache),
        between=loops_between(made),
        arena_bytes=made.plan.arena_bytes,
        constant_bytes=_constant_bytes(made),
        code=_code(made, kernels),
        stacked=_stacked(made, kernels),
    )


def _kernel(routine: Routine) -> str:
    return kernel_of(routine) or f"unknown {routine.includes[0] if routine.includes else ''}"


def _layers(made: Assembled, kernels: list[str], cache: PriceCache) -> tuple[LayerParts, ...]:
    found: dict[str, LayerParts] = {}
    layers = made.found.layers
    same, only = in_place(made), only_callers(made)
    placed = zip(layers, made.routines, kernels, calls_of(made), zip(same, only, strict=True), made.functions.of, strict=True)
    for layer, routine, kernel, calls, how, function in placed:
        name = layers[function].name
        shared = "\n".join(routine.shared)
        key = ("loops", routine.body, shared, calls, how)
        make = partial(loops_of, routine, calls, in_place=how[0], alone=how[1])
        loops = cache.once(key, make, size_bytes=500)
        if name in found:
            together: Counter[str] = Counter()
            together.update(found[name].loops)
            together.update(loops)
            found[name] = msgspec.structs.replace(found[name], loops=dict(together))
        else:
            found[name] = LayerParts(
                name=name, node=layer.node.name, operator=operator_name(layer.node.op), kernel=kernel, loops=loops
            )
    return tuple(found.values())


def _constant_bytes(made: Assembled) -> int:
    """Bytes of all arrays, each to the next multiple of 4, those that are equal once."""
    layers, routines = made.found.layers, made.routines
    total = 0
    for layer, routine, names in zip(layers, routines, constant_names(layers, routines), strict=True):
        for array in routine.constants:
            if names[array.name] == f"{layer.name}_{array.name}":
                size = int(array.values.size) * (int(array.c_type.removesuffix("_t").lstrip("uint")) // 8)
                total += -(-size // 4) * 4
    return total


def _code(made: Assembled, kernels: list[str]) -> Loops:
    """What makes code: kernels that are there, functions of layers, calls, steps of layers that take turns."""
    found: Counter[str] = Counter({"base": 1})
    symbols: set[str] = set()
    shared: set[tuple[str, ...]] = set()
    for index, (routine, kernel) in enumerate(zip(made.routines, kernels, strict=True)):
        symbols.update(_SIZES.sub("", name) for name in _SYMBOL.findall(routine.body))
        symbols.update(routine.includes)
        symbols.update(routine.features)
        if made.functions.of[index] == index:
            found[f"layer {kernel}"] += 1
            found[f"loops {kernel}"] += routine.body.count("for (")
        if routine.shared and routine.shared not in shared:
            shared.add(routine.shared)
            found[f"shared {kernel}"] += 1
            found[f"shared {kernel} {_way(routine)}"] += 1
    found.update(f"has {symbol}" for symbol in symbols)
    rolled = [range(first, past) for first, past in made.plan.rolled]
    found["plain calls"] = len(made.plan.calls) - sum(map(len, rolled))
    found["rolled"] = len(rolled)
    found["rolled layers"] = sum(len({made.plan.calls[index].task for index in each}) for each in rolled)
    return {name: float(count) for name, count in found.items() if count}


def _stacked(made: Assembled, kernels: list[str]) -> frozenset[str]:
    """Kernels in their ways of work; the frame of layers that take turns is below all of them."""
    rolled = " rolled" if made.plan.rolled else ""
    found = set()
    for routine, kernel in zip(made.routines, kernels, strict=True):
        passed = sorted(set(_PASSED.findall(routine.body)))
        found.add(" ".join([kernel, *passed, _way(routine)]).strip() + rolled)
    return frozenset(found)


def _way(routine: Routine) -> str:
    """What decides how long a shared function is: its kind and way of work."""
    found = re.findall(r"\.(kind|group|words|away|stride_x) = (\d+)", "\n".join(routine.shared))
    return " ".join(f"{name}{value}" for name, value in found if name != "words" or int(value) < 4)
