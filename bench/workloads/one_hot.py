"""One indicator column for each of 1,000 categories, dense, one byte an entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import EXACT
from bench.workload import Contender, Workload

N_CATEGORIES = 1_000


def generate(n_rows: int) -> pa.Table:
    """Return text with categories in the same order by frequency and by name, as peers sort them.

    It needs at least 10 rows for each category.
    """
    rng = np.random.default_rng(8)
    share = np.sort(rng.random(N_CATEGORIES) + 0.1)[::-1]
    counts = np.floor(share / share.sum() * n_rows).astype(np.int64)
    counts[0] += n_rows - counts.sum()
    names = pa.array([f"c{index:03}" for index in range(N_CATEGORIES)])
    indices = rng.permutation(np.repeat(np.arange(N_CATEGORIES), counts))
    return pa.table({"k": names.take(pa.array(indices))})


def fastfeat(table: pa.Table) -> Callable[[], Any]:
    """Return a call that fits and transforms."""
    import fastfeat as ff

    plan = ff.Plan({"k": ff.col("k").one_hot_encode()})
    return lambda: plan.fit(table, profile=False).transform(table)


def polars(table: pa.Table) -> Callable[[], Any]:
    """Return a call of to_dummies."""
    series = frames.to_polars(table)["k"]
    return lambda: series.to_dummies()


def polars_categories(table: pa.Table) -> Callable[[], Any]:
    """Return a call of comparisons with each category."""
    import polars as pl

    frame = frames.to_polars(table)

    def run() -> Any:
        names = frame["k"].unique().sort()
        codes = frame["k"].cast(pl.Enum(names)).to_physical()
        wanted = [(pl.col("k") == code).cast(pl.UInt8).alias(n) for code, n in enumerate(names)]
        return codes.to_frame("k").select(wanted)

    return run


def by_name(frame: Any) -> Any:
    """Return the columns of a Polars frame in the order of their names."""
    return frame.select(sorted(frame.columns))


def pandas(table: pa.Table) -> Callable[[], Any]:
    """Return a call of get_dummies."""
    import pandas as pd

    series = frames.to_pandas(table)["k"]
    return lambda: pd.get_dummies(series, dtype=np.uint8)


def scikit_learn(table: pa.Table) -> Callable[[], Any]:
    """Return a call of OneHotEncoder, which gives a matrix in row order."""
    from sklearn.preprocessing import OneHotEncoder

    column = table["k"].to_numpy().reshape(-1, 1)
    dtype: Any = np.uint8  # scikit-learn's annotation is of its default
    return lambda: OneHotEncoder(sparse_output=False, dtype=dtype).fit_transform(column)


ONE_HOT = (
    Workload(
        name="one_hot",
        group="categories",
        title=f"one_hot_encode of text, {N_CATEGORIES:,} categories, fit + transform",
        label=f"one-hot, {N_CATEGORIES:,} categories",
        generate=generate,
        rows=1_000_000,
        smoke_rows=10 * N_CATEGORIES,
        contenders=(
            Contender("fastfeat", "fastfeat", fastfeat),
            Contender("Polars to_dummies", "polars", polars, by_name),
            Contender("Polars comparisons", "polars", polars_categories),
            Contender("pandas", "pandas", pandas),
            Contender("scikit-learn", "scikit-learn", scikit_learn),
        ),
        tolerance=EXACT,
        memory=True,
    ),
)
