"""Files with flipped bytes through each runtime: an answer or one of our errors.

A runtime may still end its process on a file that is damaged just so; then ``measure.weigh``, which a build asks before it
opens a file that it carries as it came, must say so as an error of ours.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.runtime.conftest import litert_program, onnx_program

from marram.core.codec import encode
from marram.core.errors import DeviceError
from marram.measure import weigh

ROOT = Path(__file__).parents[2]

CHILD = """
import sys
from pathlib import Path
import numpy as np
from marram.core.codec import decode
from marram.core.errors import MarramError
from marram.core.program import Program
from marram.runtime import runner
from tests.runtime.test_hostile_files import damaged

program = decode(Path(sys.argv[1]).read_bytes(), Program)
for seed in range(int(sys.argv[2]), int(sys.argv[3])):
    print("seed", seed, flush=True)
    try:
        session = runner(program.runtime).open(damaged(program, seed))
        session.run([np.zeros(tensor.shape, tensor.dtype) for tensor in program.inputs])
    except MarramError:
        pass
print("done")
"""


def damaged(program, seed):
    """The program with some bytes of its file replaced."""
    rng = np.random.default_rng(seed)
    blob = bytearray(program.blob)
    for place in rng.integers(0, len(blob), rng.integers(1, 8)):
        blob[place] = rng.integers(256)
    return msgspec.structs.replace(program, blob=bytes(blob))


def survive(tmp_path, program, files):
    """Runs the files in a process of its own, and goes on in another where the runtime ended it."""
    (tmp_path / "program").write_bytes(encode(program))
    crashes, start = [], 0
    while start < files:
        command = [sys.executable, "-c", CHILD, str(tmp_path / "program"), str(start), str(files)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        lines = done.stdout.splitlines()
        assert all(line == "done" or line.startswith("seed ") for line in lines), "the runtime wrote to standard output"
        if lines[-1] == "done":
            break
        assert done.returncode < 0, f"{lines[-1]}: exit {done.returncode}: {done.stderr[-500:]}"
        crashes.append(int(lines[-1].removeprefix("seed ")))
        start = crashes[-1] + 1
    for seed in crashes:
        with pytest.raises(DeviceError):
            weigh(damaged(program, seed), (sys.executable, "-m", "marram.runtime.probe"))
    assert len(crashes) <= files // 1000, f"seeds {crashes}"


@pytest.mark.parametrize("make", [onnx_program, litert_program])
def test_some_files(tmp_path, make):
    survive(tmp_path, make(), 150)


@pytest.mark.soak
@pytest.mark.parametrize("make", [onnx_program, litert_program])
def test_many_files(tmp_path, make):
    survive(tmp_path, make(), 20_000)
