"""A full report of 1,000 features: features computed, counted, compared, and the page written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from bench.compare import Tolerance
from bench.workload import Contender, Target, Workload

N_FEATURES, MOVED = 1_000, 50
"""One in `MOVED` features has moved since training."""


def generate(n_rows: int) -> pa.Table:
    """Return columns of floats, 1,000 of them if there are enough rows."""
    n_features = min(N_FEATURES, n_rows // 10)
    rng = np.random.default_rng(0)
    return pa.table({f"x{k}": rng.normal(size=n_rows) + k % 7 for k in range(n_features)})


def of_training(table: pa.Table) -> tuple[Any, pa.Table]:
    """Return a fitted plan, and later rows in which some columns have moved."""
    import fastfeat as ff
    from fastfeat import col

    plan = ff.Plan({f"scaled {name}": col(name).standard_scale() for name in table.column_names})
    fitted = plan.fit(table, profile=True)
    assert fitted.record.profile is not None
    later = {
        name: table[name].to_numpy()[::-1] + (k % MOVED == 0)
        for k, name in enumerate(table.column_names)
    }
    return fitted, pa.table(later)


def report(table: pa.Table) -> Callable[[], Any]:
    """Return a call that makes the report, without writing it to a file."""
    fitted, later = of_training(table)
    return lambda: fitted.report(later, None).drift.features


def drift(table: pa.Table) -> Callable[[], Any]:
    """Return a call of the drift in the report."""
    fitted, later = of_training(table)
    return lambda: fitted.drift(later).features


def as_table(features: Mapping[str, Any]) -> pa.Table:
    """Return the PSI of each feature, in the order of the plan."""
    return pa.table({"psi": [column.psi for column in features.values()]})


REPORTS = (
    Workload(
        name="report",
        title="1,000 features of new rows beside those of training",
        label="report of 1,000 features",
        generate=generate,
        rows=20_000,
        smoke_rows=200,
        contenders=(
            Contender("fastfeat", "fastfeat", report, as_table),
            Contender("fastfeat, drift alone", "fastfeat", drift, as_table),
        ),
        tolerance=Tolerance(),
        targets=(Target("median_seconds", 5.0),),
        bandwidth="read",
    ),
)
