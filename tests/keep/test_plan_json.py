"""Plans as JSON: the same plan comes back, and what was altered is refused, never run."""

from __future__ import annotations

import datetime
import json
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col, lit
from fastfeat.errors import ArtifactError, InvalidPlan, Leakage

NOON = datetime.datetime(2024, 3, 31, 12, tzinfo=datetime.UTC)
PLAN = ff.Plan(
    {
        "log": col("x").log1p().standard_scale(),
        "turn": col("i").cyclical(7),
        "code": col("s").replace_strict({"a": 1.5, "b": -0.0}, default=None),
        "cast": col("x").cast("int8", strict=False),
        "bins": col("x").qcut(4),
        "late": col("t") > lit(NOON),
        "since": col("t") - datetime.timedelta(days=-3, microseconds=5),
        "day": col("t").dt.truncate("1d", tz="Asia/Kathmandu"),
        "either": ff.when(col("b")).then(float("inf")).otherwise(2**63),
        "empty": ff.coalesce(col("x"), None, True),
    },
    label={"y": col("target") > 15},
    outcomes=["later"],
    dtype="float32",
    keep=["id"],
)


def test_a_plan_comes_back_from_json_as_it_was():
    text = PLAN.to_json()
    again = ff.Plan.from_json(text)
    assert again.to_json() == text
    assert ff.Plan.from_json(text.encode()).to_json() == text
    assert (
        again.declaration.nodes == PLAN.declaration.nodes
    )  # nodes are interned: equal expressions are one object
    assert again.declaration.label_nodes == PLAN.declaration.label_nodes
    assert (again.dtype, again.keep, again.outcomes) == (PLAN.dtype, PLAN.keep, PLAN.outcomes)


def test_the_text_is_canonical():
    one = ff.Plan({"a": col("x") + 1, "b": (col("x") + 1) * 2})
    shared = col("x") + 1
    other = ff.Plan({"a": shared, "b": shared * 2})
    assert one.to_json() == other.to_json()
    document = json.loads(one.to_json())
    assert one.to_json() == json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert sum("column" in node for node in document["nodes"]) == 1


@pytest.mark.parametrize("label", [None, "y"])
def test_a_label_comes_back(label):
    plan = ff.Plan({"a": col("x")}, label=label)
    assert ff.Plan.from_json(plan.to_json()).label == label


def test_a_plan_that_leaks_is_refused_from_json_too():
    document = json.loads(ff.Plan({"a": col("x")}).to_json())
    document["outcomes"] = ["x"]
    with pytest.raises(Leakage, match="known only after the prediction"):
        ff.Plan.from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not the JSON of a plan"),
        ("[]", "no format number"),
        ("{}", "no format number"),
        ("nonsense", "not the JSON of a plan"),
        ("[" * 100_000, "not the JSON of a plan"),
        ('{"format": 2}', "format 2; this version reads 1. Update fastfeat"),
        ('{"format": true}', "format True"),
        ('{"format": 1}', "its entry 'dtype' is missing"),
        ("\ud800", "not the JSON of a plan"),
    ],
)
def test_what_is_no_plan_is_refused(text, message):
    with pytest.raises(ArtifactError, match=message):
        ff.Plan.from_json(text)


def altered(**parts: Any) -> str:
    """Return the JSON of a small plan with some of its parts replaced."""
    document = json.loads(ff.Plan({"a": col("x") + 1}).to_json())
    return json.dumps(document | parts)


