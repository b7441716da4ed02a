"""Random plans, rows and calls: what a file noted is found again, and what is altered is named."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat.errors import FastfeatError, InvalidPlan, LateRow
from fastfeat.live.file.entries import table_bytes, table_of
from fastfeat.trust.verify.comparison import compare
from fastfeat_tests.live.random_plans import TABLES, events, features, fitted

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning")
EXAMPLES = max(4, settings().max_examples // 6)
"""Each writes a file."""


def begun(plan: ff.FittedPlan, **options: Any) -> ff.Live:
    """Return a live state; of a plan that sees all rows of an entity, one that keeps all."""
    try:
        return plan.online(tables=TABLES, **options)
    except InvalidPlan:  # it sees all rows of an entity
        return plan.online(tables=TABLES, keep="everything", **options)


def call(data: st.DataObject, live: ff.Live, rows: pa.Table, done: int, n: int) -> None:
    """Make a random call; one that is refused leaves the state as it was."""
    batch = rows.slice(done, n)
    before = live.head
    try:
        match data.draw(st.integers(0, 9)):
            case 0:
                live.update(batch)
            case 1:
                again = rows.slice(max(0, done - 2), n)
                live.process(again.drop_columns(["late"]))
            case 2:
                live.process(batch.drop_columns(["late"]))
                live.outcomes(batch.select(["id", "late"]))
            case 3:
                live.process(batch)
                live.correct(batch.select(["id", "x"]).slice(0, 1))
            case 4:
                live.update_table("rates", {"shop": [1], "rate": [2.5], "name": ["new"]})
                live.process(batch)
            case 5 if n > 1:
                live.process(batch)
                live.forget("card", "a")
            case 6:
                for row in batch.to_pylist():
                    live.process(row)
            case _:
                live.process(batch, source="events:0", first=done, end=done + n)
    except FastfeatError:
        return
    assert live.head != before


def written(data: st.DataObject, folder: str) -> tuple[ff.FittedPlan, Path, bytes]:
    """Return the file of a random state, its plan, and its last link."""
    nested = data.draw(st.booleans())
    rows = data.draw(events(in_order=data.draw(st.booleans())))
    plan = fitted(data.draw(features(nested=nested)), rows)
    late = "error" if nested else data.draw(st.sampled_from(["error", "insert", "drop"]))
    path, done = Path(folder) / "state.db", 0
    with begun(plan, path=path, late=late) as live:
        while done < rows.num_rows:
            n = data.draw(st.integers(1, 6))
            call(data, live, rows, done, n)
            done += n
        return plan, path, live.head


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_what_random_calls_wrote_is_found_again(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plan, path, head = written(data, folder)
        report = ff.replay(path, plan, head=head)
        assert report.ok, report
        assert report.head == head


def alter(data: st.DataObject, connection: sqlite3.Connection) -> tuple[int, int, str] | None:
    """Change a random value of a random change; return its segment, row and column."""
    segments = connection.execute(
        "SELECT seq, rows FROM segments WHERE kind IN ('process', 'update') ORDER BY seq"
    ).fetchall()
    if not segments:
        return None
    seq, content = data.draw(st.sampled_from(segments))
    table = table_of(content)
    row = data.draw(st.integers(0, table.num_rows - 1))
    name = data.draw(st.sampled_from(table.column_names))
    at = table.column_names.index(name)
    values = table[name].to_pylist()
    was = None if values[row] != values[row] else values[row]
    values[row] = values[row - 1] if was is None else None
    if was is None and (values[row] is None or values[row] != values[row]):
        return None  # missing is one thing
    changed = table.set_column(at, name, pa.array(values, table.schema.field(at).type))
    content = table_bytes(changed, "lz4")
    connection.execute("UPDATE segments SET rows = ? WHERE seq = ?", (content, seq))
    return seq, row, name


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_a_random_value_that_is_altered_is_named(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _, path, _ = written(data, folder)
        with closing(sqlite3.connect(path)) as connection:
            altered = alter(data, connection)
            connection.commit()
        found = ff.replay(path).difference
        if altered is None:
            assert found is None
        else:
            assert found is not None
            assert (found.segment, found.row, found.column) == altered


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_random_features_come_from_what_is_told(data: st.DataObject) -> None:
    nested = data.draw(st.booleans())
    rows = data.draw(events(in_order=True))
    plan = fitted(data.draw(features(nested=nested)), rows)
    history, row = rows.slice(0, rows.num_rows - 1), rows.slice(rows.num_rows - 1)
    live = begun(plan)
    try:
        live.update(history)
    except LateRow:  # of one instant, by its tie
        assume(False)
    asked = data.draw(st.sampled_from([row, history.slice(0, 1) if len(history) else row]))
    if data.draw(st.booleans()):
        asked = asked.drop_columns(["id"])
    try:
        expected = live.features(asked)
    except LateRow:
        with pytest.raises(LateRow):
            live.explain(asked)
        return
    report = live.explain(asked)
    again = report.recompute()
    check = compare("recomputed", expected.combine_chunks(), again.combine_chunks())
    assert check.difference is None, f"{check}\n{report}"
    assert "<script" not in report._repr_html_()
