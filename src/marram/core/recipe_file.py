"""A file with a Recipe: JSON, or TOML with ``[[decisions]]``; both as ``marram explain`` and ``diff`` read and write them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from marram.core.codec import to_json
from marram.core.errors import UserError
from marram.core.recipe import Recipe

SUFFIXES = (".json", ".toml")
_MAX_BYTES = 1 << 20
_HINT = 'A recipe has decisions in their order, as in {"decisions": [{"decision": "fold"}, {"decision": "quantise"}]}.'


def read(path: Path) -> Recipe:
    """The recipe in a file.

    Raises:
        UserError: there is no such file, or it holds no recipe; names the decision and the field at fault.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"is no recipe file: its name ends in none of {', '.join(SUFFIXES)}", where=str(path))
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(f"is larger than {_MAX_BYTES} bytes, so it is no recipe", where=str(path))
        return parse(path.read_text(encoding="utf-8"), form=path.suffix, where=str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise UserError(f"cannot be read: {reason or error}", where=str(path)) from error


def parse(text: str, *, form: str, where: str) -> Recipe:
    """The recipe in a text of the form ``.json`` or ``.toml``; ``where`` names it in errors.

    Raises:
        UserError: it holds no recipe.
    """
    try:
        if form == ".json":
            return msgspec.json.decode(text, type=Recipe)
        return msgspec.convert(tomllib.loads(text), Recipe)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"holds no recipe: {error}", where=where, hint=_HINT) from error


def written(recipe: Recipe) -> str:
    """The recipe as JSON, which ``read`` reads again."""
    return to_json(recipe).decode() + "\n"
