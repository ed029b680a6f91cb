"""A file with a Recipe: JSON, or TOML with ``[[decisions]]``; both as ``marram explain`` and ``diff`` read and write them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from marram.core.codec import to_json
from marram.core.errors import UserError
from marram.core.recipe import Decision, Recipe

SUFFIXES = (".json", ".toml")
_MAX_BYTES = 1 << 20
_HINT = 'A recipe has decisions in their order, as in {"decisions": [{"decision": "fold"}, {"decision": "quantise"}]}.'


class Given(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a recipe file holds: decisions, and the digest of the float Graph that they begin with.

    ``base`` is None for the contract's model, else that of a model which a search trained and a project keeps in its cache.
    """

    decisions: tuple[Decision, ...]
    base: str | None = None

    @property
    def recipe(self) -> Recipe:
        """The decisions alone."""
        return Recipe(decisions=self.decisions)


def read(path: Path) -> Recipe:
    """The recipe in a file; errors as ``read_given``."""
    return read_given(path).recipe


def read_given(path: Path) -> Given:
    """The recipe in a file, and what it begins with.

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


def parse(text: str, *, form: str, where: str) -> Given:
    """The recipe in a text of the form ``.json`` or ``.toml``; ``where`` names it in errors.

    Raises:
        UserError: it holds no recipe.
    """
    try:
        if form == ".json":
            return msgspec.json.decode(text, type=Given)
        return msgspec.convert(tomllib.loads(text), Given)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"holds no recipe: {error}", where=where, hint=_HINT) from error


def written(recipe: Recipe, *, base: str | None = None) -> str:
    """The recipe as JSON, which ``read`` reads again; ``base`` as in ``Given``."""
    given = Given(decisions=recipe.decisions, base=base)
    return to_json(given if base is not None else recipe).decode() + "\n"
