"""Reads the statements of a routine: which kernel they call, with which numbers. What the C says is what the core does."""

from __future__ import annotations

import re

from marram.core.errors import InternalError

_FIELD = re.compile(r"\.(\w+) = (-?\d+)")
_TRIPS = re.compile(r"for \(int (\w+) = 0; \1 < (\d+); \1\+\+\)")
_WHOLE = re.compile(r"int row_begin = (\d+), row_end = (\d+);")
_NUMBER = re.compile(r"-?\d+")


def arguments(text: str, function: str) -> list[str]:
    """The arguments of the first call of a function, or of the first initialiser after that text, as C has them."""
    start = text.find(f"{function}(")
    if start < 0:
        raise InternalError(f"{function} is not called here: {text[:200]}")
    return split(text[start + len(function) + 1 :])


def split(text: str) -> list[str]:
    """What stands between commas up to the bracket that closes the one before the text."""
    found, depth, begin = [], 0, 0
    for index, letter in enumerate(text):
        if letter in "({[":
            depth += 1
        elif letter in ")}]":
            depth -= 1
            if depth < 0:
                found.append(text[begin:index].strip())
                return found
        elif letter == "," and depth == 0:
            found.append(text[begin:index].strip())
            begin = index + 1
    raise InternalError(f"a bracket is not closed: {text[:200]}")


def initialiser(text: str, name: str) -> list[str]:
    """The values of ``static const <type> <name> = {...}``; inner braces stay together."""
    mark = f" {name} = {{"
    start = text.find(mark)
    if start < 0:
        raise InternalError(f"{name} is not defined here: {text[:200]}")
    return split(text[start + len(mark) :])


def fields(text: str) -> dict[str, int]:
    """The named fields of initialisers; of one name the first."""
    found: dict[str, int] = {}
    for name, value in _FIELD.findall(text):
        found.setdefault(name, int(value))
    return found


def trips(text: str) -> list[int]:
    """How often each counted loop turns, outermost first."""
    return [int(count) for _, count in _TRIPS.findall(text)]


def number(text: str) -> int:
    """An argument that is a number."""
    return int(text.rstrip("u"))


def numbers(text: str) -> list[int]:
    """All numbers in a text."""
    return [int(each) for each in _NUMBER.findall(text)]


def whole_rows(text: str) -> tuple[int, int] | None:
    """The rows that a routine sets for itself, if it does."""
    found = _WHOLE.search(text)
    return (int(found[1]), int(found[2])) if found else None
