"""Handing over: the same 50 features to each library, and matrices of users as input."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import Tolerance
from bench.workload import Contender, Target, Workload

if TYPE_CHECKING:
    import fastfeat as ff

N_COLUMNS = 50


def generate(n_rows: int) -> pa.Table:
    """Return 50 float64 columns, 5 % missing as NaN, like in a matrix."""
    rng = np.random.default_rng(11)
    columns: dict[str, Any] = {}
    for index in range(N_COLUMNS):
        values = rng.normal(index, 1 + index, n_rows)
        values[rng.random(n_rows) < 0.05] = np.nan
        columns[f"x{index}"] = values
    return pa.table(columns)


def _plan(names: list[str]) -> ff.Plan:
    import fastfeat as ff

    return ff.Plan({name: ff.col(name).standard_scale() for name in names}, dtype="float32")


def to_form(form: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call that transforms to an output format."""
    fitted = _plan(table.column_names).fit(table)
    return lambda: fitted.transform(table, to=form)


def to_matrix(order: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call that fills the same matrix each time, in row or in column order."""
    fitted = _plan(table.column_names).fit(table)
    shape = table.num_rows, table.num_columns
    out = np.full(shape, np.nan, np.float32, order="F" if order == "columns" else "C")  # touched
    return lambda: fitted.transform(table, to="numpy", out=out)


def by_hand(table: pa.Table) -> Callable[[], Any]:
    """Return a call that makes a pandas frame of the Arrow table, by hand."""
    fitted = _plan(table.column_names).fit(table)
    return lambda: fitted.transform(table).to_pandas()


def scikit_learn_scaled(table: pa.Table) -> Callable[[], Any]:
    """Return a call that scales a matrix in row order, in float64 like scikit-learn."""
    from sklearn.preprocessing import StandardScaler

    matrix = np.ascontiguousarray(frames.to_matrix(table))
    scaler = StandardScaler().fit(matrix)
    return lambda: scaler.transform(matrix)


def from_columns(order: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call that fits and transforms the columns of a matrix, {name: X[:, k]}."""
    matrix = np.array(frames.to_matrix(table), order="F" if order == "columns" else "C")
    data = {name: matrix[:, k] for k, name in enumerate(table.column_names)}
    plan = _plan(table.column_names)
    return lambda: plan.fit_transform(data)[1]


def from_pandas(order: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call that fits and transforms a pandas frame over a matrix."""
    import pandas as pd

    matrix = np.array(frames.to_matrix(table), order="F" if order == "columns" else "C")
    frame = pd.DataFrame(matrix, columns=table.column_names, copy=False)
    plan = _plan(table.column_names)
    return lambda: plan.fit_transform(frame, to="pandas")[1]


def scikit_learn_fitted(order: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call that fits and transforms a matrix by scikit-learn."""
    from sklearn.preprocessing import StandardScaler

    matrix = np.array(frames.to_matrix(table), order="F" if order == "columns" else "C")
    return lambda: StandardScaler().fit_transform(matrix)


_FORMS = ("arrow", "numpy", "pandas", "polars", *(["torch"] if find_spec("torch") else []))
_SINGLE = Tolerance(1e-6, 2e-6, "scikit-learn does not round to float32: 1e-6, + 2e-6")

HAND_OVER = (
    Workload(
        name="hand_over",
        group="hand_over",
        title=f"transform {N_COLUMNS} scaled columns, float32, to each library",
        label="hand-over",
        generate=generate,
        rows=1_000_000,
        smoke_rows=5_000,
        contenders=(
            Contender("fastfeat", "fastfeat", partial(to_matrix, "columns")),
            Contender("fastfeat out= rows", "fastfeat", partial(to_matrix, "rows")),
            *(
                Contender(f"fastfeat to {form}", "fastfeat", partial(to_form, form))
                for form in _FORMS
            ),
            Contender("fastfeat to arrow, to_pandas()", "fastfeat", by_hand),
            Contender("scikit-learn", "scikit-learn", scikit_learn_scaled),
        ),
        tolerance=_SINGLE,
        targets=(
            Target("slowdown", 1.5, contender="fastfeat out= rows", aim=1.2),
            *(Target("slowdown", 1.5, contender=f"fastfeat to {form}") for form in _FORMS),
        ),
    ),
    Workload(
        name="hand_over_in",
        group="hand_over",
        title=f"fit + transform {N_COLUMNS} scaled columns of a matrix, as users hold it",
        label="a matrix in",
        generate=generate,
        rows=1_000_000,
        smoke_rows=5_000,
        contenders=(
            Contender("fastfeat", "fastfeat", partial(from_columns, "columns")),
            Contender("fastfeat rows", "fastfeat", partial(from_columns, "rows")),
            Contender("fastfeat pandas", "fastfeat", partial(from_pandas, "columns")),
            Contender("fastfeat pandas, rows", "fastfeat", partial(from_pandas, "rows")),
            *(
                Contender(
                    f"scikit-learn, {order}", "scikit-learn", partial(scikit_learn_fitted, order)
                )
                for order in ("rows", "columns")
            ),
        ),
        tolerance=_SINGLE,
        targets=(
            Target("slowdown", 3, contender="fastfeat rows", aim=2),
            Target("slowdown", 3, contender="fastfeat pandas, rows", aim=2),
            Target("slowdown", 1.1, contender="fastfeat pandas"),
        ),
    ),
)
