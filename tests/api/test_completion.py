"""What tab completion and `help` offer: all that a user may call, and no internals."""

from __future__ import annotations

import inspect
import pickle
import re
from typing import Any

import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.operators.missing import REFUSED

PLAN = ff.Plan({"a": col("x") * 2}, label="y")
FITTED = PLAN.fit({"x": [1.0, 2.0], "y": [0, 1]}, backend="reference")
OBJECTS: dict[str, Any] = {
    "plan": PLAN,
    "fitted": FITTED,
    "expression": col("x"),
    "dt": col("x").dt,
    "str": col("x").str,
    "list": col("x").list,
    "lookup": ff.lookup("t", by="k"),
    "when": ff.when(col("x") > 0),
    "then": ff.when(col("x") > 0).then(1),
    "window": ff.window(time="t"),
}
NOT_FOR_USERS = {"expression": {*REFUSED}}
ATTRIBUTES = {
    "plan": {
        *("features", "label", "outcomes", "dtype", "keep", "label_delay", "known"),
        *("known_tables", "known_clocks", "row_id", "codes", "columns", "late"),
    },
    "fitted": {
        *("plan", "schema", "feature_names", "inputs", "n_rows", "contract"),
    },
    "expression": {"dt", "str", "list"},
}


def offered(thing: object) -> set[str]:
    """Return the public names that tab completion offers."""
    return {name for name in dir(thing) if not name.startswith("_")}


@pytest.mark.parametrize("name", OBJECTS)
def test_every_method_is_offered_and_of_attributes_those_that_users_read(name: str) -> None:
    thing = OBJECTS[name]
    cls = type(thing)
    names = [n for n in dir(cls) if not n.startswith("_")]
    assert all(hasattr(cls, n) for n in names)  # which puts a method in its place
    kinds = {n: inspect.getattr_static(cls, n) for n in names}
    functions = {n for n, kind in kinds.items() if inspect.isfunction(kind)}
    methods = functions | {n for n, kind in kinds.items() if isinstance(kind, staticmethod)}
    wanted = methods - NOT_FOR_USERS.get(name, set()) | ATTRIBUTES.get(name, set())
    assert offered(thing) == wanted
    assert all(hasattr(thing, one) for one in wanted)
    assert all(inspect.getdoc(getattr(cls, one)) for one in wanted & methods)


def test_the_rest_is_as_it_was() -> None:
    assert "__init__" in dir(PLAN)
    assert PLAN.declaration.nodes  # an internal that is not offered is there
    assert "_digest" in dir(ff.Plan)
    assert pickle.loads(pickle.dumps(FITTED)) == FITTED


def test_help_names_all_there_is_by_task() -> None:
    assert ff.__doc__ is not None
    index = ff.__doc__.partition("by task.")[2]
    assert set(re.findall(r"ff\.(\w+)(?= |:|$)", index, re.MULTILINE)) >= {*ff.__all__}
    named = set(re.findall(r" \.(\w+)", index))
    assert named == offered(col("x"))
    assert all(hasattr(ff, name) for name in re.findall(r"ff\.(\w+)", index))
