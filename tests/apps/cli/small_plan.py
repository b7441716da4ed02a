"""A plan of three features and a table of a hundred rows, for commands to work on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

PLAN = """
import fastfeat as ff
from fastfeat import col

plan = ff.Plan(
    {
        "size": col("x").impute("median").standard_scale(),
        "is_big": col("x") > 2,
        "kind": col("k").is_in(["a"]),
    },
    dtype="float32",
    keep=["id"],
)
"""
TABLE = pa.table(
    {
        "id": list(range(100)),
        "x": [None if i % 7 == 0 else i * 0.1 for i in range(100)],
        "k": ["abc"[i % 3] for i in range(100)],
    }
)

Run = Callable[..., Any]
