"""Arguments that operators lack, or do not take: errors of fastfeat that say what to write."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import fastfeat as ff
from fastfeat.errors import TypeMismatch
from fastfeat.first_use import OnFirstUse

API: Any = ff
X: Any = ff.col("x")
W = ff.window(time="t")
SHOWN = "ff.window(time='t')"
OVER = "over=ff.window(time='t', by='card')"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: X.lag(1), f"col('x').lag(1): lacks over=. Write col('x').lag(1, {OVER})"),
        (lambda: X.lag(n=2), f"col('x').lag(n=2): lacks over=. Write col('x').lag(n=2, {OVER})"),
        *(
            (lambda f=f: getattr(X, f)(), f".{f}(): lacks over=. Write col('x').{f}({OVER})")
            for f in ("first", "last", "diff", "pct_change", "any", "all", "range", "slope")
        ),
        (lambda: X.streak(), f"Write col('x').streak({OVER})"),
        (lambda: X.ewm_mean(alpha=0.5), f"Write col('x').ewm_mean(alpha=0.5, {OVER})"),
        (lambda: API.count(), f"ff.count(): lacks over=. Write ff.count({OVER})"),
        (lambda: API.time_since_last(), f"Write ff.time_since_last({OVER})"),
        (lambda: API.time_since(X > 1), f"Write ff.time_since((col('x') > 1), {OVER})"),
        (lambda: API.session_id("1h"), f"Write ff.session_id('1h', {OVER})"),
        (lambda: API.session_id(), f"lacks gap=, over=. Write ff.session_id(gap='30m', {OVER})"),
        (lambda: API.window("7d"), "ff.window('7d'): lacks time=. Write ff.window('7d', time='t')"),
        (lambda: API.asof("rates"), "lacks time=. Write ff.asof('rates', time='t')"),
        (lambda: API.lookup("rates"), "lacks by=. Write ff.lookup('rates', by='key')"),
        (lambda: X.target_encode(), "Write col('x').target_encode(target='y')"),
        (lambda: X.lag(1, ovr=W), f"ovr={SHOWN}): has no parameter 'ovr'. Did you mean 'over'?"),
        (lambda: X.sum(window=W), f"={SHOWN}): has no parameter 'window'. It takes by, min_rows, "),
        (lambda: API.count(by="k"), "ff.count(by='k'): has no parameter 'by'. It takes over"),
        (lambda: API.window("7d", tme="t"), "has no parameter 'tme'. Did you mean 'time'?"),
        (lambda: X.sqrt(base=2), "col('x').sqrt(base=2): has no parameter 'base'. It takes no"),
        (lambda: X.lag(1, x=X, over=W), "has no parameter 'x'. It takes n, over"),
        (lambda: X.lag(1, W), f"{SHOWN}): too many positional arguments. Name the parameters: n="),
        (lambda: X.lag(1, n=1, over=W), "multiple values for argument 'n'"),
    ],
)  # fmt: skip
def test_what_a_call_lacks_or_does_not_take_is_told(call: Callable[[], Any], told: str) -> None:
    with pytest.raises(TypeMismatch, match=re.escape(told)) as failure:
        call()
    assert isinstance(failure.value, TypeError)
    assert failure.value.__cause__ is failure.value.__context__ is None


def test_what_a_function_itself_raises_stays() -> None:
    with pytest.raises(TypeMismatch, match="takes a window, such as"):
        X.lag(1, over=3)
    with pytest.raises(TypeError, match=r"lag\(\) missing 1 required positional argument: 'x'"):
        API.Expr.lag(over=W)


PLAN = ff.Plan({"a": X * 2}, label="y")
FITTED = PLAN.fit({"x": [1.0, 2.0], "y": [0, 1]})
OF_OBJECTS: dict[str, Any] = {
    "plan": PLAN,
    "fitted": FITTED,
    "expression": X,
    "dt": X.dt,
    "str": X.str,
    "list": X.list,
    "lookup": ff.lookup("t", by="k"),
    "when": ff.when(X > 0),
    "then": ff.when(X > 0).then(1),
}
MADE_BY_US = {"DType", "Expr", "FastfeatError", "FastfeatWarning", "FittedPlan", "Fold"}
"""Classes that a user names, and does not call."""


def public_callables() -> dict[str, Callable[..., Any]]:
    """Return all that a user may call, by name: functions of the package, and methods."""
    found = {f"ff.{name}": getattr(ff, name) for name in ff.__all__ if name not in MADE_BY_US}
    for name, thing in OF_OBJECTS.items():
        for method in dir(thing):
            if isinstance(inspect.getattr_static(thing, method), OnFirstUse):
                getattr(thing, method)  # which puts the function in its place
            kind = inspect.getattr_static(thing, method)
            if method[0] != "_" and (inspect.isfunction(kind) or isinstance(kind, staticmethod)):
                found[f"{name}.{method}"] = getattr(thing, method)
    functions = {name: called for name, called in found.items() if inspect.isroutine(called)}
    return functions | {"ff.Plan": ff.Plan}


CALLABLES = public_callables()


def test_what_a_user_may_call_is_among_them() -> None:
    assert len(CALLABLES) > 180
    named = ("ff.col", "ff.load", "ff.window", "plan.fit", "fitted.transform_row", "dt.year")
    assert {*named, "expression.lag", "str.contains", "list.get", "then.otherwise"} <= {*CALLABLES}


@pytest.mark.parametrize("name", CALLABLES)
def test_an_argument_too_many_or_unknown_is_told(name: str) -> None:
    called = CALLABLES[name]
    parameters = inspect.signature(called).parameters.values()
    kinds = [parameter.kind for parameter in parameters]
    if inspect.Parameter.VAR_KEYWORD in kinds:  # it refuses every call
        with pytest.raises(TypeMismatch):
            called(no_such_option=1)
        return
    with pytest.raises(TypeMismatch, match="has no parameter 'no_such_option'"):
        called(no_such_option=1)
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        n_positional = sum(kind.name.startswith("POSITIONAL") for kind in kinds)
        with pytest.raises(TypeMismatch, match=r"\): too many positional arguments\. "):
            called(*"x" * (n_positional + 1))


FRAME = pd.DataFrame({"x": [1.0, 2.0], "y": [0, 1]})
WIDE = pd.DataFrame({f"column {k}": [1.0] for k in range(100)})  # its repr begins with spaces
UNKNOWN_Y = "has no parameter 'y'"
LABEL = "The label is a column of the data: ff.Plan(..., label='y')"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: API.col("x", "y"), "col('x', 'y'): too many positional arguments. Write one"),
        (lambda: API.Plan({"a": X}, "y"), "ff.Plan({'a': col('x')}, 'y'): too many positional"),
        (lambda: API.Plan({"a": X}, "y"), "Name the parameters: features=, label=, outcomes="),
        (lambda: API.Plan({"a": X}, labels="y"), "'labels'. Did you mean 'label'?"),
        (lambda: of(PLAN).fit(FRAME, FRAME["y"]), "plan.fit(<DataFrame>, <Series>): too many"),
        (lambda: of(PLAN).fit(FRAME, FRAME["y"]), f"{LABEL}.fit(X.assign(y=y))"),
        (lambda: of(PLAN).fit(WIDE, [1]), "plan.fit(<DataFrame>, [1]): too many"),
        (lambda: of(PLAN).fit(FRAME, y=[1]), f"plan.fit(<DataFrame>, y=[1]): {UNKNOWN_Y}. {LABEL}"),
        (lambda: of(PLAN).fit_transform(FRAME, [1]), f"{LABEL}.fit_transform(X.assign(y=y))"),
        (lambda: of(PLAN).fit(FRAME, sample_weight=[1]), "Weights are not supported yet"),
        (lambda: of(PLAN).fit(), "plan.fit(): lacks data=. Write plan.fit(data=data)"),
        (lambda: of(FITTED).transform(FRAME, [1]), "fitted.label(data) computes it"),
        (lambda: of(FITTED).transform(FRAME, "numpy"), "fitted.transform(data, to='numpy')"),
        (lambda: of(FITTED).transform_row({}, history=[]), "fitted.transform([row], history=...)"),
        (lambda: X.dt.year("UTC"), "col('x').dt.year('UTC'): too many positional arguments"),
        (lambda: X.str.contains("a", regex=True), "'regex'. It takes pattern, literal"),
        (lambda: X.list.get(1, 2), "Name the parameters: index=, null_on_oob="),
        (lambda: X.str.to_lowercase(1), "arguments. It takes no parameters"),
        (lambda: API.Plan.from_json("{}", 1), "ff.Plan.from_json('{}', 1): too many positional"),
    ],
)  # fmt: skip
def test_calls_of_another_library_are_told_what_to_write(
    call: Callable[[], Any], told: str
) -> None:
    with pytest.raises(TypeMismatch, match=re.escape(told)):
        call()


def test_data_in_a_message_is_named_not_printed() -> None:
    many = {f"column {k}": [1.0] * 1000 for k in range(100)}
    with pytest.raises(TypeMismatch) as caught:
        of(PLAN).fit(many, list(range(10**6)))
    assert len(str(caught.value)) < 400


def of(thing: Any) -> Any:
    """Return what a type checker must not know, as it sees what is wrong with the call."""
    return thing
