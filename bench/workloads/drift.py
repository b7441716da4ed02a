"""Drift of 1,000 features by their profiles, against SciPy on all values; bounds must hold it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa

from bench.compare import Tolerance
from bench.workload import Contender, Target, Workload

N_FEATURES = 1_000


def generate(n_rows: int) -> pa.Table:
    """Return 1,000 columns; half of them shift a little in the second half of the rows."""
    rng = np.random.default_rng(0)
    later = np.arange(n_rows) >= n_rows // 2
    return pa.table(
        {f"x{k}": rng.normal(size=n_rows) + later * (k % 2) * 0.3 for k in range(N_FEATURES)}
    )


def _halves(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    return table.slice(0, table.num_rows // 2), table.slice(table.num_rows // 2)


def as_table(distances: Any) -> pa.Table:
    """Return the distances of the columns, in their order."""
    return pa.table({"ks": [float(distance) for distance in distances]})


def fastfeat(table: pa.Table) -> Callable[[], Any]:
    """Return a call that compares profiles: every figure of each feature, without the rows."""
    import fastfeat as ff
    from fastfeat import col
    from fastfeat.trust.quality.drift import compare_profiles

    then, now = _halves(table)
    plan = ff.Plan({name: col(name) * 2 for name in table.column_names})
    fitted = plan.fit(then, profile=True)
    before, after = (
        type(profile)({}, profile.features, profile.n_rows)
        for profile in (ff.quality.profile(fitted, then), ff.quality.profile(fitted, now))
    )
    return lambda: [
        sum(of.ks) / 2
        for of in compare_profiles(fitted.record, after, before).features.values()
        if of.ks
    ]


def scipy(table: pa.Table) -> Callable[[], Any]:
    """Return a call of two distances of all values, column by column."""
    stats: Any = import_module("scipy.stats")
    then, now = _halves(table)
    pairs = [(then[name].to_numpy(), now[name].to_numpy()) for name in table.column_names]

    def compare() -> Any:
        for a, b in pairs:
            stats.wasserstein_distance(a, b)
        return [stats.ks_2samp(a, b, method="asymp").statistic for a, b in pairs]

    return compare


DRIFT = (
    Workload(
        name="drift",
        title="drift of 1,000 features by profiles",
        label="drift, 1,000 features",
        generate=generate,
        rows=10_000,
        smoke_rows=200,
        contenders=(
            Contender("fastfeat", "fastfeat", fastfeat, as_table),
            Contender("SciPy, KS and Wasserstein of the rows", "scipy", scipy, as_table),
        ),
        tolerance=Tolerance(absolute=1 / 64, reason="the middle of a bracket of 2 / 64 at most"),
        targets=(Target("ratio", 10.0, "scipy"),),
        bandwidth="read",
    ),
)
