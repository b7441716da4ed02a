"""The JSON schema of plans takes every plan that is written, and nothing that no version reads."""

from __future__ import annotations

import copy
import itertools
import json
import math
import re
from collections.abc import Iterator
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import fastfeat as ff
from docs.demos import live_plan
from fastfeat import col
from fastfeat.aggregates import AGGREGATES
from fastfeat.demo import plan as flights_plan
from fastfeat.errors import ArtifactError, FastfeatError
from fastfeat.io.columns.types import UnsupportedType
from fastfeat.ir import dtypes
from fastfeat.ir.dtypes import DType
from fastfeat.ir.parameters import (
    BoolChoice,
    Either,
    FreeText,
    Parameter,
    ParameterType,
    Real,
    Several,
    TextChoice,
    Whole,
    is_of_type,
    is_valid,
)
from fastfeat.keep import canonical
from fastfeat.keep.float_patterns import floats_between
from fastfeat.plan.declare.bind import bind
from fastfeat.scalars import SCALARS
from fastfeat.steps.registry import STEPS
from fastfeat.trust.selfcheck.plans import contract_plans
from fastfeat_tests.keep.test_parameters_in_json import documents

TESTS = Path(__file__).resolve().parents[1]
ROWS = {**AGGREGATES, **STEPS, **SCALARS}
ODD = [
    *(None, True, False, 0, 1, -1, 7, 2**31, 2**70, -(2**70), 1.5, "", "a", "left", [], {}),
    *({"float": "nan"}, {"float": "inf"}, {"float": (-0.5).hex()}, {"float": (0.5).hex()}),
    *({"float": (1.0).hex()}, {"float": "1e3x"}, {"float": 0.5}, {"tuple": []}, {"tuple": [1]}),
    *({"tuple": [{"tuple": ["a", 1]}]}, {"tuple": [{"tuple": [None, 1]}]}, {"tuple": [{}]}),
    *(
        {"dtype": ["int8", None, None]},
        {"dtype": ["int7", None, None]},
        {"dtype": ["time", "h", 0]},
    ),
    *(
        {"date": "2024-01-01"},
        {"timedelta": [1, 2]},
        {"timedelta": [True, 0, 0]},
        {"x": 1},
        {"tuple": [{"float": "nan"}]},
    ),
    *({"tuple": [None]}, {"tuple": [{"dtype": ["int8", None, None]}]}, {"tuple": ["a", 1.5]}),
    *({"float": text} for text in ("1e3", "1", "0x1", "0x.8p0", "0X1P0", "infinity", "-nan")),
    *({"float": text} for text in ("0x1p-1", "0x1.80p+0", "-inf", " 0x1p0", "0x10p-4", "0x1p+01")),
]
"""Values as JSON: of each parameter some are right, and most are not."""


@cache
def validator() -> Draft202012Validator:
    return Draft202012Validator(ff.plan_schema())


@cache
def validator_of_nodes() -> Draft202012Validator:
    schema = ff.plan_schema()
    return Draft202012Validator({"$ref": "#/$defs/node", "$defs": schema["$defs"]})


@cache
def validator_of_function(function: str) -> Draft202012Validator:
    """Return the rules of nodes less those that begin with an `if` of other functions."""
    definitions = copy.deepcopy(ff.plan_schema()["$defs"])
    for kind, rules in definitions["node"]["dependentSchemas"].items():
        ifs = rules.get("allOf", [])
        rules["allOf"] = [one for one in ifs if function in one["if"]["properties"][kind]["enum"]]
        if not rules["allOf"]:
            del rules["allOf"]  # which may not be empty
    return Draft202012Validator({"$ref": "#/$defs/node", "$defs": definitions})


def nodes_are_valid(nodes: list[Any]) -> bool:
    return all(node_is_valid(json.dumps(node)) for node in nodes)


@cache  # of a plan that is altered most nodes are as before
def node_is_valid(text: str) -> bool:
    return validator_of_nodes().is_valid(json.loads(text))


def are_read(nodes: list[Any]) -> bool:
    try:
        canonical.nodes_from_json(nodes)
    except FastfeatError:
        return False
    return True


