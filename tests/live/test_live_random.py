"""Random plans, random rows, random calls: `Live` against its definition, and its own history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat.errors import InvalidPlan, LateRow
from fastfeat.trust.verify.comparison import compare
from fastfeat_tests.live.live_model import Model, Row
from fastfeat_tests.live.random_plans import TABLES, events, features, fitted

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning")
FEW = settings(max_examples=max(8, settings().max_examples // 2))
"""An example compiles a plan, and asks transform for each row: 0.5 s of CPU."""


def begun(plan: ff.FittedPlan, history: pa.Table | None, late: Any) -> ff.Live:
    """Return a live state; of a plan that sees all rows of an entity, one that keeps all."""
    try:
        return plan.online(history, tables=TABLES, late=late)
    except InvalidPlan as error:
        if "sees all rows" not in str(error):
            raise
        return plan.online(history, tables=TABLES, late=late, keep="everything")


def check_equal(found: Any, wanted: pa.Table, told: str) -> None:
    """Check that features have the same bits."""
    check = compare(told, found.combine_chunks(), wanted.combine_chunks())
    assert check.difference is None, str(check)


def check_row(found: np.ndarray, live: ff.Live, wanted: pa.Table) -> None:
    """Check that the features of one row, an array of floats, have the bits of a table."""
    assert found.dtype == np.float64
    assert found.shape == (len(live.plans[""].feature_names),)
    columns = [wanted.column(name).combine_chunks().cast("float64") for name in wanted.column_names]
    for value, column in zip(found.tolist(), columns, strict=True):
        expected = column[0].as_py()
        if expected is None or expected != expected:
            assert value != value
        else:
            assert np.float64(value).tobytes() == np.float64(expected).tobytes()


def in_order_of_ties(rows: pa.Table) -> list[int]:
    """Return rows in the order of their time and then of their tie, by their numbers."""
    keys = [
        tuple((value is not None, value or 0) for value in (row["t"], row["tie"]))
        for row in rows.to_pylist()
    ]
    return sorted(range(rows.num_rows), key=keys.__getitem__)


def is_late(row: Row, before: Sequence[Row]) -> bool:
    """Return whether a row is earlier than any other by its clock, of whichever entity."""
    times = [r["t"] for r in before if r["t"] is not None]
    return row["t"] is not None and bool(times) and row["t"] < max(times)


@FEW
@given(st.data())
def test_late_rows_are_answered_and_seen_as_the_definition_says(data: st.DataObject) -> None:
    rows = data.draw(events())
    plan = fitted(data.draw(features()), rows)
    n_history = data.draw(st.integers(0, rows.num_rows - 1))
    history = rows.slice(0, n_history) if data.draw(st.booleans()) else None
    live = begun(plan, history, "insert")
    model = Model(plan, rows.schema, TABLES, data.draw(st.sampled_from(["cpu", "reference"])))
    seen: list[Row] = []
    if history is not None:
        seen = history.to_pylist()
        model.rows = {row["id"]: row for row in seen}
    left = rows.slice(n_history).to_pylist()
    while left:
        again = data.draw(st.sampled_from([[], [], [], seen[-3:]]))
        n = data.draw(st.integers(1, 5))
        batch, left = [*again[:1], *left[:n]], left[n:]
        table = pa.Table.from_pylist(batch, rows.schema)
        before = live.history()
        try:
            if len(batch) == 1 and data.draw(st.booleans()):
                check_row(live.process(batch[0]), live, model.process(batch, [True]))
            elif data.draw(st.integers(0, 4)) == 0:
                live.update(table)
                model.rows |= {r["id"]: r for r in batch if r["id"] not in model.rows}
            else:
                found = live.process(table)
                check_equal(found, model.process(batch, [True] * len(batch)), "process")
        except LateRow:
            late = [is_late(r, [*seen, *batch[:k]]) for k, r in enumerate(batch)]
            assert any(late) or again, "rows in order of time are never too late"
            assert live.history() == before
            model.rows = {key: row for key, row in model.rows.items() if row in seen}
            continue
        seen += [row for row in batch if row not in again]
        asked = {**data.draw(st.sampled_from(batch)), "id": 1}
        try:
            found = live.features(pa.Table.from_pylist([asked], rows.schema))
        except LateRow:
            assert is_late(asked, seen)
            continue
        check_equal(found, model.asked(asked), "features")
        of_history = plan.transform(
            pa.Table.from_pylist([asked], rows.schema), history=live.history(), tables=TABLES
        )
        check_equal(found, of_history, "the history of the state")


@FEW
@given(st.data())
def test_however_rows_are_split_they_are_answered_as_one_batch(data: st.DataObject) -> None:
    nested = data.draw(st.booleans())
    rows = data.draw(events(in_order=True))
    rows = rows.take(in_order_of_ties(rows))
    plan = fitted(data.draw(features(nested=nested)), rows)
    n_history = data.draw(st.integers(0, rows.num_rows - 1))
    late = "error" if nested else data.draw(st.sampled_from(["error", "insert", "drop"]))
    backend = data.draw(st.sampled_from(["cpu", "reference"]))
    history, arriving = rows.slice(0, n_history), rows.slice(n_history)
    wanted = plan.transform(arriving, history=history, tables=TABLES, backend=backend)
    live = begun(plan, history, late)
    first = 0
    while first < arriving.num_rows:
        n = data.draw(st.integers(1, 6))
        batch, expected = arriving.slice(first, n), wanted.slice(first, n)
        if not nested:
            of_history = plan.transform(batch, history=live.history(), tables=TABLES)
            check_equal(of_history, expected, "the history of the state")
        if batch.num_rows == 1 and data.draw(st.booleans()):
            check_row(live.process(batch.to_pylist()[0]), live, expected)
        else:
            check_equal(live.process(batch), expected, "process")
        first += n
    assert live.counts == {}


@FEW
@given(st.data())
def test_rows_that_change_are_seen_as_if_they_had_come_so(data: st.DataObject) -> None:
    rows = data.draw(events(most=14))
    plan = fitted(data.draw(features()), rows)
    live = plan.online(tables=TABLES, late="insert", keep="everything")
    model = Model(plan, rows.schema, TABLES, data.draw(st.sampled_from(["cpu", "reference"])))
    left = rows.to_pylist()
    columns = [
        name for name in live.plans[""].plan.declaration.past_columns if name in rows.column_names
    ]
    there: list[Any] = []
    while left:
        n = data.draw(st.integers(1, 4))
        batch, left = left[:n], left[n:]
        found = live.process(pa.Table.from_pylist(batch, rows.schema))
        check_equal(found, model.process(batch, [True] * len(batch)), "process")
        history = live.history()
        there = [] if history is None else history.column("id").to_pylist()
        change = data.draw(st.sampled_from(["correct", "forget", "outcomes", "none"]))
        if change == "correct" and there and columns:
            ids = data.draw(st.lists(st.sampled_from(there), min_size=1, max_size=3, unique=True))
            name = data.draw(st.sampled_from(columns))
            values = [data.draw(st.sampled_from(rows.column(name).to_pylist())) for _ in ids]
            live.correct(
                pa.table({"id": ids, name: pa.array(values, rows.schema.field(name).type)})
            )
            for key, value in zip(ids, values, strict=True):
                model.rows[key] = {**model.rows[key], name: value}
        elif change == "forget" and "card" in columns:
            value = data.draw(st.sampled_from(["a", "b", None]))
            gone = [key for key in there if model.rows[key]["card"] == value]
            assert live.forget("card", value) == len(gone)
            model.rows = {k: row for k, row in model.rows.items() if row["card"] != value}
        elif change == "outcomes" and there and "late" in columns:
            ids = [key for key in there if model.rows[key]["late"] is None]
            if ids:
                live.outcomes({"id": ids, "late": [float(key) for key in ids]})
                for key in ids:
                    model.rows[key] = {**model.rows[key], "late": float(key)}
        asked = {**data.draw(st.sampled_from(batch)), "id": 1}
        found = live.features(pa.Table.from_pylist([asked], rows.schema))
        check_equal(found, model.asked(asked), "features")
    assert set(there) <= set(rows.column("id").to_pylist())


def test_model_sees_what_comes_late() -> None:
    window = ff.window(10, time="t", by="card")
    schema = pa.schema([("id", pa.int64()), ("t", pa.int64()), ("card", pa.string())])
    row = {"id": 1, "t": 5, "card": "a"}
    plan = ff.Plan({"n": ff.count(over=window)}, row_id="id").fit(
        pa.Table.from_pylist([row], schema)
    )
    model = Model(plan, schema, {})
    rows = [row, {**row, "id": 2, "t": 7}, {**row, "id": 3, "t": 6}, {**row, "id": 4, "t": 8}]
    found = model.process(rows, [True, True, False, True])
    assert found["n"].to_pylist() == [0, 1, 1, 2]
    with pytest.raises(KeyError):
        model.rows[3]
