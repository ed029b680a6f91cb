"""What a linker would take of object files: archive members by undefined names, then the sections that can be reached.

It follows GNU ld with ``--gc-sections`` and the template ``firmware/runtime/image.ld.in``, so that sizes are known before
anything is linked, and a fault of either side shows as a difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from marram.compile.toolchain.elf import Elf, Section, Symbol

KEPT = ".vectors"
_DISCARDED = (".ARM.exidx", ".ARM.extab", ".comment", ".note", ".eh_frame")


class Linkage(msgspec.Struct, frozen=True, kw_only=True):
    """The files in link order, where each global name is defined (file, symbol), and which sections of each file are live."""

    files: tuple[Elf, ...]
    names: dict[str, tuple[int, Symbol]]
    live: tuple[frozenset[int], ...]

    def target(self, file: int, symbol: int) -> tuple[int, Symbol] | None:
        """The definition that a reference to symbol number ``symbol`` of a file ends at; None where nothing defines it."""
        found = self.files[file].symbols[symbol]
        if found.section and (found.local or found.name not in self.names):
            return file, found
        return self.names.get(found.name)

    def sections(self, file: int) -> list[tuple[int, Section]]:
        """The live sections of a file that take memory, in their order, with their indices."""
        return [
            (index, section)
            for index, section in enumerate(self.files[file].sections)
            if index in self.live[file] and section.allocated and not section.name.startswith(_DISCARDED)
        ]


def linked(objects: Sequence[Elf], archive: Sequence[Elf], *, entry: str) -> Linkage:
    """The linkage of objects in their order, with those members of an archive that they need."""
    files = list(objects)
    names: dict[str, tuple[int, Symbol]] = {}
    for index, file in enumerate(files):
        _define(names, index, file)
    left = list(archive)
    changed = True
    while changed:
        changed = False
        for member in list(left):
            wanted = _undefined(files, names)
            if any(one.name in wanted for one in member.symbols if one.section and not one.local):
                left.remove(member)
                files.append(member)
                _define(names, len(files) - 1, member)
                changed = True
    draft = Linkage(files=tuple(files), names=names, live=tuple(frozenset() for _ in files))
    return msgspec.structs.replace(draft, live=_reached(draft, entry))


def _define(names: dict[str, tuple[int, Symbol]], index: int, file: Elf) -> None:
    for one in file.symbols:
        if one.section and not one.local and one.name and (one.name not in names or (names[one.name][1].weak and not one.weak)):
            names[one.name] = (index, one)


def _undefined(files: Sequence[Elf], names: dict[str, tuple[int, Symbol]]) -> set[str]:
    return {
        one.name
        for file in files
        for one in file.symbols
        if not one.section and one.name and not one.weak and one.name not in names
    }


def _reached(draft: Linkage, entry: str) -> tuple[frozenset[int], ...]:
    references: dict[tuple[int, int], list[int]] = {}
    for index, file in enumerate(draft.files):
        for one in file.relocations:
            references.setdefault((index, one.section), []).append(one.symbol)
    waiting = [
        (index, place)
        for index, file in enumerate(draft.files)
        for place, section in enumerate(file.sections)
        if section.name == KEPT
    ]
    if entry in draft.names:
        waiting.append((draft.names[entry][0], draft.names[entry][1].section))
    seen: set[tuple[int, int]] = set()
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        for symbol in references.get(here, ()):
            found = draft.target(here[0], symbol)
            if found is not None:
                waiting.append((found[0], found[1].section))
    return tuple(frozenset(place for file, place in seen if file == index) for index in range(len(draft.files)))
