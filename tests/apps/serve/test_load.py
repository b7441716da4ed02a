"""Many callers at once, each with events of its own: what each is answered, how fast, how much."""

from __future__ import annotations

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fastfeat_tests.apps.serve.served_plan import (
    SHOPS,
    START,
    Files,
    Server,
    fitted,
    json_rows,
    server,
)
from fastfeat_tests.patience import PATIENCE_S

N_CALLERS = 8


def events(card: int, n: int) -> pa.Table:
    """Return events of one card, a minute after each other."""
    rng = np.random.default_rng(card)
    minutes = (np.arange(n) + 10_000).astype("timedelta64[m]")
    return pa.table(
        {
            "id": [f"{card}-{k}" for k in range(n)],
            "card": np.full(n, card),
            "t": pa.array(START + minutes, pa.timestamp("us", "UTC")),
            "x": rng.normal(3, 1, n),
            "country": ["at"] * n,
            "shop": rng.integers(0, 4, n),
        }
    )


def sent(found: Server, table: pa.Table, pause: float = 0) -> tuple[list[Any], list[float]]:
    """Return the features of events that are sent one by one over one connection, and seconds."""
    caller = http.client.HTTPConnection("127.0.0.1", found.port, timeout=PATIENCE_S)
    features: list[Any] = []
    seconds: list[float] = []
    due = time.perf_counter()
    for row in json_rows(table):
        due += pause
        time.sleep(max(0.0, due - time.perf_counter()))
        start = time.perf_counter()
        body = json.dumps({"rows": [row], "update": True})
        caller.request("POST", "/v1/features", body, {"content-type": "application/json"})
        answer = caller.getresponse()
        told = json.loads(answer.read())
        seconds.append(time.perf_counter() - start)
        assert answer.status == 200, told
        features += told["features"]
    caller.close()
    return features, seconds


@pytest.mark.parametrize("durable", [False, True])
def test_callers_at_once_are_answered_as_one_after_the_other(
    files: Files, tmp_path: Path, durable: bool
) -> None:
    more = {"state": tmp_path / "state.db"} if durable else {}
    tables = [events(100 + k, 40) for k in range(N_CALLERS)]
    with server(artifact=files.artifact, tables={"shops": str(files.shops)}, **more) as found:
        found.wait_for("ready with")
        with ThreadPoolExecutor(N_CALLERS) as callers:
            answers = list(callers.map(lambda table: sent(found, table)[0], tables))
        assert 'status="200"} 320' in found.get("/metrics").body.decode()
        assert found.stop() == 0
    live = fitted().online(tables={"shops": SHOPS})
    for table, features in zip(tables, answers, strict=True):
        assert features == [[*row.values()] for row in live.process(table).to_pylist()]


@pytest.mark.slow
def test_a_minute_of_500_requests_a_second_takes_no_memory(files: Files) -> None:
    rate, seconds = 500, 60
    n = rate * seconds // N_CALLERS
    with server(artifact=files.artifact, tables={"shops": str(files.shops)}) as found:
        found.wait_for("ready with")

        def resident() -> int:
            pages = Path(f"/proc/{found.process.pid}/statm").read_text().split()[1]
            return int(pages) * 4096

        with ThreadPoolExecutor(N_CALLERS) as callers:
            list(callers.map(lambda k: sent(found, events(200 + k, 500)), range(N_CALLERS)))
            before = resident()
            pause = N_CALLERS / rate
            done = callers.map(lambda k: sent(found, events(300 + k, n), pause), range(N_CALLERS))
            taken = sorted(one for _, times in done for one in times)
        assert resident() - before < 64 << 20
        print(f"p99 {1e3 * taken[int(0.99 * len(taken))]:.1f} ms")  # bench.live measures it
        assert found.stop() == 0
