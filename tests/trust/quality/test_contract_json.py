"""Contracts as JSON: readable, the same again when read, and refused where altered."""

from __future__ import annotations

import copy
import datetime as dt
import json
import pickle
from typing import Any

import pytest

import fastfeat as ff
from fastfeat import col

CONTRACT = ff.Contract(
    {
        "positive": col("x") > 0,
        "few": ff.Rule(col("x") < 0.1, on_violation="warn", at_most=0.29),
        "fresh": col("now") - col("t").max() < dt.timedelta(days=1),
        "unique": col("id").count(by="id") == 1,
    },
    types={"x": "float64", "t": "timestamp[us, UTC]"},
    clock="now",
)


def test_json_gives_the_same_contract_again() -> None:
    again = ff.Contract.from_json(CONTRACT.to_json())
    assert again == CONTRACT
    assert hash(again) == hash(CONTRACT)
    assert again.to_json() == CONTRACT.to_json()
    assert (again.clock, again.rules["few"].at_most) == ("now", 0.29)
    assert again.types == CONTRACT.types
    assert ff.Contract({"positive": col("x") > 1}) != ff.Contract({"positive": col("x") > 0})


def test_copies_and_pickles_are_the_contract() -> None:
    assert copy.deepcopy(CONTRACT) is copy.copy(CONTRACT) is CONTRACT
    assert pickle.loads(pickle.dumps(CONTRACT)) == CONTRACT
    fitted = ff.Plan({"x": col("x") + 1}).fit(
        {"x": [1.0]}, contract=ff.Contract({"positive": col("x") > 0})
    )
    assert pickle.loads(pickle.dumps(fitted)).contract == fitted.contract


def test_each_rule_stands_on_a_line_of_its_own() -> None:
    lines = CONTRACT.to_json().splitlines()
    assert lines[1] == ' "contract": 1,'
    assert lines[5].strip().startswith('{"name": "positive", "says": "col(\'x\') > 0"')


def _altered(**parts: Any) -> str:
    return json.dumps(json.loads(CONTRACT.to_json()) | parts)


def _with_rule(**parts: Any) -> str:
    rules = json.loads(CONTRACT.to_json())["rules"]
    return _altered(rules=[rules[0] | parts, *rules[1:]])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        _altered(contract=2),
        _altered(contract=True),
        _altered(further=1),
        _altered(nodes=[]),
        _altered(nodes=[{"call": "system", "args": [], "params": []}]),
        _altered(rules=[1]),
        _altered(rules={}),
        _altered(rules=[], types={}),
        _altered(types={"x": "int65"}),
        _altered(types=["x"]),
        _altered(types=None),
        _altered(clock=1),
        _altered(clock=None, rules=5),
        _with_rule(node=-1),
        _with_rule(node=True),
        _with_rule(node=999),
        _with_rule(at_most=1),
        _with_rule(at_most="0"),
        _with_rule(on_violation="delete"),
        _with_rule(on_violation=[]),
        _with_rule(name=""),
        _with_rule(name="few"),
        _with_rule(name=None),
        _with_rule(says=1),
        _with_rule(more=1),
    ],
)
def test_what_is_no_contract_is_refused(text: str) -> None:
    with pytest.raises(ff.FastfeatError):
        ff.Contract.from_json(text)


def test_rules_of_other_rows_are_refused() -> None:
    nodes = [{"column": "x", "table": "t"}]
    with pytest.raises(ff.errors.ArtifactError, match="instead of per row of the data"):
        ff.Contract.from_json(
            _altered(nodes=nodes, clock=None, rules=[json.loads(_with_rule(node=0))["rules"][0]])
        )
