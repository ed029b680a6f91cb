"""Where the keys of a TOML text stand: dotted path to line number, for error messages. The values come from ``tomllib``."""

from __future__ import annotations

import re

_TABLE = re.compile(r"^\s*\[\[?\s*(?P<path>[^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""^\s*(?P<path>(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_STRING = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\])*"|\'[^\']*\'')


def key_lines(text: str) -> dict[str, int]:
    """Line (from 1) of every table header and key, by dotted path, as in ``{"targets.phone.device": 27}``.

    Keys inside inline tables are not listed; they stand on the line of the key that holds the table. ``text`` is
    taken to be valid TOML.
    """
    lines: dict[str, int] = {}
    table: tuple[str, ...] = ()
    open_quote: str | None = None
    depth = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if open_quote is None and depth == 0:
            if header := _TABLE.match(line):
                table = _parts(header["path"])
                lines.setdefault(".".join(table), number)
                continue
            if key := _KEY.match(line):
                lines.setdefault(".".join(table + _parts(key["path"])), number)
        open_quote, depth = _scan(line, open_quote, depth)
    return lines


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(path))


def _scan(line: str, open_quote: str | None, depth: int) -> tuple[str | None, int]:
    """State after a line: the multi-line quote that is open, and how many brackets are."""
    rest = line
    if open_quote is not None:
        _, found, rest = rest.partition(open_quote)
        if not found:
            return open_quote, depth
    while rest:
        string = _STRING.search(rest)
        plain = rest[: string.start()] if string else rest
        plain, comment, _ = plain.partition("#")
        depth += sum(plain.count(c) for c in "[{") - sum(plain.count(c) for c in "]}")
        if comment or string is None:
            return None, depth
        rest = rest[string.end() :]
        if string[0] in {'"""', "'''"}:
            _, found, rest = rest.partition(string[0])
            if not found:
                return string[0], depth
    return None, depth
