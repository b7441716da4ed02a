"""What is told of calls that newcomers get wrong: each message says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import (
    FastfeatError,
    InvalidData,
    InvalidPlan,
    LateRow,
    NotFitted,
    StateError,
    TypeMismatch,
    UnknownColumn,
)

WEEK = ff.window(7, time="t", by="card")
PLAN = ff.Plan({"spent": col("x").sum(over=WEEK)}, row_id="id")
PAST = {"id": [0, 1], "t": [0, 1], "card": ["a", "b"], "x": [1.0, 2.0]}
BATCH = {"id": [2, 3, 4], "t": [2, 3, 9], "card": ["a", "a", "a"], "x": [3.0, 4.0, 5.0]}
OUT = np.zeros((1, 1))
FITTED = PLAN.fit(PAST, history="batch")


def row(**other: Any) -> dict[str, Any]:
    """Return a row that can be asked for, with some values in the place of its own."""
    return {"id": 9, "t": 20, "card": "a", "x": 1.0, **other}


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda live: live.process(row(), first=3), InvalidPlan, "the source: source='events:0'"),
        (lambda live: live.update(row(), end=1), InvalidPlan, "the source: source='events:0'"),
        (
            lambda live: live.process(row(), source="events:0", first=5),
            InvalidPlan,
            r"'events:0': end=0 is before first=5\. end= is the offset after the last row",
        ),
        (lambda live: live.features(row(), to="pandas"), InvalidPlan, r"to='pandas' .*\[row\]"),
        (lambda live: live.process(row(), to="numpy", out=OUT), InvalidPlan, r"out= .*\[row\]"),
        (lambda live: live.process(row(), categories=True), InvalidPlan, "categories"),
        (lambda live: live.export("rows.csv"), InvalidData, "exported as Parquet: name.parquet"),
        (lambda live: live.forget("colour", "a"), UnknownColumn, "'card'"),
        (lambda live: live.features(row(x="1.5")), TypeMismatch, r"Parse the text first: float\("),
        (lambda live: live.features(row(t="1")), TypeMismatch, r"Parse the text first: int\("),
        (lambda live: live.features(row(card=7)), TypeMismatch, r"as in fit: str\(value\)"),
    ],
)
def test_wrong_calls_are_refused_and_the_state_stays(
    call: Callable[[ff.Live], object], error: type[FastfeatError], told: str
) -> None:
    live = FITTED.online(PAST)
    before = live.history(), live.offsets
    with pytest.raises(error, match=told):
        call(live)
    assert (live.history(), live.offsets) == before


def test_numbers_for_times_are_told_how_to_be_read() -> None:
    zoned = ff.Plan({"hour": col("t").dt.hour()}).fit(
        {"t": pa.array([0], pa.timestamp("us", "UTC"))}
    )
    with pytest.raises(TypeMismatch, match=r"datetime\.fromtimestamp\(seconds, datetime\.UTC\)"):
        zoned.online().features({"t": 1767225600})


def test_a_plan_that_is_not_fitted_says_so() -> None:
    with pytest.raises(NotFitted, match=r"fitted = plan\.fit\(data\), then fitted\.online"):
        PLAN.online()  # pyright: ignore[reportAttributeAccessIssue]


def test_durability_needs_a_file() -> None:
    with pytest.raises(InvalidPlan, match="Give it a file with path=, or leave durability= out"):
        FITTED.online(durability="interval")


@pytest.mark.parametrize("content", [None, b"", b"no state" * 100], ids=["folder", "empty", "odd"])
def test_what_is_no_state_is_told_before_what_a_state_would_not_take(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "rows.state"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(StateError, match=r"Is a directory|not the state of a live plan"):
        FITTED.online(PAST, path=path)


def test_a_state_that_is_there_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "rows.state"
    FITTED.online(PAST, path=path).close()
    with pytest.raises(StateError, match="with this state, or give the path of a new file"):
        FITTED.online(PAST, path=path)


@pytest.mark.parametrize(
    "given", [{"plan": "a"}, {"outcomes": {"id": [0]}}], ids=["plan", "labels"]
)
def test_replay_that_writes_nothing_takes_no_options_of_the_file(
    tmp_path: Path, given: dict[str, Any]
) -> None:
    path = tmp_path / "rows.state"
    FITTED.online(PAST, path=path).close()
    with pytest.raises(InvalidPlan, match="but to= is missing"):
        ff.replay(path, FITTED, **given)


def test_rows_that_come_again_too_late_to_be_answered_are_told_so() -> None:
    live = FITTED.online(PAST)
    live.process(BATCH)
    with pytest.raises(LateRow, match=r"row 0 \(t = 2, .*\) has the id of an earlier row"):
        live.process(BATCH)
    with pytest.raises(InvalidData, match=r"x is 7\.0 here and 3\.0 there.*live\.correct"):
        live.process({**BATCH, "x": [7.0, 4.0, 5.0]})


def test_rows_that_come_again_and_need_no_answer_are_never_too_late() -> None:
    live = FITTED.online(PAST)
    live.update(BATCH)
    before = live.history()
    live.update(BATCH)
    assert live.history() == before
    assert live.counts == {"repeated": 3}
    with pytest.raises(InvalidData, match=r"live\.correct"):
        live.update({**BATCH, "x": [7.0, 4.0, 5.0]})
    with pytest.raises(LateRow):
        live.update(row(t=3))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("transform_row", r"live.process\(rows\) computes features and stores the rows"),
        ("predict_one", r"live.features\(rows\)"),
        ("learn_one", r"live.update\(rows\) stores rows"),
        ("no_such_name", "has no attribute 'no_such_name'$"),
    ],
)
def test_a_state_that_is_used_as_something_else_says_what_to_do(name: str, told: str) -> None:
    with pytest.raises(AttributeError, match=told):
        getattr(FITTED.online(), name)
