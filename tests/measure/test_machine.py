"""The machine's description."""

from __future__ import annotations

from marram.measure.machine import describe_machine


def test_processor_by_name_and_without(tmp_path):
    (tmp_path / "x86").write_text("processor\t: 0\nmodel name\t: Some Processor 9\n")
    (tmp_path / "arm").write_text("processor\t: 0\n\nModel\t\t: Raspberry Pi 5\n")
    assert describe_machine(cpuinfo=tmp_path / "x86").startswith("Some Processor 9, ")
    assert describe_machine(cpuinfo=tmp_path / "arm").startswith("Raspberry Pi 5, ")
    assert describe_machine(cpuinfo=tmp_path / "absent").startswith("unknown processor, ")
    assert describe_machine() == describe_machine()
