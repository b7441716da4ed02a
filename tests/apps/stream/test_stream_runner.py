"""Streams over a broker: what is served is what `transform` gives, bit for bit."""

from __future__ import annotations

import io
import json
import re
import socket
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from docs.demos.services import free_port
from fastfeat import col
from fastfeat.apps.stream import drop_repeated_rows, run
from fastfeat.errors import InvalidConfig, LateRow, StreamError
from fastfeat_tests.apps.stream.topics import (
    WEEK,
    Topics,
    as_json,
    bits,
    end,
    events_of,
    expected,
    member,
    partition_of,
    place_of,
    plan_of,
    running,
    send_events,
    summary_of,
)
from fastfeat_tests.patience import PATIENCE_S, until


def metrics_once(port: int, *wanted: str) -> str:
    """Return what a member tells of itself, once it tells all of some counts.

    A message has left before it is counted.
    """

    def told() -> str:
        address = f"http://127.0.0.1:{port}/metrics"
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
            text: str = answer.read().decode()
        return text if all(count in text for count in wanted) else ""

    return until(told)


def test_features_are_those_of_transform_and_poison_goes_away(topics: Topics) -> None:
    events = events_of(600)
    fitted = plan_of().fit(events, profile=True)
    rows = send_events(topics, events)
    port = free_port()
    with running(topics.config(fitted, metrics=port, drift="1h")) as found:
        served = topics.features(len(rows))
        dead = topics.dead(6)
        metrics = metrics_once(port, "fastfeat_stream_drift_rows 600", 'kind="unreadable"} 6')
    summary = summary_of(found)
    wanted = expected(fitted, rows, events.schema)
    assert {place: bits(row) for place, row in served.items()} == {
        place: bits(row) for place, row in wanted.items()
    }
    assert summary.n_events == 600
    assert summary.n_dead == 6
    assert all(letter.value() == b'{"id": "bad", "amount": "much"}' for letter in dead)
    headers = dict(dead[0].headers())
    assert headers["fastfeat.kind"] == b"unreadable"
    assert b"lacks 'at'" in headers["fastfeat.reason"]
    assert place_of(dead[0]) not in rows
    assert "fastfeat_stream_events_total 600" in metrics
    assert 'fastfeat_stream_dead_total{kind="unreadable"} 6' in metrics
    assert f'fastfeat_stream_lag{{topic="{topics.name("events")}",partition="0"}} 0' in metrics
    assert "fastfeat_stream_batch_seconds_count" in metrics
    assert "fastfeat_stream_drift_rows 600" in metrics
    assert 'fastfeat_stream_drifted{kind="input",column="amount"} 0' in metrics
    entities = [line for line in metrics.splitlines() if "fastfeat_stream_entities{" in line]
    assert sum(int(line.rpartition(" ")[2]) for line in entities) == 12


def test_poison_that_no_message_holds_goes_away_without_it(topics: Topics) -> None:
    """It was the end of a stream, and of each that was begun after it."""
    from confluent_kafka import Producer

    large = {"bootstrap.servers": topics.address, "message.max.bytes": 8 << 20}
    topics.producer = Producer(large)
    events = events_of(20)
    fitted = plan_of().fit(events)
    poisons = [b'{"id": "' + b"x" * n + b'", "amount": "much"}' for n in (2 << 20, 999_500)]
    for poison in poisons:
        topics.send("events", 0, poison)
    rows = send_events(topics, events)
    with running(topics.config(fitted)) as found:
        assert set(topics.features(len(rows))) == set(rows)
        dead = topics.dead(2)
    assert summary_of(found).n_dead == 2
    assert [letter.value() or b"" for letter in dead] == [b"", b""]
    told = [int(dict(letter.headers())["fastfeat.bytes"]) for letter in dead]
    assert told == [len(poison) for poison in poisons]


def test_features_that_no_message_holds_end_the_stream_by_name(topics: Topics) -> None:
    events = events_of(20)
    fitted = plan_of(keep=["shop"]).fit(events)
    large = {**events.to_pylist()[-1], "id": "n", "shop": "s" * 2000}
    config = topics.config(fitted)
    config["kafka"] = {**config["kafka"], "producer": {"message.max.bytes": 1000}}
    topics.send("events", 0, as_json(large))
    topics.flush()
    with running(config) as found:
        topics.read("features", lambda _: bool(found))
    assert isinstance(found[0], StreamError)
    assert "message.max.bytes" in str(found[0])


