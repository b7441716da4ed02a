"""Schedules as they run: nothing is found again at a second call, and columns are freed."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.execute import steps
from fastfeat.plan.lower import scheduling
from fastfeat.steps.windows import cpu as windows
from fastfeat_tests.plan.scheduled_plans import CASES, Case, rows, tables

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")


def side(case: Case) -> dict[str, Any]:
    """Return the tables that a plan reads, as arguments."""
    return {"tables": {name: tables()[name] for name in case.tables}} if case.tables else {}


@pytest.mark.parametrize("name", CASES)
def test_a_plan_is_scheduled_once_for_all_calls(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case, data = CASES[name](), rows()
    fitted, train = case.plan.fit_transform(data, **side(case))
    before = fitted.transform(data, history="batch", **side(case))

    def again(*args: Any, **named: Any) -> Any:
        raise AssertionError("scheduled again")

    monkeypatch.setattr(scheduling, "draft_schedule", again)
    refitted, train_again = case.plan.fit_transform(data, **side(case))
    assert train_again.equals(train)
    assert refitted.transform(data, history="batch", **side(case)).equals(before)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_some_rows_have_the_features_that_they_have_among_all(name: str, backend: str) -> None:
    case, data = CASES[name](), rows(80)
    fitted = case.plan.fit(data, **side(case))
    whole = fitted.transform(data, history="batch", **side(case))
    some = np.random.default_rng(1).permutation(80)[:30]
    found = fitted.transform(data, rows=some, history="batch", backend=backend, **side(case))
    assert found.equals(whole.take(pa.array(some)))
    earlier, later = data.slice(0, 50), data.slice(50)
    assert fitted.transform(later, history=earlier, **side(case)).equals(whole.slice(50))


@pytest.mark.parametrize("name", CASES)
def test_fitting_some_rows_learns_what_fitting_them_alone_learns(name: str) -> None:
    case, data = CASES[name](), rows()
    if case.plan.declaration.past_columns:
        pytest.skip("windows see all rows, whichever are learnt from")
    some = np.sort(np.random.default_rng(2).permutation(data.num_rows)[:200])
    one, features = case.plan.fit_transform(data, rows=some, **side(case))
    alone, others = case.plan.fit_transform(data.take(pa.array(some)), **side(case))
    assert one.learnt() == alone.learnt()
    assert features.equals(others)


def test_columns_are_freed_after_their_last_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    columns: dict[Any, weakref.ref[Any]] = {}
    n_alive: list[int] = []
    run_columns = steps.run_columns

    def watched(running: Any, task: Any) -> None:
        run_columns(running, task)
        columns.update((node, weakref.ref(made)) for node, made in running.batch.made.items())
        n_alive.append(sum(1 for column in columns.values() if column() is not None))

    monkeypatch.setattr(steps, "run_columns", watched)
    value = col("shop")
    for k in range(20):
        value = value.str.to_uppercase() if k % 2 else value.str.to_lowercase()
    fitted = ff.Plan({"n": value.str.len_chars()}).fit(rows())
    fitted.transform(rows())
    assert len(n_alive) == 22  # with the length, and the features
    assert max(n_alive) == 1


@pytest.mark.parametrize("some", [None, [70, 3, 41]])
def test_rows_are_put_in_order_once_for_windows_in_windows(
    some: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    week = ff.window("7d", by="card", time="t")
    x, last = col("amount"), col("amount").lag(1, over=week)
    features = {"a": last, "b": (x - last).mean(over=week), "c": (x / last.sum(over=week))}
    fitted = ff.Plan(features).fit(rows(80))
    options: dict[str, Any] = {"rows": some, "history": "batch"}
    expected = fitted.transform(rows(80), backend="reference", **options)
    n_times: list[int] = []
    in_order = windows.in_order

    def counted(*args: Any, **named: Any) -> Any:
        n_times.append(1)
        return in_order(*args, **named)

    monkeypatch.setattr(windows, "in_order", counted)
    assert fitted.transform(rows(80), **options).equals(expected)
    assert len(n_times) == 1
    earlier, later = rows(80).slice(0, 50), rows(80).slice(50)
    found = fitted.transform(later, history=earlier)
    assert len(n_times) == 2
    assert found.equals(fitted.transform(rows(80), history="batch").slice(50))
