"""Rows that a log cannot answer: errors name the feature, and the row as the caller knows it."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import FastfeatError, Overflow, TypeMismatch, UnknownColumn
from fastfeat_tests.live.plain_log import PlainLog

WEEK = ff.window(7, by="card", time="t", closed="right")
BIG = 2**62
N = col("n")
FIT = pa.table({"t": [1], "card": ["a"], "n": [1], "none": pa.nulls(1), "late": [1.0]})


def rows(*numbers: int | None, t: int = 1) -> pa.Table:
    """Return rows of one card, one a moment."""
    n = len(numbers)
    return pa.table(
        {
            "t": pa.array(range(t, t + n), pa.int64()),
            "card": ["a"] * n,
            "n": pa.array(numbers, pa.int64()),
            "none": pa.nulls(n),
            "late": pa.nulls(n, pa.float64()),
        }
    )


def log_of(**features: ff.Expr) -> PlainLog:
    return PlainLog({"": ff.Plan(features, outcomes=["late"]).fit(FIT)})


def told(log: PlainLog, asked: Any, **options: Any) -> str:
    with pytest.raises(FastfeatError) as caught:
        log.ask(asked, **options).features("")
    assert isinstance(caught.value, Overflow)
    return str(caught.value)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(
    ("feature", "row"),
    [
        (N.sum(over=WEEK), 2),  # in the window
        ((N * 3).max(over=WEEK), 1),  # in what the window reads
        (N.max(over=WEEK) * 3, 1),  # in what reads the window
        (N * 3, 1),
    ],
)
def test_a_row_that_overflows_has_the_number_that_the_caller_knows(
    feature: ff.Expr, row: int, backend: str
) -> None:
    log = log_of(f=feature)
    log.process(rows(1, 2, 3))
    asked = rows(1, BIG, BIG, t=4)
    assert re.search(rf"\brow {row}\b", told(log, asked, backend=backend))
    number = told(log, asked, backend=backend, first_number=500)
    assert re.search(rf"\brow {500 + row}\b", number)


def test_one_row_that_overflows_is_an_error_too() -> None:
    log = log_of(f=N.sum(over=WEEK))
    log.process(rows(BIG, 1))
    asked = rows(BIG, t=4)
    with pytest.raises(Overflow, match=r"row 0: the sum of the window does not fit into int64"):
        log.process_row(asked.to_pylist()[0], asked)
    later = rows(1, t=50)
    assert log.process_row(later.to_pylist()[0], later).tolist() == [1]


def test_columns_that_lack_are_named_and_late_ones_may_lack() -> None:
    log = log_of(f=N.sum(over=WEEK), g=col("late").mean(over=ff.window(7, by="card", time="t")))
    assert log.ask(rows(5).drop_columns(["late"])).features("")["f"].to_pylist() == [5]
    with pytest.raises(UnknownColumn, match="the rows lack the column 'n'"):
        log.ask(rows(5).drop_columns(["n"]))


def test_columns_of_another_type_are_refused() -> None:
    log = log_of(f=N.sum(over=WEEK), none=col("none").is_null())
    text = rows(5).set_column(2, "n", pa.array(["x"]))
    with pytest.raises(TypeMismatch, match=r'col\("n"\): fit saw int64, got utf8'):
        log.ask(text)
    with pytest.raises(TypeMismatch, match=r'col\("none"\): fit saw only missing values'):
        log.ask(rows(5).set_column(3, "none", pa.array([1])))


def test_columns_of_a_like_type_are_converted_exactly() -> None:
    log = log_of(f=N.sum(over=WEEK))
    small = rows(5).set_column(2, "n", pa.array([5], pa.int8()))
    coded = small.set_column(1, "card", small["card"].dictionary_encode())
    log.process(coded)
    assert log.ask(rows(6, t=2)).features("")["f"].to_pylist() == [11]
