"""The memory of a process that takes events for minutes, at full speed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.live_events import LASTS, sixteen, table_of
from bench.live_timing import Figure

GROUP = "memory at full load: micro-batches of 1,000 events, 16 windows, committed"
N_BATCH, N_ENTITIES = 1_000, 2_000
WEEKS_BEFORE = 2
"""Weeks of events before the measurement: then as many rows leave as arrive."""
_ROWS_A_WEEK = 200_000
_MOST_GROWTH = 0.05


def measure(sizes: Any, folder: Path) -> list[Figure]:
    """Return the growth of memory once the windows are full."""
    if not sizes.memory_seconds:
        return [Figure(GROUP, "not watched", skipped="--memory-minutes 10 watches it")]
    batches = _batches()
    first = next(batches)
    fitted = sixteen().fit(first.slice(0, 100))
    live = fitted.online(path=folder / "memory.db", durability="interval")
    n_events, samples, begin = 0, list[tuple[float, int]](), time.monotonic()
    full_at = WEEKS_BEFORE * _ROWS_A_WEEK
    full_seconds = 0.0
    while not full_seconds or time.monotonic() - begin - full_seconds < sizes.memory_seconds:
        live.process(next(batches))
        n_events += N_BATCH
        if n_events >= full_at:
            full_seconds = full_seconds or time.monotonic() - begin
            samples.append((time.monotonic() - begin, _resident_bytes()))
    seconds = time.monotonic() - begin
    live.close()
    tenth = max(1, len(samples) // 10)
    before = float(np.median([size for _, size in samples[tenth : 2 * tenth] or samples]))
    after = float(np.median([size for _, size in samples[-tenth:]]))
    growth = after / before - 1
    note = (
        f"{n_events:,} events in {seconds:.0f} s ({n_events / seconds / 1e3:.0f}k/s), "
        f"{before / 1e6:.0f} MB, then {after / 1e6:.0f} MB ({growth:+.1%})"
    )
    file_bytes = (folder / "memory.db").stat().st_size
    note += f"; the file has {file_bytes / 1e6:.0f} MB"
    return [Figure(GROUP, "resident", note=note, target="flat", is_met=growth <= _MOST_GROWTH)]


def _batches() -> Iterator[pa.Table]:
    """Yield events without end, at a fixed number per week."""
    rng, number = np.random.default_rng(8), 0
    step = LASTS["7d"] // _ROWS_A_WEEK
    while True:
        entities = rng.integers(0, N_ENTITIES, N_BATCH)
        times = (number * N_BATCH + np.arange(N_BATCH)) * step
        yield table_of(entities, times, rng.normal(10, 3, N_BATCH))
        number += 1


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096
