"""The time to open a state's file with a million entities."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.compare import OutputsDiffer
from bench.live_events import LASTS, sixteen, table_of
from bench.live_timing import Figure

GROUP = "a state opened from its file, 16 windows"
_MOST_SECONDS = 10.0


def measure(sizes: Any, folder: Path) -> list[Figure]:
    """Return the opening time, with one row per entity.

    Raises:
        OutputsDiffer: The opened state differs.
    """
    n = sizes.n_opened
    times = np.arange(n) * (LASTS["1d"] // n)
    rows = table_of(np.arange(n), times, np.random.default_rng(9).normal(10, 3, n))
    fitted = sixteen().fit(rows.slice(0, 100))
    path = folder / "opened.db"
    fitted.online(rows, path=path).close()
    wall, cpu = time.perf_counter(), time.process_time()
    with fitted.online(path=path) as live:
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        history = live.history()
        if history is None or not history.select(rows.column_names).equals(rows):
            raise OutputsDiffer("the rows of the state that was opened are others")
    name, target = f"{n:,} entities", f"at most {_MOST_SECONDS:.0f} s"
    is_met = wall <= _MOST_SECONDS
    return [Figure(GROUP, name, wall, wall, cpu, n, target=target, is_met=is_met)]
