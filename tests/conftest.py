"""Fixtures that every room's tests may use."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# A busy machine must not fail a law; what fails is printed so that it can be run again.
hypothesis.settings.register_profile("marram", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("marram")

# Before numpy is imported anywhere: OpenBLAS's threads spin against each other when tests run in several processes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shared-data", default="../shared/data", help="folder with the benchmark data, if there is one")


@pytest.fixture(scope="session")
def shared_data(request: pytest.FixtureRequest) -> Path | None:
    """The folder of benchmark data, or None on a machine without it."""
    folder = Path(request.config.getoption("--shared-data"))
    if not folder.is_absolute():
        folder = request.config.rootpath / folder
    return folder if folder.is_dir() else None
