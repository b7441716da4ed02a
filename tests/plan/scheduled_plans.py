"""A dozen plans and more whose schedules differ in kind, and rows for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

import fastfeat as ff
from fastfeat import Plan, col

N_ROWS = 300
START = 1_700_000_000

CARD = ff.window("7d", by="card", time="t")
SHOP = ff.window("3d", by=col("shop").str.to_lowercase(), time="t")
BOTH = ff.window("30d", by=["card", "shop"], time="t", closed="left")
AMOUNT, SPENT = col("amount"), col("amount").log1p()


class Case(NamedTuple):
    """A plan, and the names of the tables that it reads."""

    plan: Plan
    tables: tuple[str, ...] = ()


def row_functions() -> Case:
    """Return a plan of functions of a row: nothing but its features is a task."""
    return Case(Plan({"log": SPENT, "hour": col("t").dt.hour().cyclical(24)}))


def scaled() -> Case:
    """Return a plan of statistics of two rounds, of one column and of several."""
    imputed = AMOUNT.impute("median")
    return Case(
        Plan({"a": SPENT.standard_scale(), "b": imputed.robust_scale(), "c": col("n").max()})
    )


def texts() -> Case:
    """Return a plan of steps over text, some of which others read."""
    lower = col("shop").str.to_lowercase().str.strip_chars()
    return Case(
        Plan(
            {
                "length": lower.str.len_chars(),
                "has": lower.str.contains("a"),
                "choice": ff.when(col("n") > 3).then(lower).otherwise(ff.lit("none")).hash(),
            }
        )
    )


def codes() -> Case:
    """Return a plan of one vocabulary, counted once, for codes, counts, groups and statistics."""
    shop = col("shop")
    return Case(
        Plan(
            {
                "code": shop.ordinal_encode(),
                "rare": shop.ordinal_encode(min_frequency=20),
                "kinds": shop.n_unique(),
                "count": shop.count_encode(),
                "mean": AMOUNT.mean(by="shop"),
                "deviation": AMOUNT - AMOUNT.std(by="shop"),
            }
        )
    )


def one_hot() -> Case:
    """Return a plan of indicators, whose number is known after fit, of a row and of lists."""
    return Case(
        Plan({"shop": col("shop").one_hot_encode(), "tags": col("tags").list.multi_hot_encode()})
    )


def lists() -> Case:
    """Return a plan of lists: their statistics, and what is learnt of a statistic."""
    mean = col("tags").list.len()
    return Case(Plan({"n": mean.standard_scale(), "first": col("ids").list.get(0)}))


def out_of_fold() -> Case:
    """Return a plan of encodings outside of folds, which other aggregates learn from."""
    route = ff.cross(col("shop"), col("card")).target_encode("y", folds=4, smooth=5)
    return Case(
        Plan(
            {
                "route": route,
                "scaled": route.standard_scale(),
                "shop": col("shop").target_encode("y", folds=3),
                "over": (route - col("shop").target_encode("y", folds=3)).standard_scale(),
            },
            label="y",
        )
    )


def time_folds() -> Case:
    """Return a plan of encodings by time, of a target that is known later."""
    shop = col("shop").target_encode("y", folds=4, time="t")
    return Case(
        Plan(
            {"shop": shop.standard_scale(), "card": col("card").woe_encode("y", folds=4, time="t")},
            label="y",
            label_delay="2d",
        )
    )


def nested_windows() -> Case:
    """Return a plan of windows within windows over three entities, at several depths."""
    spent = SPENT.mean(over=CARD)
    unlike = (AMOUNT - AMOUNT.mean(over=SHOP)).abs()
    return Case(
        Plan(
            {
                "spent": spent,
                "n": ff.count(over=CARD),
                "most": (AMOUNT - spent).max(over=SHOP),
                "deep": (unlike / (spent + 1)).mean(over=BOTH).lag(1, over=CARD),
                "scaled": unlike.sum(over=CARD).standard_scale(),
            }
        )
    )


def window_of_codes() -> Case:
    """Return a plan of a vocabulary that is learnt from what a window gives."""
    last = col("shop").lag(1, over=CARD)
    return Case(
        Plan({"last": last.ordinal_encode(), "mean": AMOUNT.mean(by=last), "kind": last.hash()})
    )


def of_tables() -> Case:
    """Return a plan of a table, looked up by key, joined as of a moment, and seen in windows."""
    past = ff.window("20d", by="card", time="t", right_time="at", table="rates")
    latest = ff.asof("rates", by="card", time="t", right_time="at")
    shop = ff.lookup("shops", by="shop")
    return Case(
        Plan(
            {
                "seen": (col("rate") * 2).mean(over=past),
                "name": (col("name").str.to_uppercase() == "P").any(over=past),
                "rate": latest.col("rate").standard_scale(),
                "size": shop.col("size") - shop.col("size").mean(by="card"),
            }
        ),
        ("rates", "shops"),
    )


def known_text() -> Case:
    """Return a plan of a text that fit learns, which is put where there is none."""
    return Case(Plan({"shop": col("shop").impute("mode").ordinal_encode()}))


def levels() -> Case:
    """Return a plan of aggregates of aggregates, of groups of groups."""
    mean = AMOUNT.mean(by="card")
    return Case(
        Plan(
            {
                "a": (AMOUNT - mean).standard_scale(),
                "b": (mean - mean.mean(by="shop")).mean(by="card"),
                "c": mean.cut([10.0, 50.0]).ordinal_encode(),
            }
        )
    )


CASES: dict[str, Callable[[], Case]] = {
    one.__name__: one
    for one in (
        *(
            row_functions,
            scaled,
            texts,
            codes,
            one_hot,
            lists,
            out_of_fold,
            time_folds,
            nested_windows,
        ),
        *(window_of_codes, of_tables, known_text, levels),
    )
}


def rows(n_rows: int = N_ROWS, seed: int = 0) -> pa.Table:
    """Return rows with some values missing, in the order of time."""
    rng = np.random.default_rng(seed)

    def some(values: object, kind: pa.DataType | None = None) -> pa.Array:
        return pa.array(values, kind, mask=rng.random(n_rows) < 0.1)

    amounts = np.exp(rng.normal(3, 1, n_rows))
    shops = rng.choice(
        ["Aldi", "Beta ", " citi", "DAO", "e"], n_rows, p=[0.5, 0.2, 0.2, 0.06, 0.04]
    )
    times = np.sort(START + rng.integers(0, 86400 * 40, n_rows))
    tags = [
        None if rng.random() < 0.1 else rng.choice(["x", "y", "z"], rng.integers(0, 4)).tolist()
        for _ in range(n_rows)
    ]
    return pa.table(
        {
            "amount": some(amounts),
            "n": some(rng.integers(0, 9, n_rows)),
            "shop": some(shops),
            "card": pa.array(rng.integers(0, 12, n_rows)),
            "t": pa.array(times, pa.timestamp("s")),
            "tags": pa.array(tags, pa.list_(pa.utf8())),
            "ids": pa.array([[int(k), 1] for k in rng.integers(0, 5, n_rows)]),
            "y": some(rng.random(n_rows) < 0.3),
        }
    )


def tables(n_rows: int = 40) -> dict[str, pa.Table]:
    """Return the tables that the plans read."""
    rng = np.random.default_rng(7)
    return {
        "rates": pa.table(
            {
                "card": pa.array(rng.integers(0, 12, n_rows)),
                "at": pa.array(START + rng.integers(0, 86400 * 40, n_rows), pa.timestamp("s")),
                "rate": pa.array(rng.random(n_rows)),
                "name": pa.array(rng.choice(["p", "q"], n_rows)),
            }
        ),
        "shops": pa.table({"shop": ["Aldi", " citi", "DAO"], "size": [3.0, None, 5.0]}),
    }
