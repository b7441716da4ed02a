"""The profile of 40 columns, beside the fit that scans them anyway: standard and robust scales."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.compare import Tolerance
from bench.workload import Contender, Target, Workload

if TYPE_CHECKING:
    import pyarrow as pa

N_COLUMNS = 40


def generate(n_rows: int) -> pa.Table:
    """Return 40 float64 columns: half normal, a quarter lognormal, a quarter with many zeros."""
    import pyarrow as pa

    rng = np.random.default_rng(21)
    columns: dict[str, Any] = {}
    for k in range(N_COLUMNS):
        values = rng.normal(k, 1 + k, n_rows)
        if k % 4 == 1:
            values = rng.lognormal(0, 1, n_rows)
        elif k % 4 == 3:
            values[rng.random(n_rows) < 0.5] = 0
        columns[f"x{k}"] = values
    return pa.table(columns)


def _plan() -> Any:
    import fastfeat as ff

    columns = {f"x{k}": ff.col(f"x{k}") for k in range(N_COLUMNS)}
    return ff.Plan(
        {
            name: x.standard_scale() if k % 2 else x.robust_scale()
            for k, (name, x) in enumerate(columns.items())
        }
    )


def fit(table: pa.Table) -> Callable[[], Any]:
    """Return a call that fits, without a profile."""
    plan = _plan()
    return lambda: plan.fit(table, profile=False).n_rows


def profile(table: pa.Table) -> Callable[[], Any]:
    """Return a call that counts the inputs of a fitted plan, edges and all."""
    from fastfeat.quality.table_profiles import profile_of_tables

    fitted = _plan().fit(table, profile=False).record
    return lambda: profile_of_tables(fitted, table, None).n_rows


def as_table(n_rows: int) -> pa.Table:
    """Return the number of rows as a table."""
    import pyarrow as pa

    return pa.table({"n_rows": [n_rows]})


PROFILES = (
    Workload(
        name="profile",
        title="profile of 40 columns, beside the fit of their scales",
        label="profile of 40 columns",
        generate=generate,
        rows=500_000,
        smoke_rows=2_000,
        contenders=(
            Contender("fastfeat, fit alone", "fastfeat", fit, as_table),
            Contender("fastfeat, profile alone", "fastfeat", profile, as_table),
        ),
        tolerance=Tolerance(),
        targets=(Target("slowdown", 1.3, contender="fastfeat, profile alone"),),
        bandwidth="read",
    ),
)
