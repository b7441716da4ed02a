"""`impute`: fill missing values with what was learnt from the training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fastfeat.errors import InvalidPlan
from fastfeat.expr import Expr, call
from fastfeat.literals import Scalar
from fastfeat.operators import aggregates as learnt
from fastfeat.operators.aggregates import learnt_value, quantile_of
from fastfeat.operators.keys import key_vocabulary
from fastfeat.operators.operator import Case, Operator, Values


def impute(x: Expr, value: Expr | Scalar) -> Expr:
    """Return x, and where it is missing its learnt mean, median or mode, or a value.

    Args:
        x: numbers (other types take the mode, or a value of theirs).
        value: "mean", "median", "mode" (the most frequent, of several the smallest, text by its
            bytes), a constant or an expression, such as `x.quantile(0.9)`. Where it is missing too,
            the result is. A text of that name is `fastfeat.lit("mode")`.

    Raises:
        InvalidPlan: another text: fill text by `fill_null`.

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
        case "mode":
            return call("fill_null", x, call("mode", x, key_vocabulary(x)))
        case str():
            mode = "The most frequent value is" if value == "most_frequent" else "Such are"
            raise InvalidPlan(
                f'impute({value!r}): takes "mean", "median", "mode", a number or an expression. '
                f"{mode} impute('mode'); text is filled by .fill_null({value!r})"
            )
        case _:
            return call("fill_null", x, value)


def _impute(train: Sequence[Values], rows: Sequence[Values], value: Any) -> list[Any]:
    match value:
        case "mean":
            known = learnt_value("mean", train[0])
        case "median":
            known = quantile_of(train[0], 0.5)
        case "mode":
            counts = Counter(x for x in train[0] if x is not None)
            known = min(counts, key=lambda x: (-counts[x], x), default=None)
        case _:
            known = value
    return [known if x is None else x for x in rows[0]]


OPERATORS: dict[str, Operator] = {
    "impute": Operator(
        impute,
        _impute,
        tuple(Case(params={"value": value}) for value in ("mean", "median", "mode", 0, 2.5)),
    ),
}
