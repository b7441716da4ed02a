"""Statistics of an entity's last hour, day and week, and of its latest events.

First sixteen that are used together, then medians and distinct counts separately.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from bench.compare import EXACT, Tolerance
from bench.workload import Contender, Target, Workload
from bench.workloads import rolling
from bench.workloads.rolling import Form, Order, Statistic

SIXTEEN = (
    *(
        Statistic(name, last)
        for last in ("1h", "1d", "7d")
        for name in ("sum", "count", "mean", "max")
    ),
    *(Statistic(name) for name in ("mean_3", "lag", "diff", "since")),
)
TWENTY_FIVE = (
    *(
        Statistic(name, last)
        for last in ("1h", "1d", "7d")
        for name in ("sum", "count", "mean", "std", "var", "min", "max")
    ),
    *(Statistic(name) for name in ("mean_3", "lag", "diff", "since")),
)
MEDIANS = (Statistic("median", "1d"), Statistic("median", "7d"))
DISTINCT = (Statistic("n_unique", "1d", "shop"), Statistic("n_unique", "7d", "shop"))
N_SHOPS = 1_000
SUMS = Tolerance(
    1e-9, 1e-6, "fastfeat's sums are exact, peers add and subtract as they go along: 1e-9, + 1e-6"
)
BEYOND = Target("memory_per_input", 3)
# Polars' sliding forms, and those that need no call per entity.
SLIDING = ("Polars lazy by", "Polars streaming by", "Polars streaming rolling")
ROLLING = ("Polars lazy rolling", "Polars streaming rolling")
Peers = tuple[str, ...]
Statistics = tuple[Statistic, ...]


def events(share: float, half: bool, order: Order, n_rows: int) -> pa.Table:
    """Return events; the number of entities is a share of the rows, at least 100."""
    return rolling.events(max(100, int(share * n_rows)), half, order, n_rows)


def events_with_shops(share: float, n_rows: int) -> pa.Table:
    """Return events that have a shop, some shops much more often than others."""
    shops = np.random.default_rng(14).zipf(1.3, n_rows) % N_SHOPS
    return events(share, False, "time", n_rows).append_column("shop", pa.array(shops))


def contenders(wanted: Statistics, order: Order, peers: Peers) -> tuple[Contender, ...]:
    """Return fastfeat and some peers, each in its fastest forms.

    `peers` are libraries, or one form of Polars.
    """
    forms: tuple[Form, ...] = ("by", "rolling")
    known: dict[str, tuple[str, Callable[..., Any]]] = {
        f"Polars {engine} {form}": ("polars", partial(rolling.polars, wanted, form, engine, order))
        for engine in ("lazy", "streaming")
        for form in forms
    }
    known["DuckDB"] = ("duckdb", partial(rolling.duckdb_range, wanted))
    known["pandas"] = ("pandas", partial(rolling.pandas, wanted))
    return (
        Contender("fastfeat", "fastfeat", partial(rolling.fastfeat, wanted)),
        *(
            Contender(name, library, prepare)
            for name, (library, prepare) in known.items()
            if any(name.startswith(peer) for peer in peers)
        ),
    )


def _workload(name: str, title: str, wanted: Statistics, peers: Peers, **changes: Any) -> Workload:
    given: dict[str, Any] = {
        "name": f"windows_{name}",
        "group": "windows",
        "title": title,
        "label": f"windows, {name}",
        "rows": 10_000_000,
        "smoke_rows": 10_000,
        "contenders": contenders(wanted, changes.pop("order", "time"), peers),
        "tolerance": SUMS,
        "memory": True,
    }
    return Workload(**(given | changes))


WINDOWS = (
    _workload(
        "100k",
        "16 windows of events of 100k entities",
        SIXTEEN,
        ("Polars", "DuckDB", "pandas"),
        generate=partial(events, 0.01, False, "time"),
        targets=(
            Target("ratio", 50, "pandas"),
            Target("ratio", 8, "polars", aim=12),
            Target("ratio", 10, "duckdb"),
            BEYOND,
        ),
        starts=True,
    ),
    _workload(
        "sorted",
        "16 windows of events of 100k entities, sorted by entity and time",
        SIXTEEN,
        ("Polars", "DuckDB", "pandas"),
        order="entity",
        generate=partial(events, 0.01, False, "entity"),
        targets=(BEYOND,),
    ),
    _workload(
        "5M",
        "16 windows of events of 5M entities",
        SIXTEEN,
        (*ROLLING, "DuckDB"),
        generate=partial(events, 0.5, False, "time"),
        targets=(BEYOND,),
    ),
    _workload(
        "100",
        "16 windows of events of 100 entities",
        SIXTEEN,
        (*SLIDING, "pandas"),
        generate=partial(events, 0.0, False, "time"),
        targets=(BEYOND,),
    ),
    _workload(
        "half",
        "16 windows of events of 100k entities, one with half of all events",
        SIXTEEN,
        (*SLIDING, "pandas"),
        generate=partial(events, 0.01, True, "time"),
        targets=(BEYOND,),
    ),
    _workload(
        "half_small",
        "16 windows of events of 1,000 entities, one with half of all events",
        SIXTEEN,
        (*SLIDING, "DuckDB", "pandas"),
        rows=100_000,
        generate=partial(events, 0.01, True, "time"),
    ),
    _workload(
        "small",
        "25 windows of events of 100 entities, 1,000 rows a call",
        TWENTY_FIVE,
        ("Polars",),
        rows=1_000,
        smoke_rows=100,
        generate=partial(events, 0.01, False, "time"),
        targets=(Target("ratio", 5, "polars", aim=8),),
        memory=False,
    ),
    _workload(
        "median",
        "medians of a day and of 7 days, 10k entities",
        MEDIANS,
        ("Polars", "DuckDB", "pandas"),
        rows=1_000_000,
        generate=partial(events, 0.01, False, "time"),
    ),
    _workload(
        "n_unique",
        "different shops of a day and of 7 days, 10k entities",
        DISTINCT,
        (*ROLLING, "DuckDB", "pandas"),
        rows=1_000_000,
        generate=partial(events_with_shops, 0.01),
        tolerance=EXACT,
    ),
)
