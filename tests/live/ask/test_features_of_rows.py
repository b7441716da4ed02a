"""Rows that ask a log have the bits of `transform(rows, history=)`: each kind of plan."""

from __future__ import annotations

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.trust.verify.comparison import first_difference
from fastfeat_tests.live.plain_log import PlainLog

pytestmark = [  # rows of few values, at few moments
    pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsRepeated"),
    pytest.mark.filterwarnings("ignore::fastfeat.errors.TiesInOrder"),
]
WEEK = ff.window(7, by="card", time="t")
DAY = ff.window(1, by="card", time="t", closed="right")
SHOP = ff.window(3, by="shop", time="t")
HIGHEST = col("x").max(over=WEEK)
BEFORE = col("device").lag(1, over=ff.window(by="card", time="t"))
PLANS: dict[str, dict[str, ff.Expr]] = {
    "plain": {"a": HIGHEST, "b": col("x").mean(over=DAY), "c": col("x").log1p()},
    "one_order": {"a": HIGHEST, "b": HIGHEST.sum(over=DAY)},
    "two_orders": {"a": HIGHEST, "b": HIGHEST.sum(over=SHOP)},
    "inner_last": {"a": HIGHEST.mean(over=SHOP), "b": HIGHEST},
    "three_deep": {"a": HIGHEST, "b": HIGHEST.sum(over=SHOP).max(over=DAY)},
    "text": {"a": BEFORE.ordinal_encode(), "b": BEFORE.n_unique(over=SHOP)},
    "learnt": {"a": (col("x") - col("x").mean()).sum(over=WEEK), "b": HIGHEST.standard_scale()},
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


def assert_same_bits(found: pa.Table, expected: pa.Table) -> None:
    assert found.schema == expected.schema
    for name in expected.column_names:
        one, other = (table[name].combine_chunks() for table in (found, expected))
        assert first_difference(one, other) is None, (name, one, other)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("features", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("cuts", [(5,), (1, 2, 3, 4, 5, 6, 7), (2, 4)], ids=["two", "rows", "few"])
def test_rows_that_come_in_pieces_have_the_bits_of_one_batch(
    features: dict[str, ff.Expr], backend: str, cuts: tuple[int, ...]
) -> None:
    fitted = ff.Plan(features).fit(ROWS)
    log, found = PlainLog({"": fitted}), []
    for start, stop in zip((0, *cuts), (*cuts, len(ROWS)), strict=True):
        answered = log.process(ROWS.slice(start, stop - start), backend=backend)
        found.append(answered.features(""))
    assert_same_bits(pa.concat_tables(found), fitted.transform(ROWS, history="batch"))
