"""Counts of categories, learnt and returned for each row: 10 million of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import EXACT
from bench.workload import Contender, Workload
from bench.workloads.categories import generate_numbers


def count_fastfeat(at_once: bool, table: pa.Table) -> Callable[[], Any]:
    """Return a call that learns the counts, and returns those of the rows."""
    import fastfeat as ff

    plan = ff.Plan({"n": ff.col("k").count_encode()})
    if at_once:
        return lambda: plan.fit_transform(table)[1]
    return lambda: plan.fit(table, profile=False).transform(table)


def count_polars(engine: str, by: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of `over`, or of group_by and join."""
    import polars as pl

    frame = frames.to_polars(table)
    if by == "over":
        query = frame.lazy().select(pl.len().over("k"))
    else:
        counts = frame.lazy().group_by("k").len()
        joined = frame.lazy().join(counts, on="k", how="left", maintain_order="left")
        query = joined.select("len")
    return lambda: frames.collect(query, engine)


def count_pandas(table: pa.Table) -> Callable[[], Any]:
    """Return a call of the counts of a group for each row."""
    series = frames.to_pandas(table)["k"]
    return lambda: [series.groupby(series).transform("size").to_numpy()]


def count_pyarrow(table: pa.Table) -> Callable[[], Any]:
    """Return a call of dictionary_encode, and of counts by code in NumPy."""
    array = table["k"].combine_chunks()

    def run() -> Any:
        codes = array.dictionary_encode().indices.to_numpy()
        return [np.bincount(codes)[codes]]

    return run


def count_category_encoders(table: pa.Table) -> Callable[[], Any]:
    """Return a call of CountEncoder."""
    import category_encoders

    frame = frames.to_pandas(table)

    def run() -> Any:
        counted: Any = category_encoders.CountEncoder(cols=["k"]).fit_transform(frame)
        return [counted["k"].to_numpy()]

    return run


CATEGORY_COUNTS = (
    Workload(
        name="count_encode",
        group="categories",
        title="count_encode of int64, 1M distinct, fit + transform",
        label="counts of int64",
        generate=generate_numbers,
        rows=10_000_000,
        smoke_rows=20_000,
        contenders=(
            Contender("fastfeat", "fastfeat", partial(count_fastfeat, False)),
            Contender("fastfeat fit_transform", "fastfeat", partial(count_fastfeat, True)),
            *(
                Contender(f"Polars {engine} {by}", "polars", partial(count_polars, engine, by))
                for engine in ("lazy", "streaming")
                for by in ("over", "join")
            ),
            Contender("pyarrow", "pyarrow", count_pyarrow),
            Contender("pandas", "pandas", count_pandas),
            Contender("category_encoders", "category_encoders", count_category_encoders),
        ),
        tolerance=EXACT,
    ),
)
