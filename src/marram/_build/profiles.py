"""The device profile that a target of a contract names."""

from __future__ import annotations

from pathlib import Path

from marram.compile import device
from marram.core.contract import TargetSection
from marram.core.target import Target


def profile_of(folder: Path, section: TargetSection) -> Target:
    """The profile of a device that marram knows, or of a file; a path is taken from the project's folder."""
    return device(folder / section.device if section.device.endswith(".toml") else section.device)