COLUMN = {"column": "x"}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"more": 1}, "the plan cannot be read: its entry 'more' is unknown"),
        ({"nodes": 5}, "list of nodes"),
        ({"nodes": [5]}, "not a node"),
        ({"nodes": [COLUMN | {"code": "import os"}]}, "not a node"),
        ({"nodes": [{"call": "exec", "args": [], "params": []}]}, "no function 'exec'"),
        ({"nodes": [{"aggregate": "eval", "args": [0], "params": []}]}, "no aggregate 'eval'"),
        ({"nodes": [{"call": "neg", "args": [0], "params": []}]}, "earlier nodes"),
        ({"nodes": [COLUMN, {"call": "neg", "args": [-1], "params": []}]}, "earlier nodes"),
        ({"nodes": [COLUMN, {"call": "neg", "args": [True], "params": []}]}, "earlier nodes"),
        ({"nodes": [{"literal": 1.5}]}, "not a value"),
        ({"nodes": [{"literal": {"float": "one"}}]}, "damaged"),
        ({"nodes": [{"literal": {"float": "0x1p9999999"}}]}, "damaged"),
        ({"nodes": [{"literal": {"date": "soon"}}]}, "damaged"),
        ({"nodes": [{"literal": {"timedelta": [10**30, 0, 0]}}]}, "damaged"),
        ({"nodes": [{"literal": {"dtype": ["money", None, None]}}]}, "not a type"),
        ({"nodes": [{"literal": {"dtype": ["timestamp", "min", None]}}]}, "not a type"),
        ({"nodes": [{"literal": {"dtype": ["int8", None, "UTC"]}}]}, "not a type"),
        (
            {"nodes": [COLUMN, {"call": "neg", "args": [0], "params": [["b", 1], ["a", 1]]}]},
            "pairs in order of name",
        ),
        ({"features": [["a", [0], [""]], ["a", [0], [""]]]}, "two features have the name 'a'"),
        ({"features": [["a", [0, 0], [""]]]}, "has 2 columns"),
        ({"features": [["a", [9], [""]]]}, "node that does not exist"),
        ({"features": [["a", [0], [None]]]}, "has 1 column,"),
        ({"features": [["a", [], []]]}, "not a feature"),
        ({"features": {"a": [0]}}, "not a feature"),
    ],
)
def test_an_altered_part_is_refused(parts, message):
    with pytest.raises(ArtifactError, match=message):
        ff.Plan.from_json(altered(**parts))


@pytest.mark.parametrize(
    ("parts", "kind", "message"),
    [
        ({"features": []}, InvalidPlan, "at least one feature"),
        ({"dtype": "float8"}, InvalidPlan, "one of 'float16', 'bfloat16'"),
        ({"keep": "a"}, InvalidPlan, "list of column names"),
        ({"keep": ["a"]}, InvalidPlan, "name of another output"),
        ({"keep": ["y"], "outcomes": ["y"]}, Leakage, "keep='y' is known only after the moment"),
        ({"label": 5}, InvalidPlan, "label must be"),
        ({"label": {"y": 0}}, InvalidPlan, "label must be"),
        ({"label": "x"}, Leakage, "known only after the prediction"),
        ({"label_delay": "1d"}, InvalidPlan, "label_delay"),
        ({"outcomes": None}, InvalidPlan, "list of column names"),
    ],
)
def test_what_no_plan_may_have_is_the_error_of_a_plan(parts, kind, message):
    with pytest.raises(kind, match=message):
        ff.Plan.from_json(altered(**parts))


def test_a_value_nested_without_end_is_refused():
    value: Any = 1
    for _ in range(400):
        value = {"tuple": [value]}
    with pytest.raises(ArtifactError):
        ff.Plan.from_json(altered(nodes=[{"literal": value}, {"literal": 1}]))


def test_a_plan_with_the_most_that_operators_take_can_be_read():
    x = col("x")
    plan = ff.Plan(
        {
            "ranks": x.quantile_transform(n_quantiles=100_000),
            "bins": x.qcut(100_000),
            "even": x.k_bins_discretize(n_bins=100_000, strategy="uniform"),
            "power": x.power_transform(method="box-cox"),
            "spline": x.spline_transform(n_knots=1000, degree=10, extrapolation="periodic"),
            "spread": x.std(ddof=2**70) + x.quantile(0) + x.quantile(1),
        }
    )
    assert ff.Plan.from_json(plan.to_json()).to_json() == plan.to_json()


