"""A server's CPU time per request, with one connection and with up to 64 at once."""

from __future__ import annotations

import json
import os
import selectors
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.compare import EXACT, require_equal
from bench.live_rows import past_of
from bench.live_timing import Figure
from bench.live_wire import connected, request_of, running_server

GROUP = "CPU of the server a request, JSON, one row of 16 windows, an entity of {n_rows_each} rows"
CONNECTIONS = (1, 2, 4, 8, 16, 32, 64)
MOST_RATIO = 1.25
_N_TURNS = 3


def measure(sizes: Any, folder: Path) -> list[Figure]:
    """Return the figures of a server with connections that each ask for one row after the other."""
    past = past_of(sizes)
    requests = [request_of({"rows": [row]}) for row in past.as_dicts]
    live, group = past.fitted.online(past.rows), GROUP.format(n_rows_each=sizes.n_rows_each)
    expected = np.array([live.features(row) for row in past.as_dicts], np.float64)
    n_requests = max(sizes.n_requests // 2, 64)
    seconds: dict[int, list[float]] = {n: [] for n in CONNECTIONS}
    with running_server(past, folder) as (process_id, port):
        for _ in range(_N_TURNS):
            for n_connections in CONNECTIONS:
                before = _cpu_seconds(process_id)
                answers = _asked(port, n_connections, requests, n_requests)
                seconds[n_connections].append(_cpu_seconds(process_id) - before)
                told = f"in process and over {n_connections} connections"
                wanted = expected[np.arange(n_requests) % len(expected)]
                require_equal(wanted, np.array(answers, np.float64), EXACT, told)
    each = {n: sorted(taken)[_N_TURNS // 2] / n_requests for n, taken in seconds.items()}
    return [_figure(group, n, cpu, each[1]) for n, cpu in each.items()]


def _figure(group: str, n_connections: int, cpu: float, alone: float) -> Figure:
    name = f"{n_connections} connection{'s' * (n_connections > 1)}"
    ratio = cpu / alone if alone else 1.0
    note = f"{cpu * 1e6:.0f} µs of CPU a request, {ratio:.2f}x one connection"
    target = "" if n_connections == 1 else f"at most {MOST_RATIO}x one connection"
    return Figure(
        group, name, cpu_seconds=cpu, note=note, target=target, is_met=ratio <= MOST_RATIO
    )


def _cpu_seconds(process_id: int) -> float:
    """Return the user and system CPU time of all threads of a process."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _asked(
    port: int, n_connections: int, requests: Sequence[bytes], n_requests: int
) -> list[list[Any]]:
    """Return the features of each request; a connection sends the next one after the answer."""
    answers: list[list[Any]] = [[] for _ in range(n_requests)]
    waiting = iter(range(n_requests))
    with selectors.DefaultSelector() as selector:
        for _ in range(n_connections):
            _ask_next(selector, connected(port), requests, waiting)
        while selector.get_map():
            for key, _ in selector.select(30):
                connection, (number, received) = key.fileobj, key.data
                assert isinstance(connection, socket.socket)
                received += connection.recv(1 << 16)
                body = _whole_body(received)
                if body is None:
                    continue
                answers[number] = json.loads(body)["features"][0]
                selector.unregister(connection)
                _ask_next(selector, connection, requests, waiting)
    return answers


def _ask_next(
    selector: Any, connection: socket.socket, requests: Sequence[bytes], waiting: Iterator[int]
) -> None:
    number = next(waiting, None)
    if number is None:
        connection.close()
        return
    connection.sendall(requests[number % len(requests)])
    selector.register(connection, selectors.EVENT_READ, (number, bytearray()))


def _whole_body(received: bytearray) -> bytes | None:
    """Return the body of an answer when it is complete, else None."""
    head, found, body = bytes(received).partition(b"\r\n\r\n")
    if not found:
        return None
    if b" 200 " not in head[:20]:
        raise RuntimeError(f"the server answered {bytes(received[:300])!r}")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    return body if len(body) >= length else None
