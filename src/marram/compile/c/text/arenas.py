"""How the public functions take their memory: one arena, or one in each of several memories by name.

Both kinds answer the same questions for the texts of the header and of the public functions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import msgspec

from marram.compile.c.text.addresses import Address
from marram.compile.memory.filling import Region
from marram.compile.memory.plan import Memory, MemoryPlan
from marram.core.errors import UserError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_MOST_MEMORIES = 8
_KEYWORDS = (
    "alignas alignof and asm auto bool break case catch char class const constexpr continue default delete do double else enum "
    "explicit export extern false float for friend goto if inline int long mutable namespace new noexcept not nullptr operator "
    "or private protected public register restrict return short signed sizeof static struct switch template this throw true "
    "try typedef typename typeof union unsigned using virtual void volatile while xor"
)


class OneArena(msgspec.Struct, frozen=True, kw_only=True):
    """One arena, as a pointer and its bytes."""

    prefix: str
    arena_bytes: int = 0

    parameters = "void *arena, size_t arena_bytes"
    arguments = "arena, arena_bytes"
    pointers = "(uint8_t *)arena"
    place = "void *arena"
    const_place = "const void *arena"
    checked = "const void *arena, size_t arena_bytes"

    def introduction(self) -> list[str]:
        """Lines of the header's first comment."""
        return _introduction(self.prefix, "a static arena", "an arena", "the static arena")

    def macros(self, align_bytes: int) -> list[str]:
        """Sizes, for the header."""
        upper = self.prefix.upper()
        return [f"#define {upper}_ARENA_BYTES {self.arena_bytes}u", f"#define {upper}_ARENA_ALIGN {align_bytes}u"]

    def types(self) -> list[str]:
        """Types of the header's own."""
        return []

    def at(self, address: Address, *, const: bool = False) -> str:
        """A place as an expression in a public function."""
        return f"({'const ' if const else ''}uint8_t *)arena + {address[1]}"

    def guard(self) -> str:
        """What the functions for places begin with."""
        return ""

    def missing(self) -> str:
        """The condition that memory was not given."""
        return "arena == NULL"

    def too_small(self) -> str:
        """The condition that too little of it was."""
        return f"arena_bytes < {self.prefix.upper()}_ARENA_BYTES"

    def misaligned(self) -> str:
        """The condition that it does not stand where it must."""
        return f"(uintptr_t)arena % {self.prefix.upper()}_ARENA_ALIGN != 0u"

    def static_text(self) -> str:
        """The definition of the static arena."""
        upper = self.prefix.upper()
        return f"MARRAM_ALIGNED({upper}_ARENA_ALIGN) static uint8_t {self.prefix}_arena[{upper}_ARENA_BYTES];"

    def static_arguments(self) -> str:
        """The static arena as arguments."""
        return f"{self.prefix}_arena, sizeof {self.prefix}_arena"

    def sections_text(self) -> list[str]:
        """What the source needs to put things into sections."""
        return []


