"""Variables: what a search may choose, each from few values in order."""

from __future__ import annotations

import msgspec

Value = int | float | str
"""What a variable may be."""


class Variable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing to choose. ``choices`` are distinct and in order, for samplers that make use of it."""

    name: str
    choices: tuple[Value, ...]
