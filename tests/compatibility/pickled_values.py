"""Values that users may pickle, by name, and what two equal ones of them have in common."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pyarrow as pa

import fastfeat as ff
from fastfeat import col
from fastfeat.integrations.held import Held
from fastfeat.integrations.leak_report import LeakReport, Score
from fastfeat.live.audit.replay_report import Replay

ROWS = {"x": [1.0, None, 4.0, 2.0] * 3, "s": ["a", "b", None, "a"] * 3, "y": [0, 1, 1, 0] * 3}
PLAN = ff.Plan(
    {
        "scaled": col("x").log1p().standard_scale(),
        "code": col("s").ordinal_encode(),
        "by target": col("s").target_encode(target="y"),
        "big": ff.when(col("x") > 2).then(1.0).otherwise(None),
    },
    label="y",
)


def _fitted() -> ff.FittedPlan:
    return PLAN.fit(ROWS, backend="reference")


def _fold() -> ff.Fold:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return next(iter(PLAN.cross_fit(ROWS, 3, backend="reference")))


def _window() -> ff.Expr:
    return col("x").mean(over=ff.window("1h", time="t", by="s"))


def _report() -> LeakReport:
    score = Score("x", sees_late=True, score=0.5, error=0.125, is_leak=False)
    return LeakReport("AUC", (score,), score, 0.5, 0.5, ("x",), "all rows", 9, 2, (), ())


def _features() -> Any:
    from fastfeat.integrations.sklearn import Features

    return Features(PLAN).fit(ROWS, ROWS["y"])


VALUES: dict[str, Callable[[], Any]] = {
    "plan": lambda: PLAN,
    "fitted plan": _fitted,
    "plan class": lambda: ff.Plan,
    "fitted plan class": lambda: ff.FittedPlan,
    "fold": _fold,
    "contract": lambda: ff.Contract({"positive": col("x") > 0}, types={"x": "float64"}),
    "expression": lambda: (col("x") + 1.5).clip(0, 9).fill_null(0.0).alias("z"),
    "statistic": lambda: (col("x") - col("x").mean(by="s")) / col("x").std(),
    "windowed": _window,
    "window": lambda: ff.window("1h", time="t", by="s"),
    "looked up": lambda: ff.lookup("table", by="s").col("value"),
    "table": lambda: ff.lookup("table", by="s"),
    "half a choice": lambda: ff.when(col("x") > 2),
    "choice": lambda: ff.when(col("x") > 2).then(1.0),
    "text": lambda: col("s").str,
    "of text": lambda: col("s").str.len_chars(),
    "times": lambda: col("t").dt,
    "of times": lambda: col("t").dt.hour(),
    "lists": lambda: col("tags").list,
    "of lists": lambda: col("tags").list.len(),
    "types": lambda: _fitted().inputs,
    "report of a leak test": lambda: _report(),
    "replay": lambda: Replay(3, 5, bytes(8), None),
    "held": lambda: Held({"t": pa.table({"x": [1, 2]})}),
}
if find_spec("sklearn") is not None:
    VALUES["scikit-learn's"] = lambda: _features()
FUNCTIONS = [name for name in ff.__all__ if inspect.isfunction(getattr(ff, name))]
ERRORS = [
    name
    for name, kind in vars(ff.errors).items()
    if isinstance(kind, type) and issubclass(kind, BaseException) and hasattr(kind, "__module__")
    if kind.__module__ == ff.errors.__name__
]
VALUES |= {f"ff.{name}": lambda name=name: getattr(ff, name) for name in FUNCTIONS}
VALUES |= {f"ff.errors.{n}": lambda n=n: getattr(ff.errors, n)("of x") for n in ERRORS}


def plain(value: Any) -> Any:
    """Return what two equal values have in common."""
    match value:
        case BaseException():
            return type(value), value.args
        case ff.Fold():
            return plain(value.fitted), repr(value)
        case ff.Plan() | ff.Contract():
            return value.to_json()
        case Held():
            return value.data
        case _ if hasattr(value, "fitted_"):
            return type(value), value.plan, value.fitted_
        case type() | dict() | ff.FittedPlan():
            return value
        case _ if inspect.isroutine(value):
            return value
        case _:
            return type(value), repr(value)