def test_stream_goes_on_where_it_was_stopped(topics: Topics) -> None:
    events = events_of(300, seed=1)
    fitted = plan_of().fit(events)
    config = topics.config(fitted)
    first = send_events(topics, events.slice(0, 150), each_poison=1000)
    with running(config) as found:
        topics.features(len(first))
    assert summary_of(found).n_events == 150
    rows = first | send_events(topics, events.slice(150), each_poison=1000)
    with running(config) as found:
        served = topics.features(len(rows))
    assert summary_of(found).n_events == 150, "those before are not answered again"
    wanted = expected(fitted, rows, events.schema)
    assert {place: bits(row) for place, row in served.items()} == {
        place: bits(row) for place, row in wanted.items()
    }


def test_new_states_begin_with_the_history_of_their_partition(topics: Topics) -> None:
    events = events_of(200, seed=10)
    fitted = plan_of().fit(events)
    past, now = events.slice(0, 150), events.slice(150)
    for partition in range(2):
        is_own = [partition_of(card, 2) == partition for card in past["card"].to_pylist()]
        own = past.filter(pa.array(is_own))
        pq.write_table(own, topics.folder / f"past{partition}.parquet")
    rows = send_events(topics, now, each_poison=1000)
    config = topics.config(fitted, history=str(topics.folder / "past{partition}.parquet"))
    with running(config) as found:
        served = topics.features(50)
    summary_of(found)
    wanted = fitted.transform(now, history=past).to_pylist()
    by_id = dict(zip(now["id"].to_pylist(), wanted, strict=True))
    assert {place: bits(row) for place, row in served.items()} == {
        place: bits(by_id[row["id"]]) for place, row in rows.items()
    }


def test_arrow_in_and_out_holds_the_same_bits(topics: Topics) -> None:
    events = events_of(400, seed=2)
    fitted = plan_of().fit(events)
    wanted: dict[tuple[int, int], list[Any]] = {}
    for partition in range(2):
        own = events.filter(
            pa.array([partition_of(card, 2) == partition for card in events["card"].to_pylist()])
        )
        features = fitted.transform(own, history="batch").to_pylist()
        for at in range(0, own.num_rows, 7):
            sink = io.BytesIO()
            with pa.ipc.new_stream(sink, own.schema) as writer:
                writer.write_table(own.slice(at, 7))
            offset = topics.send("events", partition, sink.getvalue())
            wanted[partition, offset] = features[at : at + 7]
        topics.send("events", partition, b"no Arrow")
    topics.flush()
    config = topics.config(
        fitted,
        events={"topic": topics.name("events"), "format": "arrow"},
        out={"kafka": {"topic": topics.name("features"), "format": "arrow"}},
    )
    served: dict[tuple[int, int], list[Any]] = {}
    with running(config) as found:
        assert len(topics.dead(2)) == 2
        messages = topics.read("features", lambda got: n_rows(got) >= 400)
    assert summary_of(found).n_events == 400
    seen: dict[tuple[str, int], tuple[int, int]] = {}
    for message in [*messages, *messages]:  # all of them twice
        partition = int(dict(message.headers())["fastfeat.partition"])
        table = pa.ipc.open_stream(message.value()).read_all()
        for row in drop_repeated_rows(table, ("events", partition), seen).to_pylist():
            place = partition, row.pop("fastfeat.offset")
            assert row.pop("fastfeat.row") == len(served.get(place, []))
            served.setdefault(place, []).append(row)
    assert {place: list(map(bits, each)) for place, each in served.items()} == {
        place: list(map(bits, each)) for place, each in wanted.items()
    }


def n_rows(messages: list[Any]) -> int:
    """Return how many rows messages in Arrow hold."""
    return sum(pa.ipc.open_stream(m.value()).read_all().num_rows for m in messages)


