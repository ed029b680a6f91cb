"""Every engine gives the same results, in order, and the same errors; what dies is tried again once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.search.engines import trials

from marram.core.errors import DataError, InternalError, MissingExtra, UserError
from marram.search import Engine, Failed, processes, serial

ENGINES: dict[str, Callable[[], Engine]] = {
    "serial": serial,
    "one process": lambda: processes(1),
    "three processes": lambda: processes(3),
}


@pytest.fixture(params=ENGINES, scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with ENGINES[request.param]() as made:
        yield made


@pytest.fixture(scope="module")
def workers() -> Iterator[Engine]:
    with processes(2) as made:
        yield made


def test_results_are_in_the_order_of_the_items(engine: Engine) -> None:
    assert engine.map(trials.square, range(7)) == [0, 1, 4, 9, 16, 25, 36]
    assert engine.map(trials.slow_first, range(4)) == [0, 1, 2, 3]
    assert engine.map(trials.square, []) == []


def test_functions_may_hold_arrays(engine: Engine) -> None:
    function = trials.Shifted(weights=np.arange(1000.0))
    assert engine.map(function, [1, 2]) == [499501.0, 499502.0]


def test_each_result_is_told_as_it_arrives(workers: Engine) -> None:
    told: list[tuple[int, object]] = []
    parts: list[float] = []
    workers.map(
        trials.slow_first,
        range(3),
        arrived=lambda index, result: told.append((index, result)),
        progress=lambda what, part: parts.append(part),
    )
    assert sorted(told) == [(0, 0), (1, 1), (2, 2)]
    assert told[-1] == (0, 0), "the slow item arrives last"
    assert parts == sorted(parts)
    assert parts[-1] == 1.0


def test_workers_are_other_processes_with_one_thread_and_stay(workers: Engine) -> None:
    seen = [place for _ in range(2) for place in workers.map(trials.where, range(4))]
    assert {threads for _, threads in seen} == {"1"}
    assert os.getpid() not in {place[0] for place in seen}
    assert len({place[0] for place in seen}) <= 2


def test_the_error_of_the_earliest_item_is_raised_whole(engine: Engine) -> None:
    with pytest.raises(DataError) as caught:
        engine.map(trials.refuse, [0, 1, 2, 3, 5, 7])
    assert (caught.value.what, caught.value.where, caught.value.hint) == ("item 1 is odd", "trials.py", "Use even ones.")
    assert engine.map(trials.square, [3]) == [9], "the engine works on after an error"


def test_errors_keep_their_own_attributes(engine: Engine) -> None:
    with pytest.raises(MissingExtra) as caught:
        engine.map(trials.missing, [0])
    assert (caught.value.package, caught.value.extra) == ("optuna", "build")
    assert "marram[build]" in str(caught.value)


def test_a_bug_shows_its_place_in_the_worker(workers: Engine) -> None:
    with pytest.raises(KeyError) as caught:
        workers.map(trials.bug, [0])
    assert caught.value.args == ("nothing",)
    assert 'return {}["nothing"]' in "".join(caught.value.__notes__)


def test_results_that_cannot_be_sent_are_a_bug_of_the_function(workers: Engine) -> None:
    with pytest.raises(InternalError, match="cannot be sent back"):
        workers.map(trials.give_lambda, [0])


def test_what_cannot_be_sent_is_refused(workers: Engine) -> None:
    with pytest.raises(UserError, match="cannot be sent to a worker"):
        workers.map(lambda value: value, [0])
    with pytest.raises(UserError, match="cannot be sent to a worker"):
        workers.map(trials.square, [lambda: 1])


def test_what_a_trial_prints_does_not_disturb(workers: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    assert workers.map(trials.noisy, [1, 2]) == [1, 2]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("how", ["kill", "exit", "memory"])
def test_an_item_whose_worker_dies_once_is_tried_again(workers: Engine, tmp_path: Path, how: str) -> None:
    function = trials.Doomed(folder=tmp_path, always=False, how=how)
    assert workers.map(function, range(4)) == [0, 10, 20, 30]
    assert (tmp_path / "died").read_text() == "x"


@pytest.mark.parametrize(
    ("how", "reason"),
    [("kill", "was killed"), ("exit", "exit code 3: a last word"), ("memory", "out of memory: no room for the tensor")],
)
def test_an_item_whose_worker_dies_twice_has_failed_and_the_others_go_on(
    workers: Engine, tmp_path: Path, how: str, reason: str
) -> None:
    arrived: dict[int, object] = {}
    function = trials.Doomed(folder=tmp_path, always=True, how=how)
    results = workers.map(function, range(5), arrived=arrived.__setitem__)
    failed = results[1]
    assert isinstance(failed, Failed)
    assert reason in failed.reason
    assert results[:1] + results[2:] == [0, 20, 30, 40]
    assert arrived == dict(enumerate(results))
    assert (tmp_path / "died").read_text() == "xx"


def test_failure_by_memory_is_the_same_in_every_engine(engine: Engine, tmp_path: Path) -> None:
    results = engine.map(trials.Doomed(folder=tmp_path, always=True, how="memory"), range(3))
    assert results == [0, Failed(reason="out of memory: no room for the tensor; tried 2 times"), 20]


def test_workers_must_be_some() -> None:
    with pytest.raises(UserError, match="0 workers"):
        processes(0)


INTERRUPTED = """
import sys, pathlib
from marram.search import processes
from tests.search.engines import trials
if __name__ == "__main__":
    with processes(2) as engine:
        engine.map(trials.Marked(folder=pathlib.Path(sys.argv[1])), range(4))
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_when_the_caller_is_stopped_all_workers_and_their_children_end_at_once(tmp_path: Path, how: signal.Signals) -> None:
    caller = subprocess.Popen([sys.executable, "-c", INTERRUPTED, str(tmp_path)], stderr=subprocess.PIPE)
    try:
        wait_until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
        started = time.monotonic()
        caller.send_signal(how)
        _, words = caller.communicate(timeout=10)
    finally:
        caller.kill()
    assert how == signal.SIGKILL or b"KeyboardInterrupt" in words
    ids = [int(word) for path in tmp_path.glob("*.pid") for word in path.read_text().split()]
    assert len(ids) == 4, "two items were at work, each with a child"
    wait_until(lambda: not any(map(runs, ids)))
    assert time.monotonic() - started < 5


def runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], *, limit_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
