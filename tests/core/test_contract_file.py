"""marram.toml: right contracts are read, wrong ones are refused with every mistake named."""

from __future__ import annotations

from pathlib import Path

import pytest

from marram.core.contract import AudioInput, ImageInput, ImuInput
from marram.core.contract_file import parse, read
from marram.core.errors import ContractError, UserError

GOOD = """
[model]
name = "watch"
version = "1.0.0"
source = "zoo:conv1d"

[data]
source = "watch.py:recordings"
split_by = "subject"

[input]
kind = "imu"
channels = ["ax", "ay"]  # a comment with ] and "quotes
rate_hz = 50
window_s = 4.0

[promises]
accuracy_min = 0.75

[targets.here]
device = "host"
latency_ms = 2
"""


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ContractError) as caught:
        parse(text)
    return caught.value.problems


def test_a_right_contract_is_read() -> None:
    contract = parse(GOOD)
    assert isinstance(contract.input, ImuInput)
    assert contract.input.channels == ("ax", "ay")
    assert contract.targets["here"].latency_ms == 2.0
    assert contract.promises.accuracy_drop_max is None
    assert contract.training.epochs >= 1


@pytest.mark.parametrize(
    ("section", "kind"),
    [('kind = "image"\nsize_px = [32, 32]', ImageInput), ('kind = "audio"\nrate_hz = 8000', AudioInput)],
)
def test_each_input_kind_is_read(section: str, kind: type) -> None:
    start, _, rest = GOOD.partition("[input]")
    text = start + "[input]\n" + section + "\n" + rest[rest.index("\n[promises]") :]
    assert isinstance(parse(text).input, kind)


def test_all_mistakes_come_at_once_with_line_key_and_nearest_word() -> None:
    text = (
        GOOD.replace("accuracy_min", "accuracy_mn")
        .replace("rate_hz = 50", 'rate_hz = "fast"')
        .replace("latency_ms = 2", "latency_ms = -2")
    )
    found = problems(text)
    assert len(found) == 3
    assert "line 14: input.rate_hz: expected a number > 0, got 'fast'" in found
    assert any("line 18: promises.accuracy_mn: unknown key; did you mean 'accuracy_min'?" in p for p in found)
    assert any(p.startswith("line 22: targets.here.latency_ms") for p in found)


def test_missing_sections_and_targets_are_named() -> None:
    found = problems('[data]\nsource = "x"\n')
    assert any(p.startswith("model: missing") for p in found)
    assert any(p.startswith("input: missing") for p in found)
    assert any(p.startswith("targets: at least one") for p in found)


def test_a_wrong_kind_lists_the_kinds() -> None:
    (found,) = problems(GOOD.replace('kind = "imu"', 'kind = "imo"'))
    assert "input.kind" in found
    assert "did you mean 'imu'?" in found


def test_broken_toml_names_the_line() -> None:
    (found,) = problems(GOOD.replace('name = "watch"', 'name = "watch'))
    assert "line 3" in found


def test_absent_file_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="marram init"):
        read(tmp_path / "marram.toml")


def test_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "marram.toml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError, match="cannot be read"):
        read(path)
