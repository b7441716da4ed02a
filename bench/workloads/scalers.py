"""Fit and transform of the learnt scalers, against scikit-learn and Polars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import Tolerance
from bench.workload import Contender, Workload

if TYPE_CHECKING:
    import polars as pl

N_COLUMNS = 8


@dataclass(frozen=True, slots=True)
class Scaler:
    """One scaler in each library.

    Args:
        name: Name of the workload.
        title: Title for people.
        scale: fastfeat's function from an expression to an expression.
        estimator: scikit-learn's estimator.
        expression: The same in Polars, or None if it has no such function.
    """

    name: str
    title: str
    scale: Callable[[Any], Any]
    estimator: Callable[[], Any]
    expression: Callable[[pl.Expr], pl.Expr] | None = None


def generate(n_rows: int) -> pa.Table:
    """Return 8 float64 columns, 5 % missing."""
    rng = np.random.default_rng(4)
    return pa.table(
        {
            f"x{index}": pa.array(
                rng.normal(index, 1 + index, n_rows), mask=rng.random(n_rows) < 0.05
            )
            for index in range(N_COLUMNS)
        }
    )


def fastfeat(scaler: Scaler, table: pa.Table) -> Callable[[], Any]:
    """Return a call that fits and transforms."""
    import fastfeat as ff

    plan = ff.Plan({name: scaler.scale(ff.col(name)) for name in table.column_names})
    return lambda: plan.fit(table, profile=False).transform(table)


def scikit_learn(order: str, scaler: Scaler, table: pa.Table) -> Callable[[], Any]:
    """Return a call of fit_transform on a matrix in row or in column order."""
    matrix = np.array(frames.to_matrix(table), order="F" if order == "columns" else "C")
    return lambda: scaler.estimator().fit_transform(matrix)


def polars(engine: str, scaler: Scaler, table: pa.Table) -> Callable[[], Any]:
    """Return a call of the same formula in Polars."""
    import polars as pl

    frame = frames.to_polars(table)
    assert scaler.expression is not None
    scaled = [scaler.expression(pl.col(name)) for name in table.column_names]
    return lambda: frames.collect(frame.lazy().select(scaled), engine)


def _estimator(name: str, **parameters: Any) -> Callable[[], Any]:
    def make() -> Any:
        from sklearn import impute, preprocessing

        owner = impute if hasattr(impute, name) else preprocessing
        return getattr(owner, name)(**parameters)

    return make


def _min_max(x: pl.Expr) -> pl.Expr:
    return (x - x.min()) / (x.max() - x.min())


def _robust(x: pl.Expr) -> pl.Expr:
    low, middle, high = (x.quantile(level, interpolation="linear") for level in (0.25, 0.5, 0.75))
    return (x - middle) / (high - low)


SCALERS = (
    Scaler(
        "standard",
        "standard scale",
        lambda x: x.standard_scale(),
        _estimator("StandardScaler"),
        lambda x: (x - x.mean()) / x.std(ddof=0),
    ),
    Scaler(
        "min_max",
        "min-max scale",
        lambda x: x.min_max_scale(),
        _estimator("MinMaxScaler"),
        _min_max,
    ),
    Scaler(
        "max_abs",
        "max-abs scale",
        lambda x: x.max_abs_scale(),
        _estimator("MaxAbsScaler"),
        lambda x: x / x.abs().max(),
    ),
    Scaler(
        "robust",
        "robust scale",
        lambda x: x.robust_scale(),
        _estimator("RobustScaler"),
        _robust,
    ),
    Scaler(
        "quantile",
        "quantile transform, 1,000 points, all rows",
        lambda x: x.quantile_transform(),
        _estimator("QuantileTransformer", n_quantiles=1000, subsample=None),
    ),
    Scaler(
        "impute_median",
        "impute the median",
        lambda x: x.impute("median"),
        _estimator("SimpleImputer", strategy="median"),
        lambda x: x.fill_null(x.median()),
    ),
)


def _contenders(scaler: Scaler) -> tuple[Contender, ...]:
    peers = [
        Contender(f"scikit-learn, {order}", "scikit-learn", partial(scikit_learn, order, scaler))
        for order in ("rows", "columns")
    ]
    if scaler.expression is not None:
        peers += [
            Contender(f"Polars {engine}", "polars", partial(polars, engine, scaler))
            for engine in ("lazy", "streaming")
        ]
    return (Contender("fastfeat", "fastfeat", partial(fastfeat, scaler)), *peers)


SCALER_WORKLOADS = tuple(
    Workload(
        name=f"scaler_{scaler.name}",
        group="scalers",
        title=f"{scaler.title}, fit + transform, 8 columns, 5 % missing",
        label=scaler.title.partition(",")[0],
        generate=generate,
        rows=1_000_000,
        smoke_rows=5_000,
        contenders=_contenders(scaler),
        tolerance=Tolerance(1e-9, 1e-9, "other sums and another order of operations: 1e-9, + 1e-9"),
        starts=scaler.name == "standard",
        memory=scaler.name in ("standard", "quantile"),
    )
    for scaler in SCALERS
)
