"""Plans and rows that the tests of reports share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

import fastfeat as ff
from fastfeat import FittedPlan, col

EVIL = "<script>document.title='run'</script>"
ATTRIBUTE = '"><img src=x onerror="document.title=\'run\'">'
HOUR = ff.window("1h", by=EVIL, time="t")
CONTRACT = ff.Contract(
    {
        "x": col("x") > -100,
        EVIL: ff.Rule(col(EVIL) != "</td>", on_violation="warn"),
        "kept": col("x").is_not_null(),
    }
)
PLAN = ff.Plan(
    {
        "scaled": col("x").standard_scale(),
        "code": col(EVIL).ordinal_encode(),
        EVIL: col("x") * 2,
        "hour": col("t").dt.hour(),
        "past": col("x").mean(over=HOUR),
        "line\n\u202ebreak": col(ATTRIBUTE).is_null(),
    },
    label={"late": col("late") > 0.5},
)


def rows(n: int = 500, *, shift: float = 0.0, seed: int = 0) -> pa.Table:
    """Return rows, whose `x` is moved by a shift."""
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "x": rng.normal(size=n) + shift,
            EVIL: rng.choice(["a", "b", "<b>c"], n),
            ATTRIBUTE: rng.choice(["a", "b"], n),
            "t": pa.array(np.arange(n) * 60, pa.timestamp("s")),
            "late": rng.random(n),
        }
    )


def profiled(plan: ff.Plan, data: Any, **options: Any) -> FittedPlan:
    """Return a fitted plan with the profile of its training rows."""
    return plan.fit(data, history="batch", profile=True, **options)