class SeveralArenas(msgspec.Struct, frozen=True, kw_only=True):
    """An arena in each of several memories, in a struct whose fields have the memories' names."""

    prefix: str
    plan: MemoryPlan

    arguments = "arenas"

    @property
    def parameters(self) -> str:
        """Parameters of a function."""
        return f"const {self.prefix}_arenas *arenas"

    @property
    def checked(self) -> str:
        """Parameters of the function that checks them."""
        return self.parameters

    @property
    def place(self) -> str:
        """The parameter of the function for the inputs' places."""
        return self.parameters

    @property
    def const_place(self) -> str:
        """The same for the outputs."""
        return self.parameters

    @property
    def pointers(self) -> str:
        """The arenas as arguments of the layers' function."""
        return ", ".join(f"(uint8_t *)arenas->{memory.name}" for memory in self.plan.memories)

    def introduction(self) -> list[str]:
        """Lines of the header's first comment."""
        return [
            *_introduction(self.prefix, "static arenas", "arenas", "the static arenas"),
            " *",
            " * The linker script says which memory the sections named below go to. As they are, any script takes them: .bss.*",
            " * is cleared, and .data.*, constants that are read faster there, is copied from flash by every startup code.",
        ]

    def macros(self, align_bytes: int) -> list[str]:
        """Sizes and sections, for the header."""
        upper = self.prefix.upper()
        lines = [f"#define {upper}_ARENA_ALIGN {align_bytes}u"]
        lines += [f"#define {upper}_ARENA_{each.name.upper()}_BYTES {each.arena_bytes}u" for each in self.plan.memories]
        for memory in self.plan.memories:
            name, size = memory.name.upper(), memory.copied_bytes
            if size:
                lines.append(f"#define {upper}_COPIED_{name}_BYTES {size}u /* at most: constants in {memory.name} */")
        for memory in self.plan.memories:
            name = memory.name.upper()
            if memory.arena_bytes:
                lines += _overridable(f"{upper}_ARENA_{name}_SECTION", f".bss.{self.prefix}_{memory.name}")
            if memory.copied_bytes:
                lines += _overridable(f"{upper}_COPIED_{name}_SECTION", f".data.{self.prefix}_{memory.name}")
        return lines

    def types(self) -> list[str]:
        """The struct of the arenas."""
        upper = self.prefix.upper()
        return [
            "",
            f"/* Arenas, each at a multiple of {upper}_ARENA_ALIGN. One whose {upper}_ARENA_..._BYTES are 0 may be NULL. */",
            "typedef struct {",
            *(f"    void *{memory.name};\n    size_t {memory.name}_bytes;" for memory in self.plan.memories),
            f"}} {self.prefix}_arenas;",
        ]

    def at(self, address: Address, *, const: bool = False) -> str:
        """A place as an expression in a public function."""
        return f"({'const ' if const else ''}uint8_t *)arenas->{address[0].removeprefix('arena_')} + {address[1]}"

    def guard(self) -> str:
        """What the functions for places begin with."""
        return "    if (arenas == NULL) { return NULL; }\n"

    def missing(self) -> str:
        """The condition that memory was not given; nothing is needed of empty arenas."""
        return " || ".join(["arenas == NULL", *(f"arenas->{each.name} == NULL" for each in self._used())])

    def too_small(self) -> str:
        """The condition that too little of it was."""
        upper = self.prefix.upper()
        return " || ".join(f"arenas->{each.name}_bytes < {upper}_ARENA_{each.name.upper()}_BYTES" for each in self._used())

    def misaligned(self) -> str:
        """The condition that it does not stand where it must."""
        upper = self.prefix.upper()
        return " || ".join(f"(uintptr_t)arenas->{each.name} % {upper}_ARENA_ALIGN != 0u" for each in self._used())

    def static_text(self) -> str:
        """The definitions of the static arenas, each in its section."""
        upper, prefix = self.prefix.upper(), self.prefix
        lines = []
        for name in (memory.name for memory in self._used()):
            stated = f"{upper}_ARENA_{name.upper()}"
            lines.append(f"MARRAM_SECTION({stated}_SECTION) MARRAM_ALIGNED({upper}_ARENA_ALIGN)")
            lines.append(f"static uint8_t {prefix}_arena_{name}[{stated}_BYTES];")
        used = {memory.name for memory in self._used()}
        given = [
            f"{prefix}_arena_{memory.name}, sizeof {prefix}_arena_{memory.name}" if memory.name in used else "NULL, 0u"
            for memory in self.plan.memories
        ]
        lines.append(f"static const {prefix}_arenas {prefix}_static_arenas = {{{', '.join(given)}}};")
        return "\n".join(lines)

    def static_arguments(self) -> str:
        """The static arenas as an argument."""
        return f"&{self.prefix}_static_arenas"

    def sections_text(self) -> list[str]:
        """What the source needs to put things into sections."""
        lines = ["#if defined(__GNUC__) && defined(__ELF__)", "#define MARRAM_SECTION(name) __attribute__((section(name)))"]
        return ["\n".join([*lines, "#else", "#define MARRAM_SECTION(name)", "#endif"])]

    def _used(self) -> list[Memory]:
        return [memory for memory in self.plan.memories if memory.arena_bytes]


Arenas = OneArena | SeveralArenas


def arenas_of(prefix: str, plan: MemoryPlan) -> Arenas:
    """How the functions of a model with that plan take their memory."""
    return SeveralArenas(prefix=prefix, plan=plan) if plan.memories else OneArena(prefix=prefix, arena_bytes=plan.arena_bytes)


def copied_section(prefix: str, plan: MemoryPlan, task: str) -> str:
    """The macro with the section of a task's constants; empty where they stay in flash."""
    found = [plan.memories[copy.memory].name for copy in plan.copies if copy.task == task]
    return f"{prefix.upper()}_COPIED_{found[0].upper()}_SECTION" if found else ""


def check_regions(regions: Sequence[Region]) -> None:
    """Whether memories can be planned for, and named in C.

    Raises:
        UserError: a name that C cannot take or that comes twice, a size or a cost that makes no sense, or too many memories.
    """
    names = [region.name for region in regions]
    if len(names) > _MOST_MEMORIES:
        raise UserError(f"are {len(names)}, and {_MOST_MEMORIES} can be told apart", where="memories")
    for region in regions:
        where = f"memory {region.name}"
        if not _NAME.fullmatch(region.name) or region.name in _KEYWORDS.split() or region.name.endswith("_bytes"):
            hint = "Lower-case letters, digits and underscores, no word of C or C++, at most 31 of them; for instance dtcm."
            raise UserError(f"{region.name!r} cannot be the name of a field in C", where=where, hint=hint)
        if names.count(region.name) > 1:
            raise UserError("is named twice", where=where)
        if not 0 <= region.size_bytes < 1 << 32:
            raise UserError(f"cannot have {region.size_bytes} bytes", where=where)
        if not (math.isfinite(region.byte_cost) and region.byte_cost >= 0):
            raise UserError(f"cannot cost {region.byte_cost} cycles a byte", where=where)


def _introduction(prefix: str, static: str, given: str, left_out: str) -> list[str]:
    copies = f"{prefix}_invoke runs on what stands at {prefix}_input and leaves the answer at {prefix}_output: no copies. The"
    return [
        f" * {prefix}_run copies the inputs in, runs the model and copies the outputs out, in {static} of its own.",
        f" * {prefix}_run_in does the same in {given} of the caller's: re-entrant, as no other state is kept.",
        f" * {copies}",
        " * input's place is used for other things while the model runs: fill it anew before each call.",
        f" * Compile with {prefix.upper()}_NO_STATIC_ARENA to leave {left_out} and {prefix}_run out.",
    ]


def _overridable(macro: str, value: str) -> list[str]:
    return [f"#ifndef {macro}", f'#define {macro} "{value}"', "#endif"]
