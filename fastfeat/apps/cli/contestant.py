"""One contestant of `bench`, in a process of its own: computes features, or times itself.

`python -m fastfeat.apps.cli.contestant`: a request as JSON on stdin, the answer as JSON on stdout.
Each library reads its number of threads when it is imported, so that the parent sets it before.
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
"""What is timed, and how many rows of the data it is of; None for all."""
_SHORTEST_S = 0.01
"""A sample that is shorter is made of several calls."""


class Request(TypedDict):
    """A request of the parent.

    Args:
        peer: "fastfeat", "pandas" or "polars".
        code: the file of the fitted plan, or of the module of the peer.
        data: the file of the rows, Arrow IPC.
        history: the file of earlier rows; None where there are none.
        tables: the files of tables, by name.
        out: where features go; None where times are asked for.
        threads: the number of threads of fastfeat; others have it from the environment.
        runs: how many samples are taken.
    """

    peer: str
    code: str
    data: str
    history: str | None
    tables: dict[str, str]
    out: str | None
    threads: int
    runs: int


class Times(TypedDict):
    """The medians of one stage.

    Args:
        wall_s: seconds that have passed.
        cpu_s: seconds of all threads.
        peak_bytes: the memory above what was taken before the call; None where it is not known.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int | None


def main() -> None:
    """Answer one request."""
    warnings.simplefilter("ignore")  # the parent has told them
    request: Request = json.load(sys.stdin)
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
            name: _timed(call, table_of(part), request["runs"]) for name, part in parts.items()
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


def _contestant(request: Request) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return the function that computes features, and the one that makes its rows of a table."""
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


def _timed(call: Callable[[Any], Any], rows: Any, runs: int) -> Times:
    """Return the medians of some runs, after one that is not counted."""
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
    return Times(wall_s=statistics.median(walls), cpu_s=statistics.median(cpus), peak_bytes=peak)


def _peak(*, reset: bool) -> int | None:
    """Return the peak of the memory of this process in bytes; Linux alone says and resets it."""
    with suppress(OSError, StopIteration):
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    return None


if __name__ == "__main__":
    main()
