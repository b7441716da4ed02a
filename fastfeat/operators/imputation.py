"""`impute`: fill missing values with what was learnt from the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastfeat.errors import InvalidPlan
from fastfeat.expr import Expr, call
from fastfeat.literals import Scalar
from fastfeat.operators import aggregates as learnt
from fastfeat.operators.aggregates import learnt_value, quantile_of
from fastfeat.operators.operator import Case, Operator, Values


def impute(x: Expr, value: Expr | Scalar) -> Expr:
    """Return x, and where it is missing its learnt mean or median, or a value.

    Args:
        x: numbers (other types take a value of theirs).
        value: "mean", "median", a constant or an expression, such as `x.quantile(0.9)`. Where it is
            missing too, the result is.

    Raises:
        InvalidPlan: another text; "most_frequent" is not available in this version.

    Example:
        >>> plan = ff.Plan({"x": col("x").impute("median")})
        >>> fitted = plan.fit({"x": [1.0, 2.0, 6.0, None]})
        >>> fitted.transform({"x": [None, 7.0]}, backend="reference")["x"].to_pylist()
        [2.0, 7.0]
    """
    match value:
        case Expr():  # compared with a text, it would be another expression
            return call("fill_null", x, value)
        case "mean":
            return call("fill_null", x, learnt.mean(x))
        case "median":
            return call("fill_null", x, learnt.median(x))
        case str():
            unavailable = (
                " is not available in this version: it" if value == "most_frequent" else ""
            )
            raise InvalidPlan(
                f'impute({value!r}){unavailable} takes "mean", "median", a number or an expression'
            )
        case _:
            return call("fill_null", x, value)


def _impute(train: Sequence[Values], rows: Sequence[Values], value: Any) -> list[Any]:
    match value:
        case "mean":
            known = learnt_value("mean", train[0])
        case "median":
            known = quantile_of(train[0], 0.5)
        case _:
            known = value
    return [known if x is None else x for x in rows[0]]


OPERATORS: dict[str, Operator] = {
    "impute": Operator(
        impute,
        _impute,
        tuple(Case(params={"value": value}) for value in ("mean", "median", 0, 2.5)),
    ),
}
