"""Studies: the same whatever the engine, replayed after a kill, better than chance, exhaustive where they can be."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.search import problems

from marram.core.codec import decode, encode
from marram.core.errors import IntegrityError, UserError
from marram.search.engines import processes, serial
from marram.search.front import hypervolume, pareto_front
from marram.search.known import Kept
from marram.search.study import size, study
from marram.search.trials import Objective, Outcome, Study, Value, Variable

KNAPSACK = problems.line(4, 4)


def searched(variables: Any = KNAPSACK, evaluate: Any = problems.weighed, **changes: Any) -> Study:
    settings: dict[str, Any] = {"population": 8, "generations": 4, "seed": 1, "objectives": problems.TWO} | changes
    with settings.pop("engine", None) or serial() as engine:
        return study(variables, evaluate, engine=engine, **settings)


def frozen(values: Mapping[str, Value]) -> tuple[Value, ...]:
    return tuple(values.values())


class Dictionary(dict[str, Outcome]):
    """Outcomes in memory; stops the caller after so many."""

    stop_after = 10**9

    def put(self, key: str, outcome: Outcome) -> None:
        self[key] = outcome
        if len(self) >= self.stop_after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random"])
def test_equal_arguments_give_equal_studies_and_seeds_differ(sampler: str) -> None:
    first, again, other = (searched(sampler=sampler, seed=seed, generations=3, population=6) for seed in (3, 3, 4))
    assert encode(first) == encode(again)
    assert [trial.values for trial in first.trials] != [trial.values for trial in other.trials]


def test_workers_change_nothing() -> None:
    alone = searched()
    for workers in (1, 3):
        assert encode(searched(engine=processes(workers))) == encode(alone)


def test_a_study_is_a_noun() -> None:
    made = searched()
    assert decode(encode(made), Study) == made


def test_no_values_are_tried_twice_and_generations_are_full() -> None:
    made = searched(generations=10)
    assert len({frozen(trial.values) for trial in made.trials}) == len(made.trials) == 80
    assert [trial.generation for trial in made.trials] == [number // 8 for number in range(80)]
    assert [trial.number for trial in made.trials] == list(range(80))


@pytest.mark.parametrize("sampler", ["nsga2", "random"])
def test_a_small_space_is_tried_whole_and_then_the_study_ends(sampler: str) -> None:
    made = searched(problems.line(3, 4), generations=100, sampler=sampler)
    everything = set(itertools.product(range(4), repeat=3))
    assert {frozen(trial.values) for trial in made.trials} == everything
    assert len(made.trials) == size(problems.line(3, 4)) == 64
    feasible = [trial for trial in made.trials if trial.objectives[0] <= 10]
    best = {feasible[index].objectives for index in pareto_front([trial.objectives for trial in feasible])}
    assert {trial.objectives for trial in made.best} == best


def test_the_front_is_feasible_and_not_dominated() -> None:
    made = searched()
    assert made.best
    assert all(trial.objectives[0] <= 10 for trial in made.best)
    for trial in made.trials:
        if trial.feasible:
            assert any(all(a <= b for a, b in zip(best.objectives, trial.objectives, strict=True)) for best in made.best)


def test_what_is_to_become_large_becomes_large() -> None:
    goals = (Objective(name="cost", direction="maximise"), Objective(name="missed"))
    made = searched(problems.line(3, 4), objectives=goals, generations=100)
    assert max(trial.objectives[0] for trial in made.best) == 10


def test_values_are_the_choices_themselves() -> None:
    variables = (
        Variable(name="size", choices=(4, 2, 8)),
        Variable(name="rate", choices=(0.5, 1.0)),
        Variable(name="kind", choices=("wide", "deep")),
        Variable(name="only", choices=(7,)),
    )
    for sampler in ("nsga2", "tpe", "random"):
        made = searched(variables, problems.mixed, generations=3, population=4, sampler=sampler)
        assert len(made.trials) == 12
        assert {trial.values["only"] for trial in made.trials} == {7}
        for trial in made.trials:
            assert all(trial.values[variable.name] in variable.choices for variable in variables)
            assert [type(value) for value in trial.values.values()] == [int, float, str, int]


def test_where_to_start_comes_first() -> None:
    start = [{f"x{index}": level for index in range(4)} for level in (3, 0, 3)]
    made = searched(start=start)
    assert [frozen(trial.values) for trial in made.trials[:2]] == [(3, 3, 3, 3), (0, 0, 0, 0)]
    assert len(made.trials) == 32


@pytest.mark.parametrize("seed", range(3))
def test_generations_beat_chance(seed: int) -> None:
    variables, evaluate = problems.line(10, 16), problems.Zdt1(levels=16)
    volumes = {}
    for sampler in ("nsga2", "random"):
        made = searched(variables, evaluate, population=16, generations=12, seed=seed, sampler=sampler)
        volumes[sampler] = hypervolume([trial.objectives for trial in made.best], (1.0, 10.0))
        assert len(made.trials) == 192
    assert volumes["nsga2"] > volumes["random"]


def test_later_generations_learn_from_whole_earlier_ones() -> None:
    made = searched(problems.line(10, 16), problems.Zdt1(levels=16), population=16, generations=12)
    far = np.array([trial.figures["far"] for trial in made.trials]).reshape(12, 16).mean(axis=1)
    assert far[-3:].mean() < far[:1].mean() - 1.0


def test_a_study_that_was_stopped_goes_on_as_if_it_had_not_been() -> None:
    whole, known = searched(), Dictionary()
    known.stop_after = 13
    with pytest.raises(KeyboardInterrupt):
        searched(known=known)
    assert len(known) == 13
    known.stop_after = 10**9
    evaluated: list[Mapping[str, Value]] = []

    def counted(values: Mapping[str, Value]) -> Outcome:
        evaluated.append(values)
        return problems.weighed(values)

    again = searched(evaluate=counted, known=known)
    assert encode(again) == encode(whole)
    assert len(evaluated) == len(whole.trials) - 13


KILLED = """
import sys
from pathlib import Path
from marram.core.durable import write_atomically
from marram.search.engines import processes
from marram.search.known import Kept
from marram.search.study import study
from tests.search import problems

