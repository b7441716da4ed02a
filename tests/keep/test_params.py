"""Parameters of plans: another value gives the plan that would be written with it."""

from __future__ import annotations

import copy
import datetime
import inspect
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.calls.named_values import MAX_DEPTH, param_value, plain_value
from fastfeat.calls.recording import RECORDED
from fastfeat.errors import ArtifactError, FastfeatError, InvalidPlan, TypeMismatch
from fastfeat.operators import OPERATORS
from fastfeat_tests.plan.plan_tables import differing

API: Any = ff


def without_params(plan: ff.Plan) -> str:
    """Return the JSON of a plan as it is written without parameters."""
    document = json.loads(plan.to_json())
    del document["params"]
    return ff.Plan.from_json(json.dumps(document)).to_json()  # nodes of calls alone are left out


def written(value: Callable[[str, Any], Any], values: dict[str, Any]) -> ff.Plan:
    """Return a plan with a value in every kind of place, each by what `value` makes of it."""
    p = {name: value(name, default) for name, default in values.items()}
    week = ff.window(p["last"], by="k", time="t", rows=p["rows"], offset=p["offset"])
    x = col("x")
    smoothed = ff.cross("k", "s").target_encode("y", smooth=p["smooth"], folds=p["folds"])
    return ff.Plan(
        {
            "clipped": x.clip(p["low"], p["top"]).mean(over=week).standard_scale(),
            "smoothed": smoothed,
            "bin": x.qcut(p["q"]),
            "cut": x.cut(p["edges"]),
            "quantile": x - x.quantile(p["share"], by=["s"]),
            "code": col("s").ordinal_encode(min_frequency=p["frequency"]),
            "sum": p["factor"] * x + p["added"],
            "large": ff.when(x > p["threshold"]).then(p["yes"]).otherwise(ff.lit(p["no"])),
            "hour": col("t").dt.truncate(p["every"]).dt.epoch(),
            "hashed": col("s").str.slice(0, p["length"]).hash(p["n_buckets"]),
            "poly": ff.polynomial_features("x", "z", degree=p["degree"]),
            "sessions": ff.session_id(p["gap"], over=ff.window(by="k", time="t")),
            "mapped": col("s").replace_strict(p["mapping"], default=0),
            "cast": x.cast(p["type"], strict=False),
            "known": ff.asof("rates", by="k", time="t", delay=p["delay"]).col("rate"),
            "plain": x.log1p(),
        },
        label={"y": col("late") > p["label"]},
        label_delay=p["label_delay"],
        dtype=p["dtype"],
    )


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "last": st.sampled_from(["7d", "30d", datetime.timedelta(hours=5)]),
    "rows": st.integers(1, 5) | st.none(),
    "offset": st.sampled_from(["2d", "3d"]),
    "smooth": st.floats(0, 100) | st.just("auto"),
    "folds": st.integers(2, 5),
    "low": st.integers(-5, 0),
    "top": st.floats(0.5, 9),
    "q": st.integers(2, 5) | st.just([0.25, 0.5]),
    "edges": st.lists(st.integers(-9, 9), min_size=1, unique=True).map(sorted),
    "share": st.floats(0, 1),
    "frequency": st.integers(1, 3) | st.just(0.25) | st.none(),
    "factor": st.integers(-3, 3) | st.floats(-3, 3),
    "added": st.floats(-3, 3),
    "threshold": st.floats(-3, 3),
    "yes": st.integers(-3, 3),
    "no": st.integers(-3, 3) | st.none(),
    "every": st.sampled_from(["1h", "1d", "1mo"]),
    "length": st.integers(0, 2),
    "n_buckets": st.integers(1, 9),
    "degree": st.integers(1, 3),
    "gap": st.sampled_from(["30m", "1d"]),
    "mapping": st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), min_size=1),
    "type": st.sampled_from(["int8", "float32", "bool"]),
    "delay": st.sampled_from([None, "1h"]),
    "label": st.floats(-1, 1),
    "label_delay": st.sampled_from(["1d", "30h"]),
    "dtype": st.sampled_from(["float32", "float64", None]),
}
FIRST: dict[str, Any] = {
    "last": "7d", "rows": None, "offset": "2d", "smooth": 20, "folds": 3, "low": 0, "top": 5,
    "q": 4, "edges": [0, 1], "share": 0.5, "frequency": None, "factor": 2, "added": 1.5,
    "threshold": 0, "yes": 1, "no": 0, "every": "1h", "length": 1, "n_buckets": 8, "degree": 2,
    "gap": "30m", "mapping": {"a": 1}, "type": "int8", "delay": None, "label": 0.5,
    "label_delay": "1d", "dtype": None,
}  # fmt: skip
PLAN = written(ff.param, FIRST)
DATA = pa.table(
    {
        "x": [1.0, -2.0, None, 3.5, 0.25, 8.0],
        "late": [0.0, 1.0, 1.0, None, 1.0, -1.0],
        "z": [0.0, 1.0, 2.0, None, 1.0, -1.0],
        "k": ["a", "b", "a", "a", None, "b"],
        "s": ["a", "bc", None, "c", "a", "a"],
        "t": pa.array(range(0, 6 * 10**5, 10**5), pa.timestamp("s")),
    }
)
TABLES = {"rates": pa.table({"k": ["a"], "t": pa.array([5], pa.timestamp("s")), "rate": [1.5]})}


