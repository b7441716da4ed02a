"""Windows inside of windows: an expression that several features read is computed once."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData
from fastfeat.execute import windows as made
from fastfeat.ir.node import Node
from fastfeat_tests.steps.windows.payments_table import PAYMENTS, payments

WEEK = ff.window(7, by="card", time="t")
DAY = ff.window(1, by="card", time="t", closed="right")
SHOP = ff.window(3, by="shop", time="t")
HIGHEST = col("x").max(over=WEEK)
BEFORE = col("device").lag(1, over=ff.window(by="card", time="t"))
PLANS: dict[str, dict[str, ff.Expr]] = {
    "one_order": {"a": HIGHEST, "b": HIGHEST.sum(over=DAY)},
    "two_orders": {"a": HIGHEST, "b": HIGHEST.sum(over=SHOP)},
    "inner_last": {"a": HIGHEST.mean(over=SHOP), "b": HIGHEST},
    "three_deep": {"a": HIGHEST, "b": HIGHEST.sum(over=SHOP).max(over=DAY)},
    "text": {"a": BEFORE.ordinal_encode(), "b": BEFORE.n_unique(over=SHOP)},
}
ROWS = pa.table(
    {
        "t": [1, 2, 2, 3, 5, 8, 9, 12],
        "card": ["a", "b", "a", "a", None, "b", "a", "a"],
        "shop": ["x", "x", "y", "x", "y", "y", "x", "y"],
        "x": [1.0, None, 4.0, 2.0, 7.0, 3.0, 5.0, 6.0],
        "device": ["web", "app", None, "web", "app", "app", "web", "app"],
    }
)
EARLIER, LATER = ROWS.slice(0, 5), ROWS.slice(5)


def spy_on(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Node]:
    """Return the functions over windows that are computed from now on."""
    computed: list[Node] = []
    run = getattr(made, name)

    def noting(batch: Any, order: Any, calls: Any, *args: Any) -> Any:
        computed.extend(calls)
        return run(batch, order, calls, *args)

    monkeypatch.setattr(made, name, noting)
    return computed


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("features", PLANS.values(), ids=PLANS)
def test_a_window_that_is_a_feature_and_inside_of_another_is_computed_once(
    monkeypatch: pytest.MonkeyPatch, features: dict[str, ff.Expr], backend: str
) -> None:
    fitted = ff.Plan(features).fit(ROWS)
    alone = {name: ff.Plan({name: feature}).fit(ROWS) for name, feature in features.items()}
    whole = {
        name: one.transform(ROWS, history="batch", backend=backend)[name].to_pylist()
        for name, one in alone.items()
    }
    computed = spy_on(monkeypatch, "run_over")
    found = fitted.transform(ROWS, history="batch", backend=backend)
    assert len(computed) == len(set(computed))
    assert found.to_pydict() == whole
    computed.clear()
    later = fitted.transform(LATER, history=EARLIER, backend=backend)
    assert len(computed) == len(set(computed))
    assert later.to_pydict() == found.slice(5).to_pydict()


def test_a_window_over_a_table_inside_of_another_is_computed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spent, tables = col("amount").sum(over=payments()), {"payments": PAYMENTS}
    rows = pa.table({"ts": [20, 31, 40, 50], "card": ["a", "a", "b", "a"]})
    features = {"spent": spent, "most": spent.max(over=ff.window(time="ts"))}
    fitted = ff.Plan(features).fit(rows, tables=tables)
    computed = spy_on(monkeypatch, "run_over_table")
    found = fitted.transform(rows, history="batch", tables=tables).to_pydict()
    assert found == {"spent": [1.0, 8.0, 9.0, 8.0], "most": [None, 1.0, 8.0, 9.0]}
    later = fitted.transform(rows.slice(2), history=rows.slice(0, 2), tables=tables).to_pydict()
    assert later == {"spent": [9.0, 8.0], "most": [8.0, 9.0]}
    assert len(computed) == 2


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_history_that_is_late_for_a_window_made_already_is_refused(backend: str) -> None:
    fitted = ff.Plan(PLANS["two_orders"]).fit(ROWS)
    history = {"t": [9], "card": ["a"], "shop": ["z"], "x": [1.0]}
    data = {"t": [8, 9], "card": ["a", "b"], "shop": ["x", "x"], "x": [1.0, 2.0]}
    with pytest.raises(InvalidData, match=r"history=, row 0: col\('t'\) = 9 .*col\('card'\) = 'a'"):
        fitted.transform(data, history=history, backend=backend)
