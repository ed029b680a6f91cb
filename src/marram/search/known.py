"""What is known before a study begins: outcomes of earlier runs, so that a study that was killed goes on where it stopped."""

from __future__ import annotations

from typing import Protocol

from marram.core.codec import decode, digest, encode
from marram.core.ports import Store
from marram.search.trials import Outcome, Values


class Known(Protocol):
    """Outcomes of earlier runs, by key. Whoever gives it sees to it that they are of the same evaluation."""

    def get(self, key: str) -> Outcome | None:
        """The outcome that is kept, or None."""

    def put(self, key: str, outcome: Outcome) -> None:
        """Keep an outcome, durably and whole or not at all."""


class Forgetful:
    """Knows nothing and keeps nothing."""

    def get(self, key: str) -> Outcome | None:  # noqa: ARG002 - as Known has it
        """None."""
        return None

    def put(self, key: str, outcome: Outcome) -> None:
        """Keep nothing."""


def key_of(values: Values) -> str:
    """The key that a study's outcome is kept by."""
    return digest(dict(values))


class Kept:
    """Outcomes in a store of bytes.

    Args:
        store: keeps them.
        scope: digest of all that an outcome depends on but the values: the evaluation, its data, the version of its code.
    """

    def __init__(self, store: Store, *, scope: str) -> None:
        self._store, self._scope = store, scope

    def get(self, key: str) -> Outcome | None:
        """The outcome that is kept, or None. Raises IntegrityError if it is damaged."""
        found = self._store.get(digest((self._scope, key)))
        return None if found is None else decode(found, Outcome)

    def put(self, key: str, outcome: Outcome) -> None:
        """Keep an outcome."""
        self._store.put(digest((self._scope, key)), encode(outcome))
