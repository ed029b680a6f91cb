"""An upper bound on the stack of a function: frames as the compiler states them, along the deepest path of calls.

Interrupts are not in it: a core stacks 32 bytes for each that can nest, 104 where its floating-point state is saved as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from marram.compile.toolchain.elf import ADDRESSES, CALL, JUMP, JUMP_SHORT, Symbol
from marram.compile.toolchain.linkage import Linkage
from marram.compile.toolchain.thumb import pushed_bytes
from marram.core.errors import InternalError, UserError

_CLONE = re.compile(r"(\.(constprop|isra|part|cold|lto_priv)(\.\d+)?)+$")


class StackBound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes, and the functions on the deepest path with the bytes that each adds."""

    size_bytes: int
    path: tuple[tuple[str, int], ...]


def read_stack_usage(text: str) -> dict[str, int]:
    """Frames in bytes by function from a ``.su`` file of ``gcc -fstack-usage``; clones of a function stand for their largest.

    Raises:
        UserError: a frame whose size is only known when it runs.
    """
    frames: dict[str, int] = {}
    for line in text.splitlines():
        place, size, kind = line.split("\t")
        name = _CLONE.sub("", place.rsplit(":", 1)[1])
        if kind.startswith("dynamic") and "bounded" not in kind:
            raise UserError("its stack frame has no fixed size", where=name)
        frames[name] = max(frames.get(name, 0), int(size))
    return frames


def stack_bound(linkage: Linkage, function: str, frames: Mapping[str, int]) -> StackBound:
    """The bound for one function and all that it calls.

    Args:
        linkage: the files that the image is made of.
        function: where to begin.
        frames: bytes by function, from ``read_stack_usage``. What has no row there (assembly, the compiler's library) is
            measured from its push instructions.

    Raises:
        UserError: functions call each other in a circle, or a pointer that nothing is known of.
        InternalError: the function is not there.
    """
    if function not in linkage.names:
        raise InternalError(f"there is no function {function} to take the stack of")
    file, symbol = linkage.names[function]
    return _Walk(linkage, frames).bound(file, symbol, ())


class _Walk:
    def __init__(self, linkage: Linkage, frames: Mapping[str, int]) -> None:
        self._linkage, self._frames = linkage, frames
        self._known: dict[tuple[int, int, int], StackBound] = {}

    def bound(self, file: int, symbol: Symbol, trail: tuple[str, ...]) -> StackBound:
        """The bound of one function, kept for the next caller."""
        key = (file, symbol.section, symbol.value)
        if key not in self._known:
            if symbol.name in trail:
                raise UserError(
                    f"functions call each other in a circle: {' -> '.join((*trail, symbol.name))}", where=symbol.name
                )
            self._known[key] = self._fresh(file, symbol, (*trail, symbol.name))
        return self._known[key]

    def _fresh(self, file: int, symbol: Symbol, trail: tuple[str, ...]) -> StackBound:
        elf = self._linkage.files[file]
        stated = self._frames.get(_CLONE.sub("", symbol.name))
        pushed, indirect = pushed_bytes(elf, symbol, whole_section=stated is None)
        own = max(stated or 0, pushed)
        best = StackBound(size_bytes=own, path=((symbol.name, own),))
        for kind, target in self._calls(file, symbol, indirect=indirect):
            below = self.bound(*target, trail)
            # A jump to another function leaves after the frame was given back; to its own cold part, before.
            base = own if kind == CALL else 0
            if base + below.size_bytes > best.size_bytes:
                head = ((symbol.name, base),) if base else ()
                best = StackBound(size_bytes=base + below.size_bytes, path=(*head, *below.path))
        return best

    def _calls(self, file: int, symbol: Symbol, *, indirect: bool) -> list[tuple[int, tuple[int, Symbol]]]:
        """What a function calls or jumps to, each once. Its cold part states the same frame and goes on in it."""
        found: dict[tuple[int, int, int, int], tuple[int, Symbol]] = {}
        for one in self._linkage.files[file].relocations:
            if one.section != symbol.section or not symbol.value <= one.offset < symbol.value + max(symbol.size, 1):
                continue
            target = self._linkage.target(file, one.symbol) if one.kind in {CALL, JUMP, JUMP_SHORT} else None
            if target is not None:
                target = self._function(target)
                found[one.kind, target[0], target[1].section, target[1].value] = target
        if indirect:
            pointed = self._pointed(file)
            if not pointed:
                raise UserError("it calls through a pointer to somewhere unknown, so its stack has no bound", where=symbol.name)
            found |= {(CALL, target[0], target[1].section, target[1].value): target for target in pointed}
        return [
            (key[0], target)
            for key, target in found.items()
            if key[0] == CALL or (key[1:] != (file, symbol.section, symbol.value) and not _returns_into(symbol, target[1]))
        ]

    def _pointed(self, file: int) -> list[tuple[int, Symbol]]:
        """The functions of a file whose address its live parts take: what a call through a pointer can end at."""
        found = {}
        for one in self._linkage.files[file].relocations:
            target = self._linkage.target(file, one.symbol) if one.kind in ADDRESSES else None
            if target is not None and one.section in self._linkage.live[file] and self._function(target)[1].function:
                target = self._function(target)
                found[target[0], target[1].section, target[1].value] = target
        return list(found.values())

    def _function(self, target: tuple[int, Symbol]) -> tuple[int, Symbol]:
        """A section's own symbol stands for the function that begins it."""
        file, symbol = target
        if symbol.name:
            return target
        found = [one for one in self._linkage.files[file].functions() if one.section == symbol.section]
        return (file, found[0]) if found else target


def _returns_into(symbol: Symbol, target: Symbol) -> bool:
    """Whether a cold part jumps back into the function that it belongs to."""
    return ".cold" in symbol.name and _CLONE.sub("", symbol.name) == _CLONE.sub("", target.name)
