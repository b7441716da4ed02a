"""The large demo on Ray and Spark: the same features, fitted and written by two workers.

The limit of 600 MiB does not apply: Ray and Java take more before any row is read.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from docs.demos.large_plan import plan
from fastfeat.errors import FastfeatError
from fastfeat.integrations.library import library

if TYPE_CHECKING:
    from fastfeat.api.plan import FittedPlan

N_WORKERS = 2
_STORE_BYTES = 512 << 20
_SPARK = {
    "spark.driver.memory": "2g",  # for Java, which also runs the executors of one machine
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.log.level": "ERROR",
    "spark.ui.showConsoleProgress": "false",
}


def on_ray(rows: str, out: Path) -> tuple[FittedPlan, float, int]:
    """Return the plan fitted by Ray, the seconds without Ray's start, and a worker's peak in bytes.

    Ray also writes the features to `out`, a folder that must not exist. `rows` is the folder of
    payments.
    """
    ray, data = library("ray"), library("ray.data", "ray")
    from fastfeat.integrations import ray as ours

    ray.init(
        num_cpus=N_WORKERS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=_STORE_BYTES,
    )
    try:
        data.DataContext.get_current().enable_progress_bars = False
        started = time.perf_counter()
        fitted, features = ours.fit_transform(plan, data.read_parquet(rows))
        features.write_parquet(str(out))
        return fitted, time.perf_counter() - started, largest_worker()
    finally:
        ray.shutdown()


def on_spark(rows: str, out: Path) -> tuple[FittedPlan, float, int]:
    """Return the plan fitted by Spark, like `on_ray`; FastfeatError without Java."""
    sql = library("pyspark.sql", "spark")
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        raise FastfeatError("Spark needs Java, version 17 or later: none is on the path")
    from fastfeat.integrations import spark as ours

    os.environ["PYSPARK_PYTHON"] = sys.executable
    options = {**_SPARK, "spark.local.dir": tempfile.gettempdir()}
    builder = sql.SparkSession.builder.master(f"local[{N_WORKERS}]")
    session = builder.config(map=options).getOrCreate()
    try:
        started = time.perf_counter()
        fitted, features = ours.fit_transform(plan, session.read.parquet(rows))
        features.write.parquet(str(out))
        return fitted, time.perf_counter() - started, largest_worker()
    finally:
        session.stop()


def largest_worker() -> int:
    """Return the peak memory in bytes of the largest Python process below this one.

    It includes grandchildren. It is 0 if the system does not report peaks.
    """
    program = Path(sys.executable).resolve()
    peaks = [0]
    for process in _descendants(os.getpid()):
        with suppress(OSError):  # it has ended
            found = re.search(r"^VmHWM:\s+(\d+) kB", (process / "status").read_text(), re.MULTILINE)
            if found and (process / "exe").resolve() == program:
                peaks.append(int(found[1]) << 10)
    return max(peaks)


def _descendants(parent: int) -> Iterator[Path]:
    """Yield the folders of the processes below one."""
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            after_name = (process / "stat").read_text().rpartition(")")[2].split()
            children.setdefault(int(after_name[1]), []).append(int(process.name))
    waiting = [parent]
    while waiting:
        for child in children.get(waiting.pop(), []):
            waiting.append(child)
            yield Path("/proc") / str(child)
