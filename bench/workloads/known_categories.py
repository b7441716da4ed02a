"""Codes of categories that are known already: fitted plans, and peers with prepared look-ups."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import EXACT
from bench.workload import Contender, Workload
from bench.workloads.categories import FIRST_CODE, generate_numbers, generate_text


def fastfeat_transform(table: pa.Table) -> Callable[[], Any]:
    """Return a call of a fitted plan."""
    import fastfeat as ff

    fitted = ff.Plan({"code": ff.col("k").ordinal_encode()}).fit(table)
    return lambda: fitted.transform(table)


def _known(column: pa.ChunkedArray) -> pa.Table:
    """Return the values of a column with fastfeat's codes."""
    counts = column.value_counts()
    columns = {"k": counts.field("values"), "n": counts.field("counts")}
    keys = pa.table(columns).sort_by([("n", "descending"), ("k", "ascending")])
    codes = np.arange(FIRST_CODE, FIRST_CODE + len(keys), dtype=np.int32)
    return keys.select(["k"]).append_column("code", pa.array(codes))


def known_polars(engine: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of a join with the known values."""

    frame, known = frames.to_polars(table), frames.to_polars(_known(table["k"]))
    joined = frame.lazy().join(known.lazy(), on="k", how="left", maintain_order="left")
    return lambda: frames.collect(joined.select("code"), engine)


def known_pandas(table: pa.Table) -> Callable[[], Any]:
    """Return a call for the places in a pandas index of the known values, with its hash table."""
    import pandas as pd

    series: Any = frames.to_pandas(table)["k"]
    index = pd.Index(frames.to_pandas(_known(table["k"]))["k"])
    index.get_indexer(series[:1])
    return lambda: [index.get_indexer(series) + FIRST_CODE]


def known_pyarrow(table: pa.Table) -> Callable[[], Any]:
    """Return a call for the places among the known values."""
    index_in: Any = import_module("pyarrow.compute").index_in
    column, values = table["k"], _known(table["k"])["k"].combine_chunks()

    def run() -> Any:
        return [index_in(column, value_set=values)]

    return run


def of_places(result: list[Any]) -> list[Any]:
    """Return the codes for places among the known values."""
    return [result[0].to_numpy() + FIRST_CODE]


def known_duckdb(table: pa.Table) -> Callable[[], Any]:
    """Return a call of a join with the known values."""
    connection = frames.to_duckdb(table)
    connection.register("given", _known(table["k"]))
    connection.execute("CREATE TABLE known AS SELECT * FROM given")
    query = "SELECT code, kept.rowid AS row FROM kept LEFT JOIN known USING (k)"
    return lambda: connection.execute(query).to_arrow_table()


KNOWN_CATEGORIES = tuple(
    Workload(
        name=f"ordinal_{name}_transform",
        group="categories",
        title=f"ordinal_encode of {what}, by a plan that is fitted",
        label=f"codes of known {what.partition(',')[0]}",
        generate=generate,
        rows=10_000_000,
        smoke_rows=20_000,
        contenders=(
            Contender("fastfeat", "fastfeat", fastfeat_transform),
            *(
                Contender(f"Polars {engine} join", "polars", partial(known_polars, engine))
                for engine in ("lazy", "streaming")
            ),
            Contender("pyarrow", "pyarrow", known_pyarrow, of_places),
            Contender("pandas", "pandas", known_pandas),
            Contender("DuckDB", "duckdb", known_duckdb, frames.in_order_of_rows),
        ),
        tolerance=EXACT,
    )
    for name, what, generate in (
        ("int64", "int64, uniform, 1M distinct", generate_numbers),
        ("text", "short text, skewed, 100k distinct", partial(generate_text, True, 12)),
    )
)
