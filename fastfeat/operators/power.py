"""`power_transform`: a learnt power that makes the values most like a normal distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

from fastfeat.expr import Expr, aggregate, call
from fastfeat.ir.node import Aggregate, Call, Node
from fastfeat.ir.parameters import BoolChoice, Parameter, Parameters, TextChoice
from fastfeat.ir.writing import Texts, Writer
from fastfeat.operators.operator import (
    Case,
    Operator,
    ReferenceColumn,
    check_parameters,
    compute_by_definition,
)
from fastfeat.operators.scaling import find_standardized, standard_scale

PowerMethod = Literal["yeo-johnson", "box-cox"]
POWER_TRANSFORM: Parameters = (
    Parameter(
        "method",
        TextChoice(get_args(PowerMethod)),
        "Transform: `yeo-johnson` for any numbers, `box-cox` for numbers above 0",
        "yeo-johnson",
    ),
    Parameter(
        "standardize",
        BoolChoice(),
        "Whether to scale the result to mean 0 and standard deviation 1",
        True,
    ),
)


def power_transform(
    x: Expr,
    *,
    method: PowerMethod = "yeo-johnson",
    standardize: bool = True,
) -> Expr:
    """Return x transformed by a learnt power (Yeo-Johnson or Box-Cox) to look normal.

    The power, lambda, has the largest likelihood under the assumption that the result is normal. It
    depends only on the values of the training rows, not on their order or partition, and has the
    same bits on every backend, because the likelihood is computed from exact sums. Lambdas are
    tried on 3 to 6 successive grids, each between the neighbours of the best one so far; a
    polynomial through the last grid gives the maximum. Meanwhile `fit` keeps the logarithms of the
    values, eight bytes each.

    A column that is constant in training gets the power 1: x stays x, or becomes x - 1 with
    "box-cox".

    Args:
        x: Numbers. Missing stays missing and is not learnt from.
        method: "yeo-johnson" for any numbers, "box-cox" for numbers above 0.
        standardize: Whether to scale the result to mean 0 and standard deviation 1.

    Raises:
        InvalidPlan: `method` is unknown.
        InvalidData: At fit and at transform, with "box-cox", if a value is not above 0.

    Source:
        I. Yeo, R. Johnson: A new family of power transformations (2000). G. Box, D. Cox: An
        analysis of transformations (1964). scikit-learn's PowerTransformer finds the same lambda to
        a relative 1e-6, or to 5e-8 if it is near 0, which is the precision of SciPy's search. For
        values far from 0 compared with their spread it agrees to 2e-5, because the likelihood is
        flat there. The search ends where values 20 times as large as the largest would overflow.

    Example:
        >>> plan = ff.Plan({"x": col("x").power_transform()})
        >>> fitted = plan.fit({"x": [0.0, 1.0, 3.0, 7.0, 15.0]})
        >>> [round(x, 2) for x in fitted.transform({"x": [0.0, 31.0]})["x"].to_pylist()]
        [-1.41, 2.12]
    """
    given = check_parameters(
        "power_transform", POWER_TRANSFORM, method=method, standardize=standardize
    )
    name = "box_cox" if given["method"] == "box-cox" else "yeo_johnson"
    raised = call(name, x, aggregate(f"{name}_lambda", x))
    return standard_scale(raised) if given["standardize"] else raised


def _power_transform(
    train: Sequence[ReferenceColumn],
    rows: Sequence[ReferenceColumn],
    method: str = "yeo-johnson",
    standardize: bool = True,
) -> list[Any]:
    transform = _yeo_johnson if method == "yeo-johnson" else _box_cox
    power = compute_by_definition(f"{method.replace('-', '_')}_lambda", train[0])
    raised = [transform(x, power) for x in rows[0]]
    if not standardize:
        return raised
    learnt = [transform(x, power) for x in train[0]]
    mean, std = compute_by_definition("mean", learnt), compute_by_definition("std", learnt, ddof=0)
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
    """Return (exp(logarithm)**power - 1) / power, exact for powers near 1."""
    if power == 0:
        return logarithm
    try:
        return math.expm1(power * logarithm) / power
    except OverflowError:
        return math.inf / power


def _raised_text(node: Call, texts: Texts) -> str | None:
    return _text(node, ["standardize=False"], texts)


def _standardized_text(node: Call, texts: Texts) -> str | None:
    found = find_standardized(node, texts)
    return None if found is None or found[1] else _text(found[0], [], texts)


def _text(node: Node, given: Sequence[str], texts: Texts) -> str | None:
    """Return the text of a `power_transform`; None if the power is not learnt from x itself."""
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
"""Writers (see `ir.writing`) of `power_transform`, by the function of the last node."""


OPERATORS: dict[str, Operator] = {
    "power_transform": Operator(
        power_transform,
        _power_transform,
        (
            Case(params={"standardize": False}),
            Case(("bool",)),
            Case(("positive",), {"method": "box-cox", "standardize": False}),
        ),
        ulp=2**11,  # exp(y) with |y| <= 709 multiplies an error in the last place of y by |y|
        parameters=POWER_TRANSFORM,
    ),
}
