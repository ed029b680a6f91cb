"""Golden vectors as C: a function that runs them at boot and says whether the model answers as it did when it was made."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

import numpy as np

from marram.compile.c.place import ConstantArray
from marram.compile.c.text.arenas import OneArena, arenas_of
from marram.compile.c.text.sources import array_text
from marram.compile.memory.plan import MemoryPlan
from marram.core.graph import Array

_C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t"}

_HEADER = """/* $name: golden vectors. Made by marram. Do not edit. */
#ifndef ${upper}_SELF_TEST_H
#define ${upper}_SELF_TEST_H

#include "$name.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ${upper}_SELF_TEST_VECTORS $count

/* Runs the golden vectors in an arena, which is used up by it: MARRAM_OK, or MARRAM_SELF_TEST_FAILED when an answer is not
 * the one that was given when the model was made. Leave the file out of the build where flash is dearer than the check. */
marram_status ${name}_self_test($parameters);

#ifdef __cplusplus
}
#endif

#endif /* ${upper}_SELF_TEST_H */
"""

COMPARING = """#if defined(__GNUC__)
#define MARRAM_ALIGNED(n) __attribute__((aligned(n)))
#else
#define MARRAM_ALIGNED(n) _Alignas(n)
#endif

$arrays

static int differ(const void *found, const void *expected, size_t size)
{
    const uint8_t *const a = (const uint8_t *)found;
    const uint8_t *const b = (const uint8_t *)expected;
    for (size_t index = 0; index < size; index++) {
        if (a[index] != b[index]) {
            return 1;
        }
    }
    return 0;
}

"""
"""What the source of a self-test begins with, after its includes: arrays, and a comparison without memcmp."""

_SOURCE = (
    """/* $name: golden vectors. Made by marram. Do not edit. */
#include "${name}_self_test.h"

#include <string.h>

"""
    + COMPARING
    + """marram_status ${name}_self_test($parameters)
{
    if ($missing) {
        return MARRAM_NULL_POINTER;
    }
    if ($small) {
        return MARRAM_ARENA_TOO_SMALL;
    }
    for (size_t vector = 0; vector < ${upper}_SELF_TEST_VECTORS; vector++) {
$filled        const marram_status status = ${name}_invoke($arguments);
        if (status != MARRAM_OK) {
            return status;
        }
$compared    }
    return MARRAM_OK;
}
"""
)

_FILLED = """        memcpy(${name}_input($place, $index), input$index + vector * ${upper}_INPUT${index}_SIZE,
               ${upper}_INPUT${index}_BYTES);
"""

_COMPARED = """        if (differ(${name}_output($place, $index), output$index + vector * ${upper}_OUTPUT${index}_SIZE,
                   ${upper}_OUTPUT${index}_BYTES)) {
            return MARRAM_SELF_TEST_FAILED;
        }
"""


def self_test_files(
    name: str, inputs: Sequence[Array], outputs: Sequence[Array], *, plan: MemoryPlan | None = None
) -> dict[str, str]:
    """``<name>_self_test.h`` and ``<name>_self_test.c``.

    Args:
        name: the model's prefix in C.
        inputs: for each input of the model, vectors (N, ...) of its dtype.
        outputs: for each output, the answers (N, ...).
        plan: where it is over several memories; the test then takes an arena in each of them.
    """
    words = {"name": name, "upper": name.upper(), "count": str(len(inputs[0]))}
    arenas = OneArena(prefix=name) if plan is None else arenas_of(name, plan)
    words |= {"parameters": arenas.parameters, "arguments": arenas.arguments, "place": arenas.arguments.split(",")[0]}
    words |= {"missing": arenas.missing(), "small": arenas.too_small()}
    arrays = [_array(f"input{index}", values) for index, values in enumerate(inputs)]
    arrays += [_array(f"output{index}", values) for index, values in enumerate(outputs)]
    words["arrays"] = "\n\n".join(arrays)
    words["filled"] = "".join(Template(_FILLED).substitute(words, index=index) for index in range(len(inputs)))
    words["compared"] = "".join(Template(_COMPARED).substitute(words, index=index) for index in range(len(outputs)))
    return {
        f"{name}_self_test.h": Template(_HEADER).substitute(words),
        f"{name}_self_test.c": Template(_SOURCE).substitute(words),
    }


def _array(name: str, values: Array) -> str:
    flat = np.ascontiguousarray(values).ravel()
    c_type = _C_TYPES[values.dtype.name]
    return array_text(name, ConstantArray(name=name, c_type=c_type, values=flat))  # type: ignore[arg-type]
