"""Plans of the MLPerf Tiny models, where they are at hand: sound on tags, and within the budgets that are promised."""

from __future__ import annotations

import pytest
from tests.compile.memory.simulator import execute

from marram.compile.c import generation
from marram.compile.c.families import FAMILIES
from marram.compile.memory import plan_memory
from marram.model import load

# file, bytes that live together when whole, budget
MODELS = {
    "ad": ("ad01_int8.tflite", 768, 800),
    "kws": ("kws_ref_model.tflite", 16_000, 8_500),
    "vww": ("vww_96_int8.tflite", 55_296, 32_000),
    "ic": ("pretrainedResnet_quant.tflite", 49_152, 25_000),
}


@pytest.mark.shared_data
@pytest.mark.parametrize("model", MODELS)
def test_budgets_of_the_published_models(model, shared_data, monkeypatch):
    file, whole, budget = MODELS[model]
    path = shared_data and shared_data / "mlperf_tiny" / file
    if path is None or not path.is_file():
        return
    problems = []
    monkeypatch.setattr(generation, "plan_memory", lambda problem, **_: problems.append(problem) or plan_memory(problem))
    generation.generate(load(path), FAMILIES["dsp"])
    fastest = plan_memory(problems[0])
    assert fastest.lower_bound_bytes == whole
    assert model == "ad" or fastest.arena_bytes <= whole  # ad's fastest kernels widen their inputs in scratch
    small = plan_memory(problems[0], budget_bytes=budget)
    assert small.arena_bytes <= budget
    assert small.extra_instructions <= 0.15
    assert plan_memory(problems[0], budget_bytes=whole).arena_bytes <= whole
    for plan in (fastest, small, plan_memory(problems[0], budget_bytes=1)):
        execute(problems[0], plan)
