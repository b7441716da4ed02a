"""As-of joins equal to those of pandas, Polars and DuckDB, on random data with ties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import fastfeat as ff

NS = pa.timestamp("ns")
HOW = [
    {"allow_exact_matches": exact, "tolerance": tolerance}
    for exact in (True, False)
    for tolerance in (None, 0, 7, 60)
]


def made(n_rows: int, seed: int) -> pa.Table:
    """Return rows with times of which many are equal, two keys, and values some of them missing."""
    random = np.random.default_rng(seed)
    columns = {
        "t": pa.array(random.integers(-300, 300, n_rows)),
        "city": pa.array([f"city{k}" for k in random.integers(0, 6, n_rows)]),
        "kind": pa.array(random.integers(0, 3, n_rows)),
        "temp": pa.array(random.normal(size=n_rows), mask=random.random(n_rows) < 0.2),
    }
    return pa.table(columns)


def joined(left: pa.Table, right: pa.Table, by: Any, **how: Any) -> list[Any]:
    plan = ff.Plan({"temp": ff.asof("right", time="t", by=by, **how).col("temp")})
    fitted = plan.fit(left, tables={"right": right})
    return fitted.transform(left, tables={"right": right})["temp"].to_pylist()


def by_time(table: pa.Table) -> pa.Table:
    """Return a table sorted by time, rows of one time as they came."""
    return table.take(np.argsort(table["t"].to_numpy(), kind="stable"))


BY = [None, ["city"], ["city", "kind"]]


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("how", HOW)
def test_joins_are_those_of_pandas(by: Any, how: dict[str, Any]) -> None:
    left, right = made(400, 1).drop_columns("temp"), made(300, 2)
    sorted_left = by_time(left.append_column("row", pa.array(range(len(left)))))
    keys = [] if by is None else by
    expected: Any = pd.merge_asof(
        sorted_left.select(["t", "row", *keys]).to_pandas(),
        by_time(right).select(["t", "temp", *keys]).to_pandas(),
        on="t",
        by=by,
        **how,
    )
    expected = expected.sort_values("row")["temp"].to_numpy()
    found = np.array(joined(left, right, by, **how), float)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("how", HOW)
def test_joins_are_those_of_polars(by: Any, how: dict[str, Any]) -> None:
    left, right = made(400, 3).drop_columns("temp"), made(300, 4)
    sorted_left: Any = pl.from_arrow(by_time(left.append_column("row", pa.array(range(len(left))))))
    sorted_right: Any = pl.from_arrow(by_time(right))
    found = sorted_left.join_asof(
        sorted_right,
        on="t",
        by=by,
        tolerance=how["tolerance"],
        allow_exact_matches=how["allow_exact_matches"],
        check_sortedness=by is None,
    )
    assert joined(left, right, by, **how) == found.sort("row")["temp"].to_list()


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("sign", [">=", ">"])
def test_joins_are_those_of_duckdb(by: Any, sign: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    left, right = made(400, 5).drop_columns("temp"), made(300, 6)
    keys = [] if by is None else by
    of_one = right.group_by(["t", *keys], use_threads=False).aggregate([("temp", "last")])
    last = of_one.rename_columns(["t", *keys, "temp"])  # DuckDB does not say which of equal times
    connection = duckdb.connect()
    connection.register("first", left.append_column("row", pa.array(range(len(left)))))
    connection.register("last", last)
    same = "".join(f"first.{key} = last.{key} AND " for key in keys)
    query = f"SELECT row, temp FROM first ASOF LEFT JOIN last ON {same}first.t {sign} last.t"
    expected = [temp for _, temp in sorted(connection.execute(query).fetchall())]
    assert joined(left, last, by, allow_exact_matches=sign == ">=") == expected


def test_of_equal_times_the_last_row_wins_in_any_order_of_the_rows() -> None:
    left, right = made(300, 7).drop_columns("temp"), made(500, 8)
    random = np.random.default_rng(9)
    expected = joined(left, right, ["city"])
    rows = random.permutation(len(left))
    assert joined(left.take(rows), right, ["city"]) == [expected[row] for row in rows]
    times = right["t"].to_numpy()
    order = np.lexsort((np.arange(len(times)), random.integers(0, 99, 600)[times + 300]))
    assert (order != np.arange(len(order))).any()  # rows of one time stay in order
    assert joined(left, right.take(order), ["city"]) == expected


def test_joins_of_two_parts_are_those_of_the_whole() -> None:
    left, right = made(300, 10).drop_columns("temp"), made(200, 11)
    whole = joined(left, right, ["city", "kind"], tolerance=40, delay=3)
    for n in (0, 1, 150, 300):
        parts = left.slice(0, n), left.slice(n)
        found = [joined(part, right, ["city", "kind"], tolerance=40, delay=3) for part in parts]
        assert found[0] + found[1] == whole
