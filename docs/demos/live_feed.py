"""Messages of the live demo: departures, landings, hourly weather, in the order they become known.

Airports report four times a day: flights that have left, flights that have landed, and the weather
of completed hours. A message has the time of its report as its timestamp, by which `fastfeat
stream` orders topics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docs.demos.services import PATIENCE_S
from fastfeat.apps.stream.kafka import library
from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import Table, call, pa
from fastfeat.io.libraries import orjson_module

FLIGHTS, LANDINGS, WEATHER = "flights", "landings", "weather"
FEATURES, DEAD = "features", "dead-flights"
LATE = ("arr_delay", "air_time")
_WEATHER_COLUMNS = ("origin", "time_hour", "temp", "wind_speed", "visib", "precip")
_MINUTE_MS, _HOUR_MS = 60_000, 3_600_000
_REPORT_MS = 6 * _HOUR_MS
_TAXI_MINUTES = 20
"""Minutes from leaving the gate to take-off, and from landing to a gate."""
_POLLED_EVERY = 1_000


@dataclass(frozen=True, slots=True)
class Feed:
    """Messages of one topic, in the order of their reports.

    Args:
        topic: Name of the topic.
        rows: One row per message.
        known_ms: Time of each row's report, in milliseconds since 1970, shape (n_rows,).
    """

    topic: str
    rows: Table
    known_ms: NDArray[np.int64]


def feeds_of(flights: Table, weather: Table, row_columns: Sequence[str]) -> tuple[Feed, ...]:
    """Return the messages of some flights and of the weather, by topic.

    Args:
        flights: In the order of their scheduled departures.
        weather: Weather of the airports.
        row_columns: Columns that are known when a flight leaves.
    """
    leaves = _milliseconds(flights["time_hour"])
    asked = flights.select(["flight_id", *(name for name in row_columns if name != "flight_id")])
    has_landed: Any = call("is_valid", flights["arr_delay"])
    landed, left = flights.filter(has_landed), leaves[np.asarray(has_landed)]
    after = call("add", call("add", landed["dep_delay"], landed["air_time"]), 2 * _TAXI_MINUTES)
    lands = left + (landed["minute"].to_numpy() + after.to_numpy()) * _MINUTE_MS
    # in time for the next report, and not in that of leaving
    known = np.maximum(_reported(lands), _reported(left) + _REPORT_MS) - 1
    landings = Feed(LANDINGS, landed.select(["flight_id", *LATE]), known)
    is_over = _reported(_milliseconds(weather["time_hour"]) + _HOUR_MS)
    measured = Feed(WEATHER, weather.select(_WEATHER_COLUMNS), is_over)
    return Feed(FLIGHTS, asked, _reported(leaves)), _in_order(landings), _in_order(measured)


def _reported(known_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the time of the first report after each time."""
    return -(-known_ms // _REPORT_MS) * _REPORT_MS


def _in_order(feed: Feed) -> Feed:
    order = np.argsort(feed.known_ms, kind="stable")
    return Feed(feed.topic, feed.rows.take(pa.array(order)), feed.known_ms[order])


def _milliseconds(times: Any) -> NDArray[np.int64]:
    return times.cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_numpy()


def send(brokers: str, feeds: Sequence[Feed]) -> None:
    """Send all messages, across all topics in the order of their reports.

    Raises:
        LibraryUnavailable: The client of Kafka, or orjson, is not installed.
        FastfeatError: The broker rejects them.
    """
    kafka, orjson = library(), orjson_module("demo-live")
    failed: list[str] = []

    def delivered(error: Any, message: Any) -> None:
        if error is not None:
            failed.append(f"{message.topic()}: {error}")

    producer: Any = kafka.Producer(
        {
            "bootstrap.servers": brokers,
            "enable.idempotence": True,
            "log_level": 3,  # errors only
            "linger.ms": 20,
            "queue.buffering.max.messages": sum(feed.rows.num_rows for feed in feeds) + 1,
        }
    )
    for number, (topic, row, known) in enumerate(_merged(feeds)):
        text = orjson.dumps(row)
        producer.produce(topic, text, partition=0, timestamp=known, on_delivery=delivered)
        if number % _POLLED_EVERY == 0:
            producer.poll(0)
    n_left = producer.flush(PATIENCE_S)
    if failed or n_left:
        told = failed[0] if failed else f"{n_left:,} messages were not taken in {PATIENCE_S:.0f} s"
        raise FastfeatError(f"the broker has not taken what the demo sent: {told}")


def _merged(feeds: Sequence[Feed]) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Yield topic, row and time of all messages, in the order of time."""
    known = np.concatenate([feed.known_ms for feed in feeds])
    of_feed = np.repeat(np.arange(len(feeds)), [len(feed.known_ms) for feed in feeds])
    rows = [iter(_rows(feed.rows)) for feed in feeds]
    for place in np.argsort(known, kind="stable").tolist():
        number = int(of_feed[place])
        yield feeds[number].topic, next(rows[number]), int(known[place])


def _rows(table: Table, n_rows: int = 10_000) -> Iterator[dict[str, Any]]:
    for first in range(0, table.num_rows, n_rows):
        yield from table.slice(first, n_rows).to_pylist()