def test_sigterm_ends_a_member_with_all_committed(topics: Topics) -> None:
    events = events_of(200, seed=3)
    fitted = plan_of().fit(events)
    rows = send_events(topics, events, each_poison=1000)
    config = topics.config(fitted, checkpoint="1h")
    process = member(topics.folder, config)
    try:
        topics.features(len(rows))
        assert end(process) == 0
    finally:
        end(process)
    told = (topics.folder / "member.log").read_text()
    assert "n_events=200" in told
    topics.send("events", 0, as_json({**events.to_pylist()[-1], "id": "after"}))
    topics.flush()
    with running(config) as found:
        topics.features(len(rows) + 1)
    assert summary_of(found).n_events == 1, "all before was committed"


def test_late_rows_go_away_and_leave_no_trace(topics: Topics) -> None:
    events = events_of(300, n_cards=4, seed=4)
    fitted = plan_of().fit(events)
    rows = events.to_pylist()
    latest: dict[tuple[int, str], Any] = {}
    taken: dict[tuple[int, int], Any] = {}
    late: list[tuple[int, int]] = []
    order = [at ^ 1 if at % 10 == 4 else at for at in range(300)]  # now and then two swapped
    for row in [rows[at] for at in dict.fromkeys([*order, *range(300)])]:
        partition = partition_of(row["card"], 2)
        place = partition, topics.send("events", partition, as_json(row))
        if row["at"] < latest.get((partition, row["card"]), row["at"]):
            late.append(place)
        else:
            latest[partition, row["card"]] = row["at"]
            taken[place] = row
    topics.flush()
    assert late
    with running(topics.config(fitted)) as found:
        served = topics.features(len(taken))
        dead = topics.dead(len(late))
    assert summary_of(found).n_dead == len(late)
    assert sorted(map(place_of, dead)) == sorted(late)
    assert {dict(letter.headers())["fastfeat.kind"] for letter in dead} == {b"late"}
    wanted = expected(fitted, taken, events.schema)
    assert {place: bits(row) for place, row in served.items()} == {
        place: bits(row) for place, row in wanted.items()
    }


def test_the_same_event_twice_is_answered_twice_and_stands_once(topics: Topics) -> None:
    events = events_of(200, n_cards=4, seed=5)
    fitted = plan_of().fit(events)
    again: dict[tuple[int, int], tuple[int, int]] = {}
    rows: dict[tuple[int, int], Any] = {}
    for at, row in enumerate(events.to_pylist()):
        partition = partition_of(row["card"], 2)
        first = partition, topics.send("events", partition, as_json(row))
        rows[first] = row
        if at % 5 == 0:
            again[partition, topics.send("events", partition, as_json(row))] = first
    topics.flush()
    with running(topics.config(fitted)) as found:
        served = topics.features(len(rows) + len(again))
    summary_of(found)
    wanted = expected(fitted, rows, events.schema)
    wanted |= {place: wanted[first] for place, first in again.items()}
    assert {place: bits(row) for place, row in served.items()} == {
        place: bits(row) for place, row in wanted.items()
    }


def test_rows_ahead_of_the_clock_go_away_and_do_so_again_after_a_crash(topics: Topics) -> None:
    events = events_of(4)
    fitted = plan_of().fit(events)
    rows = events.to_pylist()
    now = datetime.now(UTC).replace(microsecond=0)
    moments = [now, now + timedelta(hours=3), now + timedelta(minutes=1), now]
    for row, moment in zip(rows, moments, strict=True):
        topics.send("events", 0, as_json({**row, "card": "c0", "at": moment}))
    topics.flush()
    config = topics.config(fitted)  # without max_ahead: times have a zone, so it is an hour
    state = Path(config["state"])
    state.mkdir()
    before = state / f"{topics.name('events')}-0.order"
    before.write_text("[2, 0]\n")  # what a crash left: the clock was an hour behind
    with running(config) as found:
        dead = topics.dead(2)
        served = topics.features(2)
    assert summary_of(found).n_events == 2
    assert [place_of(letter) for letter in dead] == [(0, 1), (0, 2)]
    assert {dict(letter.headers())["fastfeat.kind"] for letter in dead} == {b"future"}
    assert sorted(served) == [(0, 0), (0, 3)]