def plainly(name: str, value: Any) -> Any:
    """Return a value as a plan without parameters has it."""
    return value


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_another_value_gives_the_plan_that_is_written_with_it(changed: dict[str, Any]) -> None:
    plan = PLAN.with_params(**changed)
    by_hand = written(plainly, FIRST | changed)
    assert without_params(plan) == by_hand.to_json()
    assert (
        plan.declaration.nodes == by_hand.declaration.nodes
    )  # nodes are interned: equal expressions are one object
    assert plan.declaration.label_nodes == by_hand.declaration.label_nodes
    assert (plan.dtype, plan.label_delay) == (by_hand.dtype, by_hand.label_delay)
    assert plan.to_json() == written(ff.param, FIRST | changed).to_json()
    again = ff.Plan.from_json(plan.to_json())
    assert again.to_json() == plan.to_json()
    assert again.params().keys() == plan.params().keys() == FIRST.keys()
    assert again.with_params(**FIRST).to_json() == PLAN.to_json()


@settings(max_examples=3)
@given(st.fixed_dictionaries({}, optional=VALUES))
@pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
def test_a_plan_with_parameters_computes_what_one_without_does(changed: dict[str, Any]) -> None:
    plan, by_hand = PLAN.with_params(**changed), written(plainly, FIRST | changed)
    options: dict[str, Any] = {"tables": TABLES, "backend": "reference"}
    fitted, features = plan.fit_transform(DATA, **options)
    assert not differing(features, by_hand.fit_transform(DATA, **options)[1])
    later = {"history": "batch", **options}
    other = by_hand.fit(DATA, **options).transform(DATA, **later)
    assert not differing(fitted.transform(DATA, **later), other)


def called(name: str, columns: int, params: dict[str, Any]) -> ff.Expr:
    """Return an operator as a user calls it."""
    first, *others = (col(f"c{k}") for k in range(columns))
    namespace, _, method = name.rpartition(".")
    if hasattr(ff.Expr, name) or namespace:
        on = getattr(first, namespace) if namespace else first
        return getattr(on, method)(*others, **params)
    return getattr(API, name)(first, *others, **params)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_argument_of_every_operator_takes_a_parameter(name: str) -> None:
    late = ["c1"] if "target" in name or "woe" in name else []
    for case in OPERATORS[name].cases:
        given = {option: ff.param(option, value) for option, value in case.params.items()}
        plain, made = (
            called(name, len(case.on), options) for options in (dict(case.params), given)
        )
        assert made.nodes == plain.nodes
        named = made.alias(ff.param("alias", "z"))  # of an operator without arguments, too
        plan = ff.Plan([named], outcomes=late)
        assert list(plan.params()) == [*case.params, "alias"]
        again = ff.Plan.from_json(plan.to_json()).with_params(alias="other")
        assert [*again.features] == ["other"]
        assert [*again.declaration.nodes.values()] == [
            *ff.Plan([plain.alias("z")], outcomes=late).declaration.nodes.values()
        ]


