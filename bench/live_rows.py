"""One row of an entity of 200 rows, sixteen windows: in process, by hand, in SQLite and Valkey."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.compare import EXACT, Tolerance, require_equal
from bench.live_events import LASTS, SECOND, sixteen, table_of
from bench.live_timing import Figure, in_turns

GROUP = "one row of an entity of {n_rows_each} rows, 16 windows, dict in, array out"
PLAIN = "one row without windows: 12 functions of a row, an encoder, a lookup"
BY_HAND = Tolerance(1e-9, 1e-6, "sums of squares lose digits")
_N_COMPARED = 50
Answer = Callable[[int], Any]


@dataclass(frozen=True, slots=True)
class Past:
    """Rows of entities, and asking rows, one of each entity in turn.

    Args:
        fitted: The plan.
        rows: The past.
        asking: Rows after the past.
        as_dicts: The asking rows as dictionaries.
        of_entity: Past of the entity of each asking row.
    """

    fitted: Any
    rows: pa.Table
    asking: pa.Table
    as_dicts: list[dict[str, Any]]
    of_entity: list[pa.Table]


def past_of(sizes: Any) -> Past:
    """Return the past of entities, and an asking row for each."""
    n_entities, n_rows = sizes.n_entities, sizes.n_entities * sizes.n_rows_each
    rng = np.random.default_rng(3)
    last = 6 * 86_400 * SECOND
    times = np.sort(rng.integers(0, last - n_rows, n_rows)) + np.arange(n_rows)
    entities = rng.permutation(np.repeat(np.arange(n_entities), sizes.n_rows_each))
    rows = table_of(entities, times, rng.normal(10, 3, n_rows))
    asked = np.arange(n_entities)
    asking = table_of(asked, last + asked, rng.normal(10, 3, n_entities))
    fitted = sixteen().fit(rows.slice(0, 100))
    of_entity = [rows.take(pa.array(np.flatnonzero(entities == one))) for one in asked]
    return Past(fitted, rows, asking, asking.to_pylist(), of_entity)


def measure(sizes: Any, folder: Path) -> list[Figure]:
    """Return the figures of one row with a past."""
    past = past_of(sizes)
    n, group = len(past.as_dicts), GROUP.format(n_rows_each=sizes.n_rows_each)
    live = past.fitted.online(past.rows)
    changing = past.fitted.online(past.rows)
    durable = past.fitted.online(past.rows, path=folder / "rows.db")
    answers: dict[str, Answer] = {
        "live.features(row)": lambda k: live.features(past.as_dicts[k % n]),
        "transform(row, history=its rows), by hand": lambda k: past.fitted.transform(
            past.asking.slice(k % n, 1), history=past.of_entity[k % n], to="numpy"
        )[0],
        "SQLite in memory, by hand": _sqlite(past),
    }
    _compare(past, answers)
    calls = dict(answers)
    later = _later(past, sizes.n_calls)
    calls["live.process(row)"] = lambda k: changing.process(later[k])
    calls["live.process(row), committed to disk"] = lambda k: durable.process(later[k])
    n_calls: int = sizes.n_calls
    counts = dict.fromkeys(calls, n_calls)
    counts["live.process(row), committed to disk"] = max(10, sizes.n_calls // 4)
    taken = in_turns(calls, counts)
    durable.close()
    found = [one.figure(group, name) for name, one in taken.items()]
    found = [
        _judged(one, "p50 at most 200 µs", one.p50_seconds <= 200e-6)
        if one.name in ("live.features(row)", "live.process(row)")
        else one
        for one in found
    ]
    return [*found, *_valkey(past, group, sizes.n_calls, folder)]


def _judged(figure: Figure, target: str, is_met: bool) -> Figure:
    return replace(figure, target=target, is_met=is_met)


def _compare(past: Past, answers: dict[str, Answer]) -> None:
    """Raise unless each contender answers like transform after the whole past."""
    n = min(_N_COMPARED, len(past.as_dicts))
    expected = past.fitted.transform(past.asking.slice(0, n), history=past.rows, to="numpy")
    for name, answer in answers.items():
        got = np.array([answer(k) for k in range(n)], np.float64)
        tolerance = BY_HAND if name.startswith("SQLite") else EXACT
        require_equal(expected, got, tolerance, f"transform and {name}")


def _later(past: Past, n_rows: int) -> list[dict[str, Any]]:
    """Return rows of all entities in turn, a millisecond apart, after the asking ones."""
    n = len(past.as_dicts)
    number = np.arange(n_rows)
    start = int(past.asking["t"][-1].value) + SECOND
    times, values = start + number * 1_000, np.linspace(5, 15, n_rows)
    return table_of(number % n, times, values).to_pylist()


def _sqlite(past: Past) -> Answer:
    """Return the sixteen features by a query over an index of the entity and time."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE event (e INT, t INT, v REAL, PRIMARY KEY (e, t)) WITHOUT ROWID")
    times = past.rows["t"].cast(pa.int64()).to_pylist()
    rows = zip(past.rows["e"].to_pylist(), times, past.rows["v"].to_pylist(), strict=True)
    database.executemany("INSERT INTO event VALUES (?, ?, ?)", rows)
    parts = [
        f"count(*) {only}, sum(v) {only}, avg(v) {only}, total(v * v) {only}"
        for only in (f"FILTER (WHERE t >= ?1 - {last})" for last in LASTS.values())
    ]
    query = (
        f"SELECT {', '.join(parts)}, min(v), max(v) FROM event "
        f"WHERE e = ?2 AND t >= ?1 - {LASTS['7d']} AND t < ?1"
    )
    latest = "SELECT v, t FROM event WHERE e = ?2 AND t < ?1 ORDER BY t DESC LIMIT 1"
    asked = [
        (time, entity)
        for time, entity in zip(
            past.asking["t"].cast(pa.int64()).to_pylist(), past.asking["e"].to_pylist(), strict=True
        )
    ]

    def answer(k: int) -> list[float]:
        time, entity = asked[k % len(asked)]
        found = database.execute(query, (time, entity)).fetchone()
        features: list[float] = []
        for first in range(0, 12, 4):
            n, total, mean, squares = found[first : first + 4]
            spread = squares - total * total / n if n else 0.0
            std = math.sqrt(max(0.0, spread) / (n - 1)) if n > 1 else math.nan
            features += [n, total if n else 0.0, mean if n else math.nan, std]
        value, last = database.execute(latest, (time, entity)).fetchone()
        return [*features, *found[12:], value, (time - last) / SECOND]

    return answer