def more_plans() -> dict[str, ff.Plan]:
    x, week = col("x"), ff.window("7d", time="t", by="k")
    gone = ff.count(over=ff.ahead(10, time="n", by="k", end=60)) == 0
    return {
        "a demo": flights_plan.plan,
        "a demo of a stream": live_plan.plan,
        "delays": ff.Plan(
            {"a": x.mean(over=week)}, label="y", outcomes={"y": "1d", "z": {"t": 3}}, label_delay=2
        ),
        "a label ahead": ff.Plan({"a": x.log1p()}, label={"gone": gone}, keep=["id"]),
        "a table": ff.Plan({"a": ff.lookup("b", by="k").col("v")}),
        "one number": ff.Plan({"a": x, "b": col("d").cyclical(7)}, dtype="float32", row_id="id"),
        "constants": ff.Plan(
            {
                "a": x.fill_null(math.nan),
                "b": x.is_in([1, 2.5, 2**63]),
                "c": col("s").replace_strict({"a": 1, "b": None}, default=None),
                "d": x.cut([0, math.inf]),
            }
        ),
    }


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(ff.plan_schema())
    assert json.loads(json.dumps(ff.plan_schema())) == ff.plan_schema()


def test_plans_are_valid() -> None:
    for name, plan in {**contract_plans(), **more_plans()}.items():
        errors = validator().iter_errors(json.loads(plan.to_json()))
        told = [f"{name}: {error.json_path}: {error.message}" for error in errors]
        assert not told, told[:3]


@pytest.mark.parametrize("part", ["nodes", "format", "features", "label", "keep", "label_delay"])
def test_a_plan_without_a_part_or_with_another_is_not_valid(part: str) -> None:
    document = json.loads(ff.Plan({"a": col("x").abs()}).to_json())
    assert validator().is_valid(document)
    assert not validator().is_valid({k: v for k, v in document.items() if k != part})
    assert not validator().is_valid({**document, part: 1.5})
    assert not validator().is_valid({**document, "more": 1})


def test_a_function_that_is_not_known_is_not_valid() -> None:
    for nodes, _ in itertools.chain(*documents().values()):
        for kind in ("call", "aggregate"):
            if kind in nodes[-1]:
                assert not nodes_are_valid([*nodes[:-1], {**nodes[-1], kind: "absolute"}])


@pytest.mark.parametrize("function", sorted(documents()))
def test_other_parameters_are_not_valid(function: str) -> None:
    """Of another type, out of bounds, of another name, too many or too few."""
    rules = validator_of_function(function)  # of a hundred rules one is of it
    for nodes, place in documents()[function]:
        assert nodes_are_valid(nodes)
        assert rules.is_valid(nodes[place])
        for odd in variants(nodes[place], ROWS[function].parameters):
            assert rules.is_valid(odd) <= has_valid_parameters(odd), odd
        wrong = list(refused(nodes[place], ROWS[function].parameters))
        for odd in wrong:
            assert not rules.is_valid(odd), odd
        assert not nodes_are_valid(wrong[-1:])


@given(st.data())
def test_rules_of_one_function_say_of_it_what_all_rules_say(data: st.DataObject) -> None:
    node = data.draw(altered_nodes())[-1]
    function = node.get("call") or node.get("aggregate")
    if function is not None:
        assert validator_of_function(function).is_valid(node) == nodes_are_valid([node])


def variants(node: Any, parameters: tuple[Parameter, ...]) -> Iterator[Any]:
    """Yield a node with each parameter changed to each of some values, right ones and wrong."""
    for place, (name, _) in enumerate(node["params"]):
        (parameter,) = (one for one in parameters if one.name == name)
        for value in [*ODD, *map(canonical.value_to_json, edges(parameter.type))]:
            odd = copy.deepcopy(node)
            odd["params"][place][1] = value
            yield odd


def has_valid_parameters(node: Any) -> bool:
    parameters = {one.name: one for one in ROWS[node.get("call") or node["aggregate"]].parameters}
    try:
        given = {name: canonical.value_from_json(value) for name, value in node["params"]}
    except (FastfeatError, ValueError, TypeError):
        return False
    return all(is_valid(parameters[name], value) for name, value in given.items())


