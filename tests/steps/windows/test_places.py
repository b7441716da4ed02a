"""Rows of a batch that stand anywhere among the rows that windows see."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import FittedPlan
from fastfeat.backends import backend_named
from fastfeat.errors import HistoryMissing, Overflow
from fastfeat.execute.batch import Batch
from fastfeat.execute.history import warn_without_history
from fastfeat.execute.steps import make
from fastfeat.execute.transform import read_out

pytestmark = pytest.mark.filterwarnings(
    "ignore::fastfeat.errors.TiesInOrder"
)  # what they are is tested

WEEK = ff.window(7, by="card", time="t")
LATEST = ff.window(rows=3, by="card", time="t", closed="right")
X, DEVICE = col("x"), col("device")
FEATURES = {
    "sum": X.sum(over=LATEST),
    "relative": X - X.max(over=WEEK),
    "nested": X.lag(1, over=WEEK).sum(over=ff.window(7, time="t")),
    "text": DEVICE.last(over=WEEK).ordinal_encode(),
    "since": ff.time_since(X > 0, over=WEEK),
    "n": ff.count(over=WEEK),
}


def events(n: int, seed: int) -> pa.Table:
    rng = random.Random(seed)
    return pa.table(
        {
            "t": [rng.choice([None, *range(20)]) for _ in range(n)],
            "card": pa.array([rng.choice(["a", "b", None]) for _ in range(n)], pa.string()),
            "x": pa.array([rng.choice([None, 1, 2, -5]) for _ in range(n)], pa.int64()),
            "device": pa.array([rng.choice(["web", "app", None]) for _ in range(n)], pa.string()),
        }
    )


def batch_of(fitted: FittedPlan, past: pa.Table, places: Any, backend: str) -> Batch:
    """Return rows of a table as a batch whose windows see the whole table."""
    of_past = Batch(
        past, fitted.record.types, backend_named(backend), dict(fitted.record.constants), {}
    )
    at = np.asarray(places, np.int64)
    rows = past.take(pa.array(at))
    return Batch(
        rows, *(fitted.record.types, of_past.backend, of_past.learnt, {}), False, of_past, at
    )


def features_at(fitted: FittedPlan, past: pa.Table, places: Any, backend: str) -> Any:
    batch = batch_of(fitted, past, places, backend)
    make(batch, list(fitted.record.nodes.values()))
    return read_out(
        fitted.record, batch, fitted.record.arrow_program, fitted.record.arrow_constants, "arrow"
    )


@pytest.mark.parametrize("backend", ["cpu", "reference", "emulated"])
@given(st.integers(0, 25), st.integers(0, 10**6), st.data())
def test_rows_at_places_have_what_they_have_among_all(
    backend: str, n: int, seed: int, data: st.DataObject
) -> None:
    past = events(n, seed)
    places = data.draw(st.lists(st.integers(0, n - 1), max_size=2 * n) if n else st.just([]))
    fitted = ff.Plan(FEATURES).fit(events(30, 0))
    whole = fitted.transform(past, history="batch")
    found = features_at(fitted, past, places, backend)
    assert found.to_pydict() == whole.take(pa.array(places, pa.int64())).to_pydict()


LARGE = pa.table(
    {"t": [3, 1, 2, 4, 0], "x": pa.array([1, 2**62, 2**62, -(2**62), 5]), "text": list("abcab")}
)


@pytest.mark.parametrize("backend", ["cpu", "reference", "emulated"])
def test_a_row_that_does_not_ask_may_overflow(backend: str) -> None:
    both = ff.window(rows=2, time="t", closed="right")
    features = {
        "count": ff.count(over=both),
        "sum": X.sum(over=both),
        "last": col("text").last(over=both).ordinal_encode(),
    }
    fitted = ff.Plan(features).fit(LARGE.slice(3))
    found = features_at(fitted, LARGE, [3, 1, 4, 1], backend)
    assert found["sum"].to_pylist() == [1 - 2**62, 2**62 + 5, 5, 2**62 + 5]
    assert found["count"].to_pylist() == [2, 2, 1, 2]
    assert found["last"].to_pylist() == [2, 3, 3, 3]
    with pytest.raises(Overflow, match=r"'x'\).sum\(over=.*, row 1: the sum of the window"):
        features_at(fitted, LARGE, [3, 2, 1], backend)


def test_of_two_functions_that_fail_the_one_that_a_row_asks_for_is_named() -> None:
    both, three = (ff.window(rows=n, time="t", closed="right") for n in (2, 3))
    fitted = ff.Plan({"two": X.sum(over=both), "three": (X + 0).sum(over=three)}).fit(
        LARGE.slice(3)
    )
    with pytest.raises(Overflow, match=r"\+ 0\).sum\(over=.*, row 1: the sum of the window"):
        features_at(fitted, LARGE, [1, 0], "cpu")


def test_the_warning_counts_the_rows_that_ask() -> None:
    past = pa.table({"t": [0, 9, 5, 6, None], "x": [1] * 5, "card": ["a"] * 5})
    fitted = ff.Plan({"n": X.sum(over=WEEK)}).fit(past)
    batch = batch_of(fitted, past, [3, 1, 4], "cpu")
    with pytest.warns(HistoryMissing, match=r"before the data: 1 row of"):
        warn_without_history(batch, fitted.record.nodes.values(), fitted.record.told)
