"""The text of ``<model>.c``."""

from __future__ import annotations

from marram.compile.c.families import Family
from marram.compile.c.layers import Layers
from marram.compile.c.place import Routine
from marram.compile.c.text.arenas import arenas_of, copied_section
from marram.compile.c.text.calls import calls_text
from marram.compile.c.text.constant_sharing import constant_names
from marram.compile.c.text.public_functions import public_text
from marram.compile.c.text.public_header import STATUS_LINES, arguments_of, header_text, tensor_macros
from marram.compile.c.text.repetition import Functions
from marram.compile.c.text.sources import array_text, gathered
from marram.compile.memory.plan import MemoryPlan
from marram.core.graph import Graph

__all__ = ["STATUS_LINES", "arguments_of", "header_text", "kernels_text", "source_text", "tensor_macros"]


def source_text(
    prefix: str,
    graph: Graph,
    found: Layers,
    *,
    routines: tuple[Routine, ...],
    functions: Functions,
    plan: MemoryPlan,
    family: Family,
) -> str:
    """The source: kernels, constants, the functions of layers, the calls in order, the public functions."""
    parts = kernels_text(prefix, found, routines, functions, family, plan=plan)
    parts.append(calls_text(prefix, found, routines, plan, functions))
    parts.append(public_text(prefix, graph, found, plan))
    return "\n\n".join(parts) + "\n"


def kernels_text(
    prefix: str,
    found: Layers,
    routines: tuple[Routine, ...],
    functions: Functions,
    family: Family,
    *,
    plan: MemoryPlan | None = None,
) -> list[str]:
    """The source up to the calls, in parts: kernels, constants, the functions of layers.

    A plan over several memories says which constants have a section of their own.
    """
    includes = [path for answer in routines for path in answer.includes]
    features = sorted({name for answer in routines for name in answer.features})
    parts = [
        f"/* {prefix}: made by marram for kernel family {family.name}. Do not edit. */",
        f'#include "{prefix}.h"',
        "#include <string.h>",
        *(f"#ifndef {name}\n#define {name} 1\n#endif" for name in features),
        gathered(["common/compiler.h", *includes]),
        *(arenas_of(prefix, plan).sections_text() if plan else []),
        *dict.fromkeys(text for answer in routines for text in answer.shared),
    ]
    named = constant_names(found.layers, routines)
    for index, (layer, answer, given) in enumerate(zip(found.layers, routines, named, strict=True)):
        own = [array for array in answer.constants if given[array.name] == f"{layer.name}_{array.name}"]
        section = copied_section(prefix, plan, layer.name) if plan else ""
        parts += [array_text(f"{prefix}_{given[array.name]}", array, section=section) for array in own]
        if functions.of[index] == index:
            parts.append(_function_text(f"{prefix}_{layer.name}", *functions.definitions[index]))
    return parts


def _function_text(name: str, parameters: str, body: str) -> str:
    """A layer's function; it is kept out of line so that its cost can be told from the others'."""
    lines = "\n".join(f"    {line}" if line.strip() else "" for line in body.strip().splitlines())
    return f"MARRAM_NOINLINE static void {name}({parameters})\n{{\n{lines}\n}}"
