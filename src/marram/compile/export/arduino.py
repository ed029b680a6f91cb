"""An Arduino library (specification 1.5): sources in ``src/``, a sketch in ``examples/``."""

from __future__ import annotations

from collections.abc import Mapping

from marram.compile.c.archive import Sources
from marram.compile.export.example import readme_text
from marram.core.target import Target

_HOW = """Put this folder into your sketchbook's `libraries/`, or `arduino-cli lib install --zip-path` its zip. The sketch in
`examples/` runs the model and prints the answer. Choose a board with the core that the model was made for."""


def arduino(sources: Sources, target: Target, self_test: Mapping[str, str]) -> dict[str, str]:
    """The files of the library, by path."""
    name = sources.name
    return {
        "library.properties": _properties(name, target),
        f"src/{name}.h": sources.files[f"{name}.h"],
        f"src/{name}_self_test.h": self_test[f"{name}_self_test.h"],
        f"src/{name}.c": sources.files[f"{name}.c"],
        f"src/{name}_self_test.c": self_test[f"{name}_self_test.c"],
        f"examples/{name}_once/{name}_once.ino": _sketch(name),
        "README.md": readme_text(sources, target, _HOW),
    }


def _properties(name: str, target: Target) -> str:
    return f"""name={name}
version=1.0.0
author=made by marram
maintainer=made by marram
sentence=One neural network as C source.
paragraph=Integer arithmetic only, no dynamic memory, byte for byte what was verified when it was built for {target.name}.
category=Data Processing
url=https://example.com/
architectures=*
includes={name}.h
"""


def _sketch(name: str) -> str:
    upper = name.upper()
    return f"""#include <{name}.h>
#include <{name}_self_test.h>

static uint8_t arena[{upper}_ARENA_BYTES] __attribute__((aligned({upper}_ARENA_ALIGN)));
static int8_t input[{upper}_INPUT0_SIZE];
static int8_t output[{upper}_OUTPUT0_SIZE];

void setup() {{
  Serial.begin(115200);
  if ({name}_self_test(arena, sizeof arena) != MARRAM_OK) {{
    Serial.println("the self-test failed");
  }}
}}

void loop() {{
  // Here goes the sensor's window, quantised as {name}.h says.
  const unsigned long start = micros();
  const marram_status status = {name}_run_in(arena, sizeof arena, input, output);
  const unsigned long elapsed = micros() - start;
  if (status != MARRAM_OK) {{
    Serial.print("status ");
    Serial.println((int)status);
  }} else {{
    for (unsigned i = 0; i < {upper}_OUTPUT0_SIZE; i++) {{
      Serial.print(output[i]);
      Serial.print(' ');
    }}
    Serial.print("in us: ");
    Serial.println(elapsed);
  }}
  delay(1000);
}}
"""
