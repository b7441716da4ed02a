"""Few rows in any form, computed one by one: the state, bits and messages of the way of many."""

from __future__ import annotations

import datetime
import tempfile
import time
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat.errors import FastfeatError
from fastfeat.live import opening
from fastfeat.live.state.state import FEW, LiveState
from fastfeat_tests.live.state.test_prepared_arrivals import SCHEMA, begun, drawn, told

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
FORMS = {
    "table": lambda table: table,
    "batch": lambda table: table.combine_chunks().to_batches()[0],
    "dicts": lambda table: table.to_pylist(),
    "columns": lambda table: table.to_pydict(),
    "pandas": lambda table: table.to_pandas(),
    "polars": lambda table: pl.DataFrame(table),
}
ODD: dict[str, Any] = {
    "id": [None, 3, "100ü"],
    "who": [None, "", b"w1", 7],
    "kind": [2**40, 1.5, "a", None],
    "t": [None, "2026-01-01", datetime.datetime(1, 1, 1), 5],
    "x": [float("nan"), float("inf"), -0.0, 2**60 + 1, "x", None],
    "f": [0.1, None, 2**30 + 1],
    "n": [2.0, 2.5, 2**63 - 1, 2**53 + 1, None],
}


def general(patch: pytest.MonkeyPatch) -> None:
    """Have each call take the way of many rows."""
    patch.setattr(LiveState, "_as_few", lambda *_: None)


def outcome(call: Any, *args: Any, **options: Any) -> Any:
    """Return what a call gave, to the bit, or its error."""
    try:
        found = call(*args, **options)
    except (FastfeatError, pa.ArrowException) as error:
        return type(error), str(error)
    if isinstance(found, np.ndarray):
        return found.shape, found.dtype, found.flags.f_contiguous, found.tobytes("A")
    if isinstance(found, pa.Table):
        floats = [c for c in found.columns if pa.types.is_floating(c.type)]
        bits = [np.array(c.drop_null()).tobytes() for c in floats]
        return found.schema, found.to_pydict(), bits
    if found is None:
        return None
    return type(found), [(str(found[n].dtype), found[n].to_list()) for n in found.columns]


def usual(n_rows: int, first: int = 100) -> pa.Table:
    """Return rows in order of time, of entities that come more than once."""
    rng = np.random.default_rng(first)
    rows = [drawn(rng, first + k, first - 100 + k) for k in range(n_rows)]
    return pa.Table.from_pylist(rows, SCHEMA).drop_columns(["y", "z"])


def refused(patch: pytest.MonkeyPatch) -> None:
    """Have each call fail that takes the way of many rows."""
    patch.setattr(LiveState, "_features", None)
    patch.setattr(LiveState, "_arrive_whole", None)


@pytest.mark.parametrize("is_nested", [False, True])
@pytest.mark.parametrize("row_id", [None, "id"])
def test_usual_rows_up_to_a_number_take_the_way_of_one(row_id, is_nested, monkeypatch):
    live, other = (begun(row_id, is_nested) for _ in range(2))
    first = 100
    for form in FORMS.values():
        for n_rows in (1, 3, FEW):
            rows = form(usual(n_rows, first))
            first += n_rows
            with monkeypatch.context() as patch:
                refused(patch)
                found = [live.features(rows), live.process(rows)]
            with monkeypatch.context() as patch:
                general(patch)
                assert found == [other.features(rows), other.process(rows)]
    assert told(live) == told(other)
    with monkeypatch.context() as patch:
        refused(patch)
        for call in (live.features, live.process):
            with pytest.raises(TypeError, match="not callable"):
                call(usual(FEW + 1, first))


def test_rows_of_which_one_is_wrong_leave_the_state_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "state.db"
    live = begun("id", path=path)
    before = told(live)
    rows = usual(5)
    late = rows["t"].to_pylist()
    late[4] -= datetime.timedelta(days=1)
    wrong = [
        rows.set_column(3, "t", pa.array(late, rows["t"].type)),
        rows.set_column(6, "n", pa.array([1.0, 2.0, 3.0, 4.0, 4.5])),
        rows.set_column(0, "id", pa.array(["a", "b", "c", "d", None])),
    ]
    for table in wrong:
        with pytest.raises(FastfeatError, match="row 4"):
            live.process(table)
        assert told(live) == before
    with monkeypatch.context() as patch:
        patch.setattr(live._state.journal, "write", _failing)
        with pytest.raises(MemoryError):
            live.process(rows)
    assert told(live)[:6] == before[:6]
    live.process(rows)
    live.close()
    report = ff.replay(path)
    assert (report.ok, report.n_changes, report.n_rows) == (True, 1, 5)


