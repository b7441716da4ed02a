"""Every function of the tables refuses calls, read from a text, that no operator makes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.aggregates import AGGREGATES
from fastfeat.api.plan import fitted_of
from fastfeat.errors import ArtifactError, Leakage
from fastfeat.ir.node import Aggregate, Call, Node, postorder
from fastfeat.keep import artifact, canonical
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.scalars import SCALARS
from fastfeat.steps.registry import STEPS
from fastfeat.trust.selfcheck.plans import contract_plans

X, T, W = col("x"), col("t"), ff.window("3d", time="t", by="k")
ALL = ff.window(time="t", by="k")
MORE = [
    *(f(over=W) for f in (X.sum, X.mean, X.first, X.last, X.range, X.slope, X.n_unique, X.mode)),
    *(f(over=W) for f in (X.min, X.max, X.var, X.std, X.null_count, (X > 0).any, (X > 0).all)),
    *(X.skew(over=W), X.kurtosis(over=W), X.skew(), X.kurtosis(by="k")),
    *(X.quantile(0.5, over=W), X.rank(over=W), X.count(over=W), ff.count(over=ALL)),
    *(X.lag(1, over=ALL), X.diff(1, over=ALL), X.pct_change(1, over=ALL), (X > 0).streak(over=ALL)),
    *(X.ewm_mean(alpha=0.5, over=ALL), X.ewm_mean(half_life="1d", over=ALL)),
    *(X.ewm_sum(alpha=0.5, over=ALL), X.ewm_sum(half_life="1d", over=ALL)),
    *(ff.time_since_last(over=ALL), ff.time_since(X > 0, over=ALL), ff.session_id("1h", over=ALL)),
    X.sum(over=ff.window("3d", time="t", by="k", table="rows")),
    X.sum(over=ff.ahead("3d", time="t", by="k")),
    *(ff.lookup("b", by="k").col("v"), ff.asof("b", by="k", time="t", tolerance="1d").col("v")),
    *(X & X, X | X, X ^ X, ~X, -X, X.abs(), X // 2, X % 2, X**2, X.is_in([1, 2]), X.sign()),
    *(X.replace_strict({1: 2}), X.replace_strict({1: 2}, default=0), X.clip(0, 1), X.cast("int8")),
    *(ff.when(X > 0).then(1).otherwise(X), ff.coalesce(X, 1), X.is_between(0, 1), X != 3, X == 3),
    *(X >= 1, X <= 1, X < 1, X / 2, X * 2, X - 2, X + 2),
    *(getattr(T.dt, part)() for part in ("quarter", "millisecond", "nanosecond", "is_weekend")),
    *(T.dt.is_month_start(), T.dt.is_quarter_end(), T.dt.date(), T.dt.is_weekend(tz="UTC")),
    T.dt.replace_time_zone("UTC", ambiguous="latest"),
    T.dt.replace_time_zone(None),
    *(T.dt.truncate("1d", tz="UTC", naive="UTC"), X.cut([0, 1], closed="right")),
    *((T - T).dt.total_days(), (T - T).dt.total_hours(), (T - T).dt.total_minutes()),
    *((T - T).dt.total_seconds(), (T - T).dt.total_milliseconds()),
    *((T - T).dt.total_microseconds(), (T - T).dt.total_nanoseconds()),
    *(X.mean(by="k"), X.target_encode("y"), X.target_encode("y", time="t"), X.woe_encode("y")),
    *(X.target_encode("y", stat="quantile", smooth=1), X.target_encode("y", stat="var", smooth=1)),
    *(
        ff.cross("k", "j"),
        ff.cross("k", "j").hash(9),
        ff.cross("k", "j").ordinal_encode(),
        X.one_hot_encode(),
    ),
    *(X.count_encode(), X.count_encode(normalize=True), col("l").list.slice(1, 2).list.len()),
    *(getattr(col("l").list, f)() for f in ("sum", "mean", "min", "max", "var", "std", "first")),
    *(col("l").list.get(1, null_on_oob=False), col("l").list.contains(1), col("l").list.slice(1)),
    *(col("l").list.ordinal_encode(width=1), col("l").list.multi_hot_encode()),
    *(
        X.impute("mode"),
        X.n_unique(),
        X.null_count(),
        X.var(),
        X.median(),
        X.k_bins_discretize(n_bins=3),
    ),
    *(X.spline_transform(knots="quantile"), X.power_transform(method="box-cox"), X.qcut(3)),
]
OPTIONAL = {"tz", "naive", "closed", "default", "null_on_oob"}
OF_SELECTED = {"is_code", "list.has_code"}  # no operator: what `select` makes of a column
OF_PLANS = {"time_fold_known"}  # no operator either: what a plan makes of folds by time


@cache
def documents() -> dict[str, list[tuple[list[Any], int]]]:
    """Return calls and aggregates by function, each as the nodes of a document and its place."""
    plans = contract_plans().values()
    roots: list[Node] = [node for plan in plans for node in plan.declaration.nodes.values()]
    roots += [node for expression in MORE for node in expression.nodes]
    found: dict[str, dict[Any, Node]] = {}
    for node in postorder(roots):
        if isinstance(node, Call | Aggregate):
            shape = tuple(name for name, _ in node.params), len(node.args)
            frame = node.frame if isinstance(node, Aggregate) else None
            found.setdefault(node.function, {}).setdefault((shape, frame), node)
    made: dict[str, list[tuple[list[Any], int]]] = {}
    for function, nodes in found.items():
        for node in nodes.values():
            shown, position = canonical.nodes_to_json([node])
            made.setdefault(function, []).append((shown, position[node]))
    return made


def variants(function: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield each way to alter the last call of a document: what was done, and the nodes."""
    for nodes, place in documents()[function]:
        params: list[Any] = nodes[place]["params"]
        for at, (name, value) in enumerate(params):
            if name not in OPTIONAL and (function, name) != ("list.slice", "length"):
                yield f"without {name}", with_params(nodes, place, params[:at] + params[at + 1 :])
            for odd in ({"tuple": [value]}, {"float": "nan"}, {"dtype": ["int8", None, None]}):
                is_type = "dtype" in odd and name == "dtype"
                if not is_type and not ("float" in odd and name == "default"):
                    altered = [*params[:at], [name, odd], *params[at + 1 :]]
                    yield f"{name}={odd}", with_params(nodes, place, altered)
        for name in ("__class__", "tz", "zz", "a"):
            if name not in dict(params) and not (name == "tz" and function.startswith("dt.")):
                yield f"with {name}", with_params(nodes, place, sorted([*params, [name, "x"]]))
        if nodes[place].get("call") in SCALARS and SCALARS[function].n_args is not None:
            args = nodes[place]["args"]
            yield "one argument more", with_args(nodes, place, [*args, args[0]])
            yield "one argument less", with_args(nodes, place, args[1:])