def test_what_gives_an_expression_remembers_how() -> None:
    """A new function or method of the package takes parameters, or it is named here."""
    makers = {"Expr", "Window", "Lookup", "When", "Then", "DatetimeParts", "TextFunctions"}
    of_package = {f"ff.{name}": getattr(ff, name) for name in ff.__all__}
    kinds: dict[str, Any] = {
        "Expr": ff.Expr, "dt": type(col("x").dt), "str": type(col("x").str),
        "list": type(col("x").list), "Lookup": type(ff.lookup("t", by="k")),
        "When": type(ff.when(True)), "Then": type(ff.when(True).then(1)),
    }  # fmt: skip
    of_classes = {
        f"{kind}.{name}": inspect.getattr_static(cls, name)
        for kind, cls in kinds.items()
        for name in dir(cls)
    }
    found = {
        name
        for name, function in (of_package | of_classes).items()
        if inspect.isfunction(function)
        and str(inspect.signature(function).return_annotation) in makers
        and ("._" not in name or name.startswith("Expr.__"))
        and not name.startswith("Expr.__array")
    }
    assert len(found) > 190
    assert found - RECORDED.keys() == set()


def test_a_parameter_without_a_change_is_no_part_of_the_document() -> None:
    assert "params" not in json.loads(written(plainly, FIRST).to_json())
    plan = ff.Plan({"x": ff.when(col("x").dt.hour() > 1).then(2).otherwise(3)})
    assert plan.params() == {}
    assert plan.declaration.recipe is None
    assert plan.features["x"].recipe is None
    assert plan.with_params().to_json() == plan.to_json()


def test_the_values_are_told_as_they_are_given_again() -> None:
    known = PLAN.params()
    assert list(known)[:4] == ["low", "top", "last", "rows"]  # as they stand
    assert (known["edges"], known["mapping"]) == ((0, 1), {"a": 1})
    assert PLAN.with_params(**known).to_json() == PLAN.to_json()
    changed = PLAN.with_params(last="30d", q=[0.5])
    assert changed.params() == known | {"last": "30d", "q": (0.5,)}
    assert PLAN.params() == known


@pytest.mark.parametrize(
    ("values", "error", "told"),
    [
        ({"smoth": 1}, TypeMismatch, "with_params(smoth=...): the plan has no parameter 'smoth'."),
        ({"smoth": 1}, TypeMismatch, "Did you mean 'smooth'?"),
        ({"xyz": 1}, TypeMismatch, "It has low, top, last, rows"),
        ({"smooth": -1}, InvalidPlan, "target_encode(smooth=-1): takes a number from 0 to 1e+300"),
        ({"smooth": "no"}, InvalidPlan, "target_encode(smooth='no', stat='mean'): takes "),
        ({"last": "2mo"}, InvalidPlan, "window(last='2mo'): 'mo' has no fixed length"),
        ({"q": 1}, InvalidPlan, "qcut(q=1): takes a whole number from 2 to 100,000"),
        ({"dtype": "int8"}, InvalidPlan, "'float64', got 'int8'"),
        ({"label_delay": "2mo"}, InvalidPlan, "Plan(label_delay='2mo'): 'mo' has no fixed"),
        ({"smooth": col("x")}, TypeMismatch, "param('smooth', a value of type Expr): takes a"),
        ({"smooth": PLAN}, TypeMismatch, "param('smooth', a value of type Plan): takes a number"),
        ({"edges": [col("x")]}, TypeMismatch, "param('edges', a value of type Expr): takes a"),
        ({"edges": {1, 2}}, TypeMismatch, "param('edges', a value of type set): takes a number"),
    ],
)  # fmt: skip
def test_values_are_checked_as_if_they_were_written(
    values: dict[str, Any], error: type[FastfeatError], told: str
) -> None:
    with pytest.raises(error) as caught:
        PLAN.with_params(**values)
    assert told in str(caught.value)


