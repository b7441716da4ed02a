"""`verify` of plans with windows: what it compares, on how many rows, and what it finds."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import cpu
from fastfeat.ir.node import Column
from fastfeat.steps.windows.tasks import WindowTask
from fastfeat.trust.verify.orders import (
    WindowRowOrder,
    latest_before,
    sample_rows,
    shuffled_order,
    split_in_time,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsRepeated"),
    pytest.mark.filterwarnings("ignore::fastfeat.errors.TiesInOrder"),
]
X = col("x")
CHECKS = [
    "cpu = reference",
    "one chunk = many chunks",
    "all threads = 1 thread",
    "rows in another order",
    "all rows = earlier half, then later half",
    "batch = one row at a time, with its history",
    "batch = live, as rows arrive",
]


def visits(n_rows: int, seed: int = 0, begins: int = 0) -> pa.Table:
    rng = random.Random(seed)
    seconds = [begins + rng.randrange(4 * n_rows) for _ in range(n_rows)]
    return pa.table(
        {
            "t": pa.array(seconds, pa.timestamp("s")),
            "due": pa.array([s + rng.randrange(-60, 60) for s in seconds], pa.timestamp("s")),
            "bus": [rng.choice(["a", "b", None, "c"]) for _ in range(n_rows)],
            "stop": [rng.randrange(5) for _ in range(n_rows)],
            "x": [rng.choice([None, 0.1, 2.0, -3.5, 1e300]) for _ in range(n_rows)],
        }
    )


def over(by: Any = None, time: Any = "t", **options: Any) -> Any:
    return ff.window("2m", by=by, time=time, **options)


BUS, STOP = over("bus", closed="both"), over("stop", closed="both")
PLANS = {
    "kinds": {"bus": X.mean(over=BUS), "stop": X.sum(over=STOP), "all": X.max(over=over())},
    "computed": {
        "key": X.sum(over=over(col("bus").is_null(), closed="both")),
        "clock": ff.count(over=over("bus", col("t").dt.truncate("1m"), closed="both")),
    },
    "nested": {"inner": X.lag(1, over=BUS).sum(over=STOP)},
}


@pytest.mark.parametrize("name", PLANS)
def test_every_check_is_made_of_every_kind_of_window(name: str) -> None:
    if name == "computed":  # one clock a plan, here
        plans = [ff.Plan({feature: e}) for feature, e in PLANS[name].items()]
    else:
        plans = [ff.Plan(PLANS[name])]
    for plan in plans:
        rows, before = visits(400), visits(300, 1, begins=-2000)
        fitted = plan.fit(rows)
        for history in (None, before):
            report = fitted.verify(rows, history=history, n_rows=50)
            assert report.ok, report
            clock = "col('t').dt.truncate(every='1m')" if "clock" in plan.features else "col('t')"
            of_clock = f"all rows = without later rows, by {clock}"
            assert [check.name for check in report.checks] == [*CHECKS, of_clock]
            assert not any(check.skipped for check in report.checks), report
            assert report.checks[3].n_rows == report.checks[4].n_rows == 400


def test_rows_between_two_clocks_are_left_out_and_said() -> None:
    plan = ff.Plan({"bus": X.mean(over=BUS), "due": X.mean(over=over("bus", "due"))})
    rows = visits(400)
    report = plan.fit(rows).verify(rows, n_rows=50)
    assert report.ok, report
    at_halves = report.checks[4]
    assert 300 < at_halves.n_rows < 400
    note = f"({at_halves.n_rows} rows, without {400 - at_halves.n_rows} that are earlier by"
    assert note in str(at_halves)
    assert "skip batch = one row at a time, with its history: windows have several times" in str(
        report
    )
    never = rows.set_column(1, "due", pa.array([None] * 400, pa.timestamp("s")))
    skipped = plan.fit(rows).verify(never, n_rows=50)
    assert skipped.ok
    assert "skip all rows = earlier half, then later half: no moment" in str(skipped)


def test_rows_of_one_moment_have_no_other_order() -> None:
    rows = {"t": [7] * 9, "x": [float(k) for k in range(9)]}
    fitted = ff.Plan({"sum": X.sum(over=ff.window(time="t", closed="right"))}).fit(rows)
    report = fitted.verify(rows)
    assert report.ok, report
    assert "skip rows in another order: all rows have one entity and time" in str(report)


def test_one_long_series_is_bounded_by_its_past() -> None:
    rows = {"t": list(range(30_000)), "x": [float(k % 7) for k in range(30_000)]}
    fitted = ff.Plan({"sum": X.sum(over=ff.window(time="t"))}).fit(rows)
    own = fitted.verify(rows).checks[0]
    assert 400 < own.n_rows < 600  # 1,000 would see 500,000 rows, and an hour's history more
    later = {"t": list(range(30_000, 30_500)), "x": [1.0] * 500}
    beside = fitted.verify(later, history=rows)
    assert beside.ok, beside
    assert 300 < beside.checks[0].n_rows < 500
    assert "rows, after 120 of 30,000 rows of history)" in str(beside.checks[0])
    assert fitted.verify(later, history=rows, n_rows=5).checks[0].n_rows == 4


def test_the_rows_of_an_id_are_one_row_in_every_check() -> None:
    rows = visits(300).append_column("id", pa.array(range(300)))
    plan = ff.Plan({"rate": col("y").mean(over=over("bus"))}, label="y", row_id="id")
    labelled = rows.append_column("y", pa.array([k % 3 for k in range(300)]))
    report = plan.fit(labelled).verify(rows.slice(100, 100), history=labelled, n_rows=60)
    assert report.ok, report
    assert not any(check.skipped for check in report.checks), report


N_VISITS, N_SAMPLED = 200, 120
"""Some of so many rows arrive together, more than a live state computes one by one."""
Fault = Callable[[Any, int], bool]
FAULTS: dict[str, tuple[Fault, list[str]]] = {
    "order": (
        lambda times, first: bool((np.diff(times) < 0).any()) and len(times) == N_VISITS,
        ["rows in another order"],
    ),
    "history": (
        lambda times, first: 0 < first < len(times) - 1,
        ["all rows = earlier half, then later half", "batch = live, as rows arrive"],
    ),
    "one row": (
        lambda times, first: first > 0 and first == len(times) - 1,
        ["batch = one row at a time, with its history"],
    ),
    "few rows": (
        lambda times, first: len(times) == N_SAMPLED and first == 0,
        [  # all of the sample
            "cpu = reference",
            "batch = one row at a time, with its history",
            "batch = live, as rows arrive",
            "all rows = without later rows, by col('t')",
        ],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_the_check_of_it(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = visits(N_VISITS).sort_by("t")
    fitted = ff.Plan({"n": ff.count(over=over(closed="both"))}).fit(rows)
    is_wrong, failing = FAULTS[fault]
    functions = cpu.BACKEND.functions
    compute = functions[WindowTask]

    def faulty(task: WindowTask) -> list[Any]:
        arrays = compute(task)
        times = task.past.times.to_numpy().astype(np.int64)
        if not is_wrong(times, task.first_row):
            return arrays
        return [pa.array([n + 1 for n in array.to_pylist()], array.type) for array in arrays]

    monkeypatch.setitem(functions, WindowTask, faulty)
    report = fitted.verify(rows, n_rows=N_SAMPLED)
    assert [check.name for check in report.checks if check.difference] == failing, report


NUMBERS = st.integers(0, 4)


@st.composite
def orders(draw: st.DrawFn) -> list[WindowRowOrder]:
    n_rows = draw(st.integers(1, 25))

    def column(least: int) -> Any:
        values = st.lists(st.integers(least, draw(NUMBERS)), min_size=n_rows, max_size=n_rows)
        return np.array(draw(values), dtype=np.int64)

    clocks = draw(st.lists(st.sampled_from("ab"), min_size=1, max_size=3))
    times = {clock: column(-1) for clock in "ab"}
    return [WindowRowOrder(Column(clock), column(0), times[clock]) for clock in clocks]


@given(orders())
def test_rows_that_windows_may_tell_apart_stay_in_order(found: list[WindowRowOrder]) -> None:
    order = shuffled_order(found)
    n_rows = len(found[0].times)
    if order is None:
        return
    assert sorted(order) == list(range(n_rows))
    for one in found:
        members = defaultdict[tuple[int, int], list[int]](list)
        for row in order.tolist():
            members[int(one.entities[row]), int(one.times[row])].append(row)
        assert all(rows == sorted(rows) for rows in members.values())


def test_rows_bound_in_a_long_chain_stay_together() -> None:
    n_rows = 10_000
    pairs = np.arange(n_rows) // 2, (np.arange(n_rows) + 1) // 2
    none = np.zeros(n_rows, dtype=np.int64)
    assert shuffled_order([WindowRowOrder(Column("a"), none, times) for times in pairs]) is None
    order = shuffled_order([WindowRowOrder(Column("a"), none, pairs[0])])
    assert order is not None
    assert (order != np.arange(n_rows)).mean() > 0.9


@given(orders())
def test_halves_are_apart_by_every_clock(found: list[WindowRowOrder]) -> None:
    clocks = {order.clock: order.times for order in found}
    early, late = split_in_time(found)
    assert not set(early.tolist()) & set(late.tolist())
    for times in clocks.values():
        known = times[late][times[late] >= 0]
        assert (times[early] >= 0).all()
        assert max(times[early], default=-1) < min(known, default=9)
    if len(clocks) == 1:
        assert len(early) + len(late) == len(found[0].times)
        (times,) = clocks.values()
        assert len(early) or len(set(times[times >= 0].tolist())) < 2


def test_the_latest_rows_of_the_entities_of_a_sample_are_kept() -> None:
    entities = np.array([0] * 300 + [1] * 300 + [2] * 4 + [0, 2])
    times = np.array([*range(300), *range(300), 3, 9, 1, 2, 250, 5])
    order = WindowRowOrder(Column("t"), entities, times)
    kept = latest_before([order], 604, np.array([0, 1])).tolist()
    asked = [k for k in kept if k < 600]
    assert asked == list(range(asked[0], 251))  # none later than the last that asks
    assert len(asked) == 20  # of two rows that ask, 20 a row and entity at most
    assert kept[len(asked) :] == [600, 601, 602, 603]


def test_a_sample_is_of_whole_entities_that_come_first() -> None:
    entities = np.array([0, 1, 2] * 10)
    order = WindowRowOrder(Column("t"), entities, np.arange(30))
    assert sample_rows([order], 0, 20).tolist() == [k for k in range(30) if k % 3 < 2]
