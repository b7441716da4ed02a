"""`python -m bench.engines`: the overhead of Ray and Spark on one machine, compared to one process.

No file is read: rows are generated from their numbers where they are read, anew in each pass. Each
contender runs in its own process, and first fits a small part of the rows, so that kernels are
loaded and workers have started. CPU time includes all its processes. Artifacts must be equal.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import fastfeat as ff
from fastfeat import col
from fastfeat.keep.artifact import artifact_bytes

N_WORKERS = 2
N_WARM = 100_000
BLOCK = 250_000
"""Rows of a block, a partition, or a batch."""
FLOATS = [f"x{k}" for k in range(4)]
SCHEMA = pa.schema([*((name, pa.float64()) for name in FLOATS), ("key", pa.int64())])
PLAN = ff.Plan(
    {
        **{name: col(name).standard_scale() for name in FLOATS[1:]},
        "x0": col("x0").robust_scale(),
        "key": col("key").count_encode(),
    }
)


def made(numbers: np.ndarray[Any, np.dtype[np.int64]]) -> pa.Table:
    """Return the rows with some numbers: noise, and one of 10,000 keys."""
    mixed = numbers.astype(np.uint64)
    columns: list[Any] = []
    for _ in SCHEMA:
        mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
        columns.append((mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53)
    columns[-1] = (columns[-1] * 10_000).astype(np.int64)
    return pa.table(columns, SCHEMA)


def in_one_process() -> Callable[[int], ff.FittedPlan]:
    """Return a fit of a number of rows in one process, with as many threads as workers."""
    ff.set_num_threads(N_WORKERS)

    def reader(n_rows: int) -> pa.RecordBatchReader:
        firsts = range(0, n_rows, BLOCK)
        tables = (made(np.arange(k, min(k + BLOCK, n_rows))) for k in firsts)
        batches = (batch for table in tables for batch in table.to_batches())
        return pa.RecordBatchReader.from_batches(SCHEMA, batches)

    return lambda n_rows: PLAN.fit(lambda: reader(n_rows), memory="2GiB", profile=False)


def on_ray() -> Callable[[int], ff.FittedPlan]:
    """Return a fit of a number of rows by Ray."""
    import ray  # pyright: ignore[reportMissingImports]

    from fastfeat.integrations import ray as ours

    ray.init(
        num_cpus=N_WORKERS,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=512 << 20,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False

    def block(table: pa.Table) -> pa.Table:
        return made(table.column("id").to_numpy())

    def fit(n_rows: int) -> ff.FittedPlan:
        numbers = ray.data.range(n_rows, override_num_blocks=-(-n_rows // BLOCK))
        rows = numbers.map_batches(block, batch_format="pyarrow", batch_size=None)
        return ours.fit(PLAN, rows, profile=False)

    return fit


def on_spark() -> Callable[[int], ff.FittedPlan]:
    """Return a fit of a number of rows by Spark."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]

    from fastfeat.integrations import spark as ours

    options = {
        "spark.driver.memory": "1g",
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.log.level": "ERROR",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master(f"local[{N_WORKERS}]")
    session = builder.config(map=options).getOrCreate()
    fields = ", ".join(f"{name} double" for name in FLOATS) + ", key bigint"

    def rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from made(batch.column(0).to_numpy()).to_batches()

    def fit(n_rows: int) -> ff.FittedPlan:
        numbers = session.range(0, n_rows, 1, -(-n_rows // BLOCK))
        return ours.fit(PLAN, numbers.mapInArrow(rows, fields), profile=False)

    return fit


CONTENDERS: Mapping[str, Callable[[], Callable[[int], ff.FittedPlan]]] = {
    "one process": in_one_process,
    "Ray": on_ray,
    "Spark": on_spark,
}


def cpu_seconds() -> float:
    """Return the CPU time of this process and all its descendants, including ended ones."""
    ticks: dict[int, int] = {}
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(folder.name)] = int(fields[1])
        ticks[int(folder.name)] = sum(map(int, fields[11:15]))
    ours = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return sum(ticks[process] for process in ours) / os.sysconf("SC_CLK_TCK")


def measure(name: str, n_rows: int) -> None:
    """Print the seconds of a contender, of wall time and CPU time, and its artifact's digest."""
    fit = CONTENDERS[name]()
    fit(N_WARM)
    wall, cpu = time.perf_counter(), cpu_seconds()
    fitted = fit(n_rows)
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    digest = hashlib.sha256(artifact_bytes(fitted.record)).hexdigest()
    print(json.dumps({"wall": wall, "cpu": cpu, "digest": digest}))


def main() -> None:
    """Measure contenders in turn, and print the lowest figures of each."""
    options = argparse.ArgumentParser(prog="python -m bench.engines")
    options.add_argument("--rows", type=int, nargs="+", default=[4_000_000, 40_000_000])
    options.add_argument("--engine", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    options.add_argument("--repeats", type=int, default=3, help="of each; the least counts")
    options.add_argument("--measure", choices=CONTENDERS, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.measure:
        measure(given.measure, *given.rows)
        return
    print("| rows | | seconds | CPU seconds | CPU of one process |\n|---|---|---|---|---|")
    for n_rows in given.rows:
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in given.engine}
        for _ in range(given.repeats):
            for name in given.engine:
                own = ["--measure", name, "--rows", str(n_rows)]
                done = subprocess.run(
                    [sys.executable, "-m", "bench.engines", *own],
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
                found[name].append(json.loads(done.stdout.splitlines()[-1]))
        assert len({one["digest"] for runs in found.values() for one in runs}) == 1
        alone = min(one["cpu"] for one in next(iter(found.values())))
        for name, runs in found.items():
            wall, cpu = (min(one[key] for one in runs) for key in ("wall", "cpu"))
            print(f"| {n_rows:,} | {name} | {wall:.1f} | {cpu:.1f} | {cpu / alone:.2f}x |")


if __name__ == "__main__":
    main()
