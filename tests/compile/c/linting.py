"""What clang-tidy and cppcheck find in generated C."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from marram.compile.c.generation import Generated

ROOT = Path(__file__).parents[3]
CPPCHECK = (
    "cppcheck",
    "--std=c11",
    "--enable=warning,style,performance,portability",
    "--quiet",
    # compiler.h asserts at compile time that >> of negative numbers is arithmetic: that is the one place.
    "--suppress=shiftNegativeLHS",
    # Of that kind too: x >> 31 as the sign of x.
    "--suppress=shiftTooManyBitsSigned",
    # A model need not use every field of the structs that kernels share.
    "--suppress=unusedStructMember",
)
_ARM = ("-std=gnu11", "--target=arm-none-eabi", "-isystem", "/usr/include/newlib")
INSTRUCTIONS = {
    "dsp": ((*_ARM, "-mcpu=cortex-m4"),),
    "mve": ((*_ARM, "-mcpu=cortex-m55"),),
    "host": tuple(
        ("-std=gnu11", *flags)
        for flags in (
            ("--target=x86_64-linux-gnu", "-march=x86-64-v3"),
            ("--target=x86_64-linux-gnu", "-march=cascadelake"),
            ("--target=aarch64-linux-gnu", "-march=armv8.2-a+dotprod"),
        )
    ),
}
"""Flags with which clang-tidy sees the code for a family's instructions, not only its plain C. Families armv6m and armv7m have
inline assembly, of which the analyser does not know what it writes."""
# A constant of the generator and its values: "static const int8_t net_l00_conv2d_weights[216] = {".
_ARRAY = re.compile(r"(static const \w+ \w+\[\d+\] = \{\n)([^{}]*)(\n\};)")
KEPT_VALUES = 16
_FINDING = re.compile(r": (?:error|warning|style|performance|portability): ")


def shortened(source: str) -> str:
    """The source with no more than ``KEPT_VALUES`` values in each constant, of the same declared length.

    No finding is about a weight, but the tools read a model's hundreds of thousands of them for each check: cppcheck does
    not come to an end, clang-tidy takes three times as long.
    """

    def cut(match: re.Match[str]) -> str:
        values = [value.strip() for value in match[2].split(",") if value.strip()]
        return f"{match[1]}    {', '.join(values[:KEPT_VALUES])}{match[3]}"

    return _ARRAY.sub(cut, source)


def findings(made: Generated, folder: Path) -> list[str]:
    """The lines in which either tool names a fault of the model's source, which is written to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in made.files.items():
        (folder / name).write_text(shortened(text))
    source = f"{made.name}.c"
    tidy = ["clang-tidy", "--quiet", f"--config-file={ROOT / '.clang-tidy'}", source, "--"]
    commands = [[*tidy, *flags] for flags in (("-std=c11",), *INSTRUCTIONS.get(made.family, ()))]
    if made.family != "host":  # all pixels and vectors of its tiles, unrolled by macros: cppcheck does not come to an end
        commands.append([*CPPCHECK, source])
    found: list[str] = []
    for command in commands:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        lines = (done.stdout + done.stderr).splitlines()
        found += [f"{command[0]}: {line}" for line in lines if _FINDING.search(line)]
        if done.returncode and not found:
            found.append(f"{command[0]} ended with {done.returncode}: {done.stderr[:2000]}")
    return found
