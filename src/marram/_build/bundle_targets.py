"""Which of a contract's targets a bundle was made for."""

from __future__ import annotations

from pathlib import Path

from marram.core.contract import Contract
from marram.core.errors import IntegrityError
from marram.core.manifest import Bundle

WITHOUT = ".without-"
"""Between a target's name and a decision's number in the name of a bundle that was made without that decision."""


def target_of(contract: Contract, bundle: Bundle, path: Path) -> str:
    """The target's name: the file's, less what a reverted decision added to it; else the first of the bundle's device.

    Raises:
        IntegrityError: the contract has no target for the bundle's device.
    """
    for name in (path.stem, path.stem.rpartition(WITHOUT)[0]):
        if name in contract.targets:
            return name
    fitting = [name for name, section in contract.targets.items() if section.device == bundle.program.target]
    if not fitting:
        raise IntegrityError("the sealed contract has no target for this device", where=bundle.program.target)
    return fitting[0]
