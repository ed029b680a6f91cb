"""An upper bound on the stack of a function: frames as the compiler states them, along the deepest path of calls.

Interrupts are not in it: a core stacks 32 bytes for each that can nest, 104 where its floating-point state is saved as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from marram.compile.toolchain.elf import CALL, JUMP, JUMP_SHORT, Elf, Symbol
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
        UserError: functions call each other in a circle, or through pointers.
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
                raise UserError(f"functions call each other in a circle: {' -> '.join((*trail, symbol.name))}", where=symbol.name)
            self._known[key] = self._fresh(file, symbol, (*trail, symbol.name))
        return self._known[key]

    def _fresh(self, file: int, symbol: Symbol, trail: tuple[str, ...]) -> StackBound:
        elf = self._linkage.files[file]
        own = self._own(elf, symbol)
        best = StackBound(size_bytes=own, path=((symbol.name, own),))
        for one in elf.relocations:
            inside = one.section == symbol.section and symbol.value <= one.offset < symbol.value + max(symbol.size, 1)
            target = self._linkage.target(file, one.symbol) if inside and one.kind in {CALL, JUMP, JUMP_SHORT} else None
            if target is None or (target[0] == file and target[1].section == symbol.section and target[1].value == symbol.value):
                continue
            below = self.bound(*self._function(target), trail)
            # A jump to another function leaves after the frame was given back; to its own cold part, before.
            split = target[1].name.endswith(".cold") or _CLONE.sub("", target[1].name) == _CLONE.sub("", symbol.name)
            base = own if one.kind == CALL else 0
            if split and one.kind != CALL:
                below = msgspec.structs.replace(below, path=below.path[1:])
            if base + below.size_bytes > best.size_bytes:
                head = ((symbol.name, base),) if base else ()
                best = StackBound(size_bytes=base + below.size_bytes, path=(*head, *below.path))
        return best

    def _function(self, target: tuple[int, Symbol]) -> tuple[int, Symbol]:
        """A section's own symbol stands for the function that begins it."""
        file, symbol = target
        if symbol.name:
            return target
        found = [one for one in self._linkage.files[file].functions() if one.section == symbol.section]
        return (file, found[0]) if found else target

    def _own(self, elf: Elf, symbol: Symbol) -> int:
        stated = self._frames.get(_CLONE.sub("", symbol.name))
        pushed = pushed_bytes(elf, symbol, whole_section=stated is None)
        return max(stated or 0, pushed)