ODD_AGGREGATES = [
    ("quantile", [["interpolation", "foo"], ["q", {"float": "0x1p-1"}]]),
    ("quantile", [["interpolation", "linear"], ["q", -1]]),
    ("quantile", [["q", {"float": "nan"}]]),
    ("std", [["ddof", -5]]),
    ("var", [["ddof", {"float": "0x1p-1"}]]),
    ("skew", [["bias", 1]]),
    ("kurtosis", [["bias", True]]),
    ("even_quantiles", [["n_quantiles", 10**12]]),
    ("quantiles", [["probabilities", {"tuple": [2]}]]),
    ("evenly_spaced", [["n_points", 1]]),
    ("evenly_spaced", [["n_points", 10**12]]),
    ("yeo_johnson_lambda", [["power", 1]]),
    ("mean", [["q", 1]]),
]


@pytest.mark.parametrize(("function", "params"), ODD_AGGREGATES)
def test_parameters_that_no_operator_gives_to_an_aggregate_are_refused(function, params):
    odd = {"aggregate": function, "args": [0], "params": params}
    with pytest.raises(ArtifactError, match="cannot take the parameters"):
        ff.Plan.from_json(altered(nodes=[{"column": "x"}, odd]))


@pytest.mark.parametrize(
    ("call", "params", "more"),
    [
        ("bin", [], [{"literal": {"tuple": [10**400]}}]),
        ("bin_inside", [], [{"literal": {"tuple": [10**400]}}]),
    ],
)
def test_numbers_that_no_operator_takes_are_an_error_of_the_plan(call, params, more):
    nodes = [COLUMN, *more]
    made = {"call": call, "args": list(range(len(nodes))), "params": params}
    with pytest.raises(ArtifactError, match=f"the arguments of '{call}' do not fit together"):
        ff.Plan.from_json(altered(nodes=[*nodes, made], features=[["f", [len(nodes)], [""]]]))


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x", "int8", "add", "nan"]),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=3), parts),
    max_leaves=4,
)


def places(document: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) of a JSON document."""
    keys = document.keys() if isinstance(document, dict) else range(len(document))
    found: list[tuple[Any, Any]] = []
    for key in keys:
        found.append((document, key))
        if isinstance(document[key], dict | list):
            found += places(document[key])
    return found


TABLE = pa.table(
    {
        "x": [1.0, 2.0, None],
        "i": [1, 2, 3],
        "s": ["a", "b", None],
        "b": [True, None, False],
        "t": pa.array([NOON, None, NOON], pa.timestamp("us", "UTC")),
        "id": [1, 2, 3],
    }
)


@pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
@settings(max_examples=settings().max_examples * 4)
@given(st.data())
def test_a_plan_altered_at_random_is_refused_or_is_another_plan(data):
    document = json.loads(PLAN.to_json())
    for _ in range(data.draw(st.integers(1, 2))):
        container, key = data.draw(st.sampled_from(places(document)))
        match data.draw(st.sampled_from(["replace", "remove", "repeat", "swap"])):
            case "replace":
                container[key] = data.draw(ANY_JSON)
            case "remove":
                del container[key]
            case "repeat" if isinstance(container, list):
                container.insert(key, container[key])
            case _ if isinstance(container, list):
                other = data.draw(st.integers(0, len(container) - 1))
                container[key], container[other] = container[other], container[key]
            case _:
                container[key] = [container[key]]
    try:
        plan = ff.Plan.from_json(json.dumps(document))
    except ff.FastfeatError:
        return
    assert ff.Plan.from_json(plan.to_json()).to_json() == plan.to_json()
    with suppress(ff.FastfeatError):
        plan.fit(TABLE, backend="reference").transform(TABLE, backend="reference")
