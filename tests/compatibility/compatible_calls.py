"""Calls as source text, and what comes of each: a result as it is shown, or an error."""

from __future__ import annotations

import datetime
import json
import re
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import fastfeat as ff
from fastfeat import col
from fastfeat_tests.compatibility import compatible_plans
from fastfeat_tests.compatibility.compatible_rows import table, tables
from fastfeat_tests.compatibility.compatible_states import begin, fitted_plans

Outcome = tuple[str, str]
"""The name of an error and its text; of a result no name, and what it is shown as."""
Grouped = dict[str, dict[str, list[str]]]
"""Calls by their outcome: by the name of the error, and by its text."""
ACCEPTED = ""
MOST_SHOWN = 160


@cache
def names() -> dict[str, Any]:
    """Return the names that calls are written with."""
    plans = fitted_plans()
    train, later = table("train"), table("later")
    encoders = compatible_plans.encoders()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ff.FastfeatWarning)
        fitted = encoders.fit(train, tables=tables())
    return {
        "ff": ff,
        "col": col,
        "datetime": datetime,
        "WEEK": ff.window("7d", time="t", by="card"),
        "PAST": ff.window(time="t", by="card"),
        "ROWS_OF_TABLE": ff.window("7d", time="t", by="card", table="payments"),
        "AHEAD": ff.ahead("2d", time="t", by="card"),
        "SHOPS": ff.lookup("shops", by="shop"),
        "train": train,
        "later": later,
        "row": later.slice(0, 1).to_pylist()[0],
        "tables": tables(),
        "plan": ff.Plan({"a": col("x").standard_scale()}, label={"late": col("delay") > 1}),
        "windows": ff.Plan({"w": col("x").mean(over=ff.window("7d", time="t", by="card"))}),
        "encoders": encoders,
        "fitted": fitted,
        "served": plans["first"],
        "states": plans,
        "live": begin({"first": plans["first"]}, None),
        "bound": bound,
        "made": made,
    }


def bound(expression: Any) -> str:
    """Return the types of the features of an expression over the training rows."""
    schema = ff.Plan({"f": expression}).schema(table("train").schema, tables=tables())
    return ", ".join(f"{field.name}: {field.type}" for field in schema)


def made(**features: Any) -> ff.Plan:
    """Return a plan of features whose target is known only afterwards."""
    return ff.Plan(features, outcomes=["delay", "grade"])


def outcome(call: str) -> Outcome:
    """Return what comes of a call, our classes without their modules."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ACCEPTED, _shown(eval(call, dict(names())))
    except Exception as error:
        return type(error).__name__, _without_modules(str(error))


def is_ours(found: Outcome) -> bool:
    """Return whether an outcome is a result, or an error that `ff.errors` has."""
    return found[0] == ACCEPTED or hasattr(ff.errors, found[0])


def _shown(result: Any) -> str:
    shown = result if isinstance(result, str) else repr(result)
    return _without_modules(shown)[:MOST_SHOWN]


def _without_modules(text: str) -> str:
    """Return a text in which our classes are named without the module that they stand in."""
    return re.sub(r"\bfastfeat\.[a-z_.]*\.(?=[A-Z])", "", text)


def altered_outcome(alteration: str) -> Outcome:
    """Return what comes of reading a plan whose text was altered.

    Args:
        alteration: JSON: the name of a plan, a node, a parameter and its value; without a value
            the parameter is left out.
    """
    name, node, parameter, *value = json.loads(alteration)
    document = json.loads(_plan_text(name))
    params = [pair for pair in document["nodes"][node]["params"] if pair[0] != parameter]
    params += [[parameter, given] for given in value]
    document["nodes"][node]["params"] = sorted(params)
    try:
        plan = ff.Plan.from_json(json.dumps(document))
    except ff.FastfeatError as error:
        return type(error).__name__, str(error)
    return ACCEPTED, str(len(plan.features))


@cache
def _plan_text(name: str) -> str:
    return compatible_plans.PLANS[name]().to_json()


def alterations() -> Iterator[str]:
    """Yield an alteration of every parameter of every function that the plans have."""
    values: list[Any] = [None, True, -1, 0, {"float": "0x1.8p+0"}, "nonsense"]
    seen: set[tuple[str, str]] = set()
    for name in compatible_plans.PLANS:
        for number, node in enumerate(json.loads(_plan_text(name))["nodes"]):
            function = node.get("call") or node.get("aggregate")
            if function is None:
                continue
            if (function, "") not in seen:
                seen.add((function, ""))
                yield json.dumps([name, number, "nonsense", 1])
            for parameter, _ in node["params"]:
                if (function, parameter) not in seen:
                    seen.add((function, parameter))
                    yield json.dumps([name, number, parameter])
                    for value in values:
                        yield json.dumps([name, number, parameter, value])


def grouped(outcomes: dict[str, Outcome]) -> Grouped:
    """Return calls by what comes of them."""
    found: Grouped = {}
    for call, (error, text) in outcomes.items():
        found.setdefault(error, {}).setdefault(text, []).append(call)
    return found


def each_call(recorded: Grouped) -> dict[str, Outcome]:
    """Return the outcome of each call."""
    return {
        call: (error, text)
        for error, texts in recorded.items()
        for text, calls in texts.items()
        for call in calls
    }
