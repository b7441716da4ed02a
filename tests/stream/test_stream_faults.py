"""Streams that are killed, stopped, cut off: nothing is lost, and what comes again has its bits."""

from __future__ import annotations

import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from topics import (
    Topics,
    bits,
    end,
    events_of,
    expected,
    member,
    n_distinct,
    place_of,
    plan_of,
    running,
    send_events,
    summary_of,
)

from fastfeat.stream import read_features
from tests.live_services import Service
from tests.stream.cut import Cut


@pytest.fixture
def topics(broker: Service, tmp_path: Path) -> Topics:
    """Topics of a test, with two partitions."""
    found = Topics(broker.address, f"f{time.monotonic_ns()}", tmp_path)
    found.create()
    return found


def check(topics: Topics, fitted: Any, rows: dict[Any, Any], schema: pa.Schema) -> list[Any]:
    """Check that each row was answered with the bits of transform; return all messages."""
    messages = topics.read("features", lambda found: n_distinct(found) >= len(rows))
    assert n_distinct(messages) == len(rows)
    wanted = {place: bits(row) for place, row in expected(fitted, rows, schema).items()}
    from json import loads

    for message in messages:  # repeats too
        assert bits(loads(message.value())) == wanted[place_of(message)]
    return messages


def killed(topics: Topics, n_kills: int, n_rows: int, seed: int) -> None:
    """Kill a member again and again while it answers, and check what came of it."""
    rng = random.Random(seed)
    events = events_of(n_rows, seed=seed)
    fitted = plan_of().fit(events)
    config = topics.config(
        fitted,
        checkpoint="50ms",
        batch={"rows": 40},
        out={"parquet": {"folder": str(topics.folder / "files")}},
        kafka={"consumer": {"session.timeout.ms": 1000, "heartbeat.interval.ms": 300}},
    )
    config["out"]["kafka"] = {"topic": topics.name("features")}
    config["kafka"]["brokers"] = topics.address
    rows = send_events(topics, events)
    n_dead = n_rows // 100
    process = None
    try:
        for at in range(n_kills):
            n_before = n_answered(topics)
            config["group"] = f"{topics.prefix}-{at}"  # the broker waits for members that died
            process = member(topics.folder, config)
            until = time.monotonic() + 20
            while n_answered(topics) <= n_before and time.monotonic() < until:
                assert process.poll() is None, (topics.folder / "member.log").read_text()
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 0.2))
            process.kill()
            process.wait(20)
        config["group"] = f"{topics.prefix}-last"
        process = member(topics.folder, config)
        messages = check(topics, fitted, rows, events.schema)
        assert len(topics.dead(n_dead)) == n_dead
        assert end(process) == 0
    finally:
        if process is not None:
            end(process)
    print(f"{n_kills} kills, {len(messages) - len(rows)} repeats of {len(rows)}")
    files = read_features(topics.folder / "files", topics.name("events"))
    places = list(
        zip(
            files["fastfeat.partition"].to_pylist(),
            files["fastfeat.offset"].to_pylist(),
            strict=True,
        )
    )
    assert places == sorted(rows), "no row stands twice in files, and none lacks"
    wanted = expected(fitted, rows, events.schema)
    names = fitted.schema.names
    assert [bits(row) for row in files.select(names).to_pylist()] == [
        bits(wanted[place]) for place in places
    ]


def n_answered(topics: Topics) -> int:
    """Return how many messages there are in the topic of features."""
    return len(topics.read("features", lambda found: False, within_s=0.15))


def test_killed_members_lose_nothing(topics: Topics) -> None:
    killed(topics, n_kills=4, n_rows=3000, seed=random.randrange(1000))


@pytest.mark.slow
def test_member_killed_a_hundred_times_loses_nothing(topics: Topics) -> None:
    killed(topics, n_kills=100, n_rows=60_000, seed=random.randrange(1000))


def cut_off(topics: Topics, seconds: float) -> None:
    """Cut the connection to the broker while events are answered."""
    events = events_of(1200, seed=6)
    fitted = plan_of().fit(events)
    first, second = events.slice(0, 600), events.slice(600)
    host, _, port = topics.address.partition(":")
    with Cut((host, int(port))) as cut:
        config = topics.config(fitted, kafka={"brokers": f"127.0.0.1:{cut.port}"})
        config["kafka"]["options"] = {"reconnect.backoff.max.ms": 500}
        rows = send_events(topics, first)
        with running(config) as found:
            topics.features(300)
            cut.cut()
            rows |= send_events(topics, second)
            time.sleep(seconds)
            assert not found
            cut.mend()
            check(topics, fitted, rows, events.schema)
        summary_of(found)


def members(topics: Topics, *, seconds: float, n_rows: int) -> None:
    """Let members come, go, be killed and hang while events come, and check what came of it."""
    events = events_of(n_rows, seed=7)
    fitted = plan_of().fit(events)
    config = topics.config(fitted, lock_wait="60s", batch={"rows": 50})
    rows: dict[Any, Any] = {}

    def flow() -> None:
        step = max(1, n_rows // int(seconds * 20))
        for at in range(0, n_rows, step):
            rows.update(send_events(topics, events.slice(at, step), each_poison=10**9))
            time.sleep(0.05)

    sender = threading.Thread(target=flow)
    processes: list[Any] = []
    try:
        sender.start()
        for name in ("a", "b"):
            processes.append(member(topics.folder, config, name))
            time.sleep(seconds / 4)
        processes[0].send_signal(signal.SIGSTOP)  # it hangs, with its locks
        time.sleep(seconds / 4)
        processes.append(member(topics.folder, config, "c"))
        processes[0].send_signal(signal.SIGCONT)
        time.sleep(seconds / 8)
        processes[1].kill()
        processes[1].wait(20)
        sender.join()
        check(topics, fitted, rows, events.schema)
        assert end(processes[0]) == 0, (topics.folder / "a.log").read_text()
        assert end(processes[2]) == 0, (topics.folder / "c.log").read_text()
    finally:
        sender.join()
        for process in processes:
            end(process)


def test_members_come_go_and_hang(topics: Topics) -> None:
    members(topics, seconds=8, n_rows=2000)


@pytest.mark.slow
def test_members_come_go_and_hang_for_long(topics: Topics) -> None:
    members(topics, seconds=40, n_rows=40_000)


def test_broker_that_is_away_loses_nothing(topics: Topics) -> None:
    cut_off(topics, 2)


@pytest.mark.slow
def test_broker_that_is_away_for_long_loses_nothing(topics: Topics) -> None:
    cut_off(topics, 10)


def test_lost_state_is_made_again(topics: Topics) -> None:
    events = events_of(200, seed=8)
    fitted = plan_of().fit(events)
    config = topics.config(fitted)
    rows = send_events(topics, events.slice(0, 100))
    with running(config):
        topics.features(len(rows))
    for path in (topics.folder / "state").iterdir():
        path.unlink()
    rows |= send_events(topics, events.slice(100))
    with running(config) as found:
        messages = check(topics, fitted, rows, events.schema)
    assert summary_of(found).n_events == 200
    assert len(messages) == 300
