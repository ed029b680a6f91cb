"""Golden vectors in C: they pass on the model they were made of, and fail on one changed answer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.compile.c.zoo_models import integer_model

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.compile.c.self_test import self_test_files
from marram.compile.c.streams.generation import generate_stream
from marram.compile.c.streams.self_test import stream_self_test_files
from marram.measure.streams import stream_data, stream_vectors
from marram.model import interpret

MAIN = """
#include "net_self_test.h"
_Alignas(NET_ARENA_ALIGN) static uint8_t arena[NET_ARENA_BYTES];
int main(void)
{
    if (net_self_test(NULL, sizeof arena) != MARRAM_NULL_POINTER) { return 10; }
    if (net_self_test(arena, sizeof arena - 1) != MARRAM_ARENA_TOO_SMALL) { return 11; }
    return (int)net_self_test(arena, sizeof arena);
}
"""
PASSED, FAILED = 0, 4


def run(generated: Generated, folder: Path, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> int:
    for name, text in {**generated.files, **self_test_files("net", inputs, outputs), "main.c": MAIN}.items():
        (folder / name).write_text(text)
    strict = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsanitize=address,undefined"]
    subprocess.run(["gcc", *strict, "main.c", "net.c", "net_self_test.c", "-o", "main"], cwd=folder, check=True)
    return subprocess.run([str(folder / "main")], check=False).returncode


@pytest.fixture(scope="module")
def generated() -> Generated:
    return generate(integer_model("fc_autoencoder"), FAMILIES["portable"], name="net")


def test_answers_of_the_reference_pass_and_others_do_not(generated: Generated, tmp_path: Path) -> None:
    (tensor,) = generated.graph.input_tensors
    given = np.random.default_rng(0).integers(-128, 128, (3, *tensor.shape[1:])).astype(np.int8)
    (expected,) = interpret(generated.graph, [given])
    assert run(generated, tmp_path, [given], [expected]) == PASSED
    wrong = expected.copy()
    wrong[2].reshape(-1)[-1] ^= 1
    assert run(generated, tmp_path, [given], [wrong]) == FAILED


STREAM_MAIN = """
#include "net_self_test.h"
_Alignas(NET_STREAM_ARENA_ALIGN) static uint8_t arena[NET_STREAM_ARENA_BYTES];
_Alignas(NET_STREAM_STATE_ALIGN) static uint8_t state[NET_STREAM_STATE_BYTES];
int main(void)
{
    if (net_self_test(state, sizeof state - 1, arena, sizeof arena) != MARRAM_ARENA_TOO_SMALL) { return 10; }
    if (net_self_test(state, sizeof state, NULL, sizeof arena) != MARRAM_NULL_POINTER) { return 11; }
    return (int)net_self_test(state, sizeof state, arena, sizeof arena);
}
"""


@pytest.mark.parametrize("status", [PASSED, FAILED])
def test_golden_streams(status: int, tmp_path: Path) -> None:
    stream = generate_stream(integer_model("conv1d"), FAMILIES["portable"], hop_rows=8, name="net")
    filling = stream.streaming.warm_up_pushes - 1
    vectors = stream_vectors(stream.streaming, stream_data(stream.streaming, filling + 3))
    answers = vectors.expected[0][filling:].copy()
    answers[2, 0] ^= status == FAILED
    files = {**stream.generated.files, **stream_self_test_files("net", vectors.inputs[0], [answers]), "main.c": STREAM_MAIN}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    strict = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsanitize=address,undefined"]
    subprocess.run(["gcc", *strict, "main.c", "net.c", "net_self_test.c", "-o", "main"], cwd=tmp_path, check=True)
    assert subprocess.run([str(tmp_path / "main")], check=False).returncode == status
