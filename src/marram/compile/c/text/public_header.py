"""The text of ``<model>.h``: sizes as macros, five functions."""

from __future__ import annotations

from marram.compile.c.families import Family
from marram.compile.c.text.arenas import Arenas, arenas_of
from marram.compile.c.text.repetition import c_type
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
    """The public header."""
    upper, arenas = prefix.upper(), arenas_of(prefix, plan)
    lines = [
        f"/* {prefix}: made by marram for kernel family {family.name}. Do not edit.",
        " *",
        *arenas.introduction(),
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
        *arenas.macros(family.align_bytes),
        *interface_macros(upper, graph),
        *arenas.types(),
        "",
        *STATUS_LINES,
        "",
        *_prototypes(prefix, graph, arenas),
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
        f"#endif /* {upper}_H */",
        "",
    ]
    return "\n".join(lines)


def interface_macros(upper: str, graph: Graph) -> list[str]:
    """Counts, sizes and scales of inputs and outputs."""
    lines = []
    for kind, names in (("INPUT", graph.inputs), ("OUTPUT", graph.outputs)):
        lines.append(f"#define {upper}_{kind}S {len(names)}")
        for index, name in enumerate(names):
            lines += tensor_macros(f"{upper}_{kind}{index}", graph.tensors[name])
    return lines


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


def _prototypes(prefix: str, graph: Graph, arenas: Arenas) -> list[str]:
    data = arguments_of(graph)
    return [
        f"#ifndef {prefix.upper()}_NO_STATIC_ARENA",
        f"marram_status {prefix}_run({data});",
        "#endif",
        f"marram_status {prefix}_run_in({arenas.parameters}, {data});",
        f"marram_status {prefix}_invoke({arenas.parameters});",
        f"void *{prefix}_input({arenas.place}, int index);        /* NULL where there is no such input */",
        f"const void *{prefix}_output({arenas.const_place}, int index);",
    ]


def arguments_of(graph: Graph) -> str:
    """Pointers to the inputs and outputs of a Graph as parameters in C."""
    several_in, several_out = len(graph.inputs) > 1, len(graph.outputs) > 1
    inputs = [f"const {c_type(tensor)} *in{index if several_in else ''}" for index, tensor in enumerate(graph.input_tensors)]
    outputs = [f"{c_type(tensor)} *out{index if several_out else ''}" for index, tensor in enumerate(graph.output_tensors)]
    return ", ".join(inputs + outputs)


def argument_names(graph: Graph) -> tuple[list[str], list[str]]:
    """The names of these parameters: of inputs, of outputs."""
    names = [part.rsplit("*", 1)[1] for part in arguments_of(graph).split(", ")]
    return names[: len(graph.inputs)], names[len(graph.inputs) :]
