"""Profiles: of 40 columns beside the fit of their scales, and fits with a profile of other shapes.

A fit with a profile is compared with a fit and transform without one, for bools, for numbers and
for 1,000 columns of few rows with distinct, repeated, or occasionally missing values.
"""

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
    """Return a call that counts the inputs of a fitted plan, including edges."""
    from fastfeat.trust.quality.table_profiles import profile_of_tables

    fitted = _plan().fit(table, profile=False).record
    return lambda: profile_of_tables(fitted, table, None).n_rows


def as_table(n_rows: int) -> pa.Table:
    """Return the number of rows as a table."""
    import pyarrow as pa

    return pa.table({"n_rows": [n_rows]})


def bools(n_rows: int) -> pa.Table:
    """Return 40 bools, each true in half of the rows."""
    import pyarrow as pa

    rng = np.random.default_rng(22)
    return pa.table({f"x{k}": pa.array(rng.random(n_rows) < 0.5) for k in range(N_COLUMNS)})


def numbers(n_rows: int) -> pa.Table:
    """Return 8 normal columns."""
    import pyarrow as pa

    rng = np.random.default_rng(23)
    return pa.table({f"x{k}": rng.normal(k, 1 + k, n_rows) for k in range(8)})


def wide(n_rows: int) -> pa.Table:
    """Return 1,000 normal columns; of each three, the second is rounded, and the third lacks rows.

    A smoke run of few rows has fewer.
    """
    import pyarrow as pa

    rng = np.random.default_rng(24)
    columns: dict[str, Any] = {}
    for k in range(min(1_000, 10 * n_rows)):
        values = rng.normal(k, 1 + k % 7, n_rows)
        mask = rng.random(n_rows) < 0.05 if k % 3 == 2 else None
        columns[f"x{k}"] = pa.array(np.round(values, 1) if k % 3 == 1 else values, mask=mask)
    return pa.table(columns)


def _plan_of(table: pa.Table) -> Any:
    """Return a plan that negates bools and scales numbers."""
    import pyarrow as pa

    import fastfeat as ff

    is_bool = pa.types.is_boolean(table.schema.types[0])
    columns = {name: ff.col(name) for name in table.column_names}
    return ff.Plan({n: ~x if is_bool else x.standard_scale() for n, x in columns.items()})


def fit_and_transform(table: pa.Table) -> Callable[[], Any]:
    """Return a call that fits and transforms, without a profile."""
    plan = _plan_of(table)
    return lambda: plan.fit(table, profile=False).transform(table).num_rows


def fit_with_profile(table: pa.Table) -> Callable[[], Any]:
    """Return a call that fits, with a profile of the inputs and the features."""
    plan = _plan_of(table)
    return lambda: plan.fit(table, profile=True).n_rows


def _beside_transform(
    name: str, of: str, make: Callable[[int], pa.Table], rows: int, smoke_rows: int
) -> Workload:
    """Return a fit with a profile, beside a fit and transform without one."""
    return Workload(
        name=f"profile_{name}",
        group="profile",
        title=f"fit with a profile of {of}, beside fit + transform without one",
        label=f"fit with a profile, {of}",
        generate=make,
        rows=rows,
        smoke_rows=smoke_rows,
        contenders=(
            Contender("fastfeat, fit + transform", "fastfeat", fit_and_transform, as_table),
            Contender("fastfeat, fit with profile", "fastfeat", fit_with_profile, as_table),
        ),
        tolerance=Tolerance(),
        targets=(Target("slowdown", 2.0, contender="fastfeat, fit with profile"),),
        bandwidth="read",
    )


PROFILES = (
    Workload(
        name="profile",
        group="profile",
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
    _beside_transform("bools", "40 bools", bools, 500_000, 2_000),
    _beside_transform("numbers", "8 numbers", numbers, 500_000, 2_000),
    _beside_transform("wide", "1,000 columns", wide, 2_000, 20),
)
