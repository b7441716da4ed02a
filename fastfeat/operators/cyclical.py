"""`cyclical`: a periodic number, such as the hour, as a point on a circle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastfeat.expr import Expr, call, several_columns
from fastfeat.ir.node import Call, Node
from fastfeat.ir.writing import SeveralWriter, Texts, number_text
from fastfeat.operators.operator import Case, Operator, ReferenceColumn, check_parameters
from fastfeat.scalars.cyclical import PERIOD


def cyclical(x: Expr, period: float) -> Expr:
    """Return two columns, sin and cos of 2 pi x / period; their names end in "_sin" and "_cos".

    The value is first reduced by the period exactly. So large numbers lose no precision, and
    quarters of the period give exactly 0, 1 and -1.

    Args:
        x: Numbers, such as `.dt.hour()`. Missing stays missing, and ±inf gives missing.
        period: Length of the period: 24 for hours, 7 for weekdays; from 1e-150 to 1e150.

    Raises:
        InvalidPlan: `period` is out of range.

    Example:
        >>> plan = ff.Plan({"hour": col("hour").cyclical(24)})
        >>> fitted = plan.fit({"hour": [0]})
        >>> fitted.transform({"hour": [0, 6, 12]}, backend="reference").to_pydict()
        {'hour_sin': [0.0, 1.0, 0.0], 'hour_cos': [1.0, 0.0, -1.0]}
    """
    given = check_parameters("cyclical", PERIOD, period=period)
    return several_columns(
        {
            "_sin": call("cyclical_sin", x, **given),
            "_cos": call("cyclical_cos", x, **given),
        }
    )


def _cyclical(
    train: Sequence[ReferenceColumn], rows: Sequence[ReferenceColumn], period: float
) -> tuple[list[Any], list[Any]]:
    points = [(None, None) if x is None else _point(x, period) for x in rows[0]]
    return [sin for sin, _ in points], [cos for _, cos in points]


def _point(x: float, period: float) -> tuple[float, float]:
    """Return (sine, cosine) of the angle 2 pi x / period, by exact fractions of quarter turns."""
    if math.isinf(x):
        return math.nan, math.nan
    if not float(period).is_integer():
        x = float(x)
    from fractions import Fraction

    quarters = Fraction(x) / Fraction(period) * 4
    nearest = round(quarters)
    angle = float(quarters - nearest) * (math.pi / 2)
    sin, cos = math.sin(angle), math.cos(angle)
    turned = [(sin, cos), (cos, -sin), (-sin, -cos), (-cos, sin)]
    return turned[nearest % 4]


def _text(nodes: Sequence[Node], texts: Texts) -> str | None:
    match nodes:
        case [Call("cyclical_sin", (x,), (("period", period),)), Call("cyclical_cos", (y,), _)] if (
            x is y
        ):
            return f"{texts[x]}.cyclical({number_text(period)})"
        case _:
            return None


WRITTEN_TOGETHER: dict[str, SeveralWriter] = {"cyclical_sin": _text}
"""Writers (see `ir.writing`) of the two columns, by the function of the first column."""


OPERATORS: dict[str, Operator] = {
    "cyclical": Operator(
        cyclical,
        _cyclical,
        tuple(Case(params={"period": period}) for period in (24, 7, 0.1, 1e10)),
        ulp=4,
    ),
}
