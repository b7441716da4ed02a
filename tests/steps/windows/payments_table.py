"""A table of payments, whose rows windows see, and rows that ask."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

import fastfeat as ff
from fastfeat.operators.windows import Window

PAYMENTS = pa.table(
    {
        "ts": [30, 10, 20, 20, None, 5, 15],
        "card": ["a", "a", "a", "a", "a", "b", None],
        "amount": [4.0, 1.0, None, 3.0, 100.0, 9.0, 7.0],
        "shop": ["x", "y", "y", None, "z", "x", "x"],
        "seq": [0, 0, 2, 1, 0, 0, 0],
    }
)
ASKING = pa.table({"ts": [20, 31, 10, None, 20, 20], "card": ["a", "a", "a", "a", "c", None]})


def payments(last: Any = None, **options: Any) -> Window:
    """Return a window over the payments of a card."""
    return ff.window(last, **{"time": "ts", "by": "card", "table": "payments", **options})


def seen(
    features: dict[str, Any], data: Any = ASKING, table: Any = PAYMENTS, backend: str = "cpu"
) -> dict[str, list[Any]]:
    """Return features of the data, with the payments beside it."""
    tables = {"payments": table}
    fitted = ff.Plan(features).fit(data, tables=tables)
    return fitted.transform(data, tables=tables, backend=backend).to_pydict()