def test_a_plan_without_parameters_says_how_one_is_written() -> None:
    told = r"the plan has no parameters\. Write one in place of a value, such as ff.param\('smoo"
    with pytest.raises(TypeMismatch, match=told):
        ff.Plan({"x": col("x")}).with_params(smooth=1)


def test_one_name_has_one_value() -> None:
    top, same, other = (col("x").clip(0, ff.param("top", value)) for value in (5, 5, 5.0))
    assert ff.Plan({"a": top, "b": same}).params() == {"top": 5}
    told = r"ff.param\('top', ...\) has two values, 5 and 5.0. Give both the same value"
    for wrong in ({"a": top, "b": other}, {"a": top + other}):
        with pytest.raises(InvalidPlan, match=told):
            ff.Plan(wrong)


@pytest.mark.parametrize("name", ["", "a b", "1", "a__b", "x-y", 3, None])
def test_a_name_is_one_that_a_search_can_write(name: Any) -> None:
    with pytest.raises(InvalidPlan, match="takes a name that can be a keyword, such as 'smooth'"):
        ff.param(name, 1)


@pytest.mark.parametrize(
    "compute",
    [
        lambda p: p + 1, lambda p: 2 * p, lambda p: -p, lambda p: p < 3, lambda p: float(p),
        lambda p: f"{p}d", lambda p: 1 if p else 2, lambda p: list(range(p)), lambda p: round(p),
        lambda p: [*p], lambda p: len(p), lambda p: p + ff.param("other", 1),
    ],
)  # fmt: skip
def test_nothing_is_computed_with_a_parameter_outside_of_an_expression(
    compute: Callable[[Any], Any],
) -> None:
    with pytest.raises(TypeMismatch, match=r"compute with it in an expression: fastfeat.lit\(ff.p"):
        compute(ff.param("k", 2))


@pytest.mark.parametrize(
    "compute",
    [
        lambda p, x: x * p, lambda p, x: p * x, lambda p, x: p - x, lambda p, x: p**x,
        lambda p, x: p > x, lambda p, x: p == x, lambda p, x: x != p, lambda p, x: p // x,
        lambda p, x: p | (x > 1), lambda p, x: ff.lit(p) + 1, lambda p, x: x.fill_null(p),
        lambda p, x: np.add(x, p),
        lambda p, x: ff.coalesce(x, p), lambda p, x: ff.coalesce([x, p]),
        lambda p, x: x.is_in([1, p]), lambda p, x: x.is_in({1, p, 20}), lambda p, x: x.cut((0, p)),
        lambda p, x: (x + p).is_in({9, 10, 2}), lambda p, x: (x + p).is_in(range(3)),
        lambda p, x: (x + p).is_in(dict.fromkeys((3, 1))), lambda p, x: (x + p).max(by={"k", "j"}),
        lambda p, x: x.replace_strict({1: p}, default=0), lambda p, x: ff.coalesce(iter([x, p])),
        lambda p, x: x.mean(by=[x.round(p), "k"]), lambda p, x: abs(x - p), lambda p, x: ~(x == p),
    ],
)  # fmt: skip
def test_a_parameter_stands_in_expressions_as_its_value(
    compute: Callable[[Any, Any], Any],
) -> None:
    x = col("x")
    made, five = compute(ff.param("k", 3), x), compute(5, x)
    assert made.nodes == compute(3, x).nodes
    plan = ff.Plan.from_json(ff.Plan({"a": made}).to_json())
    assert [*plan.with_params(k=5).declaration.nodes.values()] == [*five.nodes]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (np.int64(3), 3), (np.float32(0.5), 0.5), (np.array([1, 2]), (1, 2)), (pa.array([1]), (1,)),
        (pd.Series([1.5]), (1.5,)), (np.str_("a"), "a"), ([1, [2, 3]], (1, (2, 3))),
        (datetime.timedelta(1), datetime.timedelta(1)), (pd.Timedelta("1D"), datetime.timedelta(1)),
        ({"a": [1]}, {"a": (1,)}), (None, None), (np.bool_(True), True),
    ],
)  # fmt: skip
def test_values_of_libraries_become_those_of_python(value: Any, kept: Any) -> None:
    found = plain_value(param_value("k", value))
    assert found == kept
    assert type(found) is type(kept)


