"""Features as matrices of small floats, and codes as a matrix of small integers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import EXACT, Tolerance
from bench.workload import Contender, Target, Workload

N_COLUMNS = 12
_EDGES = [-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5]


def generate(n_rows: int) -> pa.Table:
    """Return 12 float64 columns, 5 % missing."""
    rng = np.random.default_rng(16)
    return pa.table(
        {
            f"x{k}": pa.array(rng.normal(size=n_rows), mask=rng.random(n_rows) < 0.05)
            for k in range(N_COLUMNS)
        }
    )


def scaled(dtype: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call that returns 12 scaled columns as a matrix, in existing memory."""
    import fastfeat as ff

    plan = ff.Plan({name: (ff.col(name) - 0.1) * 1.7 for name in table.column_names}, dtype=dtype)
    fitted = plan.fit(table.slice(0, 100))
    out = np.zeros((table.num_rows, N_COLUMNS), dtype, order="F")
    return lambda: fitted.transform(table, to="numpy", out=out)


def by_numpy(dtype: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of the same in NumPy, which rounds a matrix of float64."""
    matrix = np.asfortranarray(frames.to_matrix(table))
    return lambda: ((matrix - 0.1) * 1.7).astype(dtype)


def codes(kind: str | None, table: pa.Table) -> Callable[[], Any]:
    """Return a call that returns the bins of 12 columns as a matrix; missing is the bin 8."""
    import fastfeat as ff

    bins = {name: ff.col(name).cut(_EDGES).fill_null(8) for name in table.column_names}
    fitted = ff.Plan(bins, codes=kind).fit(table.slice(0, 100))  # type: ignore[arg-type]
    dtype = np.float64 if kind is None else np.uint8
    out = np.zeros((table.num_rows, N_COLUMNS), dtype, order="F")
    return lambda: fitted.transform(table, to="numpy", out=out)


def _as_float64(result: Any) -> Any:
    return result.astype(np.float64)


SMALL_OUTPUTS = (
    Workload(
        name="small_floats",
        group="small_outputs",
        title="12 scaled columns as a matrix of float32, and of float16",
        label="matrix of float16",
        generate=generate,
        rows=5_000_000,
        smoke_rows=5_000,
        contenders=(
            Contender("float32", "fastfeat", partial(scaled, "float32"), _as_float64),
            Contender("fastfeat", "fastfeat", partial(scaled, "float16"), _as_float64),
            Contender("numpy", "numpy", partial(by_numpy, "float16"), _as_float64),
        ),
        tolerance=Tolerance(relative=2.0**-10, absolute=2.0**-24, reason="float16 has 11 bits"),
        targets=(Target("slowdown", 1.1, aim=1.0), Target("ratio", 5.0, library="numpy")),
    ),
    Workload(
        name="small_codes",
        group="small_outputs",
        title="12 binned columns as a matrix of float64, and of uint8",
        label="matrix of uint8 codes",
        generate=generate,
        rows=5_000_000,
        smoke_rows=5_000,
        contenders=(
            Contender("float64", "fastfeat", partial(codes, None), _as_float64),
            Contender("fastfeat", "fastfeat", partial(codes, "smallest"), _as_float64),
        ),
        tolerance=EXACT,
        targets=(Target("slowdown", 1.0),),
    ),
)
