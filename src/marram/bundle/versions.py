"""Versions of bundles: whole numbers joined by dots, compared number by number."""

from __future__ import annotations

import re

from marram.core.errors import UserError

_FORM = re.compile(r"(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){0,3}")


def version_order(version: str) -> tuple[int, ...]:
    """Numbers by which versions are ordered; ``1.2`` and ``1.2.0`` are equal.

    Raises:
        UserError: ``version`` is not of that form.
    """
    if not _FORM.fullmatch(version):
        raise UserError(f"{version!r} is not a version", hint="A version is up to four whole numbers, for instance 1.4.0.")
    numbers = tuple(int(part) for part in version.split("."))
    return numbers + (0,) * (4 - len(numbers))
