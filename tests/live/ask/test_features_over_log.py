"""Rows that ask a log have the bits of `transform(rows, history=)`; rows are put away meanwhile."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.api.plan import fitted_records
from fastfeat.io.columns.types import tick_ns
from fastfeat.live.ask.features import LogView, answer
from fastfeat.live.log.entities import RowPlaces
from fastfeat.live.log.log import Log
from fastfeat.live.log.retention import retention
from fastfeat.live.lower.live_plan import LivePlan, lower
from fastfeat.live.lower.row_orders import OrderValues, compute_order_values, log_rows
from fastfeat_tests.live.ask.test_features_of_rows_random import assert_same_bits, pieces_of
from fastfeat_tests.live.plain_log import kept_of_history
from fastfeat_tests.live.random_plans import TABLES, events, features, fitted

pytestmark = [  # rows of few values, at few moments
    pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning"),
]


def log_for(lowered: LivePlan, keep: int | None) -> Log:
    """Return an empty log, which keeps rows beyond what is in reach for so long."""
    orders = []
    for order in lowered.orders:
        time = lowered.plans[order.plan].types[order.time]
        tick = tick_ns(time) if time.is_temporal else 1
        orders.append(retention(order.reach, keep, tick, has_tie=order.tie is not None))
    return Log(lowered.columns, lowered.kept_types, orders)


def placed_in(log: Log, values: list[OrderValues], *, add: bool) -> list[RowPlaces]:
    """Return where rows stand in each order of a log."""
    found = []
    for order, one in enumerate(values):
        entities = log.entities(order, one.keys, len(one.times), add=add)
        found.append(RowPlaces(one.times, np.where(one.is_placed, entities, np.int32(-1))))
    return found


def seen_in(log: Log, placed: list[RowPlaces], *, alone: bool) -> list[LogView]:
    """Return what rows that ask see of a log, by order."""
    found = []
    for order, (times, entities) in enumerate(placed):
        gathered = log.seen(order, entities, times, alone=alone)
        found.append(LogView(log.take(gathered), gathered.codes, gathered.asking))
    return found


def processed(lowered: LivePlan, log: Log, rows: pa.Table) -> pa.Table:
    """Return the features of rows, which are put into the log."""
    own = log_rows(lowered, rows)
    placed = placed_in(log, compute_order_values(lowered, rows, TABLES, own), add=True)
    answered = answer(lowered, rows, seen_in(log, placed, alone=False), TABLES, log=own)
    log.append(own, answered.kept, placed)
    log.tidy()
    return answered.features("")


@given(data=st.data(), nested=st.booleans())
def test_a_log_answers_as_transform_does(data: st.DataObject, nested: bool) -> None:
    rows = data.draw(events(in_order=True))
    plan = fitted(data.draw(features(nested=nested)), data.draw(events()))
    lowered = lower(fitted_records({"": plan}))
    log = log_for(lowered, 0)
    found = [processed(lowered, log, piece) for piece in pieces_of(data, rows)]
    if not nested and any(order.tie is not None for order in lowered.orders):
        return  # a lower tie comes late
    expected = plan.transform(rows, history="batch", tables=TABLES)
    assert_same_bits(pa.concat_tables(found), expected)


@given(data=st.data())
def test_a_log_that_keeps_everything_answers_late_rows(data: st.DataObject) -> None:
    rows, asked = data.draw(events()), data.draw(events(most=5))
    asked = asked.set_column(0, "id", pa.array(range(asked.num_rows)))
    plan = fitted(data.draw(features()), rows)
    lowered = lower(fitted_records({"": plan}))
    log = log_for(lowered, None)
    own = log_rows(lowered, rows)
    kept = kept_of_history(lowered, rows, TABLES)
    log.append(
        own, kept, placed_in(log, compute_order_values(lowered, rows, TABLES, own), add=True)
    )
    placed = placed_in(log, compute_order_values(lowered, asked, TABLES), add=False)
    found = answer(lowered, asked, seen_in(log, placed, alone=True), TABLES)
    expected = [
        plan.transform(asked.slice(k, 1), history=rows, tables=TABLES)
        for k in range(asked.num_rows)
    ]
    assert_same_bits(found.features(""), pa.concat_tables(expected))
