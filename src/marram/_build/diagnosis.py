"""``marram doctor``: which targets, runtimes and tools this machine has, and how to get the rest."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess

import msgspec


class FoundItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that marram can use: whether it is here, in which version, and how to get it if not."""

    subject: str
    present: bool
    version: str | None
    remedy: str | None


_LIBRARIES = (
    ("torch (training, torch models)", "torch", "build"),
    ("onnx (ONNX files)", "onnx", "build"),
    ("ONNX Runtime", "onnxruntime", "build"),
    ("LiteRT", "ai-edge-litert", "build"),
    ("OpenVINO (optional)", "openvino", "openvino"),
    ("soundfile (audio files)", "soundfile", "build"),
    ("pyarrow (Parquet files)", "pyarrow", "build"),
    ("matplotlib (report)", "matplotlib", "build"),
)
_TOOLS = (
    ("arm-none-eabi-gcc (C for microcontrollers)", "arm-none-eabi-gcc", "scripts/system-packages mcu"),
    ("qemu-system-arm (microcontrollers, emulated)", "qemu-system-arm", "scripts/system-packages mcu"),
    ("gcc (C on this machine)", "gcc", "scripts/system-packages mcu"),
    ("chromium (tests of the report)", "chromium", "apt-get install chromium"),
    ("apt-get (data of the fashion template)", "apt-get", "use a Debian-like machine"),
)


def doctor() -> tuple[FoundItem, ...]:
    """What this machine has. Looks at versions only; nothing heavy is imported."""
    python = FoundItem(subject="Python 3.11 or later", present=True, version=platform.python_version(), remedy=None)
    return (python, *(_library(*row) for row in _LIBRARIES), *(_tool(*row) for row in _TOOLS))


def installed_version(package: str) -> str | None:
    """The version of an installed distribution, None if it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _library(subject: str, package: str, extra: str) -> FoundItem:
    version = installed_version(package)
    if version is None:
        return FoundItem(subject=subject, present=False, version=None, remedy=f"pip install 'marram[{extra}]'")
    return FoundItem(subject=subject, present=True, version=version, remedy=None)


def _tool(subject: str, command: str, remedy: str) -> FoundItem:
    path = shutil.which(command)
    if path is None:
        return FoundItem(subject=subject, present=False, version=None, remedy=remedy)
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)  # noqa: S603  # fixed words
    except (OSError, subprocess.TimeoutExpired) as error:
        return FoundItem(subject=subject, present=False, version=None, remedy=f"{path} does not run: {error}")
    lines = answer.stdout.strip().splitlines()
    return FoundItem(subject=subject, present=True, version=lines[0] if lines else "", remedy=None)
