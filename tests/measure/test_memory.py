"""Memory of a fresh process, and of what a probe may do instead of answering."""

from __future__ import annotations

import sys

import pytest
from msgspec.structs import replace

from marram.core.errors import DeviceError, ToolError
from marram.measure.memory import Memory, memory_figures, weigh

MIB = 1 << 20


def test_a_real_program(program):
    found = weigh(program, (sys.executable, "-m", "marram.runtime.probe"))
    assert 15 * MIB < found.start < 45 * MIB
    assert found.start < found.imported <= found.loaded <= found.ran + MIB <= found.peak + MIB
    assert found.peak < 200 * MIB


def test_figures_say_that_they_vary():
    peak, model = memory_figures(Memory(start=1, imported=10, loaded=20, ran=25, peak=30))
    assert (peak.name, peak.value, model.value) == ("peak_memory_bytes", 30, 15)
    assert not peak.deterministic
    assert not model.deterministic


@pytest.mark.parametrize(
    ("script", "kind", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", DeviceError, "SIGSEGV"),
        ("import time; time.sleep(60)", DeviceError, "did not run once in 1 s"),
        ("import sys; sys.exit('out of order')", ToolError, "out of order"),
        ("print('no json')", ToolError, "no sizes"),
        ("print('{}')", ToolError, "no sizes"),
    ],
)
def test_a_probe_that_does_not_answer(program, script, kind, message):
    with pytest.raises(kind, match=message):
        weigh(program, (sys.executable, "-c", script), timeout_s=1.0 if "sleep" in script else 60.0)


def test_a_damaged_program_is_the_probe_s_to_refuse(program):
    with pytest.raises(ToolError, match="refuses the model"):
        weigh(replace(program, blob=b"abc"), (sys.executable, "-m", "marram.runtime.probe"))


def test_a_command_that_is_not_there(program):
    with pytest.raises(ToolError, match="cannot be started"):
        weigh(program, ("/nowhere/python",))
