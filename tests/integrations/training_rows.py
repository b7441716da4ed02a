"""Rows that tests train boosted trees on: what is missing, categories, and some rare ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import fastfeat as ff
from fastfeat import col

N_ROWS = 4_000
CITIES = ["Bern", "Basel", "Bonn", "Bari", "Brno", "Rome"]
PLAN = ff.Plan(
    {
        "size": col("size").standard_scale(),
        "age": col("age"),
        "is_new": col("is_new"),
        "visits": col("visits"),
        "city": col("city").ordinal_encode(min_frequency=30),
        "street": col("street").ordinal_encode(),
        "at": col("city").one_hot_encode(max_categories=3),
        "risk": col("street").target_encode("bought", folds=3),
    },
    label={"bought": col("spent") > 0},
    dtype="float32",
    keep=["id"],
)
CODED = ["city", "street"]


def rows(seed: int = 0, n_rows: int = N_ROWS) -> pa.Table:
    """Return rows with all that trees are given; a tenth of most columns is missing."""
    random = np.random.default_rng(seed)
    city = random.choice(CITIES, n_rows, p=[0.3, 0.25, 0.2, 0.15, 0.099, 0.001])
    size, age = random.normal(size=n_rows), random.normal(size=n_rows)
    effect = np.select([city == "Bern", city == "Bonn"], [1.0, -1.0], 0.2)
    no_city = random.random(n_rows) < 0.1
    spent = np.where(no_city, 2.0, effect) + size + random.normal(size=n_rows)
    return pa.table(
        {
            "id": np.arange(n_rows),
            "size": pa.array(size, mask=random.random(n_rows) < 0.1),
            "age": age,
            "is_new": pa.array(random.random(n_rows) < 0.5, mask=random.random(n_rows) < 0.1),
            "visits": pa.array(random.integers(0, 30, n_rows), mask=random.random(n_rows) < 0.1),
            "city": pa.array(city, mask=no_city),
            "street": [f"street {k}" for k in random.integers(0, 40, n_rows)],
            "weight": random.integers(1, 4, n_rows).astype(np.float64),
            "spent": spent,
        }
    )


TRAIN = rows()
TEST = rows(1, 1_000)


def label_of(data: pa.Table) -> NDArray[Any]:
    """Return the label of rows, as NumPy computes it."""
    return (data.column("spent").to_numpy() > 0).astype(np.float32)
