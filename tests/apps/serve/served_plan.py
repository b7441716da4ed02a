"""The plan that the tests of the server serve, its rows, and a server's process."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import fastfeat as ff
from fastfeat import col
from fastfeat_tests.patience import PATIENCE_S, joined

DAY = ff.window("1d", by="card", time="t")
FEATURES = {
    "spent": col("x").sum(over=DAY),
    "n": ff.count(over=DAY),
    "mean": col("x").mean(over=DAY),
    "log": col("x").log1p(),
    "country": col("country").ordinal_encode(),
    "bad": col("y").mean(over=ff.window("2d", by="card", time="t", offset="1d")),
    "big": ff.lookup("shops", by="shop").col("size"),
    "odd": col("x") > 2,
}
OPTIONS: dict[str, Any] = {"outcomes": ["y"], "label_delay": "1d", "row_id": "id"}
PLAN = ff.Plan(FEATURES, **OPTIONS)
ARROW = "application/vnd.apache.arrow.stream"
START = np.datetime64("2026-01-01T00:00:00", "us")


def rows(n: int, first: int = 0, seed: int = 0) -> pa.Table:
    """Return rows in order of time, ten minutes after each other."""
    rng = np.random.default_rng(seed)
    minutes = (np.arange(first, first + n) * 10).astype("timedelta64[m]")
    return pa.table(
        {
            "id": pa.array([f"r{k}" for k in range(first, first + n)]),
            "card": rng.integers(0, 5, n),
            "t": pa.array(START + minutes, pa.timestamp("us", "UTC")),
            "x": pa.array(
                [None if k % 11 == 5 else v for k, v in enumerate(rng.normal(3, 1, n).tolist())]
            ),
            "country": pa.array([["at", "de", "fr", None][k] for k in rng.integers(0, 4, n)]),
            "shop": pa.array(rng.integers(0, 4, n)),
            "y": rng.normal(0, 1, n),
        }
    )


SHOPS = pa.table({"shop": [0, 1, 2], "size": [10, 20, 30]})
HISTORY = rows(200)
ASKED = rows(20, 200, 1).drop_columns(["y"])


def fitted(plan: ff.Plan = PLAN) -> ff.FittedPlan:
    """Return the plan, fitted."""
    return plan.fit(HISTORY, tables={"shops": SHOPS})


def json_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return rows as JSON has them: times as text."""
    found = table.to_pylist()
    for row in found:
        if row.get("t") is not None:
            row["t"] = row["t"].isoformat()
    return found


def stream(table: pa.Table) -> bytes:
    """Return a table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def table_of(content: bytes) -> pa.Table:
    """Return the table of an Arrow stream."""
    return pa.ipc.open_stream(content).read_all()


def alone(plan: ff.FittedPlan, asked: pa.Table, history: pa.Table) -> pa.Table:
    """Return the features of rows that do not see each other."""
    pieces = [
        plan.transform(asked.slice(k, 1), history=history, tables={"shops": SHOPS})
        for k in range(asked.num_rows)
    ]
    return pa.concat_tables(pieces).combine_chunks()


@dataclass
class Answered:
    """What a server has answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        found = self.json
        assert set(found) == {"error"}, found
        assert {"kind", "message", "row", "column", "value"} <= set(found["error"])
        return found["error"]


@dataclass
class Server:
    """A server in a process of its own.

    Args:
        process: the process.
        lines: what it has said.
    """

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    said: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, text: str) -> str:
        """Return the first line that holds a text, once it is there."""

        def found() -> str | None:
            return next((line for line in self.lines if text in line), None)

        with self.said:
            self.said.wait_for(lambda: found() or self.process.poll() is not None, PATIENCE_S)
        line = found()
        assert line is not None, (text, self.lines)
        return line

    @property
    def port(self) -> int:
        return int(self.wait_for("listening at").rpartition(":")[2])

    @property
    def flight_port(self) -> int:
        return int(self.wait_for("Arrow Flight at").rpartition(":")[2])

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """Return what the server answers; a body that is no bytes is sent as JSON."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            given = {"content-type": kind, **(headers or {})} if content is not None else headers
            connection.request(method, path, content, dict(given or {}))
            answer = connection.getresponse()
            return Answered(answer.status, dict(answer.headers), answer.read())
        finally:
            connection.close()

    def post(self, path: str, body: Any, kind: str = "application/json") -> Answered:
        return self.request("POST", path, body, kind)

    def get(self, path: str) -> Answered:
        return self.request("GET", path)

    def raw(self, content: bytes) -> bytes:
        """Return all that the server writes to a connection, until it is closed."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as caller:
            caller.sendall(content)
            parts = []
            while part := caller.recv(1 << 16):
                parts.append(part)
        return b"".join(parts)

    def stop(self) -> int:
        """Return how the process ended after it was told to."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


_PROGRAM = """
import json, sys, warnings
import pyarrow.parquet as pq
from fastfeat.apps.serve import run
options = json.loads(sys.argv[1])
if "history" in options:
    options["history"] = pq.read_table(options["history"])
run(options.pop("artifact"), **options)
"""


@contextmanager
def server(**options: Any) -> Iterator[Server]:
    """Give a server, which has ended afterwards; the options as of `run`."""
    given = {"port": 0, **options}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _PROGRAM, json.dumps(given, default=str)],
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    found = Server(process)

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            with found.said:
                found.lines.append(line.rstrip("\n"))
                found.said.notify_all()
        with found.said:
            found.said.notify_all()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield found
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE_S)
        joined(reader)
        assert process.stderr is not None
        process.stderr.close()


@dataclass(frozen=True)
class Files:
    """The files that a server is started with."""

    artifact: Path
    history: Path
    shops: Path

    @property
    def options(self) -> dict[str, Any]:
        return {
            "artifact": self.artifact,
            "history": self.history,
            "tables": {"shops": str(self.shops)},
        }
