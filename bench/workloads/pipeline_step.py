"""50 columns scaled in a step of a scikit-learn pipeline: the step's overhead over the plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import Tolerance
from bench.workload import Contender, Target, Workload

N_COLUMNS = 50
Order = Literal["C", "F"]


def generate(n_rows: int) -> pa.Table:
    """Return float64 columns of different spread, with 5 % of their values missing."""
    rng = np.random.default_rng(6)
    values = rng.normal(0, rng.uniform(0.5, 3, (N_COLUMNS, 1)), (N_COLUMNS, n_rows))
    values[rng.random(values.shape) < 0.05] = np.nan
    return pa.table({f"x{k}": column for k, column in enumerate(values)})


def plan_of(names: Sequence[str]) -> Any:
    """Return a plan that scales columns."""
    import fastfeat as ff

    return ff.Plan({name: ff.col(name).standard_scale() for name in names})


def plan_alone(table: pa.Table) -> Callable[[], Any]:
    """Return a call of a fitted plan on a pandas frame."""
    frame = frames.to_pandas(table)
    fitted = plan_of(table.column_names).fit(frame)
    return lambda: fitted.transform(frame, to="numpy")


def step_on_pandas(table: pa.Table) -> Callable[[], Any]:
    """Return a call of a fitted step of a pipeline on the same frame."""
    from fastfeat.integrations.sklearn import Features

    frame = frames.to_pandas(table)
    step = Features(plan_of(table.column_names), profile=False).fit(frame)
    return lambda: step.transform(frame)


def step_on_matrix(order: Order) -> Callable[[pa.Table], Callable[[], Any]]:
    """Return a function that prepares a call of a fitted step on a matrix.

    The order is "C", row after row in memory, or "F", column after column.
    """

    def prepare(table: pa.Table) -> Callable[[], Any]:
        from fastfeat.integrations.sklearn import Features

        matrix = np.array(frames.to_matrix(table), order=order)
        step = Features(plan_of, profile=False).fit(matrix)
        return lambda: step.transform(matrix)

    return prepare


def scikit_learn(order: Order) -> Callable[[pa.Table], Callable[[], Any]]:
    """Return a function that prepares a call of a fitted StandardScaler on a matrix.

    The order is "C", row after row in memory, or "F", column after column.
    """

    def prepare(table: pa.Table) -> Callable[[], Any]:
        from sklearn.preprocessing import StandardScaler

        matrix = np.array(frames.to_matrix(table), order=order)
        scaler = StandardScaler().fit(matrix)
        return lambda: scaler.transform(matrix)

    return prepare


PIPELINE_STEP = (
    Workload(
        name="pipeline_step",
        title="50 columns, standard scale, transform: a plan, and it as a step of scikit-learn",
        label="a step of a scikit-learn pipeline",
        generate=generate,
        rows=1_000_000,
        smoke_rows=1_000,
        contenders=(
            Contender("fastfeat", "fastfeat", plan_alone),
            Contender("fastfeat step, pandas", "fastfeat", step_on_pandas),
            Contender("fastfeat step, matrix of columns", "fastfeat", step_on_matrix("F")),
            Contender("fastfeat step, matrix of rows", "fastfeat", step_on_matrix("C")),
            Contender("scikit-learn, rows", "scikit-learn", scikit_learn("C")),
            Contender("scikit-learn, columns", "scikit-learn", scikit_learn("F")),
        ),
        tolerance=Tolerance(1e-9, 1e-9, "other sums and another order of operations: 1e-9, + 1e-9"),
        targets=(
            Target("slowdown", 1.1, contender="fastfeat step, pandas"),
            Target("slowdown", 3, contender="fastfeat step, matrix of rows"),
        ),
    ),
)
