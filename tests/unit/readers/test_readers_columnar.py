"""Parquet, Arrow and saved datasets: their values as JSON has them, or their row is named."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop.errors import DataError
from tuneloop.readers import BadRow, RawRow, read_rows


def read(path: Path) -> list[RawRow | BadRow]:
    return list(read_rows(path, max_row_bytes=1_000_000))


def values(table: pa.Table, folder: Path) -> list[Any]:
    """The rows of a table, all of them good."""
    pq.write_table(table, folder / "rows.parquet")
    rows = read(folder / "rows.parquet")
    assert all(isinstance(row, RawRow) for row in rows), rows
    return [row.value for row in rows if isinstance(row, RawRow)]


def faults(table: pa.Table, folder: Path) -> dict[int, tuple[str, str]]:
    pq.write_table(table, folder / "rows.parquet")
    rows = read(folder / "rows.parquet")
    return {row.line: (row.reason, row.detail) for row in rows if isinstance(row, BadRow)}


def test_dates_numbers_and_nested_values_are_plain_json(tmp_path: Path) -> None:
    berlin = dt.timezone(dt.timedelta(hours=1))
    answer = {
        "due": dt.date(2026, 1, 31),
        "at": dt.datetime(2026, 1, 31, 9, 30, tzinfo=berlin),
        "opens": dt.time(9, 30),
        "takes": dt.timedelta(seconds=90),
        "amount": Decimal("10.50"),
        "count": Decimal("12"),
        "lines": [{"price": Decimal("0.1")}, None],
        "note": b"text all the same",
        "left": None,
    }
    row = {"prompt": "a", "completion": answer, "split": "x"}
    table = pa.Table.from_pylist([row])
    table = table.set_column(2, "split", table["split"].dictionary_encode())
    extra = pa.array([[("key", 1)]], pa.map_(pa.string(), pa.int64()))
    (value,) = values(table.append_column("map", extra).append_column("no", pa.nulls(1)), tmp_path)
    assert value == {
        "prompt": "a",
        "completion": {
            "due": "2026-01-31",
            "at": "2026-01-31T09:30:00+01:00",
            "opens": "09:30:00",
            "takes": 90,
            "amount": 10.5,
            "count": 12,
            "lines": [{"price": 0.1}, None],
            "note": "text all the same",
            "left": None,
        },
        "split": "x",
        "map": {"key": 1},
        "no": None,
    }
    json.dumps(value, allow_nan=False)


def test_nan_is_absent_as_a_column_and_no_number_inside_of_one(tmp_path: Path) -> None:
    table = pa.table(
        {
            "score": [math.nan, 1.0, 2.0],
            "completion": [{"amount": 1.0}, {"amount": math.nan}, {"amount": -math.inf}],
        }
    )
    assert faults(table, tmp_path) == {
        2: ("not_a_number", "completion.amount is nan, which JSON has not"),
        3: ("not_a_number", "completion.amount is -inf, which JSON has not"),
    }
    first = read(tmp_path / "rows.parquet")[0]
    assert isinstance(first, RawRow) and first.value["score"] is None


def test_pandas_times_that_are_not_known_are_absent(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"prompt": ["a", "b"], "at": [pd.Timestamp("2026-01-31 09:30"), pd.NaT]}, index=[7, 9]
    )
    frame.to_parquet(tmp_path / "rows.parquet")
    assert [row.value for row in read(tmp_path / "rows.parquet") if isinstance(row, RawRow)] == [
        {"prompt": "a", "at": "2026-01-31T09:30:00"},
        {"prompt": "b", "at": None},
    ]


def test_what_json_cannot_hold_costs_its_row_only(tmp_path: Path) -> None:
    digits = Decimal("12345678901234567890.12")
    table = pa.table(
        {
            "image": [b"\xff\xd8", b"ok", None, b"ok"],
            "amount": pa.array([Decimal(1), digits, Decimal(2), None], pa.decimal128(30, 2)),
            "map": pa.array([[], [], [("a", 1), ("a", 2)], None], pa.map_(pa.string(), pa.int8())),
        }
    )
    found = faults(table, tmp_path)
    assert {line: reason for line, (reason, _) in found.items()} == {
        1: "binary_value",
        2: "not_json",
        3: "not_json",
    }
    assert "image holds 2 bytes" in found[1][1] and str(digits) in found[2][1]
    assert len(read(tmp_path / "rows.parquet")) == 4


def test_class_labels_are_read_by_their_name(tmp_path: Path) -> None:
    datasets: Any = pytest.importorskip("datasets")
    label = datasets.ClassLabel(names=["refund", "delivery"])
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": label,
            "all": datasets.Sequence(label),
            "spans": [{"kind": label, "at": datasets.Value("int32")}],
        }
    )
    rows = [
        {"text": "a", "label": 1, "all": [0, 1], "spans": [{"kind": 0, "at": 3}]},
        {"text": "b", "label": -1, "all": [], "spans": []},
    ]
    dataset = datasets.Dataset.from_list(rows, features=features)
    dataset.to_parquet(str(tmp_path / "rows.parquet"))
    dataset.save_to_disk(tmp_path / "saved")
    for path in (tmp_path / "rows.parquet", tmp_path / "saved", *tmp_path.glob("saved/*.arrow")):
        assert [row.value for row in read(path) if isinstance(row, RawRow)] == [
            {
                "text": "a",
                "label": "delivery",
                "all": ["refund", "delivery"],
                "spans": [{"kind": "refund", "at": 3}],
            },
            {"text": "b", "label": None, "all": [], "spans": []},
        ]


def test_a_label_without_a_name_costs_its_row(tmp_path: Path) -> None:
    features = {"label": {"names": ["a", "b"], "_type": "ClassLabel"}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    table = pa.table({"label": [0, 7]}).replace_schema_metadata(metadata)
    assert faults(table, tmp_path)[2][0] == "unknown_label"


def test_arrow_and_feather_files_are_read(tmp_path: Path) -> None:
    table = pa.table({"prompt": ["a"], "completion": ["b"]})
    for name in ("rows.arrow", "rows.feather"):
        with (
            pa.OSFile(str(tmp_path / name), "wb") as file,
            pa.ipc.new_file(file, table.schema) as to,
        ):
            to.write_table(table)
        assert [row.value for row in read(tmp_path / name) if isinstance(row, RawRow)] == [
            {"prompt": "a", "completion": "b"}
        ]
    (tmp_path / "rows.arrow").write_bytes(b"no arrow")
    with pytest.raises(DataError, match="not a readable Arrow file"):
        read(tmp_path / "rows.arrow")


def test_a_column_that_stands_twice_is_told(tmp_path: Path) -> None:
    table = pa.table([pa.array(["a"]), pa.array(["b"])], names=["prompt", "prompt"])
    with pytest.raises(DataError, match="column 'prompt' stands twice"):
        faults(table, tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.integers(-(2**40), 2**40),
    lambda inner: st.fixed_dictionaries({"a": st.lists(inner, max_size=1)}),
    max_leaves=3,
)


@given(
    st.lists(st.fixed_dictionaries({"x": st.text(max_size=5), "y": JSON}), min_size=1, max_size=4)
)
@settings(max_examples=60, deadline=None)
def test_what_arrow_can_write_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    try:
        table = pa.Table.from_pylist(rows)
    except pa.ArrowException:  # two types in one column
        return
    assert values(table, tmp_path_factory.mktemp("pq")) == table.to_pylist()
