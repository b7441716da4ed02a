"""Threads: those who ask beside one who changes a state see whole calls only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat_tests.patience import joined, until

OVER = ff.window(10**6, time="t")
PLAN = ff.Plan({"n": ff.count(over=OVER), "sum": col("x").sum(over=OVER)}, row_id="id").fit(
    {"id": [0], "t": [0], "x": [1]}
)
N_CALLS, N_ROWS = 60, 7


def beside(work: Callable[[], None], *readers: Callable[[], None]) -> None:
    """Run work while readers read again and again; what one of them raises is raised."""
    done, failed = threading.Event(), list[BaseException]()

    def reading(read: Callable[[], None]) -> None:
        try:
            while not done.is_set() and not failed:
                read()
        except BaseException as error:  # told below
            failed.append(error)

    threads = [threading.Thread(target=reading, args=(read,)) for read in readers]
    for thread in threads:
        thread.start()
    try:
        work()
    finally:
        done.set()
        for thread in threads:
            joined(thread)
    if failed:
        raise failed[0]


@pytest.mark.parametrize("late", ["error", "insert"])
def test_readers_see_whole_calls_while_one_writes(late: Any) -> None:
    live = PLAN.online(late=late)
    asked = {"id": -1, "t": 10**6, "x": 0}
    n_seen = set[int]()

    def write() -> None:
        for call in range(N_CALLS):
            first = call * N_ROWS
            times = [first + k for k in range(N_ROWS)]
            if late == "insert" and call:
                times[3] -= 5  # late, so that the call is answered in runs
            ids = [first + k + 1 for k in range(N_ROWS)]
            live.process({"id": ids, "t": times, "x": [1] * N_ROWS})
            if not call % 10:
                live.correct({"id": ids, "x": [2] * N_ROWS})
            if call == N_CALLS // 2:  # a busy machine may let no reader have its turn before
                until(lambda: not n_seen <= {0})

    def ask() -> None:
        n, total = live.features(asked).tolist()
        n_seen.add(int(n))
        assert n % N_ROWS == 0
        assert total % N_ROWS == 0

    def look() -> None:
        history = live.history()
        n = 0 if history is None else history.num_rows
        assert n % N_ROWS == 0
        if history is not None:
            assert history.column("id").to_pylist() == list(range(1, n + 1))
            assert len(set(history.column("x").to_pylist()[-N_ROWS:])) <= 1
        assert repr(live).startswith("Live(one plan: ")

    beside(write, ask, ask, look)
    assert live.features(asked).tolist()[0] == N_CALLS * N_ROWS
    assert len(n_seen) > 1, "nobody asked while the state changed"


def test_writers_take_turns() -> None:
    live = PLAN.online(late="insert")

    def writing(thread: int) -> Callable[[], None]:
        def write() -> None:
            for call in range(20):
                ids = [1000 * thread + 10 * call + k for k in range(1, 4)]
                live.process({"id": ids, "t": [call] * 3, "x": [1] * 3})

        return write

    failed = list[BaseException]()

    def run(write: Callable[[], None]) -> None:
        try:
            write()
        except BaseException as error:  # told below
            failed.append(error)

    threads = [threading.Thread(target=run, args=(writing(k),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        joined(thread)
    assert not failed
    history = live.history()
    assert history is not None
    ids = history.column("id").to_pylist()
    assert len(ids) == len(set(ids)) == 4 * 20 * 3
    groups = [ids[k : k + 3] for k in range(0, len(ids), 3)]
    assert all(group == list(range(group[0], group[0] + 3)) for group in groups)


def test_tables_change_between_calls() -> None:
    tables = {"rates": {"k": [1], "v": [1.0]}}
    plan = ff.Plan({"a": ff.lookup("rates", by="k").col("v"), "n": ff.count(over=OVER)}).fit(
        {"k": [1], "t": [0]}, tables=tables
    )
    live = plan.online(tables=tables)

    def write() -> None:
        for value in range(2, 60):
            live.update_table("rates", {"k": [1], "v": [float(value)]})

    def ask() -> None:
        found = live.features({"k": [1] * 5, "t": [1] * 5}, to="numpy")
        assert len(set(found[:, 0].tolist())) == 1

    beside(write, ask, ask)
    assert live.features({"k": 1, "t": 1}).tolist() == [59.0, 0.0]
