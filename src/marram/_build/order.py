"""What every stage of one build shares."""

from __future__ import annotations

import msgspec

from marram._build.cache import Cache
from marram._build.project import Project
from marram.core.contract import Contract
from marram.core.ports import Progress
from marram.search.engines import Engine, serial


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One build: the contract and its text, the project, the cache of stages, what runs trials, and whom to tell."""

    contract: Contract
    text: str
    project: Project
    cache: Cache
    progress: Progress
    engine: Engine = msgspec.field(default_factory=serial)
