"""Rows, plans and tables that tests of engines learn from, in parts."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from training_rows import rows

import fastfeat as ff
from fastfeat import col

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
OF_THE_PAST = ff.Plan(
    {"before": col("size").mean(over=ff.window("7d", by="street", time="at", offset="0s"))},
    label={"bought": col("spent") > 0},
)
LEARNT_OF_THE_PAST = ff.Plan(
    {"before": col("size").mean(over=ff.window("7d", by="street", time="at")).standard_scale()}
)
TOO_LARGE = ff.Plan({"n": (col("visits") + (2**63 - 20)).max()})


def engine_rows() -> pa.Table:
    """Return rows of the plans, some without a label, in no order of any column."""
    table = rows(n_rows=N_ROWS)
    shuffled = np.random.default_rng(3).permutation(N_ROWS)
    moments = pa.array(np.arange(N_ROWS) * 1_000_000, pa.timestamp("us"))
    table = table.append_column("at", moments)
    spent = table.column("spent").to_numpy()
    missing = np.random.default_rng(4).random(N_ROWS) < 0.05
    at = table.column_names.index("spent")
    return table.set_column(at, "spent", pa.array(spent, mask=missing)).take(pa.array(shuffled))


def parts(table: pa.Table, n_parts: int = 7) -> list[pa.Table]:
    """Return the rows in parts of unequal size, an empty one among them."""
    ends = np.sort(np.random.default_rng(5).choice(table.num_rows, n_parts - 1, replace=False))
    bounds = [0, *ends.tolist(), table.num_rows, table.num_rows]
    return [table[a:b] for a, b in pairwise(bounds)]


def in_order(features: pa.Table) -> pa.Table:
    """Return features in the order of the kept column, without metadata."""
    return features.sort_by("id").combine_chunks().replace_schema_metadata(None)
