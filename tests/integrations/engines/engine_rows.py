"""Rows, plans and tables that tests of engines learn from, in parts."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat_tests.integrations.training_rows import rows

N_ROWS = 3_000
STREETS = pa.table(
    {"street": [f"street {k}" for k in range(30)], "rent": [float(k) for k in range(30)]}
)
_street = ff.lookup("streets", by="street")
_shared = {"label": {"bought": col("spent") > 0}, "keep": ["id"]}
PLANS: Mapping[str, ff.Plan] = {
    "scaled": ff.Plan(
        {
            "size": col("size").robust_scale(),
            "age": col("age").impute("median").standard_scale(),
            "spread": col("size").quantile(0.9, by="street") - col("size").min(by="street"),
        },
        keep=["id"],
    ),
    "encoded": ff.Plan(
        {
            "city": col("city").ordinal_encode(min_frequency=30),
            "at": col("city").one_hot_encode(max_categories=3),
            "risk": col("street").target_encode("bought", folds=3, fold_by="id"),
            "of_city": ff.cross("city", "visits").count_encode(),
            "rent": _street.col("rent").standard_scale(),
            "of_rent": _street.col("rent"),
        },
        **_shared,
    ),
    "nothing learnt": ff.Plan({"size": col("size") * 2.0, "is_new": col("is_new")}, keep=["id"]),
}
NAMES = ["scaled", pytest.param("encoded", marks=pytest.mark.smoke), "nothing learnt"]
TABLES = {"streets": STREETS}
BY_NUMBER = ff.Plan(
    {"risk": col("street").target_encode("bought", folds=3)}, label={"bought": col("spent") > 0}
)
_week = ff.window("7d", by="street", time="at")
_so_far = ff.window(by="street", time="at", closed="right")
OF_THE_PAST = ff.Plan(
    {
        "before": col("size").mean(over=_week).standard_scale(),
        "latest": col("size").lag(2, over=ff.window(by=["street", "city"], time="at")),
        "n": ff.count(over=_so_far),
        "risk": col("city").target_encode("bought", folds=3, fold_by="id"),
        "spent": col("spent").mean(over=ff.window("30d", by="street", time="at")),
        "of_rent": _street.col("rent") - _street.col("rent").mean(over=_week),
    },
    **_shared,
)
OF_SEVERAL_PASTS = ff.Plan(
    {
        "of_street": col("size").mean(over=_week).standard_scale(),
        "of_city": col("size").mean(over=ff.window("7d", by="city", time="at")),
    }
)
BY_ID = ff.Plan(
    {"risk": col("street").target_encode("bought", folds=3), "size": col("size").robust_scale()},
    row_id="id",
    **_shared,
)
OF_THE_PAST_BY_ID = ff.Plan({"n": ff.count(over=_so_far).standard_scale()}, row_id="id")
TOO_LARGE_OF_THE_PAST = ff.Plan({"n": (col("visits").sum(over=_so_far) + (2**63 - 20)).max()})
TOO_LARGE = ff.Plan({"n": (col("visits") + (2**63 - 20)).max()})


CONTRACT = ff.Contract(
    {
        "size": (col("size") > 0) | col("size").is_null(),
        "city": ff.Rule(col("city").is_in(["Bern", "Oslo"]), on_violation="warn"),
        "id": ff.lit(1).count(by="id") == 1,
        "rows": col("id").count() > N_ROWS,
        "seen": ff.count(over=ff.window(by="city", time="at")) < 100,
    },
    types={"id": "int64", "none": "utf8"},
)
"""Rules of a row, of rows together, and of their past, some of which are broken."""
HELD = ff.Contract({"id": col("id") >= 0, "rows": col("id").count() == N_ROWS})


def engine_rows() -> pa.Table:
    """Return rows of the plans, some without a label, in no order of any column."""
    table = rows(n_rows=N_ROWS)
    shuffled = np.random.default_rng(3).permutation(N_ROWS)
    days = np.random.default_rng(6).integers(0, 300, N_ROWS)  # of which rows of a street have one
    moments = pa.array(days * 86_400, pa.timestamp("s", "UTC")).cast(pa.timestamp("us", "UTC"))
    table = table.append_column("at", moments)
    spent = table.column("spent").to_numpy()
    missing = np.random.default_rng(4).random(N_ROWS) < 0.05
    at = table.column_names.index("spent")
    return table.set_column(at, "spent", pa.array(spent, mask=missing)).take(pa.array(shuffled))


def earlier_and_later(table: pa.Table) -> list[pa.Table]:
    """Return rows before a day, and those from it on."""
    is_later = table.column("at").to_numpy() >= np.datetime64("1970-03-01")
    return [table.filter(pa.array(~is_later)), table.filter(pa.array(is_later))]


N_TWICE = 7


def twice(table: pa.Table) -> pa.Table:
    """Return rows of which some stand twice, first and last."""
    return pa.concat_tables([table, table.slice(0, N_TWICE)]).combine_chunks()


def with_value(table: pa.Table, name: str, row: int, value: object) -> pa.Table:
    """Return rows of which one has another value."""
    values = table.column(name).to_pylist()
    values[row] = value
    at = table.column_names.index(name)
    return table.set_column(at, name, pa.array(values, table.schema.field(name).type))


BROKEN_IDS = {
    "is missing, but row_id= needs": (BY_ID, with_value(engine_rows(), "id", 5, None)),
    'but col\\("size"\\) is': (BY_ID, with_value(twice(engine_rows()), "size", 0, 1e9)),
    "but a row_id= must be unique": (OF_THE_PAST_BY_ID, twice(engine_rows())),
}
"""Plans and rows that they refuse by their ids, by the message."""


def parts(table: pa.Table, n_parts: int = 7) -> list[pa.Table]:
    """Return the rows in parts of unequal size, an empty one among them."""
    ends = np.sort(np.random.default_rng(5).choice(table.num_rows, n_parts - 1, replace=False))
    bounds = [0, *ends.tolist(), table.num_rows, table.num_rows]
    return [table[a:b] for a, b in pairwise(bounds)]


def in_order(features: pa.Table) -> pa.Table:
    """Return features in the order of the kept column, without metadata."""
    return features.sort_by("id").combine_chunks().replace_schema_metadata(None)
