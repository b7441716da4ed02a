"""Memory and time of a fit of ten million keys within a budget: `python -m bench.many_keys`.

Each key is in one row of a Parquet file. Each feature has its own process. So do `transform_to` of
the same rows, and `transform_to` after `ff.load`, for one feature.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import fastfeat as ff
from fastfeat import col
from fastfeat.io.host_memory import peak_memory

BUDGET, N_KEYS = "600MiB", 10_000_000
GROUP_ROWS = 200_000
KEY, TEXT = col("key"), col("text")
FEATURES: dict[str, Callable[[], ff.Expr]] = {
    "count_encode, of int64": KEY.count_encode,
    "ordinal_encode, of text of 9 bytes": TEXT.ordinal_encode,
    "ordinal_encode, of a cross": lambda: ff.cross(col("first"), col("second")).ordinal_encode(),
    "mean(by=)": lambda: col("x").mean(by="key"),
    "std(by=)": lambda: col("x").std(by="key"),
    "max(by=) - min(by=)": lambda: col("x").max(by="key") - col("x").min(by="key"),
    "median(by=)": lambda: col("x").median(by="key"),
    "n_unique(by=)": lambda: col("x").n_unique(by="key"),
    "target_encode, 5 folds, of int64": lambda: KEY.target_encode("late", folds=5),
    "target_encode, 5 folds, of text": lambda: TEXT.target_encode("late", folds=5),
}
AFTER = {"transform_to": "count_encode, of int64", "load, transform_to": "count_encode, of int64"}
"""Further measurements of a fitted plan, and their feature."""


def write_rows(path: Path, n_keys: int) -> None:
    """Write a row per key in random order: integer, text, two parts of a cross, number, label."""
    random = np.random.default_rng(0)
    keys, step = random.permutation(n_keys), max(1, n_keys // 4_000)
    with pq.ParquetWriter(path, rows_of(keys[:0], random, step).schema) as writer:
        for first in range(0, n_keys, GROUP_ROWS):
            writer.write_table(rows_of(keys[first : first + GROUP_ROWS], random, step))


def rows_of(keys: Any, random: np.random.Generator, step: int) -> pa.Table:
    """Return the rows of some keys."""
    n = len(keys)
    return pa.table(
        {
            "key": keys * 7_919,
            "text": pa.array([f"u{key:08}" for key in keys.tolist()], pa.string()),
            "first": keys % step,
            "second": keys // step,
            "x": random.normal(size=n),
            "late": random.integers(0, 2, n).astype(np.float64),
        }
    )


def measure(feature: str, work: str, rows: str, folder: Path) -> str:
    """Return a row of the table: the work, the process's peak memory, its CPU time."""
    warnings.simplefilter("ignore", ff.errors.FastfeatWarning)
    saved = folder / "plan.fastfeat"
    plan = ff.Plan({"feature": FEATURES[feature]()}, label="late")
    before = resource.getrusage(resource.RUSAGE_SELF)
    loads = work.startswith("load")
    try:
        fitted = ff.load(saved) if loads else plan.fit(rows, memory=BUDGET, profile=False)
    except ff.errors.OutOfMemory as error:
        return f"| {feature} | {work} | refused: {error} | |"
    if work == "transform_to":
        fitted.save(saved)
    if work.endswith("transform_to"):
        fitted.transform_to(rows, folder / f"{work}.parquet", memory=BUDGET)
    after, peak = resource.getrusage(resource.RUSAGE_SELF), (peak_memory() or 0) >> 20
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"| {feature} | {work} | {peak} MiB | {seconds:.1f} s |"


def main(arguments: Sequence[str]) -> None:
    """Measure one feature, or each in its own process, for an optional number of keys."""
    if len(arguments) > 1:
        feature, work, rows, folder = arguments
        print(measure(feature, work, rows, Path(folder)), flush=True)
        return
    with TemporaryDirectory(prefix="fastfeat-bench-") as folder:
        rows = Path(folder) / "rows.parquet"
        write_rows(rows, int(arguments[0]) if arguments else N_KEYS)
        print("| feature | work | peak | CPU |\n|---|---|---:|---:|", flush=True)
        for feature, work in [
            *((one, "fit") for one in FEATURES),
            *((b, a) for a, b in AFTER.items()),
        ]:
            command = [sys.executable, "-m", "bench.many_keys", feature, work, str(rows), folder]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
