"""The probe as the command that it is."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from msgspec.structs import replace
from tests.runtime.conftest import litert_program, onnx_program

from marram.core.codec import encode
from marram.core.errors import DeviceError
from marram.runtime import probe


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "marram.runtime.probe", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("program", [litert_program(), onnx_program()], ids=lambda program: program.runtime)
def test_sizes_grow_step_by_step(tmp_path, program):
    (tmp_path / "program").write_bytes(encode(program))
    done = run(str(tmp_path / "program"))
    assert done.returncode == 0, done.stderr
    sizes = json.loads(done.stdout)
    assert set(sizes) == {"start", "imported", "loaded", "ran", "peak"}
    assert 10 << 20 < sizes["start"] < sizes["imported"] < sizes["peak"] < 200 << 20
    assert max(sizes.values()) == sizes["peak"]


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"noise", 3, "not a valid Program"),
        (encode(replace(litert_program(), blob=b"noise")), 3, "not a TFLite file"),
        (encode(replace(litert_program(), runtime="c")), 2, "do not run on this machine"),
    ],
)
def test_what_cannot_be_run_has_its_exit_code(tmp_path, content, code, message):
    (tmp_path / "program").write_bytes(content)
    done = run(str(tmp_path / "program"))
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_arguments():
    assert "one file is needed" in run().stderr
    assert run("/nowhere").returncode == 2


def test_a_system_without_proc(monkeypatch):
    monkeypatch.setattr(probe.Path, "read_text", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("no such place")))
    with pytest.raises(DeviceError, match="does not tell"):
        probe.probe(litert_program())
