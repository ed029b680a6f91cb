"""Python functions as sources: every form of result, and failures named without a traceback."""

from __future__ import annotations

import numpy as np
import pytest

from marram.core.contract import ImuInput, TensorInput
from marram.core.errors import DataError
from marram.data import Dataset
from marram.data.readers import function

TENSOR = TensorInput(shape=(3,))
IMU = ImuInput(channels=("ax",), rate_hz=10.0, window_s=1.0)
SOURCE = """
import numpy as np
from pathlib import Path
from marram.core.errors import ToolError
from marram.data import Recording, in_memory

def dataset(): return in_memory(np.arange(12, dtype=np.float32).reshape(4, 3), [0, 1, 0, 1])
def mapping(): return {"x": np.arange(12.0).reshape(4, 3), "y": list("abab"), "groups": [1, 1, 2, 2]}
def plain():
    ramp = np.arange(20.0)[:, None]
    return [{"signal": ramp, "label": "a", "person": 7}, {"signal": ramp[:15], "label": "b", "person": 8}]
def recordings(): return [Recording(signal=np.arange(20.0)[:, None], name="r", label="a")]
def project(folder): return {"x": np.loadtxt(Path(folder) / "x.txt")}
def number(): return 7
def broken(): return 1 / 0
def tool(): raise ToolError("pip failed", command="pip download x")
not_callable = 3
"""


@pytest.fixture
def base(tmp_path):
    (tmp_path / "source.py").write_text(SOURCE)
    (tmp_path / "bad.py").write_text("def broken(:\n")
    (tmp_path / "raises.py").write_text("import missing_module_of_nobody\n")
    np.savetxt(tmp_path / "x.txt", np.arange(12.0).reshape(4, 3))
    return tmp_path


def read(base, name, section=TENSOR, **options):
    return function.read(name, base=base, section=section, **options)


def test_a_dataset_or_a_mapping(base):
    assert isinstance(read(base, "source.py:dataset"), Dataset)
    dataset = read(base, "source.py:mapping")
    assert dataset.labels == ("a", "b")
    assert dataset.groups == ("1", "1", "2", "2")


def test_recordings_in_either_form(base):
    dataset = read(base, "source.py:plain", IMU, group="person")
    assert dataset.groups == ("7", "7", "8")
    assert dataset.group_name == "person"
    assert len(read(base, "source.py:recordings", IMU)) == 2


def test_the_projects_folder_is_handed_in(base):
    assert len(read(base, "source.py:project")) == 4


def test_modules_on_the_path(base, monkeypatch):
    monkeypatch.syspath_prepend(base)
    assert len(read(base, "source:dataset")) == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sorce.py:dataset", "Did you mean source.py"),
        ("source.py:datset", "Did you mean dataset"),
        ("source.py:not_callable", "has no function"),
        ("source.py:broken", r"ZeroDivisionError: division by zero \(.*source\.py, line 15\)"),
        ("source.py:number", "returned int"),
        ("source.py:plain", "returned list"),
        ("bad.py:broken", "SyntaxError"),
        ("raises.py:x", "missing_module_of_nobody"),
        ("no.such.module:x", "ModuleNotFoundError"),
        ("source.py", "names no function"),
        ("source.py:a:b", "names no function"),
    ],
)
def test_failures_are_named(base, name, message):
    with pytest.raises(DataError, match=message):
        read(base, name)


def test_errors_of_marram_pass_unchanged(base):
    with pytest.raises(Exception, match="pip failed") as caught:
        read(base, "source.py:tool")
    assert type(caught.value).__name__ == "ToolError"
