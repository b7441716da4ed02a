"""Warnings of rows that stand in the history and in the data, and of ties in the order of rows."""

from __future__ import annotations

import pickle
import random
import threading
import warnings
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import FastfeatWarning, InvalidData, RowsRepeated, TiesInOrder

X = col("x")
WEEK = ff.window(7, by="k", time="t")
PLAN = ff.Plan({"sum": X.sum(over=WEEK)})
ROWS = pa.table({"t": [1, 2, 2, 3], "k": ["a", "a", "b", "a"], "x": [1.0, 2.0, None, 4.0]})


def told(call: Any) -> list[str]:
    """Return the warnings of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(isinstance(one.message, FastfeatWarning) for one in caught)
    return [str(one.message) for one in caught]


def test_rows_of_the_history_that_the_data_has_are_told() -> None:
    fitted = PLAN.fit(ROWS)
    with pytest.warns(RowsRepeated, match=r"^history= repeats 2 rows of the data \(first: row 1 "):
        fitted.transform(ROWS.slice(1, 2), history=ROWS.slice(0, 3))
    assert told(lambda: fitted.transform(ROWS.slice(1, 2), history=ROWS.slice(0, 3))) == []
    again = pickle.loads(pickle.dumps(fitted))
    (message,) = told(lambda: again.transform(ROWS.slice(3), history=ROWS))
    assert "repeats 1 row of the data (first: row 3 " in message
    assert "Plan(row_id='id')" in message
    (message,) = told(lambda: PLAN.fit_transform(ROWS.slice(3), history=ROWS))
    by_id = ff.Plan({"sum": X.sum(over=WEEK)}, row_id="x")
    known = ROWS.filter(ROWS["x"].is_valid())
    assert told(lambda: by_id.fit(ROWS.slice(3)).transform(ROWS.slice(3), history=known)) == []


@pytest.mark.parametrize(
    ("column", "other"),
    [
        ("x", pa.array([5.0])),
        ("x", pa.array([None], pa.float64())),
        ("k", pa.array(["b"])),
        ("t", pa.array([4])),
    ],
)
def test_rows_that_differ_in_one_column_are_not_repeated(column: str, other: pa.Array) -> None:
    row = ROWS.slice(3)
    other_row = row.set_column(row.column_names.index(column), column, other)
    fitted = PLAN.fit(ROWS)
    assert told(lambda: fitted.transform(other_row, history=ROWS)) == []
    assert len(told(lambda: fitted.transform(row, history=ROWS))) == 1


@pytest.mark.parametrize(
    "kind",
    [pa.int8(), pa.date32(), pa.date64(), pa.timestamp("ns", "Europe/Berlin"), pa.timestamp("s")],
    ids=str,
)
@pytest.mark.parametrize("n_rows", [1, 2])
def test_times_of_any_type_are_compared(kind: pa.DataType, n_rows: int) -> None:
    days = pa.array([86_400_000 * (k // 2) for k in range(20)])
    times = pa.array([k // 2 for k in range(20)]) if kind == pa.int8() else days
    if not pa.types.is_integer(kind):
        times = times.cast(pa.timestamp("ms")).cast(kind)
    rows = pa.table({"t": times.cast(kind), "x": list(range(20))})
    windows = ff.window(rows=3, time="t"), ff.window(rows=2, time="t", by="x")
    fitted = ff.Plan({"n": X.sum(over=windows[0]), "m": ff.count(over=windows[1])}).fit(rows)
    (message,) = told(lambda: fitted.transform(rows.slice(20 - n_rows), history=rows))
    assert n_told([message], " row") == n_rows


def test_rows_are_compared_whatever_their_times_are() -> None:
    def on(time: Any) -> ff.Expr:
        return ff.count(over=ff.window(3, time=time, by="k"))

    typed = ROWS.set_column(2, "x", pa.array([1, 2, None, 4]))
    for features in ([on("t"), on("x")], [on(col("t") + 1)], [on(col("t") + 1), on("t")]):
        fitted = ff.Plan({str(k): f for k, f in enumerate(features)}).fit(typed)
        messages = told(lambda f=fitted: f.transform(typed.slice(3), history=typed))
        assert n_told(messages, " row") == 1


def test_columns_that_no_window_reads_tell_rows_apart() -> None:
    def numbered(rows: pa.Table, *values: Any) -> pa.Table:
        return rows.append_column("seq", pa.array(values))

    row, store = numbered(ROWS.slice(3), 7), numbered(ROWS, 0, 1, 2, 3)
    assert told(lambda: PLAN.fit(ROWS).transform(row, history=store)) == []
    assert told(lambda: PLAN.fit(ROWS).transform(row, history=store.to_pandas())) == []
    assert told(lambda: PLAN.fit(row, history=store)) == []
    ahead = ff.ahead(1, by="k", time="t", end=9)
    labelled = ff.Plan({"sum": X.sum(over=WEEK)}, label={"n": ff.count(over=ahead)})
    assert told(lambda: labelled.fit(row, history=store)) == []
    alike = [
        numbered(ROWS, 0, 1, 2, 7),
        numbered(ROWS, *"abcd"),  # of another type: no number of the same kind
        numbered(ROWS, *([k] for k in range(4))),
        store.to_reader(),  # which cannot be read twice
    ]
    for history in alike:
        fitted = PLAN.fit(ROWS)
        assert len(told(lambda f=fitted, h=history: f.transform(row, history=h))) == 1


def events(rng: random.Random, n: int) -> list[dict[str, Any]]:
    return [
        {
            "t": rng.choice([None, *range(4)]),
            "k": rng.choice(["a", None, "b"]),
            "x": rng.choice([None, float("nan"), 0.0, -0.0, 1.0]),
            "y": rng.choice([1, 2, None]),
        }
        for _ in range(n)
    ]


SCHEMA = pa.schema({"t": pa.int64(), "k": pa.string(), "x": pa.float64(), "y": pa.int64()})


def content(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(None if value != value else value for value in row.values())


def n_told(messages: list[str], end: str) -> int:
    return sum(int(m.split(end)[0].split()[-1].replace(",", "")) for m in messages)


@given(st.integers(0, 30), st.integers(0, 10), st.integers(0, 10**6))
def test_repeated_rows_are_counted_by_all_columns_that_both_have(
    n_history: int, n_data: int, seed: int
) -> None:
    rng = random.Random(seed)
    before, now = events(rng, n_history), events(rng, n_data)
    plan = ff.Plan({"n": ff.count(over=WEEK)})
    tables = [pa.Table.from_pylist(rows, SCHEMA) for rows in (now, before)]
    fitted = plan.fit(ROWS)
    try:
        messages = told(lambda: fitted.transform(tables[0], history=tables[1]))
    except InvalidData:  # a history that is later
        return
    there = {content(row) for row in now}
    n = sum(content(row) in there for row in before if row["t"] is not None)
    assert n_told(messages, " row") == n


@pytest.mark.parametrize("closed", ["right", "both"])
@pytest.mark.parametrize("backend", ["cpu", "emulated"])
@pytest.mark.parametrize("call", ["fit", "fit_transform"])
@given(
    n=st.integers(0, 30),
    seed=st.integers(0, 10**6),
    is_sorted=st.booleans(),
    spread=st.sampled_from([1, 5, 40]),
)
def test_rows_that_share_their_time_are_counted(
    closed: Any, backend: str, call: str, n: int, seed: int, is_sorted: bool, spread: int
) -> None:
    rng = random.Random(seed)
    rows = events(rng, n)
    for row in rows:  # few or many rows share their time with another one
        row["t"] = row["t"] and row["t"] * spread + rng.randrange(spread)
    if is_sorted:
        rows.sort(key=lambda row: row["t"] or 0)
    table = pa.Table.from_pylist(rows, SCHEMA)
    window = ff.window(3, by=["k", "y"], time="t", closed=closed)
    plan = ff.Plan({"n": ff.count(over=window), "x": X.sum(over=window)})
    moments = Counter(
        (row["t"], row["k"], row["y"]) for row in rows if None not in (row["t"], row["k"], row["y"])
    )
    messages = told(lambda: getattr(plan, call)(table, backend=backend))
    assert n_told(messages, " row") == sum(n for n in moments.values() if n > 1)


TIED = {"t": [1, 1, 2, 2], "k": [*"aaab"], "x": [1.0, 2.0, 3.0, 4.0]}


def test_ties_are_told_by_fit_once() -> None:
    right = ff.window(3, by="k", time="t", closed="right")
    plan = ff.Plan({"n": ff.count(over=right), "scaled": X.sum(over=right).standard_scale()})
    with pytest.warns(
        TiesInOrder, match=r"same time: 2 rows of ff\.window\(3, .* tie='seq'"
    ) as one:
        fitted, _ = plan.fit_transform(TIED)
    assert len(one) == 1
    assert told(lambda: fitted.transform(TIED, history="batch")) == []
    learnt = ff.Plan({"x": X - X.sum(over=right).mean()})
    assert len(told(lambda: learnt.fit(TIED))) == 1
    of_all = ff.Plan({"n": ff.count(over=ff.window(3, time="t", closed="both"))})
    assert "4 rows of ff.window(3, time='t'" in told(lambda: of_all.fit(TIED))[0]
    history = {"t": [1], "k": ["a"], "x": [0.5]}
    later = {name: values[2:3] for name, values in TIED.items()} | {"t": [1]}
    assert len(told(lambda: ff.Plan({"n": ff.count(over=right)}).fit(later, history=history))) == 1


UNTIED = {
    "left": ff.count(over=ff.window(3, by="k", time="t")),
    "neither": ff.count(over=ff.window(3, by="k", time="t", closed="neither")),
    "offset": ff.count(over=ff.window(3, by="k", time="t", closed="right", offset=1)),
    "tie": ff.count(over=ff.window(3, by="k", time="t", closed="right", tie="x")),
    "sessions": ff.session_id(1, over=ff.window(by="k", time="t")),
    "own_time": ff.time_since_last(over=ff.window(by="k", time="t", closed="right")),
    "lag": X.lag(1, over=ff.window(by="k", time="t")),
    "table": X.sum(over=ff.window(3, by="k", time="t", closed="right", table="rates")),
    "row": X + 1,
}


@pytest.mark.parametrize("feature", UNTIED.values(), ids=UNTIED)
def test_what_does_not_depend_on_ties_is_not_told(feature: ff.Expr) -> None:
    assert told(lambda: ff.Plan({"f": feature}).fit(TIED, tables={"rates": TIED})) == []
    single = {name: values[::2] for name, values in TIED.items()}
    right = ff.window(by="k", time="t", closed="right")
    assert told(lambda: ff.Plan({"f": ff.count(over=right)}).fit(single)) == []


def test_a_window_over_sessions_depends_on_ties() -> None:
    session = ff.session_id(1, over=ff.window(by="k", time="t"))
    of_sessions = session.sum(over=ff.window(by="k", time="t", closed="right"))
    assert len(told(lambda: ff.Plan({"f": of_sessions}).fit(TIED))) == 1


def test_many_threads_are_told_once() -> None:
    fitted = PLAN.fit(ROWS)
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        fitted.transform(ROWS)

    def run() -> None:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(told(run)) == 1


def test_a_warning_that_is_an_error_is_one_each_time() -> None:
    fitted = PLAN.fit(ROWS)
    for _ in range(2):
        with pytest.raises(RowsRepeated):
            fitted.transform(ROWS.slice(3), history=ROWS)
    assert fitted.select("sum").record.told is fitted.record.told