def test_a_plan_is_copied_and_kept_with_its_parameters() -> None:
    for again in (copy.copy(PLAN), copy.deepcopy(PLAN), pickle.loads(pickle.dumps(PLAN))):
        assert again.params() == PLAN.params()
        assert again.with_params(smooth=1.0).to_json() == PLAN.with_params(smooth=1.0).to_json()


def test_a_fitted_plan_keeps_them_and_learns_anew(tmp_path: Any) -> None:
    plan = ff.Plan({"b": col("x").qcut(ff.param("q", 2)), "c": col("x") + ff.param("one", 1)})
    plan.fit({"x": [1.0, 2.0, 3.0]}).save(tmp_path / "p.fastfeat")
    fitted = ff.load(tmp_path / "p.fastfeat")
    assert fitted.plan.params() == {"q": 2, "one": 1}
    assert fitted.select("b").plan.params() == {"q": 2}
    more = fitted.plan.with_params(q=3).fit_transform({"x": [1.0, 2.0, 3.0]})[1]
    assert more["b"].to_pylist() == [0, 1, 2]


def test_features_of_a_plan_that_was_read_keep_theirs() -> None:
    again = ff.Plan.from_json(PLAN.to_json())
    assert again.features["smoothed"].recipe is not None
    part = ff.Plan({"s": again.features["cut"], "o": again.features["plain"]})
    assert part.params() == {"edges": (0, 1)}
    assert again.label is not None
    assert ff.Plan({"a": col("x")}, label=again.label).params() == {"label": 0.5}


def test_options_of_a_plan_take_parameters() -> None:
    def plan(value: Callable[[str, Any], Any]) -> ff.Plan:
        return ff.Plan(
            {"a": col("x") + 1},
            label=value("label", "y"),
            outcomes={"z": value("delay", "1h"), "w": value("clocks", {"t": "2d"})},
            keep=[value("keep", "id")],
            row_id=value("row_id", None),
            dtype=value("dtype", None),
        )

    other = {
        "label": "u", "delay": None, "clocks": "1d", "keep": "n", "row_id": "n", "dtype": "float64"
    }  # fmt: skip
    changed = ff.Plan.from_json(plan(ff.param).to_json()).with_params(**other)
    assert without_params(changed) == plan(lambda name, _: other[name]).to_json()
    assert (changed.label, changed.outcomes) == ("u", {"z": None, "w": "1d"})


def test_features_of_a_list_are_named_anew() -> None:
    plan = ff.Plan([col(ff.param("column", "x")).log1p(), col("y")])
    assert list(plan.with_params(column="z").declaration.nodes) == ["z", "y"]
    assert list(ff.Plan.from_json(plan.to_json()).with_params(column="z").declaration.nodes) == [
        "z",
        "y",
    ]


SMALL = ff.Plan({"a": col("x").clip(0, ff.param("top", 5)), "b": col("y")})
STEPS = json.loads(SMALL.to_json())["params"]["steps"]


def altered(**parts: Any) -> str:
    """Return the JSON of a small plan with some of its parameters replaced."""
    document = json.loads(SMALL.to_json())
    return json.dumps(document | {"params": document["params"] | parts})


