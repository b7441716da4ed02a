"""Contracts checked: counts by every path are those of plain Python, and findings say why."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col

RULES: dict[str, Any] = {
    "x is there": col("x").is_not_null(),
    "n is there": col("n").is_not_null(),
    "k is there": col("k").is_not_null(),
    "positive": col("x") > 0,
    "positive or missing": (col("x") > 0) | col("x").is_null(),
    "between": col("n").is_between(0, 5),
    "known": col("k").is_in(["a", "b"]),
    "pattern": col("k").str.contains("^[ab]?$"),
    "short": col("k").str.len_chars() <= 1,
    "across": col("x") <= col("n"),
    "unique": col("n").count(by="n") == 1,
    "most unique": ff.Rule(col("n").count(by="n") == 1, at_most=0.5),
    "few missing": col("x").is_null().mean() < 0.25,
    "all different": col("n").n_unique() == col("n").count(),
}


def _by_hand(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Return the rows that break each rule, by Python."""

    def x(row: dict[str, Any]) -> Any:
        return None if row["x"] is None or math.isnan(row["x"]) else row["x"]

    numbers = [row["n"] for row in rows if row["n"] is not None]
    alone = [row["n"] is not None and numbers.count(row["n"]) == 1 for row in rows]
    holds = {
        "x is there": [x(r) is not None for r in rows],
        "n is there": [r["n"] is not None for r in rows],
        "k is there": [r["k"] is not None for r in rows],
        "positive": [x(r) is not None and x(r) > 0 for r in rows],
        "positive or missing": [x(r) is None or x(r) > 0 for r in rows],
        "between": [r["n"] is not None and 0 <= r["n"] <= 5 for r in rows],
        "known": [r["k"] in ("a", "b") for r in rows],
        "pattern": [r["k"] in ("a", "b", "") for r in rows],
        "short": [r["k"] is not None and len(r["k"]) <= 1 for r in rows],
        "across": [x(r) is not None and r["n"] is not None and x(r) <= r["n"] for r in rows],
        "unique": alone,
        "most unique": alone,
    }
    counts = {name: len(rows) - sum(found) for name, found in holds.items()}
    missing = sum(x(r) is None for r in rows)
    counts["few missing"] = int(not missing / len(rows) < 0.25)
    return counts | {"all different": int(len(set(numbers)) != len(numbers))}


_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "x": st.none() | st.sampled_from([-math.inf, -1.0, -0.0, 0.5, 3.0, math.nan, math.inf]),
            "n": st.none() | st.integers(-1, 7),
            "k": st.none() | st.sampled_from(["a", "b", "c", "", "ab", "ä"]),
        }
    ),
    min_size=1,
    max_size=12,
)
_SCHEMA = pa.schema([("x", pa.float64()), ("n", pa.int64()), ("k", pa.string())])


@settings(deadline=None)
@given(_ROWS, st.integers(1, 4))
def test_counts_are_those_of_python_by_every_path(rows: list[dict[str, Any]], size: int) -> None:
    table = pa.Table.from_pylist(rows, _SCHEMA)
    contract = ff.Contract(RULES)
    expected = _by_hand(rows)
    report = contract.check(table)
    assert report.counts == expected
    assert report["most unique"].outcome == (
        "holds" if expected["most unique"] / len(rows) <= 0.5 else "broken"
    )
    chunked = pa.Table.from_batches(table.to_batches(max_chunksize=size))
    assert contract.check(chunked).counts == expected
    for name in ("positive", "unique"):
        assert len(report.rows(name)) == expected[name]


@settings(deadline=None, max_examples=5)
@given(_ROWS, st.integers(1, 4))
def test_counts_in_passes_and_by_the_reference_are_the_same(
    rows: list[dict[str, Any]], size: int
) -> None:
    table = pa.Table.from_pylist(rows, _SCHEMA)
    contract, expected = ff.Contract(RULES), _by_hand(rows)

    def batches() -> list[pa.RecordBatch]:
        return table.to_batches(max_chunksize=size)

    in_passes = contract.check(batches, memory="64GiB")
    assert in_passes.counts == contract.check(table, backend="reference").counts == expected
    assert in_passes.rows("known", 2).equals(contract.check(table).rows("known", 2))
    assert in_passes.rows("unique")["row"].equals(contract.check(table).rows("unique")["row"])


def test_rows_of_a_rule_are_numbered_with_the_columns_that_it_reads() -> None:
    data = {"row": [5, 6, 7], "x": [1, 2, 3], "other": [0, 0, 0]}
    report = ff.Contract({"sum": col("row") + col("x") < 8}).check(data)
    assert report.rows("sum").to_pydict() == {"row_": [1, 2], "row": [6, 7], "x": [2, 3]}
    assert report.rows("sum", 1).num_rows == 1
    assert str(report["sum"]) == (
        "FAIL sum: (col('row') + col('x')) is below 8; 2 of 3 rows break it"
    )
    with pytest.raises(ff.errors.InvalidPlan, match=r"no rule 'summ'\. Did you mean 'sum'"):
        report.rows("summ")


