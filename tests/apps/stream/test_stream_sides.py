"""Outcomes and rows of tables from topics of their own: the features are those of `transform`."""

from __future__ import annotations

import random
import re
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest

import fastfeat as ff
from docs.demos.services import Service
from fastfeat import col
from fastfeat.apps.stream import drop_repeats
from fastfeat_tests.apps.stream.topics import (
    BEGIN,
    Topics,
    as_json,
    bits,
    end,
    events_of,
    member,
    n_distinct,
    partition_of,
    place_of,
    plan_of,
    running,
    summary_of,
)
from fastfeat_tests.patience import PATIENCE_S, until

DELAY = timedelta(hours=1)


@pytest.fixture
def topics(broker: Service, tmp_path: Path) -> Topics:
    """Topics of a test, with two partitions."""
    found = Topics(broker.address, f"s{uuid4().hex}", tmp_path)
    found.create(("events", "features", "dead", "outcomes", "rates", "shops"))
    return found


def tables_of(events: pa.Table) -> dict[str, pa.Table]:
    """Return the rows of lookup tables: rates over time, and one row for each shop."""
    last = events["at"][-1].as_py()
    moments = [BEGIN + timedelta(hours=at) for at in range(int((last - BEGIN) / DELAY) + 1)]
    rates = pa.table(
        {
            "at": pa.array(moments, pa.timestamp("us", "UTC")),
            "rate": [1.0 + at % 17 / 7 for at in range(len(moments))],
        }
    )
    shops = pa.table({"shop": [f"s{at}" for at in range(6)], "size": [10, 20, 30, 40, 50, 60]})
    return {"rates": rates, "shops": shops}


def fitted_of(events: pa.Table) -> ff.FittedPlan:
    """Return a plan that reads outcomes, and both tables."""
    settled = ff.window("2d", by="card", time="at", offset="1h")
    features = {
        "bad": col("is_bad").mean(over=settled),
        "n_bad": col("is_bad").sum(over=settled),
        "rate": ff.asof("rates", time="at").col("rate"),
        "size": ff.lookup("shops", by="shop").col("size"),
    }
    plan = plan_of(features, outcomes=["is_bad"], label_delay="1h")
    return plan.fit(events, tables=tables_of(events))


def millis(moment: datetime) -> int:
    """Return a time as messages have it."""
    return int(moment.timestamp() * 1000)


def labelled(n_rows: int, seed: int) -> pa.Table:
    """Return events with an outcome each."""
    events = events_of(n_rows, seed=seed)
    rng = random.Random(seed)
    return events.append_column("is_bad", pa.array([rng.random() < 0.3 for _ in range(n_rows)]))


def send_all(topics: Topics, events: pa.Table, seed: int) -> dict[tuple[int, int], Any]:
    """Send events, outcomes up to an hour later, and tables, with their times, in any order."""
    rng = random.Random(seed)
    rows: dict[tuple[int, int], Any] = {}
    outcomes: list[tuple[int, int, bytes]] = []
    for row in events.to_pylist():
        partition = partition_of(row["card"], 2)
        known = row["at"] + rng.random() * DELAY
        outcome = {"id": row["id"], "is_bad": row["is_bad"]}
        outcomes.append((millis(known), partition, as_json(outcome)))
        sent = {name: value for name, value in row.items() if name != "is_bad"}
        rows[partition, topics.send("events", partition, as_json(sent), millis(row["at"]))] = row
    for time_ms, partition, value in sorted(outcomes):
        topics.send("outcomes", partition, value, time_ms)
    tables = tables_of(events)
    for at, row in enumerate(tables["rates"].to_pylist()):
        topics.send("rates", at % 2, as_json(row), millis(row["at"]))
    for row in tables["shops"].to_pylist():
        topics.send("shops", 0, as_json(row), millis(BEGIN) - 1)
    topics.flush()
    return rows


def config_of(topics: Topics, fitted: ff.FittedPlan, **changes: Any) -> dict[str, Any]:
    """Return the configuration of a stream of events, outcomes and tables."""
    return topics.config(
        fitted,
        outcomes={"topic": topics.name("outcomes")},
        tables={
            "rates": {"topic": topics.name("rates")},
            "shops": {"topic": topics.name("shops")},
        },
        **changes,
    )


