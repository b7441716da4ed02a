"""Columns of numbers, and a plan that reads each of them, for tests of data on a device."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastfeat as ff
from fastfeat import col

N_ROWS = 203


RANDOM = np.random.default_rng(0)


NUMBERS: dict[str, Any] = {
    "f64": np.where(RANDOM.random(N_ROWS) < 0.2, np.nan, RANDOM.normal(size=N_ROWS)),
    "f32": RANDOM.normal(size=N_ROWS).astype(np.float32),
    "i64": RANDOM.integers(-(2**50), 2**50, N_ROWS),
    "i8": RANDOM.integers(-100, 100, N_ROWS).astype(np.int8),
    "u16": RANDOM.integers(0, 60000, N_ROWS).astype(np.uint16),
    "flag": RANDOM.random(N_ROWS) < 0.5,
}


FEATURES = {
    "log": col("f64").log1p(),
    "scaled": col("f32").standard_scale(),
    "sum": col("i64") + col("i8"),
    "small": col("u16") // 7,
    "not": ~col("flag"),
    "median": col("i8") - col("i8").median(),
    "computed": col("f64") - (col("f64") * 2).quantile(0.3),
    "positive": (col("f64") > 0),
}


PLAN = ff.Plan(FEATURES)
