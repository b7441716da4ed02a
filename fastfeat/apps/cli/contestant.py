"""The process of one contestant of `bench` (fastfeat, pandas or Polars).

It computes features, or times them. `python -m fastfeat.apps.cli.contestant` reads a JSON request
from stdin and writes a JSON answer to stdout. Libraries read their number of threads when they are
imported, so the parent process sets it in the environment.
"""

from __future__ import annotations

import gc
import json
import runpy
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypedDict

STAGES = {"transform": None, "1,000 rows": 1000, "one row": 1}
"""Stages that are timed, with the number of rows of the data; None for all rows."""
_SHORTEST_S = 0.01
"""Shorter samples consist of several calls."""


class BenchRequest(TypedDict):
    """A request of the parent process: files to read, and whether to compute features or times.

    Args:
        peer: "fastfeat", "pandas" or "polars".
        code: File of the fitted plan, or of the peer's module.
        data: Arrow IPC file of the rows.
        history: Arrow IPC file of earlier rows; None if there are none.
        tables: Table name to Arrow IPC file.
        out: File for the features; None to measure times instead.
        threads: Number of threads of fastfeat; other libraries read the environment.
        runs: Number of samples.
    """

    peer: str
    code: str
    data: str
    history: str | None
    tables: dict[str, str]
    out: str | None
    threads: int
    runs: int


class StageTimes(TypedDict):
    """The median times of one stage (fit or transform), and its peak memory.

    Args:
        wall_s: Wall-clock seconds.
        cpu_s: Processor seconds of all threads.
        peak_bytes: Largest increase of memory during the call; None if unknown.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int | None


def main() -> None:
    """Read one request from stdin, and write its answer to stdout."""
    warnings.simplefilter("ignore")  # the parent has shown them
    request: BenchRequest = json.load(sys.stdin)
    call, table_of = _contestant(request)
    table = _read(request["data"])
    if request["out"] is not None:
        from fastfeat.tell.peers.agreement import arrow_of

        made = call(table_of(table))
        _write(made if request["peer"] == "fastfeat" else arrow_of(made), request["out"])
        answer: dict[str, Any] = {}
    else:
        parts = {name: table if n is None else table.slice(0, n) for name, n in STAGES.items()}
        answer = {
            name: _measure(call, table_of(part), request["runs"]) for name, part in parts.items()
        }
    json.dump(answer, sys.stdout)


def _read(path: str) -> Any:
    from fastfeat.io.arrow import pa

    with pa.OSFile(path) as file:
        return pa.ipc.open_file(file).read_all()


def _write(table: Any, path: str) -> None:
    from fastfeat.io.arrow import pa

    with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _contestant(request: BenchRequest) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return two functions: one computes features, the other makes its input from Arrow."""
    history = None if request["history"] is None else _read(request["history"])
    tables = {name: _read(path) for name, path in request["tables"].items()}
    if request["peer"] == "fastfeat":
        from fastfeat.api.plan import load
        from fastfeat.engine.cpu.threads import set_num_threads

        set_num_threads(request["threads"])
        fitted = load(request["code"])
        more: dict[str, Any] = {"history": history, "tables": tables or None}
        return lambda rows: fitted.transform(rows, **more), lambda table: table
    features = runpy.run_path(request["code"])["features"]
    take = _of_pandas if request["peer"] == "pandas" else _of_polars
    earlier = None if history is None else take(history)
    others = {name: take(table) for name, table in tables.items()}
    return lambda rows: features(rows, earlier, others), take


def _of_pandas(table: Any) -> Any:
    return table.to_pandas()


def _of_polars(table: Any) -> Any:
    import polars

    library: Any = polars
    return library.from_arrow(table)


def _measure(call: Callable[[Any], Any], rows: Any, runs: int) -> StageTimes:
    """Return the median times of `runs` samples and the peak memory, after two uncounted calls."""
    begin = time.perf_counter()
    call(rows)
    once = time.perf_counter() - begin
    n_calls = max(1, int(_SHORTEST_S / max(once, 1e-7)))
    before = _peak(reset=True)
    call(rows)
    after = _peak(reset=False)
    walls: list[float] = []
    cpus: list[float] = []
    for _ in range(runs):
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(n_calls):
            call(rows)
        cpus.append((time.process_time() - cpu) / n_calls)
        walls.append((time.perf_counter() - wall) / n_calls)
    peak = None if before is None or after is None else max(after - before, 0)
    return StageTimes(
        wall_s=statistics.median(walls), cpu_s=statistics.median(cpus), peak_bytes=peak
    )


def _peak(*, reset: bool) -> int | None:
    """Return this process's peak memory so far, in bytes; None on systems other than Linux.

    `reset` first sets the peak back to the present memory.
    """
    with suppress(OSError, StopIteration):
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    return None


if __name__ == "__main__":
    main()
