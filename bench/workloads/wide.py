"""Thousands of similar columns: a plan's cost per column, and whether compile time stays flat."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import Tolerance
from bench.workload import Contender, Target, Workload


def generate(n_columns: int, n_rows: int) -> pa.Table:
    """Return float64 columns of different centre and spread, none missing.

    A smoke run of few rows has fewer columns.
    """
    n_columns = min(n_columns, 10 * n_rows)
    rng = np.random.default_rng(1)
    centre, spread = rng.normal(0, 5, n_columns), rng.uniform(0.5, 3, n_columns)
    values = rng.normal(centre[:, None], spread[:, None], (n_columns, n_rows))
    return pa.table({f"x{index}": column for index, column in enumerate(values)})


def fastfeat(table: pa.Table) -> Callable[[], Any]:
    """Return a call that fits and transforms; the plan is built once, as a user would."""
    import fastfeat as ff

    plan = ff.Plan({name: ff.col(name).standard_scale() for name in table.column_names})
    return lambda: plan.fit(table, profile=False).transform(table)


def scikit_learn(table: pa.Table) -> Callable[[], Any]:
    """Return a call of StandardScaler on a matrix in row order, its fastest layout here."""
    from sklearn.preprocessing import StandardScaler

    matrix = frames.to_matrix(table)
    return lambda: StandardScaler().fit_transform(matrix)


def numpy(table: pa.Table) -> Callable[[], Any]:
    """Return a call of NumPy on a matrix in row order."""
    matrix = frames.to_matrix(table)
    return lambda: (matrix - matrix.mean(axis=0)) / matrix.std(axis=0)


def pandas(table: pa.Table) -> Callable[[], Any]:
    """Return a call of pandas."""
    frame = frames.to_pandas(table)
    return lambda: (frame - frame.mean()) / frame.std(ddof=0)


def polars(table: pa.Table) -> Callable[[], Any]:
    """Return a call of Polars eager; lazy and streaming take 20 s to plan 10,000 columns."""
    import polars as pl

    frame = frames.to_polars(table)
    columns = [pl.col(name) for name in table.column_names]
    scaled = [(column - column.mean()) / column.std(ddof=0) for column in columns]
    return lambda: frame.select(scaled)


def _workload(n_columns: int, targets: tuple[Target, ...]) -> Workload:
    return Workload(
        name=f"wide_{n_columns}",
        group="wide",
        title=f"{n_columns:,} columns of one shape, standard scale, fit + transform",
        label=f"standard scale, {n_columns:,} columns",
        generate=partial(generate, n_columns),
        rows=2_000,
        smoke_rows=20,
        contenders=(
            Contender("fastfeat", "fastfeat", fastfeat),
            Contender("scikit-learn", "scikit-learn", scikit_learn),
            Contender("NumPy", "numpy", numpy),
            Contender("pandas", "pandas", pandas),
            Contender("Polars eager", "polars", polars),
        ),
        tolerance=Tolerance(1e-9, 1e-9, "sums in another order: 1e-9, + 1e-9"),
        targets=targets,
        cause=(
            "a column of its own takes Python about 20 us in fit and 20 us in the first transform; "
            "NumPy has one matrix"
        ),
        starts=n_columns == MOST_COLUMNS,
        memory=n_columns == MOST_COLUMNS,
    )


MOST_COLUMNS = 10_000
WIDE = (
    _workload(1_000, (Target("ratio", 0.6, "numpy", aim=1),)),
    _workload(4_000, (Target("ratio", 0.5, "numpy", aim=1),)),
    _workload(MOST_COLUMNS, ()),
)
