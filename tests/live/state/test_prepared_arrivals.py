"""Rows that arrive one by one, without a table: the state, bits and messages of the general way."""

from __future__ import annotations

import datetime
import tempfile
import time
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import FastfeatError
from fastfeat.live import opening
from fastfeat.live.state import state as state_module
from fastfeat.live.state.state import LiveState

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
START = datetime.datetime.now(datetime.UTC).replace(tzinfo=None, microsecond=0)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("who", pa.string()),
        ("kind", pa.int32()),
        ("t", pa.timestamp("ms")),
        ("x", pa.float64()),
        ("f", pa.float32()),
        ("n", pa.int64()),
        ("y", pa.float64()),
        ("z", pa.int32()),
    ]
)


def drawn(rng: np.random.Generator, k: int, minute: int) -> dict[str, Any]:
    return {
        "id": f"{k}ü",
        "who": f"w{rng.integers(3)}",
        "kind": int(rng.integers(2)),
        "t": START + datetime.timedelta(minutes=minute),
        "x": float(rng.normal()) if rng.random() < 0.9 else None,
        "f": float(np.float32(rng.normal())),
        "n": int(rng.integers(100)) if rng.random() < 0.8 else None,
        "y": None,
        "z": None,
    }


def past() -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    return [{**drawn(rng, k, 3 * k - 200), "y": 1.0 * (k % 2), "z": k % 3} for k in range(60)]


@cache
def fitted(row_id: str | None, is_nested: bool = False) -> ff.FittedPlan:
    hours = ff.window("2h", by="who", time="t")
    both = ff.window("1h", by=["who", "kind"], time="t", closed="both")
    late = ff.window("3h", by="who", time="t", offset="10m")
    of_kind = ff.window("2h", by="kind", time="t")
    features = {
        "mean": col("x").mean(over=hours),
        "n": ff.count(over=both),
        "most": col("n").max(over=hours),
        "all": col("f").sum(over=ff.window("90m", time="t")),
        "late": col("y").mean(over=late),
        "own": col("x") - col("x").last(over=hours),
        "ended": (col("z") + col("n")).sum(over=late),
        "texts": col("who").n_unique(over=of_kind),
    }
    nested = {
        "of mean": col("x").mean(over=hours).max(over=both),
        "of gap": (col("x") - col("x").mean(over=hours)).std(over=of_kind),
        "of text": col("who").mode(over=of_kind).n_unique(over=both),
        "of whole": col("n").sum(over=hours).last(over=of_kind),
    }
    plan = ff.Plan(nested if is_nested else features, outcomes=["y", "z"], row_id=row_id)
    return plan.fit(pa.Table.from_pylist(past(), SCHEMA), history="batch")


def begun(row_id: str | None, is_nested: bool = False, **options: Any) -> ff.Live[Any]:
    return fitted(row_id, is_nested).online(pa.Table.from_pylist(past(), SCHEMA), **options)


def outcome(call: Any, *args: Any) -> Any:
    try:
        found = call(*args)
    except FastfeatError as error:
        return type(error), str(error)
    return found.tobytes() if isinstance(found, np.ndarray) else found


def told(live: ff.Live[Any]) -> Any:
    """Return all that a state says of itself, and holds."""
    base = live._state.base()
    held = base.rows, base.swept, live.head
    return live.history(), live.sizes, live.counts, live.offsets, *held


@pytest.mark.parametrize("row_id", [None, "id"])
@pytest.mark.parametrize("late", ["error", "insert", "drop", "nested"])
def test_most_rows_arrive_without_a_table_and_see_each_other(row_id, late):
    is_nested = late == "nested"
    live = begun(row_id, is_nested, late="error" if is_nested else late)
    rng = np.random.default_rng(5)
    rows = [drawn(rng, 100 + k, k) for k in range(40)]
    matrix = fitted(row_id, is_nested).transform(
        pa.Table.from_pylist(rows, SCHEMA), history=pa.Table.from_pylist(past(), SCHEMA), to="numpy"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LiveState, "apply", None)
        for row, expected in zip(rows, matrix, strict=True):
            given_row = {name: value for name, value in row.items() if name not in ("y", "z")}
            assert live.process(given_row).tobytes() == np.ascontiguousarray(expected).tobytes()


