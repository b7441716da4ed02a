"""Events of entities, and the sixteen windows of them that live contenders compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

SECOND = 10**6
"""A second, for times in microseconds."""
LASTS = {"1h": 3_600 * SECOND, "1d": 86_400 * SECOND, "7d": 7 * 86_400 * SECOND}


def events(n_entities: int, n_rows: int, seconds: int = 6 * 86_400) -> pa.Table:
    """Return events in order of time, with distinct times over a span of `seconds`."""
    rng = np.random.default_rng(12)
    times = np.sort(rng.integers(0, seconds * SECOND - n_rows, n_rows)) + np.arange(n_rows)
    entities = rng.integers(0, n_entities, n_rows)
    return table_of(entities, times, rng.normal(10, 3, n_rows))


def table_of(entities: Any, times: Any, values: Any) -> pa.Table:
    """Return a table of events; a time is in microseconds, a key is a large number."""
    keys = np.asarray(entities) * 7_919_000_003 + 12_345
    return pa.table({"e": keys, "t": np.asarray(times).astype("datetime64[us]"), "v": values})


def sixteen(closed: str = "left") -> Any:
    """Return a plan of sixteen windows over one entity.

    `closed` says which ends belong to the windows; "left" leaves out the row itself.
    """
    import fastfeat as ff

    value, features = ff.col("v"), dict[str, Any]()
    for last in LASTS:
        window: Any = ff.window(last, by="e", time="t", closed=closed)  # pyright: ignore[reportArgumentType]
        features[f"count_{last}"] = ff.count(over=window)
        for name in ("sum", "mean", "std"):
            features[f"{name}_{last}"] = getattr(value, name)(over=window)
    week, past = ff.window("7d", by="e", time="t"), ff.window(by="e", time="t")
    features |= {"min_7d": value.min(over=week), "max_7d": value.max(over=week)}
    features |= {"lag": value.lag(1, over=past), "since": ff.time_since_last(over=past)}
    return ff.Plan(features)


def statistics_alone(closed: str) -> Any:
    """Return a plan of the twelve windows among them that every peer supports."""
    import fastfeat as ff

    value, features = ff.col("v"), dict[str, Any]()
    for last in LASTS:
        window: Any = ff.window(last, by="e", time="t", closed=closed)  # pyright: ignore[reportArgumentType]
        features[f"count_{last}"] = ff.count(over=window)
        for name in ("sum", "mean", "std"):
            features[f"{name}_{last}"] = getattr(value, name)(over=window)
    return ff.Plan(features)
