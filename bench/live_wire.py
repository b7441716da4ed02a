"""A server over the same state: the wire's overhead for one row, and 500 requests a second."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.compare import EXACT, require_equal
from bench.live_rows import Past, past_of
from bench.live_timing import Figure, in_turns
from bench.timing import percentile

GROUP = "over HTTP on loopback, JSON, one row of 16 windows, an entity of {n_rows_each} rows"
N_CONNECTIONS, RATE = 8, 500.0
ADDED_S, P99_S = 100e-6, 10e-3


def measure(sizes: Any, folder: Path) -> list[Figure]:
    """Return the figures of the server: one connection, then eight at a rate."""
    past = past_of(sizes)
    requests = [request_of({"rows": [row]}) for row in past.as_dicts]
    live = past.fitted.online(past.rows)
    with running_server(past, folder) as (_, port):
        return _measured(sizes, past, live, requests, port)


@contextmanager
def running_server(past: Past, folder: Path) -> Iterator[tuple[int, int]]:
    """Yield the process and the port of a ready server over a past; end it afterwards."""
    from docs.demos.services import HOST, Service, end, free_port

    state = folder / f"{free_port()}.state"
    past.fitted.save(folder / "wire.fastfeat")
    past.fitted.online(past.rows, path=state).close()
    port, log = free_port(), folder / "server.log"
    command = [sys.executable, "-m", "fastfeat", "serve", str(folder / "wire.fastfeat")]
    options = ["--state", str(state), "--host", HOST, "--port", str(port)]
    server = Service("the server", [*command, *options], port, {}, log, True)
    try:
        server.start()
        _wait_until_ready(port)
        assert server.process is not None
        yield server.process.pid, port
    finally:
        if server.process is not None:
            end(server.process)


def _measured(
    sizes: Any, past: Any, live: Any, requests: Sequence[bytes], port: int
) -> list[Figure]:
    n, group = len(requests), GROUP.format(n_rows_each=sizes.n_rows_each)
    with closing(connected(port)) as connection:

        def over_the_wire(k: int) -> Any:
            return json.loads(_answer(connection, requests[k % n]))["features"][0]

        def in_process(k: int) -> Any:
            return live.features(past.as_dicts[k % n])

        ours = np.array([in_process(k) for k in range(n)], np.float64)
        wired = np.array([over_the_wire(k) for k in range(n)], np.float64)
        require_equal(ours, wired, EXACT, "in process and over the wire")
        calls = {"in process": in_process, "one connection": over_the_wire}
        taken = in_turns(calls, sizes.n_requests)
    alone, wire = (one.figure(group, name) for name, one in taken.items())
    added = wire.p50_seconds - alone.p50_seconds
    told = f"p50 at most 100 µs more than in process ({added * 1e6:.0f} µs)"
    wire = replace(wire, cpu_seconds=0.0, target=told, is_met=added <= ADDED_S)
    seconds = _at_a_rate(port, requests, sizes.n_requests)
    p50, p99 = percentile(seconds, 0.5), percentile(seconds, 0.99)
    name = f"{N_CONNECTIONS} connections, {RATE:.0f} requests a second"
    rated = Figure(group, name, p50, p99, 0.0, 1, target="p99 at most 10 ms", is_met=p99 <= P99_S)
    return [alone, wire, rated]


def _at_a_rate(port: int, requests: Sequence[bytes], n_requests: int) -> list[float]:
    """Return the seconds from each request's due time to its answer.

    Requests are due by the clock, even if earlier ones have not been answered: a stalled server
    makes all of them wait, and each of them counts.
    """
    begin = time.perf_counter() + 0.1
    taken: list[list[float]] = [[] for _ in range(N_CONNECTIONS)]
    failed: list[BaseException] = []

    def ask(number: int) -> None:
        try:
            with closing(connected(port)) as connection:
                for k in range(number, n_requests, N_CONNECTIONS):
                    due = begin + k / RATE
                    time.sleep(max(0.0, due - time.perf_counter()))
                    _answer(connection, requests[k % len(requests)])
                    taken[number].append(time.perf_counter() - due)
        except (OSError, RuntimeError) as error:
            failed.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(N_CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return [seconds for of_one in taken for seconds in of_one]


def _wait_until_ready(port: int) -> None:
    head = b"GET /v2/health/ready HTTP/1.1\r\nhost: bench\r\n\r\n"
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with closing(connected(port)) as connection:
            connection.sendall(head)
            if b" 200 " in connection.recv(1 << 16)[:20]:
                return
        time.sleep(0.05)
    raise RuntimeError("the server is not ready after 60 s")


def connected(port: int) -> socket.socket:
    """Return a connection to a server of this machine."""
    connection = socket.create_connection(("127.0.0.1", port), 30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def request_of(document: Any) -> bytes:
    """Return the bytes of a request for the features of rows."""
    body = json.dumps(document, default=lambda moment: moment.isoformat()).encode()
    head = (
        "POST /v1/features HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _answer(connection: socket.socket, request: bytes) -> bytes:
    """Return the body of the answer to a request.

    Raises:
        RuntimeError: The answer has no features.
    """
    connection.sendall(request)
    received = b""
    while True:
        piece = connection.recv(1 << 16)
        if not piece:
            raise RuntimeError("the server has closed the connection")
        received += piece
        head, found, body = received.partition(b"\r\n\r\n")
        if not found:
            continue
        lengths = [
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ]
        if lengths and len(body) >= lengths[0]:
            if b" 200 " not in head[:20]:
                raise RuntimeError(f"the server answered {received[:300]!r}")
            return body
