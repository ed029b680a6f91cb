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