def _valkey(past: Past, group: str, n_calls: int, folder: Path) -> list[Figure]:
    """Return the figure of reading a precomputed row, or the reason why there is none."""
    from docs.demos.services import ServiceUnavailable, running_valkey

    name = "Valkey, GET of a ready row (of its last event, not of now)"
    ready = past.fitted.transform(past.asking, history=past.rows, to="numpy").astype("float64")
    try:
        import redis

        with running_valkey(folder, is_tied=True) as service:
            client = redis.Redis(port=service.port)
            for k, row in enumerate(ready):
                client.set(f"features:{k}", row.tobytes())
            n = len(ready)

            def read(k: int) -> Any:
                return np.frombuffer(client.get(f"features:{k % n}"))  # pyright: ignore[reportArgumentType, reportCallIssue]

            require_equal(
                ready, np.array([read(k) for k in range(n)]), EXACT, "what was set and GET"
            )
            taken = in_turns({name: read}, n_calls)
            client.close()
    except (ServiceUnavailable, ImportError) as error:
        return [Figure(group, name, skipped=str(error))]
    return [taken[name].figure(group, name)]


def measure_without_windows(sizes: Any, folder: Path) -> list[Figure]:
    """Return the figures of a plan without windows, by `features` and by `transform_row`."""
    import fastfeat as ff
    from bench import features

    del folder
    rows = features.table(1_000)
    names = rows.column_names
    rng = np.random.default_rng(5)
    shops = pa.table({"shop": np.arange(500), "size": rng.normal(0, 1, 500)})
    kinds = pa.array(np.array(["a", "b", "c", "d"])[rng.integers(0, 4, 1_000)])
    rows = rows.append_column("kind", kinds).append_column(
        "shop", pa.array(rng.integers(0, 600, 1_000))
    )
    plans = {
        "12 functions of a row": features.fastfeat_plan(12),
        "an encoder": ff.Plan(
            {"kind": ff.col("kind").ordinal_encode(), "share": ff.col("kind").count_encode()}
        ),
        "a lookup": ff.Plan({"size": ff.lookup("shops", by="shop").col("size")}),
    }
    tables = {"shops": shops}
    found: list[Figure] = []
    for title, plan in plans.items():
        given = tables if title == "a lookup" else None
        fitted = plan.fit(rows, tables=given)
        live = fitted.online(tables=given)
        asked = rows.select(list(fitted.record.declaration.row_columns)).to_pylist()
        calls = {
            f"live.features(row), {title}": lambda k, live=live, asked=asked: live.features(
                asked[k % 1000]
            ),
            f"transform_row(row), {title}": lambda k, fitted=fitted, asked=asked, given=given: (
                fitted.transform_row(asked[k % 1000], tables=given)
            ),
        }
        ours, theirs = calls.values()
        for k in range(_N_COMPARED):
            require_equal(theirs(k), ours(k), EXACT, f"transform_row and features, {title}")
        taken = [
            one.figure(PLAIN, name) for name, one in in_turns(calls, 5 * sizes.n_calls).items()
        ]
        ratio = taken[0].p50_seconds / taken[1].p50_seconds
        found += [
            _judged(taken[0], f"the cost of transform_row ({ratio:.2f}x)", ratio <= 1.5),
            taken[1],
        ]
    del names
    return found
