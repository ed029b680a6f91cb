"""Device profiles: those that come with marram, and a user's own with every mistake named."""

from __future__ import annotations

import pytest

from marram.compile import device, devices
from marram.core.errors import UserError

OWN = """
name = "camera"
title = "Our camera"
core = "cortex-a53"
instruction_set = "armv8-a"
runtimes = ["litert"]
dtypes = ["int8"]
ram_bytes = 1048576

[power]
instruction_pj = 20.0
memory_byte_pj = 2.5
active_mw = 3.0
source = "our own meter"
"""


def test_what_comes_with_marram():
    found = {target.name: target for target in devices()}
    assert set(found) == {
        "host", "linux-arm64", "android-arm64", "cortex-m0", "cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7",
        "cortex-m33", "cortex-m55",
    }  # fmt: skip
    assert [target.name for target in devices() if target.here] == ["host"]
    assert devices()[0].name == "host"
    for name, target in found.items():
        assert device(name) == target
        if name.startswith("cortex-m"):
            assert target.runtimes == ("c",)
            assert target.clock_hz
            assert target.ram_bytes
            assert target.flash_bytes


def test_a_near_miss_is_named():
    with pytest.raises(UserError, match="Did you mean cortex-m4"):
        device("cortex_m4")
    with pytest.raises(UserError, match="Known: host"):
        device("zzz")


def test_a_user_s_own(tmp_path):
    path = tmp_path / "camera.toml"
    path.write_text(OWN)
    target = device(path)
    assert device(str(path)) == target
    assert target.name == "camera"
    assert not target.here
    assert target.power.active_mw == 3.0


def test_all_mistakes_at_once(tmp_path):
    path = tmp_path / "camera.toml"
    wrong = OWN.replace('title = "Our camera"', 'titel = "Our camera"').replace('["litert"]', '["litrt"]')
    path.write_text(wrong.replace("active_mw = 3.0", 'active_mw = "low"'))
    with pytest.raises(UserError) as caught:
        device(path)
    text = str(caught.value)
    assert "4 mistakes in the device profile" in text
    for part in (
        "line 3: titel: unknown key; did you mean 'title'?",
        "title: missing",
        "line 6: runtimes",
        "line 13: power.active_mw",
    ):
        assert part in text, text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (OWN.replace('["litert"]', "[]").encode(), "no runtime"),
        (b"name = ", "1 mistake in"),
        (b"\xff\xfe", "cannot be read"),
        (b"#" * 100_000, "larger than"),
        (None, "no such device profile"),
    ],
)
def test_files_that_are_no_profiles(tmp_path, content, message):
    path = tmp_path / "own.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        device(path)


def test_a_folder_is_no_profile(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        device(tmp_path)
