"""What is done with live states, and what they answer."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pyarrow as pa

import fastfeat as ff
from fastfeat_tests.compatibility.compatible_plans import live
from fastfeat_tests.compatibility.compatible_rows import table, tables

KEPT = 20
LABELS = ("delay", "grade")


def fitted_plans() -> dict[str, ff.FittedPlan]:
    """Return the plans of states, fitted on the training rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ff.FastfeatWarning)
        return {
            name: plan.fit(table("train"), history="batch", tables=tables())
            for name, plan in live().items()
        }


def arriving() -> pa.Table:
    """Return the later rows in the order of time, without what is not known when they arrive."""
    rows = table("later")
    return rows.filter(rows["t"].is_valid()).sort_by("t").drop_columns(list(LABELS))


def begin(plans: dict[str, ff.FittedPlan], path: Path | None) -> ff.Live:
    """Return a state with a past, in a file: of one plan, or of several."""
    past: dict[str, Any] = {"history": table("train"), "tables": tables(), "path": path}
    if len(plans) == 1:
        return next(iter(plans.values())).online(**past, late="insert", keep="1h")
    return ff.online(plans, **past, late="insert")


def states(plans: dict[str, ff.FittedPlan]) -> dict[str, dict[str, ff.FittedPlan]]:
    """Return the plans of each state."""
    return {"one": {"first": plans["first"]}, "several": plans}


def work(state: ff.Live, *, forgets: bool) -> None:
    """Do everything that is written: rows, outcomes, tables, what is corrected and forgotten.

    Args:
        state: that is changed.
        forgets: whether a card is forgotten, with what was written until then.
    """
    rows = arriving()
    state.process(rows.slice(0, 8), source="events:0", first=0, end=8)
    state.process(rows.slice(8, 1))
    state.update(rows.slice(9, 3), source="events:0", first=8, end=11)
    known = rows.slice(0, 3).select(["id"])
    state.outcomes(known.append_column("delay", pa.array([0.5, 1.5, 2.5])))
    state.update_table("shops", {"shop": ["d"], "size": [7.5], "kind": ["mall"], "grade": [1]})
    state.correct(rows.slice(4, 1).set_column(rows.column_names.index("x"), "x", pa.array([0.25])))
    if forgets:
        state.forget("card", 7)
    state.process(rows.slice(12, KEPT - 12), source="events:0", first=11, end=19)


def answers(state: ff.Live) -> dict[str, pa.Table]:
    """Return what a state answers to the rows that came next, by plan."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ff.FastfeatWarning)
        found = state.features(arriving().slice(KEPT))
    answer = found if isinstance(found, dict) else {"": found}
    return {name: features.replace_schema_metadata(None) for name, features in answer.items()}


def told_of(state: ff.Live) -> dict[str, Any]:
    """Return what a state tells of itself, and why it answers a row as it does."""
    history = state.history()
    return {
        "plans": list(state.plans),
        "counts": {name: int(count) for name, count in state.counts.items()},
        "sizes": str(state.sizes),
        "offsets": {name: repr(offset) for name, offset in state.offsets.items()},
        "ids": [] if history is None else sorted(history["id"].to_pylist()),
        "explained": str(state.explain(arriving().slice(KEPT, 1))),
    }


def opened(plans: dict[str, ff.FittedPlan], path: Path) -> AbstractContextManager[ff.Live]:
    """Return a state that a file holds."""
    if len(plans) == 1:
        return closing(next(iter(plans.values())).online(path=path))
    return closing(ff.online(plans, path=path))
