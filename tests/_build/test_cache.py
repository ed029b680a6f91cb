"""The cache of stages: made once, made again when damaged or when anything that enters changes, equal whether fresh or kept."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from marram._build.cache import Cache, Plan
from marram.core.codec import encode


class Value(msgspec.Struct, frozen=True, kw_only=True):
    number: float


def make() -> Value:
    return Value(number=1)  # a whole number in a field of reals, as counting gives


def test_a_value_is_made_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def counted() -> Value:
        calls.append(1)
        return make()

    for _ in range(3):
        Cache(tmp_path).stage("s", 1, "in", Value, counted)
    assert len(calls) == 1


def test_fresh_and_kept_values_encode_alike(tmp_path: Path) -> None:
    fresh = Cache(tmp_path).stage("s", 1, "in", Value, make)
    kept = Cache(tmp_path).stage("s", 1, "in", Value, make)
    assert encode(fresh) == encode(kept)


@pytest.mark.parametrize(("name", "version", "inputs"), [("t", 1, "in"), ("s", 2, "in"), ("s", 1, "other")])
def test_whatever_enters_makes_another_value(tmp_path: Path, name: str, version: int, inputs: str) -> None:
    cache = Cache(tmp_path)
    cache.stage("s", 1, "in", Value, make)
    cache.stage(name, version, inputs, Value, make)
    assert [record.cached for record in cache.records] == [False, False]


def test_a_damaged_value_is_made_again(tmp_path: Path) -> None:
    Cache(tmp_path).stage("s", 1, "in", Value, make)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    for damaged in (b"", path.read_bytes()[:-1], path.read_bytes()[:-1] + b"\xff"):
        path.write_bytes(damaged)
        cache = Cache(tmp_path)
        assert cache.stage("s", 1, "in", Value, make) == make()
        assert not cache.records[0].cached


def test_a_value_of_another_versions_type_is_made_again(tmp_path: Path) -> None:
    class Older(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        number: float
        gone: int = 0

    class Newer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        number: float

    Cache(tmp_path).stage("s", 1, "in", Older, lambda: Older(number=1.0, gone=7))
    cache = Cache(tmp_path)
    assert cache.known(("s", 1, "in"), Newer) is None
    assert cache.stage("s", 1, "in", Newer, lambda: Newer(number=2.0)).number == 2.0
    assert not cache.records[0].cached


def test_a_dry_run_stops_at_the_first_stage_that_would_run(tmp_path: Path) -> None:
    Cache(tmp_path).stage("s", 1, "in", Value, make)
    dry = Cache(tmp_path, dry=True)
    dry.stage("s", 1, "in", Value, make)
    with pytest.raises(Plan):
        dry.stage("s", 2, "in", Value, make)
    assert [record.cached for record in dry.records] == [True, False]


def test_a_stage_of_many_values_says_whether_it_worked(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.one_by_one("many", "in", left=2):
        cache.keep(("many", 0), make())
    with cache.one_by_one("many", "in", left=0):
        pass
    first, second = cache.records
    assert (first.cached, second.cached) == (False, True)
    assert first.key == second.key
    assert second.seconds == 0.0


def test_a_dry_run_ends_at_a_stage_with_values_left_to_make(tmp_path: Path) -> None:
    cache = Cache(tmp_path, dry=True)
    with cache.one_by_one("all there", "in", left=0):
        pass
    with pytest.raises(Plan, match="some left"), cache.one_by_one("some left", "in", left=1):
        pytest.fail("it worked in a dry run")
    assert [record.cached for record in cache.records] == [True, False]
