"""Which machine this is, as Evidence names it."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe_machine(*, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Processor, instruction set, cores and system, in one line."""
    cores = os.cpu_count() or 1
    return f"{_processor(cpuinfo)}, {platform.machine()}, {cores} core{'s' if cores != 1 else ''}, {platform.system()}"


def _processor(cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names and names[0] else "unknown processor"
