"""Streams that are killed, stopped, cut off: nothing is lost, and what comes again has its bits."""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, TopicPartition

from fastfeat.apps.stream import read_features
from fastfeat.errors import StateError, StreamError
from fastfeat_tests.apps.stream.cut import Cut
from fastfeat_tests.apps.stream.topics import (
    BEGIN,
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
from fastfeat_tests.patience import PATIENCE_S, joined, until


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
    # a part before each kill, and one after the last: none comes when all is done
    ends = [n_rows * part // (n_kills + 1) // 100 * 100 for part in range(1, n_kills + 1)]
    rows: dict[Any, Any] = {}
    n_dead = n_rows // 100
    process = None
    try:
        for at, end_of_part in enumerate(ends):
            n_before = topics.n_messages("features")
            rows |= send_events(topics, events.slice(len(rows), end_of_part - len(rows)))
            config["group"] = f"{topics.prefix}-{at}"  # the broker waits for members that died
            process = member(topics.folder, config)
            until(lambda n=n_before: topics.n_messages("features") > n, process)
            time.sleep(rng.uniform(0, 0.1))
            process.kill()
            process.wait(PATIENCE_S)
        rows |= send_events(topics, events.slice(len(rows)))
        config["group"] = f"{topics.prefix}-last"
        process = member(topics.folder, config, "last")
        until(lambda: "opened at" in log_of(topics, "last"))
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


def test_killed_members_lose_nothing(topics: Topics) -> None:
    killed(topics, n_kills=3, n_rows=12_000, seed=random.randrange(1000))


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


def log_of(topics: Topics, name: str) -> str:
    """Return what a member has told."""
    return (topics.folder / f"{name}.log").read_text()


def told_last(topics: Topics, name: str) -> dict[str, tuple[str, str]]:
    """Return when a member told the last about each partition, and what."""
    lines = re.findall(r"^(\S+ \S+) .*events[-:](\d+)(.*)$", log_of(topics, name), re.MULTILINE)
    return {number: (when, what) for when, number, what in lines}


def members(topics: Topics, n_rounds: int) -> None:
    """Let members come, go, be killed and hang while events come, and check what came of it."""
    topics = Topics(topics.address, f"{topics.prefix}m", topics.folder, n_partitions=4)
    topics.create()
    n_rows = 2000
    first = events_of(n_rows, seed=7)
    fitted = plan_of().fit(first)
    config = topics.config(fitted, batch={"rows": 50})
    rows: dict[Any, Any] = {}
    is_over = threading.Event()

    def flow() -> None:
        """Send events until all is over, however long it takes."""
        for part in itertools.count():
            start = BEGIN + timedelta(minutes=4 * n_rows * part)
            events = events_of(n_rows, seed=7 + part, start=start, first=n_rows * part)
            for at in range(0, n_rows, 8):
                rows.update(send_events(topics, events.slice(at, 8), each_poison=10**9))
                if is_over.wait(0.05):
                    return

    sender = threading.Thread(target=flow)
    processes: list[Any] = []

    def come(name: str) -> Any:
        processes.append(member(topics.folder, config, name))
        until(lambda: "opened at" in log_of(topics, name), processes[-1])
        return processes[-1]

    def opened(name: str) -> dict[str, str]:
        """Return the partitions that a member has open, and since when."""
        told = told_last(topics, name).items()
        return {number: when for number, (when, what) in told if what.startswith(": opened")}

    def hang(name: str, process: Any) -> None:
        """Stop a member while it has the lock of a partition, until another waits for that."""
        while True:
            until(lambda: opened(name), process)
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if has := opened(name):
                break
            process.send_signal(signal.SIGCONT)
        until(
            lambda: any(
                number in has and when > has[number] and "has locked it" in what
                for number, (when, what) in told_last(topics, "stays").items()
            ),
            process,
        )

    try:
        sender.start()
        stays = come("stays")
        for turn in range(n_rounds):
            hangs = come(f"hangs{turn}")
            hang(f"hangs{turn}", hangs)
            n_opened = log_of(topics, "stays").count("opened at")
            hangs.send_signal(signal.SIGCONT)
            until(lambda n=n_opened: log_of(topics, "stays").count("opened at") > n, stays)
            dies = come(f"dies{turn}")
            dies.kill()
            dies.wait(PATIENCE_S)
            assert end(hangs) == 0, log_of(topics, f"hangs{turn}")
        assert sender.is_alive(), "events came all the time"
        is_over.set()
        joined(sender)
        check(topics, fitted, rows, first.schema)
        assert end(stays) == 0, log_of(topics, "stays")
    finally:
        is_over.set()
        sender.join()
        for process in processes:
            end(process)


def test_members_come_go_and_hang(topics: Topics) -> None:
    members(topics, 1)


@pytest.mark.slow
def test_members_come_go_and_hang_often(topics: Topics) -> None:
    members(topics, 6)


def test_broker_that_is_away_loses_nothing(topics: Topics) -> None:
    cut_off(topics, 2)


@pytest.mark.slow
def test_broker_that_is_away_for_long_loses_nothing(topics: Topics) -> None:
    cut_off(topics, 10)


@pytest.mark.slow
def test_stop_while_the_broker_is_away_ends_in_time_and_loses_nothing(topics: Topics) -> None:
    events = events_of(20_000, seed=12)
    fitted = plan_of().fit(events)
    host, _, port = topics.address.partition(":")
    rows = send_events(topics, events)
    config = topics.config(fitted, batch={"rows": 50}, checkpoint="1h")
    with Cut((host, int(port))) as cut:
        away = {**config, "kafka": {**config["kafka"], "brokers": f"127.0.0.1:{cut.port}"}}
        with running(away) as found:
            topics.features(100)
            cut.cut()
            time.sleep(0.5)
        assert summary_of(found).n_events < 20_000, "it was cut off before the end"
    with running({**config, "group": f"{topics.prefix}-again"}) as found:
        check(topics, fitted, rows, events.schema)
    summary_of(found)


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


@pytest.mark.parametrize("is_swapped", [True, False])
def test_state_of_another_partition_is_refused(topics: Topics, is_swapped: bool) -> None:
    """Answers would have come of the rows of other entities, without a word."""
    events = events_of(60, seed=9)
    fitted = plan_of().fit(events)
    config = topics.config(fitted)
    rows = send_events(topics, events)
    with running(config) as found:
        topics.features(len(rows))
    summary_of(found)
    first, second = sorted((topics.folder / "state").glob("*.state"))
    kept = first.with_suffix(".kept")
    shutil.copy(first, kept)
    if is_swapped:
        shutil.copy(second, first)
    shutil.copy(kept, second)
    for path in (topics.folder / "state").glob("*.state-lock"):
        path.unlink()
    with running({**config, "group": f"{topics.prefix}-again"}) as found:
        until(lambda: bool(found))
    assert isinstance(found[0], StateError)
    assert "Move each state file back to its place" in str(found[0])


def test_topic_that_was_made_again_is_told(topics: Topics) -> None:
    """Its first rows would have been left out, up to the offset of the state."""
    events = events_of(30, seed=9)
    fitted = plan_of().fit(events)
    rows = send_events(topics, events)
    with running(topics.config(fitted)) as found:
        topics.features(len(rows))
    summary_of(found)
    again = Topics(topics.address, f"{topics.prefix}again", topics.folder)
    again.create()
    state = topics.folder / "state"
    for number in range(2):
        path = state / f"{again.name('events')}-{number}.state"
        live = fitted.online(path=path)
        live.process(events, source=f"{again.name('events')}:{number}", first=0, end=30)
        live.close()
    with running(again.config(fitted)) as found:
        until(lambda: bool(found))
    assert isinstance(found[0], StreamError)
    assert "is empty, but its state" in str(found[0])


@pytest.mark.slow
def test_memory_stays_flat(topics: Topics) -> None:
    """Events come faster than they are answered, of entities that windows soon see no more."""
    fitted = plan_of().fit(events_of(500))
    process = member(topics.folder, topics.config(fitted))
    sizes: list[int] = []
    try:
        for part in range(40):
            start = BEGIN + timedelta(days=14 * part)
            send_events(topics, events_of(5000, 500, part, start, first=5000 * part))
            until(lambda: n_behind(topics) <= 20_000, process)
            status = Path(f"/proc/{process.pid}/status").read_text()
            sizes.append(int(status.partition("VmRSS:")[2].split()[0]))
        topics.features(200_000)
        assert end(process) == 0
    finally:
        end(process)
    print(f"MB: {[size // 1000 for size in sizes]}")
    assert max(sizes[20:]) < 1.15 * max(sizes[5:20])


def n_behind(topics: Topics) -> int:
    """Return how many events were sent and not answered."""
    consumer = Consumer({"bootstrap.servers": topics.address, "group.id": topics.prefix})
    places = [TopicPartition(topics.name("events"), at) for at in range(2)]
    done = sum(max(place.offset, 0) for place in consumer.committed(places, 10))
    consumer.close()
    return sum(len(sent) for (name, _), sent in topics.sent.items() if name == "events") - done
