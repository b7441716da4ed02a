"""The 12 row features of small batches, one after the other: a server's cost per call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import features, frames
from bench.workload import Contender, Target, Workload
from bench.workloads.row_features import SINGLE

if TYPE_CHECKING:
    import pyarrow as pa

N_BATCHES = 100


def batches(table: pa.Table) -> list[pa.Table]:
    """Return the rows in batches, each with memory of its own."""
    n_rows = table.num_rows // N_BATCHES
    return [table.slice(k * n_rows, n_rows).combine_chunks() for k in range(N_BATCHES)]


def fastfeat(to: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call that returns a matrix, or an Arrow table, for each batch."""
    fitted, given = features.fastfeat_plan(12).fit(table), batches(table)
    return lambda: [fitted.transform(batch, to=to) for batch in given]


def polars(engine: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call that returns a Polars frame for each batch; expressions are prepared."""
    given = [frames.to_polars(batch) for batch in batches(table)]
    wanted = features.polars_features(12)
    if engine == "eager":
        return lambda: [frame.select(wanted) for frame in given]
    return lambda: [frame.lazy().select(wanted).collect() for frame in given]


def pandas(table: pa.Table) -> Callable[[], Any]:
    """Return a call that returns a pandas frame for each batch."""
    given = [frames.to_pandas(batch) for batch in batches(table)]
    return lambda: [features.pandas_features(frame, 12) for frame in given]


def joined(results: list[Any]) -> Any:
    """Return the features of all batches as one matrix."""
    return np.concatenate([matrix_of(one) for one in results])


def matrix_of(features_of_batch: Any) -> Any:
    """Return features as a matrix."""
    if isinstance(features_of_batch, np.ndarray):
        return features_of_batch
    if hasattr(features_of_batch, "to_numpy"):  # of Polars, of pandas
        return features_of_batch.to_numpy()
    columns = (column.to_numpy() for column in features_of_batch.columns)  # of Arrow
    return np.column_stack(list(columns))


def _workload(n_rows: int, targets: tuple[Target, ...]) -> Workload:
    rows = "row" if n_rows == 1 else "rows"
    return Workload(
        name=f"small_batches_{n_rows}",
        group="small_batches",
        title=f"12 row features, {N_BATCHES} batches of {n_rows:,} {rows}, a call each",
        label=f"12 row features, batches of {n_rows:,} {rows}",
        generate=features.table,
        rows=N_BATCHES * n_rows,
        smoke_rows=N_BATCHES * 2,
        contenders=(
            Contender("fastfeat", "fastfeat", partial(fastfeat, "numpy"), joined),
            Contender("fastfeat Arrow", "fastfeat", partial(fastfeat, "arrow"), joined),
            Contender("Polars eager", "polars", partial(polars, "eager"), joined),
            Contender("Polars lazy", "polars", partial(polars, "lazy"), joined),
            Contender("pandas", "pandas", pandas, joined),
        ),
        tolerance=SINGLE,
        targets=targets,
    )


SMALL_BATCHES = tuple(
    _workload(n_rows, (Target("ratio", 10, "polars", aim=20),)) for n_rows in (1, 100, 1_000)
)