def expected(fitted: ff.FittedPlan, rows: dict[Any, Any], events: pa.Table) -> dict[Any, Any]:
    """Return what `transform` gives of all rows with all outcomes and tables."""
    found: dict[Any, Any] = {}
    for partition in range(2):
        places = sorted(place for place in rows if place[0] == partition)
        table = pa.Table.from_pylist([rows[place] for place in places], events.schema)
        features = fitted.transform(table, history="batch", tables=tables_of(events))
        found |= dict(zip(places, map(bits, features.to_pylist()), strict=True))
    return found


def test_outcomes_and_tables_are_taken_in_time(topics: Topics) -> None:
    events = labelled(300, seed=1)
    fitted = fitted_of(events)
    rows = send_all(topics, events, seed=1)
    unknown = topics.send("outcomes", 0, as_json({"id": "nobody", "is_bad": True}), 10**13)
    topics.flush()
    with running(config_of(topics, fitted)) as found:
        served = topics.features(len(rows))
        dead = topics.dead(1)
    assert summary_of(found).n_dead == 1
    assert {place: bits(row) for place, row in served.items()} == expected(fitted, rows, events)
    headers = dict(dead[0].headers())
    assert headers["fastfeat.topic"].decode() == topics.name("outcomes")
    assert place_of(dead[0]) == (0, unknown)
    assert headers["fastfeat.kind"] == b"refused"
    assert b"nobody" in headers["fastfeat.reason"]


def killed(topics: Topics, n_kills: int, n_rows: int, seed: int) -> None:
    """Kill a member with outcomes and tables again and again, and check what came of it."""
    from json import loads

    rng = random.Random(seed)
    events = labelled(n_rows, seed)
    fitted = fitted_of(events)
    rows = send_all(topics, events, seed)
    process = None
    try:
        for at in range(n_kills + 1):
            config = config_of(topics, fitted, checkpoint="150ms", group=f"{topics.prefix}{at}")
            n_before = topics.n_messages("features")
            process = member(topics.folder, config)
            if at == n_kills:
                break
            until(lambda n=n_before: topics.n_messages("features") > n, process)
            time.sleep(rng.uniform(0, 0.3))
            process.kill()
            process.wait(PATIENCE_S)
        messages = topics.read("features", lambda found: n_distinct(found) >= len(rows))
        assert end(process) == 0, (topics.folder / "member.log").read_text()
    finally:
        if process is not None:
            end(process)
    wanted = expected(fitted, rows, events)
    assert {place_of(message) for message in messages} == set(wanted)
    for message in messages:
        assert bits(loads(message.value())) == wanted[place_of(message)]
    print(f"{n_kills} kills, {len(messages) - len(list(drop_repeats(messages)))} repeats")


@pytest.mark.slow
def test_member_killed_often_takes_outcomes_and_tables_in_the_same_order(topics: Topics) -> None:
    killed(topics, n_kills=20, n_rows=1500, seed=random.randrange(1000))


def test_what_left_before_a_kill_comes_again_though_older_rows_of_tables_came(
    topics: Topics,
) -> None:
    """By time alone the later row of the table would now come before the events."""
    from json import loads

    events = labelled(60, seed=3)
    fitted = fitted_of(events)
    rows = [row for row in events.to_pylist() if row["shop"] == "s1"][:6]
    config = config_of(topics, fitted, checkpoint="1h")
    topics.send("shops", 0, as_json({"shop": "s1", "size": 1}), 10)
    for row in rows[:-1]:
        topics.send("events", 0, as_json(row), 1000)
    topics.flush()
    process = member(topics.folder, config)
    try:
        assert len(topics.read("features", lambda found: len(found) == len(rows) - 1)) == 5
        topics.send("shops", 0, as_json({"shop": "s1", "size": 2}), 20)
        topics.flush()
        order = topics.folder / "state" / f"{topics.name('events')}-0.order"
        until(lambda: re.search(r'shops[^"]*", 2\]', order.read_text()), process)
        topics.send("events", 0, as_json(rows[-1]), 2000)
        topics.flush()
        topics.read("features", lambda found: len(found) == len(rows))
        process.kill()
        process.wait(PATIENCE_S)
        process = member(topics.folder, {**config, "group": "another"})
        messages = topics.read("features", lambda found: len(found) == 2 * len(rows))
    finally:
        end(process)
    sizes = [loads(message.value())["size"] for message in messages]
    assert sizes == [1, 1, 1, 1, 1, 2] * 2
