"""Comparisons with constants: 40 bools of 8 columns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import EXACT
from bench.workload import Contender, Target, Workload

COLUMNS = tuple(f"x{index}" for index in range(8))
BOUNDS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def generate(n_rows: int) -> pa.Table:
    """Return 8 float64 columns; 5 % of the values are missing."""
    rng = np.random.default_rng(31)
    return pa.table(
        {
            name: pa.array(rng.normal(0, 1, n_rows), mask=rng.random(n_rows) < 0.05)
            for name in COLUMNS
        }
    )


def compared(col: Callable[[str], Any]) -> dict[str, Any]:
    """Return the comparisons by name, in the words that fastfeat and Polars share."""
    return {
        f"{name}_{index}": col(name) > bound
        for name in COLUMNS
        for index, bound in enumerate(BOUNDS)
    }


def fastfeat(table: pa.Table) -> Callable[[], Any]:
    """Return a call of `transform`."""
    import fastfeat as ff

    fitted = ff.Plan(compared(ff.col)).fit(table.slice(0, 1000))
    return lambda: fitted.transform(table)


def polars(engine: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of one of Polars' engines."""
    import polars as pl

    frame, wanted = frames.to_polars(table), compared(pl.col)
    if engine == "eager":
        return lambda: frame.select(**wanted)
    return lambda: frames.collect(frame.lazy().select(**wanted), engine)


def numpy(table: pa.Table) -> Callable[[], Any]:
    """Return a call of NumPy; a missing value compares as false there, and is made missing again.

    Missing values are NaN, so the rows to make missing are known without a mask of their own.
    """
    arrays = frames.to_arrays(table)
    return lambda: [
        np.ma.masked_array(values > bound, np.isnan(values))
        for values in arrays.values()
        for bound in BOUNDS
    ]


def of_masked(columns: list[Any]) -> pa.Table:
    """Return masked arrays as a table."""
    names = [f"{name}_{index}" for name in COLUMNS for index in range(len(BOUNDS))]
    return pa.table([pa.array(column.data, mask=column.mask) for column in columns], names=names)


COMPARISONS = (
    Workload(
        name="bools_40",
        title="40 comparisons of 8 columns with constants, 5 % missing",
        label="40 bools",
        generate=generate,
        rows=2_000_000,
        smoke_rows=5_000,
        contenders=(
            Contender("fastfeat", "fastfeat", fastfeat),
            *(
                Contender(f"Polars {engine}", "polars", partial(polars, engine))
                for engine in ("eager", "streaming")
            ),
            Contender("NumPy", "numpy", numpy, of_masked),
        ),
        tolerance=EXACT,
        targets=(Target("ratio", 1.1, "polars", aim=1.4),),
    ),
)
