"""10,000 similar columns: a plan's cost per column, and a check that compile time stays flat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import Tolerance
from bench.workload import Contender, Workload

N_COLUMNS = 10_000


def generate(n_rows: int) -> pa.Table:
    """Return float64 columns of different centre and spread, none missing.

    There are 10,000 of them, or fewer in a smoke run of few rows.
    """
    n_columns = min(N_COLUMNS, 10 * n_rows)
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


WIDE = (
    Workload(
        name="wide_10000",
        title="10,000 columns of one shape, standard scale, fit + transform",
        label="standard scale, 10,000 columns",
        generate=generate,
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
        starts=True,
        memory=True,
    ),
)
