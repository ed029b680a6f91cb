"""The instructions of an image: their classes, from the disassembly of binutils (QEMU's own does not know MVE)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args

import msgspec

from marram.compile.toolchain.commands import call

InstructionClass = Literal[
    "load", "store", "mac", "multiply", "divide", "branch", "vector_load", "vector_store", "vector_mac", "vector", "other"
]
CLASSES: tuple[InstructionClass, ...] = get_args(InstructionClass)

_LINE = re.compile(r"^\s*([0-9a-f]+):\t(\S*)(?:\t([^;@<]*))?")
_FUNCTION = re.compile(r"^([0-9a-f]+) <(.+)>:$")
_CONDITION = r"(eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?"
_BRANCH = re.compile(rf"^(b|bl|bx|blx){_CONDITION}$|^(cbz|cbnz|tbb|tbh|le|letp|bxns|blxns)$")
_MAC = re.compile(r"^(mla|mls|smla|smls|umla|umaal|smmla|smmls|smlad|smlsd|smlald|smlal|vfma|vfms|vmla[^v]?)")
_MULTIPLY = re.compile(r"^(mul|smul|umul|smmul|smuad|smusd|smull|umull)")
_VECTOR_MAC = re.compile(r"^(vmla|vrmla|vmls|vqrdmla|vqdmla|vfma|vfms)")


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """One instruction: where it stands, its function, its name without width and condition suffixes, its operands."""

    address: int
    function: str
    mnemonic: str
    operands: str
    kind: InstructionClass

    @property
    def registers(self) -> int:
        """How many registers its list in braces has, 0 where it has none."""
        inside = self.operands[self.operands.find("{") + 1 : self.operands.rfind("}")] if "{" in self.operands else ""
        count = 0
        for part in filter(None, (piece.strip() for piece in inside.split(","))):
            first, _, last = part.partition("-")
            count += _number(last) - _number(first) + 1 if last else 1
        return count


_NAMED = {"sb": 9, "sl": 10, "fp": 11, "ip": 12, "sp": 13, "lr": 14, "pc": 15}


def _number(register: str) -> int:
    return _NAMED[register] if register in _NAMED else int(re.sub(r"\D", "", register) or 0)


def disassemble(image: Path, core: str) -> tuple[Instruction, ...]:
    """All instructions of a linked image for a core, by address; data between them is left out.

    Raises:
        ToolError: objdump is missing or fails.
    """
    # Without being told, binutils 2.40 shows vector instructions as those of a coprocessor.
    machine = ("-m", "armv8.1-m.main") if core in {"cortex-m55", "cortex-m85"} else ()
    text = call(["arm-none-eabi-objdump", "-d", *machine, "--no-show-raw-insn", image.name], folder=image.parent)
    found, function = [], ""
    for line in text.splitlines():
        head = _FUNCTION.match(line)
        if head:
            function = head.group(2)
            continue
        row = _LINE.match(line)
        if row and not row.group(2).startswith("."):
            # What is unknown to binutils has no name here: class "other".
            name = row.group(2).removesuffix(".n").removesuffix(".w")
            operands = (row.group(3) or "").strip()
            found.append(
                Instruction(
                    address=int(row.group(1), 16),
                    function=function,
                    mnemonic=name,
                    operands=operands,
                    kind=class_of(name, operands),
                )
            )
    return tuple(found)


def class_of(mnemonic: str, operands: str) -> InstructionClass:
    """The class of an instruction, from its name and operands as objdump prints them."""
    vector = mnemonic.startswith("v") and ("q" in operands or not operands)
    if mnemonic.startswith("v") and vector:
        return _vector_class(mnemonic)
    if _BRANCH.match(mnemonic) or (mnemonic.startswith(("pop", "ldm")) and "pc" in operands) or operands.startswith("pc,"):
        return "branch"
    if mnemonic.startswith(("ldr", "ldm", "pop", "ldrd", "vldr", "vldm", "vpop")):
        return "load"
    if mnemonic.startswith(("str", "stm", "push", "vstr", "vstm", "vpush")):
        return "store"
    if mnemonic.startswith(("sdiv", "udiv", "vdiv")):
        return "divide"
    if _MAC.match(mnemonic):
        return "mac"
    return "multiply" if _MULTIPLY.match(mnemonic) else "other"


def _vector_class(mnemonic: str) -> InstructionClass:
    if mnemonic.startswith("vld"):
        return "vector_load"
    if mnemonic.startswith("vst"):
        return "vector_store"
    return "vector_mac" if _VECTOR_MAC.match(mnemonic) else "vector"