def with_params(nodes: list[Any], place: int, params: list[Any]) -> list[Any]:
    return [*nodes[:place], nodes[place] | {"params": params}, *nodes[place + 1 :]]


def with_args(nodes: list[Any], place: int, args: list[Any]) -> list[Any]:
    return [*nodes[:place], nodes[place] | {"args": args}, *nodes[place + 1 :]]


def test_every_function_of_the_tables_is_among_them() -> None:
    assert {*SCALARS, *STEPS, *AGGREGATES} - documents().keys() <= OF_SELECTED | OF_PLANS


@pytest.mark.parametrize(
    "function", sorted({*SCALARS, *STEPS, *AGGREGATES} - OF_SELECTED - OF_PLANS)
)
def test_parameters_that_no_operator_gives_are_refused(function: str) -> None:
    for nodes, _ in documents()[function]:
        canonical.nodes_from_json(nodes)
    for what, nodes in variants(function):
        try:
            canonical.nodes_from_json(nodes)
        except ArtifactError:
            continue
        pytest.fail(f"{function} {what} is taken")


@given(data=st.data(), name=st.text(max_size=5) | st.sampled_from(["__class__", "tz", "strict"]))
def test_a_parameter_of_any_name_is_refused_or_known(data: st.DataObject, name: str) -> None:
    function = data.draw(st.sampled_from(sorted(documents())))
    nodes, place = data.draw(st.sampled_from(documents()[function]))
    params = nodes[place]["params"]
    if name in OPTIONAL | {known for known, _ in params} | {"length"}:
        return
    value = data.draw(st.none() | st.booleans() | st.integers() | st.text(max_size=3))
    with pytest.raises(ArtifactError):
        canonical.nodes_from_json(with_params(nodes, place, sorted([*params, [name, value]])))


