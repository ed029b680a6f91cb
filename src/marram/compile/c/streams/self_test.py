"""A golden stream as C: pushes from the beginning of a stream, and what each must answer."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from marram.compile.c.place import ConstantArray
from marram.compile.c.self_test import COMPARING
from marram.compile.c.text.sources import array_text
from marram.core.graph import Array

_HEADER = """/* $name: a golden stream. Made by marram. Do not edit. */
#ifndef ${upper}_SELF_TEST_H
#define ${upper}_SELF_TEST_H

#include "$name.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ${upper}_SELF_TEST_PUSHES $count

/* Pushes the golden stream in a state of its own: MARRAM_OK, or MARRAM_SELF_TEST_FAILED when an answer is not the one that was
 * given when the model was made. Leave the file out of the build where flash is dearer than the check. */
marram_status ${name}_self_test(void *state, size_t state_bytes, void *arena, size_t arena_bytes);

#ifdef __cplusplus
}
#endif

#endif /* ${upper}_SELF_TEST_H */
"""

_SOURCE = (
    """/* $name: a golden stream. Made by marram. Do not edit. */
#include "${name}_self_test.h"

"""
    + COMPARING
    + """marram_status ${name}_self_test(void *state, size_t state_bytes, void *arena, size_t arena_bytes)
{
$answers    size_t answered = 0;
    marram_status status = ${name}_stream_init(state, state_bytes);
    if (status != MARRAM_OK) {
        return status;
    }
    for (size_t push = 0; push < ${upper}_SELF_TEST_PUSHES; push++) {
        const int filling = push + 1u < ${upper}_STREAM_WARM_UP_PUSHES;
        status = ${name}_stream_push(state, state_bytes, arena, arena_bytes, rows + push * ${upper}_INPUT0_SIZE$places);
        if (status != (filling ? MARRAM_STREAM_FILLING : MARRAM_OK)) {
            return status == MARRAM_OK || status == MARRAM_STREAM_FILLING ? MARRAM_SELF_TEST_FAILED : status;
        }
        if (filling) {
            continue;
        }
$compared        answered++;
    }
    return MARRAM_OK;
}
"""
)

_COMPARED = """        if (differ(answer$index, output$index + answered * ${upper}_OUTPUT${index}_SIZE,
                   ${upper}_OUTPUT${index}_BYTES)) {
            return MARRAM_SELF_TEST_FAILED;
        }
"""


def stream_self_test_files(name: str, rows: Array, answers: Sequence[Array]) -> dict[str, str]:
    """``<name>_self_test.h`` and ``<name>_self_test.c``.

    Args:
        name: the model's prefix in C.
        rows: of each push (pushes, ...), from the beginning of a stream.
        answers: for each output those of the pushes from the first that has an answer on (N, ...).
    """
    words = {"name": name, "upper": name.upper(), "count": str(len(rows))}
    arrays = [_array("rows", rows), *(_array(f"output{index}", values) for index, values in enumerate(answers))]
    types = [f"{values.dtype.name}_t" for values in answers]
    words["arrays"] = "\n\n".join(arrays)
    words["answers"] = "".join(
        f"    {kind} answer{index}[{words['upper']}_OUTPUT{index}_SIZE];\n" for index, kind in enumerate(types)
    )
    words["places"] = "".join(f", answer{index}" for index in range(len(types)))
    words["compared"] = "".join(Template(_COMPARED).substitute(words, index=index) for index in range(len(types)))
    return {
        f"{name}_self_test.h": Template(_HEADER).substitute(words),
        f"{name}_self_test.c": Template(_SOURCE).substitute(words),
    }


def _array(name: str, values: Array) -> str:
    c_type = f"{values.dtype.name}_t"
    return array_text(name, ConstantArray(name=name, c_type=c_type, values=values.ravel()))  # type: ignore[arg-type]