def nested(depth: int) -> str:
    """Return the text of a small plan whose parameter is lists in lists, as a document has them.

    `json` of Python 3.11 writes no deep ones itself.
    """
    return altered(values={"top": "HERE"}).replace(
        '"HERE"', '{"list":[' * depth + "5" + "]}" * depth
    )


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"more": 1}, "parameters of the plan are damaged"),
        ({"values": {}}, "damaged|not a value"),
        ({"values": {"top": 5, "other": 1}}, "differ from those of its recorded calls"),
        ({"steps": []}, "is not in list|not those|damaged"),
        ({"steps": STEPS[:1]}, "damaged"),
        ({"steps": [*STEPS, STEPS[1]]}, "differ from those of its recorded calls"),
        ({"steps": [{"call": "eval", "args": [], "named": {}}, STEPS[1]]}, "no function 'eval'"),
        (
            {"steps": [STEPS[0] | {"code": 1}, STEPS[1]]},
            "calls .* version of fastfeat does not know",
        ),
        ({"steps": [STEPS[1], STEPS[1]]}, "not a value"),
        ({"steps": [STEPS[0] | {"args": [{"expr": [99]}]}, STEPS[1]]}, "not an expression"),
        ({"steps": [STEPS[0] | {"args": [{"expr": [0], "suffixes": []}]}, STEPS[1]]}, "not an exp"),
        ({"steps": [STEPS[0] | {"args": []}, STEPS[1]]}, "missing a required argument"),
        ({"steps": [STEPS[0] | {"call": "Expr.round"}, STEPS[1]]}, "unexpected keyword argument"),
        ({"steps": [STEPS[0] | {"named": {"more": {"param": "top"}}}, STEPS[1]]}, "'more'"),
    ],
)
def test_parameters_that_were_altered_are_refused(parts: dict[str, Any], told: str) -> None:
    with pytest.raises(ArtifactError, match=told):
        ff.Plan.from_json(altered(**parts))


@pytest.mark.parametrize(
    ("depth", "told"),
    [
        (MAX_DEPTH + 1, "lists or mappings nested more than 100 deep"),
        (900, "nested more than 100 deep"),
        (200_000, "nested too deeply for Python"),
    ],
)
def test_parameters_that_nest_too_deep_are_refused(depth: int, told: str) -> None:
    with pytest.raises(ArtifactError, match=told):
        ff.Plan.from_json(nested(depth))


def test_a_value_of_most_depth_is_read_and_written() -> None:
    plan = ff.Plan.from_json(nested(MAX_DEPTH))
    assert json.loads(plan.to_json()) == json.loads(nested(MAX_DEPTH))


@pytest.mark.parametrize("within", [lambda value: [value], lambda value: {1: value}])
def test_a_value_that_nests_too_deep_is_refused_as_it_is_given(within: Any) -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH):
        value = within(value)
    assert ff.param("k", value) is not None
    with pytest.raises(TypeMismatch, match="more than 100 lists or mappings inside each other"):
        ff.param("k", within(value))


@pytest.mark.parametrize(
    "step",
    [
        STEPS[0] | {"args": [3]},
        STEPS[0] | {"named": {"lower_bound": 1, "upper_bound": {"param": "top"}}},
        STEPS[0] | {"named": {"lower_bound": 9, "upper_bound": {"param": "top"}}},
    ],
)
def test_a_record_of_another_plan_is_refused_when_it_is_used(step: Any) -> None:
    plan = ff.Plan.from_json(altered(steps=[step, STEPS[1]]))
    assert plan.params() == {"top": 5}
    with pytest.raises(ArtifactError, match=r"makes another plan\. Write it again"):
        plan.with_params(top=6)


def test_a_long_chain_with_a_parameter_is_written_again() -> None:
    x = col("x") + ff.param("k", 1)
    for _ in range(3000):
        x = x + 1
    plan = ff.Plan.from_json(ff.Plan({"a": x}).to_json())
    assert plan.with_params(k=2).params() == {"k": 2}
