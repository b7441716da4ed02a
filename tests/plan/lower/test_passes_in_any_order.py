"""Passes over schedules: any of them, in any order, leave the bits of random plans as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import event, given, reject
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.plan.lower import scheduling
from fastfeat.plan.lower.passes import (
    PASSES,
    Pass,
    keep_orders,
    leave_features,
    mark_last_readers,
)
from fastfeat_tests.plan.plan_tables import differing
from fastfeat_tests.plan.scheduled_plans import rows, tables

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")

Draw = Callable[[st.SearchStrategy[Any]], Any]
LAST = (leave_features, keep_orders, mark_last_readers)
"""They say what is left of a schedule, what it keeps and frees: no other may follow."""
FREE = [improve for improve in PASSES if improve not in LAST]
ROWS, TABLES = rows(40), tables()
KEYS = ("card", "shop")
WINDOWS = (
    ff.window("7d", by="card", time="t"),
    ff.window("3d", by="shop", time="t"),
    ff.window("30d", by=["card", "shop"], time="t", offset="1d"),
    ff.window(rows=3, by="card", time="t"),
    ff.window("9d", by=col("shop").str.to_lowercase(), time="t"),
)
OF_RATES = ff.window("20d", by="card", time="t", right_time="at", table="rates")
RATE = ff.asof("rates", by="card", time="t", right_time="at")
SIZE = ff.lookup("shops", by="shop").col("size")


@st.composite
def numbers(draw: Draw, depth: int) -> ff.Expr:
    """Return an expression of a number, which reads windows, keys, tables and what fit learns."""
    if depth == 0:
        return draw(st.sampled_from([col("amount"), col("n"), col("card"), SIZE, RATE.col("rate")]))
    below = draw(numbers(depth - 1))
    window = draw(st.sampled_from(WINDOWS))
    match draw(st.integers(0, 15)):
        case 0:
            return below - draw(numbers(depth - 1))
        case 12:
            return below.cut([2.0, 9.0, 30.0]).ordinal_encode() / 2
        case 14 | 15:  # of one order, one in the other
            return (below.mean(over=window) + 1).max(over=window)
        case 13:
            return below.mean(by=draw(numbers(depth - 1)) * 2 > 9)
        case 1 | 2:
            return below.mean(over=window)
        case 3:
            return below.max(over=window)
        case 4:
            return below.lag(1, over=window)
        case 5:
            return below - below.mean(by=draw(st.sampled_from(KEYS)))
        case 6:
            return below.impute("median")
        case 7:
            return below.standard_scale()
        case 8:
            return below - (col("rate") * 2).mean(over=OF_RATES)
        case 9:
            return draw(texts(depth - 1)).ordinal_encode()
        case 10:
            return below.mean(by=draw(texts(depth - 1)))
        case _:
            return col("tags").list.len() + below


@st.composite
def texts(draw: Draw, depth: int) -> ff.Expr:
    """Return an expression of a text."""
    if depth == 0:
        return col("shop")
    below = draw(texts(depth - 1))
    match draw(st.integers(0, 4)):
        case 0:
            return below.str.to_lowercase()
        case 1:
            return below.lag(1, over=draw(st.sampled_from(WINDOWS)))
        case 2:
            return below.impute("mode")
        case 3:
            return ff.when(draw(numbers(depth - 1)) > 3).then(below).otherwise(ff.lit("none"))
        case _:
            return below.str.strip_chars()


@st.composite
def plans(draw: Draw) -> ff.Plan:
    """Return a plan of a few features that read much of the same; some are out of fold."""
    found = [draw(numbers(3)) for _ in range(draw(st.integers(1, 3)))]
    if draw(st.booleans()):
        found.append(draw(texts(2)).target_encode("y", folds=3))
    if draw(st.booleans()):
        found.append(draw(texts(1)).target_encode("y", folds=3, time="t").standard_scale())
    if draw(st.booleans()):
        found.append(draw(texts(1)).one_hot_encode())
    if draw(st.booleans()):
        found += [col("tags").list.multi_hot_encode(), col("ids").list.ordinal_encode(width=2)]
    return ff.Plan({f"f{k}": one for k, one in enumerate(found)}, label="y")


@contextmanager
def lowered_by(passes: Sequence[Pass]) -> Iterator[None]:
    """Run plans by the schedules that some passes make."""
    with patch.object(scheduling, "PASSES", tuple(passes)):
        yield


def bits(plan: ff.Plan) -> tuple[bytes, Any, Any]:
    """Return what a plan learns, and the features of its training rows and of later ones."""
    read = {column.table for column in plan.declaration.table_columns}
    side = {"tables": {name: TABLES[name] for name in read}, "backend": "reference"}
    fitted, train = plan.fit_transform(ROWS, **side)
    later = fitted.transform(ROWS.slice(20), history=ROWS.slice(0, 20), **side)
    return artifact_bytes(fitted.record), train, later


def again(plan: ff.Plan) -> ff.Plan:
    """Return a plan of which nothing is lowered yet."""
    return ff.Plan.from_json(plan.to_json())


@given(plans(), st.permutations(FREE), st.integers(0, len(FREE)))
def test_any_passes_in_any_order_give_the_same_bits(
    plan: ff.Plan, passes: list[Pass], n_passes: int
) -> None:
    try:
        expected = bits(plan)
    except ff.FastfeatError as error:
        event(f"{type(error).__name__}: {error}"[:60])
        reject()
    for some in ((), (*passes[:n_passes], *LAST)):
        with lowered_by(some):
            artifact, train, later = bits(again(plan))
        assert artifact == expected[0]
        assert differing(train, expected[1]) == {}
        assert differing(later, expected[2]) == {}
