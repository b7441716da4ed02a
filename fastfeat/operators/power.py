"""`power_transform`: the power of a number, learnt so that the result is most like a normal one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

from fastfeat.expr import Expr, aggregate, call
from fastfeat.ir.node import Aggregate, Call, Node
from fastfeat.ir.parameters import Flag, Parameter, Parameters, Words
from fastfeat.ir.writing import Texts, Writer
from fastfeat.operators.aggregates import learnt_value
from fastfeat.operators.operator import Case, Operator, Values, checked
from fastfeat.operators.scaling import standard_scale, standardized

Method = Literal["yeo-johnson", "box-cox"]
POWER_TRANSFORM: Parameters = (
    Parameter(
        "method",
        Words(get_args(Method)),
        "`yeo-johnson` for any numbers, `box-cox` for numbers above 0",
        "yeo-johnson",
    ),
    Parameter(
        "standardize", Flag(), "whether the result has mean 0 and standard deviation 1", True
    ),
)


def power_transform(
    x: Expr,
    *,
    method: Method = "yeo-johnson",
    standardize: bool = True,
) -> Expr:
    """Return x raised to a learnt power, shifted and scaled so that all powers are comparable.

    The power, lambda, is the one of the largest likelihood if the result were normal. It depends on
    the values of the training rows alone, not on their order or split, and has the same bits on
    every backend: the likelihood is made from exact sums of the results. Lambdas are tried in 3 to
    6 rounds of grids, each between the neighbours of the best so far; a polynomial through the last
    gives the maximum. `fit` keeps the logarithms of the values meanwhile: eight bytes each.

    The power of a column that is constant in training is 1: x stays x, or with "box-cox" x - 1.

    Args:
        x: numbers; missing stays missing and is not learnt from.
        method: "yeo-johnson" for any numbers, "box-cox" for numbers above 0.
        standardize: whether the result is scaled to mean 0 and standard deviation 1.

    Raises:
        InvalidPlan: another method.
        InvalidData: at fit and at transform, with "box-cox": a value that is not above 0.

    Source:
        I. Yeo, R. Johnson: A new family of power transformations (2000). G. Box, D. Cox: An
        analysis of transformations (1964). scikit-learn's PowerTransformer; lambda equals its to
        1e-6 of it, or to 5e-8 where it is near 0, which is how near SciPy's search comes; of values
        far from 0 beside their spread to 2e-5, as the likelihood is flat there. It ends where
        values 20 times as large as the largest would overflow.

    Example:
        >>> plan = ff.Plan({"x": col("x").power_transform()})
        >>> fitted = plan.fit({"x": [0.0, 1.0, 3.0, 7.0, 15.0]})
        >>> [round(x, 2) for x in fitted.transform({"x": [0.0, 31.0]})["x"].to_pylist()]
        [-1.41, 2.12]
    """
    given = checked("power_transform", POWER_TRANSFORM, method=method, standardize=standardize)
    name = "box_cox" if given["method"] == "box-cox" else "yeo_johnson"
    raised = call(name, x, aggregate(f"{name}_lambda", x))
    return standard_scale(raised) if given["standardize"] else raised


def _power_transform(
    train: Sequence[Values],
    rows: Sequence[Values],
    method: str = "yeo-johnson",
    standardize: bool = True,
) -> list[Any]:
    transform = _yeo_johnson if method == "yeo-johnson" else _box_cox
    power = learnt_value(f"{method.replace('-', '_')}_lambda", train[0])
    raised = [transform(x, power) for x in rows[0]]
    if not standardize:
        return raised
    learnt = [transform(x, power) for x in train[0]]
    mean, std = learnt_value("mean", learnt), learnt_value("std", learnt, ddof=0)
    if mean is None or std is None:
        return raised
    scale = 1.0 if std <= 8 * 2.0**-52 * abs(mean) else std
    return [None if y is None else (y - mean) / scale for y in raised]


def _yeo_johnson(x: float | None, power: float | None) -> float | None:
    if x is None or power is None:
        return None
    return -_raised(math.log1p(-x), 2.0 - power) if x < 0 else _raised(math.log1p(x), power)


def _box_cox(x: float | None, power: float | None) -> float | None:
    return None if x is None or power is None else _raised(math.log(x), power)


def _raised(logarithm: float, power: float) -> float:
    """Return (exp(logarithm)**power - 1) / power, exact where the power is near 1."""
    if power == 0:
        return logarithm
    try:
        return math.expm1(power * logarithm) / power
    except OverflowError:
        return math.inf / power


def _raised_text(node: Call, texts: Texts) -> str | None:
    return _text(node, ["standardize=False"], texts)


def _standardized_text(node: Call, texts: Texts) -> str | None:
    found = standardized(node, texts)
    return None if found is None or found[1] else _text(found[0], [], texts)


def _text(node: Node, given: Sequence[str], texts: Texts) -> str | None:
    """Return the text of a value raised to the power that is learnt of it; None of any other."""
    match node:
        case Call("yeo_johnson" | "box_cox" as power, (x, Aggregate(learnt, (y,)))) if (
            x is y and learnt == f"{power}_lambda"
        ):
            method = ["method='box-cox'"] if power == "box_cox" else []
            return f"{texts[x]}.power_transform({', '.join([*method, *given])})"
        case _:
            return None


WRITTEN: dict[str, Writer] = {
    "box_cox": _raised_text,
    "div": _standardized_text,
    "yeo_johnson": _raised_text,
}
"""How it is written, by the function of its last node."""


OPERATORS: dict[str, Operator] = {
    "power_transform": Operator(
        power_transform,
        _power_transform,
        (
            Case(params={"standardize": False}),
            Case(("bool",)),
            Case(("positive",), {"method": "box-cox", "standardize": False}),
        ),
        ulp=2**11,  # of exp(y), |y| <= 709, where the last place of y is as many last places
        parameters=POWER_TRANSFORM,
    ),
}
