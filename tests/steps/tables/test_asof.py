"""As-of joins: the latest row of a table that was known at the moment of a row."""

from __future__ import annotations

import datetime
import random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidPlan, Leakage, TypeMismatch, UnknownColumn

WEATHER = {"city": ["x", "x", "y", None], "t": [10, 20, 15, 1], "temp": [1.5, None, 9.0, 0.0]}


def joined(data: Any, table: Any, backend: str = "cpu", **how: Any) -> list[Any]:
    feature = ff.asof("weather", **{"time": "t", **how}).col("temp")
    plan, tables = ff.Plan({"temp": feature}), {"weather": table}
    fitted = plan.fit(data, tables=tables)
    return fitted.transform(data, tables=tables, backend=backend)["temp"].to_pylist()


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_the_latest_row_of_the_key_wins_even_where_its_value_is_missing(backend: str) -> None:
    data = {"city": ["x", "x", "x", "y", "z", None, "x"], "t": [9, 10, 20, 30, 30, 30, None]}
    expected = [None, 1.5, None, 9.0, None, None, None]
    assert joined(data, WEATHER, backend, by="city") == expected
    assert joined({"t": [14, 15, 19]}, WEATHER, backend) == [1.5, 9.0, 9.0]
    same = {"t": [5, 5, 5], "temp": [1.0, 2.0, 3.0]}
    assert joined({"t": [5, 4]}, same, backend) == [3.0, None]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_tolerance_delay_and_exact_matches(backend: str) -> None:
    data, table = {"t": [10, 11, 12, 13, 14]}, {"t": [10], "temp": [1.0]}
    assert joined(data, table, backend, tolerance=2) == [1.0, 1.0, 1.0, None, None]
    assert joined(data, table, backend, delay=2) == [None, None, 1.0, 1.0, 1.0]
    assert joined(data, table, backend, delay=1, tolerance=2) == [None, 1.0, 1.0, None, None]
    assert joined(data, table, backend, allow_exact_matches=False)[:2] == [None, 1.0]
    assert joined(data, table, backend, tolerance=0) == [1.0, None, None, None, None]
    longest = {"tolerance": 2**63 - 1, "allow_exact_matches": False}
    assert joined(data, table, backend, **longest) == [None, 1.0, 1.0, 1.0, 1.0]
    assert joined(data, table, backend, delay=2**63 - 1, allow_exact_matches=False) == [None] * 5


UNITS = ["s", "ms", "us", "ns"]


@given(st.integers(0, 10**6), st.sampled_from(UNITS), st.sampled_from(UNITS))
def test_the_cpu_has_the_rows_of_the_definition(seed: int, left: str, right: str) -> None:
    rng = random.Random(seed)

    def times(n: int, unit: str) -> pa.Array:
        far = rng.choice([10, 10**6, 2**62])
        values = [rng.choice([None, rng.randint(-far, far)]) for _ in range(n)]
        return pa.array(values, pa.timestamp(unit))

    def keys(n: int) -> pa.Array:
        return pa.array([rng.choice(["a", "b", None]) for _ in range(n)], pa.string())

    data = pa.table({"t": times(20, left), "k": keys(20)})
    temps = pa.array(range(30), pa.float64())
    table = pa.table({"t": times(30, right), "k": keys(30), "temp": temps})
    how = {
        "by": rng.choice(["k", None]),
        "tolerance": rng.choice([None, "5ns", "1s", "2h"]),
        "delay": rng.choice([None, "3ns", "1s"]),
        "allow_exact_matches": rng.random() < 0.5,
    }
    assert joined(data, table, **how) == joined(data, table, "reference", **how)


def test_joins_are_those_of_pandas() -> None:
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"t": np.sort(rng.integers(0, 500, 300)), "k": rng.integers(0, 5, 300)})
    table = pd.DataFrame(
        {"t": np.sort(rng.choice(500, 100, replace=False)), "k": rng.integers(0, 5, 100)}
    ).assign(temp=rng.normal(size=100))
    for exact in (True, False):
        for tolerance in (None, 20):
            how: dict[str, Any] = {"by": "k", "allow_exact_matches": exact}
            expected = pd.merge_asof(data, table, on="t", tolerance=tolerance, **how)["temp"]
            found = joined(data, table, tolerance=tolerance, **how)
            np.testing.assert_array_equal(np.array(found, dtype=float), expected.to_numpy())


def test_a_table_in_any_order_and_of_other_types_gives_the_same() -> None:
    data = {"t": pa.array([5, 7], pa.int16()), "k": ["a", "b"]}
    order = [2, 0, 1]
    table = pa.table({"t": [1, 5, 6], "k": ["a", "a", "b"], "temp": [1.0, 2.0, 3.0]})
    coded = table.set_column(1, "k", table["k"].dictionary_encode()).take(order)
    assert joined(pa.table(data), table, by="k") == joined(pa.table(data), coded, by="k")
    named = table.rename_columns(["at", "key", "temp"])
    found = joined(pa.table(data), named, by={"k": "key"}, right_time="at")
    assert found == [2.0, 3.0]


def test_one_row_finds_what_a_batch_does() -> None:
    tables = {"weather": pa.table(WEATHER)}
    plan = ff.Plan({"temp": ff.asof("weather", by="city", time="t", tolerance=5).col("temp")})
    fitted = plan.fit({"city": ["x"], "t": [1]}, tables=tables)
    assert fitted.transform_row({"city": "y", "t": 17}, tables=tables).tolist() == [9.0]
    assert np.isnan(fitted.transform_row({"city": "y", "t": 21}, tables=tables)).all()
    assert ff.Plan.from_json(plan.to_json()).to_json() == plan.to_json()
    told = "ff.asof('weather', time='t', by='city', tolerance=5).col('temp')"
    assert repr(plan.features["temp"]) == told  # type: ignore[index]


def test_what_cannot_be_joined_says_why() -> None:
    berlin = {"t": pa.array([0], pa.timestamp("s", "Europe/Berlin"))}
    naive = {"t": [datetime.datetime(2024, 1, 1)], "temp": [1.0]}
    with pytest.raises(TypeMismatch, match="one of them has a time zone"):
        joined(pa.table(berlin), naive)
    tokyo = pa.table({"t": pa.array([0], pa.timestamp("ms", "Asia/Tokyo")), "temp": [1.0]})
    assert joined(pa.table(berlin), tokyo) == [1.0]
    with pytest.raises(TypeMismatch, match="cannot compare the time of the data, int64"):
        joined({"t": [1]}, naive)
    with pytest.raises(TypeMismatch, match="as a whole number"):
        joined({"t": [1]}, WEATHER, tolerance="3h")
    with pytest.raises(InvalidPlan, match="must not be negative"):
        joined({"t": [1]}, WEATHER, delay=-1)
    with pytest.raises(InvalidPlan, match="right_time="):
        joined({"t": [1]}, WEATHER, time=col("t") + 1)
    with pytest.raises(UnknownColumn, match="'weather'"):
        ff.Plan({"temp": ff.asof("weather", time="t").col("temp")}).fit({"t": [1]})
    with pytest.raises(Leakage, match="known only after"):
        ff.Plan({"temp": ff.asof("weather", time="t", by="y").col("temp")}, label="y")