class Files:
    def __init__(self, folder):
        self.folder = Path(folder)
    def get(self, key):
        path = self.folder / key.removeprefix("sha256:")
        return path.read_bytes() if path.exists() else None
    def put(self, key, value):
        write_atomically(self.folder / key.removeprefix("sha256:"), value)

folder = Path(sys.argv[1])
with processes(2) as engine:
    made = study(problems.line(4, 4), problems.Noted(file=folder / "count", seconds=0.08), objectives=problems.TWO,
                 population=8, generations=4, seed=1, engine=engine, known=Kept(Files(folder / "kept"), scope="test"))
print(len(made.trials), made.front)
"""


def test_a_killed_process_loses_the_running_trials_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    first = subprocess.Popen(command)
    deadline_s = time.monotonic() + 30
    while len(list((tmp_path / "kept").iterdir())) < 10:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    first.kill()
    first.wait()
    second = subprocess.run(command, capture_output=True, text=True, check=True)
    whole = searched()
    assert second.stdout.split(" ", 1) == [str(len(whole.trials)), f"{whole.front}\n"]
    assert len((tmp_path / "count").read_text()) <= len(whole.trials) + 4, "two that ran, and two that had just ended"


def test_what_is_known_again_is_what_was_new() -> None:
    kept: dict[str, bytes] = {}

    class Memory:
        get = staticmethod(kept.get)
        put = staticmethod(kept.__setitem__)

    first, again = (searched(evaluate=whole_numbers, known=Kept(Memory(), scope="one")) for _ in range(2))
    assert len(kept) == 32
    assert encode(first) == encode(again)


def whole_numbers(values: Mapping[str, Value]) -> Outcome:
    return Outcome(objectives=(int(values["x0"]), np.float64(values["x1"])), figures={"x": np.float32(0.5)})


def test_what_was_kept_for_another_evaluation_is_not_known() -> None:
    kept: dict[str, bytes] = {}

    class Memory:
        get = staticmethod(kept.get)
        put = staticmethod(kept.__setitem__)

    outcome = Outcome(objectives=(1.0,), figures={"a": 2.0})
    Kept(Memory(), scope="one").put("key", outcome)
    assert Kept(Memory(), scope="one").get("key") == outcome
    assert Kept(Memory(), scope="two").get("key") is None
    kept.update(dict.fromkeys(kept, b"damaged"))
    with pytest.raises(IntegrityError):
        Kept(Memory(), scope="one").get("key")


def test_what_dies_or_gives_no_number_has_failed_and_the_study_goes_on() -> None:
    made = searched(evaluate=problems.Dying(), engine=processes(2), population=6, generations=3)
    assert len(made.trials) == 18
    for trial in made.trials:
        status = "failed" if 3 in {trial.values["x0"], trial.values["x1"]} else "evaluated"
        assert trial.status == status
        if trial.values["x0"] == 3:
            assert "killed" in str(trial.reason)
        elif trial.values["x1"] == 3:
            assert trial.reason == "cost is nan"
    assert not set(made.front) & {trial.number for trial in made.trials if trial.status == "failed"}
    assert {trial.generation for trial in made.trials} == {0, 1, 2}


def test_what_the_screening_rejects_is_recorded_and_not_evaluated() -> None:
    evaluated: list[Mapping[str, Value]] = []

    def counted(values: Mapping[str, Value]) -> Outcome:
        evaluated.append(values)
        return problems.weighed(values)

    made = searched(evaluate=counted, screen=lambda values: problems.weighed(values).violations, generations=3)
    rejected = [trial for trial in made.trials if trial.status == "rejected"]
    assert rejected
    assert all(problems.weighed(trial.values).violations["cost"] > 0 for trial in rejected)
    assert all("over the limit: cost by" in str(trial.reason) for trial in rejected)
    assert len(evaluated) == 24, "rejected values take no evaluation's place"
    assert all(problems.weighed(values).violations["cost"] <= 0 for values in evaluated)


def only_corner(values: Mapping[str, Value]) -> dict[str, float]:
    """Of a million choices, those few where nearly all are small."""
    return {"sum": sum(int(value) for value in values.values()) / 8 - 1}


def test_violations_lead_to_the_few_values_within_the_limits() -> None:
    variables = problems.line(10, 16)
    found = {}
    for sampler in ("nsga2", "random"):
        made = searched(variables, problems.Zdt1(levels=16), screen=only_corner, generations=12, population=8, sampler=sampler)
        found[sampler] = sum(trial.status == "evaluated" for trial in made.trials)
    assert found["random"] == 0
    assert found["nsga2"] > 10


def test_where_nothing_is_within_the_limits_all_is_rejected() -> None:
    made = searched(problems.line(3, 4), screen=lambda _values: {"flash": 0.25}, generations=100)
    assert len(made.trials) == 64
    assert {trial.status for trial in made.trials} == {"rejected"}
    assert made.front == ()


def test_the_progress_tells_the_rest() -> None:
    now = itertools.count(0.0, 10.0)
    told: list[tuple[str, float]] = []
    searched(progress=lambda what, part: told.append((what, part)), clock_s=lambda: next(now))
    parts = [part for _, part in told]
    assert parts == sorted(parts)
    assert parts[-1] == 1.0
    assert "search: generation 1, 1 of 32 trials, about 5 min left" in {what for what, _ in told}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"variables": ()}, "at least one variable"),
        ({"variables": (*KNAPSACK, KNAPSACK[0])}, "one name"),
        ({"variables": (Variable(name="x", choices=()),)}, "variable x"),
        ({"variables": (Variable(name="x", choices=(1, 1)),)}, "variable x"),
        ({"objectives": ()}, "at least one objective"),
        ({"population": 1}, "generations of 1"),
        ({"start": [{"x0": 1}]}, "cannot start"),
        ({"start": [{f"x{index}": 9 for index in range(4)}]}, "cannot start"),
        ({"objectives": problems.TWO[:1]}, "2 objectives, and the study has 1"),
    ],
)
def test_unsound_studies_are_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        searched(**changes)


def test_one_objective_is_enough() -> None:
    made = searched(problems.line(3, 4), cost_alone, objectives=problems.TWO[:1], generations=8)
    assert [trial.objectives for trial in made.best] == [(0.0,)]


def cost_alone(values: Mapping[str, Value]) -> Outcome:
    return Outcome(objectives=problems.weighed(values).objectives[:1])
