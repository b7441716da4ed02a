"""Random plans, random rows, random pieces: what a log answers has the bits of `transform`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat.trust.verify.comparison import first_difference
from fastfeat_tests.live.plain_log import PlainLog
from fastfeat_tests.live.random_plans import TABLES, events, features, fitted

pytestmark = [  # rows of few values, at few moments
    pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning"),
]
LATE = ["late"]


def assert_same_bits(found: pa.Table, expected: pa.Table, told: object = "") -> None:
    assert found.schema == expected.schema
    for name in expected.column_names:
        one, other = (table[name].combine_chunks() for table in (found, expected))
        assert first_difference(one, other) is None, (name, one, other, told)


def pieces_of(data: st.DataObject, rows: pa.Table) -> list[pa.Table]:
    """Return rows in pieces of any sizes, of which some lack the late column."""
    found: list[pa.Table] = []
    start = 0
    while start < rows.num_rows:
        n = data.draw(st.integers(1, 8))
        found.append(rows.slice(start, n))
        start += n
    return found


@given(data=st.data(), backend=st.sampled_from(["cpu", "reference"]))
def test_pieces_of_rows_have_the_bits_of_transform(data: st.DataObject, backend: str) -> None:
    rows = data.draw(events())
    plan = fitted(data.draw(features()), data.draw(events()))
    log = PlainLog({"": plan}, TABLES)
    for piece in pieces_of(data, rows):
        asked = piece.drop_columns(LATE) if data.draw(st.booleans()) else piece
        found = log.ask(asked, backend=backend).features("")
        history = rows.slice(0, log.rows.num_rows)
        assert_same_bits(found, plan.transform(asked, history=history, tables=TABLES), history)
        log.append(piece, {})


@given(data=st.data(), backend=st.sampled_from(["cpu", "reference"]))
def test_what_windows_in_windows_gave_stands_in_the_log(data: st.DataObject, backend: str) -> None:
    rows = data.draw(events(in_order=True))
    plan = fitted(data.draw(features(nested=True)), data.draw(events()))
    log, found = PlainLog({"": plan}, TABLES), list[pa.Table]()
    for piece in pieces_of(data, rows):
        found.append(log.process(piece, backend=backend).features(""))
    expected = plan.transform(rows, history="batch", tables=TABLES)
    assert_same_bits(pa.concat_tables(found), expected)


@given(data=st.data())
def test_rows_that_ask_alone_do_not_see_each_other(data: st.DataObject) -> None:
    rows, asked = data.draw(events()), data.draw(events(most=5))
    asked = asked.set_column(0, "id", pa.array(range(asked.num_rows)))
    plan = fitted(data.draw(features()), rows)
    log = PlainLog({"": plan}, TABLES)
    log.append(rows, {})
    found = log.ask(asked, alone=True).features("")
    expected = [
        plan.transform(asked.slice(k, 1), history=rows, tables=TABLES)
        for k in range(asked.num_rows)
    ]
    assert_same_bits(found, pa.concat_tables(expected))


@given(data=st.data())
def test_one_row_has_the_bits_of_a_matrix_of_one(data: st.DataObject) -> None:
    rows = data.draw(events(in_order=True))
    plan = fitted(data.draw(features(nested=data.draw(st.booleans()))), data.draw(events()))
    log, batches = PlainLog({"": plan}, TABLES), PlainLog({"": plan}, TABLES)
    for k, row in enumerate(rows.to_pylist()):
        expected = batches.process(rows.slice(k, 1)).features("", to="numpy")
        found: Any = log.process_row(row, rows.slice(k, 1))
        assert found.dtype == expected.dtype
        assert np.array_equal(found.view(np.int64), expected[0].view(np.int64)) or (
            np.array_equal(found, expected[0], equal_nan=True)
        )


def test_forms_are_those_of_transform() -> None:
    table = pa.table({"t": [1, 2, 3], "k": ["a", "a", "b"], "x": [1.0, 2.0, 4.0]})
    week = ff.window(7, by="k", time="t")
    plan = ff.Plan(
        {"s": ff.col("x").sum(over=week), "c": ff.col("k").ordinal_encode()}, keep=["k"]
    ).fit(table)
    log = PlainLog({"": plan})
    answered = log.ask(table)
    for to in ("arrow", "pandas", "polars", "numpy"):
        expected = plan.transform(table, history="batch", to=to)
        found = answered.features("", to=to)
        equal = getattr(found, "equals", None) or getattr(found, "equal", None)
        assert equal(expected) if equal else np.array_equal(found, expected)
    out = np.empty((3, 2))
    assert answered.features("", to="numpy", out=out) is out
    assert np.array_equal(out, plan.transform(table, history="batch", to="numpy"))
    assert answered.features("", categories=True).equals(
        plan.transform(table, history="batch", categories=True)
    )