def test_poison_without_a_topic_for_it_ends_the_stream(topics: Topics) -> None:
    events = events_of(20)
    fitted = plan_of().fit(events)
    topics.send("events", 0, as_json(events.to_pylist()[0]))
    topics.send("events", 0, b"{")
    topics.flush()
    with running(topics.config(fitted, dead_letters=None)) as found:
        until(lambda: found)
    assert isinstance(found[0], StreamError)
    assert f"{topics.name('events')}:0 offset 1: the text is not JSON" in str(found[0])
    assert "[dead_letters]" in str(found[0])


def test_late_row_ends_the_stream_where_it_is_an_error(topics: Topics) -> None:
    events = events_of(20)
    fitted = plan_of().fit(events)
    row = events.to_pylist()[-1]
    topics.send("events", 0, as_json(row))
    topics.send("events", 0, as_json({**row, "id": "x", "at": events["at"][0].as_py()}))
    topics.flush()
    with running(topics.config(fitted, late="error")) as found:
        until(lambda: found)
    assert isinstance(found[0], LateRow)


def test_plans_over_one_state_name_their_features(topics: Topics) -> None:
    events = events_of(60, seed=9)
    first, second = plan_of().fit(events), plan_of({"twice": col("amount") * 2}).fit(events)
    for name, fitted in (("a", first), ("b", second)):
        fitted.save(topics.folder / f"{name}.fastfeat")
    config = topics.config(first, artifact=None)
    config["artifacts"] = {name: str(topics.folder / f"{name}.fastfeat") for name in ("a", "b")}
    rows = send_events(topics, events, each_poison=1000)
    with running(config) as found:
        served = topics.features(60)
    summary_of(found)
    wanted = [
        (f"{name}.", expected(fitted, rows, events.schema))
        for name, fitted in (("a", first), ("b", second))
    ]
    for place, row in served.items():
        both = {name + key: value for name, of in wanted for key, value in of[place].items()}
        assert bits(row) == bits(both)


def test_topic_that_lacks_is_waited_for_and_told(
    topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    fitted = plan_of().fit(events_of(20))
    config = topics.config(fitted, dead_letters={"topic": "nowhere"})
    with running(config) as found:
        until(lambda: "waiting for the topic nowhere" in caplog.text)
    assert summary_of(found).n_events == 0
    assert "waiting for the topic nowhere, which does not exist" in caplog.text


def test_what_does_not_fit_the_plan_is_told_before_anything_begins(topics: Topics) -> None:
    fitted = plan_of({"bad": col("late").sum(over=WEEK)}, outcomes=["late"]).fit(
        events_of(20).append_column("late", pa.array([1] * 20))
    )
    url = "redis://127.0.0.1:1/0"
    for changes, told in (
        ({"events": {"types": {}}}, "events.types: the plan does not know the type of 'id'"),
        ({"events": {"types": {"id": "text"}}}, "events.types.id: must be 'string', "),
        ({"events": {"columns": {"cart": "x"}}}, "the plan reads no column 'cart'"),
        (
            {"tables": {"w": {"topic": "w"}}},
            "tables.w: the plan reads no such table. It reads no tables",
        ),
        ({"out": {"valkey": {"url": url, "keys": ["c"]}}}, "out.valkey.keys: the plan reads no"),
    ):
        with pytest.raises(InvalidConfig, match=re.escape(told)):
            run(topics.config(fitted, **changes))
    with pytest.raises(StreamError, match=r"the stream sets the option group\.id itself"):
        run(topics.config(fitted, kafka={"options": {"group.id": "x"}}))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StreamError, match=f"metrics: cannot listen on 127.0.0.1:{port}"):
            run(topics.config(fitted, metrics=port))


def test_folder_of_states_that_cannot_be_is_told(topics: Topics) -> None:
    (topics.folder / "file").write_text("")
    config = topics.config(plan_of().fit(events_of(5)), state=str(topics.folder / "file"))
    with pytest.raises(StreamError, match=r"state: cannot create the folder .*file: File exists"):
        run(config)


