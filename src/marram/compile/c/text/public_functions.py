"""The text of a model's public functions: checks, the places of inputs and outputs, runs with and without copies."""

from __future__ import annotations

from collections.abc import Sequence

from marram.compile.c.layers import Layers
from marram.compile.c.text.addresses import Places, places_of
from marram.compile.c.text.arenas import Arenas, arenas_of
from marram.compile.c.text.public_header import argument_names, arguments_of
from marram.compile.memory.plan import MemoryPlan
from marram.core.graph import Graph


def public_text(prefix: str, graph: Graph, found: Layers, plan: MemoryPlan) -> str:
    """All of them, in the header's terms."""
    arenas, places = arenas_of(prefix, plan), places_of(found, plan)
    return "\n\n".join(
        [
            _check_text(prefix, arenas),
            _invoke_text(prefix, arenas),
            _places_text(prefix, found, arenas, places),
            _run_in_text(prefix, graph, found, arenas, places),
            _run_text(prefix, graph, arenas),
        ]
    )


def _check_text(prefix: str, arenas: Arenas) -> str:
    """The function that holds what the caller gave against what is needed."""
    return f"""static marram_status {prefix}_check({arenas.checked})
{{
    if ({arenas.missing()}) {{ return MARRAM_NULL_POINTER; }}
    if ({arenas.too_small()}) {{ return MARRAM_ARENA_TOO_SMALL; }}
    if ({arenas.misaligned()}) {{ return MARRAM_ARENA_MISALIGNED; }}
    return MARRAM_OK;
}}"""


def _invoke_text(prefix: str, arenas: Arenas) -> str:
    return f"""marram_status {prefix}_invoke({arenas.parameters})
{{
    const marram_status status = {prefix}_check({arenas.arguments});
    if (status == MARRAM_OK) {{ {prefix}_layers({arenas.pointers}); }}
    return status;
}}"""


def _places_text(prefix: str, found: Layers, arenas: Arenas, places: Places) -> str:
    def cases(names: Sequence[str], *, const: bool) -> str:
        return "\n".join(
            f"    if (index == {index}) {{ return {arenas.at(places.address(name), const=const)}; }}"
            for index, name in enumerate(names)
        )

    return f"""void *{prefix}_input({arenas.place}, int index)
{{
{arenas.guard()}{cases(found.inputs, const=False)}
    return NULL;
}}

const void *{prefix}_output({arenas.const_place}, int index)
{{
{arenas.guard()}{cases(found.outputs, const=True)}
    return NULL;
}}"""


def _run_in_text(prefix: str, graph: Graph, found: Layers, arenas: Arenas, places: Places) -> str:
    upper = prefix.upper()
    ins, outs = argument_names(graph)
    missing = " || ".join(f"{name} == NULL" for name in (*ins, *outs))
    copies_in = "\n".join(
        f"    memcpy({arenas.at(places.address(value))}, {name}, {upper}_INPUT{index}_BYTES);"
        for index, (name, value) in enumerate(zip(ins, found.inputs, strict=True))
    )
    copies_out = "\n".join(
        f"    memcpy({name}, {arenas.at(places.address(value), const=True)}, {upper}_OUTPUT{index}_BYTES);"
        for index, (name, value) in enumerate(zip(outs, found.outputs, strict=True))
    )
    return f"""marram_status {prefix}_run_in({arenas.parameters}, {arguments_of(graph)})
{{
    const marram_status status = {prefix}_check({arenas.arguments});
    if (status != MARRAM_OK) {{ return status; }}
    if ({missing}) {{ return MARRAM_NULL_POINTER; }}
{copies_in}
    {prefix}_layers({arenas.pointers});
{copies_out}
    return MARRAM_OK;
}}"""


def _run_text(prefix: str, graph: Graph, arenas: Arenas) -> str:
    ins, outs = argument_names(graph)
    return f"""#ifndef {prefix.upper()}_NO_STATIC_ARENA
{arenas.static_text()}

marram_status {prefix}_run({arguments_of(graph)})
{{
    return {prefix}_run_in({arenas.static_arguments()}, {", ".join((*ins, *outs))});
}}
#endif"""