def _failing(*args: Any) -> None:
    raise MemoryError


@st.composite
def tables(draw: st.DrawFn, first: int, minute: int) -> pa.Table:
    """Draw rows as a table: in order of time but for some, with a few odd values and types."""
    n_rows = draw(st.integers(1, 5) | st.sampled_from([FEW, FEW + 1]))
    rng = np.random.default_rng(first + draw(st.integers(0, 9)))
    step = draw(st.sampled_from([0, 1, 5]))
    rows = [drawn(rng, first + k, minute + k * step) for k in range(n_rows)]
    names = [*SCHEMA.names[:7]]
    for row in rows:
        del row["y"], row["z"]
    if draw(st.booleans()):
        row, name = draw(st.sampled_from(rows)), draw(st.sampled_from(list(ODD)))
        row[name] = draw(st.sampled_from(ODD[name]))
    match draw(st.sampled_from(["no", "no", "again", "late", "seen"])):
        case "again":
            rows[-1]["id"] = rows[0]["id"]
        case "late":
            rows[-1]["t"] = rows[0]["t"] - datetime.timedelta(minutes=draw(st.integers(1, 90)))
        case "seen":
            rows[-1] = {**rows[-1], "id": f"{draw(st.integers(0, first))}ü"}
        case _:
            pass
    columns: dict[str, Any] = {}
    for name in names:
        values = [row[name] for row in rows]
        try:
            columns[name] = pa.array(values, SCHEMA.field(name).type)
        except (pa.ArrowException, OverflowError, TypeError):
            try:
                columns[name] = pa.array(values)
            except (pa.ArrowException, OverflowError, TypeError):
                columns[name] = pa.array([None if v is None else str(v) for v in values])
    table = pa.table(columns)
    match draw(st.sampled_from(["no", "no", "lack", "more", "sliced", "chunks", "codes", "wide"])):
        case "lack":
            table = table.drop_columns([draw(st.sampled_from(names))])
        case "more":
            table = table.append_column("more", pa.array([{"a": 1}] * n_rows))
        case "sliced":
            table = pa.concat_tables([table, table]).combine_chunks().slice(1, n_rows)
            table = table.set_column(0, "id", columns["id"])
        case "chunks":
            table = pa.concat_tables([table.slice(k, 1) for k in range(n_rows)])
        case "codes":
            table = table.set_column(1, "who", columns["who"].dictionary_encode())
        case "wide" if pa.types.is_timestamp(columns["t"].type):
            table = table.set_column(3, "t", columns["t"].cast(pa.timestamp("ns"), safe=False))
        case _:
            pass
    return table


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_few_rows_are_answered_and_stand_as_many_do(tmp_path_factory, data):
    row_id = data.draw(st.sampled_from([None, "id"]))
    late = data.draw(st.sampled_from(["error", "insert", "drop"]))
    is_nested = late == "error" and data.draw(st.booleans())
    folder = tempfile.mkdtemp(dir=tmp_path_factory.getbasetemp())
    files = data.draw(st.booleans())
    paths = [f"{folder}/{name}.db" if files else None for name in ("few", "many")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "new_key", lambda: b"k" * 32)
        lives = [begun(row_id, is_nested, path=path, late=late, max_ahead="30d") for path in paths]
    now = time.time_ns()
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr(time, "time_ns", lambda: now)
        for k in range(data.draw(st.integers(1, 4))):
            table = data.draw(tables(100 + 40 * k, 20 * k))
            name = data.draw(st.sampled_from(["process", "process", "features", "update"]))
            options: dict[str, Any] = {}
            if name != "update":
                options["to"] = data.draw(st.sampled_from(["arrow", "numpy", "pandas", "polars"]))
            if name != "features" and data.draw(st.booleans()):
                options |= {"source": "events:0", "first": 40 * k, "end": 40 * k + 40}
            rows = FORMS[data.draw(st.sampled_from(sorted(FORMS)))](table)
            found = outcome(getattr(lives[0], name), rows, **options)
            with pytest.MonkeyPatch.context() as patch:
                general(patch)
                expected = outcome(getattr(lives[1], name), rows, **options)
            assert repr(found) == repr(expected)
            assert told(lives[0]) == told(lives[1])
    for live in lives:
        live.close()
    for path in filter(None, paths):
        assert ff.replay(path).ok
