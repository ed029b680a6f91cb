"""The engine of Ray: a real one on this machine, and addresses where none answers."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from marram.core.errors import MissingExtra, UserError
from marram.search import ray
from marram.search.engines import cluster

# A process of its own: Ray leaves threads and handlers behind.
JOB = """
import json, os, pathlib, subprocess, sys
from marram.core.errors import DataError
from marram.search import ray
from tests.search.engines import trials

GUEST = '''
import sys
from marram.search import ray
from marram.search.engines import cluster
from tests.search.engines import trials
cluster._CONNECTION_LIMIT_S = 60  # on a machine that is busy with other tests
with ray(sys.argv[1]) as engine:
    print(engine.map(trials.square, range(4)))
'''

folder = pathlib.Path(sys.argv[1])
found, arrived = {}, {}
with ray(workers=2) as engine:
    import ray as library
    found["address"] = address = library.get_runtime_context().gcs_address
    found["squares"] = engine.map(trials.square, range(5), arrived=arrived.__setitem__)
    found["arrived"] = arrived
    places = engine.map(trials.where, range(3))
    found["threads"] = sorted({threads for _, threads in places})
    found["elsewhere"] = os.getpid() not in {place for place, _ in places}
    results = engine.map(trials.Doomed(folder=folder, always=True), range(4))
    found["others"] = results[:1] + results[2:]
    found["failed"] = results[1].reason
    found["deaths"] = (folder / "died").read_text()
    try:
        engine.map(trials.refuse, [0, 1, 2, 3])
    except DataError as error:
        found["refused"] = [error.what, error.where, error.hint]
    guest = subprocess.run([sys.executable, "-W", "error", "-c", GUEST, address], capture_output=True, text=True)
    found["guest"] = [guest.stdout, guest.stderr]
print(json.dumps(found))
"""


def test_a_local_ray_gives_what_the_other_engines_give(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", JOB, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert run.stderr == ""
    found = json.loads(run.stdout)  # and Ray printed nothing there
    assert found["squares"] == [0, 1, 4, 9, 16]
    assert found["arrived"] == {str(value): value**2 for value in range(5)}
    assert found["threads"] == ["1"]
    assert found["elsewhere"]
    assert found["others"] == [0, 20, 30]
    assert "tried 2 times" in found["failed"]
    assert found["deaths"] == "xx"
    assert found["refused"] == ["item 1 is odd", "trials.py", "Use even ones."]
    assert found["guest"] == ["[0, 1, 4, 9]\n", ""]


def test_a_closed_port_is_told_soon_with_the_address_and_what_to_do() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(UserError, match="no Ray cluster can be reached: ConnectionRefusedError") as caught:
            ray(address)
    assert caught.value.where == f"address {address}"
    assert "ray start --head" in str(caught.value)
    assert time.monotonic() - started < 15


def test_a_port_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_CONNECTION_LIMIT_S", 4.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(UserError, match="no Ray cluster can be reached"):
            ray(f"127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.parametrize("address", ["nonsense", "ray://nowhere.invalid:10001", "host:port"])
def test_addresses_that_are_none_are_told(address: str) -> None:
    with pytest.raises(UserError, match="no Ray cluster can be reached") as caught:
        ray(address)
    assert address in str(caught.value)


def test_ray_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match="pip install 'marram\\[ray\\]'"):
        ray()
