"""The small net, compiled once for a core, and a folder in which the plugin is compiled once."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compile.toolchain.nets import generated_for

from marram.compile.toolchain.cross import compile_for, link_harness


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    return compile_for(generated_for("cortex-m4"), "cortex-m4", tmp_path_factory.mktemp("m4"))


@pytest.fixture(scope="session")
def harness(compiled):
    return link_harness(compiled)


@pytest.fixture(scope="session")
def plugins(tmp_path_factory):
    return tmp_path_factory.mktemp("plugins")


@pytest.fixture(scope="session")
def vectors(compiled):
    (tensor,) = compiled.generated.graph.input_tensors
    return np.random.default_rng(0).integers(-128, 128, (5, *tensor.shape[1:])).astype(np.int8)
