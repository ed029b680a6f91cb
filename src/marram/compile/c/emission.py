"""The text of ``<model>.h`` and ``<model>.c``."""

from __future__ import annotations

from marram.compile.c.addresses import places_of
from marram.compile.c.calls import calls_text
from marram.compile.c.constant_sharing import constant_names
from marram.compile.c.families import Family
from marram.compile.c.layers import Layers
from marram.compile.c.place import Routine
from marram.compile.c.repetition import Functions, c_type
from marram.compile.c.sources import array_text, gathered
from marram.compile.memory.plan import MemoryPlan
from marram.core.graph import Graph, Tensor


STATUS_LINES = (
    "#ifndef MARRAM_STATUS",
    "#define MARRAM_STATUS",
    "typedef enum {",
    "    MARRAM_OK = 0,",
    "    MARRAM_NULL_POINTER = 1,     /* an argument is NULL */",
    "    MARRAM_ARENA_TOO_SMALL = 2,  /* arena_bytes is less than the model's ARENA_BYTES */",
    "    MARRAM_ARENA_MISALIGNED = 3, /* the arena does not stand at a multiple of ARENA_ALIGN */",
    "    MARRAM_SELF_TEST_FAILED = 4  /* a golden vector came out differently */",
    "} marram_status;",
    "#endif",
)
"""The type of what public functions answer, the same in the headers of all models."""


def header_text(prefix: str, graph: Graph, plan: MemoryPlan, family: Family) -> str:
    """The public header: sizes as macros, five functions."""
    upper = prefix.upper()
    arguments = arguments_of(graph)
    lines = [
        f"/* {prefix}: made by marram for kernel family {family.name}. Do not edit.",
        " *",
        f" * {prefix}_run copies the inputs in, runs the model and copies the outputs out, in a static arena of its own.",
        f" * {prefix}_run_in does the same in an arena of the caller's: re-entrant, as no other state is kept.",
        f" * {prefix}_invoke runs on what stands at {prefix}_input and leaves the answer at {prefix}_output: no copies. The",
        " * input's place is used for other things while the model runs: fill it anew before each call.",
        f" * Compile with {upper}_NO_STATIC_ARENA to leave the static arena and {prefix}_run out.",
        " */",
        f"#ifndef {upper}_H",
        f"#define {upper}_H",
        "",
        "#include <stddef.h>",
        "#include <stdint.h>",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        f"#define {upper}_ARENA_BYTES {plan.arena_bytes}u",
        f"#define {upper}_ARENA_ALIGN {family.align_bytes}u",
    ]
    for kind, names in (("INPUT", graph.inputs), ("OUTPUT", graph.outputs)):
        lines.append(f"#define {upper}_{kind}S {len(names)}")
        for index, name in enumerate(names):
            lines += tensor_macros(f"{upper}_{kind}{index}", graph.tensors[name])
    lines += [
        "",
        *STATUS_LINES,
        "",
        f"#ifndef {upper}_NO_STATIC_ARENA",
        f"marram_status {prefix}_run({arguments});",
        "#endif",
        f"marram_status {prefix}_run_in(void *arena, size_t arena_bytes, {arguments});",
        f"marram_status {prefix}_invoke(void *arena, size_t arena_bytes);",
        f"void *{prefix}_input(void *arena, int index);        /* NULL where there is no such input */",
        f"const void *{prefix}_output(const void *arena, int index);",
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
        f"#endif /* {upper}_H */",
        "",
    ]
    return "\n".join(lines)


def tensor_macros(stem: str, tensor: Tensor) -> list[str]:
    """Size, scale and zero point of a tensor as macros whose names begin with ``stem``."""
    lines = [
        f"#define {stem}_BYTES {tensor.size_bytes}u",
        f"#define {stem}_SIZE {tensor.size}u /* shape {' x '.join(map(str, tensor.shape))}, {tensor.dtype} */",
    ]
    if tensor.quantisation is not None:
        lines.append(f"#define {stem}_SCALE {tensor.quantisation.scale!r}f")
        lines.append(f"#define {stem}_ZERO_POINT ({tensor.quantisation.zero_point})")
    return lines


def arguments_of(graph: Graph) -> str:
    """Pointers to the inputs and outputs of a Graph as parameters in C."""
    several_in, several_out = len(graph.inputs) > 1, len(graph.outputs) > 1
    inputs = [f"const {c_type(tensor)} *in{index if several_in else ''}" for index, tensor in enumerate(graph.input_tensors)]
    outputs = [f"{c_type(tensor)} *out{index if several_out else ''}" for index, tensor in enumerate(graph.output_tensors)]
    return ", ".join(inputs + outputs)


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
    parts = kernels_text(prefix, found, routines, functions, family)
    parts.append(calls_text(prefix, found, routines, plan, functions))
    parts.append(_public_text(prefix, graph, found, plan))
    return "\n\n".join(parts) + "\n"