def test_windows_in_rules_see_the_past() -> None:
    week = ff.window(by="k", time="t")
    contract = ff.Contract(
        {
            "in order": (col("v") >= col("v").lag(1, over=week))
            | col("v").lag(1, over=week).is_null()
        }
    )
    data = {"k": [*"abab"], "t": [1, 1, 2, 2], "v": [5, 5, 4, 6]}
    assert contract.check(data).counts == {"in order": 1}
    assert contract.check(data, memory="64GiB").counts == {"in order": 1}
    earlier = {"k": ["b"], "t": [0], "v": [9]}
    assert contract.check(data, history=earlier).rows("in order")["row"].to_pylist() == [1, 2]


def test_tables_in_rules_are_looked_up_in() -> None:
    seats = ff.lookup("planes", by="tail").col("seats")
    contract = ff.Contract({"seats": col("sold") <= seats})
    planes = pa.table({"tail": ["a", "b"], "seats": [2, 4]})
    data = {"tail": ["a", "b", "c"], "sold": [3, 4, 0]}
    assert contract.check(data, tables={"planes": planes}).rows("seats")["row"].to_pylist() == [
        0,
        2,
    ]
    with pytest.raises(ff.errors.UnknownColumn, match="planes"):
        contract.check(data)


def test_the_time_of_a_check_is_passed() -> None:
    fresh = col("now") - col("t").max() <= dt.timedelta(days=1)
    contract = ff.Contract({"fresh": fresh, "past": col("t") <= col("now")}, clock="now")
    data = {"t": [dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 3)]}
    assert contract.check(data, clock=dt.datetime(2024, 1, 3, 12)).ok
    report = contract.check(data, clock=dt.datetime(2024, 1, 2))
    assert report.counts == {"fresh": 0, "past": 1}
    assert contract.check(data, clock=dt.datetime(2024, 1, 9)).counts == {"fresh": 1, "past": 0}
    with pytest.raises(ff.errors.InvalidPlan, match="reads the time of the check"):
        contract.check(data)
    with pytest.raises(ff.errors.InvalidPlan, match="Rename one of them"):
        contract.check({**data, "now": [1, 2]}, clock=dt.datetime(2024, 1, 2))
    with pytest.raises(ff.errors.InvalidPlan, match="the contract names no clock"):
        ff.Contract({"x": col("x") > 0}).check({"x": [1]}, clock=1)


@pytest.mark.parametrize(
    ("wanted", "values", "outcome"),
    [
        ("int64", pa.array([1, 2], pa.int16()), "holds"),
        ("int16", pa.array([1, 2], pa.int64()), "broken"),
        ("int64", pa.array([1.0, None]), "holds"),
        ("int64", pa.array([1.5, None]), "broken"),
        ("float64", pa.array([1, 2]), "holds"),
        ("float64", pa.array(["1", "2"]), "broken"),
        ("utf8", pa.array(["a", "b"]).dictionary_encode(), "holds"),
        ("utf8", pa.array([None, None]), "holds"),
        ("timestamp[us]", pa.array([1, 2], pa.timestamp("us", "UTC")), "broken"),
        ("int64", pa.array([{"a": 1}, {"a": 2}]), "broken"),
    ],
)
def test_types_are_those_that_values_can_be_had_in(
    wanted: str, values: pa.Array, outcome: str
) -> None:
    report = ff.Contract({}, types={"x": wanted}).check(pa.table({"x": values}))
    assert report.results[0].outcome == outcome
    assert report.ok == (outcome == "holds")


def test_rules_that_cannot_be_decided_are_findings() -> None:
    contract = ff.Contract(
        {
            "absent": col("z") > 0,
            "other type": col("k") > 0,
            "not text": col("raw").str.contains("a"),
            "too large": col("n") * col("n") > 0,
            "good": col("n") > 0,
            "infinite": col("x").mean() < 1,
        }
    )
    data = pa.table(
        {
            "k": ["a", "b"],
            "raw": pa.array([b"\xff", b"a"]),
            "n": [1 << 40, 2],
            "x": [math.inf, -math.inf],
        }
    )
    report = contract.check(data)
    assert {r.name: r.outcome for r in report.results} == {
        "absent": "undecided",
        "other type": "undecided",
        "not text": "broken",
        "too large": "undecided",
        "good": "holds",
        "infinite": "undecided",
    }
    assert report["absent"].reason.startswith("the data has no column 'z'")
    assert "the result does not fit into int64" in report["too large"].reason
    assert report["infinite"].reason.startswith("col('x').mean() is not finite")
    assert report.counts["not text"] == 1
    assert not report.ok
    with pytest.raises(ff.errors.InvalidPlan, match="cannot be decided"):
        report.rows("absent")


