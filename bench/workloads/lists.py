"""Functions of lists of numbers: their length, an element, sum, mean, deviation, extremes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from bench import frames
from bench.compare import EXACT, Tolerance
from bench.workload import Contender, Target, Workload

pc: Any = compute  # its functions are made at import
Function = Callable[[Any], Any]
SUMS = Tolerance(1e-12, 1e-12, "sums are exact here, and of running floats in peers")
N_ELEMENTS = 20
SUMMED = ("sum", "mean", "std")


def generate(kind: str, n_rows: int) -> pa.Table:
    """Return lists of 1 to 19 numbers; one row of 50 is missing."""
    rng = np.random.default_rng(21)
    missing = rng.random(n_rows) < 0.02
    lengths = np.where(missing, 0, rng.integers(1, N_ELEMENTS, n_rows))
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    n_elements = int(lengths.sum())
    numbers = rng.normal(size=n_elements) * 100
    values = pa.array(numbers if kind == "float64" else np.rint(numbers).astype(np.int64))
    lists = pa.ListArray.from_arrays(offsets, values, mask=pa.array(missing))
    return pa.table({"x": lists})


def fastfeat(function: Function, table: pa.Table) -> Callable[[], Any]:
    """Return a call of `transform`."""
    import fastfeat as ff

    fitted = ff.Plan({"f": function(ff.col("x"))}).fit(table.slice(0, 1000))
    return lambda: fitted.transform(table)


def polars(engine: str, function: Function, table: pa.Table) -> Callable[[], Any]:
    """Return a call of one expression."""
    import polars as pl

    frame, wanted = frames.to_polars(table), function(pl.col("x"))
    if engine == "eager":
        return lambda: frame.select(wanted)
    return lambda: frames.collect(frame.lazy().select(wanted), engine)


def pyarrow(function: Function, table: pa.Table) -> Callable[[], Any]:
    """Return a call of compute functions."""
    column = table["x"].combine_chunks()
    return lambda: pa.table({"f": function(column)})


def grouped(aggregate: str, column: pa.Array) -> pa.Array:
    """Return an aggregate of each list: group by row number, in the order of the rows."""
    rows = pc.list_parent_indices(column)
    by_row = pa.table({"row": rows, "x": column.flatten()}).group_by("row", use_threads=True)
    options = pc.VarianceOptions(ddof=1) if aggregate == "stddev" else None
    found = by_row.aggregate([("x", aggregate, options)])
    places = pc.index_in(pa.array(np.arange(len(column))), found["row"].combine_chunks())
    return found[f"x_{aggregate}"].take(places)


def duckdb(query: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of one query."""
    connection = frames.to_duckdb(table)
    return lambda: connection.execute(f"SELECT {query} AS f FROM kept").to_arrow_table()


def pandas(function: Function, table: pa.Table) -> Callable[[], Any]:
    """Return a call on an Arrow-backed series."""
    import pandas as pd

    series = table["x"].to_pandas(types_mapper=pd.ArrowDtype)
    return lambda: function(series)


def of_series(series: Any) -> pa.Table:
    """Return an Arrow-backed series as a table."""
    return pa.table({"f": pa.array(series, from_pandas=True)})


def _workload(
    name: str,
    of_expression: Function,
    of_array: Function,
    query: str,
    of_pandas: Function | None = None,
    kind: str = "float64",
    tolerance: Tolerance = EXACT,
) -> Workload:
    contenders = [Contender("fastfeat", "fastfeat", partial(fastfeat, of_expression))]
    contenders += [
        Contender(f"Polars {engine}", "polars", partial(polars, engine, of_expression))
        for engine in ("eager", "streaming")
    ]
    contenders.append(Contender("pyarrow", "pyarrow", partial(pyarrow, of_array)))
    if of_pandas:
        contenders.append(Contender("pandas", "pandas", partial(pandas, of_pandas), of_series))
    contenders.append(Contender("DuckDB", "duckdb", partial(duckdb, query)))
    return Workload(
        name=f"list_{name}_{kind}",
        group="lists",
        title=f"lists of 1 to 19 {kind}: {name}",
        label=f"{name} of lists of {kind}",
        generate=partial(generate, kind),
        rows=1_000_000,
        smoke_rows=2_000,
        contenders=tuple(contenders),
        tolerance=tolerance,
        targets=(Target("ratio", 1, "polars", aim=1.5),) if name in SUMMED else (),
    )


LISTS = (
    _workload(
        "len",
        lambda x: x.list.len(),
        pc.list_value_length,
        "len(x)",
        lambda x: x.list.len(),
    ),
    _workload(
        "get", lambda x: x.list.get(0), lambda x: pc.list_element(x, 0), "x[1]", lambda x: x.list[0]
    ),
    *(
        _workload(
            name,
            (lambda x, name=name: getattr(x.list, name)()),
            partial(grouped, name),
            query,
            kind=kind,
            tolerance=SUMS if name in ("sum", "mean") else EXACT,
        )
        for kind in ("float64", "int64")
        for name, query in (("sum", "list_sum(x)"), ("mean", "list_avg(x)"), ("max", "list_max(x)"))
    ),
    _workload(
        "std",
        lambda x: x.list.std(),
        partial(grouped, "stddev"),
        "list_stddev_samp(x)",
        tolerance=SUMS,
    ),
)
