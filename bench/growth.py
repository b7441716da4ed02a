"""Memory and time of a fit in passes as the data grows: `python -m bench.growth`.

Rows are generated as they are read: slices of columns of a million normal numbers, at negligible
cost. Each size has a process of its own.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

BUDGET = "600MiB"
GROUP_ROWS, POOL_ROWS = 125_000, 1_000_000
WIDTHS = {"three passes": 24, "one pass": 8}
SIZES = {"three passes": (11.0, 22.0, 43.0), "one pass": (25.0, 50.0, 100.0, 200.0)}
"""Millions of rows: 2, 4 and 8 GiB; and lighter rows, up to 200 million."""


def batches(n_rows: int, width: int) -> Iterator[pa.RecordBatch]:
    """Yield rows in groups of 125,000, with 5 % of the numbers missing."""
    random = np.random.default_rng(0)
    pool = pa.array(random.normal(size=POOL_ROWS), mask=random.random(POOL_ROWS) < 0.05)
    keys = pa.array(random.integers(0, 100_000, POOL_ROWS))
    late = pa.array(random.random(POOL_ROWS) < 0.2)
    for group, first in enumerate(range(0, n_rows, GROUP_ROWS)):
        n = min(GROUP_ROWS, n_rows - first)
        places = [(k * 7_919 + group * 104_729) % (POOL_ROWS - n) for k in range(width)]
        columns = {f"x{k}": pool.slice(place, n) for k, place in enumerate(places)}
        others = {"key": keys.slice(places[0], n), "late": late.slice(places[0], n)}
        yield pa.record_batch(columns | others)


def plan_of(kind: str) -> Any:
    """Return a plan of scalers, or also of robust ones, counts of keys, and targets by folds."""
    import fastfeat as ff

    columns = {f"x{k}": ff.col(f"x{k}") for k in range(WIDTHS[kind])}
    features = {name: column.standard_scale() for name, column in columns.items()}
    if kind == "one pass":
        return ff.Plan(features)
    robust = {f"x{k}": columns[f"x{k}"].robust_scale() for k in range(16, 24)}
    of_keys = {
        "target": ff.col("key").target_encode("late", folds=5),
        "count": ff.col("key").count_encode(),
    }
    return ff.Plan(features | robust | of_keys, label="late")


def measure(kind: str, n_rows: int) -> str:
    """Return a row of the table: the size, the process's peak memory, and its CPU time."""
    from fastfeat.io.host_memory import peak_memory

    plan, width = plan_of(kind), WIDTHS[kind]
    plan.fit(lambda: batches(200_000, width), memory=BUDGET, profile=False)  # it compiles
    before = resource.getrusage(resource.RUSAGE_SELF)
    plan.fit(lambda: batches(n_rows, width), memory=BUDGET, profile=False)
    after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    size, peak = n_rows * (width + 1) * 8 / 2**30, (peak_memory() or 0) >> 20
    cells = f"{kind} | {n_rows / 1e6:,.0f} M | {size:.1f} GiB | {peak} MiB | {seconds:.2f} s"
    return f"| {cells} | {seconds / n_rows * 1e9:.0f} ns |"


def main(arguments: Sequence[str]) -> None:
    """Measure one size, or each in its own process."""
    if arguments:
        print(measure(arguments[0], int(float(arguments[1]) * 1e6)), flush=True)
        return
    print(
        "| fit | rows | in memory | peak | CPU | a row |\n|---|---:|---:|---:|---:|---:|",
        flush=True,
    )
    for kind, sizes in SIZES.items():
        for millions in sizes:
            command = [sys.executable, "-m", "bench.growth", kind, str(millions)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
