"""Random plans, random rows, random calls: `Live` against its definition, and its own history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_model import Model, Row
from random_plans import TABLES, events, features, fitted

import fastfeat as ff
from fastfeat.errors import InvalidPlan, LateRow
from fastfeat.plan.comparison import compare


def begun(plan: ff.FittedPlan, history: pa.Table | None, late: Any) -> ff.Live:
    """Return a live state; of a plan that sees all rows of an entity, one that keeps all."""
    try:
        return plan.online(history, tables=TABLES, late=late)
    except InvalidPlan as error:
        assert "sees all rows" in str(error)
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


def is_late(row: Row, before: Sequence[Row]) -> bool:
    """Return whether a row is earlier than any other by its clock, of whichever entity."""
    times = [r["t"] for r in before if r["t"] is not None]
    return row["t"] is not None and bool(times) and row["t"] < max(times)


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


@given(st.data())
def test_however_rows_are_split_they_are_answered_as_one_batch(data: st.DataObject) -> None:
    nested = data.draw(st.booleans())
    rows = data.draw(events(in_order=True))
    by = [("t", "ascending"), ("tie", "ascending")]
    rows = rows.take(pc.sort_indices(rows, by, null_placement="at_start"))
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
