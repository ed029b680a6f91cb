"""What stands between a generated model and the harness: the files of the runtime and ``harness_model.h``."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from marram.compile.c.generation import Generated
from marram.core.codec import digest
from marram.core.errors import InternalError

ABI = 1
RUNTIME_HEADERS = ("port.h", "protocol.h")
_ALGORITHM = "sha256:"


def runtime_text(name: str) -> str:
    """A file of ``firmware/runtime``."""
    return (files("marram") / "firmware" / "runtime" / name).read_text(encoding="ascii")


def model_digest(generated: Generated) -> bytes:
    """Digest of the generated sources, 32 bytes: what a device answers, so that nobody measures another model."""
    text = digest(generated.files)
    found = bytes.fromhex(text.removeprefix(_ALGORITHM))
    if len(found) != 32:
        raise InternalError("the digest of a model is not 32 bytes")
    return found


def harness_header(generated: Generated) -> str:
    """``harness_model.h``: the model's names and sizes under the names that the harness uses."""
    prefix, upper = generated.name, generated.name.upper()
    graph = generated.graph
    inputs = ", ".join(f"{upper}_INPUT{index}_BYTES" for index in range(len(graph.inputs)))
    outputs = ", ".join(f"{upper}_OUTPUT{index}_BYTES" for index in range(len(graph.outputs)))
    bytes_text = ", ".join(f"0x{byte:02x}" for byte in model_digest(generated))
    return "\n".join(
        [
            "/* Made by marram: what the harness calls the model's things. */",
            "#ifndef HARNESS_MODEL_H",
            "#define HARNESS_MODEL_H",
            f'#include "{prefix}.h"',
            f"#define HARNESS_ABI {ABI}",
            *_arena_lines(generated),
            f"#define HARNESS_INPUTS {upper}_INPUTS",
            f"#define HARNESS_OUTPUTS {upper}_OUTPUTS",
            f"#define HARNESS_INPUT_BYTES {{{inputs}}}",
            f"#define HARNESS_OUTPUT_BYTES {{{outputs}}}",
            f"#define HARNESS_DIGEST {{{bytes_text}}}",
            f"#define harness_invoke {prefix}_invoke",
            f"#define harness_input {prefix}_input",
            f"#define harness_output {prefix}_output",
            "#endif",
            "",
        ]
    )


def _arena_lines(generated: Generated) -> list[str]:
    """Sizes of the arenas; where there are several memories, ``HARNESS_EACH_ARENA`` has those that are used by name."""
    prefix, upper, memories = generated.name, generated.name.upper(), generated.plan.memories
    if not memories:
        return [f"#define HARNESS_ARENA_BYTES {upper}_ARENA_BYTES", f"#define HARNESS_ARENA_ALIGN {upper}_ARENA_ALIGN"]
    sizes = [(memory.name, f"{upper}_ARENA_{memory.name.upper()}_BYTES") for memory in memories if memory.arena_bytes]
    return [
        f"#define HARNESS_ARENAS {prefix}_arenas",
        f"#define HARNESS_EACH_ARENA(X) {' '.join(f'X({name}, {size})' for name, size in sizes)}",
        f"#define HARNESS_ARENA_BYTES ({' + '.join(size for _, size in sizes)})",
        f"#define HARNESS_ARENA_ALIGN {upper}_ARENA_ALIGN",
    ]


def write_sources(generated: Generated, folder: Path, runtime: tuple[str, ...]) -> None:
    """Put the model's files, ``harness_model.h``, the headers of the runtime and the named runtime files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {**generated.files, "harness_model.h": harness_header(generated)}
    texts |= {name: runtime_text(name) for name in (*RUNTIME_HEADERS, *runtime)}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="ascii")
