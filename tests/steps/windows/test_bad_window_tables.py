"""Windows over the rows of a table: what is refused, and how an error tells it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import (
    ArtifactError,
    InvalidData,
    InvalidPlan,
    Overflow,
    TypeMismatch,
    UnknownColumn,
)
from fastfeat_tests.steps.windows.payments_table import ASKING, PAYMENTS, payments, seen


def altered(change: Callable[[list[Any]], None], *, own_first: bool = False) -> str:
    """Return the JSON of a plan of which someone has altered the nodes."""
    features = {"m": col("amount").mean(over=payments()), "own": col("own") + 1}
    order = ("own", "m") if own_first else ("m", "own")
    document = json.loads(ff.Plan({name: features[name] for name in order}).to_json())
    change(document["nodes"])
    return json.dumps(document)


def place(nodes: list[Any], **of: Any) -> int:
    return next(k for k, node in enumerate(nodes) if of.items() <= node.items())


def test_plans_that_mix_rows_are_not_read() -> None:
    def reads_the_data(nodes: list[Any]) -> None:
        own = next(k for k, node in enumerate(nodes) if node == {"column": "own"})
        nodes[place(nodes, call="over.mean")]["args"][0] = own

    def adds_the_table(nodes: list[Any]) -> None:
        nodes[place(nodes, call="add")]["args"][0] = place(nodes, column="amount")

    def has_another_table(nodes: list[Any]) -> None:
        nodes[place(nodes, column="amount")]["table"] = "logins"

    def orders_by_two_tables(nodes: list[Any]) -> None:
        order = nodes[place(nodes, call="table_order")]
        nodes[order["args"][-1]] = {"column": "card", "table": "logins"}

    def has_more_keys(nodes: list[Any]) -> None:
        nodes[place(nodes, call="table_order")]["params"] = [["has_tie", False], ["n_keys", 2]]

    for change in (adds_the_table, has_another_table, orders_by_two_tables, has_more_keys):
        with pytest.raises(ArtifactError):
            ff.Plan.from_json(altered(change))
    with pytest.raises(ArtifactError, match="from the wrong rows, those of the data"):
        ff.Plan.from_json(altered(reads_the_data, own_first=True))
    for own_first in (False, True):
        assert ff.Plan.from_json(altered(lambda nodes: None, own_first=own_first)).declaration.nodes


def test_what_reads_the_row_itself_is_refused() -> None:
    card, window = ff.window(time="ts", by="card"), payments()
    for asked, told in (
        (lambda: col("amount").diff(over=window), r"diff\(over=.*not in the table 'payments'"),
        (lambda: col("amount").pct_change(over=window), "Compare a column of the data"),
        (lambda: col("amount").rank(over=window), r"rank\(over=.*not in the table"),
        (lambda: ff.session_id(5, over=window), "Add the session number to the table"),
        (lambda: (col("amount") - col("amount").mean()).sum(over=window), "is learnt from"),
        (lambda: col("amount").lag(1, over=card).sum(over=window), "reads a window"),
        (lambda: col("amount").lag(1, over=window).sum(over=window), "reads a window"),
        (lambda: ff.lookup("cards", by="card").col("limit").sum(over=window), "looks up rows"),
    ):
        with pytest.raises(InvalidPlan, match=told):
            asked()


def test_what_the_tables_lack_or_hold_otherwise_is_told() -> None:
    features = {"paid": col("amount").sum(over=payments(10))}
    plan = ff.Plan(features)
    with pytest.raises(UnknownColumn, match="'payments'"):
        plan.fit(ASKING)
    with pytest.raises(UnknownColumn, match="the table 'payments' has no column 'amount'"):
        plan.fit(ASKING, tables={"payments": PAYMENTS.drop_columns(["amount"])})
    fitted = plan.fit(ASKING, tables={"payments": PAYMENTS})
    with pytest.raises(UnknownColumn, match="'payments'"):
        fitted.transform(ASKING, tables={"logins": PAYMENTS})
    texts = {"ts": [1], "card": ["a"], "amount": ["a lot"]}
    with pytest.raises((TypeMismatch, InvalidData), match="the table 'payments'"):
        fitted.transform(ASKING, tables={"payments": texts})
    berlin = pa.array([0], pa.timestamp("s", "Europe/Berlin"))
    naive = {**texts, "ts": [datetime.datetime(2024, 1, 1)], "amount": [1.0]}
    with pytest.raises(TypeMismatch, match="one of them has a time zone"):
        seen(features, {"ts": berlin, "card": ["a"]}, naive)
    with pytest.raises(TypeMismatch, match="cannot compare the time of the data"):
        seen(features, {"ts": berlin, "card": ["a"]}, PAYMENTS)
    with pytest.raises(TypeMismatch, match="cannot compare the key of the data"):
        seen(features, {"ts": [1], "card": [1]}, PAYMENTS)
    with pytest.raises(TypeMismatch, match="are durations, but time= has whole numbers"):
        seen({"n": ff.count(over=payments("7d"))})
    with pytest.raises(TypeMismatch, match="tie= needs numbers"):
        seen({"n": ff.count(over=payments(tie="shop"))})
    with pytest.raises(TypeMismatch, match="needs a number"):
        seen({"n": col("shop").mean(over=payments())})


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_an_overflow_names_the_feature_and_the_row_or_the_table(backend: str) -> None:
    table = {"ts": [0, 1], "card": ["a", "a"], "amount": [2**62, 2**62]}
    data = {"ts": [1, 5], "card": ["a", "a"]}
    with pytest.raises(Overflow, match=r"col\('amount'\)\.sum\(.*table='payments'.*row 1: the sum"):
        seen({"s": col("amount").sum(over=payments())}, data, table, backend)
    with pytest.raises(Overflow, match=r"the table 'payments': .*row 0"):
        seen({"s": (col("amount") * 4).sum(over=payments())}, data, table, backend)
    far = {**table, "ts": [-(2**63), -(2**63)]}
    since = {"s": ff.time_since_last(over=payments())}
    with pytest.raises(Overflow, match="row 0: the time since that row does not fit"):
        seen(since, data, far, backend)


def test_a_row_that_overflows_alone_says_so() -> None:
    table = pa.table({"ts": [0, 1], "card": ["a", "a"], "amount": [2**62, 2**62]})
    plan = ff.Plan({"s": col("amount").sum(over=payments())})
    fitted = plan.fit({"ts": [0], "card": ["a"]}, tables={"payments": table})
    with pytest.raises(Overflow, match=r"sum\(.*the sum of the window does not fit"):
        fitted.transform_row({"ts": 2, "card": "a"}, tables={"payments": table})
