"""Outside tools: what they print stands in the error, and hashes are held."""

from __future__ import annotations

import hashlib
import sys

import pytest

from marram.core.errors import IntegrityError, ToolError
from marram.data.registry.fetching import run, verify


def python(folder, code):
    run([sys.executable, "-c", code], folder=folder, what="fetching", hint="Do it yourself.")


def test_a_command_runs_in_its_folder(tmp_path):
    python(tmp_path, "open('made', 'w').close()")
    assert (tmp_path / "made").is_file()


def test_failures_carry_command_output_and_remedy(tmp_path):
    with pytest.raises(ToolError, match="exit code 3") as caught:
        python(tmp_path, "import sys; print('no network'); sys.exit(3)")
    assert "no network" in caught.value.output
    assert sys.executable in caught.value.command
    assert "Do it yourself." in str(caught.value.hint)
    with pytest.raises(ToolError, match="is not on this machine"):
        run(["no-such-tool-of-anyone"], folder=tmp_path, what="fetching", hint="Do it yourself.")


def test_a_tool_that_never_answers_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("marram.data.registry.fetching.TIME_LIMIT_S", 0.2)
    with pytest.raises(ToolError, match="no answer"):
        python(tmp_path, "import time; time.sleep(60)")


def test_only_the_pinned_bytes_pass():
    verify(b"data", hashlib.sha256(b"data").hexdigest(), where="x")
    with pytest.raises(IntegrityError, match="expected"):
        verify(b"Data", hashlib.sha256(b"data").hexdigest(), where="x")