def edges(kind: ParameterType) -> list[Any]:
    """Return values of a type at its bounds, and others just beyond them."""
    match kind:
        case Whole(least, most):
            ends = [end for end in (least, most) if end is not None]
            return [*ends, *(end - 1 for end in ends), *(end + 1 for end in ends)]
        case Real(least, most):
            ends = [least, most, *([] if kind.other_than is None else [kind.other_than])]
            near = [math.nextafter(end, far) for end in ends for far in (-math.inf, math.inf)]
            return [*ends, *near]
        case TextChoice(words):
            return [*words, *(f"{word} " for word in words), words[0].upper()]
        case BoolChoice():
            return [True, False]
        case FreeText():
            return ["", "a"]
        case Several(of):
            return [(), *((value,) for value in edges(of))]
        case Either(types):
            return [value for one in types for value in edges(one)]
        case _:
            return []


def refused(node: Any, parameters: tuple[Parameter, ...]) -> Iterator[Any]:
    """Yield a node with parameters or arguments of which none is right."""
    known = {one.name: one for one in parameters}
    for place, (name, _) in enumerate(node["params"]):
        others = [*node["params"][:place], *node["params"][place + 1 :]]
        if not known[name].is_optional:
            yield {**node, "params": others}
        yield {**node, "params": sorted([*others, ["zz", node["params"][place][1]]], key=str)}
        yield {**node, "params": [*node["params"], node["params"][place]]}
    yield {**node, "params": [*node["params"], ["zz", 1]]}
    yield {**node, "args": [*node["args"], -1]}
    yield {**node, "args": [*node["args"], "x"]}
    yield {**node, "more": 1}
    n_args = getattr(ROWS[node.get("call") or node["aggregate"]], "n_args", None)
    if n_args is not None:
        yield {**node, "args": [*node["args"], 0]}
        yield {**node, "args": node["args"][1:]}


@pytest.mark.parametrize(
    "value",
    [
        {"dtype": ["int8", None, None]},
        *({"tuple": [odd]} for odd in (None, {"float": "nan"}, {"tuple": []}, {"tuple": ["a", 1]})),
    ],
)
def test_a_literal_that_no_operator_makes_is_refused(value: Any) -> None:
    """Neither a type nor a table of pairs, nor one in which something is missing."""
    x, call = {"column": "x"}, {"call": "ge", "args": [0, 1], "params": []}
    assert nodes_are_valid([x, {"literal": {"tuple": [1]}}, call])
    assert not nodes_are_valid([x, {"literal": value}, call])
    with pytest.raises(ArtifactError, match="is not a literal that this version knows"):
        canonical.nodes_from_json([x, {"literal": value}, call])


FLOATS = {
    **dict.fromkeys(("0x1.8p+0", "0x1.8p0", "0x1.80p-1", "0x1p-1", "-0x0p0", "-inf", "nan"), True),
    **dict.fromkeys(("1e3", "1", "0x1", "0x.8p0", "0X1P0", "0x10p-4"), False),
    **dict.fromkeys((" 0x1p0", "infinity", "-nan", "NaN"), False),
}
"""Texts that Python reads as floats in hexadecimal digits, and whether one is of a plan."""


@pytest.mark.parametrize("text", FLOATS)
def test_a_float_that_is_written_otherwise_is_refused(text: str) -> None:
    """What looks like a decimal number would be read as another number."""
    nodes = [{"literal": {"float": text}}]
    assert are_read(nodes) == nodes_are_valid(nodes) == FLOATS[text]


@st.composite
def altered_nodes(draw: st.DrawFn) -> list[Any]:
    """Return the nodes of a call, some of them with other parameters, arguments or functions."""
    function = draw(st.sampled_from(sorted(documents())))
    nodes, _ = draw(st.sampled_from(documents()[function]))
    altered = copy.deepcopy(nodes)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(altered) - 1))
        node = altered[place]
        if "literal" in node:
            node["literal"] = draw(st.sampled_from(ODD))
        elif "args" in node:
            what = draw(st.sampled_from(["params", "args", "function", "frame"]))
            if what == "params" and node["params"]:
                draw(st.sampled_from(node["params"]))[1] = draw(st.sampled_from(ODD))
            elif what == "args" and node["args"] and place:
                of = draw(st.integers(0, len(node["args"]) - 1))
                node["args"][of] = draw(st.integers(0, place - 1))
            elif what == "function":
                kind = "call" if "call" in node else "aggregate"
                node[kind] = draw(st.sampled_from(sorted(ROWS)))
            elif what == "frame" and "aggregate" in node:
                node["frame"] = draw(st.sampled_from(["groups", "groups_and_missing", "x"]))
    return altered


