"""Files with flipped bytes through each runtime, in a process of its own: an answer or one of our errors, never a crash."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.runtime.conftest import litert_program, onnx_program

from marram.core.codec import encode

CHILD = """
import sys
from pathlib import Path
import msgspec, numpy as np
from marram.core.codec import decode
from marram.core.errors import MarramError
from marram.core.program import Program
from marram.runtime import runner

program = decode(Path(sys.argv[1]).read_bytes(), Program)
for seed in range(int(sys.argv[2])):
    print("seed", seed, flush=True)
    rng = np.random.default_rng(seed)
    blob = bytearray(program.blob)
    for place in rng.integers(0, len(blob), rng.integers(1, 8)):
        blob[place] = rng.integers(256)
    try:
        session = runner(program.runtime).open(msgspec.structs.replace(program, blob=bytes(blob)))
        session.run([np.zeros(tensor.shape, tensor.dtype) for tensor in program.inputs])
    except MarramError:
        pass
print("done")
"""


def survive(tmp_path, program, files):
    (tmp_path / "program").write_bytes(encode(program))
    command = [sys.executable, "-c", CHILD, str(tmp_path / "program"), str(files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"{lines[-1]}: exit {done.returncode}: {done.stderr[-500:]}"
    assert lines[-1] == "done"
    assert len(lines) == files + 1, "the runtime wrote to standard output"


@pytest.mark.parametrize("make", [onnx_program, litert_program])
def test_some_files(tmp_path, make):
    survive(tmp_path, make(), 150)


@pytest.mark.soak
@pytest.mark.parametrize("make", [onnx_program, litert_program])
def test_many_files(tmp_path, make):
    survive(tmp_path, make(), 20_000)
