"""Kernel family ``armv7m``: the operators that it makes better than ``portable``."""

from __future__ import annotations

from marram.compile.c.place import Maker

MAKERS: dict[type, Maker] = {}
