"""One row by prepared functions: the bits, and the messages, of the definitions."""

from __future__ import annotations

import datetime
import decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import FastfeatError
from fastfeat.execute.lookup_tables import table_values
from fastfeat.execute.row import kernel
from fastfeat.execute.row.definitions import defined_row
from fastfeat.execute.row.kernel import joined, row_kernel
from fastfeat.scalars.zones import use_zone_tables
from fastfeat.trust.selfcheck.plans import contract_plans
from fastfeat.trust.selfcheck.tables import check_table, training_table

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
BERLIN = ZoneInfo("Europe/Berlin")
START = datetime.datetime(2024, 5, 1)
N = 60


def table() -> pa.Table:
    rng = np.random.default_rng(3)

    def some(values: Any, kind: pa.DataType) -> pa.Array:
        missing = rng.random(N) < 0.2
        return pa.array([None if m else v for v, m in zip(values, missing, strict=True)], kind)

    times = [START + datetime.timedelta(minutes=int(k)) for k in rng.integers(0, 10**5, N)]
    return pa.table(
        {
            "x": some(np.round(rng.normal(size=N), 1).tolist(), pa.float64()),
            "f": some(rng.integers(-3, 3, N).astype(np.float32).tolist(), pa.float32()),
            "h": some(rng.integers(-3, 3, N).astype(np.float16).tolist(), pa.float16()),
            "d": some([decimal.Decimal(int(k)) / 4 for k in rng.integers(0, 9, N)],
                      pa.decimal128(6, 2)),
            "i": some(rng.integers(-3, 9, N).tolist(), pa.int64()),
            "small": some(rng.integers(-3, 3, N).tolist(), pa.int8()),
            "u": some(rng.integers(0, 5, N).tolist(), pa.uint64()),
            "flag": some((rng.random(N) < 0.5).tolist(), pa.bool_()),
            "city": some(rng.choice(["Bern", "Oslo", "Zürich", ""], N).tolist(), pa.string()),
            "s": some(rng.choice([" Ab c", "abba", "é A", "12", "1.5"], N).tolist(), pa.string()),
            "blob": some([b"a", b"\xff", b"Bern", b""] * (N // 4), pa.binary()),
            "t": some(times, pa.timestamp("s")),
            "z": some([t.replace(tzinfo=BERLIN) for t in times], pa.timestamp("ns", "UTC")),
            "day": some([t.date() for t in times], pa.date32()),
            "took": some([t - START for t in times], pa.duration("ms")),
            "l": some([[1.0, None], [], [2.5, -0.0, 3.0]] * (N // 3), pa.list_(pa.float64())),
            "tags": some([["a"], [], ["b", None]] * (N // 3), pa.list_(pa.string())),
            "y": pa.array(rng.normal(size=N)),
        }
    )  # fmt: skip


TRAIN = table()
SHOPS = pa.table({"i": [0, 1, 2, 3], "city": ["Bern", "Oslo", None, ""], "size": [1.5, None, 3, 4]})
PRICES = pa.table(
    {
        "city": ["Bern", "Oslo", "Bern", "Bern", None],
        "at": pa.array([START + datetime.timedelta(days=k) for k in (1, 2, 30, 50, 3)],
                       pa.timestamp("ms")),
        "price": [1.0, 2.0, float("nan"), 4.0, 5.0],
        "kind": ["a", "b", "a", None, "c"],
    }
)  # fmt: skip
TABLES = {"shops": SHOPS, "prices": PRICES}
SHOP = ff.lookup("shops", by="i")
PRICE = ff.asof("prices", time="t", right_time="at", by="city", tolerance="20d")
PAST = ff.window("30d", time="t", by="city", table="prices", right_time="at")
FEATURES: dict[str, dict[str, Any]] = {
    "numbers": {
        "x": col("x").log1p(),
        "f": col("f") * 2,
        "h": col("h"),
        "d": col("d"),
        "i": col("i") + 1,
        "small": col("small").fill_null(7),
        "u": col("u"),
        "flag": col("flag"),
        "narrow": col("x").cast("int8", strict=False),
        "wide": col("small").cast("int64") * col("i"),
    },
    "times": {
        "t": col("t").dt.hour(),
        "z": col("z").dt.minute(),
        "day": col("day").dt.weekday(),
        "took": col("took").dt.total_seconds(),
        "since": (col("t") - col("t").min()).dt.total_seconds(),
    },
    "texts": {
        "is": col("city") == "Bern",
        "in": col("city").is_in(["Oslo", "Zürich"]),
        "mapped": col("city").replace_strict({"Bern": 1, "Oslo": 2}, default=None),
        "same": col("city") == col("s"),
        "null": col("city").is_null(),
        "blob": col("blob").is_null(),
        "length": col("s").str.len_chars(),
        "bytes": col("s").str.len_bytes(),
        "lower": col("s").str.to_lowercase() == "abba",
        "upper": col("s").str.to_uppercase().str.find("A", literal=True),
        "strip": col("s").str.strip_chars().str.slice(-3, 2).ordinal_encode(),
        "ends": col("s").str.ends_with("c"),
        "b": col("s").str.count_matches("b", literal=True),
        "has": col("s").str.contains("A|b"),
        "number": col("s").str.to_float(strict=False),
        "filled": col("city").fill_null(ff.lit("none")).ordinal_encode(),
        "chosen": ff.when(col("flag")).then(col("city")).otherwise(ff.lit("x")).ordinal_encode(),
        "hash": col("s").hash(n_buckets=64),
    },
    "keys": {
        **{
            f"{name}_code": col(name).ordinal_encode()
            for name in ("x", "f", "h", "i", "small", "u", "flag", "city", "blob", "t", "z",
                         "day", "took")
        },
        "given": col("city").ordinal_encode(vocabulary=["Oslo", "Bern"]),
        "hashed": col("i").ordinal_encode(n_unseen_buckets=5),
        "one": col("city").one_hot_encode(),
        "count": col("city").count_encode(),
        "target": col("city").target_encode("y"),
        "cross": ff.cross(col("city"), col("f")).ordinal_encode(),
        "crossed": ff.cross(col("i"), col("city")).hash(n_buckets=32),
        "by": col("x").mean(by=["city", "flag"]),
        "of": (col("x") * 2).round(0).ordinal_encode(),
        "hour": col("t").dt.hour().target_encode("y"),
        "unsigned": (col("u") + 1).ordinal_encode(),
        "above": (col("i") > 2).ordinal_encode(),
    },
    "lists": {
        "sum": col("l").list.sum(),
        "get": col("l").list.get(0),
        "in": col("tags").list.contains("a"),
        "len": col("tags").list.len(),
    },
    "tables": {
        "size": SHOP.col("size"),
        "is": SHOP.col("city") == "Bern",
        "code": SHOP.col("city").ordinal_encode(),
        "price": PRICE.col("price"),
        "kind": PRICE.col("kind").is_null(),
        "seen": ff.count(over=PAST),
        "mean": col("price").mean(over=PAST),
    },
}  # fmt: skip


@cache
def fitted(name: str, dtype: str = "float64") -> ff.FittedPlan:
    tables = TABLES if name == "tables" else None
    plan = ff.Plan(FEATURES[name], label="y", dtype=dtype)
    return plan.fit(TRAIN, tables=tables)


PYTHON_VALUES = {name: TRAIN.column(name).to_pylist() for name in TRAIN.column_names}
OTHERS = [
    *(None, float("nan"), 0, 1, -1, 2, 2**40, 2**63, 2**64, -(2**70), True, False),
    *(0.0, -0.0, 0.1, 3.0, 1e300, float("inf"), 5e-324, np.nan),
    *("", "Bern", "Zürich", "unseen", "\ud800", b"Bern", b"\xff", bytearray(b"a"), np.str_("Oslo")),
    *(np.float64(2.0), np.float32(0.1), np.float16(1.0), np.int8(3), np.uint64(2**63), np.bool_(1)),
    *(decimal.Decimal("1.25"), decimal.Decimal("NaN"), decimal.Decimal("1e400")),
    *(START, START.replace(microsecond=1), START.replace(tzinfo=BERLIN), datetime.datetime.max),
    *(START.replace(tzinfo=datetime.UTC), START.date(), datetime.date.max, datetime.time(3)),
    *(datetime.timedelta(days=3), datetime.timedelta(microseconds=1)),
    *(np.datetime64("2024-05-01"), np.datetime64("NaT"), np.timedelta64(3, "s")),
    *(pd.Timestamp("2024-05-01 00:00:00.000000001"), pd.NaT, pd.NA, pd.Timedelta("1s")),
    *(pa.scalar(3), pa.scalar("Bern"), pa.scalar(None)),
    *([], [1.0], [None, "a"], (2,), np.array([1.0, np.nan]), {"a": 1}, object()),
]


def outcome(compute: Any, row: Any) -> Any:
    """Return the bits of features, or kind and text of the error."""
    try:
        return compute(row).tobytes()
    except FastfeatError as error:
        return type(error), str(error)


def values(name: str) -> st.SearchStrategy[Any]:
    known = st.sampled_from(PYTHON_VALUES[name])
    return st.one_of(known, known, known, known, known, st.sampled_from(OTHERS))


def rows_of(plan: ff.FittedPlan) -> st.SearchStrategy[dict[str, Any]]:
    given_columns = {name: values(name) for name in plan.record.declaration.row_columns}
    return st.fixed_dictionaries(given_columns)


@pytest.mark.parametrize("name", FEATURES)
@given(st.data())
def test_a_prepared_row_is_that_of_the_definitions(name, data):
    record = fitted(name).record
    row = data.draw(rows_of(fitted(name)))
    if data.draw(st.integers(0, 30)) == 0:
        row.pop(data.draw(st.sampled_from(sorted(row))))
    row = joined(row, table_values(record.table_columns, TABLES))
    by_definition = outcome(defined_row(record), row)
    ask = row_kernel(record)
    assert [outcome(ask, row) for _ in range(3)] == [by_definition] * 3  # tables: from the second


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rows_of_a_table_are_prepared_and_have_the_bits_of_the_batch(name, dtype, monkeypatch):
    plan, tables = fitted(name, dtype), TABLES if name == "tables" else None
    matrix = np.ascontiguousarray(plan.transform(TRAIN, to="numpy", tables=tables))
    rows = TRAIN.to_pylist()
    plan.transform_row(rows[0], tables=tables)  # of new tables a first row is not prepared

    def never(record: Any) -> Any:
        raise AssertionError("a row is left to the definitions")

    monkeypatch.setattr(kernel, "defined_row", never)
    for k, row in enumerate(rows):
        assert plan.transform_row(row, tables=tables).tobytes() == matrix[k].tobytes(), k


@given(st.lists(st.sampled_from(OTHERS), min_size=1, max_size=3))
@example([{"x": 1.0}])
def test_what_is_no_row_is_told_as_by_the_definitions(given_row):
    record = fitted("numbers").record
    assert outcome(row_kernel(record), given_row) == outcome(defined_row(record), given_row)


def test_new_tables_are_seen_and_old_ones_are_let_go():
    plan = fitted("tables")
    row = {**TRAIN.to_pylist()[0], "i": 0}
    for size in (5.0, 6.0, 7.0, 7.0):
        shops = SHOPS.set_column(2, "size", pa.array([size, None, 3.0, 4.0]))
        tables = {"shops": shops, "prices": PRICES}
        for _ in range(3):
            assert plan.transform_row(row, tables=tables)[0] == size


@pytest.mark.parametrize("name", sorted(contract_plans()))
def test_rows_of_the_contract_are_those_of_the_definitions(name):
    plan = contract_plans()[name].fit(training_table())
    times = {field.name for field in plan.schema if pa.types.is_temporal(field.type)}
    if times:  # which no matrix holds
        plan = plan.select([name for name in plan.plan.features if name not in times])
    rows = check_table().slice(0, 25).to_pylist()
    with use_zone_tables(plan.record.zones):
        ask, defined = row_kernel(plan.record), defined_row(plan.record)
    for k, row in enumerate(rows):
        assert outcome(ask, row) == outcome(defined, row), k
