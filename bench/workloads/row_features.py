"""The 12 row features over 5 million rows; 50 and 200 features; other rows and threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import features, frames
from bench.compare import Tolerance
from bench.workload import Contender, Target, Workload

if TYPE_CHECKING:
    import pyarrow as pa

# float32 outputs: peers compute float32 columns in float32, fastfeat in float64 with one rounding.
SINGLE = Tolerance(
    relative=1e-6, absolute=2e-6, reason="peers compute float32 columns in float32: 1e-6, + 2e-6"
)
_NUMPY_BLOCK = 1 << 17


def fastfeat_fresh(n_features: int, table: pa.Table) -> Callable[[], Any]:
    """Return a call that returns an Arrow table in new memory."""
    fitted = features.fastfeat_plan(n_features).fit(table)
    return lambda: fitted.transform(table)


def fastfeat_reused(n_features: int, table: pa.Table) -> Callable[[], Any]:
    """Return a call that fills the same matrix each time, columns contiguous."""
    fitted = features.fastfeat_plan(n_features).fit(table)
    out = np.full((n_features, table.num_rows), np.nan, np.float32).T  # touched: no page faults
    return lambda: fitted.transform(table, to="numpy", out=out)


def fastfeat_of_chunks(table: pa.Table) -> Callable[[], Any]:
    """Return a call on the same rows in 100 chunks."""
    import pyarrow as pa

    fitted = features.fastfeat_plan(12).fit(table)
    n_rows = max(1, table.num_rows // 100)
    parts = [table.slice(first, n_rows) for first in range(0, table.num_rows, n_rows)]
    chunked = pa.concat_tables(parts)
    return lambda: fitted.transform(chunked)


def pandas_fresh(n_features: int, table: pa.Table) -> Callable[[], Any]:
    """Return a call that returns a pandas frame."""
    frame = frames.to_pandas(table)
    return lambda: features.pandas_features(frame, n_features)


def polars_fresh(
    n_features: int, engine: str, single_precision: bool, table: pa.Table
) -> Callable[[], Any]:
    """Return a call that returns a Polars frame, by one of its engines."""
    frame = frames.to_polars(table)
    chosen = features.polars_features(n_features, single_precision)
    if engine == "eager":
        return lambda: frame.select(chosen)
    lazy = frame.lazy().select(chosen)
    return lambda: frames.collect(lazy, engine)


def numpy_blocks(table: pa.Table) -> Callable[[], Any]:
    """Return a call that computes blocks of rows that fit the cache, on two threads."""
    arrays, n_rows = frames.to_arrays(table), table.num_rows
    pool = ThreadPoolExecutor(2)

    def run() -> list[np.ndarray]:
        out = [np.empty(n_rows, np.float32) for _ in range(12)]
        blocks = [slice(at, at + _NUMPY_BLOCK) for at in range(0, n_rows, _NUMPY_BLOCK)]
        list(pool.map(lambda rows: features.numpy_12_features(arrays, rows, out), blocks))
        return out

    return run


def _fastfeat(n_features: int) -> tuple[Contender, ...]:
    return (
        Contender("fastfeat", "fastfeat", partial(fastfeat_fresh, n_features)),
        Contender("fastfeat out=", "fastfeat", partial(fastfeat_reused, n_features)),
    )


def _polars(n_features: int, *engines: str) -> tuple[Contender, ...]:
    return (
        *(
            Contender(
                f"Polars {engine}", "polars", partial(polars_fresh, n_features, engine, False)
            )
            for engine in engines
        ),
        Contender(
            "Polars lazy, float32", "polars", partial(polars_fresh, n_features, "lazy", True)
        ),
    )


def _contenders(n_features: int) -> tuple[Contender, ...]:
    return (
        *_fastfeat(n_features),
        *_polars(n_features, "eager", "lazy", "streaming"),
        Contender("pandas", "pandas", partial(pandas_fresh, n_features)),
    )


def _wide(n_features: int, rows: int, compile_seconds: float) -> Workload:
    return Workload(
        name=f"row_features_{n_features}",
        title=f"{n_features} row features, 5 % missing, float32 out",
        label=f"{n_features} row features",
        generate=features.table,
        rows=rows,
        smoke_rows=5_000,
        contenders=_contenders(n_features),
        tolerance=SINGLE,
        targets=(Target("compile_seconds", compile_seconds), Target("extra_memory", 0.10)),
        starts=True,
        memory=True,
    )


ROW_FEATURES = (
    Workload(
        name="row_features_12",
        title="12 row features, 5 % missing, float32 out",
        label="12 row features",
        generate=features.table,
        rows=5_000_000,
        smoke_rows=20_000,
        contenders=(
            *_contenders(12),
            Contender("NumPy in blocks", "numpy", numpy_blocks, by_hand=True),
        ),
        tolerance=SINGLE,
        targets=(
            Target("ratio", 15, "pandas"),
            Target("ratio", 6, "polars", aim=8),
            Target("ratio", 6.5, "polars", contender="fastfeat out="),
            Target("share", 0.45),
            Target("share", 0.80, contender="fastfeat out="),
            Target("extra_memory", 0.10),
            Target("compile_seconds", 1),
        ),
        starts=True,
        memory=True,
    ),
    Workload(
        name="row_features_chunks",
        title="12 row features, 5 % missing, of 100 chunks beside one",
        label="12 row features, 100 chunks",
        generate=features.table,
        rows=1_000_000,
        smoke_rows=5_000,
        contenders=(
            Contender("fastfeat", "fastfeat", partial(fastfeat_fresh, 12)),
            Contender("fastfeat, 100 chunks", "fastfeat", fastfeat_of_chunks),
        ),
        tolerance=SINGLE,
        targets=(Target("slowdown", 1.3, contender="fastfeat, 100 chunks", aim=1.15),),
    ),
    _wide(50, rows=2_000_000, compile_seconds=3),
    _wide(200, rows=1_000_000, compile_seconds=8),
)

ROW_SCALING = tuple(
    Workload(
        name=f"row_scaling_1e{power}",
        group="row_scaling",
        title=f"12 row features, 10^{power} rows",
        label=f"12 row features, 10^{power} rows",
        generate=features.table,
        rows=10**power,
        smoke_rows=10 ** min(power, 4),
        contenders=(*_fastfeat(12), *_polars(12, "lazy")),
        tolerance=SINGLE,
    )
    for power in (3, 4, 5, 6, 7)
)

ROW_THREADS = tuple(
    Workload(
        name=f"threads_{n_threads}_row_features",
        group="threads",
        title=f"12 row features, {n_threads} thread{'s' * (n_threads > 1)}",
        label="12 row features",
        generate=features.table,
        rows=5_000_000,
        smoke_rows=200_000,
        contenders=(*_fastfeat(12), *_polars(12, "lazy")),
        tolerance=SINGLE,
        threads=n_threads,
    )
    for n_threads in (1, 2)
)