def test_what_select_makes_of_a_column_has_its_parameters_alone() -> None:
    rows = {"k": ["a", "b", "b"], "l": [["a"], ["b"], []]}
    plan = ff.Plan({"k": col("k").one_hot_encode(), "l": col("l").list.multi_hot_encode()})
    fitted = plan.fit(rows).select(["k_a", "l_b"])
    nodes, _ = canonical.nodes_to_json(list(fitted.plan.declaration.nodes.values()))
    calls = {node["call"]: at for at, node in enumerate(nodes) if node.get("call") in OF_SELECTED}
    assert calls.keys() == OF_SELECTED
    for place in calls.values():
        odd = sorted([*nodes[place]["params"], ["x", 1]])
        with pytest.raises(ArtifactError, match="cannot take the parameters"):
            canonical.nodes_from_json(with_params(nodes, place, odd))


@pytest.mark.filterwarnings("ignore::fastfeat.errors.EncodedInFold")
def test_a_column_that_is_selected_is_as_it_was_written() -> None:
    """Its folds by time learn from what is known when they begin, which a plan adds by itself."""
    data = {"t": [*range(30)], "k": [*"abc"] * 10, "y": [*"uv"] * 15}
    feature = col("k").target_encode("y", classes=["u", "v"], time="t", folds=3)
    fitted = ff.Plan({"f": feature}, label="y", label_delay=2).fit(data)
    one = fitted.select("f_v")
    assert fitted_of(artifact_bytes(one.record)).transform(data).equals(one.transform(data))
    assert one.transform(data).equals(fitted.transform(data).select(["f_v"]))
    nodes, _ = canonical.nodes_to_json(list(fitted.plan.declaration.nodes.values()))
    known = next(k for k, node in enumerate(nodes) if node.get("call") in OF_PLANS)
    with pytest.raises(ArtifactError):
        canonical.nodes_from_json(nodes[: known + 1])


@pytest.mark.parametrize("value", [["__class__", 1], ["tz", "x"]])
def test_an_artifact_sealed_again_is_refused_as_its_plan_is(value: list[Any]) -> None:
    fitted = ff.Plan({"a": col("x").abs() - col("x").mean()}).fit({"x": [1.0, -2.0]})
    document = json.loads(fitted.plan.to_json())
    place = next(k for k, node in enumerate(document["nodes"]) if node.get("call") == "abs")
    document["nodes"][place]["params"] = [value]
    with pytest.raises(ArtifactError, match="'abs' cannot take the parameters"):
        fitted_of(resealed(artifact_bytes(fitted.record), canonical.dump(document).encode()))


def test_a_leak_in_a_file_is_a_leak(tmp_path: Path) -> None:
    fitted = ff.Plan({"a": col("x").abs()}, outcomes=["z"]).fit({"x": [1.0, -2.0], "z": [1, 2]})
    document = json.loads(fitted.plan.to_json()) | {"outcomes": ["x"]}
    path = tmp_path / "leaky.fastfeat"
    path.write_bytes(resealed(artifact_bytes(fitted.record), canonical.dump(document).encode()))
    with pytest.raises(Leakage, match=r"leaky\.fastfeat: feature 'a' reads 'x'"):
        ff.load(path)


def resealed(content: bytes, plan: bytes) -> bytes:
    """Return an artifact with another plan, and right digests."""
    start = len(artifact.MAGIC) + 8
    end = start + int.from_bytes(content[start - 8 : start], "little")
    manifest = json.loads(content[start:end])
    (name, length, _), *others = manifest["parts"]
    manifest["parts"] = [[name, len(plan), hashlib.sha256(plan).hexdigest()], *others]
    head = canonical.dump(manifest).encode()
    body = artifact.MAGIC + len(head).to_bytes(8, "little") + head + plan
    body += content[end + length : -32]
    return body + hashlib.sha256(body).digest()
