"""Rows of Valkey after the stream: the latest features of each plane, beside training's."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from docs.demos.live_answers import bits_apart
from docs.demos.services import HOST, Service
from fastfeat.apps.stream.packed import PackedRow, entity_key, read_packed
from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import Table, pa

PREFIX, KEY = "plane:", "tailnum"


@dataclass(frozen=True, slots=True)
class Stored:
    """The comparison of the store with training.

    Args:
        name: Name and version that the server reports.
        n_rows: Number of planes with features read.
        n_bits: Number of bits that differ from the plane's last flight.
        seconds: Median time to read one row.
    """

    name: str
    n_rows: int
    n_bits: int
    seconds: float


def stored(valkey: Service, flights: Table, features: Table) -> Stored:
    """Return the comparison of each plane's features in Valkey.

    Args:
        valkey: The server.
        flights: All flights, in the order in which they were streamed.
        features: Features of each flight from training.

    Raises:
        FastfeatError: A plane is missing, or its features are not from its last flight.
    """
    redis: Any = import_module("redis")  # the worker has it, or would have failed before
    client = redis.Redis(host=HOST, port=valkey.port)
    told = client.info("server")
    name = f"{told.get('server_name', 'redis').title()} {_version(told)}"
    planes, last = _last_flights(flights)
    found: list[PackedRow] = []
    seconds: list[float] = []
    for plane, flight in zip(planes, last, strict=True):
        started = time.perf_counter()
        content = client.get(entity_key(PREFIX, [plane]))
        if content is None:
            raise FastfeatError(f"{name} has no features of the plane {plane}")
        found.append(read_packed(content, features.schema))
        seconds.append(time.perf_counter() - started)
        if found[-1].offset != flight:
            raise FastfeatError(
                f"{name} has features of {plane} of offset {found[-1].offset}, not of its last "
                f"flight, {flight}"
            )
    client.close()
    rows = [row.features for row in found]
    n_bits = bits_apart(
        features.take(pa.array(last)), pa.Table.from_pylist(rows, schema=features.schema)
    )
    return Stored(name, len(planes), n_bits, float(np.median(seconds)))


def _version(told: dict[str, Any]) -> str:
    return str(told.get("valkey_version", told.get("redis_version", "")))


def _last_flights(flights: Table) -> tuple[list[str], list[int]]:
    """Return each plane, and the number of its last flight."""
    last = {plane: number for number, plane in enumerate(flights[KEY].to_pylist())}
    last.pop(None, None)
    return list(last), list(last.values())