def test_a_column_that_is_not_there_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    misspelt = ff.Contract({"p": col("pirce") > 0})
    rows = pa.table({"price": [1.0], "n": [2]})
    pq.write_table(rows, tmp_path / "rows.parquet")
    for data, memory in ((rows, None), (tmp_path, None), (tmp_path, "64GiB")):
        told = misspelt.check(data, memory=memory)["p"].reason
        assert told == "the data has no column 'pirce'. Did you mean 'price'?"


def test_no_rows_hold_rules_of_rows_and_decide_none_of_tables() -> None:
    contract = ff.Contract({"x": col("x") > 0, "max": col("x").max() < 3})
    report = contract.check({"x": np.zeros(0)})
    assert [r.outcome for r in report.results] == ["holds", "undecided"]
    assert not report.ok
    assert ff.Contract({"x": col("x") > 0}).check({"x": [None, None]}).counts == {"x": 2}


def test_what_is_no_rule_is_told() -> None:
    with pytest.raises(ff.errors.TypeMismatch, match="must be a bool expression, but"):
        ff.Contract({"x": col("x") + 1}).check({"x": [1]})
    with pytest.raises(ff.errors.TypeMismatch, match="bool expression, got 'x'"):
        ff.Contract({"x": "x"})  # pyright: ignore[reportArgumentType]
    with pytest.raises(ff.errors.InvalidPlan, match="reads no column"):
        ff.Contract({"x": ff.lit(True)})
    with pytest.raises(ff.errors.InvalidPlan, match="Did you mean 'reject'"):
        ff.Rule(col("x") > 0, on_violation="rejects")
    with pytest.raises(ff.errors.InvalidPlan, match="from 0 to below 1"):
        ff.Rule(col("x") > 0, at_most=1)
    with pytest.raises(ff.errors.InvalidPlan, match="one statement about all rows"):
        ff.Contract({"mean": ff.Rule(col("x").mean() > 0, at_most=0.1)})
    fresh = col("now") - col("t").max() < 9
    with pytest.raises(ff.errors.InvalidPlan, match="one statement about all rows"):
        ff.Contract({"fresh": ff.Rule(fresh, at_most=0.1)}, clock="now")
    with pytest.raises(ff.errors.InvalidPlan, match="reads only the clock"):
        ff.Contract({"late": col("now") > 3}, clock="now")
    with pytest.raises(ff.errors.InvalidPlan, match="at least one rule"):
        ff.Contract({})
    with pytest.raises(ff.errors.InvalidPlan, match="no rule reads"):
        ff.Contract({"x": col("x") > 0}, clock="now")
    with pytest.raises(
        ff.errors.InvalidPlan, match=r"the same name as the type check .*\. Rename the rule"
    ):
        ff.Contract({"x: int64": col("x") > 0}, types={"x": "int64"})


def test_statements_of_all_rows_tell_their_values() -> None:
    report = ff.Contract({"low": col("x").mean() < 2}).check({"x": [1.0, 5.0]})
    assert str(report["low"]) == (
        "FAIL low: col('x').mean() is below 2; this does not hold: col('x').mean() is 3.0"
    )


def test_files_are_checked_in_passes(tmp_path: Path) -> None:
    for part in range(3):
        pq.write_table(pa.table({"x": np.arange(10.0) - part}), tmp_path / f"{part}.parquet")
    contract = ff.Contract({"x": col("x") >= 0, "few": ff.Rule(col("x") >= 0, at_most=0.1)})
    report = contract.check(tmp_path, memory="64GiB")
    assert report.counts == {"x": 3, "few": 3}
    assert report["few"].outcome == "holds"
    assert report["few"].reason == "the limit is 10 %"
    assert report.rows("x").to_pydict() == {"row": [10, 20, 21], "x": [-1.0, -2.0, -1.0]}
    assert contract.check(str(tmp_path / "*.parquet")).counts == report.counts


@pytest.mark.parametrize("name", ['"]; import os; ["', "<script>", "a\nb", "ä", "0", "x'"])
def test_any_name_is_one(name: str) -> None:
    contract = ff.Contract({name: col(name) > 0})
    report = contract.check({name: [1, -1]})
    assert report.counts == {name: 1}
    assert report.rows(name)[name].to_pylist() == [-1]
    assert ff.Contract.from_json(contract.to_json()) == contract


def test_whole_floats_are_of_integers_that_have_them() -> None:
    x = [-128.0, 127.0, 128.0, -129.0, 0.5, math.inf, math.nan, None]
    report = ff.Contract({}, types={"x": "int8"}).check({"x": x})
    assert report.rows("x: int8")["row"].to_pylist() == [2, 3, 4, 5]
    large = {"x": [2.0**63, -(2.0**63), 2.0**63 - 1024]}
    report = ff.Contract({}, types={"x": "int64"}).check(large)
    assert report.rows("x: int64")["row"].to_pylist() == [0]
