"""C source as a folder that builds in an ecosystem: one module for each, ``exported`` chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from marram.compile.c.archive import Sources
from marram.compile.export.arduino import arduino
from marram.compile.export.cmake import cmake
from marram.compile.export.platformio import platformio
from marram.compile.export.zephyr import zephyr
from marram.core.errors import UserError
from marram.core.target import Target

__all__ = ["exported"]

_WRITERS: dict[str, Callable[[Sources, Target, Mapping[str, str]], dict[str, str]]] = {
    "cmake": cmake,
    "arduino": arduino,
    "platformio": platformio,
    "zephyr": zephyr,
}


def exported(sources: Sources, target: Target, ecosystem: str, *, self_test: Mapping[str, str]) -> dict[str, str]:
    """The folder's files, by path.

    Args:
        sources: the model.
        target: the device that it was made for.
        ecosystem: ``cmake``, ``arduino``, ``platformio`` or ``zephyr``.
        self_test: header and source of the golden vectors, as ``compile.c.self_test`` makes them.

    Raises:
        UserError: there is no such ecosystem.
    """
    if ecosystem not in _WRITERS:
        raise UserError(f"there is no ecosystem {ecosystem!r}", where="--for", hint=f"Known: {', '.join(_WRITERS)}.")
    return _WRITERS[ecosystem](sources, target, self_test)