ODD = [None, float("nan"), "w1", "\ud800", 3, 2**40, 2**70, 0.1, True, b"w1", [1], START]
operations = st.sampled_from(
    [*["process"] * 5, "odd", "again", "late", "ahead", "features", "outcomes", "forget", "sweep"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(operations, max_size=14), seed=st.integers(0, 9), data=st.data())
def test_a_state_is_as_in_the_general_way(tmp_path_factory, chosen, seed, data):
    row_id = data.draw(st.sampled_from([None, "id"]))
    late = data.draw(st.sampled_from(["error", "insert", "drop"]))
    is_nested = late == "error" and data.draw(st.booleans())
    options = {"late": late, "max_ahead": "30d", "keep": data.draw(st.sampled_from([None, "1h"]))}
    names = ["prepared", "general"]
    files = data.draw(st.booleans())
    folder = tempfile.mkdtemp(dir=tmp_path_factory.getbasetemp())
    paths = [f"{folder}/{name}.db" if files else None for name in names]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "new_key", lambda: b"k" * 32)
        lives = [begun(row_id, is_nested, path=path, **options) for path in paths]
    rng = np.random.default_rng(seed)
    rows = [drawn(rng, 100 + k, 5 * k) for k in range(len(chosen) + 1)]
    now = time.time_ns()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: now)
        for k, operation in enumerate(chosen):
            row, name = rows[k], "process"
            arguments: tuple[Any, ...] = (row,)
            match operation:
                case "odd":
                    row[data.draw(st.sampled_from(SCHEMA.names))] = data.draw(st.sampled_from(ODD))
                case "again":
                    arguments = (rows[max(0, k - 2)],)
                case "late" | "ahead":
                    days = 60 if operation == "ahead" else -0.06
                    row["t"] = row["t"] + datetime.timedelta(days=days)
                case "features":
                    name = operation
                    del row["id"]
                case "outcomes" if row_id is not None:
                    name, arguments = operation, ({"id": f"{99 + k}ü", "y": 0.5, "z": 1},)
                case "forget":
                    name, arguments = operation, ("who", "w1")
                case "sweep":
                    patch.setattr(state_module, "SWEPT_AT", 1)
                    row["t"] = row["t"] + datetime.timedelta(hours=5 * k)
                case _:
                    pass
            found = outcome(getattr(lives[0], name), *arguments)
            with pytest.MonkeyPatch.context() as general:
                general.setattr(LiveState, "_arrive_few", lambda *_: None)
                general.setattr(LiveState, "features_of_rows", lambda state, rows: None)
                assert found == outcome(getattr(lives[1], name), *arguments), operation
            assert told(lives[0]) == told(lives[1]), operation
    for live in lives:
        live.close()
    if files:
        assert paths[0] is not None
        assert ff.replay(paths[0]).ok
        with (
            fitted(row_id, is_nested).online(path=paths[0]) as one,
            fitted(row_id, is_nested).online(path=paths[1]) as two,
        ):
            assert told(one) == told(two)


def test_a_row_that_fails_leaves_the_state_as_it_was(monkeypatch):
    live, row = begun(None), drawn(np.random.default_rng(0), 1, 5)
    before = told(live)
    monkeypatch.setattr(state_module, "gather_arrival", _failing)
    with pytest.raises(MemoryError):
        live.process(row)
    monkeypatch.undo()
    assert told(live) == before
    live.process(row)


def test_a_row_of_which_half_was_put_into_the_log_ends_the_state(monkeypatch):
    live, row = begun(None), drawn(np.random.default_rng(0), 1, 5)
    monkeypatch.setattr(state_module, "store_arrival", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        live.process(row)
    monkeypatch.undo()
    with pytest.raises(ff.errors.StateError, match="interrupted during a change"):
        live.process(row)


def _failing(*args: Any) -> None:
    raise MemoryError


def _interrupted(*args: Any) -> None:
    raise KeyboardInterrupt