def test_json_rows_are_shown_as_documented() -> None:
    from fastfeat.apps.stream.json_features import json_rows

    table = pa.table(
        {
            "f": [0.1, float("inf"), None],
            "h": pa.array([0.1, -0.0, float("-inf")], pa.float32()),
            "i": pa.array([2**62, None, -1], pa.int64()),
            "t": pa.array([0, None, 1], pa.timestamp("us", "UTC")),
            "w": pa.array([5, 6, None], pa.duration("s")),
            "s": ["ä", None, '"'],
            "b": [True, False, None],
        }
    )
    first, second, third = map(json.loads, json_rows(table))
    assert first["f"] == 0.1
    assert first["h"] == table["h"][0].as_py()
    assert first["i"] == 2**62
    assert first["t"] == "1970-01-01 00:00:00.000000Z"
    assert first["w"] == 5
    assert second["f"] == "Infinity"
    assert str(second["h"]) == "-0.0"
    assert third["h"] == "-Infinity"
    assert third["f"] is None


def test_rows_that_break_a_rule_go_away_and_leave_no_trace(topics: Topics) -> None:
    events = events_of(200, n_cards=4, seed=5)
    contract = ff.Contract({"paid": (col("amount") > 3) | col("amount").is_null()})
    good, bad = contract.quarantine(events)
    fitted = plan_of().fit(good, contract=contract)
    assert bad.num_rows > 10
    rows = send_events(topics, events, each_poison=1000)
    broken = set(bad["id"].to_pylist())
    taken = {place: row for place, row in rows.items() if row["id"] not in broken}
    port = free_port()
    with running(topics.config(fitted, metrics=port)) as found:
        served = topics.features(len(taken))
        dead = topics.dead(len(broken))
        metrics = metrics_once(port, f'rule="paid"}} {len(broken)}\n')
    assert f'fastfeat_stream_contract_violations_total{{rule="paid"}} {len(broken)}\n' in metrics
    assert summary_of(found).n_dead == len(broken)
    assert {place_of(letter) for letter in dead} == rows.keys() - taken.keys()
    headers = dict(dead[0].headers())
    assert headers["fastfeat.kind"] == b"contract"
    assert b"rule 'paid': 1 of 1 row breaks" in headers["fastfeat.reason"]
    wanted = expected(fitted, taken, events.schema)
    assert {place: bits(row) for place, row in served.items()} == {
        place: bits(row) for place, row in wanted.items()
    }


@pytest.mark.parametrize("is_kept", [True, False])
def test_archive_keeps_what_another_plan_replaces(topics: Topics, is_kept: bool) -> None:
    """All partitions keep their segments in one folder, and each replays its own."""
    events = events_of(200, seed=15)
    archive = topics.folder / "archive"
    first = plan_of().fit(events)
    second = plan_of({"most": col("amount").max(over=WEEK)}).fit(events)
    config = topics.config(first, **({"archive": str(archive)} if is_kept else {}))
    rows: dict[Any, Any] = {}
    answers: dict[Any, Any] = {}
    for at, fitted in enumerate((first, second)):
        fitted.save(config["artifact"])
        rows |= send_events(topics, events.slice(100 * at, 100), each_poison=10**9)
        with running({**config, "group": f"{topics.prefix}-{at}"}) as found:
            answers = topics.features(len(rows))
        summary_of(found)
    names = [f"{topics.name('events')}-{number}.state" for number in range(2)]
    for number, name in enumerate(names):
        own = {place for place in rows if place[0] == number}
        served = topics.folder / f"{number}.parquet"
        report = ff.replay(topics.folder / "state" / name, to=served, partial=not is_kept)
        assert report.ok, report
        assert report.served is not None
        answered = pq.read_table(served).select(second.schema.names).to_pylist()
        new = sorted(place for place in own if "most" in answers[place])
        wanted = expected(second, rows, events.schema)
        assert [bits(row) for row in answered] == [bits(wanted[place]) for place in new]
        assert report.served.n_of_others == (len(own) - len(new) if is_kept else 0)
        assert (report.not_covered.n_changes == 0) == is_kept
    kept = sorted(path.name.partition(".state.")[0] for path in archive.glob("*"))
    assert kept == ([name.removesuffix(".state") for name in names] if is_kept else [])
