"""CSV and Parquet tables of recordings, alone and in folders."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.making import pack, write

from marram.core.contract import ImuInput
from marram.core.errors import DataError
from marram.data.readers import tables

SECTION = ImuInput(channels=("ax", "ay"), rate_hz=10.0, window_s=1.0)


def columns(count=60, label="walk", group="ann", seed=0):
    rng = np.random.default_rng(seed)
    return {
        "time": [0.1 * step for step in range(count)],
        "ay": rng.normal(size=count).round(4).tolist(),
        "ax": rng.normal(size=count).round(4).tolist(),
        "label": [label] * count,
        "person": [group] * count,
    }


def joined(*parts):
    return {name: [value for part in parts for value in part[name]] for name in parts[0]}


def csv(table) -> bytes:
    rows = [",".join(table)] + [",".join(str(value) for value in row) for row in zip(*table.values(), strict=True)]
    return "\n".join(rows).encode()


def parquet(table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(table), stream)
    return stream.getvalue()


TABLE = joined(columns(60, "walk", "ann"), columns(30, "run", "ann", 1), columns(45, "run", "bob", 2))


def read(path, **options):
    return tables.read(path, section=options.pop("section", SECTION), group=options.pop("group", "person"), **options)


def test_csv_and_parquet_give_the_same(tmp_path):
    write(tmp_path, {"t.csv": csv(TABLE), "t.parquet": parquet(TABLE)})
    a, b = read(tmp_path / "t.csv"), read(tmp_path / "t.parquet")
    assert a.digest == b.digest
    assert a.labels == ("run", "walk")
    assert a.groups == ("ann",) * 9 + ("bob",) * 4
    ((x, y),) = a.batches(100)
    assert y.tolist() == [1] * 6 + [0] * 7
    np.testing.assert_allclose(x[1, :, 0], TABLE["ax"][10:20], rtol=1e-6)


def test_a_change_of_label_or_person_ends_a_recording(tmp_path):
    write(tmp_path, {"t.csv": csv(TABLE)})
    dataset = read(tmp_path / "t.csv")
    assert "rows 61 to 90" in dataset.name(6)
    assert len(dataset) == 6 + 3 + 4


def test_folders_and_archives_of_tables(tmp_path):
    plain = {name: value for name, value in columns().items() if name in {"ax", "ay"}}
    other = {name: value for name, value in columns(seed=4).items() if name in {"ax", "ay"}}
    files = {"walk/1.csv": csv(plain), "run/1.csv": csv(other)}
    dataset = read(write(tmp_path / "f", files))
    assert dataset.labels == ("run", "walk")
    assert dataset.digest == read(pack(tmp_path / "f.zip", files)).digest
    named = read(write(tmp_path / "g", {"walk_ann.csv": csv(plain), "run_bob.csv": csv(other)}), pattern="{label}_{person}.csv")
    assert named.labels == ("run", "walk")
    assert set(named.groups) == {"ann", "bob"}


def test_labels_stay_as_they_are_written(tmp_path):
    parts = [columns(20, label, "ann", number) for number, label in enumerate(("01", "true", "NA"))]
    write(tmp_path, {"t.csv": csv(joined(*parts)), "one.csv": csv(columns(20, "007", "3"))})
    assert read(tmp_path / "t.csv").labels == ("01", "NA", "true")
    assert read(tmp_path / "one.csv").labels == ("007",)


def changed(**values):
    table = {name: list(column) for name, column in TABLE.items()}
    for name, (row, value) in values.items():
        table[name][row] = value
    return table


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a readable table"),
        (b"ax,ay\n1,2\n3\n", "not a readable table"),
        (b"ax,ay,label\n", "no rows"),
        (b"ax,ax,ay\n1,2,3\n", "same name"),
        (b"acc_x,ay\n1,2\n3,4\n", "has no column 'ax'"),
        (csv(changed(ax=(4, "broken"))), "row 5 has 'broken'"),
        (csv(changed(ay=(7, ""))), "row 8"),
        (csv(changed(ay=(7, "nan"))), "row 8"),
        (csv(changed(ax=(8, "inf"))), "inf in row 9"),
        (csv(changed(label=(3, ""))), "column 'label' has 1 empty cells; the first is in row 4"),
        (csv(changed(person=(5, ""))), "column 'person' has 1 empty cells; the first is in row 6"),
    ],
)
def test_bad_tables_are_refused_with_the_place(tmp_path, data, message):
    write(tmp_path, {"t.csv": data})
    with pytest.raises(DataError, match=message):
        read(tmp_path / "t.csv")


def test_damaged_parquet_gives_an_error_or_a_dataset(tmp_path):
    whole = parquet(TABLE)
    rng = np.random.default_rng(0)
    path = tmp_path / "t.parquet"
    for number in range(120):
        raw = bytearray(whole)
        for at in rng.integers(0, len(raw), 3):
            raw[at] ^= 1 << rng.integers(0, 8)
        path.write_bytes(raw if number % 2 else raw[: rng.integers(0, len(raw))])
        try:
            dataset = read(path)
        except DataError:
            continue
        assert len(dataset) > 0
