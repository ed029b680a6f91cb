"""Whose signature counts when a command is given no keys: the one of the project that holds the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from marram._build.project import CONTRACT_NAME, Project
from marram.bundle import PublicKey, public_key
from marram.core.errors import UserError


def trusted_keys(bundle: Path, trust: Sequence[str | Path]) -> tuple[PublicKey, ...]:
    """The keys in the given files, or the own key of the project in whose ``dist`` the bundle lies.

    A key that merely lies beside a bundle is not trusted: whoever could change the one could change the other.

    Raises:
        UserError: no key was given and the bundle lies in no project.
    """
    if trust:
        return tuple(public_key(path) for path in trust)
    project = project_of(bundle)
    if project is None or not project.public_key.is_file():
        raise UserError(
            "no key is trusted for this bundle", where=str(bundle), hint="Name one: --trust signing.pub, from whoever made it."
        )
    return (public_key(project.public_key),)


def project_of(bundle: Path) -> Project | None:
    """The project whose ``dist`` folder holds a bundle, if there is one."""
    folder = bundle.resolve().parent.parent
    contract = folder / CONTRACT_NAME
    return Project(folder=folder, contract_path=contract) if contract.is_file() else None
