"""Plans of altered texts: what reads tables by codes is refused before it comes to a kernel."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_of
from fastfeat.errors import ArtifactError, FastfeatError
from fastfeat.keep.artifact import artifact_bytes

K, X, S = col("k"), col("x"), col("s").str
PLAN = ff.Plan(
    {
        "code": K.ordinal_encode(),
        "count": K.count_encode(),
        "hot": col("j").one_hot_encode(),
        "mean": X.mean(by="j"),
        "target": K.target_encode("y", smooth=1, folds=3),
        "quantile": K.target_encode("y", smooth=1, stat="quantile"),
        "fold": K.target_encode("y", smooth=1, fold="j"),
        "tags": col("t").list.ordinal_encode(width=1),
        "tag": col("t").list.multi_hot_encode(),
        "grams": col("s").str.hash_tokens(2),
        "part": col("t").list.slice(1).list.len(),
        "has": S.contains("^a+"),
        "n": S.count_matches("a|b"),
        "n plain": S.count_matches("a", literal=True),
        "got": S.extract("(a)(b)").hash(99),
        "put": S.replace("(a)", "$1!").hash(99),
        "put all": S.replace_all("a", "b", literal=True).hash(99),
        "time": S.to_datetime("%Y", strict=False).dt.year(),
        "looked": ff.lookup("t", by={"k": "id"}).col("v"),
    },
    label="y",
)
Nodes = list[dict[str, Any]]


def place(nodes: Nodes, **wanted: Any) -> int:
    """Return the place of the first node that has these entries."""
    return next(k for k, n in enumerate(nodes) if all(n.get(x) == y for x, y in wanted.items()))


def with_arg(function: str, number: int, **other: Any) -> Callable[[Nodes], None]:
    """Return what gives a call another argument."""

    def alter(nodes: Nodes) -> None:
        kind = "aggregate" if function.startswith("target") else "call"
        nodes[place(nodes, **{kind: function})]["args"][number] = place(nodes, **other)

    return alter


def with_param(kind: str, function: str, name: str, value: Any) -> Callable[[Nodes], None]:
    """Return what gives a call or an aggregate another parameter."""

    def alter(nodes: Nodes) -> None:
        params = nodes[place(nodes, **{kind: function})]["params"]
        next(param for param in params if param[0] == name)[1] = value

    return alter


def renamed(kind: str, function: str, other: str) -> Callable[[Nodes], None]:
    def alter(nodes: Nodes) -> None:
        nodes[place(nodes, **{kind: function})][kind] = other

    return alter


@pytest.mark.parametrize(
    "alter",
    [
        with_arg("category_count", 0, column="k"),
        with_arg("encode", 0, column="x"),
        with_arg("encode", 1, column="k"),
        with_arg("one_hot", 0, column="j"),
        with_arg("target_mean", 2, column="k"),
        with_arg("target_mean", 2, call="encode"),
        with_arg("bucket_count", 0, column="s"),
        with_arg("lookup_value", 0, column="k"),
        with_arg("list.encode", 0, call="list.slice"),
        with_arg("list.encode", 1, aggregate="vocabulary"),
        with_param("call", "list.encode", "n_unseen", 2),
        with_param("call", "encode", "n_unseen", 0),
        with_param("call", "encode", "n_unseen", -5),
        with_param("call", "encode", "missing", "value"),
        with_param("call", "fold", "n_folds", 1000),
        with_param("call", "bucket_count", "bucket", 7),
        with_param("call", "str.hash_tokens", "n_buckets", -1),
        with_param("aggregate", "target_mean", "n_folds", 2),
        with_param("aggregate", "target_mean", "n_folds", None),
        with_param("aggregate", "target_mean", "smooth", -1),
        with_param("aggregate", "target_quantile", "q", 7),
        with_param("aggregate", "target_mean", "ordered", True),
        renamed("aggregate", "target_mean", "target_odds"),
        renamed("call", "encode", "fold"),
        *(
            with_param("call", f"str.{name}", "pattern", "(")
            for name in ("contains", "count_matches", "extract", "replace")
        ),
        with_param("call", "str.contains", "pattern", "(?=a)"),
        with_param("call", "str.count_matches", "pattern", "x*"),
        with_param("call", "str.count_matches_literal", "pattern", ""),
        with_param("call", "str.extract", "group_index", 3),
        with_param("call", "str.extract", "pattern", "ab"),
        with_param("call", "str.replace", "value", r"\2"),
        with_param("call", "str.replace", "value", r"\x"),
        with_param("call", "str.replace", "value", "\\"),
        with_param("call", "str.to_datetime", "format", "%H"),
        with_param("call", "str.to_datetime", "format", "%Q"),
        renamed("call", "list.get", "list.explode"),
        renamed("call", "one_hot", "is_code"),
        renamed("call", "list.encode", "encode"),
        renamed("call", "list.encode", "list.contains"),
    ],
)
def test_calls_that_no_operator_makes_are_refused(alter: Callable[[Nodes], None]) -> None:
    document = json.loads(PLAN.to_json())
    assert ff.Plan.from_json(json.dumps(document)).to_json() == PLAN.to_json()
    alter(document["nodes"])
    with pytest.raises(ArtifactError):
        ff.Plan.from_json(json.dumps(document))


def test_a_list_is_no_feature_of_as_many_rows_as_it_has_elements() -> None:
    document = json.loads(PLAN.to_json())
    exploded = place(document["nodes"], call="list.explode")
    document["features"][0][1][0] = exploded
    with pytest.raises(ArtifactError, match="a value per element"):
        ff.Plan.from_json(json.dumps(document))


ROWS = pa.table(
    {
        "k": [*"aabbcd"] * 10,
        "j": [1, 2, 3, 1, 2, None] * 10,
        "x": [1.0, 2.0, None, 3.5, -1.0, 7.0] * 10,
        "y": [0, 1, 0, 1, 1, 0] * 10,
        "t": [["a", "b"], [], None, ["c"], ["a", None], ["b"]] * 10,
        "s": ["a b", "2020", "", "aa", None, "b"] * 10,
    }
)
TABLES = {"t": pa.table({"id": ["a", "b"], "v": [1, 2]})}
VALUES = [
    None,
    True,
    0,
    1,
    -1,
    5,
    2**40,
    0.5,
    "",
    "a",
    "(",
    "\\9",
    "key",
    "value",
    "zeros",
    "first",
]


@st.composite
def altered(draw: st.DrawFn) -> str:
    """Return the plan with one part of one node, or of a feature, put in place of another."""
    document = json.loads(PLAN.to_json())
    nodes: Nodes = document["nodes"]
    number = draw(st.integers(0, len(nodes) - 1))
    node, any_node = nodes[number], st.integers(0, len(nodes) - 1)
    match draw(st.sampled_from(["args", "params", "call", "aggregate", "column", "feature"])):
        case "args" if node.get("args"):
            place = draw(st.integers(0, len(node["args"]) - 1))
            node["args"][place] = draw(st.integers(0, max(number - 1, 0)))
        case "params" if node.get("params"):
            draw(st.sampled_from(node["params"]))[1] = draw(st.sampled_from(VALUES))
        case "call" | "aggregate" as kind if kind in node:
            node[kind] = draw(st.sampled_from([n[kind] for n in nodes if kind in n]))
        case "column" if "column" in node:
            node["column"] = draw(st.sampled_from([*"kjxts"]))
        case _:
            draw(st.sampled_from(document["features"]))[1][0] = draw(any_node)
    return json.dumps(document)


@pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
@settings(max_examples=5 + settings().max_examples // 5)
@given(text=altered())
def test_an_altered_plan_is_refused_or_computed(text: str) -> None:
    try:
        fitted = ff.Plan.from_json(text).fit_transform(ROWS, tables=TABLES)[0]
        found = fitted.transform(ROWS, tables=TABLES)
    except FastfeatError:
        return
    assert fitted_of(artifact_bytes(fitted.record)).transform(ROWS, tables=TABLES).equals(found)
    assert fitted.transform(ROWS, tables=TABLES, backend="reference").equals(found)


def test_codes_by_another_rule_than_the_vocabulary_are_refused() -> None:
    """Rows whose part is missing would have a key for the vocabulary, and none for the codes."""
    crossed = ff.cross(col("k"), col("j")).ordinal_encode()
    text = json.loads(ff.Plan({"code": crossed}).to_json())
    (codes,) = (node for node in text["nodes"] if node.get("call") == "encode")
    params = dict(codes["params"])
    assert params["missing"] == "value"
    codes["params"] = [[name, "key" if name == "missing" else params[name]] for name in params]
    with pytest.raises(ArtifactError, match="the arguments of 'encode' do not fit together"):
        ff.Plan.from_json(json.dumps(text))