def kernels_text(prefix: str, found: Layers, routines: tuple[Routine, ...], functions: Functions, family: Family) -> list[str]:
    """The source up to the calls, in parts: kernels, constants, the functions of layers."""
    includes = [path for answer in routines for path in answer.includes]
    features = sorted({name for answer in routines for name in answer.features})
    parts = [
        f"/* {prefix}: made by marram for kernel family {family.name}. Do not edit. */",
        f'#include "{prefix}.h"',
        "#include <string.h>",
        *(f"#ifndef {name}\n#define {name} 1\n#endif" for name in features),
        gathered(["common/compiler.h", *includes]),
        *dict.fromkeys(text for answer in routines for text in answer.shared),
    ]
    named = constant_names(found.layers, routines)
    for index, (layer, answer, given) in enumerate(zip(found.layers, routines, named, strict=True)):
        own = [array for array in answer.constants if given[array.name] == f"{layer.name}_{array.name}"]
        parts += [array_text(f"{prefix}_{given[array.name]}", array) for array in own]
        if functions.of[index] == index:
            parts.append(_function_text(f"{prefix}_{layer.name}", *functions.definitions[index]))
    return parts


def _function_text(name: str, parameters: str, body: str) -> str:
    """A layer's function; it is kept out of line so that its cost can be told from the others'."""
    lines = "\n".join(f"    {line}" if line.strip() else "" for line in body.strip().splitlines())
    return f"MARRAM_NOINLINE static void {name}({parameters})\n{{\n{lines}\n}}"


def _public_text(prefix: str, graph: Graph, found: Layers, plan: MemoryPlan) -> str:
    upper, places = prefix.upper(), places_of(found, plan)
    arguments = arguments_of(graph)
    names = [part.rsplit("*", 1)[1] for part in arguments.split(", ")]
    ins, outs = names[: len(graph.inputs)], names[len(graph.inputs) :]
    in_places = [places.of(name) for name in found.inputs]
    out_places = [places.of(name) for name in found.outputs]
    missing = " || ".join(f"{name} == NULL" for name in names)
    copies_in = "\n".join(
        f"    memcpy((uint8_t *)arena + {place}, {name}, {upper}_INPUT{index}_BYTES);"
        for index, (name, place) in enumerate(zip(ins, in_places, strict=True))
    )
    copies_out = "\n".join(
        f"    memcpy({name}, (const uint8_t *)arena + {place}, {upper}_OUTPUT{index}_BYTES);"
        for index, (name, place) in enumerate(zip(outs, out_places, strict=True))
    )
    in_cases = "\n".join(
        f"    if (index == {index}) {{ return (uint8_t *)arena + {place}; }}" for index, place in enumerate(in_places)
    )
    out_cases = "\n".join(
        f"    if (index == {index}) {{ return (const uint8_t *)arena + {place}; }}" for index, place in enumerate(out_places)
    )
    return f"""static marram_status {prefix}_check(const void *arena, size_t arena_bytes)
{{
    if (arena == NULL) {{ return MARRAM_NULL_POINTER; }}
    if (arena_bytes < {upper}_ARENA_BYTES) {{ return MARRAM_ARENA_TOO_SMALL; }}
    if ((uintptr_t)arena % {upper}_ARENA_ALIGN != 0u) {{ return MARRAM_ARENA_MISALIGNED; }}
    return MARRAM_OK;
}}

marram_status {prefix}_invoke(void *arena, size_t arena_bytes)
{{
    const marram_status status = {prefix}_check(arena, arena_bytes);
    if (status == MARRAM_OK) {{ {prefix}_layers((uint8_t *)arena); }}
    return status;
}}

void *{prefix}_input(void *arena, int index)
{{
{in_cases}
    return NULL;
}}

const void *{prefix}_output(const void *arena, int index)
{{
{out_cases}
    return NULL;
}}

marram_status {prefix}_run_in(void *arena, size_t arena_bytes, {arguments})
{{
    const marram_status status = {prefix}_check(arena, arena_bytes);
    if (status != MARRAM_OK) {{ return status; }}
    if ({missing}) {{ return MARRAM_NULL_POINTER; }}
{copies_in}
    {prefix}_layers((uint8_t *)arena);
{copies_out}
    return MARRAM_OK;
}}

#ifndef {upper}_NO_STATIC_ARENA
MARRAM_ALIGNED({upper}_ARENA_ALIGN) static uint8_t {prefix}_arena[{upper}_ARENA_BYTES];

marram_status {prefix}_run({arguments})
{{
    return {prefix}_run_in({prefix}_arena, sizeof {prefix}_arena, {", ".join(names)});
}}
#endif"""
