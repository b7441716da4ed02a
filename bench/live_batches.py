"""Micro-batches of 1,000 events, sixteen windows: in memory, with commit and audit, and peers."""

from __future__ import annotations

import datetime
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.compare import EXACT, Tolerance, require_equal
from bench.live_events import LASTS, events, sixteen, statistics_alone
from bench.live_timing import Figure, in_turns
from bench.workload import Contender

N_BATCH = 1_000
GROUP = "micro-batches of 1,000 events, 16 windows, ask and update"
RIVER = "the 12 windows of river (count, sum, mean, std of (t - last, t]), ask and update"
SUMS = Tolerance(1e-9, 1e-6, "river adds and subtracts as it goes along")


def measure(sizes: Any, folder: Path) -> list[Figure]:
    """Return the figures of batches: in memory, durable, by hand, and beside river."""
    n_batch = min(N_BATCH, sizes.n_events // 4)
    table = events(sizes.n_entities, sizes.n_events, 30 * 86_400)
    batches = [table.slice(k, n_batch) for k in range(0, table.num_rows, n_batch)]
    n_first = len(batches) // 2  # windows are full by then
    past = table.slice(0, n_first * n_batch)
    fitted = sixteen().fit(table.slice(0, 100))
    lives = {
        "live.process(batch), in memory": fitted.online(past),
        "live.process(batch), commit and audit": fitted.online(past, path=folder / "commit.db"),
        "live.process(batch), written within a second": fitted.online(
            past, path=folder / "interval.db", durability="interval"
        ),
    }
    rest = batches[n_first:]
    calls: dict[str, Callable[[int], Any]] = {
        name: lambda k, live=live: live.process(rest[k]) for name, live in lives.items()
    }
    outputs: dict[str, list[pa.Table]] = {name: [] for name in calls}

    def keeping(name: str, call: Callable[[int], Any]) -> Callable[[int], Any]:
        return lambda k: outputs[name].append(call(k))

    kept = {name: keeping(name, call) for name, call in calls.items()}
    kept["transform(batch, history=rows of its entities), by hand"] = _by_hand(
        fitted, table, n_first, n_batch
    )
    taken = in_turns(kept, len(rest))
    for live in lives.values():
        live.close()
    expected = fitted.transform(table, history="batch").slice(n_first * n_batch)
    for name, tables in outputs.items():
        require_equal(expected, pa.concat_tables(tables), EXACT, f"transform and {name}")
    found = [one.figure(GROUP, name, n_batch) for name, one in taken.items()]
    for place, least in ((0, 140_000), (1, 100_000)):
        rate = n_batch / found[place].p50_seconds
        target = f"at least {least // 1000}k events/s"
        found[place] = replace(found[place], target=target, is_met=rate >= least)
    return [*found, *_beside_river(table, n_batch)]


def _by_hand(fitted: Any, table: pa.Table, n_first: int, n_batch: int) -> Callable[[int], Any]:
    """Return transform over the last seven days of the batch's entities, selected by a mask."""
    entities = table["e"].to_numpy()
    times = table["t"].to_numpy()
    week = np.timedelta64(LASTS["7d"], "us")

    def call(k: int) -> Any:
        first = (n_first + k) * n_batch
        begins = int(np.searchsorted(times, times[first] - week))
        asking = np.unique(entities[first : first + n_batch])
        seen = np.isin(entities[begins:first], asking)
        history = table.slice(begins, first - begins).filter(pa.array(seen))
        return fitted.transform(table.slice(first, n_batch), history=history)

    return call


def _beside_river(table: pa.Table, n_batch: int) -> list[Figure]:
    """Return both over the windows that river supports, or the reason why it was not measured."""
    if not Contender("river", "river", lambda table: lambda: None).is_installed:
        return [Figure(RIVER, "river", skipped="river is not installed: pip install river")]
    fitted = statistics_alone("right").fit(table.slice(0, 100))
    n_rows = min(10 * n_batch, table.num_rows)
    batches = [table.slice(k, n_batch) for k in range(0, n_rows, n_batch)]
    live, river = fitted.online(), _river()
    outputs: dict[str, list[Any]] = {"live": [], "river": []}
    rows = [batch.to_pylist() for batch in batches]
    calls: dict[str, Callable[[int], Any]] = {
        "live": lambda k: outputs["live"].append(live.process(batches[k])),
        "river": lambda k: outputs["river"].append(np.array([river(row) for row in rows[k]])),
    }
    taken = in_turns(calls, len(batches), len(batches))
    got = np.concatenate(outputs["river"])
    require_equal(pa.concat_tables(outputs["live"]), got, SUMS, "fastfeat and river")
    ours, theirs = (one.figure(RIVER, name, n_batch) for name, one in taken.items())
    return [
        replace(ours, name="live.process(batch), in memory"),
        replace(theirs, name="river, an event at a time"),
    ]


def _river() -> Callable[[dict[str, Any]], list[float]]:
    """Return the twelve features of an event, by river's rolling statistics of each entity."""
    import river.stats  # pyright: ignore[reportMissingImports]
    import river.utils  # pyright: ignore[reportMissingImports]

    stats: Any = river.stats
    utils: Any = river.utils

    def of_entity() -> list[Any]:
        return [
            utils.TimeRolling(make, period=datetime.timedelta(microseconds=last))
            for last in LASTS.values()
            for make in (stats.Sum, stats.Sum, stats.Mean, stats.Var)  # first: a count
        ]

    entities: dict[int, list[Any]] = defaultdict(of_entity)

    def answer(row: dict[str, Any]) -> list[float]:
        found: list[float] = []
        for number, rolling in enumerate(entities[row["e"]]):
            rolling.update(1.0 if number % 4 == 0 else row["v"], t=row["t"])
            found.append(float(rolling.get()))
        for first in range(0, len(found), 4):
            variance = max(0.0, found[first + 3])
            found[first + 3] = math.sqrt(variance) if found[first] > 1 else math.nan
        return found

    return answer
