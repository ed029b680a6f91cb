"""What of a model stands in a board's further memories: sections of the object files, lines of the linker script.

A memory of a plan that the board has by the same name is used; all else stands in the board's main RAM. Images of models
without several memories have none of this.
"""

from __future__ import annotations

import msgspec

from marram.compile.c.generation import Generated
from marram.compile.toolchain.boards import Board, BoardMemory
from marram.compile.toolchain.elf import Section


class Elsewhere(msgspec.Struct, frozen=True, kw_only=True):
    """A further memory that an image uses: copied constants first, then the arena, each in an output section of its own."""

    memory: BoardMemory
    model: str

    @property
    def data(self) -> str:
        """The output section of copied constants."""
        return f".data_{self.memory.name}"

    @property
    def arena(self) -> str:
        """The output section of the arena."""
        return f".arena_{self.memory.name}"

    def holds_data(self, section: Section) -> bool:
        """Whether a section of an object file is copied constants for this memory."""
        return section.name == f".data.{self.model}_{self.memory.name}"

    def holds_arena(self, section: Section) -> bool:
        """Whether a section of an object file is the arena in this memory."""
        return section.name == f".arena.{self.memory.name}"


def elsewhere(generated: Generated, board: Board) -> tuple[Elsewhere, ...]:
    """The further memories of a board that a model's plan names."""
    named = {memory.name for memory in generated.plan.memories}
    return tuple(Elsewhere(memory=memory, model=generated.name) for memory in board.memories if memory.name in named)


def script_of(template: str, board: Board, others: tuple[Elsewhere, ...]) -> str:
    """The linker script of a board from its template."""
    script = template
    for key in ("flash_origin", "flash_bytes", "ram_origin", "ram_bytes", "stack_bytes"):
        script = script.replace(f"@{key}@", str(getattr(board, key)))
    memories, sections = [], []
    for each in others:
        name, region = each.memory.name, each.memory.name.upper()
        memories.append(f"    {region} (rwx) : ORIGIN = {each.memory.origin}, LENGTH = {each.memory.size_bytes}\n")
        placed = f"*(.data.{each.model}_{name}) . = ALIGN(8);"
        ends = f"marram_{name}_begin = .; {placed} marram_{name}_end = .;"
        sections += [
            f"    {each.data} : {{ {ends} }} > {region} AT > FLASH\n",
            f"    marram_{name}_load = LOADADDR({each.data});\n",
            f"    {each.arena} (NOLOAD) : {{ *(.arena.{name}) . = ALIGN(8); }} > {region}\n",
        ]
    return script.replace("@memories@\n", "".join(memories)).replace("@elsewhere@\n", "".join(sections))


def startup_flags(others: tuple[Elsewhere, ...]) -> tuple[str, ...]:
    """What tells ``startup.c`` of memories to be filled."""
    listed = " ".join(f"X({each.memory.name})" for each in others)
    return (f"-DMARRAM_MEMORIES(X)={listed}",) if others else ()
