"""Rows asked one at a time, in process and over HTTP: the answers and their latency."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docs.demos.services import HOST, PATIENCE_S, Service, last_lines
from fastfeat.errors import FastfeatError

Row = Mapping[str, Any]
_WARMING = 20
_PERIOD_S = 0.02


@dataclass(frozen=True, slots=True)
class Latency:
    """The latency of single answers.

    Args:
        n: Number of answers.
        p50, p99: Median and 99th percentile, in seconds.
    """

    n: int
    p50: float
    p99: float


def latency_of(seconds: Sequence[float]) -> Latency:
    """Return the median and the 99th percentile of some seconds."""
    p50, p99 = np.percentile(seconds, [50, 99]) if len(seconds) else (np.nan, np.nan)
    return Latency(len(seconds), float(p50), float(p99))


def asked(answer: Callable[[Row], Any], rows: Sequence[Row]) -> tuple[list[Any], Latency]:
    """Return the answers to rows, asked one after the other, and their latency.

    `answer` asks for one row. The first few rows are asked once before, without timing.
    """
    for row in rows[:_WARMING]:
        answer(row)
    found: list[Any] = []
    seconds: list[float] = []
    for row in rows:
        started = time.perf_counter()
        found.append(answer(row))
        seconds.append(time.perf_counter() - started)
    return found, latency_of(seconds)


class Client:
    """An open connection to the server on a port."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S)

    def __call__(self, row: Row) -> list[Any]:
        """Return the features of a row; FastfeatError for any other answer."""
        body = json.dumps({"rows": [row]}, default=_text)
        headers = {"content-type": "application/json"}
        self._connection.request("POST", "/v1/features", body, headers)
        response = self._connection.getresponse()
        text = response.read()
        if response.status != http.client.OK:
            raise FastfeatError(f"the server answered {response.status}: {text[:300].decode()}")
        return json.loads(text)["features"][0]

    def is_ready(self) -> bool:
        """Whether the server has loaded its plan and state."""
        self._connection.request("GET", "/v2/health/ready")
        response = self._connection.getresponse()
        response.read()
        return response.status == http.client.OK

    def close(self) -> None:
        """Close it."""
        self._connection.close()


def client_of(server: Service, stop: threading.Event | None = None) -> Client:
    """Return a connection to a launched server, once it is ready.

    Setting `stop` cancels the wait. FastfeatError if the server has ended, or is not ready in time.
    """
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and not (stop is not None and stop.is_set()):
        if server.takes_connections():
            client = Client(server.port)
            if client.is_ready():
                return client
            client.close()
        time.sleep(_PERIOD_S)
    raise FastfeatError(f"{server.name} was not ready: {last_lines(server.log)}")


def _text(value: Any) -> str:
    return value.isoformat()


def differing_bits(expected: NDArray[np.float32], answers: Sequence[Sequence[Any]]) -> int:
    """Return the number of bits of answers that differ from features, shape (n_rows, n_features).

    Missing is NaN in `expected`, and None or NaN in the answers.
    """
    found = np.array([[np.nan if x is None else x for x in row] for row in answers], np.float32)
    is_there = ~np.isnan(expected)
    n_bits = int((is_there != ~np.isnan(found)).sum())
    apart = (expected.view(np.uint32) ^ found.view(np.uint32))[is_there & ~np.isnan(found)]
    return n_bits + int(np.bitwise_count(apart).sum())


@dataclass(slots=True)
class Asking:
    """A thread that asks the server while the stream runs.

    Args:
        server: The server, asked as soon as it takes connections and has loaded the state.
        row: Function that returns the next row to ask for.
        seconds: Time of each answer so far.
        failed: An answer without features; None if there was none.
        until: Set to end the thread.
        thread: The running thread, or None.
    """

    server: Service
    row: Callable[[], Row]
    seconds: list[float] = field(default_factory=list[float])
    failed: str | None = None
    until: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to ask."""
        self.thread = threading.Thread(target=self._ask, daemon=True)
        self.thread.start()

    def end(self) -> Latency:
        """Return the latency after the last answer; FastfeatError if one was invalid."""
        self.until.set()
        if self.thread is not None:
            self.thread.join(30)
        if self.failed is not None:
            raise FastfeatError(f"asked while the stream ran: {self.failed}")
        return latency_of(self.seconds)

    def _ask(self) -> None:
        try:
            client = client_of(self.server, self.until)
            while not self.until.wait(_PERIOD_S):
                row = self.row()
                started = time.perf_counter()
                client(row)
                self.seconds.append(time.perf_counter() - started)
            client.close()
        except (FastfeatError, OSError, http.client.HTTPException) as error:
            self.failed = str(error)