@given(altered_nodes())
def test_what_is_read_is_valid(nodes: list[Any]) -> None:
    """Whatever is done to a plan, its schema refuses nothing that would be read."""
    if are_read(nodes):
        assert nodes_are_valid(nodes)


TYPES = [
    *(dtypes.INT64, dtypes.FLOAT64, dtypes.UTF8, dtypes.BOOL, dtypes.DATE32, dtypes.NULL),
    *(dtypes.timestamp("us", "UTC"), dtypes.duration("us"), dtypes.time("ns"), dtypes.BINARY),
    *(dtypes.list_of(dtypes.INT64), dtypes.list_of(dtypes.UTF8), dtypes.DECIMAL, dtypes.UINT64),
]


@given(altered_nodes(), st.lists(st.sampled_from(TYPES), min_size=8, max_size=8))
def test_a_plan_is_told_what_is_wrong_with_it(nodes: list[Any], types: list[DType]) -> None:
    """Nothing but errors of this library comes out, though binding catches no other."""
    names = sorted({node["column"] for node in nodes if "column" in node})
    schema: dict[str, DType | UnsupportedType] = dict(zip(names, cycle(types), strict=False))
    plan = json.loads(ff.Plan({"f": col("x")}, outcomes=["y"]).to_json())
    document = {**plan, "nodes": nodes, "features": [["f", [len(nodes) - 1], [""]]]}
    try:
        read = ff.Plan.from_json(json.dumps(document))
        bind(list(read.declaration.nodes.values()), schema, {"b": schema, "rows": schema})
    except FastfeatError:
        pass


@pytest.mark.parametrize("n_levels", [3, 100, 900, 100_000])
def test_a_text_of_many_levels_is_refused(n_levels: int) -> None:
    document, tuples = ff.Plan({"a": col("x").is_in([1])}).to_json(), '{"tuple":['
    assert document.count('{"tuple":[1]}') == 1
    with pytest.raises(ArtifactError):
        ff.Plan.from_json(
            document.replace('{"tuple":[1]}', tuples * n_levels + "1" + "]}" * n_levels)
        )


KINDS = [
    Real(0.0, 1.0),
    Real(0.0, 1.0, above=True),
    Real(0.0, 1.0, above=True, below=True),
    Real(0.0, math.inf, above=True, below=True, other_than=1.0),
    Real(1e-150, 1e150),
    Real(0.0, 1e300),
    Real(0.1, 0.3),
    Real(1.25, 1.75),
    Real(5e-324, 3.5),
    Real(0.0, math.inf),
    Real(3.0, 3.0),
]


@given(
    kind=st.sampled_from(KINDS),
    x=st.floats(allow_nan=False) | st.floats(0, 2) | st.sampled_from([1e-310, 2.0**-1022, 1e150]),
    steps=st.integers(-2, 2),
    is_near=st.booleans(),
)
def test_patterns_of_floats_are_bounds(kind: Real, x: float, steps: int, is_near: bool) -> None:
    if is_near:
        x = kind.least if x < 1 else kind.most
        for _ in range(abs(steps)):
            x = math.nextafter(x, math.copysign(math.inf, steps))
    pattern = re.compile(floats_between(kind))
    assert bool(pattern.search(x.hex())) == is_of_type(kind, x)
    shorter = re.sub(r"\.?0*p\+?", "p", x.hex())
    assert bool(pattern.search(shorter)) == is_of_type(kind, x)


def test_names_and_words_are_told() -> None:
    text = json.dumps(ff.plan_schema())
    assert all(f'"{name}"' in text for name in ROWS)
    assert all(f'"{word}"' in text for word in ("midpoint", "periodic", "if_binary", "neither"))


def test_plans_of_the_version_before_are_valid() -> None:
    written = sorted((TESTS / "compatibility" / "fixtures" / "plans").glob("*.json"))
    assert written
    for path in written:
        errors = validator().iter_errors(json.loads(path.read_text("utf-8")))
        told = [f"{path.name}: {error.json_path}: {error.message}" for error in errors]
        assert not told, told[:3]
