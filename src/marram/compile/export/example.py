"""What every exported folder has: a short program that runs the model once, and a page that says what is what."""

from __future__ import annotations

from marram.compile.c.archive import Sources
from marram.core.target import Target


def example_text(sources: Sources) -> str:
    """A C program that fills the input in place, runs the model and reads the output."""
    name, upper = sources.name, sources.name.upper()
    return f"""/* Proves {name} by its golden vectors, then runs it once on an input of zeros, without copies. */
#include "{name}.h"
#include "{name}_self_test.h"

#include <string.h>

#if defined(__GNUC__)
#define ALIGNED __attribute__((aligned({upper}_ARENA_ALIGN)))
#else
#define ALIGNED _Alignas({upper}_ARENA_ALIGN)
#endif

ALIGNED static uint8_t arena[{upper}_ARENA_BYTES];

int main(void)
{{
    if ({name}_self_test(arena, sizeof arena) != MARRAM_OK) {{
        return 2;
    }}
    void *input = {name}_input(arena, 0);
    memset(input, 0, {upper}_INPUT0_BYTES); /* here goes the sensor's window, quantised as the header says */
    if ({name}_invoke(arena, sizeof arena) != MARRAM_OK) {{
        return 1;
    }}
    const int8_t *output = (const int8_t *){name}_output(arena, 0);
    int best = 0;
    for (unsigned index = 1; index < {upper}_OUTPUT0_SIZE; index++) {{
        if (output[index] > output[best]) {{
            best = (int)index;
        }}
    }}
    return best < 0; /* the answer is in best */
}}
"""


def readme_text(sources: Sources, target: Target, how: str) -> str:
    """The page: sizes, the functions, how to build."""
    plan = sources.plan
    weights = sum(layer.weight_bytes for layer in sources.layers)
    macs = sum(layer.macs for layer in sources.layers)
    notes = "".join(f"- {line}\n" for line in plan.explanation)
    return f"""# {sources.name}

Made by marram for `{target.name}` (kernel family `{sources.family}`). C11, no malloc, no stdio, no libm.

| | |
|---|---|
| arena (inputs, outputs, activations, scratch) | {plan.arena_bytes:,} bytes of RAM |
| weights, biases and multipliers | {weights:,} bytes of flash |
| multiply-accumulates of one run | {macs:,} |

{notes}
## Use

`{sources.name}_run(in, out)` runs in a static arena, `{sources.name}_run_in` in one of yours (re-entrant),
`{sources.name}_invoke` without copies. `{sources.name}_self_test` runs golden vectors: call it at boot.
Inputs and outputs are integers: real = scale * (integer - zero point), with the scales in `{sources.name}.h`.

## Build

{how}
"""
